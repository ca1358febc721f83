//! The public JSON: what the REST API takes and answers, shared by server, client library and CLI. No behaviour.

mod builds;
mod calls;
mod cluster;
mod isolation;
mod logs;
mod member;
mod modules;
mod pipelines;
mod platform;
mod secrets;
mod tasks;
mod tokens;
mod workers;

pub use builds::Build;
pub use calls::{Call, CallRecord, Callback, Schedule};
pub use cluster::Cluster;
pub use isolation::{Files, Isolation, Syscalls};
pub use logs::{LogLine, LogRecord};
pub use member::{Member, Work};
pub use tasks::{
    HealthCheck, ImagePull, RestartPolicy, TaskPhase, TaskPort, TaskRequest, TaskResponse, TaskStatus, TaskSummary,
    TaskVolume,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use modules::{
    Done, ModuleCancellation, ModuleExecution, ModuleResult, OrchestratorHealth, WorkerAcknowledged,
    WorkerCapabilities, WorkerHealth, WorkerHeartbeat, WorkerNode, WorkerRegistered, WorkerRegistration,
};
pub use pipelines::{ModuleSpec, Pipeline, PipelineAccepted, PipelineModule, PipelineSpec};
pub use platform::{Deleted, PlatformFunction, Registration};
pub use secrets::{Secret, Secrets};
pub use tokens::{JoinTokenSpec, Token, TokenMade, TokenSpec};
pub use workers::{ClusterStatus, ManagerMetrics, NodeInfo, WorkerCounts, WorkerMetrics, WorkerState, WorkerStatus};

/// How an image is run. `Auto` until the first run tells which of the two it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not known yet: an image that exposes a port is http, any other a job.
    #[default]
    Auto,
    /// Serves HTTP/1.1 on `$PORT` and is kept warm.
    Http,
    /// Runs to completion for each call; stdin is the request's body, stdout the answer.
    Job,
}

impl Mode {
    /// The word people and programs see.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Http => "http",
            Mode::Job => "job",
        }
    }
}

/// What a node must be or have to be given a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Operating system, as Rust names it: `linux`, `macos`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Processor architecture, as Rust names it: `x86_64`, `aarch64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Programs that must be installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Tags that must be set to just these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Settings of a function: the body of `POST /functions` and `PUT /functions/NAME`, and (with `command`) `function.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`; may be left out where the path already says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(pattern = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$"))]
    pub name: String,
    /// An image reference, or `bundle:DIGEST`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Replaces the image's own command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// Seconds from acceptance to the first byte of the answer, then between bytes; more than 0, at most 86,400. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "timeout")]
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub timeout_s: Option<f64>,
    /// MiB one instance or job may use; 1 to 16,777,216. Default: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "memory")]
    #[schemars(range(min = 1, max = 16777216))]
    pub memory_mb: Option<u64>,
    /// Cores one instance or job may use; more than 0, at most 4,096. Default: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 4096.0))]
    pub cpu: Option<f64>,
    /// Left out: as far as the node can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Calls one http instance takes at once; 1 to 10,000. Default 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub concurrency: Option<u32>,
    /// Instances kept even when idle, and never frozen; at most `max`. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub min: Option<u32>,
    /// Instances kept even when idle, though they may be frozen; at most `max`. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub ready: Option<u32>,
    /// Instances at most, over all nodes; 1 to 10,000. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max: Option<u32>,
    /// Seconds without a call after which an instance is stopped; at most 604,800. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 604800.0))]
    pub idle_s: Option<f64>,
    /// Seconds without a call after which an instance is frozen: it uses no processor, and the next call wakes it; at
    /// most 604,800. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 604800.0))]
    pub freeze_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Constraints>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// At most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Attempts of an asynchronous call that may end by the function's own fault; 1 to 20. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: Option<u32>,
    /// When it is called by itself: `minute hour day-of-month month day-of-week` or `@hourly`, …; empty: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Of the schedule: an IANA time zone. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "timezone")]
    pub schedule_zone: Option<String>,
    /// Of times that nobody was there for: `run` (once, the default) or `skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_missed: Option<String>,
    /// While the call before has not ended: `skip` (the default) or `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_overlap: Option<String>,
    /// Anybody may call it, also without a token. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Calls a second, of all callers together; 1 to 1,000,000. Default: `requests-per-s-function` of the orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
    /// Calls at once that run or wait, of all callers together; 1 to 10,000,000. Default: `calls-per-function` of the
    /// orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_at_once: Option<u32>,
}

/// The answer to `POST /functions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// Always `success`; failures are problems.
    pub status: String,
    pub invoke_path: String,
    pub name: String,
    pub revision: u64,
}

/// The answer to `PUT /functions/NAME/bundle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundleStored {
    pub name: String,
    pub revision: u64,
    /// `bundle:DIGEST`, valid as an image everywhere.
    pub image: String,
    pub invoke_path: String,
}

