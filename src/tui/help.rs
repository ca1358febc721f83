//! The help: the keys of a screen, from the keymap.

use super::keymap::{self, Place};
use super::sheet::{Row, Sheet};
use super::text;
use super::theme::Tone;
use cursive::Cursive;

/// Opens it over what is shown.
pub fn open(siv: &mut Cursive, place: Place) {
    let widest = keymap::help(place).map(|(keys, _)| text::width(keys)).max().unwrap_or(0);
    let line = |(keys, what)| (Tone::Plain, format!("{}  {what}", text::left(keys, widest)));
    let mut rows: Vec<Row> = keymap::help(place).map(line).collect();
    rows.push((Tone::Plain, String::new()));
    let fields = "In a form: tab or arrows go to the next field, enter sends, esc closes and keeps what was typed.";
    rows.push((Tone::Dim, fields.to_string()));
    Sheet::of("Keys", rows).button("Close", |_| {}).open(siv);
}
