//! What is said of one node, function, task, pipeline or module, line by line. No behaviour.

use super::figures::{bytes, clock, count, milliseconds};
use super::functions;
use super::model::Model;
use super::modules::{self, ModuleRow};
use super::nodes;
use super::pipelines;
use super::tasks;
use crate::tui::bars;
use crate::tui::panes::lines::{Spans, columns};
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::{CallRecord, Function, HealthCheck, Instance, Node, Pipeline, TaskPort, TaskStatus, TaskSummary};
use std::collections::BTreeMap;

/// Cells of a label.
const LABEL: usize = 13;
/// Cells of a bar, at most.
const PROGRESS: usize = 24;

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
    field(&mut lines, "mode", function.mode.word());
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

/// All of a task; `width` is what lines have, as why it failed is for reading.
pub fn task(row: &TaskSummary, task: &TaskStatus, width: usize) -> Vec<Spans> {
    let mut lines = Vec::new();
    let asked = &task.request;
    let or = |text: Option<String>, none: &str| text.unwrap_or(none.into());
    let (word, tone) = tasks::state(row);
    field(&mut lines, "name", &row.name);
    field(&mut lines, "id", &row.id);
    toned(&mut lines, "state", word, tone);
    if let Some(pull) = &row.pull {
        wrapped(&mut lines, "pull", &pull.to_string(), Tone::Warn, width);
    }
    if let Some(reason) = row.reason.as_ref().or(task.reason.as_ref().filter(|_| task.state == row.state)) {
        let tone = if tone == Tone::Bad { Tone::Bad } else { Tone::Plain };
        wrapped(&mut lines, "reason", reason, tone, width);
    }
    if let Some(last) = &task.last_lines {
        wrapped(&mut lines, "last lines", last.trim_end(), Tone::Plain, width);
    }
    if let Some(code) = row.exit_code {
        toned(&mut lines, "exit code", code.to_string(), if code == 0 { Tone::Plain } else { Tone::Bad });
    }
    if let Some(health) = &row.health {
        toned(&mut lines, "health", health, if health == "unhealthy" { Tone::Bad } else { Tone::Plain });
    }
    field(&mut lines, "node", or(row.node_name.clone(), ""));
    field(&mut lines, "attempt", format!("{}, {} restarts in it", row.attempt, row.restarts));
    field(&mut lines, "image", &row.image);
    let command = if asked.command.is_empty() { "the image's".into() } else { asked.command.join(" ") };
    wrapped(&mut lines, "command", &command, Tone::Plain, width);
    field(&mut lines, "ports", asked.ports.iter().map(port).collect::<Vec<_>>().join("  "));
    wrapped(&mut lines, "env", &pairs(&asked.env), Tone::Plain, width);
    field(&mut lines, "restart", asked.restart_policy.as_ref().map_or("never", |restart| &restart.policy));
    field(&mut lines, "check", asked.health_check.as_ref().map(check).unwrap_or_default());
    field(&mut lines, "cpu", or(asked.cpu.map(|cores| format!("{cores} cores")), "nothing reserved"));
    field(&mut lines, "memory", or(asked.memory.map(bytes), "nothing reserved"));
    let volume = |v: &crate::types::TaskVolume| format!("{}:{}", v.name, v.path);
    field(&mut lines, "volumes", asked.volumes.iter().map(volume).collect::<Vec<_>>().join("  "));
    field(&mut lines, "devices", asked.devices.join(" "));
    field(&mut lines, "labels", pairs(&asked.labels));
    field(&mut lines, "created", &row.created_at);
    field(&mut lines, "started", or(row.started_at.clone(), ""));
    field(&mut lines, "ended", or(row.ended_at.clone(), ""));
    lines
}

