//! The last row of a screen: its keys, and at its right what is on its way. No behaviour.

use crate::tui::keymap::{self, Place};
use crate::tui::terminal;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;

/// Words of keys that are there however little room there is: they lead to all others, and out.
const ALWAYS: [&str; 2] = ["help", "quit"];
/// Cells between two keys.
const GAP: usize = 2;

/// Draws a screen's keys at row `y`; a hint is said instead of what is busy.
pub fn draw(printer: &Printer, y: usize, place: Place, hint: Option<&str>, busy: &[String]) {
    let width = printer.size.x;
    let said = match (hint, busy) {
        (Some(hint), _) => hint.to_string(),
        (None, []) if terminal::mouse_is_off() => "mouse off".to_string(),
        (None, []) => String::new(),
        (None, [one]) => format!("… {one}"),
        (None, [.., newest]) => format!("… {newest} (+{})", busy.len() - 1),
    };
    let said = text::cut(&said, if hint.is_some() { width } else { width / 2 });
    let start = width - text::width(&said);
    let tone = if hint.is_some() { Tone::Warn } else { Tone::Accent };
    printer.with_style(tone.style(), |p| p.print((start, y), &said));
    let room = start.saturating_sub(if said.is_empty() { 0 } else { GAP });
    keys(printer, y, room, keymap::footer(place));
}

/// Draws keys in the first `room` cells of row `y`; those in the middle are left out where there are too many.
pub fn keys<'a>(printer: &Printer, y: usize, room: usize, keys: impl Iterator<Item = (&'a str, &'a str)>) {
    let wide = |(key, word): &(&str, &str)| text::width(key) + 1 + text::width(word) + GAP;
    let (tail, head): (Vec<_>, Vec<_>) = keys.partition(|(_, word)| ALWAYS.contains(word));
    let mut left = (room + GAP).saturating_sub(tail.iter().map(wide).sum());
    let mut fits = |key: &&(&str, &str)| {
        let fits = wide(key) <= left;
        left = if fits { left - wide(key) } else { 0 };
        fits
    };
    let shown: Vec<_> = head.iter().take_while(|key| fits(key)).chain(&tail).collect();
    let mut x = 0;
    for (key, word) in shown {
        if x + wide(&(key, word)) > room + GAP {
            break;
        }
        printer.with_style(Tone::Accent.style(), |p| p.print((x, y), key));
        printer.with_style(Tone::Dim.style(), |p| p.print((x + text::width(key) + 1, y), word));
        x += wide(&(key, word));
    }
}
