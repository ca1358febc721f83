//! What is kept of one task, and the one table of its states. Must never read the clock or the disk.

use crate::tasks;
use crate::types::{TaskPhase, TaskRequest, TaskStatus, TaskSummary};
use crate::wire::proto;
use crate::{clock, types};
use prost::Message;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum State {
    /// Getting what it needs, or waiting to be started again.
    Starting = 0,
    Running = 1,
    /// It was told to end.
    Stopping = 2,
    /// It ended by itself, well; this and the next two are ends.
    Completed = 3,
    Failed = 4,
    /// It was told to end, and has.
    Stopped = 5,
}

impl State {
    /// The one table: whether this may become that.
    pub fn may_become(self, next: State) -> bool {
        use State::*;
        matches!(
            (self, next),
            (Starting, Starting | Running | Stopping | Failed)
                | (Running, Starting | Stopping | Completed | Failed)
                | (Stopping, Stopped)
                | (Completed | Failed | Stopped, Starting) // started again by whoever submitted it here
        )
    }

    pub fn ended(self) -> bool {
        matches!(self, State::Completed | State::Failed | State::Stopped)
    }

    /// As it is reported.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }

    fn phase(self) -> TaskPhase {
        match self {
            State::Starting => TaskPhase::Scheduled,
            State::Running => TaskPhase::Running,
            State::Stopping => TaskPhase::Stopping,
            State::Completed => TaskPhase::Completed,
            State::Failed => TaskPhase::Failed,
            State::Stopped => TaskPhase::Stopped,
        }
    }
}

/// One task, as its file has it.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    #[prost(message, required, tag = "1")]
    pub task: proto::Task,
    #[prost(enumeration = "State", tag = "2")]
    pub state: i32,
    /// Times it was started again in this attempt; with the attempt it names a run.
    #[prost(uint32, tag = "3")]
    pub restarts: u32,
    #[prost(sint32, optional, tag = "4")]
    pub exit_code: Option<i32>,
    #[prost(string, tag = "5")]
    pub reason: String,
    #[prost(string, tag = "6")]
    pub last_lines: String,
    #[prost(uint64, tag = "7")]
    pub created_ms: u64,
    #[prost(uint64, tag = "8")]
    pub started_ms: u64,
    #[prost(uint64, tag = "9")]
    pub ended_ms: u64,
    #[prost(message, repeated, tag = "10")]
    pub ports: Vec<proto::TaskPort>,
    /// When it was started again lately, for the limit within the window.
    #[prost(uint64, repeated, tag = "11")]
    pub restarted_ms: Vec<u64>,
    /// Of one that was submitted here: its request, as JSON; empty: its orchestrator sent it.
    #[prost(string, tag = "12")]
    pub request: String,
    #[prost(string, tag = "13")]
    pub idempotency_key: String,
    /// Of one that was submitted here: its orchestrator has its end on disk.
    #[prost(bool, tag = "14")]
    pub known: bool,
}

impl Record {
    pub fn new(task: proto::Task, request: Option<&TaskRequest>, now_ms: u64) -> Record {
        let request_text = request.and_then(|request| serde_json::to_string(request).ok()).unwrap_or_default();
        let idempotency_key = request.and_then(|request| request.idempotency_key.clone()).unwrap_or_default();
        let ports = task.ports.clone();
        Record { task, created_ms: now_ms, request: request_text, idempotency_key, ports, ..Default::default() }
    }

    /// Does nothing where the table forbids it: what was told to end does not run again.
    pub fn become_state(&mut self, next: State) {
        if self.state().may_become(next) {
            self.set_state(next);
        }
    }

    /// It was submitted to this worker itself.
    pub fn is_local(&self) -> bool {
        !self.request.is_empty()
    }

    pub fn is_container(&self) -> bool {
        crate::bundle::digest_in(&self.task.image).is_none()
    }

    /// The name of the run that is, or is to be.
    pub fn run(&self) -> String {
        format!("{}{}", self.runs(), self.restarts)
    }

    /// What the names of all runs of this attempt begin with.
    pub fn runs(&self) -> String {
        format!("{}-{}-", self.task.id, self.task.attempt)
    }

    /// For an orchestrator.
    pub fn report(&self, health: &str) -> proto::TaskState {
        proto::TaskState {
            id: self.task.id.clone(),
            attempt: self.task.attempt,
            state: self.state().word().into(),
            restarts: self.restarts,
            exit_code: self.exit_code.unwrap_or(0),
            has_exit_code: self.exit_code.is_some(),
            reason: self.reason.clone(),
            last_lines: self.last_lines.clone(),
            started_ms: self.started_ms as i64,
            ended_ms: self.ended_ms as i64,
            ports: self.ports.clone(),
            health: health.into(),
            // what is in its environment is nobody's but its submitter's, and may be large
            spec: self.is_local().then(|| proto::Task { env: Default::default(), ..self.task.clone() }),
        }
    }

    /// For people who ask this node.
    pub fn status(&self, health: &str, node: (&str, &str)) -> TaskStatus {
        let asked = serde_json::from_str(&self.request).ok();
        let mut request: TaskRequest = asked.unwrap_or_else(|| tasks::shown(&self.task));
        request.name = self.task.name.clone();
        request.ports = self.ports.iter().map(tasks::port_shown).collect();
        TaskStatus {
            id: self.task.id.clone(),
            state: self.state().phase(),
            node: Some(node.0.into()),
            node_name: Some(node.1.into()),
            attempt: self.task.attempt,
            restarts: self.restarts,
            exit_code: self.exit_code,
            reason: text(&self.reason),
            last_lines: text(&self.last_lines),
            health: text(health),
            pull: None, // known to who asks the engine
            created_at: clock::rfc3339(self.created_ms),
            scheduled_at: time(self.created_ms),
            started_at: time(self.started_ms),
            ended_at: time(self.ended_ms),
            request,
        }
    }

    /// A row of a list.
    pub fn summary(&self, health: &str, node: &str) -> TaskSummary {
        types::TaskSummary {
            id: self.task.id.clone(),
            name: self.task.name.clone(),
            image: self.task.image.clone(),
            state: self.state().phase(),
            node: Some(node.into()),
            node_name: None, // of itself it tells that elsewhere
            attempt: self.task.attempt,
            restarts: self.restarts,
            exit_code: self.exit_code,
            reason: text(&self.reason),
            health: text(health),
            pull: None, // known to who asks the engine
            created_at: clock::rfc3339(self.created_ms),
            started_at: time(self.started_ms),
            ended_at: time(self.ended_ms),
        }
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

fn time(ms: u64) -> Option<String> {
    (ms > 0).then(|| clock::rfc3339(ms))
}

#[cfg(test)]
mod tests {
    use super::State::*;

    #[test]
    fn ends_are_for_good_unless_it_is_started_again() {
        let all = [Starting, Running, Stopping, Completed, Failed, Stopped];
        for from in all {
            let next: Vec<_> = all.into_iter().filter(|next| from.may_become(*next)).collect();
            let expected = match from {
                Starting => vec![Starting, Running, Stopping, Failed],
                Running => vec![Starting, Stopping, Completed, Failed],
                Stopping => vec![Stopped],
                _ => vec![Starting],
            };
            assert_eq!(next, expected, "{from:?}");
            assert_eq!(from.ended(), from > Stopping);
        }
    }
}
