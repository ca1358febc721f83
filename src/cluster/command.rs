//! Every write. Commands that come late, twice or out of order are refused or do nothing; none may break an invariant.

use super::{
    Constraints, InstanceKey, InvocationKey, Lasting, Mode, NodeKey, NodeSpec, Origin, Pull, Reach, Revision, TaskKey,
    TaskReport, TaskSpec, TaskState,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A change asked for, by a person or by something that happened.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // made one at a time and moved once
pub enum Command {
    /// A node is (again) there. `instances` and `tasks`: what it has from before.
    Join {
        spec: NodeSpec,
        instances: Vec<Reported>,
        tasks: Vec<TaskReport>,
    },
    /// How calls reach the node changed.
    SetReach {
        node: NodeKey,
        session: u64,
        reach: Reach,
    },
    /// Renews the lease.
    Beat {
        node: NodeKey,
        session: u64,
        cpu_percent: Option<f64>,
        memory_percent: Option<f64>,
    },
    /// What the node can run things with has changed. `trouble`: why not with more, for people.
    SetEngines {
        node: NodeKey,
        session: u64,
        engines: BTreeSet<String>,
        trouble: String,
    },
    /// The pulls that go on there now: all of them.
    SetPulls {
        node: NodeKey,
        session: u64,
        pulls: Vec<Pull>,
    },
    /// How much of its disk is in use; 0: nobody knows.
    SetDiskUsed {
        node: NodeKey,
        session: u64,
        bytes: u64,
    },
    /// The node has found instances that still run.
    Report {
        node: NodeKey,
        session: u64,
        instances: Vec<Reported>,
    },
    /// The node will go once its calls have ended.
    Leave {
        node: NodeKey,
        session: u64,
    },
    /// Its connection closed.
    Disconnect {
        node: NodeKey,
        session: u64,
        why: String,
    },
    Cordon {
        node: NodeKey,
    },
    Uncordon {
        node: NodeKey,
    },
    Drain {
        node: NodeKey,
    },
    /// Ends a node's session, and takes no more joins of it.
    Revoke {
        node: NodeKey,
    },
    /// Forgets a node that is not there any more.
    RemoveNode {
        node: NodeKey,
    },

    /// A new function, or with `replace` a new revision of one. The revision's number is set here.
    PutFunction {
        revision: Box<Revision>,
        put: Put,
    },
    DeleteFunction {
        name: Arc<str>,
    },
    /// One of the kept revisions once more, as a new one.
    PutAgain {
        function: Arc<str>,
        which: Kept,
        /// Milliseconds since the Unix epoch.
        unix_ms: u64,
        /// Who wants it.
        by: String,
    },
    /// Ends all of it and takes no more calls, or takes them again.
    SetStopped {
        function: Arc<str>,
        stopped: bool,
    },
    /// Other bounds; `None` leaves one as it is. Makes no revision.
    Scale {
        function: Arc<str>,
        min: Option<u32>,
        max: Option<u32>,
        ready: Option<u32>,
    },
    /// A node could not get ready for a revision that is to take over.
    RevisionFailed {
        function: Arc<str>,
        revision: u64,
        node: NodeKey,
        why: String,
    },
    /// Each function named becomes this, or with no revision is deleted: from a backup, or because what it was made
    /// could not be kept.
    SetFunctions {
        functions: Vec<(Arc<str>, Lasting)>,
    },
    /// A node has looked at the image of a revision whose mode was not known.
    ResolveMode {
        function: Arc<str>,
        revision: u64,
        mode: Mode,
    },

    /// A call was accepted. Answered by `InvocationAssigned` or `InvocationQueued`.
    Invoke {
        function: Arc<str>,
        origin: Origin,
        /// What its node must be or have beside what the function asks for; only jobs may ask.
        wants: Option<Arc<Constraints>>,
    },
    /// A node would not take the call, and nothing of it was started.
    Refuse {
        invocation: InvocationKey,
        why: String,
    },
    /// The call is over: answered, failed, timed out or given up by its caller.
    Finish {
        invocation: InvocationKey,
        success: bool,
        /// Microseconds from acceptance, as the shell measured them.
        took_us: u64,
    },

    /// An instance answers.
    InstanceReady {
        instance: InstanceKey,
    },
    /// Its node could not freeze it.
    InstanceAwake {
        instance: InstanceKey,
    },
    /// An instance did not start, or ended.
    InstanceEnded {
        instance: InstanceKey,
        why: String,
    },

    /// Answered by `TaskSubmitted`.
    SubmitTask {
        spec: Box<TaskSpec>,
    },
    StopTask {
        task: TaskKey,
    },
    /// One that has ended, once more.
    StartTask {
        task: TaskKey,
    },
    /// One that has ended is forgotten; another is stopped.
    DeleteTask {
        task: TaskKey,
    },
    /// It could not be kept, and was never acknowledged.
    WithdrawTask {
        task: TaskKey,
    },
    /// What has changed of a node's tasks.
    ReportTasks {
        node: NodeKey,
        session: u64,
        tasks: Vec<TaskReport>,
    },
    /// A node would not have a task it was given.
    TaskRefused {
        task: TaskKey,
        node: NodeKey,
        attempt: u64,
        why: String,
    },
    /// A node that was told to stop a task has none such.
    TaskMissing {
        task: TaskKey,
        node: NodeKey,
        attempt: u64,
    },
}

impl Command {
    /// Asked for by a person, and must outlive a restart: nothing to be carried out while nothing can be kept.
    pub fn must_last(&self) -> bool {
        use Command::*;
        matches!(
            self,
            PutFunction { .. }
                | PutAgain { .. }
                | Scale { .. }
                | SetStopped { .. }
                | DeleteFunction { .. }
                | SetFunctions { .. }
                | Cordon { .. }
                | Uncordon { .. }
                | Drain { .. }
                | Revoke { .. }
                | RemoveNode { .. }
                | SubmitTask { .. }
                | StopTask { .. }
                | StartTask { .. }
                | DeleteTask { .. }
        )
    }

    /// The function it makes, changes or deletes.
    pub fn changes_function(&self) -> Option<&Arc<str>> {
        match self {
            Command::PutFunction { revision, .. } => Some(&revision.function),
            Command::PutAgain { function, .. }
            | Command::Scale { function, .. }
            | Command::SetStopped { function, .. } => Some(function),
            Command::DeleteFunction { name } => Some(name),
            _ => None,
        }
    }
}

/// What a put may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The name must be free.
    Create,
    /// The name must be taken.
    Replace,
    /// Either.
    Any,
}

