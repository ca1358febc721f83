//! Pipelines: modules that depend on each other, each run as soon as what it depends on has ended. As pure as the rest of
//! the core: commands and time go in, events come out. Never knows how a module is run or what it carries.
//!
//! Time is as in `backlog`: milliseconds since the Unix epoch, counted on from the orchestrator's start.

mod attempts;
mod graph;
mod module;
mod run;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use graph::{Condition, Graph, MODULES, Planned};
pub use module::{Module, ModuleState};
pub use run::{Pipeline, PipelineKey, PipelineStatus};

use super::Millis;
use super::backlog::{AttemptEnd, Idempotency};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is taken, how often it is tried, and how long it is kept. Each has a reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Pipelines that run, and modules of all these: bounds memory.
    pub open: usize,
    pub open_modules: usize,
    /// The same of those that have ended.
    pub ended_kept: usize,
    pub modules_kept: usize,
    /// How long an ended one and its results are kept.
    pub retention_ms: Millis,
    /// What was asked for, which is held in memory, and results on disk. Beyond either the oldest ended ones go.
    pub bytes: u64,
    pub result_bytes: u64,
    /// Attempts under way, of one pipeline and of all.
    pub at_once: u32,
    pub at_once_in_all: u32,
    /// Between attempts of a module: the first pause, doubling, and the longest.
    pub retry_first_ms: Millis,
    pub retry_last_ms: Millis,
    /// The same when nothing could be started: the cluster may have room at any time.
    pub room_first_ms: Millis,
    pub room_last_ms: Millis,
    /// A module that found no room for so long is given up.
    pub max_age_ms: Millis,
    /// Nodes and orchestrators a module may outlive: one that kills its nodes must end some day.
    pub interruptions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            open: 1_000,
            open_modules: 100_000,
            ended_kept: 1_000,
            modules_kept: 100_000,
            retention_ms: 7 * 24 * 3_600_000,
            bytes: 256 << 20,
            result_bytes: 4 << 30,
            at_once: 500,
            at_once_in_all: 1_000,
            retry_first_ms: 1_000,
            retry_last_ms: 300_000,
            room_first_ms: 100,
            room_last_ms: 5_000,
            max_age_ms: 24 * 3_600_000,
            interruptions: 20,
        }
    }
}

/// A pipeline as it is asked for.
#[derive(Clone, Debug)]
pub struct Submission {
    pub graph: Arc<Graph>,
    /// Whether the first failure stops what needs success.
    pub stop: bool,
    pub bytes: u64,
    pub idempotency: Option<Idempotency>,
}

/// A change asked for, or something that happened. A module is meant by its number in the graph.
#[derive(Clone, Debug)]
pub enum Command {
    /// Takes a pipeline in. Nothing of it starts before it is `Kept`. Answered by `Accepted` or `Known`.
    Submit(Submission),
    /// The pipeline is on disk.
    Kept { pipeline: PipelineKey },
    /// It could not be put on disk, and nobody was told that it is accepted.
    Forget { pipeline: PipelineKey },
    /// The node that an attempt under way has gone to.
    Placed { pipeline: PipelineKey, module: usize, attempt: u64, node: Arc<str> },
    /// How an attempt ended. One that is not current is refused.
    Attempted { pipeline: PipelineKey, module: usize, attempt: u64, end: AttemptEnd },
    /// Not wanted any more.
    Cancel { pipeline: PipelineKey },
    /// What did not succeed is to be run again.
    Retry { pipeline: PipelineKey },
}

/// A fact. What the shell must do and keep follows from these alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new one: to be put on disk, and then `Kept`.
    Accepted { pipeline: PipelineKey },
    /// Asked for before, under the same name.
    Known { pipeline: PipelineKey },
    /// The module is to be kept as it is now, then to be run.
    Starting { pipeline: PipelineKey, module: usize, attempt: u64 },
    /// An attempt that is not wanted any more: what runs of it must end.
    Stopping { pipeline: PipelineKey, module: usize, attempt: u64 },
    /// The module is to be kept as it is now; one that has ended with its result, if it has any.
    Module { pipeline: PipelineKey, module: usize },
    /// The pipeline itself has ended or begun anew: to be kept as it is now.
    Pipeline { pipeline: PipelineKey },
    /// No longer kept: nothing of it is needed any more.
    Dropped { pipeline: PipelineKey, modules: usize },
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many pipelines run as may.
    TooMany { limit: usize },
    /// The same of all their modules.
    TooManyModules { limit: usize },
    /// What runs takes as much memory as it may.
    NoSpace { limit: u64 },
    /// Another request was made under this name.
    KeyReused { pipeline: PipelineKey },
    /// Never was, or is no longer kept.
    Unknown,
    /// Over already, otherwise; or, to be retried, not over or without a failure.
    Wrong { status: PipelineStatus },
    /// Another attempt is current, or none.
    StaleAttempt,
}

