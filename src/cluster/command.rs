//! Every write. Commands that come late, twice or out of order are refused or do nothing; none may break an invariant.

use super::{InstanceKey, InvocationKey, Mode, NodeKey, NodeSpec, Reach, Revision};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A change asked for, by a person or by something that happened.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // made one at a time and moved once
pub enum Command {
    /// A node is (again) there. `instances`: what still runs on it from before.
    Join {
        spec: NodeSpec,
        instances: Vec<Reported>,
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
    /// Each function named becomes these revisions, oldest first, or with none is deleted: from a backup, or because
    /// what it was made could not be kept.
    SetFunctions {
        functions: Vec<(Arc<str>, Vec<Arc<Revision>>)>,
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
    /// An instance did not start, or ended.
    InstanceEnded {
        instance: InstanceKey,
        why: String,
    },
}

impl Command {
    /// Asked for by a person, and must outlive a restart: nothing to be carried out while nothing can be kept.
    pub fn must_last(&self) -> bool {
        use Command::*;
        matches!(
            self,
            PutFunction { .. }
                | DeleteFunction { .. }
                | SetFunctions { .. }
                | Cordon { .. }
                | Uncordon { .. }
                | Drain { .. }
                | RemoveNode { .. }
        )
    }

    /// The function it makes, changes or deletes.
    pub fn changes_function(&self) -> Option<&Arc<str>> {
        match self {
            Command::PutFunction { revision, .. } => Some(&revision.function),
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

/// An instance that a joining node says it still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub instance: InstanceKey,
    pub function: String,
    pub revision: u64,
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
    /// No more functions are taken.
    TooManyFunctions {
        limit: usize,
    },
    /// No node can take the call, and none is about to.
    NoNode {
        why: String,
    },
    /// As many calls of this function wait as may.
    QueueFull {
        limit: usize,
    },
    /// Over, or never was.
    UnknownInvocation,
    /// Gone, or never was.
    UnknownInstance,
}