/// Which of the kept revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What was put last. Its image's name may mean another image by now.
    Newest,
    /// The same, for another reason than its image.
    AsItIs,
    /// What served before the newest one did; where that does not serve, what serves.
    Before,
    Number(u64),
}

/// An instance that a joining node says it still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub instance: InstanceKey,
    pub function: String,
    pub revision: u64,
    pub frozen: bool,
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No node of that key.
    UnknownNode,
    /// Another join of the same node is current.
    StaleSession,
    /// Another node, that is there, has that name.
    NodeNameTaken {
        name: String,
        by: String,
    },
    /// It is not let in again.
    NodeRevoked,
    /// It did not prove that it is the node it says.
    NotThatNode,
    /// No more nodes are taken.
    TooManyNodes {
        limit: usize,
    },
    /// Still connected: drain or stop it first.
    NodeConnected,
    /// Not connected: nothing to do with it.
    NodeDisconnected,
    UnknownFunction,
    FunctionNameTaken,
    /// Not kept, or never was; these are.
    UnknownRevision {
        kept: Vec<u64>,
    },
    /// More instances wanted than allowed, or none allowed.
    BadScale {
        field: &'static str,
        max: u32,
    },
    /// No more functions are taken.
    TooManyFunctions {
        limit: usize,
    },
    /// Its function has no image yet.
    NoImage,
    /// Its function was stopped, and has not been started again.
    Stopped,
    /// No node can take the call, and none is about to.
    NoNode {
        why: String,
    },
    /// As many calls run or wait as may.
    TooManyCalls {
        limit: usize,
    },
    /// As many calls of this function run or wait as may: by its own settings, or as of all.
    TooManyCallsOfFunction {
        limit: usize,
        of_its_own: bool,
    },
    /// As many calls of this function wait as may.
    QueueFull {
        limit: usize,
    },
    /// Over, or never was.
    UnknownInvocation,
    /// Gone, or never was.
    UnknownInstance,
    /// Forgotten, or never was.
    UnknownTask,
    /// It is over: nothing to stop.
    TaskEnded {
        state: TaskState,
    },
    /// It is not over: nothing to start.
    TaskNotEnded {
        state: TaskState,
    },
    /// It was submitted to its node, which alone may start or forget it.
    TaskOfNode,
    /// Another task was submitted with the same key.
    TaskKeyTaken {
        task: String,
    },
    /// As many tasks wait for a node as may.
    TooManyPending {
        limit: usize,
    },
    /// No more tasks are taken until some end.
    TooManyTasks {
        limit: usize,
    },
    /// Nor so large ones.
    TasksTooBig {
        limit_bytes: usize,
    },
    /// The task is elsewhere by now.
    StaleAttempt,
}