/// All pipelines.
pub struct Pipelines {
    limits: Limits,
    next_key: u64,
    next_attempt: u64,
    pipelines: BTreeMap<PipelineKey, Pipeline>,
    /// Not on disk yet.
    unkept: BTreeSet<PipelineKey>,
    attempts: BTreeMap<(PipelineKey, usize), u64>,
    names: BTreeMap<Arc<str>, PipelineKey>,
    open: BTreeSet<PipelineKey>,
    ended: BTreeSet<(Millis, PipelineKey)>,
    /// Of all, and of those that run.
    bytes: u64,
    open_bytes: u64,
    open_modules: usize,
    modules: usize,
    result_bytes: u64,
    /// Whose turn it was last.
    turn: Option<(PipelineKey, u32)>,
}

impl Pipelines {
    /// None yet. Keys count up from `first_key`; give each start of the orchestrator a range of its own.
    pub fn new(limits: Limits, first_key: u64) -> Self {
        Pipelines {
            limits,
            next_key: first_key,
            next_attempt: 0,
            pipelines: BTreeMap::new(),
            unkept: BTreeSet::new(),
            attempts: BTreeMap::new(),
            names: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            bytes: 0,
            open_bytes: 0,
            open_modules: 0,
            modules: 0,
            result_bytes: 0,
            turn: None,
        }
    }

    /// Carries one command out, or refuses it and changes nothing.
    pub fn apply(&mut self, now: Millis, command: Command) -> Result<Vec<Event>, Refusal> {
        let mut out = Vec::new();
        match command {
            Command::Submit(asked) => self.submit(now, asked, &mut out)?,
            Command::Kept { pipeline } => self.kept(pipeline)?,
            Command::Forget { pipeline } => self.forget(pipeline)?,
            Command::Placed { pipeline, module, attempt, node } => self.placed(pipeline, module, attempt, node)?,
            Command::Attempted { pipeline, module, attempt, end } => {
                self.attempted(now, pipeline, module, attempt, end, &mut out)?
            }
            Command::Cancel { pipeline } => self.cancel(now, pipeline, &mut out)?,
            Command::Retry { pipeline } => self.retry(now, pipeline, &mut out)?,
        }
        Ok(out)
    }

    fn submit(&mut self, now: Millis, asked: Submission, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let named = asked.idempotency.as_ref().and_then(|i| self.names.get(&i.key));
        if let Some(known) = named.and_then(|key| self.pipelines.get(key)) {
            let pipeline = known.key;
            if known.idempotency != asked.idempotency {
                return Err(Refusal::KeyReused { pipeline });
            }
            out.push(Event::Known { pipeline });
            return Ok(());
        }
        if self.open.len() >= self.limits.open {
            return Err(Refusal::TooMany { limit: self.limits.open });
        }
        self.fits(asked.graph.len(), asked.bytes)?;
        self.next_key += 1;
        let key = PipelineKey(self.next_key);
        let mut pipeline = Pipeline::new(key, asked.graph, asked.stop, now, asked.bytes);
        pipeline.idempotency = asked.idempotency;
        pipeline.begin(now, &mut BTreeSet::new()); // all of it is kept with the pipeline
        self.unkept.insert(key);
        self.insert(pipeline);
        out.push(Event::Accepted { pipeline: key });
        self.drop_beyond(out);
        Ok(())
    }

