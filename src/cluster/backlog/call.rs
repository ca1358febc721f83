//! An asynchronous call: what is known of it, and what may become of it. Never knows what it carries.

use super::super::Millis;
use super::super::key::written_key;
use super::super::step::step;
use super::super::words::worded;
use std::sync::Arc;

written_key! {
    /// A call's id, unique over restarts of the orchestrator.
    pub struct CallKey, "a{:x}"
}

worded! {
    /// Where a call is.
    pub enum CallStatus {
        /// Waits: for its turn, or to be tried again.
        Queued = "queued",
        Running = "running",
        /// The function answered, with a status below 500.
        Succeeded = "succeeded",
        /// Given up, as often as it was tried.
        Failed = "failed",
        /// Somebody said that it is not wanted any more.
        Cancelled = "cancelled",
    }
}

impl CallStatus {
    /// The one table of what may follow what.
    pub fn may_become(self, next: CallStatus) -> bool {
        use CallStatus::*;
        matches!(
            (self, next),
            (Queued, Running)
                | (Queued, Failed)
                | (Queued, Cancelled)
                | (Running, Queued)
                | (Running, Succeeded)
                | (Running, Failed)
                | (Running, Cancelled)
        )
    }

    /// Nothing follows.
    pub fn is_final(self) -> bool {
        !matches!(self, CallStatus::Queued | CallStatus::Running)
    }
}

worded! {
    /// How far the telling of a call's end is.
    pub enum CallbackStatus {
        /// The call has not ended.
        Waiting = "waiting",
        /// To be told, for the first time or again.
        Pending = "pending",
        Sending = "sending",
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
    }
}

impl CallbackStatus {
    /// The one table of what may follow what.
    pub fn may_become(self, next: CallbackStatus) -> bool {
        use CallbackStatus::*;
        matches!(
            (self, next),
            (Waiting, Pending) | (Pending, Sending) | (Sending, Pending) | (Sending, Delivered) | (Sending, Failed)
        )
    }
}

/// Who wants to be told of a call's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    pub url: Arc<str>,
    /// The address that who asked for it came from; `None`: an earlier release did not keep it.
    pub from: Option<Arc<str>>,
    pub status: CallbackStatus,
    /// Times it was told, or tried to.
    pub attempts: u32,
    pub next_try: Millis,
    pub last_error: Option<String>,
}

impl Callback {
    pub fn to(url: Arc<str>) -> Self {
        Callback { url, from: None, status: CallbackStatus::Waiting, attempts: 0, next_try: 0, last_error: None }
    }

    pub(super) fn transition(&mut self, next: CallbackStatus) -> bool {
        step(&mut self.status, next, CallbackStatus::may_become)
    }
}

impl From<&str> for Callback {
    fn from(url: &str) -> Self {
        Callback::to(url.into())
    }
}

/// A caller's own name for a call, so that asking twice makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: Arc<str>,
    /// Of the request: the same name with another request is a mistake.
    pub digest: Arc<str>,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    pub function: Arc<str>,
    /// What its request takes on disk.
    pub bytes: u64,
    /// Attempts that may end by the function's own fault.
    pub max_attempts: u32,
    pub idempotency: Option<Idempotency>,
    pub callback: Option<Callback>,
    /// The time it was due at, when a schedule made it. Milliseconds since the Unix epoch.
    pub scheduled_for: Option<u64>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub key: CallKey,
    pub function: Arc<str>,
    pub status: CallStatus,
    /// Times it was sent to a node: it may have run as often.
    pub attempts: u32,
    /// Of these, ended by the function's own fault.
    pub failures: u32,
    /// Of these, ended by the loss of a node or of the orchestrator.
    pub interruptions: u32,
    pub max_attempts: u32,
    pub submitted: Millis,
    /// The id of the node it was last sent to.
    pub node: Option<Arc<str>>,
    /// The last attempt's begin.
    pub started: Option<Millis>,
    pub ended: Option<Millis>,
    /// Not tried before this.
    pub next_try: Millis,
    pub last_error: Option<String>,
    pub request_bytes: u64,
    pub result_bytes: u64,
    pub idempotency: Option<Idempotency>,
    pub callback: Option<Callback>,
    pub scheduled_for: Option<u64>,
}

impl Call {
    pub(super) fn new(key: CallKey, now: Millis, asked: Submission) -> Self {
        Call {
            key,
            function: asked.function,
            status: CallStatus::Queued,
            attempts: 0,
            failures: 0,
            interruptions: 0,
            max_attempts: asked.max_attempts.max(1),
            submitted: now,
            node: None,
            started: None,
            ended: None,
            next_try: now,
            last_error: None,
            request_bytes: asked.bytes,
            result_bytes: 0,
            idempotency: asked.idempotency,
            callback: asked.callback,
            scheduled_for: asked.scheduled_for,
        }
    }

    pub(super) fn transition(&mut self, next: CallStatus) -> bool {
        step(&mut self.status, next, CallStatus::may_become)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.request_bytes + self.result_bytes
    }
}
