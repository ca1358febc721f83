//! A function and its revisions. Never knows which node runs it.

use super::crowd::Crowd;
use super::{Ended, InstanceKey, InvocationKey, Kept, Meter, Millis, NodeKey, Recent, Words};
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
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constraints {
    pub os: Option<String>,
    pub arch: Option<String>,
    pub tools: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
    /// Of a call alone: its node gives a job the body and the variables that come with the call. Workers of an earlier
    /// version start it without.
    pub takes_inputs: bool,
}

/// How far a function is kept apart from its node and from other functions. The default is: as far as can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// It sees the node's files as the worker's user does; a container may write to its own root.
    pub open_files: bool,
    /// It may make every system call its user may make.
    pub all_syscalls: bool,
    /// Processes and threads at once; 0: as many as nodes give.
    pub pids: u32,
    /// Its temporary files; 0: as much as nodes give.
    pub tmp_bytes: u64,
}

/// The engine that runs an image; no node has one for what nodes do not run.
pub(super) fn engine_of(image: &str) -> &'static str {
    match Runs::of(image) {
        Runs::OnNodes if image.starts_with("bundle:") => "process",
        Runs::OnNodes => "docker",
        Runs::Elsewhere => "endpoint",
        Runs::Nowhere => "none",
    }
}

/// Where calls of a revision go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    OnNodes,
    /// Its image is the address of a server that somebody else runs.
    Elsewhere,
    /// It has no image yet.
    Nowhere,
}

impl Runs {
    /// What an image's name says.
    pub fn of(image: &str) -> Runs {
        match image {
            "" => Runs::Nowhere,
            image if ["http://", "https://"].iter().any(|scheme| image.starts_with(scheme)) => Runs::Elsewhere,
            _ => Runs::OnNodes,
        }
    }
}

/// The secrets a function is given, by name; their values are the shell's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Files.
    pub files: BTreeMap<String, String>,
}

impl Secrets {
    /// It uses none.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.files.is_empty()
    }

    /// The name of each, some perhaps more than once.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.env.values().chain(self.files.values())
    }
}

/// When a function is called without being asked; what the words mean is the shell's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Five fields, or an alias.
    pub expression: String,
    /// An IANA name.
    pub zone: String,
    /// Whether a time that nobody was there for is made up for, once.
    pub make_up: bool,
    /// Whether a call is made while the one before has not ended.
    pub overlap: bool,
}

/// Everything needed to run a function, fixed once made.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub function: Arc<str>,
    /// Counts from 1 for each function.
    pub number: u64,
    /// Instances of no higher key are of another revision, that had this number and this function's name before: it was
    /// deleted or undone, or was never on disk. Set by the core; 0: made before this was kept.
    pub born: u64,
    /// An image reference, `bundle:DIGEST`, the URL of a server that is there, or nothing yet.
    pub image: String,
    pub mode: Mode,
    /// Empty: the image's own.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub secrets: Secrets,
    pub timeout_ms: Millis,
    /// 0: no limit of its own.
    pub memory_bytes: u64,
    /// Cores; 0: no limit of its own.
    pub cpu: f64,
    pub isolation: Isolation,
    /// Calls one instance takes at once.
    pub concurrency: u32,
    /// Instances never stopped and never frozen.
    pub min: u32,
    /// Instances never stopped; they may be frozen.
    pub ready: u32,
    pub max: u32,
    pub idle_ms: Millis,
    /// An instance is frozen after this long without a call.
    pub freeze_ms: Millis,
    /// The image's name may mean another image by now: each node asks its registry once.
    pub fresh: bool,
    pub constraints: Constraints,
    pub labels: BTreeMap<String, String>,
    pub description: String,
    /// Of an asynchronous call, that may end by the function's own fault.
    pub attempts: u32,
    pub schedule: Option<Schedule>,
    /// Anybody may call it.
    pub public: bool,
    /// Calls a second that the shell takes; 0: no limit of its own.
    pub rate_per_s: u32,
    /// Calls that run or wait at once; 0: no limit of its own.
    pub calls_at_once: u32,
    /// Milliseconds since the Unix epoch: of the function's first revision, and of this one. Told by the shell.
    pub created_unix_ms: u64,
    pub updated_unix_ms: u64,
    /// Who made it; empty: not known. Told by the shell.
    pub by: String,
}

