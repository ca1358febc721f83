//! A task: one thing to run somewhere, for a while or for good, from its submission to its end. Never knows what else a
//! node has, and never decides where it goes.

use super::key::written_key;
use super::step::step;
use super::tasks::Needs;
use super::words::worded;
use super::{Constraints, Millis, NodeKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

written_key! {
    /// A task's place in this cluster's memory; its id too, where it was submitted here. Unique over restarts.
    pub struct TaskKey, "t{:x}"
}

worded! {
    /// Where a task is in its life.
    #[derive(Default)]
    pub enum TaskState {
        /// Waits for a node.
        #[default]
        Pending = "pending",
        /// A node has it, and gets ready for it.
        Scheduled = "scheduled",
        Running = "running",
        /// Told to end.
        Stopping = "stopping",
        /// Ended well.
        Completed = "completed",
        /// Ended badly, or could not be run.
        Failed = "failed",
        /// Ended because somebody stopped it.
        Stopped = "stopped",
    }
}

impl TaskState {
    /// The one table of what may follow what. Out of an end leads only a person's start.
    pub fn may_become(self, next: TaskState) -> bool {
        use TaskState::*;
        matches!(
            (self, next),
            (Pending, Scheduled | Failed | Stopped)
                | (Scheduled, Pending | Running | Stopping | Completed | Failed | Stopped)
                | (Running, Pending | Stopping | Completed | Failed | Stopped)
                | (Stopping, Pending | Completed | Failed | Stopped)
                | (Completed | Failed | Stopped, Pending)
        )
    }

    /// Over, unless somebody starts it again.
    pub fn is_end(self) -> bool {
        matches!(self, TaskState::Completed | TaskState::Failed | TaskState::Stopped)
    }

    /// A node keeps room for it.
    pub fn is_placed(self) -> bool {
        matches!(self, TaskState::Scheduled | TaskState::Running | TaskState::Stopping)
    }
}

worded! {
    /// How a node for a task is chosen among those that have room for it.
    #[derive(Default)]
    pub enum Scheduler {
        /// The least loaded, as for functions.
        #[default]
        Cost = "cost",
        /// Each in turn.
        RoundRobin = "round-robin",
        /// The one with the fewest tasks.
        Spread = "spread",
        /// The fullest.
        Binpack = "binpack",
    }
}

worded! {
    /// When its node runs a task again that has ended.
    #[derive(Default)]
    pub enum RestartPolicy {
        #[default]
        Never = "never",
        OnFailure = "on-failure",
        /// It is there for good.
        Always = "always",
    }
}

/// A port of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPort {
    pub container: u16,
    /// On its node; 0: a free one.
    pub host: u16,
    pub udp: bool,
}

/// What placement must know of a task, and all the rest as the shell wrote it; fixed once submitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskSpec {
    /// Empty: its id is its name.
    pub name: String,
    /// An image reference, or `bundle:DIGEST`.
    pub image: String,
    /// 0: no limit of its own, and nothing reserved; as the next two.
    pub memory_bytes: u64,
    /// Cores.
    pub cpu: f64,
    pub disk_bytes: u64,
    /// Ports of its node that it must have; true: udp.
    pub host_ports: BTreeSet<(u16, bool)>,
    pub restart: RestartPolicy,
    pub devices: BTreeSet<String>,
    pub constraints: Constraints,
    pub scheduler: Scheduler,
    pub labels: BTreeMap<String, String>,
    /// Submitted once more with the same key it is the same task.
    pub idempotency_key: Option<String>,
    /// All settings, which only the shell reads.
    pub settings: Arc<str>,
}

impl TaskSpec {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let map = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| k.len() + v.len() + 96).sum::<usize>();
        let devices: usize = self.devices.iter().map(|d| d.len() + 32).sum();
        let texts = self.name.len() + self.image.len() + self.settings.len() + devices + self.host_ports.len() * 8;
        size_of::<TaskSpec>() + texts + map(&self.labels) + map(&self.constraints.tags)
    }
}

