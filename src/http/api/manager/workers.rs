//! `/api/v1/manager/workers`, `cluster`, `metrics`: the nodes by the names of this face, and the cluster in numbers.

use super::super::page::{Page, Piece, ROWS};
use super::super::{modules, nodes};
use crate::body::Body;
use crate::clock;
use crate::cluster::{Cluster, Node, NodeStatus, TaskState};
use crate::http::openapi::{AFTER, Answer, Content, LIMIT, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed};
use crate::http::watch::Feed;
use crate::orchestrator::{Orchestrator, tasks};
use crate::types::{ClusterStatus, ManagerMetrics, NodeInfo, WorkerCounts, WorkerMetrics, WorkerState, WorkerStatus};
use hyper::Response;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listManagerWorkers",
    tag: "workers",
    summary: "All workers with the tasks they have, by id",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<WorkerStatus>>()])],
    ..Operation::NONE
};

/// `GET /api/v1/manager/workers`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = |worker: &WorkerStatus| worker.id.clone();
    let page = Page::of_cluster(call, ROWS, &app.state, id, |cluster, behind, most| {
        Piece::of(cluster.nodes_behind(behind), most, |n| &n.spec.id, |node| Some(view(node, cluster)))
    });
    Ok(page?.reply())
}

/// `GET /api/v1/manager/workers?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    app.watches.workers.answer(&app.state, &app.watches.places, &asked)
}

/// All workers as they change.
pub fn feed() -> Arc<Feed<WorkerStatus>> {
    Feed::new(
        |cluster, behind, most| cluster.nodes_behind(behind).take(most).map(|node| view(node, cluster)).collect(),
        |worker| &worker.id,
    )
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getManagerWorker",
    tag: "workers",
    summary: "One worker, by id or name",
    answers: &[Answer::of(200, "The worker.").with(&[Content::json::<WorkerStatus>()])],
    errors: &["node_not_found"],
    ..Operation::NONE
};

/// `GET /api/v1/manager/workers/ID`, by id or name
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = call.param(0);
    let worker = app.state.read(|c| c.find_node(id).map(|node| view(node, c)));
    worker.map(|worker| Reply::json(200, &worker)).ok_or_else(|| Problem::no_node_named(id))
}

/// What the document says of this: as where workers over HTTP register; all others join by themselves.
pub const REGISTER: Operation = Operation { id: "registerManagerWorker", ..modules::REGISTER };

/// What the document says of this.
pub const REMOVE: Operation = Operation { id: "removeManagerWorker", tag: "workers", ..nodes::REMOVE };

/// What the document says of this.
pub const METRICS: Operation = Operation {
    id: "getManagerMetrics",
    tag: "workers",
    summary: "The cluster in numbers: workers and tasks by state, what there is, is used and is reserved",
    answers: &[Answer::of(200, "Sums over all workers that are there.").with(&[Content::json::<ManagerMetrics>()])],
    ..Operation::NONE
};

/// What the document says of this.
pub const CLUSTER: Operation = Operation {
    id: "getManagerCluster",
    tag: "workers",
    summary: "Which cluster this is, how a machine joins it, and whether it has workers that take work",
    answers: &[Answer::of(200, "The cluster.").with(&[Content::json::<ClusterStatus>()])],
    ..Operation::NONE
};

/// `GET /api/v1/manager/cluster`
pub fn cluster(app: &Orchestrator) -> Result<Reply, Problem> {
    let (workers, tasks, functions) =
        app.state.read(|cluster| (workers_in(cluster), tasks_in(cluster), cluster.functions().count() as u64));
    let status = if workers.idle + workers.busy > 0 { "healthy" } else { "unavailable" }.to_string();
    let status = ClusterStatus { cluster: super::super::cluster::view(app), status, workers, tasks, functions };
    Ok(Reply::json(200, &status))
}