    fn fits(&self, modules: usize, bytes: u64) -> Result<(), Refusal> {
        if self.open_modules + modules > self.limits.open_modules {
            return Err(Refusal::TooManyModules { limit: self.limits.open_modules });
        }
        match self.open_bytes + bytes > self.limits.bytes {
            true => Err(Refusal::NoSpace { limit: self.limits.bytes }),
            false => Ok(()),
        }
    }

    /// Puts one in all books it belongs to.
    fn insert(&mut self, pipeline: Pipeline) {
        if let Some(i) = &pipeline.idempotency {
            self.names.insert(i.key.clone(), pipeline.key);
        }
        self.bytes += pipeline.bytes;
        self.modules += pipeline.modules.len();
        self.result_bytes += pipeline.result_bytes();
        match pipeline.ended {
            Some(at) => drop(self.ended.insert((at, pipeline.key))),
            None => self.opened(&pipeline),
        }
        self.pipelines.insert(pipeline.key, pipeline);
    }

    fn opened(&mut self, pipeline: &Pipeline) {
        self.open.insert(pipeline.key);
        self.open_bytes += pipeline.bytes;
        self.open_modules += pipeline.modules.len();
    }

    fn closed(&mut self, key: PipelineKey) {
        let Some(pipeline) = self.pipelines.get(&key) else { return };
        if self.open.remove(&key) {
            self.open_bytes -= pipeline.bytes;
            self.open_modules -= pipeline.modules.len();
        }
        self.ended.extend(pipeline.ended.map(|at| (at, key)));
    }

    fn kept(&mut self, key: PipelineKey) -> Result<(), Refusal> {
        self.unkept.remove(&key).then_some(()).ok_or(Refusal::Unknown)
    }

    fn forget(&mut self, key: PipelineKey) -> Result<(), Refusal> {
        if !self.unkept.contains(&key) {
            return Err(Refusal::Unknown);
        }
        self.remove(key);
        Ok(())
    }

    fn cancel(&mut self, now: Millis, key: PipelineKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let pipeline = self.pipelines.get_mut(&key).ok_or(Refusal::Unknown)?;
        match pipeline.status {
            PipelineStatus::Running => {}
            PipelineStatus::Cancelled => return Ok(()), // told twice
            status => return Err(Refusal::Wrong { status }),
        }
        let mut changed = BTreeSet::new();
        pipeline.cancel(now, &mut changed);
        for module in 0..pipeline.modules.len() {
            if let Some(attempt) = self.attempts.remove(&(key, module)) {
                out.push(Event::Stopping { pipeline: key, module, attempt });
            }
        }
        self.tell(key, changed, out);
        Ok(())
    }

    fn retry(&mut self, now: Millis, key: PipelineKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let pipeline = self.pipelines.get(&key).ok_or(Refusal::Unknown)?;
        if !matches!(pipeline.status, PipelineStatus::Failed | PipelineStatus::Cancelled) {
            return Err(Refusal::Wrong { status: pipeline.status });
        }
        if self.open.len() >= self.limits.open {
            return Err(Refusal::TooMany { limit: self.limits.open });
        }
        self.fits(pipeline.modules.len(), pipeline.bytes)?;
        let Some(mut pipeline) = self.pipelines.remove(&key) else { return Err(Refusal::Unknown) };
        self.ended.remove(&(pipeline.ended.unwrap_or(0), key));
        self.result_bytes -= pipeline.result_bytes();
        let mut changed = BTreeSet::new();
        pipeline.retry(now, &mut changed);
        self.result_bytes += pipeline.result_bytes();
        self.opened(&pipeline);
        self.pipelines.insert(key, pipeline);
        out.push(Event::Pipeline { pipeline: key });
        self.tell(key, changed, out);
        Ok(())
    }

    /// Modules have changed, and with them perhaps the pipeline.
    fn tell(&mut self, key: PipelineKey, changed: BTreeSet<usize>, out: &mut Vec<Event>) {
        out.extend(changed.into_iter().map(|module| Event::Module { pipeline: key, module }));
        if self.open.contains(&key) && self.pipelines.get(&key).is_some_and(|p| p.status.is_final()) {
            self.closed(key);
            out.push(Event::Pipeline { pipeline: key });
            self.drop_beyond(out);
        }
    }

