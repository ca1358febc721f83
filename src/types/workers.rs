//! The public JSON of workers, with the names the Cube specification gives. No behaviour.

use super::{Cluster, TaskSummary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One worker: `GET /api/v1/worker/status`, and the manager's `workers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// The node's id.
    pub id: String,
    pub name: String,
    pub status: WorkerState,
    pub node: NodeInfo,
    pub metrics: WorkerMetrics,
    pub tasks: Vec<TaskSummary>,
    /// RFC 3339, UTC.
    pub last_seen: String,
}

/// What a worker uses: `GET /api/v1/worker/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerMetrics {
    /// Percent of all cores; 0 when it could not be read.
    pub cpu_usage: f64,
    /// Bytes; so are the next three. 0 when they could not be read.
    pub memory_usage: u64,
    pub memory_total: u64,
    /// Of the disk its data folder is on.
    pub disk_usage: u64,
    pub disk_total: u64,
    /// Tasks it has, ended ones too.
    pub task_count: u64,
    /// Of these, not ended.
    pub tasks_running: u64,
    /// Nanoseconds.
    pub uptime: u64,
}

/// Whether a worker takes tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    #[default]
    Idle,
    /// Something runs on it.
    Busy,
    Offline,
    /// Cordoned or drained: it gets nothing new.
    Maintenance,
}

/// What a worker's machine is and has: `GET /api/v1/worker/info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    pub id: String,
    pub name: String,
    pub address: String,
    pub hostname: String,
    pub os: String,
    pub arch: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// Of the disk its data folder is on.
    pub disk_bytes: u64,
    pub engines: Vec<String>,
    pub tools: Vec<String>,
    pub tags: BTreeMap<String, String>,
    /// That tasks can be given: `gpu`, `/dev/ttyUSB0`.
    pub devices: Vec<String>,
    pub version: String,
}

/// A cluster and how it is: `GET /api/v1/manager/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterStatus {
    #[serde(flatten)]
    pub cluster: Cluster,
    /// `healthy`: a worker at least takes work; `unavailable`: none does.
    #[serde(default)] // the release before does not say
    pub status: String,
    #[serde(default)]
    pub workers: WorkerCounts,
    /// By state.
    #[serde(default)]
    pub tasks: BTreeMap<String, u64>,
    #[serde(default)]
    pub functions: u64,
}

/// The cluster in numbers: `GET /api/v1/manager/metrics`. Sizes in bytes, processors in cores, over all workers that are there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManagerMetrics {
    pub workers: WorkerCounts,
    /// By state.
    pub tasks: BTreeMap<String, u64>,
    pub cpus: u64,
    pub cpus_used: f64,
    /// By tasks.
    pub cpus_reserved: f64,
    pub memory_total: u64,
    pub memory_usage: u64,
    /// By tasks.
    pub memory_reserved: u64,
    pub disk_total: u64,
    #[serde(default)]
    pub disk_usage: u64,
    /// By tasks.
    pub disk_reserved: u64,
    /// Of the orchestrator, in nanoseconds.
    pub uptime: u64,
}

/// Workers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCounts {
    pub idle: u64,
    pub busy: u64,
    pub offline: u64,
    pub maintenance: u64,
}