/// How a task goes on its node, as the node last said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub restarts: u32,
    pub exit_code: Option<i32>,
    /// Why it is where it is, for people.
    pub reason: String,
    /// Of what it wrote last.
    pub last_lines: String,
    /// Milliseconds since the Unix epoch; 0: it has not, yet.
    pub started_unix_ms: u64,
    pub ended_unix_ms: u64,
    /// With the host's ports that it got.
    pub ports: Vec<TaskPort>,
    /// Empty without a check, else `starting`, `healthy` or `unhealthy`.
    pub health: String,
}

/// What a node says a task is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskWord {
    Starting,
    Running,
    Stopping,
    Completed,
    Failed,
    Stopped,
}

impl TaskWord {
    /// All of them, as they follow each other.
    pub const ALL: [TaskWord; 6] = {
        use TaskWord::*;
        [Starting, Running, Stopping, Completed, Failed, Stopped]
    };

    /// As it goes over the wire.
    pub fn word(self) -> &'static str {
        match self {
            TaskWord::Starting => "starting",
            other => other.state().word(),
        }
    }

    /// The one of that word.
    pub fn of(word: &str) -> Option<TaskWord> {
        TaskWord::ALL.into_iter().find(|known| known.word() == word)
    }

    /// The state it shows.
    pub fn state(self) -> TaskState {
        match self {
            TaskWord::Starting => TaskState::Scheduled,
            TaskWord::Running => TaskState::Running,
            TaskWord::Stopping => TaskState::Stopping,
            TaskWord::Completed => TaskState::Completed,
            TaskWord::Failed => TaskState::Failed,
            TaskWord::Stopped => TaskState::Stopped,
        }
    }
}

/// A task as its node reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskReport {
    pub id: Arc<str>,
    pub attempt: u64,
    pub word: TaskWord,
    pub progress: Progress,
    /// Only of one that was submitted to the node itself.
    pub spec: Option<Box<TaskSpec>>,
}

/// Why a task is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// Somebody wants it to end.
    Asked,
    /// Its node is drained: it goes on elsewhere.
    Moving,
}

/// What of a task survives a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct LastingTask {
    pub id: Arc<str>,
    pub spec: Arc<TaskSpec>,
    pub state: TaskState,
    pub stopping: Option<Stopping>,
    /// The id of its node.
    pub node: Option<String>,
    pub attempt: u64,
    pub progress: Progress,
    pub created_unix_ms: u64,
    pub scheduled_unix_ms: u64,
}

/// A task as the cluster sees it now.
#[derive(Clone, Debug)]
pub struct Task {
    pub key: TaskKey,
    pub id: Arc<str>,
    pub spec: Arc<TaskSpec>,
    pub state: TaskState,
    /// While it is being stopped.
    pub stopping: Option<Stopping>,
    /// Where it is, or was when it ended; `None` while it waits.
    pub node: Option<NodeKey>,
    /// Placements so far; a copy of another attempt than this is void.
    pub attempt: u64,
    /// It was submitted to its node, which keeps it and alone decides about it.
    pub local: bool,
    pub progress: Progress,
    /// Milliseconds since the Unix epoch; 0: it has not been, yet.
    pub created_unix_ms: u64,
    pub scheduled_unix_ms: u64,
    /// What it asks of a node.
    pub(super) needs: Arc<Needs>,
    /// Nodes that would not, or could not, since it last ran.
    pub(super) refused_by: Vec<NodeKey>,
    /// It is not placed again before this; only while it waits for that.
    pub(super) retry_at: Option<Millis>,
    /// Its place among those that have ended.
    pub(super) ended_as: u64,
    /// It has ended, and its node keeps what it printed.
    pub(super) log_kept: bool,
}

impl Task {
    /// What people call it.
    pub fn name(&self) -> &str {
        if self.spec.name.is_empty() { &self.id } else { &self.spec.name }
    }

    pub(super) fn transition(&mut self, next: TaskState) -> bool {
        step(&mut self.state, next, TaskState::may_become)
    }

    /// A drain moves it; others end where they are.
    pub(super) fn is_movable(&self) -> bool {
        !self.local && self.spec.restart == RestartPolicy::Always
    }

    /// A node that drains waits for it.
    pub(super) fn holds_drain(&self) -> bool {
        !(self.local && self.spec.restart == RestartPolicy::Always)
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.id.len() + self.progress.reason.len() + self.progress.last_lines.len();
        size_of::<Task>() + 2 * size_of::<TaskKey>() + texts + self.spec.bytes()
    }
}
