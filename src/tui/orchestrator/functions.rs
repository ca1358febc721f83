//! Functions as rows of a table: columns, words, glyphs. No behaviour.

use super::figures::{count, milliseconds};
use crate::output;
use crate::tui::panes::columns::{Column, Kind, column, extra};
use crate::tui::panes::order::{Sortable, Value};
use crate::tui::panes::table::{Cell, Row};
use crate::tui::theme::Tone;
use crate::types::Function;

/// Digits shown of a bundle's digest.
const DIGEST: usize = 8;

/// Glyph and tone of a function's status.
pub fn status(function: &Function) -> (&'static str, Tone) {
    match function.status.as_str() {
        "running" => ("●", Tone::Good),
        "starting" => ("◐", Tone::Warn),
        "failing" => ("✗", Tone::Bad),
        "idle" => ("○", Tone::Plain),
        "stopped" | "no-image" => ("◌", Tone::Warn),
        _ => ("?", Tone::Warn),
    }
}

/// An image as it is shown in a table.
pub fn image(image: &str) -> String {
    output::image(image, DIGEST)
}

/// The middle of its times, or `-`.
pub fn p50(function: &Function) -> String {
    function.p50_ms.map_or("-".into(), milliseconds)
}

/// Instances that the next call wakes.
fn frozen(function: &Function) -> usize {
    function.instances.iter().filter(|i| i.status == "frozen").count()
}

impl Row for Function {
    const COLUMNS: &'static [Column] = &[
        column("NAME", 10, 26, Kind::Text),
        column("IMAGE", 8, 40, Kind::Text),
        column("MODE", 4, 5, Kind::Text),
        column("INST", 4, 6, Kind::Figure),
        column("CALLS", 5, 7, Kind::Figure),
        column("P50", 6, 8, Kind::Figure),
        extra("FAIL", 4, 6, Kind::Figure),
        extra("STATUS", 8, 10, Kind::Text),
        extra("FROZEN", 6, 6, Kind::Figure),
    ];

    fn cell(&self, column: usize) -> Cell<'_> {
        let text = |text: String, tone| Cell::Text(text.into(), tone);
        let (glyph, tone) = status(self);
        match column {
            0 => text(format!("{glyph} {}", self.name), if tone == Tone::Good { Tone::Plain } else { tone }),
            1 => text(image(&self.image), Tone::Plain),
            2 => Cell::Text(self.mode.word().into(), Tone::Plain),
            3 => text(self.instances.len().to_string(), Tone::Plain),
            4 => text(count(self.calls), Tone::Plain),
            5 => text(p50(self), Tone::Plain),
            6 => text(count(self.failures), if self.failures == 0 { Tone::Dim } else { Tone::Bad }),
            7 => Cell::Text(self.status.as_str().into(), tone),
            _ => text(frozen(self).to_string(), if frozen(self) == 0 { Tone::Dim } else { Tone::Plain }),
        }
    }
}

impl Sortable for Function {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => Value::Text(self.name.as_str().into()),
            1 => Value::Text(self.image.as_str().into()),
            2 => Value::Text(self.mode.word().into()),
            3 => Value::Number(Some(self.instances.len() as f64)),
            4 => Value::Number(Some(self.calls as f64)),
            5 => Value::Number(self.p50_ms),
            6 => Value::Number(Some(self.failures as f64)),
            7 => Value::Text(self.status.as_str().into()),
            _ => Value::Number(Some(frozen(self) as f64)),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let labels = self.labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        let words = [self.name.as_str(), &self.image, &self.status, self.mode.word()];
        words.into_iter().chain(labels).any(|word| word.to_lowercase().contains(text))
    }
}
