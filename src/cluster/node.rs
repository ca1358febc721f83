//! A node: what it is, whether it may be given work, and how loaded it looks. Never decides where work goes.

use super::step::step;
use super::{InstanceKey, Millis, Placement, Reserved, TaskKey, TaskPlace};
use std::collections::{BTreeMap, BTreeSet};

/// A node's place in this cluster's memory; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub u64);

/// What a node says of itself when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSpec {
    /// Chosen by the node and kept on its disk.
    pub id: String,
    /// What people call it; unique among nodes.
    pub name: String,
    pub address: String,
    pub hostname: String,
    pub os: String,
    pub arch: String,
    pub tools: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
    /// Engines that work there: `process`, `docker`.
    pub engines: BTreeSet<String>,
    /// Why an engine that was looked for cannot be used, for people; empty when all is well.
    pub engine_trouble: String,
    /// Invocations at once.
    pub slots: u32,
    /// Of these, jobs at once.
    pub job_slots: u32,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// Of the file system its tasks write to.
    pub disk_bytes: u64,
    /// Devices that tasks may ask for, by what the node calls them.
    pub devices: BTreeSet<String>,
    /// Of the secret that proves that it is this node; empty: it has none, as those of the first CARES.
    pub digest: String,
    /// It gives functions their secrets: a worker of an earlier version would start them without.
    pub secrets: bool,
    /// Of its program; empty for a worker of the first CARES, and for one that joined over HTTP alone.
    pub version: String,
    /// It joined over HTTP alone, and is called at its address.
    pub http: bool,
}

impl NodeSpec {
    /// A worker of the first CARES: it knows no sessions and opens no links.
    pub fn first_generation(&self) -> bool {
        self.version.is_empty() && !self.http
    }
}

/// Whether a node may be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStatus {
    Active,
    /// Finishes what it has, gets nothing new.
    Draining,
    /// Its lease ran out or its connection closed.
    Disconnected,
}

impl NodeStatus {
    /// The one table of what may follow what.
    pub fn may_become(self, next: NodeStatus) -> bool {
        use NodeStatus::*;
        matches!(
            (self, next),
            (Active, Draining)
                | (Active, Disconnected)
                | (Draining, Active)
                | (Draining, Disconnected)
                | (Disconnected, Active)
        )
    }

    /// The word people and programs see.
    pub fn word(self) -> &'static str {
        match self {
            NodeStatus::Active => "active",
            NodeStatus::Draining => "draining",
            NodeStatus::Disconnected => "disconnected",
        }
    }
}

/// How calls reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Joined, but nothing carries calls yet.
    None,
    /// HTTP/2 connections that the node opened.
    Links,
    /// A worker of the first CARES, called at its own address: it runs an image by name, and takes nothing else.
    FirstGeneration,
    /// It joined over HTTP alone, and is called at its own address: it runs modules by a function's name, each a job.
    Http,
}

/// How much of a revision a way to a node has words for: each has those of the ones before it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Words {
    /// What runs by its name alone, as a job.
    Name,
    /// With an environment.
    Environment,
    All,
}

impl Reach {
    /// What can be said over it.
    pub fn words(self) -> Words {
        match self {
            Reach::FirstGeneration => Words::Name,
            Reach::Http => Words::Environment,
            Reach::None | Reach::Links => Words::All,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Reach::None => "none",
            Reach::Links => "links",
            Reach::FirstGeneration => "first-generation",
            Reach::Http => "http",
        }
    }
}

/// How far the pull of an image to a node is, as the node said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    pub image: String,
    pub layers: u32,
    pub layers_done: u32,
    /// Of the layers whose size is known so far.
    pub bytes: u64,
    pub bytes_done: u64,
}

/// What a call weighs, in cores, until the node's own metrics show it.
const JOB_WEIGHT_CORES: f64 = 1.0;
const HTTP_WEIGHT_CORES: f64 = 0.1;
/// What starting an instance weighs.
const START_WEIGHT_CORES: f64 = 1.0;

/// What a node whose metrics cannot be read is taken to use, percent: neither best nor worst.
const UNKNOWN_PERCENT: f64 = 50.0;