fn workers_in(cluster: &Cluster) -> WorkerCounts {
    let mut counts = WorkerCounts::default();
    for node in cluster.nodes() {
        *match state(node) {
            WorkerState::Idle => &mut counts.idle,
            WorkerState::Busy => &mut counts.busy,
            WorkerState::Offline => &mut counts.offline,
            WorkerState::Maintenance => &mut counts.maintenance,
        } += 1;
    }
    counts
}

fn tasks_in(cluster: &Cluster) -> BTreeMap<String, u64> {
    let count = |state| (tasks::phase(state).to_string(), cluster.tasks_in(state) as u64);
    TaskState::ALL.into_iter().map(count).collect()
}

/// `GET /api/v1/manager/metrics`
pub fn metrics(app: &Orchestrator) -> Result<Reply, Problem> {
    let uptime_ms = clock::unix_ms().saturating_sub(app.started_unix_ms);
    let metrics = app.state.read(|cluster| {
        let mut sums = ManagerMetrics { uptime: uptime_ms.saturating_mul(1_000_000), ..ManagerMetrics::default() };
        sums.workers = workers_in(cluster);
        for node in cluster.nodes().filter(|node| node.status != NodeStatus::Disconnected) {
            let (memory, cpus, disk) = node.reserved();
            sums.cpus += u64::from(node.spec.cpus);
            sums.cpus_used += f64::from(node.spec.cpus) * node.cpu_percent.unwrap_or(0.0) / 100.0;
            sums.cpus_reserved += cpus;
            sums.memory_total += node.spec.memory_bytes;
            sums.memory_usage += used(node);
            sums.memory_reserved += memory;
            sums.disk_total += node.spec.disk_bytes;
            sums.disk_usage += node.disk_used;
            sums.disk_reserved += disk;
        }
        sums.tasks = tasks_in(cluster);
        sums
    });
    Ok(Reply::json(200, &metrics))
}

fn used(node: &Node) -> u64 {
    (node.memory_percent.unwrap_or(0.0) / 100.0 * node.spec.memory_bytes as f64) as u64
}

fn state(node: &Node) -> WorkerState {
    match node.status {
        NodeStatus::Disconnected => WorkerState::Offline,
        NodeStatus::Draining => WorkerState::Maintenance,
        NodeStatus::Active if node.cordoned => WorkerState::Maintenance,
        NodeStatus::Active if node.running > 0 || node.tasks().next().is_some() => WorkerState::Busy,
        NodeStatus::Active => WorkerState::Idle,
    }
}

fn view(node: &Node, cluster: &Cluster) -> WorkerStatus {
    let spec = &node.spec;
    let there = node.status != NodeStatus::Disconnected;
    let tasks: Vec<_> =
        node.tasks().filter_map(|key| cluster.task(key)).map(|task| tasks::summary(task, cluster)).collect();
    WorkerStatus {
        id: spec.id.clone(),
        name: spec.name.clone(),
        status: state(node),
        node: NodeInfo {
            id: spec.id.clone(),
            name: spec.name.clone(),
            address: spec.address.clone(),
            hostname: spec.hostname.clone(),
            os: spec.os.clone(),
            arch: spec.arch.clone(),
            cpus: spec.cpus,
            memory_bytes: spec.memory_bytes,
            disk_bytes: spec.disk_bytes,
            engines: spec.engines.iter().cloned().collect(),
            tools: spec.tools.iter().cloned().collect(),
            tags: spec.tags.clone(),
            devices: spec.devices.iter().cloned().collect(),
            version: spec.version.clone(),
        },
        metrics: WorkerMetrics {
            cpu_usage: node.cpu_percent.filter(|_| there).unwrap_or(0.0),
            memory_usage: if there { used(node) } else { 0 },
            memory_total: spec.memory_bytes,
            disk_usage: if there { node.disk_used } else { 0 },
            disk_total: spec.disk_bytes,
            task_count: tasks.len() as u64,
            tasks_running: tasks.len() as u64,
            uptime: if there { node.last_seen.saturating_sub(node.joined_at).saturating_mul(1_000_000) } else { 0 },
        },
        tasks,
        last_seen: clock::rfc3339(clock::unix_ms_at(node.last_seen)),
    }
}
