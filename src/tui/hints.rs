//! The last row of a screen: its keys, from the keymap; cut from the right where there is no room.

use super::keymap::{self, Place};
use super::theme::Tone;
use cursive::Printer;

/// Draws it over the last row of the printer.
pub fn draw(printer: &Printer, place: Place) {
    keys(printer, keymap::footer(place));
}

/// The same for other keys, such as a form's.
pub fn keys<'a>(printer: &Printer, keys: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(y) = printer.size.y.checked_sub(1) else { return };
    let mut x = 1;
    for (key, word) in keys {
        let wide = key.len() + 1 + word.len();
        if x + wide > printer.size.x {
            break;
        }
        printer.with_style(Tone::Accent.style(), |p| p.print((x, y), key));
        printer.with_style(Tone::Dim.style(), |p| p.print((x + key.len() + 1, y), word));
        x += wide + 2;
    }
}