impl Revision {
    /// The engine a node must have.
    pub fn engine(&self) -> &'static str {
        engine_of(&self.image)
    }

    /// Where its calls go.
    pub fn runs(&self) -> Runs {
        Runs::of(&self.image)
    }

    /// What the way to its node must have words for.
    pub(super) fn words(&self) -> Words {
        match () {
            () if self.mode == Mode::Http || !self.command.is_empty() => Words::All,
            () if !self.env.is_empty() => Words::Environment,
            () => Words::Name,
        }
    }

    /// Differs in nothing that an instance would show.
    pub(super) fn runs_as(&self, other: &Revision) -> bool {
        let bounds = |r: &Revision| Revision { born: 0, min: 0, ready: 0, max: 0, mode: Mode::Auto, ..r.clone() };
        bounds(self) == bounds(other)
    }

    /// Runs to completion for each call.
    pub fn is_job(&self) -> bool {
        self.mode != Mode::Http
    }
}

/// Instances of one revision, by state; those that drain are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub starting: u32,
    pub warm: u32,
    pub frozen: u32,
}

impl Tally {
    pub fn live(self) -> u32 {
        self.starting + self.warm + self.frozen
    }

    /// Takes calls, or does as soon as one comes.
    pub fn up(self) -> u32 {
        self.warm + self.frozen
    }
}

/// The newest revision on its way to take over.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollout {
    /// Nodes where it failed to start.
    pub failed_on: Vec<NodeKey>,
    /// The node that was asked how its image is run.
    pub asked: Option<NodeKey>,
    pub tally: Tally,
}

/// What of a function survives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lasting {
    /// Oldest first.
    pub revisions: Vec<Arc<Revision>>,
    /// The revision that new calls run, if one of its instances has ever answered.
    pub serving: Option<u64>,
    /// Why the newest revision does not serve, if it has failed.
    pub failed: Option<String>,
    /// Somebody stopped it.
    pub stopped: bool,
}

impl Lasting {
    /// `None`: it has no revision.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.revisions.first().map(|r| &r.function)
    }
}

/// A function as the cluster sees it now.
#[derive(Clone, Debug)]
pub struct Function {
    pub key: FunctionKey,
    pub name: Arc<str>,
    /// Oldest first; the last one is the newest.
    pub revisions: VecDeque<Arc<Revision>>,
    /// Those not gone, of any revision.
    pub instances: Vec<InstanceKey>,
    /// Accepted calls that wait for room.
    pub queue: VecDeque<InvocationKey>,
    /// Of these, such as ask for more of a node than the function does.
    pub(super) asking: BTreeSet<InvocationKey>,
    /// Calls that run now.
    pub running: u64,
    /// What has happened to its calls and instances.
    pub meter: Meter,
    /// The last calls that ended.
    pub recent: Recent,
    pub last_error: Option<String>,
    /// Why the newest revision does not serve, once it has failed.
    pub failed: Option<String>,
    /// Somebody stopped it: nothing of it runs, and it takes no calls.
    pub stopped: bool,
    /// The revision new calls run.
    pub(super) serving: Arc<Revision>,
    /// An instance of that revision has answered.
    pub(super) proven: bool,
    /// The newest revision does not serve yet.
    pub(super) rollout: Option<Rollout>,
    /// Instances of the serving revision.
    pub(super) tally: Tally,
    /// Those of them that take one more call.
    pub(super) open: BTreeSet<InstanceKey>,
    /// The one picked last: where many have room, they are looked at in turn.
    pub(super) picked: InstanceKey,
    /// Calls at once at most, in this stretch of idle time and in the one before it.
    pub(super) peaks: [u64; 2],
    /// When this stretch ends.
    pub(super) peaks_until: Millis,
    /// Calls have to wait.
    pub(super) crowd: Option<Crowd>,
    /// Nodes where the serving revision failed to start since it last did.
    pub(super) failed_on: Vec<NodeKey>,
    /// Failed starts and crashes in a row.
    pub(super) start_failures: u32,
    /// Its minimum is not started before this.
    pub(super) retry_at: Millis,
    /// When an instance was last started only because its node is better.
    pub(super) moved_at: Option<Millis>,
    /// When a better node was last looked for in vain.
    pub(super) looked_at: Option<Millis>,
}

impl Function {
    /// `revisions` must not be empty: the last one is given too.
    pub(super) fn new(key: FunctionKey, revisions: VecDeque<Arc<Revision>>, newest: Arc<Revision>) -> Self {
        Function {
            key,
            name: newest.function.clone(),
            revisions,
            instances: Vec::new(),
            queue: VecDeque::new(),
            asking: BTreeSet::new(),
            running: 0,
            meter: Meter::default(),
            recent: Recent::default(),
            last_error: None,
            failed: None,
            stopped: false,
            serving: newest,
            proven: false,
            rollout: None,
            tally: Tally::default(),
            open: BTreeSet::new(),
            picked: InstanceKey(0),
            peaks: [0; 2],
            peaks_until: 0,
            crowd: None,
            failed_on: Vec::new(),
            start_failures: 0,
            retry_at: 0,
            moved_at: None,
            looked_at: None,
        }
    }

    /// What new calls run.
    pub fn current(&self) -> &Arc<Revision> {
        &self.serving
    }

