//! What is said of one node or function, line by line. No behaviour.

use super::figures::{bytes, clock, count, milliseconds};
use super::functions;
use super::lines::{Spans, columns};
use super::model::Model;
use super::nodes;
use crate::tui::theme::Tone;
use crate::types::{CallRecord, Function, Instance, Node};
use std::collections::BTreeMap;

/// Cells of a label.
const LABEL: usize = 13;

fn field(lines: &mut Vec<Spans>, label: &str, value: impl Into<String>) {
    toned(lines, label, value, Tone::Plain);
}

fn toned(lines: &mut Vec<Spans>, label: &str, value: impl Into<String>, tone: Tone) {
    let value = value.into();
    let value = if value.is_empty() { ("none".to_string(), Tone::Dim) } else { (value, tone) };
    lines.push(vec![(format!("{label:LABEL$} "), Tone::Dim), value]);
}

fn percent(percent: Option<f64>) -> String {
    percent.map_or("N/A".into(), |percent| format!("{percent:.0} %"))
}

fn pairs(pairs: &BTreeMap<String, String>) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// All of a node.
pub fn node(node: &Node) -> Vec<Spans> {
    let mut lines = Vec::new();
    let (word, tone) = nodes::status(node);
    field(&mut lines, "name", &node.name);
    field(&mut lines, "id", &node.id);
    toned(&mut lines, "status", word, tone);
    field(&mut lines, "cordoned", if node.cordoned { "yes: it gets nothing new" } else { "no" });
    field(&mut lines, "last seen", &node.last_seen);
    field(&mut lines, "reach", &node.reach);
    field(&mut lines, "address", &node.address);
    field(&mut lines, "hostname", &node.hostname);
    field(&mut lines, "os, arch", format!("{}, {}", node.os, node.arch));
    field(&mut lines, "cpus", format!("{}, {} used", node.cpus, percent(node.cpu_percent)));
    field(&mut lines, "memory", format!("{}, {} used", bytes(node.memory_bytes), percent(node.memory_percent)));
    field(&mut lines, "slots", format!("{} of {} in use, {} for jobs", node.running, node.slots, node.job_slots));
    field(&mut lines, "succeeded", node.succeeded.to_string());
    toned(&mut lines, "failed", node.failed.to_string(), if node.failed == 0 { Tone::Plain } else { Tone::Bad });
    field(&mut lines, "engines", node.engines.join(" "));
    if !node.engine_trouble.is_empty() {
        toned(&mut lines, "trouble", &node.engine_trouble, Tone::Warn);
    }
    field(&mut lines, "tags", pairs(&node.tags));
    field(&mut lines, "tools", node.tools.join(" "));
    field(&mut lines, "version", &node.version);
    lines
}

/// All of a function but its instances.
pub fn function(function: &Function) -> Vec<Spans> {
    let mut lines = Vec::new();
    let (glyph, tone) = functions::status(function);
    let limit = |limit: Option<String>| limit.unwrap_or("no limit of its own".into());
    field(&mut lines, "name", &function.name);
    toned(&mut lines, "status", format!("{glyph} {}", function.status), tone);
    if let Some(error) = &function.last_error {
        toned(&mut lines, "last error", error, Tone::Bad);
    }
    field(&mut lines, "image", &function.image);
    field(&mut lines, "mode", functions::mode(function.mode));
    field(&mut lines, "path", &function.invoke_path);
    field(&mut lines, "calls", format!("{}, {} failed", count(function.calls), count(function.failures)));
    field(&mut lines, "in flight", function.in_flight.to_string());
    field(&mut lines, "p50", functions::p50(function));
    if !function.description.is_empty() {
        field(&mut lines, "description", &function.description);
    }
    field(
        &mut lines,
        "command",
        if function.command.is_empty() { "the image's".into() } else { function.command.join(" ") },
    );
    field(&mut lines, "env", pairs(&function.env));
    field(&mut lines, "timeout", format!("{} s", function.timeout_s));
    field(&mut lines, "memory", limit(function.memory_mb.map(|mb| format!("{mb} MiB"))));
    field(&mut lines, "cpu", limit(function.cpu.map(|cpu| format!("{cpu} cores"))));
    field(&mut lines, "concurrency", function.concurrency.to_string());
    field(
        &mut lines,
        "instances",
        format!("{} to {}, {} kept ready", function.min, function.max, function.ready.max(function.min)),
    );
    let (freeze_s, idle_s) = (function.freeze_s, function.idle_s);
    field(&mut lines, "idle", format!("frozen after {freeze_s} s, stopped after {idle_s} s"));
    let wanted = &function.constraints;
    let wants = [
        wanted.os.clone().map(|os| format!("os={os}")),
        wanted.arch.clone().map(|arch| format!("arch={arch}")),
        (!wanted.tools.is_empty()).then(|| format!("tools={}", wanted.tools.join(","))),
        (!wanted.tags.is_empty()).then(|| pairs(&wanted.tags)),
    ];
    field(&mut lines, "constraints", wants.into_iter().flatten().collect::<Vec<_>>().join(" "));
    field(&mut lines, "labels", pairs(&function.labels));
    field(&mut lines, "created", &function.created_at);
    field(&mut lines, "updated", &function.updated_at);
    field(&mut lines, "attempts", format!("at most {} of an asynchronous call", function.attempts));
    if let Some(schedule) = &function.schedule {
        let or = |time: &Option<String>| time.clone().unwrap_or("none".into());
        field(&mut lines, "schedule", format!("{} {}", schedule.expression, schedule.zone));
        field(&mut lines, "last run", or(&schedule.last_run_at));
        field(&mut lines, "next run", or(&schedule.next_run_at));
        if let Some(why) = &schedule.last_skipped {
            toned(&mut lines, "skipped", why, Tone::Warn);
        }
    }
    for (at, revision) in function.revisions.iter().enumerate() {
        let label = if at == 0 { "revisions" } else { "" };
        let image = functions::image(&revision.image);
        let tone = match revision.status.as_str() {
            "starting" => Tone::Warn,
            "failed" => Tone::Bad,
            _ => Tone::Plain,
        };
        let shown = format!("{}  {:8}  {image}  {}", revision.revision, revision.status, revision.created_at);
        toned(&mut lines, label, shown, tone);
    }
    lines
}

