//! The orchestrator's dashboard: nodes, functions, log.

use super::session::Session;
use cursive::Cursive;

/// Shows it and starts its feeds. `role` is what runs in this process and ends with the screen, such as "the
/// orchestrator"; `None` for a cluster elsewhere.
pub fn open(_siv: &mut Cursive, _session: &Session, _role: Option<&'static str>) {}
