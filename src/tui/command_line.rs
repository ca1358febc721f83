//! `:` commands: the CLI's verbs, typed on the screen.

use super::session::Session;
use cursive::Cursive;

/// Opens the line at the bottom.
pub fn open(_siv: &mut Cursive, _session: &Session) {}
