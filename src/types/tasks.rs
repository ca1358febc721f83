//! The public JSON of tasks, as the manager's and the workers' APIs take and show them. Sizes in bytes, processors in cores,
//! times RFC 3339. No behaviour.

use super::{Constraints, Isolation};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A task to run: the body of `POST …/tasks`. What it does not name is ignored, as the specification's other programs
/// may send more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskRequest {
    /// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`; need not be unique. Default: made of the id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// An image reference, or `bundle:DIGEST`.
    #[serde(default)]
    pub image: String,
    /// Replaces the image's own command; at most 1,000 words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// At most 256 KiB in all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Cores it may use, which placement reserves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Bytes it may use, which placement reserves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes it may write beside its volumes, which placement reserves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<TaskPort>,
    /// Default `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "restart_policy")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What its node must be or have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Constraints>,
    /// `gpu`, or devices of its node as `/dev/ttyUSB0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<TaskVolume>,
    /// Seconds between SIGTERM and SIGKILL. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_s: Option<f64>,
    /// `cost`, `round-robin`, `spread` or `binpack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The same key and the same task once more is answered with the one there is. Also the header `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A port of a task that its node listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPort {
    /// What the task itself listens on.
    pub container: u16,
    /// Of the node; left out in a request: a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// `tcp` (the default) or `udp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// Whether a task that ended is started again; `"always"` means `{"policy": "always"}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestartPolicy {
    /// `never`, `on-failure` or `always`.
    pub policy: String,
    /// Restarts within the window; one more, and the task has failed. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Default 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_s: Option<f64>,
    /// Seconds before the first restart, doubled for each that follows. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_s: Option<f64>,
}

/// Either of its forms, or none.
fn restart_policy(generator: &mut SchemaGenerator) -> Schema {
    let object = generator.subschema_for::<RestartPolicy>();
    json_schema!({"anyOf": [{"enum": ["never", "on-failure", "always"]}, object, {"type": "null"}]})
}

impl<'de> Deserialize<'de> for RestartPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            policy: String,
            limit: Option<u32>,
            window_s: Option<f64>,
            backoff_s: Option<f64>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RestartPolicy;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a restart policy: \"never\", \"on-failure\", \"always\" or an object with policy")
            }

            fn visit_str<E: de::Error>(self, policy: &str) -> Result<RestartPolicy, E> {
                Ok(RestartPolicy { policy: policy.into(), ..Default::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RestartPolicy, A::Error> {
                let Whole { policy, limit, window_s, backoff_s } = Whole::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RestartPolicy { policy, limit, window_s, backoff_s })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How it is known whether a task is well; a sick one is ended, and started again as its restart policy says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// `http` (any status below 400 is well), `tcp` (it accepts) or `command` (it exits with 0).
    pub kind: String,
    /// Of `http`. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of `http` and `tcp`: the port the task itself listens on. Default: its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Of `command`: run inside the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<f64>,
    /// Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Failures in a row that make it sick. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Seconds in which failures do not count. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period_s: Option<f64>,
}

/// A named volume of the node, made when it is not there; it outlives the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskVolume {
    pub name: String,
    /// Where it is seen in the task.
    pub path: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// A task's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskPhase {
    /// No node has it yet.
    #[default]
    Pending,
    /// A node has it and is getting what it needs.
    Scheduled,
    Running,
    /// It was told to end.
    Stopping,
    /// It ended by itself, well; this and the next two are for good.
    Completed,
    Failed,
    /// It was told to end, and has.
    Stopped,
}

impl TaskPhase {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskPhase::Pending => "Pending",
            TaskPhase::Scheduled => "Scheduled",
            TaskPhase::Running => "Running",
            TaskPhase::Stopping => "Stopping",
            TaskPhase::Completed => "Completed",
            TaskPhase::Failed => "Failed",
            TaskPhase::Stopped => "Stopped",
        }
    }

    /// Whether it is for good.
    pub fn ended(self) -> bool {
        matches!(self, TaskPhase::Completed | TaskPhase::Failed | TaskPhase::Stopped)
    }
}

