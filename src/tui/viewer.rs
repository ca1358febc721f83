//! A log, opened over the whole screen: search, scroll, follow.

use super::session::Session;
use cursive::Cursive;

/// What a function printed, and prints.
pub fn open_function(_siv: &mut Cursive, _session: &Session, _function: &str) {}

/// The session's own log; only lines that hold `about`, if given (such as a node's name).
pub fn open_log(_siv: &mut Cursive, _session: &Session, _about: Option<&str>) {}
