//! The modules of a pipeline as rows of a table, its first column a tree. No behaviour.

use super::figures::milliseconds;
use super::pipelines::{state, took_ms};
use crate::client;
use crate::tui::panes::columns::{Column, Kind, column, extra};
use crate::tui::panes::order::{Sortable, Value};
use crate::tui::panes::rows::Rows;
use crate::tui::panes::table::{Cell, Row};
use crate::tui::theme::Tone;
use crate::types::{Node, PipelineModule};

/// A module as it is shown.
pub struct ModuleRow {
    pub module: PipelineModule,
    /// Its place in the tree.
    at: usize,
    /// What stands before its name: the tree's lines, or nothing where rows are not in its order.
    lines: String,
    /// What people call its node.
    pub node: Option<String>,
}

/// Replaces rows by those of these modules; `tree` with its lines.
pub fn write(rows: &mut Rows<ModuleRow>, modules: &[PipelineModule], nodes: &Rows<Node>, tree: bool) {
    let row = |(at, branch): (usize, client::Branch)| {
        let module = modules[branch.index].clone();
        let name = |id: &String| nodes.get(id).map_or(id, |node| &node.name).clone();
        let lines = if tree { branch.lines } else { String::new() };
        (module.name.clone(), ModuleRow { node: module.node.as_ref().map(name), module, at, lines })
    };
    let written = client::tree(modules).into_iter().enumerate().map(row).collect();
    **rows = written;
}

/// How long its last attempt has taken.
pub fn took(module: &PipelineModule) -> Option<f64> {
    let running = module.state == "running";
    let started = module.started_at.as_deref().filter(|_| running || module.ended_at.is_some());
    took_ms(started, module.ended_at.as_deref())
}

impl Row for ModuleRow {
    const COLUMNS: &'static [Column] = &[
        column("MODULE", 12, 44, Kind::Text),
        column("STATE", 11, 12, Kind::Text),
        column("TRIES", 5, 6, Kind::Figure),
        column("NODE", 5, 20, Kind::Text),
        column("TOOK", 6, 8, Kind::Figure),
        extra("FUNCTION", 9, 30, Kind::Text),
        extra("ERROR", 20, 60, Kind::Text),
    ];

    fn cell(&self, column: usize) -> Cell<'_> {
        let text = |text: String, tone| Cell::Text(text.into(), tone);
        let module = &self.module;
        match column {
            0 => text(format!("{}{}", self.lines, module.name), Tone::Plain),
            1 => {
                let (glyph, tone) = state(&module.state);
                text(format!("{glyph} {}", module.state), tone)
            }
            2 => text(module.attempts.to_string(), if module.attempts > 1 { Tone::Warn } else { Tone::Dim }),
            3 => Cell::Text(self.node.as_deref().unwrap_or("-").into(), Tone::Plain),
            4 => text(took(module).map_or("-".into(), milliseconds), Tone::Plain),
            5 => Cell::Text(module.function.as_str().into(), Tone::Dim),
            _ => Cell::Text(module.error.as_deref().unwrap_or_default().into(), Tone::Bad),
        }
    }
}

impl Sortable for ModuleRow {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => Value::Number(Some(self.at as f64)),
            1 => Value::Text(self.module.state.as_str().into()),
            2 => Value::Number(Some(self.module.attempts.into())),
            3 => Value::Text(self.node.as_deref().unwrap_or_default().into()),
            4 => Value::Number(took(&self.module)),
            5 => Value::Text(self.module.function.as_str().into()),
            _ => Value::Text(self.module.error.as_deref().unwrap_or_default().into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let module = &self.module;
        let more = [&self.node, &module.error].into_iter().flatten();
        [&module.name, &module.state, &module.function].into_iter().chain(more).any(|w| w.to_lowercase().contains(text))
    }
}
