//! The public JSON of a worker as it sees itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker as it sees itself: `GET /status` on its own address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The node's id.
    pub id: String,
    pub name: String,
    /// The orchestrator's gRPC address.
    pub orchestrator: String,
    /// `connecting`, `joined`, `waiting` (until it tries again) or `leaving`.
    pub status: String,
    /// The cluster's id, once it has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Until when its certificate is good, if it has one; RFC 3339, UTC. It is renewed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<String>,
    /// Why it is not joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Milliseconds until it tries again, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// Percent of all cores; null when it could not be read.
    pub cpu_percent: Option<f64>,
    /// Percent; null when it could not be read.
    pub memory_percent: Option<f64>,
    pub slots: u32,
    pub running: u32,
    pub job_slots: u32,
    pub jobs: u32,
    pub engines: Vec<String>,
    /// Why an engine that was looked for cannot be used, and the fix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine_trouble: String,
    /// What runs here: instances with their calls in flight, jobs, and tasks.
    pub work: Vec<Work>,
}

/// One thing that runs on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// The instance's, the call's or the task's id.
    pub id: String,
    /// Or the task's name.
    pub function: String,
    /// The module of a pipeline that a job is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// `instance`, `job` or `task`.
    pub kind: String,
    /// An instance's: `starting`, `warm`, …; a job's: `running`; a task's state.
    pub status: String,
    pub in_flight: u32,
}