impl fmt::Display for TaskPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One task: the answer to `POST …/tasks` and `GET …/tasks/ID`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatus {
    pub id: String,
    pub state: TaskPhase,
    /// The id of the node that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Times it was given to a node.
    pub attempt: u64,
    /// Times it was started again on the node that has it.
    pub restarts: u32,
    /// Of the last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it failed, was stopped or was last started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a failed run said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_lines: Option<String>,
    /// `starting`, `healthy` or `unhealthy`; left out without a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// While its node gets the image; as the node said last, about once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<ImagePull>,
    /// RFC 3339, UTC.
    pub created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// As it was asked for; of ports, the node's as they are.
    #[serde(flatten)]
    pub request: TaskRequest,
}

/// How far a node has the image of something that is to run there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImagePull {
    pub layers: u32,
    /// Of these, there and unpacked.
    pub layers_done: u32,
    /// Of the layers whose size is known so far; 0: of none.
    pub bytes: u64,
    /// Of these, there; of an image that comes from another node, which does not say how large it is, all that came.
    pub bytes_done: u64,
}

impl fmt::Display for ImagePull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        f.write_str("pulling its image")?;
        match (self.bytes, self.bytes_done) {
            (0, 0) => {}
            (0, done) => write!(f, ": {:.1} MB so far", megabytes(done))?,
            (bytes, done) => write!(f, ": {:.1} of {:.1} MB", megabytes(done), megabytes(bytes))?,
        }
        if self.layers > 0 {
            write!(f, ", {} of {} layers", self.layers_done, self.layers)?;
        }
        Ok(())
    }
}

/// The specification's other name for it.
pub type TaskResponse = TaskStatus;

/// One task in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskSummary {
    pub id: String,
    pub name: String,
    pub image: String,
    pub state: TaskPhase,
    /// The id of the node that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    pub attempt: u64,
    pub restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// While its node gets the image; as the node said last, about once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<ImagePull>,
    /// RFC 3339, UTC.
    pub created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn restart_policies_are_words_or_objects() {
        let policy = |value| serde_json::from_value::<RestartPolicy>(value);
        assert_eq!(policy(json!("always")).unwrap().policy, "always");
        let whole = policy(json!({"policy": "on-failure", "limit": 3, "window_s": 60, "backoff_s": 0.5})).unwrap();
        assert_eq!((whole.limit, whole.window_s, whole.backoff_s), (Some(3), Some(60.0), Some(0.5)));
        assert!(policy(json!(3)).unwrap_err().to_string().contains("restart policy"));
        assert!(policy(json!({"limit": 3})).unwrap_err().to_string().contains("policy"));
    }

    #[test]
    fn a_pull_reads_as_what_is_known_of_it() {
        let pull = ImagePull { layers: 5, layers_done: 2, bytes: 45_600_000, bytes_done: 12_340_000 };
        assert_eq!(pull.to_string(), "pulling its image: 12.3 of 45.6 MB, 2 of 5 layers");
        assert_eq!(ImagePull { bytes: 0, layers: 0, ..pull }.to_string(), "pulling its image: 12.3 MB so far");
        assert_eq!(ImagePull { bytes: 0, bytes_done: 0, ..pull }.to_string(), "pulling its image, 2 of 5 layers");
        assert_eq!(ImagePull::default().to_string(), "pulling its image");
    }

    #[test]
    fn a_task_is_shown_with_its_settings_and_read_back() {
        let request: TaskRequest = serde_json::from_value(
            json!({"image": "a", "name": "n", "memory": 5, "ports": [{"container": 80}], "more": 1}),
        )
        .unwrap();
        let status = TaskStatus { id: "t".into(), state: TaskPhase::Running, request, ..Default::default() };
        let shown = serde_json::to_value(&status).unwrap();
        assert_eq!((&shown["image"], &shown["state"], &shown["memory"]), (&json!("a"), &json!("Running"), &json!(5)));
        assert_eq!(serde_json::from_value::<TaskStatus>(shown).unwrap(), status);
    }
}
