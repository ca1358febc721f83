//! What the command line answers, as rows under a head. Must never ask the orchestrator anything.

use super::sheet::Row;
use crate::cli::Format;
use crate::output;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::{Function, Node, Token};
use serde::Serialize;

/// Digits shown of a bundle's digest: a box is wide.
const DIGITS: usize = 12;

/// A text, line by line.
pub fn lines(text: &str) -> Vec<Row> {
    text.lines().map(|line| (Tone::Plain, line.to_string())).collect()
}

/// Functions.
pub fn functions(found: &[Function], format: Format) -> Vec<Row> {
    let head = ["NAME", "STATUS", "INSTANCES", "CALLS", "IMAGE"];
    let row = |f: &Function| {
        [
            f.name.clone(),
            f.status.clone(),
            f.instances.len().to_string(),
            f.calls.to_string(),
            output::image(&f.image, DIGITS),
        ]
    };
    list(found, format, head, row)
}

/// Nodes.
pub fn nodes(found: &[Node], format: Format) -> Vec<Row> {
    let head = ["NAME", "STATUS", "RUNNING", "SUCCEEDED", "FAILED"];
    let status = |n: &Node| if n.cordoned { format!("{},cordoned", n.status) } else { n.status.clone() };
    let running = |n: &Node| format!("{}/{}", n.running, n.slots);
    let row = |n: &Node| [n.name.clone(), status(n), running(n), n.succeeded.to_string(), n.failed.to_string()];
    list(found, format, head, row)
}

/// Tokens.
pub fn tokens(found: &[Token], format: Format) -> Vec<Row> {
    let head = ["NAME", "SCOPES", "STATUS", "EXPIRES", "CREATED"];
    let expires = |t: &Token| t.expires_at.clone().unwrap_or_else(|| "never".into());
    let row = |t: &Token| [t.name.clone(), t.scopes.join(","), t.status.clone(), expires(t), t.created_at.clone()];
    list(found, format, head, row)
}

/// Rows under a head, or as the format says.
pub fn list<T: Serialize>(found: &[T], format: Format, head: [&str; 5], row: impl Fn(&T) -> [String; 5]) -> Vec<Row> {
    if format == Format::Json {
        return lines(&serde_json::to_string_pretty(found).unwrap_or_default());
    }
    let rows: Vec<[String; 5]> = found.iter().map(row).collect();
    if format == Format::Name {
        return rows.into_iter().map(|[name, ..]| (Tone::Plain, name)).collect();
    }
    if rows.is_empty() {
        return vec![(Tone::Dim, "None yet.".into())];
    }
    let wide = |at: usize| rows.iter().map(|row| text::width(&row[at])).max().unwrap_or(0).max(head[at].len());
    let widths: Vec<usize> = (0..head.len()).map(wide).collect();
    let line = |cells: &[String; 5]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| text::left(cell, *width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let mut shown = vec![(Tone::Title, line(&head.map(str::to_string)))];
    shown.extend(rows.iter().map(|row| (Tone::Plain, line(row))));
    shown
}

/// All fields of one thing, so that a field that is new is shown too.
pub fn one<T: Serialize>(found: &T, name: &str, format: Format) -> Vec<Row> {
    let json = serde_json::to_string_pretty(found).unwrap_or_default();
    match format {
        Format::Json => lines(&json),
        Format::Name => lines(name),
        _ => json.lines().filter_map(bare).map(|line| (Tone::Plain, line)).collect(),
    }
}

/// A line of JSON without what people need not read; `None` where nothing is left.
fn bare(line: &str) -> Option<String> {
    let line = line.strip_prefix("  ").unwrap_or(line).trim_end_matches(',');
    let depth = line.len() - line.trim_start().len();
    let (indent, token) = line.split_at(depth);
    let shown = match token.strip_prefix('"').and_then(|token| token.split_once("\": ")) {
        Some((key, "{" | "[")) => format!("{key}:"),
        Some((key, value)) => format!("{key}: {}", unquoted(value)),
        None if matches!(token, "{" | "}" | "[" | "]") => return None,
        None => unquoted(token).to_string(),
    };
    Some(format!("{indent}{shown}"))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}
