//! The last row: the keys of a screen, and at its right what is on its way. No behaviour.

use super::keymap::{self, Place};
use super::text;
use super::theme::Tone;
use cursive::Printer;

/// Cells between two keys.
const GAP: usize = 2;

/// Draws it at row `y`; a hint is said instead of what is busy.
pub fn draw(printer: &Printer, y: usize, place: Place, hint: Option<&str>, busy: &[String]) {
    let width = printer.size.x;
    let said = match (hint, busy) {
        (Some(hint), _) => hint.to_string(),
        (None, []) => String::new(),
        (None, [one]) => format!("… {one}"),
        (None, [.., newest]) => format!("… {newest} (+{})", busy.len() - 1),
    };
    let said = text::cut(&said, if hint.is_some() { width } else { width / 2 });
    let start = width - text::width(&said);
    let tone = if hint.is_some() { Tone::Warn } else { Tone::Accent };
    printer.with_style(tone.style(), |p| p.print((start, y), &said));
    let room = start.saturating_sub(if said.is_empty() { 0 } else { GAP });
    let mut x = 0;
    for (key, word) in keymap::footer(place) {
        let wide = text::width(key) + 1 + text::width(word);
        if x + wide > room {
            break;
        }
        printer.with_style(Tone::Accent.style(), |p| p.print((x, y), key));
        printer.with_style(Tone::Dim.style(), |p| p.print((x + text::width(key) + 1, y), word));
        x += wide + GAP;
    }
}