    /// Takes a pipeline back into memory after a restart, as it was kept. What ran then is run again.
    pub fn restore(&mut self, now: Millis, mut pipeline: Pipeline) -> Vec<Event> {
        let (key, mut changed, mut out) = (pipeline.key, BTreeSet::new(), Vec::new());
        // a clock that was wrong then must not hold anything back now
        pipeline.submitted = pipeline.submitted.min(now);
        pipeline.ended = pipeline.ended.map(|at| at.min(now));
        let mut interrupted = Vec::new();
        for (index, module) in pipeline.modules.iter_mut().enumerate() {
            module.ended = module.ended.map(|at| at.min(now));
            module.next_try = module.next_try.min(now + self.limits.retry_last_ms);
            if std::mem::take(&mut module.begun) || module.state == ModuleState::Running {
                module.transition(ModuleState::Ready);
                module.interruptions += 1; // before `begin`: what has begun goes on
                module.last_error = Some("the orchestrator was restarted while it ran".into());
                interrupted.push(index);
            }
        }
        if pipeline.status.is_final() {
            self.insert(pipeline);
            self.drop_beyond(&mut out);
            return out;
        }
        self.insert(pipeline); // before it goes on: it may be over with that, and is then told and counted as any other
        if let Some(pipeline) = self.pipelines.get_mut(&key) {
            pipeline.begin(now, &mut changed);
        }
        for index in interrupted {
            self.interrupted(now, key, index, &mut changed);
        }
        self.tell(key, changed, &mut out);
        out
    }

    /// Does what has become due, but for starting modules. Harmless at any time.
    pub fn tick(&mut self, now: Millis) -> Vec<Event> {
        let mut out = Vec::new();
        while let Some((at, key)) = self.ended.first().copied()
            && at.saturating_add(self.limits.retention_ms) <= now
        {
            self.drop_one(key, &mut out);
        }
        out
    }

    /// When `tick` or `start_due` may have something to do that is not due now.
    pub fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let due = self.open.iter().filter_map(|key| self.pipelines.get(key)?.next_due(now)).min();
        let old = self.ended.first().map(|(at, _)| at.saturating_add(self.limits.retention_ms));
        [due, old].into_iter().flatten().min()
    }

    /// Newest first, from before a key on.
    pub fn newest(&self, before: Option<PipelineKey>) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.range(..before.unwrap_or(PipelineKey(u64::MAX))).rev().map(|(_, pipeline)| pipeline)
    }

    pub fn pipeline(&self, key: PipelineKey) -> Option<&Pipeline> {
        self.pipelines.get(&key)
    }

    /// Whether one is on disk; `None`: there is none.
    pub fn is_kept(&self, key: PipelineKey) -> Option<bool> {
        self.pipelines.contains_key(&key).then(|| !self.unkept.contains(&key))
    }

    /// Beyond the limits of number and size the oldest ended go first; the one that ended last stays.
    fn drop_beyond(&mut self, out: &mut Vec<Event>) {
        let beyond = |all: &Self| {
            let ended_modules = all.modules - all.open_modules;
            all.ended.len() > all.limits.ended_kept
                || (all.ended.len() > 1
                    && (ended_modules > all.limits.modules_kept
                        || all.bytes > all.limits.bytes
                        || all.result_bytes > all.limits.result_bytes))
        };
        while beyond(self) {
            let Some((_, key)) = self.ended.first().copied() else { return };
            self.drop_one(key, out);
        }
    }

    fn drop_one(&mut self, key: PipelineKey, out: &mut Vec<Event>) {
        let modules = self.pipelines.get(&key).map_or(0, |pipeline| pipeline.modules.len());
        self.remove(key);
        out.push(Event::Dropped { pipeline: key, modules });
    }

    /// Takes one out of all books.
    fn remove(&mut self, key: PipelineKey) {
        self.closed(key);
        let Some(pipeline) = self.pipelines.remove(&key) else { return };
        self.ended.remove(&(pipeline.ended.unwrap_or(0), key));
        self.unkept.remove(&key);
        if let Some(i) = &pipeline.idempotency {
            self.names.remove(&i.key);
        }
        self.bytes -= pipeline.bytes;
        self.modules -= pipeline.modules.len();
        self.result_bytes -= pipeline.result_bytes();
    }
}