/// A pipeline as a whole, in few lines.
pub fn pipeline(pipeline: &Pipeline, width: usize) -> Vec<Spans> {
    let (glyph, tone) = pipelines::state(&pipeline.status);
    let (ended, all) = pipelines::progress(pipeline);
    let mut first = vec![(format!("{glyph} {}  ", pipeline.status), tone)];
    let (full, empty) = bars::cells(ended as f64 / all.max(1) as f64 * 100.0, (width / 3).min(PROGRESS));
    first.extend([(full, Tone::Good), (empty, Tone::Dim), (format!("  {ended}/{all} modules"), Tone::Plain)]);
    let mut states = Vec::new();
    for state in ["running", "ready", "pending", "succeeded", "failed", "skipped", "cancelled"] {
        let count = pipelines::count(pipeline, state);
        let tone = if state == "failed" { Tone::Bad } else { Tone::Plain };
        states.extend((count > 0).then(|| (format!("{count} {state}  "), tone)));
    }
    let took = pipelines::took_ms(Some(&pipeline.submitted_at), pipeline.ended_at.as_deref());
    let took = took.map_or("?".into(), milliseconds);
    let time = match pipeline.ended_at {
        Some(_) => format!("took {took}"),
        None => format!("{took} so far"),
    };
    let run = if pipeline.runs > 1 { format!("  run {}", pipeline.runs) } else { String::new() };
    let policy = match pipeline.failure_policy.as_str() {
        "continue" => "goes on after a failure",
        _ => "stops at a failure",
    };
    let submitted = format!("submitted {}, {time}{run}", pipeline.submitted_at.get(..19).unwrap_or_default());
    vec![first, states, vec![(submitted, Tone::Plain)], vec![(format!("{}  {policy}", pipeline.id), Tone::Dim)]]
}

/// All of a module, in lines of this width.
pub fn module(row: &ModuleRow, width: usize) -> Vec<Spans> {
    let module = &row.module;
    let mut lines = Vec::new();
    let (glyph, tone) = pipelines::state(&module.state);
    toned(&mut lines, "state", format!("{glyph} {}", module.state), tone);
    if let Some(error) = &module.error {
        let tone = if module.state == "failed" { Tone::Bad } else { Tone::Warn };
        wrapped(&mut lines, "error", error.trim_end(), tone, width);
    }
    let result = match (&module.result, module.ended_at.is_some()) {
        (Some(_), _) => "enter shows it",
        (None, true) => "",
        (None, false) => "not yet",
    };
    field(&mut lines, "result", result);
    field(&mut lines, "took", modules::took(module).map(milliseconds).unwrap_or_default());
    field(&mut lines, "node", row.node.clone().unwrap_or_default());
    let tries = match (module.failures, module.interruptions) {
        (0, 0) => module.attempts.to_string(),
        (failed, cut) => format!("{}; in this run {failed} failed, {cut} cut short", module.attempts),
    };
    field(&mut lines, "attempts", tries);
    field(&mut lines, "function", &module.function);
    wrapped(&mut lines, "after", &module.depends_on.join(", "), Tone::Plain, width);
    field(&mut lines, "started", module.started_at.clone().unwrap_or_default());
    field(&mut lines, "ended", module.ended_at.clone().unwrap_or_default());
    lines
}

fn port(port: &TaskPort) -> String {
    let inner = format!("{}/{}", port.container, port.protocol.as_deref().unwrap_or("tcp"));
    port.host.map_or(inner.clone(), |host| format!("{host} → {inner}"))
}

fn check(check: &HealthCheck) -> String {
    let what = [check.path.clone(), check.port.map(|port| format!("port {port}")), Some(check.command.join(" "))];
    let what: Vec<String> = what.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    format!("{} {}", check.kind, what.join(" ")).trim_end().to_string()
}

/// A field whose value may take several lines.
fn wrapped(lines: &mut Vec<Spans>, label: &str, value: &str, tone: Tone, width: usize) {
    for (at, part) in text::wrap(value, width.saturating_sub(LABEL + 1)).into_iter().enumerate() {
        match at {
            0 => toned(lines, label, part, tone),
            _ => lines.push(vec![(" ".repeat(LABEL + 1), Tone::Dim), (part, tone)]),
        }
    }
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
