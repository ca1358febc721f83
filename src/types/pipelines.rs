//! The public JSON of pipelines. No behaviour.

use super::Constraints;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The body of `POST /api/pipelines`: modules, and what they depend on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// For people; need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `stop` (the default): once a module has failed, none that needs success is started any more; what runs goes on.
    /// `continue`: all that does not depend on it is.
    #[serde(rename = "failurePolicy", default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<String>,
    pub modules: Vec<ModuleSpec>,
}

/// One module. It has either a `function` or an `image`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleSpec {
    pub name: String,
    /// A registered function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// An image, or `bundle:DIGEST`, to be run as a job; needs the scope deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// With `image`: what to run in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Names of modules that must have ended before.
    #[serde(rename = "dependsOn", default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Its request's body, which is a job's stdin: a text as it is, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<serde_json::Value>,
    /// Variables of this module's job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What its node must be or have, beside what the function's own constraints say; of jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Constraints>,
    /// From when it has its place; the function's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Times it is tried again after it failed; 0 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// `success` (the default): runs if all it depends on succeeded. `always`: once they have ended. `failure`: if one of
    /// them failed, or one that they depend on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A pipeline that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineAccepted {
    pub id: String,
}

/// A pipeline, as lists show it, and with its modules as `GET /api/pipelines/ID` does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    #[serde(rename = "failurePolicy")]
    pub failure_policy: String,
    /// 1, and one more for each retry.
    pub runs: u32,
    /// RFC 3339, UTC.
    pub submitted_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How many modules are in each state.
    pub counts: BTreeMap<String, usize>,
    /// In the order they were given; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<PipelineModule>,
}

/// A module of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineModule {
    pub name: String,
    /// `pending`, `ready`, `running`, `succeeded`, `failed`, `skipped` or `cancelled`.
    pub state: String,
    #[serde(rename = "dependsOn", default)]
    pub depends_on: Vec<String>,
    /// What runs it; of an image, a function that is there as long as the pipeline runs.
    pub function: String,
    /// Times it was sent to a node, over all runs: more than one means that it may have run as often.
    pub attempts: u32,
    /// Of these, failed by its own fault, in this run of the pipeline.
    pub failures: u32,
    /// Cut short by the loss of a node or of the orchestrator, in this run.
    pub interruptions: u32,
    /// The id of the node it went to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its name, as long as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// RFC 3339, UTC; of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why the last attempt was not the last, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where its result is, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}
