//! A node: what it is, whether it may be given work, and how loaded it looks. Never decides where work goes.

use super::{InstanceKey, Millis, Placement};
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
    /// Of the secret that proves that it is this node; empty: it has none, as those of the first CARES.
    pub digest: String,
    /// Of its program; empty for a worker of the first CARES.
    pub version: String,
}

impl NodeSpec {
    /// A worker of the first CARES: it knows no sessions and opens no links.
    pub fn first_generation(&self) -> bool {
        self.version.is_empty()
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
}

impl Reach {
    pub fn word(self) -> &'static str {
        match self {
            Reach::None => "none",
            Reach::Links => "links",
            Reach::FirstGeneration => "first-generation",
        }
    }
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
    /// The join that is current; messages of an older one are refused.
    pub session: u64,
    pub reach: Reach,
    pub last_seen: Millis,
    pub lease_ends: Millis,
    /// Percent, 0 to 100; `None`: could not be read.
    pub cpu_percent: Option<f64>,
    pub memory_percent: Option<f64>,
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
}

impl Node {
    pub(super) fn new(key: NodeKey, spec: NodeSpec) -> Self {
        Node {
            key,
            spec,
            status: NodeStatus::Disconnected,
            cordoned: false,
            session: 0,
            reach: Reach::None,
            last_seen: 0,
            lease_ends: 0,
            cpu_percent: None,
            memory_percent: None,
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
        }
    }

    pub(super) fn transition(&mut self, next: NodeStatus) -> bool {
        let legal = self.status.may_become(next);
        if legal {
            self.status = next;
        }
        legal
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

    /// 0.5·CPU% + 0.5·memory%, with what was placed there since its metrics were read counted as CPU. Lower is better.
    pub fn score(&self) -> f64 {
        self.score_with(100.0 * (self.fresh_cores[0] + self.fresh_cores[1]) / f64::from(self.spec.cpus.max(1)))
    }

    /// The score by its metrics alone.
    pub(super) fn measured(&self) -> f64 {
        self.score_with(0.0)
    }

    fn score_with(&self, fresh_percent: f64) -> f64 {
        let cpu = self.cpu_percent.unwrap_or(UNKNOWN_PERCENT) + fresh_percent;
        0.5 * cpu.min(100.0) + 0.5 * self.memory_percent.unwrap_or(UNKNOWN_PERCENT)
    }

    pub(super) fn start_session(&mut self, session: u64, now: Millis, lease_ms: Millis) {
        self.session = session;
        self.reach = Reach::None;
        self.leaving = false;
        self.drained = false;
        self.beats = 0;
        self.fresh_cores = [0.0; 2];
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
