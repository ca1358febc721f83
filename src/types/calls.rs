//! The public JSON of calls, asynchronous ones and schedules. No behaviour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One call, as `GET /calls` shows those of late and those that are to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    pub id: String,
    pub function: String,
    /// The id of the node it ran on last; null when it never reached one.
    pub node: Option<String>,
    /// `succeeded` or `failed`; of an asynchronous one also `queued`, `running` or `cancelled`.
    pub status: String,
    /// RFC 3339, UTC; of an asynchronous one: when it was accepted.
    pub started_at: String,
    /// To its end, or until now.
    pub duration_ms: f64,
    #[serde(rename = "async", default)]
    pub asynchronous: bool,
    /// Times it was sent to a node.
    #[serde(default)]
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The module of a pipeline that it was made for, as `PIPELINE/MODULE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// One asynchronous call, as `GET /calls/ID` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    pub id: String,
    pub function: String,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`; the last three are for good.
    pub status: String,
    /// Always true: calls that are answered at once are not kept by id.
    #[serde(rename = "async")]
    pub asynchronous: bool,
    /// Times it was sent to a node: more than one means that it may have run as often.
    pub attempts: u32,
    /// Of these, failed by the function's own fault, …
    pub failures: u32,
    /// … at most so many.
    pub max_attempts: u32,
    /// Of these, cut short by the loss of a node or of the orchestrator.
    pub interruptions: u32,
    /// RFC 3339, UTC.
    pub submitted_at: String,
    /// The id of the node it was last sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// RFC 3339, UTC; of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Of a queued call: not tried before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    /// Of an ended call: until then it and its result are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why the last attempt was not the last, or why the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Where its result is, or will be.
    pub result: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// RFC 3339, UTC: what the function's schedule made it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<String>,
}

/// Who is told of a call's end, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Callback {
    pub url: String,
    /// `waiting` (for the call's end), `pending`, `sending`, `delivered` or `failed`.
    pub status: String,
    pub attempts: u32,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// When a function is called by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    pub expression: String,
    pub zone: String,
    /// `run` or `skip`.
    pub missed: String,
    /// `skip` or `allow`.
    pub overlap: String,
    /// RFC 3339, UTC: the time it was last due at and a call was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<String>,
    /// That call's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_call: Option<String>,
    /// Why no call was made for the time it was last due at, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_skipped: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<String>,
}
