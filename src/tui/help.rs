//! The help: the keys of a screen, from the keymap.

use super::keymap::Place;
use cursive::Cursive;

/// Opens it over what is shown.
pub fn open(_siv: &mut Cursive, _place: Place) {}
