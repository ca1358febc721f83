//! `/metrics` of a worker: what it runs, and what its machine uses.

use super::text::Text;
use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::limits::Of;
use crate::worker::Worker;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// `GET /metrics`
pub fn get(worker: &Worker) -> Result<Reply, Problem> {
    Ok(super::reply(worker, Of::Worker, |text| {
        membership(text, worker);
        work(text, worker);
        machine(text, worker);
    }))
}

fn membership(text: &mut Text, worker: &Worker) {
    text.gauge("cares_worker_joined", "1 while it is a member of its cluster.")
        .is(&[], u8::from(worker.membership.joined()));
    let engines = worker.pool().engines.state().names;
    let up = ["process", "docker"].map(|engine| (engine, u8::from(engines.iter().any(|name| name == engine))));
    text.gauge("cares_worker_engine_up", "1 for each engine that it can run things with.").each("engine", up);
}

fn work(text: &mut Text, worker: &Worker) {
    let pool = worker.pool();
    text.gauge("cares_worker_slots", "Calls it takes at once.").is(&[], pool.slots());
    text.gauge("cares_worker_slots_used", "Of these, such as run.").is(&[], pool.in_flight());
    let mut instances = BTreeMap::from([("starting", 0_u64), ("warm", 0), ("frozen", 0)]);
    let mut jobs = 0;
    for work in pool.work() {
        match instances.get_mut(work.status.as_str()).filter(|_| work.kind == "instance") {
            Some(count) => *count += 1,
            None => jobs += 1,
        }
    }
    text.gauge("cares_worker_instances", "Instances by state.").each("state", instances);
    text.gauge("cares_worker_jobs", "Jobs that run.").is(&[], jobs);
    let (kept, running) = pool.tasks.count();
    text.gauge("cares_worker_tasks", "Tasks that are known here.").is(&[], kept);
    text.gauge("cares_worker_tasks_running", "Of these, such as run.").is(&[], running);
    text.counter("cares_worker_instance_starts_total", "Instances that it was told to start.")
        .is(&[], pool.starts.load(Ordering::Relaxed));
    text.counter("cares_worker_instance_crashes_total", "Instances that did not come up, or ended by themselves.")
        .is(&[], pool.crashes.load(Ordering::Relaxed));
    text.counter("cares_worker_jobs_total", "Jobs that were begun.").is(&[], pool.jobs.begun());
}

fn machine(text: &mut Text, worker: &Worker) {
    let vitals = worker.vitals();
    // A value that cannot be read is left out, as it is everywhere.
    if let Some(percent) = vitals.cpu_percent {
        text.gauge("cares_worker_cpu_usage_ratio", "Of the cores it may use, 0 to 1.").is(&[], percent / 100.0);
    }
    if let Some(percent) = vitals.memory_percent {
        text.gauge("cares_worker_memory_usage_ratio", "Of the memory it may use, 0 to 1.").is(&[], percent / 100.0);
    }
    let metrics = worker.metrics();
    text.gauge("cares_worker_memory_bytes", "Memory it may use.").is(&[], metrics.memory_total);
    text.gauge("cares_worker_disk_bytes", "Size of the file system of its data.").is(&[], metrics.disk_total);
    text.gauge("cares_worker_disk_usage_bytes", "Of this, what is in use.").is(&[], metrics.disk_usage);
}
