//! Every fact. What the shell must do, tell or keep follows from these alone.

use super::{Failure, InstanceKey, InvocationKey, NodeKey, Revision};
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
    /// The call waits for room.
    InvocationQueued {
        invocation: InvocationKey,
    },
    /// The call ended without an answer.
    InvocationFailed {
        invocation: InvocationKey,
        failure: Failure,
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
