//! `/metrics` of an orchestrator: calls, functions, nodes, what waits, the store. One noun a function; the cluster's lock
//! is held for a few functions at a time.

use super::text::Text;
use crate::cluster::{Cluster, FunctionKey, Meter, NodeStatus, TaskState};
use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::limits::Of;
use crate::orchestrator::{Orchestrator, tasks};
use std::sync::Arc;

/// Functions with series of their own, those made first: each has some thirty, and who scrapes keeps them all. What
/// happens to the others is in the sums over all functions.
pub const FUNCTIONS: usize = 500;
/// Functions read at once: calls wait meanwhile.
const AT_ONCE: usize = 50;

/// `GET /metrics`
pub fn get(app: &Orchestrator) -> Result<Reply, Problem> {
    Ok(super::reply(app, Of::Orchestrator, |text| {
        calls(text, app);
        functions(text, app);
        nodes(text, app);
        work(text, app);
        store(text, app);
        certificates(text, app);
    }))
}

const OUTCOMES: [&str; 3] = ["succeeded", "failed", "refused"];

fn outcomes(meter: &Meter) -> [u64; 3] {
    [meter.took.count() - meter.failures, meter.failures, meter.refused]
}

/// Of all functions, also of those that are gone or have no series.
fn calls(text: &mut Text, app: &Orchestrator) {
    let (meter, waiting, under_way) =
        app.state.read(|c| (*c.meter(), c.calls_waiting() as u64, c.calls_under_way() as u64));
    text.counter(
        "cares_calls_total",
        "Calls by outcome, attempts of asynchronous ones among them; refused: not taken in.",
    )
    .each("outcome", OUTCOMES.into_iter().zip(outcomes(&meter)));
    text.histogram("cares_call_duration_seconds", "Calls that ended, from acceptance to the last byte.")
        .took(&[], &meter.took);
    text.gauge("cares_calls", "Calls that have not ended, by state.")
        .each("state", [("waiting", waiting), ("running", under_way.saturating_sub(waiting))]);
    text.counter("cares_cold_calls_total", "Calls that waited for an instance to start, as none was up.")
        .is(&[], meter.cold);
    text.counter("cares_instance_starts_total", "Instances that were started.").is(&[], meter.starts);
    text.counter("cares_instance_crashes_total", "Instances that did not come up, or ended by themselves.")
        .is(&[], meter.crashes);
}

