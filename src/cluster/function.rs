//! A function and its revisions. Never knows which node runs it.

use super::{Ended, InstanceKey, InvocationKey, Millis, NodeKey, Recent};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A function's place in this cluster's memory; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionKey(pub u64);

/// How an image is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Not known before the image was looked at.
    #[default]
    Auto,
    Http,
    Job,
}

/// What a node must be or have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    pub os: Option<String>,
    pub arch: Option<String>,
    pub tools: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
}

/// Everything needed to run a function, fixed once made.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub function: Arc<str>,
    /// Counts from 1 for each function.
    pub number: u64,
    /// An image reference, or `bundle:DIGEST`.
    pub image: String,
    pub mode: Mode,
    /// Empty: the image's own.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub timeout_ms: Millis,
    /// 0: no limit of its own.
    pub memory_bytes: u64,
    /// Cores; 0: no limit of its own.
    pub cpu: f64,
    /// Calls one instance takes at once.
    pub concurrency: u32,
    pub min: u32,
    pub max: u32,
    pub idle_ms: Millis,
    pub constraints: Constraints,
    pub labels: BTreeMap<String, String>,
    pub description: String,
    /// Anybody may call it.
    pub public: bool,
    /// Milliseconds since the Unix epoch: of the function's first revision, and of this one. Told by the shell.
    pub created_unix_ms: u64,
    pub updated_unix_ms: u64,
}

impl Revision {
    /// The engine a node must have.
    pub fn engine(&self) -> &'static str {
        if self.image.starts_with("bundle:") { "process" } else { "docker" }
    }

    /// Runs to completion for each call.
    pub fn is_job(&self) -> bool {
        self.mode != Mode::Http
    }
}

/// A function as the cluster sees it now.
#[derive(Clone, Debug)]
pub struct Function {
    pub key: FunctionKey,
    pub name: Arc<str>,
    /// Oldest first; the last one is current.
    pub revisions: VecDeque<Arc<Revision>>,
    /// Those not gone, of any revision.
    pub instances: Vec<InstanceKey>,
    /// Accepted calls that wait for room.
    pub queue: VecDeque<InvocationKey>,
    /// Calls that run now.
    pub running: u64,
    /// Calls that ended, and of these failed.
    pub calls: u64,
    pub failures: u64,
    /// The last of these.
    pub recent: Recent,
    pub last_error: Option<String>,
    /// Instances of a lower key are of a deleted namesake; 0: not known, it was restored.
    pub(super) born: u64,
    /// Nodes where the current revision failed to start since it last did.
    pub(super) failed_on: Vec<NodeKey>,
    /// Failed starts and crashes in a row.
    pub(super) start_failures: u32,
    /// Its minimum is not started before this.
    pub(super) retry_at: Millis,
    /// When an instance was last started only because its node is better.
    pub(super) moved_at: Option<Millis>,
}

impl Function {
    pub(super) fn new(key: FunctionKey, name: Arc<str>, revisions: VecDeque<Arc<Revision>>) -> Self {
        Function {
            key,
            name,
            revisions,
            instances: Vec::new(),
            queue: VecDeque::new(),
            running: 0,
            calls: 0,
            failures: 0,
            recent: Recent::default(),
            last_error: None,
            born: 0,
            failed_on: Vec::new(),
            start_failures: 0,
            retry_at: 0,
            moved_at: None,
        }
    }

    /// What new calls run.
    pub fn current(&self) -> &Arc<Revision> {
        &self.revisions[self.revisions.len() - 1] // made with one, and never emptied
    }

    pub(super) fn add_revision(&mut self, revision: Arc<Revision>, keep: usize) {
        self.revisions.push_back(revision);
        while self.revisions.len() > keep.max(1) {
            self.revisions.pop_front();
        }
        self.start_afresh();
    }

    /// There must be one at least.
    pub(super) fn set_revisions(&mut self, revisions: Vec<Arc<Revision>>) {
        self.revisions = revisions.into();
        self.start_afresh();
    }

    fn start_afresh(&mut self) {
        self.failed_on.clear();
        self.start_failures = 0;
        self.retry_at = 0;
        self.last_error = None;
    }

    pub(super) fn ended(&mut self, call: Ended) {
        self.calls += 1;
        self.failures += u64::from(!call.success);
        self.recent.push(call);
    }
}
