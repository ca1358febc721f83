//! Nodes as rows of a table: columns, words, glyphs. No behaviour.

use super::figures::count;
use crate::tui::panes::columns::{Column, Kind, column, extra};
use crate::tui::panes::order::{Sortable, Value};
use crate::tui::panes::table::{Cell, Row};
use crate::tui::theme::Tone;
use crate::types::Node;

/// The word for a node's status. Cordoned is only said of an active one: others get nothing new anyway.
pub fn word(node: &Node) -> &str {
    if node.cordoned && node.status == "active" { "cordoned" } else { &node.status }
}

/// Glyph, word and tone of a node's status.
pub fn status(node: &Node) -> (String, Tone) {
    let (glyph, tone) = match word(node) {
        "active" => ("●", Tone::Good),
        "cordoned" => ("◍", Tone::Warn),
        "draining" => ("◐", Tone::Warn),
        "disconnected" => ("○", Tone::Bad),
        "revoked" => ("✗", Tone::Bad),
        _ => ("?", Tone::Warn),
    };
    (format!("{glyph} {}", word(node)), tone)
}

impl Row for Node {
    const COLUMNS: &'static [Column] = &[
        column("NAME", 10, 24, Kind::Text),
        column("STATUS", 12, 14, Kind::Text),
        column("CPU", 10, 16, Kind::Bar),
        column("MEMORY", 10, 16, Kind::Bar),
        column("SLOTS", 6, 9, Kind::Figure),
        extra("OK", 4, 7, Kind::Figure),
        extra("FAIL", 4, 6, Kind::Figure),
        extra("ID", 12, 36, Kind::Text),
    ];

    fn cell(&self, column: usize) -> Cell<'_> {
        let text = |text: String, tone| Cell::Text(text.into(), tone);
        match column {
            0 => Cell::Text(self.name.as_str().into(), Tone::Plain),
            1 => {
                let (word, tone) = status(self);
                text(word, tone)
            }
            2 => Cell::Bar(self.cpu_percent),
            3 => Cell::Bar(self.memory_percent),
            4 => text(format!("{}/{}", self.running, self.slots), Tone::Plain),
            5 => text(count(self.succeeded), Tone::Plain),
            6 => text(count(self.failed), if self.failed == 0 { Tone::Dim } else { Tone::Bad }),
            _ => Cell::Text(self.id.as_str().into(), Tone::Dim),
        }
    }
}

impl Sortable for Node {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => Value::Text(self.name.as_str().into()),
            1 => Value::Text(word(self).into()),
            2 => Value::Number(self.cpu_percent),
            3 => Value::Number(self.memory_percent),
            4 => Value::Number(Some(self.running.into())),
            5 => Value::Number(Some(self.succeeded as f64)),
            6 => Value::Number(Some(self.failed as f64)),
            _ => Value::Text(self.id.as_str().into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let tags = self.tags.iter().flat_map(|(key, value)| [key, value]);
        let words = [&self.name, &self.id, &self.status, &self.address, &self.hostname];
        let cordoned = self.cordoned && "cordoned".contains(text);
        cordoned || words.into_iter().chain(tags).any(|word| word.to_lowercase().contains(text))
    }
}
