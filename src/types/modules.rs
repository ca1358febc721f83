//! The JSON of pipelines' modules over HTTP: how workers in any language join, and how they are given modules. The names
//! are those of the specification.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The body of `POST /api/workers/register`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerRegistration {
    pub worker_node: WorkerNode,
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// A worker as it says of itself, and as `GET /api/workers` tells of each node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerNode {
    pub id: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`, where it is given modules; of a node that joined otherwise, its address.
    pub endpoint: String,
    pub capabilities: WorkerCapabilities,
    #[serde(default)]
    pub last_heartbeat: Option<String>,
    /// Modules it runs now: as many as it last said, or as it was given here if that is more.
    #[serde(default)]
    pub current_load: u32,
    /// `Available`, `Busy`, `Draining` or `Disconnected`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: String,
}

/// What a worker has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerCapabilities {
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub installed_tools: Vec<String>,
    pub max_parallel_modules: u32,
    /// `KEY=VALUE`, or `KEY`, which means `KEY=true`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// The answer to a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerRegistered {
    pub success: bool,
    pub worker_id: String,
    pub heartbeat_interval_seconds: u32,
}

/// The body of `POST /api/workers/heartbeat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerHeartbeat {
    pub worker_id: String,
    #[serde(default)]
    pub current_load: u32,
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAcknowledged {
    /// `false`: the worker is not known, or no longer, and must register (again).
    pub acknowledged: bool,
    /// It gets nothing new: once it has finished what it has it may go.
    pub should_drain: bool,
}

/// That something was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    pub success: bool,
}

/// `GET /api/health` of an orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrchestratorHealth {
    pub status: String,
    pub available_workers: usize,
    pub timestamp: String,
}

/// `GET /api/health` of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerHealth {
    pub status: String,
    pub current_load: u32,
    pub max_load: u32,
    pub timestamp: String,
}

/// The body of `POST /api/execution/execute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleExecution {
    /// Of this execution alone.
    pub execution_id: String,
    /// The module's input.
    #[serde(default, deserialize_with = "null_is_default")]
    pub serialized_module: String,
    /// `base64` when the input is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// A registered function's name.
    pub module_type_name: String,
    /// By module.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dependency_results: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub environment_variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `[d.]hh:mm:ss[.fffffff]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// How an execution ended: 200 when it succeeded, else 500.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleResult {
    #[serde(default, deserialize_with = "null_is_default")]
    pub execution_id: String,
    pub success: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialized_result: Option<String>,
    /// `base64` when the result is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<String>,
    /// `hh:mm:ss`, like the request's timeout.
    #[serde(default, deserialize_with = "null_is_default")]
    pub duration: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub start_time: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub end_time: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub worker_id: String,
}

/// The body of `POST /api/execution/cancel`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleCancellation {
    pub execution_id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub reason: String,
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// Others' serializers write what there is not as null.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
