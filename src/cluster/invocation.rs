//! An invocation: one call, from acceptance to its end. What it carries is not known here.

use super::{Constraints, FunctionKey, InstanceKey, Millis, NodeKey};
use std::sync::Arc;

/// A call's id, unique over restarts of the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationKey(pub u64);

impl std::fmt::Display for InvocationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

/// Whose a call is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Somebody waits for its answer.
    #[default]
    Caller,
    /// One attempt of an asynchronous call, which is kept elsewhere.
    Later,
    /// One attempt of a pipeline's module: `PIPELINE/MODULE`.
    Module(Arc<str>),
}

/// A call that has not ended.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub function: FunctionKey,
    pub origin: Origin,
    /// What its node must be or have beside what its function asks for.
    pub wants: Option<Arc<Constraints>>,
    pub accepted: Millis,
    /// It goes to a server that no node runs.
    pub elsewhere: bool,
    /// `None`: waits in its function's queue, or goes elsewhere.
    pub held: Option<Held>,
    /// Nodes that would not start it.
    pub refused_by: Vec<NodeKey>,
}

/// The slot a running call holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub node: NodeKey,
    /// `None`: a job.
    pub instance: Option<InstanceKey>,
    /// Which of the node's beats it was taken at.
    pub at_beat: u64,
}

/// Why a call ended without an answer from its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its node went away while it ran.
    NodeLost { node: String },
    /// No node can take it now.
    NoNode { why: String },
    /// Nothing could be started for it, or nobody would take it.
    NotStarted { why: String },
    /// Its function has had too many calls for too long, and others were there before.
    Crowded { limit: usize },
    /// Its function was stopped while it waited.
    Stopped,
    /// Its function was deleted while it waited.
    FunctionDeleted,
}