/// One function, as `GET /functions` and `GET /functions/NAME` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Function {
    pub name: String,
    pub image: String,
    pub mode: Mode,
    /// The newest one, which all settings here are of.
    pub revision: u64,
    /// The one that new calls run: an older one until the newest has answered, and if that fails to start.
    #[serde(default)]
    pub serving: u64,
    /// `idle` (no instance), `starting`, `running`, `failing` (the last start failed), `stopped` (by somebody, until it is
    /// started) or `no-image` (none was given yet).
    pub status: String,
    pub invoke_path: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Their names alone.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
    pub timeout_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// What differs from the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    pub concurrency: u32,
    pub min: u32,
    #[serde(default)]
    pub ready: u32,
    pub max: u32,
    pub idle_s: f64,
    #[serde(default)]
    pub freeze_s: f64,
    #[serde(default)]
    pub constraints: Constraints,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Anybody may call it.
    #[serde(default)]
    pub public: bool,
    /// Calls a second at most, if it has a limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
    /// Calls at once at most, if it has a limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_at_once: Option<u32>,
    /// RFC 3339, UTC; of the first revision.
    pub created_at: String,
    /// RFC 3339, UTC; of this revision.
    pub updated_at: String,
    pub instances: Vec<Instance>,
    /// Calls being answered or waiting now.
    pub in_flight: u64,
    /// Calls answered since the orchestrator started.
    pub calls: u64,
    /// Of these, failed.
    pub failures: u64,
    /// Milliseconds half of the last calls (64 at most) took at most; null when there was none since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// Why the last start or call failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What was last told of it, also before a restart; in no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// Newest first; kept for going back.
    pub revisions: Vec<Revision>,
}

/// An event, as the function it is of shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastEvent {
    /// RFC 3339, UTC.
    pub time: String,
    /// As in `/events`.
    pub kind: String,
    pub message: String,
}

/// One revision of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    pub revision: u64,
    pub image: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// `serving`, `starting` (takes over once it answers), `failed` (did not start) or `kept`.
    #[serde(default)]
    pub status: String,
    /// Who made it: a token's name, or the address it was asked from; empty: not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// The body of `POST /functions/NAME/scale`; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub ready: Option<u32>,
}

/// The body of `POST /functions/NAME/rollback`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision to go back to; left out: what served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// One running copy of an http function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    pub id: String,
    /// The node's id.
    pub node: String,
    pub revision: u64,
    /// `starting`, `warm`, `frozen` (the next call wakes it) or `draining`.
    pub status: String,
    pub in_flight: u32,
    /// While its node gets the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<ImagePull>,
}

/// One instance as its worker sees it: `GET /instances` on the worker's own address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunningInstance {
    pub id: String,
    pub function: String,
    pub revision: u64,
    /// In use now; null where the engine cannot tell.
    pub memory_bytes: Option<u64>,
    /// Of all cores together, since its start; null where the engine cannot tell.
    pub cpu_seconds: Option<f64>,
    /// Uses no processor until the next call.
    #[serde(default)]
    pub frozen: bool,
}

/// One node, as `GET /nodes` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    pub id: String,
    pub name: String,
    /// `active`, `draining` or `disconnected`.
    pub status: String,
    /// Gets nothing new; what runs goes on.
    pub cordoned: bool,
    pub address: String,
    pub hostname: String,
    pub os: String,
    pub arch: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub tools: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub engines: Vec<String>,
    /// Why an engine that was looked for cannot be used, and the fix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine_trouble: String,
    pub version: String,
    /// Percent of all cores; null when it could not be read or the node is disconnected.
    pub cpu_percent: Option<f64>,
    /// Percent; null when it could not be read or the node is disconnected.
    pub memory_percent: Option<f64>,
    /// Calls at once.
    pub slots: u32,
    /// Of these, jobs at once.
    pub job_slots: u32,
    pub running: u32,
    pub succeeded: u64,
    pub failed: u64,
    /// RFC 3339, UTC.
    pub last_seen: String,
    /// How calls reach it: `links` (its own connections), `first-generation` (a worker of the first CARES, called at its
    /// address; it runs images as jobs, without command, env and body), or `none` before either is known.
    pub reach: String,
}

/// One cluster event, as `GET /events` streams it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Always increasing, also over restarts.
    pub id: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// `node.joined`, `node.left`, `node.lost`, `node.drained`, `function.registered`, …: the README lists them all.
    pub kind: String,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// One line for people.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// A task's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The name of the token it was done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The address it was asked for from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// One change of a list that is watched: `?watch=true`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// A new row, or what has become of one.
    Put(T),
    /// A row that is gone, by its id or name.
    Gone(String),
    /// All rows there were at the start have been given.
    Synced,
}

/// `GET /version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    pub version: String,
    pub commit: String,
    /// `orchestrator` or `worker`.
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, or why not.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_nodes: Option<u64>,
}

/// An error, as RFC 9457 (`application/problem+json`) shapes it, with a stable `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    pub status: u16,
    /// What happened, to what, and what to do.
    #[serde(default)]
    pub detail: String,
    /// Stable, for programs: `function_not_found`, `name_taken`, …
    #[serde(default)]
    pub code: String,
}

/// What a restored backup brought: the answer of `POST /restore`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// `success`.
    pub status: String,
    /// The cluster that the backup is of.
    pub cluster: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// How many the cluster has now.
    pub functions: u64,
    /// How many bundles it held.
    pub bundles: u64,
    /// How many nodes it knew; those that the cluster did not know are added as disconnected.
    pub nodes: u64,
}
