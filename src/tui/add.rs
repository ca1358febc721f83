//! The form that registers a function.

use super::session::Session;
use cursive::Cursive;

/// Opens it over what is shown.
pub fn open(_siv: &mut Cursive, _session: &Session) {}