/// A node and its load.
#[derive(Clone, Debug)]
pub struct Node {
    pub key: NodeKey,
    pub spec: NodeSpec,
    pub status: NodeStatus,
    /// Set by an operator: nothing new goes there. Outlives a reconnect.
    pub cordoned: bool,
    /// Set by an operator: it is not let in again.
    pub revoked: bool,
    /// The join that is current; messages of an older one are refused.
    pub session: u64,
    pub reach: Reach,
    pub last_seen: Millis,
    /// When its session began.
    pub joined_at: Millis,
    pub lease_ends: Millis,
    /// Percent, 0 to 100; `None`: could not be read.
    pub cpu_percent: Option<f64>,
    pub memory_percent: Option<f64>,
    /// Bytes of its disk; 0: it did not say. Only shown.
    pub disk_used: u64,
    /// Images that are on their way to it.
    pub pulls: Vec<Pull>,
    /// Invocations that hold a slot now.
    pub running: u32,
    /// Of these, jobs.
    pub running_jobs: u32,
    pub succeeded: u64,
    pub failed: u64,
    /// Said that it is about to go.
    pub leaving: bool,
    /// Draining, and nothing is left on it.
    pub drained: bool,
    /// Heartbeats so far in this session.
    pub(super) beats: u64,
    /// Cores' worth of calls placed since the last beat, and between the two before it.
    fresh_cores: [f64; 2],
    /// When it was last given something, as a counter: equal nodes take turns.
    pub(super) last_given: u64,
    /// Where it stands in the placement index, if it does.
    pub(super) placed: Option<Placement>,
    /// Whether it stands there for jobs too.
    pub(super) placed_for_jobs: bool,
    /// Of the index's classes, those it belongs to.
    pub(super) classes: Vec<bool>,
    /// Those not gone, of any function.
    pub(super) instances: BTreeSet<InstanceKey>,
    /// Tasks that are placed here, also while the node is away.
    pub(super) tasks: BTreeSet<TaskKey>,
    /// Of these, such as have not started.
    pub(super) tasks_starting: usize,
    /// What tasks have reserved.
    pub(super) reserved: Reserved,
    /// When it was last given a task, as a counter.
    pub(super) task_turn: u64,
    /// Where it stands among those that take tasks, if it does.
    pub(super) task_place: Option<TaskPlace>,
}

impl Node {
    pub(super) fn new(key: NodeKey, spec: NodeSpec) -> Self {
        Node {
            key,
            spec,
            status: NodeStatus::Disconnected,
            cordoned: false,
            revoked: false,
            session: 0,
            reach: Reach::None,
            last_seen: 0,
            joined_at: 0,
            lease_ends: 0,
            cpu_percent: None,
            memory_percent: None,
            disk_used: 0,
            pulls: Vec::new(),
            running: 0,
            running_jobs: 0,
            succeeded: 0,
            failed: 0,
            leaving: false,
            drained: false,
            beats: 0,
            fresh_cores: [0.0; 2],
            last_given: 0,
            placed: None,
            placed_for_jobs: false,
            classes: Vec::new(),
            instances: BTreeSet::new(),
            tasks: BTreeSet::new(),
            tasks_starting: 0,
            reserved: Reserved::default(),
            task_turn: 0,
            task_place: None,
        }
    }

    pub(super) fn transition(&mut self, next: NodeStatus) -> bool {
        if next == NodeStatus::Disconnected {
            self.pulls.clear(); // they may go on, but nobody says how
        }
        step(&mut self.status, next, NodeStatus::may_become)
    }

