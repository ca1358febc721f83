//! Every fact. What the shell must do, tell or keep follows from these alone.

use super::{Failure, InstanceKey, InvocationKey, NodeKey, Revision, TaskKey, TaskState};
use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    NodeJoined {
        node: NodeKey,
        session: u64,
        again: bool,
    },
    /// Lost without a word; what ran there has been settled.
    NodeLost {
        node: NodeKey,
        name: String,
        why: String,
    },
    /// Went as it said it would.
    NodeLeft {
        node: NodeKey,
        name: String,
    },
    NodeCordoned {
        node: NodeKey,
    },
    NodeUncordoned {
        node: NodeKey,
    },
    NodeDraining {
        node: NodeKey,
    },
    /// Nothing runs there any more.
    NodeDrained {
        node: NodeKey,
    },
    /// It is not let in again.
    NodeRevoked {
        node: NodeKey,
    },
    /// What it can run things with has changed.
    NodeEngines {
        node: NodeKey,
    },
    NodeRemoved {
        node: NodeKey,
        id: String,
        name: String,
    },

    FunctionPut {
        revision: Arc<Revision>,
        first: bool,
    },
    /// Its bounds were changed; the revision stays what it is.
    FunctionScaled {
        revision: Arc<Revision>,
    },
    /// It was stopped, or started again.
    FunctionStopped {
        revision: Arc<Revision>,
        stopped: bool,
    },
    /// An instance of this revision has answered: it serves, and goes on to until another does. `before`: the one it took
    /// over from, if it did not serve already.
    RevisionServing {
        revision: Arc<Revision>,
        before: Option<u64>,
    },
    /// It could not be started: the one before it serves on.
    RevisionFailed {
        revision: Arc<Revision>,
        serving: u64,
        why: String,
    },
    /// The node must say how the image is run.
    ModeWanted {
        node: NodeKey,
        revision: Arc<Revision>,
    },
    /// The image was looked at: this is how it is run.
    ModeResolved {
        revision: Arc<Revision>,
    },
    FunctionDeleted {
        name: Arc<str>,
    },

    /// The node must start it.
    InstanceStarting {
        instance: InstanceKey,
        node: NodeKey,
        revision: Arc<Revision>,
    },
    InstanceWarm {
        instance: InstanceKey,
        node: NodeKey,
        revision: Arc<Revision>,
    },
    /// The node must stop it.
    InstanceStopping {
        instance: InstanceKey,
        node: NodeKey,
    },
    /// The node must stop these, which it said it runs. In one, as a node may say anything.
    InstancesUnwanted {
        node: NodeKey,
        instances: Vec<InstanceKey>,
    },
    /// The node must freeze it, unless a call came meanwhile: it uses no processor until the next.
    InstanceFrozen {
        instance: InstanceKey,
        node: NodeKey,
        revision: Arc<Revision>,
    },
    /// The node must wake it, for it is one of those that stay awake.
    InstanceThawing {
        instance: InstanceKey,
        node: NodeKey,
    },
    /// It goes because its node is short of memory.
    InstanceEvicted {
        instance: InstanceKey,
        node: NodeKey,
        revision: Arc<Revision>,
    },
    /// It ended by itself.
    InstanceEnded {
        instance: InstanceKey,
        node: NodeKey,
        revision: Arc<Revision>,
        started: bool,
        why: String,
    },

    /// The call has a slot: send it.
    InvocationAssigned(Assigned),
    /// The call goes to a server that no node runs: send it.
    InvocationElsewhere {
        invocation: InvocationKey,
        revision: Arc<Revision>,
    },
    /// The call waits for room.
    InvocationQueued {
        invocation: InvocationKey,
    },
    /// The call ended without an answer.
    InvocationFailed {
        invocation: InvocationKey,
        failure: Failure,
    },

    /// A task was taken in; `again`: it had been before, with the same key.
    TaskSubmitted {
        task: TaskKey,
        again: bool,
    },
    TaskChanged {
        task: TaskKey,
        from: TaskState,
        to: TaskState,
    },
    /// Nothing but what its node says of it has changed.
    TaskNoted {
        task: TaskKey,
    },
    /// The node must run it, once that it was chosen is on disk.
    TaskPlace {
        task: TaskKey,
        node: NodeKey,
        attempt: u64,
    },
    /// The node must stop that attempt, which may be of a task not known here.
    TaskStop {
        id: Arc<str>,
        node: NodeKey,
        attempt: u64,
    },
    /// The node need not keep the end of that attempt any longer, once it is on disk here.
    TaskForget {
        id: Arc<str>,
        node: NodeKey,
        attempt: u64,
    },
    /// It is not known here any more. `local`: it was its node's.
    TaskGone {
        id: Arc<str>,
        local: bool,
    },
}

/// Where a call runs.
#[derive(Clone, Debug)]
pub struct Assigned {
    pub invocation: InvocationKey,
    pub node: NodeKey,
    /// `None`: a job.
    pub instance: Option<InstanceKey>,
    pub revision: Arc<Revision>,
}
