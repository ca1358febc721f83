//! What panes without rows say, and why a key did nothing. No behaviour.

use super::dashboard::{LOG, PIPELINES, TASKS};
use super::model::{Connection, Model};
use crate::tui::keymap::Action;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;
use std::net::SocketAddr;

/// Lines instead of rows; those that begin with blanks can be typed.
pub fn say(printer: &Printer, lines: &[String]) {
    for (y, line) in lines.iter().enumerate() {
        let tone = if line.starts_with("  ") { Tone::Accent } else { Tone::Dim };
        printer.with_style(tone.style(), |p| p.print((1, y), &text::cut(line, printer.size.x.saturating_sub(1))));
    }
}

/// Why a key does nothing in a pane of the dashboard.
pub fn why_not(pane: usize, action: Action) -> Option<&'static str> {
    Some(match (pane, action) {
        (LOG, Action::Invoke | Action::Delete | Action::Cordon) => "go to a node or function first: N, F",
        (LOG, Action::Filter) => "l opens the log, with search",
        (
            _,
            Action::Open
            | Action::Invoke
            | Action::Delete
            | Action::Cordon
            | Action::Logs
            | Action::Stop
            | Action::Start
            | Action::Cancel
            | Action::Retry,
        ) => "nothing is selected",
        _ => return None,
    })
}

/// Without nodes.
pub fn nodes_hint(model: &Model, url: &str) -> Vec<String> {
    match (&model.connection, &model.cluster) {
        (Connection::Live, Some(cluster)) => {
            let join = format!("  {}", cluster.join_command);
            let here: Result<SocketAddr, _> = cluster.grpc_addr.parse();
            match here.is_ok_and(|address| address.ip().is_loopback()) {
                true => vec![
                    "No nodes yet. Join one on this machine:".into(),
                    join,
                    "Others can join where one listens wider:".into(),
                    "  cares orchestrator --grpc-addr 0.0.0.0:50051 --open".into(),
                ],
                false => vec!["No nodes yet. Join one, on this or another machine:".into(), join],
            }
        }
        (Connection::Live, None) => vec!["No nodes yet. Join one with `cares`.".into()],
        (Connection::Connecting, _) => vec![format!("Connecting to {url} …")],
        (Connection::Lost { .. }, _) => vec![format!("No answer from {url} so far.")],
    }
}

/// Without functions, tasks or pipelines.
pub fn work_hint(model: &Model, pane: usize) -> Vec<String> {
    let lines = match (&model.connection, pane) {
        (Connection::Live, TASKS) => ["No tasks yet.", "a runs one; or in a shell:", "  cares task run IMAGE"],
        (Connection::Live, PIPELINES) => {
            ["No pipelines yet.", "a runs one; or in a shell:", "  cares pipeline run FILE"]
        }
        (Connection::Live, _) => ["No functions yet.", "a registers one; or in a shell:", "  cares deploy"],
        _ => return vec!["Not known yet.".into()],
    };
    lines.map(String::from).into()
}
