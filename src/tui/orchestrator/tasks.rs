//! Tasks as rows of a table: columns, words, glyphs. No behaviour.

use super::functions::image;
use crate::clock;
use crate::output;
use crate::tui::panes::columns::{Column, Kind, column};
use crate::tui::panes::order::{Sortable, Value};
use crate::tui::panes::table::{Cell, Row};
use crate::tui::theme::Tone;
use crate::types::{TaskPhase, TaskSummary};
use jiff::Timestamp;

/// Glyph, word and tone of a task's state; what is not well does not look as if it were.
pub fn state(task: &TaskSummary) -> (String, Tone) {
    let (glyph, tone) = match task.state {
        TaskPhase::Pending => ("○", Tone::Warn),
        TaskPhase::Scheduled => ("◐", Tone::Warn),
        TaskPhase::Running if task.health.as_deref() == Some("unhealthy") => ("●", Tone::Bad),
        TaskPhase::Running => ("●", Tone::Good),
        TaskPhase::Stopping => ("◑", Tone::Warn),
        TaskPhase::Completed => ("✓", Tone::Good),
        TaskPhase::Failed => ("✗", Tone::Bad),
        TaskPhase::Stopped => ("–", Tone::Dim),
    };
    (format!("{glyph} {}", task.state), tone)
}

/// How long ago a time is, short.
pub fn age(time: &str) -> String {
    let now = i64::try_from(clock::unix_ms()).unwrap_or(i64::MAX);
    output::age(time, Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX))
}

/// The same to sort by: the newest has the least.
pub fn age_value(time: &str) -> Value<'static> {
    Value::Number(time.parse::<Timestamp>().ok().map(|at| -(at.as_millisecond() as f64)))
}

impl Row for TaskSummary {
    const COLUMNS: &'static [Column] = &[
        column("NAME", 10, 26, Kind::Text),
        column("STATE", 11, 12, Kind::Text),
        column("IMAGE", 8, 40, Kind::Text),
        column("NODE", 5, 20, Kind::Text),
        column("RESTARTS", 4, 9, Kind::Figure),
        column("AGE", 4, 4, Kind::Figure),
    ];

    fn cell(&self, column: usize) -> Cell<'_> {
        let text = |text: String, tone| Cell::Text(text.into(), tone);
        match column {
            0 => Cell::Text(self.name.as_str().into(), Tone::Plain),
            1 => {
                let (word, tone) = state(self);
                text(word, tone)
            }
            2 => text(image(&self.image), Tone::Plain),
            3 => match &self.node_name {
                Some(name) => Cell::Text(name.as_str().into(), Tone::Plain),
                None => Cell::Text("none".into(), Tone::Dim),
            },
            4 => text(self.restarts.to_string(), if self.restarts == 0 { Tone::Dim } else { Tone::Warn }),
            _ => text(age(&self.created_at), Tone::Plain),
        }
    }
}

impl Sortable for TaskSummary {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => Value::Text(self.name.as_str().into()),
            1 => Value::Text(self.state.as_str().into()),
            2 => Value::Text(self.image.as_str().into()),
            3 => Value::Text(self.node_name.as_deref().unwrap_or_default().into()),
            4 => Value::Number(Some(self.restarts.into())),
            _ => age_value(&self.created_at),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let words = [&self.name, &self.id, &self.image];
        let more = [&self.node_name, &self.health].into_iter().flatten();
        let state = self.state.as_str().to_lowercase().contains(text);
        state || words.into_iter().chain(more).any(|word| word.to_lowercase().contains(text))
    }
}
