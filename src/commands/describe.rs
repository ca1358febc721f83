//! `cares describe`: all there is to know of a function. Must never change anything.

use super::{Outcome, connect};
use crate::cli::{Describe, Format};
use crate::output;
use crate::types::{CallRecord, Files, Function, Isolation, Syscalls};
use std::collections::BTreeMap;

/// Calls shown.
const CALLS: u32 = 5;

pub fn run(flags: &Describe) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let function = client.function(&flags.name)?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&function)?,
        Format::Name => format!("{}\n", function.name),
        _ => text(&function, &client.calls(Some(&flags.name), None, CALLS)?),
    };
    Ok(output::print(&text)?)
}

fn text(f: &Function, calls: &[CallRecord]) -> String {
    let call = |c: &CallRecord| {
        let node = c.node.as_deref().unwrap_or("no node");
        format!("{} {} {} on {node} {:.1}ms", c.id, c.started_at, c.status, c.duration_ms)
    };
    let instance = |i: &crate::types::Instance| {
        let pull = i.pull.as_ref().map(|pull| format!(", {pull}")).unwrap_or_default();
        format!("{} on {} revision {} {} in flight {}{pull}", i.id, i.node, i.revision, i.status, i.in_flight)
    };
    let memory = f.memory_mb.map_or("no limit of its own".to_string(), |mb| format!("{mb}MiB"));
    let revisions = f.revisions.iter().map(made);
    output::fields(&[
        ("Name", f.name.clone()),
        ("Description", f.description.clone()),
        ("Status", f.status.clone()),
        ("Mode", f.mode.word().to_string()),
        ("Image", f.image.clone()),
        ("Command", f.command.join(" ")),
        ("Revision", revision(f)),
        ("Invoke", f.invoke_path.clone()),
        ("Timeout", format!("{}s", f.timeout_s)),
        ("Memory", memory),
        ("CPU", f.cpu.map_or("no limit of its own".to_string(), |cpu| format!("{cpu} cores"))),
        ("Isolation", isolation(f.isolation.unwrap_or_default())),
        ("Concurrency", f.concurrency.to_string()),
        ("Limits", limits(f)),
        ("Instances", format!("{} (min {}, ready {}, max {})", f.instances.len(), f.min, f.ready, f.max)),
        ("Idle", format!("frozen after {}s, stopped after {}s", f.freeze_s, f.idle_s)),
        ("Running", f.instances.iter().map(instance).collect::<Vec<_>>().join("\n")),
        ("Calls", format!("{} ({} failed, {} in flight)", f.calls, f.failures, f.in_flight)),
        ("Half within", f.p50_ms.map_or(String::new(), |ms| format!("{ms:.1}ms"))),
        ("Last calls", calls.iter().map(call).collect::<Vec<_>>().join("\n")),
        ("Last error", f.last_error.clone().unwrap_or_default()),
        ("Last event", f.last_event.as_ref().map(|e| format!("{} {}", e.time, e.message)).unwrap_or_default()),
        ("Schedule", f.schedule.as_ref().map(schedule).unwrap_or_default()),
        ("Environment", pairs(&f.env)),
        ("Secrets", secrets(f)),
        ("Labels", pairs(&f.labels)),
        ("Needs", needs(f)),
        ("Created", f.created_at.clone()),
        ("Updated", f.updated_at.clone()),
        ("Revisions", revisions.collect::<Vec<_>>().join("\n")),
    ])
}

/// A revision: when, by whom and of what.
fn made(r: &crate::types::Revision) -> String {
    let by = if r.by.is_empty() { String::new() } else { format!(" by {}", r.by) };
    format!("{} {} {}{by} {}", r.revision, r.status, r.created_at, r.image)
}

/// Those of its own.
fn limits(f: &Function) -> String {
    let rate = f.rate_per_s.map(|n| format!("{n} calls a second"));
    let calls = f.calls_at_once.map(|n| format!("{n} calls at once"));
    rate.into_iter().chain(calls).collect::<Vec<_>>().join(", ")
}

fn isolation(of: Isolation) -> String {
    let mut said = vec![match of.files {
        Some(Files::Open) => "files open".to_string(),
        _ => "files private".to_string(),
    }];
    said.extend((of.syscalls == Some(Syscalls::All)).then(|| "all system calls".to_string()));
    said.extend(of.pids.map(|pids| format!("{pids} processes")));
    said.extend(of.tmp_mb.map(|mb| format!("{mb}MiB of temporary files")));
    said.join(", ")
}

fn schedule(s: &crate::types::Schedule) -> String {
    let or = |time: &Option<String>| time.clone().unwrap_or_else(|| output::NONE.to_string());
    let call = s.last_call.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    let skipped = s.last_skipped.as_ref().map(|why| format!("\nskipped: {why}")).unwrap_or_default();
    let rules = format!("missed: {}, overlap: {}", s.missed, s.overlap);
    let runs = format!("last {}{call}\nnext {}", or(&s.last_run_at), or(&s.next_run_at));
    format!("{} {} ({rules})\n{runs}{skipped}", s.expression, s.zone)
}

/// The newest, and which one serves if that is another.
fn revision(f: &Function) -> String {
    let failed = f.revisions.first().is_some_and(|newest| newest.status == "failed");
    match (f.serving == f.revision, failed) {
        (true, _) => f.revision.to_string(),
        (false, false) => format!("{} (calls run {})", f.revision, f.serving),
        (false, true) => format!(
            "{} (calls run {})\nit did not start, see the last error. Next: deploy another, or cares rollback {}",
            f.revision, f.serving, f.name
        ),
    }
}

fn needs(f: &Function) -> String {
    let c = &f.constraints;
    let mut needs = Vec::new();
    needs.extend(c.os.iter().map(|os| format!("os={os}")));
    needs.extend(c.arch.iter().map(|arch| format!("arch={arch}")));
    needs.extend(c.tools.iter().map(|tool| format!("tool={tool}")));
    needs.extend(c.tags.iter().map(|(key, value)| format!("tag:{key}={value}")));
    needs.join("\n")
}

/// What is a secret, and which; never its value.
fn secrets(f: &Function) -> String {
    let env = f.secrets.env.iter().map(|(variable, secret)| format!("{variable} is {secret}"));
    let files = f.secrets.files.iter().map(|(file, secret)| format!("file {file} is {secret}"));
    env.chain(files).collect::<Vec<_>>().join("\n")
}

/// `A=1` lines.
pub fn pairs(pairs: &BTreeMap<String, String>) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}