struct Row {
    name: Arc<str>,
    meter: Meter,
    waiting: u64,
    running: u64,
    instances: [(&'static str, u64); 4],
}

fn rows(app: &Orchestrator) -> Vec<Row> {
    let (mut rows, mut behind) = (Vec::new(), FunctionKey(0));
    while rows.len() < FUNCTIONS {
        let before = rows.len();
        app.state.read(|c| {
            for function in c.functions_after(behind).take(AT_ONCE.min(FUNCTIONS - before)) {
                behind = function.key;
                rows.push(Row {
                    name: function.name.clone(),
                    meter: function.meter,
                    waiting: function.queue.len() as u64,
                    running: function.running,
                    instances: c.instances_by_state(function),
                });
            }
        });
        if rows.len() == before {
            break;
        }
    }
    rows
}

fn functions(text: &mut Text, app: &Orchestrator) {
    let all = app.state.read(Cluster::function_count);
    let rows = rows(app);
    text.gauge("cares_functions", "Functions that are registered.").is(&[], all);
    text.gauge("cares_functions_without_series", "Of these, such as are only in the sums: there are too many.")
        .is(&[], all.saturating_sub(rows.len()));
    let mut family = text.counter("cares_function_calls_total", "Calls by function and outcome.");
    for row in &rows {
        for (outcome, count) in OUTCOMES.into_iter().zip(outcomes(&row.meter)) {
            family.is(&[("function", &row.name), ("outcome", outcome)], count);
        }
    }
    let mut family = text.histogram(
        "cares_function_duration_seconds",
        "Calls of a function that ended, from acceptance to the last byte.",
    );
    for row in &rows {
        family.took(&[("function", &row.name)], &row.meter.took);
    }
    let mut family = text.gauge("cares_function_calls", "Calls of a function that have not ended, by state.");
    for row in &rows {
        for (state, count) in [("waiting", row.waiting), ("running", row.running)] {
            family.is(&[("function", &row.name), ("state", state)], count);
        }
    }
    let mut family = text.gauge("cares_function_instances", "Instances of a function by state.");
    for row in &rows {
        for (state, count) in row.instances {
            family.is(&[("function", &row.name), ("state", state)], count);
        }
    }
    type Count = fn(&Meter) -> u64;
    let counted: [(&str, &str, Count); 3] = [
        ("cares_function_cold_calls_total", "Calls of a function that waited for an instance to start.", |m| m.cold),
        ("cares_function_instance_starts_total", "Instances of a function that were started.", |m| m.starts),
        (
            "cares_function_instance_crashes_total",
            "Instances of a function that did not come up, or ended by themselves.",
            |m| m.crashes,
        ),
    ];
    for (name, help, count) in counted {
        text.counter(name, help).each("function", rows.iter().map(|row| (&*row.name, count(&row.meter))));
    }
}

fn nodes(text: &mut Text, app: &Orchestrator) {
    let (states, slots, used) = app.state.read(|c| {
        let (mut states, mut slots, mut used) = ([0_u64; 4], 0, 0);
        for node in c.nodes() {
            states[match node.status {
                NodeStatus::Active if node.cordoned => 1,
                NodeStatus::Active => 0,
                NodeStatus::Draining => 2,
                NodeStatus::Disconnected => 3,
            }] += 1;
            if node.status != NodeStatus::Disconnected {
                slots += u64::from(node.spec.slots);
                used += u64::from(node.running);
            }
        }
        (states, slots, used)
    });
    text.gauge("cares_nodes", "Nodes by state; cordoned: active, and given nothing new.")
        .each("state", ["active", "cordoned", "draining", "disconnected"].into_iter().zip(states));
    text.gauge("cares_slots", "Calls that the nodes which are there take at once.").is(&[], slots);
    text.gauge("cares_slots_used", "Of these, such as run.").is(&[], used);
}

/// What is to be done some time: asynchronous calls, tasks, pipelines, builds.
fn work(text: &mut Text, app: &Orchestrator) {
    let [waiting, running, ended @ ..] = app.queue.count();
    text.gauge("cares_async_calls", "Asynchronous calls that have not ended, by state.")
        .each("state", [waiting, running]);
    text.counter("cares_async_calls_ended_total", "Asynchronous calls that ended, by outcome.").each("outcome", ended);
    let tasks = app.state.read(|c| TaskState::ALL.map(|state| (tasks::phase(state).to_string(), c.tasks_in(state))));
    text.gauge("cares_tasks", "Tasks that are kept, by state.")
        .each("state", tasks.iter().map(|(state, count)| (state.as_str(), count)));
    text.gauge("cares_pipelines", "Pipelines that are kept, by state.").each("state", app.pipelines.count());
    text.gauge("cares_builds", "Builds that are kept, by state.").each("state", app.builds.count());
}

fn store(text: &mut Text, app: &Orchestrator) {
    let meter = app.store.meter();
    text.gauge("cares_store_writable", "1 while what is changed is kept; 0 while the disk fails.")
        .is(&[], u8::from(app.store.trouble().is_none()));
    text.counter("cares_store_writes_total", "Writes that are on disk.").is(&[], meter.writes);
    text.counter("cares_store_commit_failures_total", "Commits that the disk did not take.").is(&[], meter.failures);
    text.histogram("cares_store_commit_duration_seconds", "Commits, each of one write or many, fsync included.")
        .took(&[], &meter.commits);
}

fn certificates(text: &mut Text, app: &Orchestrator) {
    let https = app.pair.as_ref().and_then(|pair| pair.validity()).map(|validity| ("https", validity));
    let all = https.into_iter().chain([("nodes", app.identities.port.validity())]);
    text.gauge(
        "cares_certificate_expires_timestamp_seconds",
        "Until when a certificate that is shown is good, since 1970.",
    )
    .each("certificate", all.map(|(name, validity)| (name, validity.expires_unix_ms() / 1_000)));
}
