//! An asynchronous call: what is known of it, and what may become of it. Never knows what it carries.

use super::super::Millis;
use std::fmt;
use std::sync::Arc;

/// A call's id, unique over restarts of the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{:x}", self.0)
    }
}

impl CallKey {
    /// The key that is written so; nothing else is.
    pub fn parse(text: &str) -> Option<Self> {
        let key = CallKey(u64::from_str_radix(text.strip_prefix('a')?, 16).ok()?);
        (key.to_string() == text).then_some(key)
    }
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallStatus {
    /// Waits: for its turn, or to be tried again.
    Queued,
    Running,
    /// The function answered, with a status below 500.
    Succeeded,
    /// Given up, as often as it was tried.
    Failed,
    /// Somebody said that it is not wanted any more.
    Cancelled,
}

impl CallStatus {
    pub const ALL: [CallStatus; 5] =
        [CallStatus::Queued, CallStatus::Running, CallStatus::Succeeded, CallStatus::Failed, CallStatus::Cancelled];

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

    /// The word people and programs see.
    pub fn word(self) -> &'static str {
        match self {
            CallStatus::Queued => "queued",
            CallStatus::Running => "running",
            CallStatus::Succeeded => "succeeded",
            CallStatus::Failed => "failed",
            CallStatus::Cancelled => "cancelled",
        }
    }

    /// The status of that word.
    pub fn of(word: &str) -> Option<Self> {
        CallStatus::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// How far the telling of a call's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackStatus {
    /// The call has not ended.
    Waiting,
    /// To be told, for the first time or again.
    Pending,
    Sending,
    Delivered,
    /// Given up.
    Failed,
}

impl CallbackStatus {
    pub const ALL: [CallbackStatus; 5] = [
        CallbackStatus::Waiting,
        CallbackStatus::Pending,
        CallbackStatus::Sending,
        CallbackStatus::Delivered,
        CallbackStatus::Failed,
    ];

    /// The one table of what may follow what.
    pub fn may_become(self, next: CallbackStatus) -> bool {
        use CallbackStatus::*;
        matches!(
            (self, next),
            (Waiting, Pending) | (Pending, Sending) | (Sending, Pending) | (Sending, Delivered) | (Sending, Failed)
        )
    }

    /// The word people and programs see.
    pub fn word(self) -> &'static str {
        match self {
            CallbackStatus::Waiting => "waiting",
            CallbackStatus::Pending => "pending",
            CallbackStatus::Sending => "sending",
            CallbackStatus::Delivered => "delivered",
            CallbackStatus::Failed => "failed",
        }
    }

    /// The status of that word.
    pub fn of(word: &str) -> Option<Self> {
        CallbackStatus::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// Who wants to be told of a call's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    pub url: Arc<str>,
    pub status: CallbackStatus,
    /// Times it was told, or tried to.
    pub attempts: u32,
    pub next_try: Millis,
    pub last_error: Option<String>,
}

impl Callback {
    pub fn to(url: Arc<str>) -> Self {
        Callback { url, status: CallbackStatus::Waiting, attempts: 0, next_try: 0, last_error: None }
    }

    pub(super) fn transition(&mut self, next: CallbackStatus) -> bool {
        let legal = self.status.may_become(next);
        if legal {
            self.status = next;
        }
        legal
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
    pub callback: Option<Arc<str>>,
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
            callback: asked.callback.map(Callback::to),
            scheduled_for: asked.scheduled_for,
        }
    }

    pub(super) fn transition(&mut self, next: CallStatus) -> bool {
        let legal = self.status.may_become(next);
        if legal {
            self.status = next;
        }
        legal
    }

    pub(super) fn bytes(&self) -> u64 {
        self.request_bytes + self.result_bytes
    }
}