    /// The pull of an image that goes on here.
    pub fn pull_of(&self, image: &str) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.image == image)
    }

    /// May be given something new.
    pub fn takes_work(&self) -> bool {
        self.status == NodeStatus::Active
            && !self.cordoned
            && self.reach != Reach::None
            && self.running < self.spec.slots
    }

    /// Can carry a call to an instance that it has.
    pub fn carries_calls(&self) -> bool {
        self.status == NodeStatus::Active && self.reach != Reach::None && self.running < self.spec.slots
    }

    /// May be given a task; at most so many, and so many that start.
    pub(super) fn takes_tasks(&self, (most, starting): (usize, usize)) -> bool {
        let there = self.status == NodeStatus::Active && !self.cordoned && self.reach == Reach::Links;
        there && self.tasks.len() < most && self.tasks_starting < starting
    }

    /// Tasks placed here.
    pub fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.tasks.iter().copied()
    }

    /// Memory that no task has reserved.
    pub fn unreserved_memory(&self) -> u64 {
        self.spec.memory_bytes.saturating_sub(self.reserved.memory_bytes)
    }

    /// Cores that no task has reserved.
    pub fn unreserved_cpus(&self) -> f64 {
        (f64::from(self.spec.cpus) - self.reserved.cpu_milli as f64 / 1_000.0).max(0.0)
    }

    /// What tasks have reserved of memory (bytes), cores and disk (bytes).
    pub fn reserved(&self) -> (u64, f64, u64) {
        let taken = &self.reserved;
        (taken.memory_bytes, taken.cpu_milli as f64 / 1_000.0, taken.disk_bytes)
    }

    /// 0.5·CPU% + 0.5·memory%, with what was placed there since its metrics were read counted as CPU, and of either no
    /// less than tasks have reserved. Lower is better.
    pub fn score(&self) -> f64 {
        self.score_with(100.0 * (self.fresh_cores[0] + self.fresh_cores[1]) / f64::from(self.spec.cpus.max(1)))
    }

    /// The score by its metrics alone.
    pub(super) fn measured(&self) -> f64 {
        self.score_with(0.0)
    }

    fn score_with(&self, fresh_percent: f64) -> f64 {
        let cpu = self.cpu_percent.unwrap_or(UNKNOWN_PERCENT) + fresh_percent;
        let share = |taken: f64, all: f64| if all > 0.0 { (100.0 * taken / all).min(100.0) } else { 0.0 };
        let cpu_reserved = share(self.reserved.cpu_milli as f64 / 1_000.0, f64::from(self.spec.cpus));
        let memory_reserved = share(self.reserved.memory_bytes as f64, self.spec.memory_bytes as f64);
        let memory = self.memory_percent.unwrap_or(UNKNOWN_PERCENT);
        0.5 * cpu.min(100.0).max(cpu_reserved) + 0.5 * memory.max(memory_reserved)
    }

    pub(super) fn start_session(&mut self, session: u64, now: Millis, lease_ms: Millis) {
        self.session = session;
        self.reach = Reach::None;
        self.leaving = false;
        self.drained = false;
        self.beats = 0;
        self.fresh_cores = [0.0; 2];
        self.joined_at = now;
        self.renew(now, lease_ms);
    }

    pub(super) fn renew(&mut self, now: Millis, lease_ms: Millis) {
        self.last_seen = now;
        self.lease_ends = now.saturating_add(lease_ms);
    }

    pub(super) fn beat(&mut self, cpu_percent: Option<f64>, memory_percent: Option<f64>) {
        self.cpu_percent = percent(cpu_percent);
        self.memory_percent = percent(memory_percent);
        self.beats += 1;
        self.fresh_cores = [0.0, self.fresh_cores[0]];
    }

    pub(super) fn take_slot(&mut self, job: bool, turn: u64) {
        self.running += 1;
        self.running_jobs += u32::from(job);
        self.fresh_cores[0] += weight(job);
        self.last_given = turn;
    }

    /// An instance starts here: work that the metrics do not show yet.
    pub(super) fn note_start(&mut self, turn: u64) {
        self.fresh_cores[0] += START_WEIGHT_CORES;
        self.last_given = turn;
    }

    /// `at_beat`: which beat the slot was taken at, so that a short call does not weigh once it is over.
    pub(super) fn give_slot_back(&mut self, job: bool, at_beat: u64) {
        self.running = self.running.saturating_sub(1);
        self.running_jobs = self.running_jobs.saturating_sub(u32::from(job));
        if let Some(cores) = self.fresh_cores.get_mut((self.beats - at_beat.min(self.beats)) as usize) {
            *cores = (*cores - weight(job)).max(0.0);
        }
    }
}

fn weight(job: bool) -> f64 {
    if job { JOB_WEIGHT_CORES } else { HTTP_WEIGHT_CORES }
}

/// A peer may send anything: what is no number between 0 and 100 is unknown or cut.
fn percent(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite() && *v >= 0.0).map(|v| v.min(100.0))
}
