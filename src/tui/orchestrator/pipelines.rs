//! Pipelines as rows of a table: columns, words, glyphs. No behaviour.

use super::figures::milliseconds;
use super::tasks::{age, age_value};
use crate::clock;
use crate::tui::panes::columns::{Column, Kind, column, extra};
use crate::tui::panes::order::{Sort, Sortable, Value};
use crate::tui::panes::table::{Cell, Row};
use crate::tui::theme::Tone;
use crate::types::Pipeline;
use jiff::Timestamp;

/// Glyph and tone of a pipeline's or a module's state.
pub fn state(word: &str) -> (&'static str, Tone) {
    match word {
        "running" => ("◐", Tone::Warn),
        "succeeded" => ("✓", Tone::Good),
        "failed" => ("✗", Tone::Bad),
        "ready" => ("◌", Tone::Plain),
        "pending" => ("○", Tone::Dim),
        _ => ("–", Tone::Dim), // skipped, cancelled
    }
}

/// What people call it.
pub fn name(pipeline: &Pipeline) -> &str {
    pipeline.name.as_deref().unwrap_or(&pipeline.id)
}

/// Modules in a state.
pub fn count(pipeline: &Pipeline, state: &str) -> usize {
    pipeline.counts.get(state).copied().unwrap_or(0)
}

/// Modules that have ended, of all.
pub fn progress(pipeline: &Pipeline) -> (usize, usize) {
    let ended = ["succeeded", "failed", "skipped", "cancelled"].map(|state| count(pipeline, state));
    (ended.iter().sum(), pipeline.counts.values().sum())
}

/// How far it has come, to be compared with what else is told of it: this only grows.
pub fn advance(pipeline: &Pipeline) -> (u32, bool, usize) {
    (pipeline.runs, pipeline.status != "running", progress(pipeline).0)
}

/// Milliseconds from one time to another, or to now; `None` when it has not begun.
pub fn took_ms(from: Option<&str>, to: Option<&str>) -> Option<f64> {
    let at = |time: &str| time.parse::<Timestamp>().ok().map(|time| time.as_millisecond() as f64);
    let from = at(from?)?;
    let to = match to {
        Some(to) => at(to)?,
        None => clock::unix_ms() as f64,
    };
    Some((to - from).max(0.0))
}

fn took(pipeline: &Pipeline) -> Option<f64> {
    took_ms(Some(&pipeline.submitted_at), pipeline.ended_at.as_deref())
}

impl Row for Pipeline {
    const COLUMNS: &'static [Column] = &[
        column("NAME", 10, 26, Kind::Text),
        column("STATUS", 11, 12, Kind::Text),
        column("DONE", 5, 9, Kind::Figure),
        column("FAILED", 4, 7, Kind::Figure),
        column("TOOK", 6, 8, Kind::Figure),
        column("AGE", 4, 4, Kind::Figure),
        extra("RUNS", 4, 5, Kind::Figure),
        extra("ID", 12, 36, Kind::Text),
    ];
    /// The newest first.
    const SORT: Sort = Sort { column: 5, descending: false };

    fn cell(&self, column: usize) -> Cell<'_> {
        let text = |text: String, tone| Cell::Text(text.into(), tone);
        match column {
            0 => Cell::Text(name(self).into(), Tone::Plain),
            1 => {
                let (glyph, tone) = state(&self.status);
                text(format!("{glyph} {}", self.status), tone)
            }
            2 => {
                let (ended, all) = progress(self);
                text(format!("{ended}/{all}"), Tone::Plain)
            }
            3 => {
                let failed = count(self, "failed");
                text(failed.to_string(), if failed == 0 { Tone::Dim } else { Tone::Bad })
            }
            4 => text(took(self).map_or("-".into(), milliseconds), Tone::Plain),
            5 => text(age(&self.submitted_at), Tone::Plain),
            6 => text(self.runs.to_string(), if self.runs == 1 { Tone::Dim } else { Tone::Plain }),
            _ => Cell::Text(self.id.as_str().into(), Tone::Dim),
        }
    }
}

impl Sortable for Pipeline {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => Value::Text(name(self).into()),
            1 => Value::Text(self.status.as_str().into()),
            2 => {
                let (ended, all) = progress(self);
                Value::Number((all > 0).then(|| ended as f64 / all as f64))
            }
            3 => Value::Number(Some(count(self, "failed") as f64)),
            4 => Value::Number(took(self)),
            5 => age_value(&self.submitted_at),
            6 => Value::Number(Some(self.runs.into())),
            _ => Value::Text(self.id.as_str().into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        [name(self), &self.id, &self.status].into_iter().any(|word| word.to_lowercase().contains(text))
    }
}
