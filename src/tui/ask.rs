//! Questions before something is lost; the safe answer is the default.

use super::session::Session;
use crate::types::Node;
use cursive::Cursive;

/// Whether to delete a function.
pub fn delete_function(_siv: &mut Cursive, _session: &Session, _function: &str) {}

/// Whether to forget a node.
pub fn remove_node(_siv: &mut Cursive, _session: &Session, _node: &Node) {}

/// Whether to cordon, drain or uncordon a node.
pub fn cordon(_siv: &mut Cursive, _session: &Session, _node: &Node) {}

/// Whether to leave, when a role that runs in this process (`what`, such as "the orchestrator") would end with the
/// screen.
pub fn quit(_siv: &mut Cursive, _what: Option<&str>) {}