/// The instances on a node, by function.
pub fn instances_on(model: &Model, node: &str) -> Vec<Spans> {
    let all = model.functions.values().flat_map(|f| f.instances.iter().map(move |i| (f.name.clone(), i)));
    instances("FUNCTION", all.filter(|(_, instance)| instance.node == node))
}

/// A function's instances, by node.
pub fn instances_of(model: &Model, function: &Function) -> Vec<Spans> {
    instances("NODE", function.instances.iter().map(|instance| (node_name(model, &instance.node), instance)))
}

fn instances<'a>(head: &str, found: impl Iterator<Item = (String, &'a Instance)>) -> Vec<Spans> {
    let row = |(name, instance): (String, &Instance)| {
        let (glyph, tone) = match instance.status.as_str() {
            "warm" => ("●", Tone::Good),
            "frozen" => ("◌", Tone::Plain),
            "starting" => ("◐", Tone::Warn),
            "draining" => ("◑", Tone::Warn),
            _ => ("○", Tone::Plain),
        };
        vec![
            (name, Tone::Plain),
            (format!("{glyph} {}", instance.status), tone),
            (instance.in_flight.to_string(), Tone::Plain),
            (instance.revision.to_string(), Tone::Plain),
            (instance.id.clone(), Tone::Dim),
        ]
    };
    let rows: Vec<Spans> = found.map(row).collect();
    match rows.is_empty() {
        true => vec![vec![("No instances now.".into(), Tone::Dim)]],
        false => columns(&[head, "STATUS", "CALLS", "REV", "ID"], &rows),
    }
}

/// Calls of late; `of_node`: those of one node, which names the functions.
pub fn calls(model: &Model, calls: &[CallRecord], of_node: bool) -> Vec<Spans> {
    let row = |call: &CallRecord| {
        let (glyph, tone) = call_status(&call.status);
        let tries = if call.attempts > 1 { format!(" x{}", call.attempts) } else { String::new() };
        let other = match (&call.node, of_node) {
            (_, true) => call.function.clone(),
            (Some(node), false) => node_name(model, node),
            (None, false) if call.asynchronous => "(async)".into(),
            (None, false) => "no node".into(),
        };
        vec![
            (clock(&call.started_at).to_string(), Tone::Dim),
            (format!("{glyph} {}{tries}", call.status), tone),
            (milliseconds(call.duration_ms), Tone::Plain),
            (other, Tone::Plain),
            (call.id.clone(), Tone::Dim),
        ]
    };
    let rows: Vec<Spans> = calls.iter().map(row).collect();
    match rows.is_empty() {
        true => vec![vec![("No invocations of late.".into(), Tone::Dim)]],
        false => columns(&["STARTED", "STATUS", "TOOK", if of_node { "FUNCTION" } else { "NODE" }, "ID"], &rows),
    }
}

/// Also of calls that wait, run, or were cancelled.
fn call_status(status: &str) -> (&'static str, Tone) {
    match status {
        "succeeded" => ("✓", Tone::Good),
        "queued" => ("○", Tone::Plain),
        "running" => ("◐", Tone::Warn),
        "cancelled" => ("–", Tone::Dim),
        _ => ("✗", Tone::Bad),
    }
}

fn node_name(model: &Model, id: &str) -> String {
    model.nodes.get(id).map_or(id, |node| &node.name).to_string()
}