    /// What was put last. It serves, or will once one of its instances answers, or has failed.
    pub fn newest(&self) -> &Arc<Revision> {
        self.revisions.back().unwrap_or(&self.serving)
    }

    /// The newest revision is on its way.
    pub fn rolling_out(&self) -> bool {
        self.rollout.is_some()
    }

    /// Calls that wait, wait for one of those that run to end, and not for a start.
    pub fn is_full(&self) -> bool {
        self.serving.is_job() || self.tally.up() > 0
    }

    /// One of the kept revisions.
    pub fn kept(&self, which: Kept) -> Option<&Arc<Revision>> {
        match which {
            Kept::Newest | Kept::AsItIs => Some(self.newest()),
            Kept::Before if self.newest().number != self.serving.number => Some(&self.serving),
            Kept::Before => self.revisions.iter().rev().nth(1),
            Kept::Number(number) => self.revisions.iter().find(|r| r.number == number),
        }
    }

    /// What must survive a restart.
    pub fn lasting(&self) -> Lasting {
        Lasting {
            revisions: self.revisions.iter().cloned().collect(),
            serving: self.is_proven().then_some(self.serving.number),
            failed: self.failed.clone(),
            stopped: self.stopped,
        }
    }

    /// Becomes what was kept, but for its instances and calls. There must be a revision.
    pub(super) fn set(&mut self, kept: Lasting) {
        let Some(newest) = kept.revisions.last().cloned() else { return };
        let serving = kept.revisions.iter().find(|r| Some(r.number) == kept.serving).cloned();
        let proven = serving.is_some();
        self.revisions = kept.revisions.into();
        self.stopped = kept.stopped;
        self.serve(serving.unwrap_or_else(|| newest.clone()), proven);
        if self.serving.number != newest.number {
            self.last_error = kept.failed.clone();
            self.failed = kept.failed;
            self.rollout = self.failed.is_none().then(Default::default);
        }
    }

    /// Worth keeping until a newer one has shown that it runs.
    pub(super) fn is_proven(&self) -> bool {
        self.proven || self.serving.mode == Mode::Job
    }

    /// Instances of the serving revision that are started whatever the load.
    pub(super) fn floor(&self) -> u32 {
        let r = &self.serving;
        if r.is_job() || self.stopped || r.runs() != Runs::OnNodes { 0 } else { r.min.max(r.ready).min(r.max) }
    }

    /// Something is to be kept up or brought up without a call.
    pub(super) fn wants_care(&self) -> bool {
        !self.stopped && (self.floor() > 0 || self.rollout.is_some())
    }

    /// Instances that so many calls at once need.
    pub(super) fn needed(&self, calls: u64) -> u32 {
        u32::try_from(calls.div_ceil(u64::from(self.serving.concurrency.max(1)))).unwrap_or(u32::MAX)
    }

    /// Forgets the oldest revisions beyond `keep`, but never the one that serves.
    pub(super) fn add_revision(&mut self, revision: Arc<Revision>, keep: usize) {
        self.revisions.push_back(revision);
        while self.revisions.len() > keep.max(1) {
            let serves = |r: &Arc<Revision>| r.number == self.serving.number;
            let spare = self.revisions.iter().position(|r| !serves(r)).filter(|at| at + 1 < self.revisions.len());
            let Some(at) = spare else { break };
            self.revisions.remove(at);
        }
    }

    /// From now on new calls run this.
    pub(super) fn serve(&mut self, revision: Arc<Revision>, proven: bool) {
        self.serving = revision;
        self.proven = proven;
        self.rollout = None;
        self.failed = None;
        self.start_afresh();
    }

    fn start_afresh(&mut self) {
        self.failed_on.clear();
        self.start_failures = 0;
        self.retry_at = 0;
        self.last_error = None;
    }

    /// Replaces a kept revision by a version of itself, wherever it is held.
    pub(super) fn amend(&mut self, revision: Arc<Revision>) {
        if self.serving.number == revision.number {
            self.serving = revision.clone();
        }
        if let Some(kept) = self.revisions.iter_mut().find(|r| r.number == revision.number) {
            *kept = revision;
        }
    }

    pub(super) fn note_peak(&mut self) {
        self.peaks[0] = self.peaks[0].max(self.running + self.queue.len() as u64);
    }

    /// A call waits: all there are are needed, whatever they say they take, as their nodes may be full.
    pub(super) fn note_wait(&mut self) {
        let all = u64::from(self.tally.live()) * u64::from(self.serving.concurrency);
        self.peaks[0] = self.peaks[0].max(all);
        self.note_peak();
    }

    pub(super) fn ended(&mut self, call: Ended) {
        self.meter.ended(call.success, call.took_us);
        self.recent.push(call);
    }
}
