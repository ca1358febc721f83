//! The world around one cluster: virtual time, what is under way, and what the outside remembers and holds it to.

use super::super::*;
use super::disk::Disk;
use super::lives::Seen;
use super::tasks::{TaskOrder, TaskWorld};
use super::workers::{Order, Worker};
use crate::cluster::invariants::{check, ensure};
use crate::dice::Dice;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Something that happens at a time to come.
#[allow(clippy::large_enum_variant)] // few are under way at once
pub(super) enum Happening {
    /// Reaches the core; `from`: the worker that hears what came of it.
    Core {
        from: Option<usize>,
        command: Command,
    },
    /// Reaches a worker.
    Worker(usize, Order),
    /// A worker's own doings.
    Beat {
        worker: usize,
        life: u64,
    },
    Join {
        worker: usize,
        life: u64,
    },
    Started {
        worker: usize,
        instance: InstanceKey,
        well: bool,
    },
    /// The shell's own timers.
    CallEnds {
        invocation: InvocationKey,
        attempt: u32,
    },
    GivesUp {
        invocation: InvocationKey,
    },
    StartTimeout {
        instance: InstanceKey,
    },
    PrepareTimeout {
        node: NodeKey,
        revision: Arc<Revision>,
    },
    /// The shell's word on a task to a worker.
    TaskOrder {
        node: NodeKey,
        session: u64,
        id: Arc<str>,
        attempt: u64,
        order: TaskOrder,
    },
    /// A task at a worker goes on.
    TaskTurn {
        worker: usize,
        id: Arc<str>,
        turn: u64,
    },
    /// The shell has found that nothing can be written, and tries again.
    Disk,
    /// Somebody does something, and something else later.
    Chaos {
        left: u32,
    },
}

/// A call as its caller and the shell know it.
pub(super) struct Call {
    pub attempt: u32,
    pub at: Option<Assigned>,
    pub refused_by: Vec<NodeKey>,
    pub wants: Option<Arc<Constraints>>,
}

/// What every revision of ours has.
const DULL: &[&str] = &[
    "command: [], ",
    "env: {}, ",
    "timeout_ms: 30000, ",
    "memory_bytes: 0, ",
    "fresh: false, ",
    "cpu: 0.0, ",
    ", labels: {}",
    ", created_unix_ms: 0, updated_unix_ms: 0, by: \"\"",
    "os: None, arch: None, tools: {}, tags: {} ",
];

pub(super) struct World {
    pub dice: Dice,
    pub now: Millis,
    pub step: u64,
    pub cluster: Cluster,
    pub limits: Limits,
    pub workers: Vec<Worker>,
    pub by_node: BTreeMap<NodeKey, usize>,
    /// As of the last join.
    pub sessions: BTreeMap<NodeKey, u64>,
    pub calls: BTreeMap<InvocationKey, Call>,
    pub puts: BTreeMap<Arc<str>, u64>,
    /// Revisions of which an instance has answered, by number and when they were born.
    pub answered: BTreeSet<(Arc<str>, u64, u64)>,
    /// What each function's calls run, and whether that had answered.
    pub serving: BTreeMap<(Arc<str>, FunctionKey), (u64, bool)>,
    pub disk: Disk,
    pub backup: BTreeMap<Arc<str>, Lasting>,
    /// Functions become what they were.
    pub undoing: bool,
    pub tasks: TaskWorld,
    pub put_count: u64,
    /// How troubled these times are, percent: in quiet ones other things can grow.
    pub troubled: u64,
    /// Instances of a lower key are from before the orchestrator's last restart.
    pub first_key: u64,
    /// Instances that a node said to run something as which it did not, at that time: it may run them later.
    pub lied_of: BTreeSet<InstanceKey>,
    /// Messages arrive, once and in time; nothing fails any more.
    pub healed: bool,
    pub seen: Seen,
    ticked: Millis,
    late: Millis,
    /// The orchestrator does nothing for so long when it is to do something next.
    pub suspended: Millis,
    /// Ticks at the same time.
    vain: u32,
    last_word: BTreeMap<NodeKey, Millis>,
    pub status: BTreeMap<NodeKey, (NodeStatus, u64)>,
    pub states: BTreeMap<InstanceKey, (InstanceState, NodeKey)>,
    to_come: BTreeMap<u64, Happening>,
    when: BinaryHeap<Reverse<(Millis, u64)>>,
    log: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, tell: bool) -> Self {
        let mut dice = Dice(seed);
        let limits = Limits {
            lease_ms: dice.between(2_000, 10_000),
            http_lease_ms: 14_000,
            calls: dice.one_of(&[usize::MAX, 30, 8]),
            calls_per_function: dice.one_of(&[usize::MAX, usize::MAX, 12, 4]),
            queue_per_function: dice.between(1, 20) as usize,
            queue_total: dice.between(3, 40) as usize,
            revisions_kept: dice.between(1, 4) as usize,
            max_functions: dice.between(2, 5) as usize,
            max_nodes: dice.between(3, 8) as usize,
            takeover_margin: dice.between(0, 20) as f64,
            takeover_pause_ms: dice.one_of(&[0, 200, 2_000, 10_000]),
            start_attempts: dice.between(1, 3) as usize,
            memory_high_percent: dice.one_of(&[50.0, 90.0, 99.0]),
            tasks_live: dice.between(5, 60) as usize,
            tasks_pending: dice.between(2, 30) as usize,
            task_bytes: dice.one_of(&[20_000, 1 << 20]),
            tasks_kept: dice.between(0, 30) as usize,
            task_logs: dice.between(0, 8) as usize,
            ended_task_bytes: dice.one_of(&[2_000, 1 << 20]),
            tasks_per_node: dice.between(1, 20) as usize,
            tasks_starting: dice.between(1, 4) as usize,
            task_attempts: dice.between(1, 4) as usize,
        };
        let mut world = World {
            now: 1_000,
            step: 0,
            cluster: Cluster::new(limits.clone(), 0),
            limits,
            workers: Vec::new(),
            by_node: BTreeMap::new(),
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            puts: BTreeMap::new(),
            answered: BTreeSet::new(),
            serving: BTreeMap::new(),
            disk: Disk::default(),
            backup: BTreeMap::new(),
            undoing: false,
            tasks: TaskWorld::default(),
            put_count: 0,
            troubled: dice.one_of(&[5, 20, 50, 100]),
            first_key: 0,
            lied_of: BTreeSet::new(),
            healed: false,
            seen: Seen::default(),
            ticked: 0,
            late: 0,
            suspended: 0,
            vain: 0,
            last_word: BTreeMap::new(),
            status: BTreeMap::new(),
            states: BTreeMap::new(),
            to_come: BTreeMap::new(),
            when: BinaryHeap::new(),
            log: tell.then(Vec::new),
            dice,
        };
        world.populate();
        world
    }

    /// From the first join to the last answer.
    pub fn live(&mut self) -> Result<(), String> {
        while self.next_happening()? {}
        self.heal()?;
        let patience = self.now + 150_000;
        loop {
            match self.settled() {
                Ok(()) => return Ok(()),
                Err(why) if self.now > patience => return Err(format!("does not settle: {why}")),
                Err(_) => {
                    let until = self.now + 500;
                    self.at(500, Happening::Chaos { left: 0 });
                    while self.now < until {
                        self.next_happening()?;
                    }
                }
            }
        }
    }

    /// False when the time of trouble is over.
    fn next_happening(&mut self) -> Result<bool, String> {
        let Some(Reverse((at, id))) = self.when.peek().copied() else { return Ok(false) };
        if let Some(due) = self.cluster.next_deadline().map(|d| d + self.late + self.suspended).filter(|due| *due <= at)
        {
            self.now = self.now.max(due);
            self.tick()?;
            return Ok(true);
        }
        self.when.pop();
        self.now = self.now.max(at);
        let Some(happening) = self.to_come.remove(&id) else { return Ok(true) };
        let over = matches!(happening, Happening::Chaos { left: 0 });
        self.happen(happening)?;
        Ok(!over)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Core { from, command } => self.core(from, command),
            Happening::Worker(worker, order) => self.obey(worker, order),
            Happening::Beat { worker, life } => self.beat(worker, life),
            Happening::Join { worker, life } => self.join(worker, life),
            Happening::Started { worker, instance, well } => self.started(worker, instance, well),
            Happening::CallEnds { invocation, attempt } => self.call_ends(invocation, attempt),
            Happening::GivesUp { invocation } => self.gives_up(invocation),
            Happening::StartTimeout { instance } => self.start_timeout(instance),
            Happening::PrepareTimeout { node, revision } => self.prepare_timeout(node, &revision),
            Happening::TaskOrder { node, session, id, attempt, order } => {
                self.task_ordered((node, session), (id, attempt), order)
            }
            Happening::TaskTurn { worker, id, turn } => self.task_turned(worker, &id, turn),
            Happening::Disk => self.disk_tried(),
            Happening::Chaos { left: 0 } => Ok(()),
            Happening::Chaos { left } => {
                let gap = self.dice.one_of(&[0, 5, 50, 300, 1_000]);
                let gap = self.dice.between(0, gap);
                self.at(gap, Happening::Chaos { left: left - 1 });
                self.chaos()
            }
        }
    }

    pub fn at(&mut self, in_ms: Millis, happening: Happening) {
        self.step += 1; // also an id: no two happen in an order that a seed does not fix
        self.to_come.insert(self.step, happening);
        self.when.push(Reverse((self.now + in_ms, self.step)));
    }

    /// Messages under way are lost; the shell's own timers go on.
    pub fn lose_messages(&mut self) {
        self.to_come.retain(|_, h| {
            matches!(
                h,
                Happening::CallEnds { .. }
                    | Happening::GivesUp { .. }
                    | Happening::StartTimeout { .. }
                    | Happening::PrepareTimeout { .. }
                    | Happening::TaskTurn { .. }
                    | Happening::Disk
            )
        });
    }

    /// One command as the shell lets it through: none that cannot be kept.
    pub fn core(&mut self, from: Option<usize>, command: Command) -> Result<(), String> {
        if self.disk.full && command.must_last() {
            self.seen.saw("refused by the disk");
            return Ok(());
        }
        let before = self.before(&command).into_iter().collect();
        self.carry_out(from, command, before)
    }

    /// One command, everything it sets off, and all promises checked. `before`: what is to be again if it is not kept.
    pub fn carry_out(
        &mut self,
        from: Option<usize>,
        command: Command,
        before: Vec<(Arc<str>, Lasting)>,
    ) -> Result<(), String> {
        self.step += 1;
        self.note(|| format!("{command:?}"));
        let counts = (self.cluster.instances.len(), self.cluster.invocations.len(), self.cluster.queued);
        let open = self.cluster.functions.len();
        let told = command.clone();
        match self.cluster.apply(self.now, command) {
            Ok(events) => {
                self.keep(&events, before);
                self.accepted(from, &told, &events)?;
                self.events(from, events)?;
            }
            Err(refusal) => {
                let c = &self.cluster;
                let after = (c.instances.len(), c.invocations.len(), c.queued);
                ensure!(counts == after && open == c.functions.len(), "refused with {refusal:?} and changed");
                self.note(|| format!("    refused: {refusal:?}"));
                self.refused(from, &told, refusal)?;
            }
        }
        self.check()
    }

    fn tick(&mut self) -> Result<(), String> {
        self.step += 1;
        self.note(|| "tick".into());
        let events = self.cluster.tick(self.now);
        self.keep(&events, Vec::new());
        self.vain = if self.ticked == self.now { self.vain + 1 } else { 0 };
        ensure!(self.vain < 20, "ticks again and again at the same time");
        self.ticked = self.now;
        if std::mem::take(&mut self.suspended) > 0 {
            self.seen.saw("woke late");
        }
        self.late = if self.healed || self.dice.percent(80) { 0 } else { self.dice.between(0, 300) };
        for event in &events {
            if let Event::NodeLost { node, .. } = event {
                self.seen.saw("lease ran out");
                let silent = self.now - self.last_word.get(node).copied().unwrap_or(0);
                let http = self.cluster.node(*node).is_some_and(|n| n.spec.http);
                ensure!(silent >= self.limits.lease_of(http), "{node:?} lost after {silent} ms of silence");
            }
        }
        self.events(None, events)?;
        for node in self.cluster.nodes().filter(|n| n.status != NodeStatus::Disconnected) {
            let silent = self.now - self.last_word.get(&node.key).copied().unwrap_or(0);
            ensure!(
                silent < self.limits.lease_of(node.spec.http),
                "{:?} is kept after {silent} ms of silence",
                node.key
            );
        }
        self.check()
    }

    pub fn heard(&mut self, node: NodeKey) {
        self.last_word.insert(node, self.now);
    }

    fn check(&mut self) -> Result<(), String> {
        check(&self.cluster, self.now, self.ticked)?;
        self.check_steps()?;
        let c = &self.cluster;
        ensure!(c.nodes.len() <= self.limits.max_nodes, "{} nodes", c.nodes.len());
        ensure!(self.calls.len() <= self.limits.calls, "{} calls are taken", self.calls.len());
        ensure!(self.calls.len() == c.invocations.len(), "{} open, {} known", self.calls.len(), c.invocations.len());
        for (key, call) in &self.calls {
            let held = c.invocations.get(key).map(|i| i.held.map(|h| (h.node, h.instance)));
            let sent = Some(call.at.as_ref().map(|a| (a.node, a.instance)));
            ensure!(held == sent, "{key} was sent to {sent:?}, and is known at {held:?}");
        }
        ensure!(c.functions.len() == self.puts.len(), "{} functions of {}", c.functions.len(), self.puts.len());
        for (name, number) in &self.puts {
            let known = c.function(name).map(|f| f.newest().number);
            ensure!(known == Some(*number), "{name} was put as {number} and is {known:?}");
        }
        self.check_tasks()?;
        self.check_serving()
    }

    /// What has answered serves until something newer has: no deploy takes a function away.
    fn check_serving(&mut self) -> Result<(), String> {
        let mut now = BTreeMap::new();
        for f in self.cluster.functions() {
            let (name, number) = (f.name.clone(), f.current().number);
            let answered = f.current().mode == Mode::Http && self.has_answered(f.current());
            let id = (name.clone(), f.key);
            if let Some((before, true)) = self.serving.get(&id).copied().filter(|(before, _)| *before != number) {
                let starts = f.current().mode == Mode::Http && f.current().runs() == Runs::OnNodes;
                let may = answered || !starts || f.current().max == 0;
                ensure!(may && number > before, "{name} left {before} for {number}, which has never answered");
            }
            now.insert(id, (number, answered));
        }
        self.serving = now;
        Ok(())
    }

    pub fn has_answered(&self, revision: &Revision) -> bool {
        self.answered.contains(&(revision.function.clone(), revision.number, revision.born))
    }

    /// Nothing may take a step that `may_become` does not know.
    fn check_steps(&mut self) -> Result<(), String> {
        let c = &self.cluster;
        for node in c.nodes.values() {
            let now = (node.status, node.session);
            let before = self.status.insert(node.key, now).unwrap_or((NodeStatus::Disconnected, 0));
            let legal = before.0 == now.0 || before.0.may_become(now.0);
            ensure!(legal, "{:?} went from {:?} to {:?}", node.key, before.0, now.0);
        }
        let mut now = BTreeMap::new();
        for (key, i) in &c.instances {
            now.insert(*key, (i.state, i.node));
            let Some((before, _)) = self.states.get(key).copied().filter(|(_, node)| *node == i.node) else { continue };
            // by a join, that ended all before it
            let adopted = matches!(i.state, InstanceState::Warm | InstanceState::Frozen);
            // in one step: a call has woken it, and it is to go after that
            let woken = before == InstanceState::Frozen && i.state == InstanceState::Draining;
            let legal = before == i.state || before.may_become(i.state) || adopted || woken;
            ensure!(legal, "{key} went from {before:?} to {:?}", i.state);
        }
        self.states = now;
        Ok(())
    }

    /// All is well again: nothing waits or runs, minimums are met, and worker and core agree on what there is.
    fn settled(&self) -> Result<(), String> {
        let c = &self.cluster;
        ensure!(c.invocations.is_empty() && c.queued == 0, "{} calls left", c.invocations.len());
        ensure!(c.nodes.values().all(|node| node.running == 0), "some node has taken slots");
        for f in c.functions.values() {
            let (live, revision, floor) = (f.tally.live(), f.current(), f.floor());
            let placeable = !revision.is_job() && c.placeable(revision, &[]);
            let least = if placeable { floor } else { 0 };
            ensure!(live >= least && live <= floor, "{} has {live} instances, not {least}", f.name);
            let (warm, min) = (f.tally.warm, revision.min.min(least));
            ensure!(warm >= min, "{} has {warm} warm instances, not {min}", f.name);
            let stuck = f.rollout.is_some() && !f.stopped && c.placeable(f.newest(), &[]);
            ensure!(!stuck, "{} is for ever between two revisions", f.name);
        }
        self.tasks_settled()?;
        let known: BTreeSet<_> = c.instances.values().map(|i| (i.key, i.node)).collect();
        for (key, running) in self.workers.iter().filter(|w| w.up && w.session.is_some()).flat_map(|w| &w.instances) {
            let frozen = c.instances.get(key).map(|i| i.state == InstanceState::Frozen);
            ensure!(frozen.is_none_or(|known| known == running.frozen), "{key} is frozen: {}", running.frozen);
        }
        let mut there = BTreeSet::new();
        for worker in self.workers.iter().filter(|w| w.up) {
            let node = c.find_node(&worker.spec.id).map(|n| n.key);
            there.extend(worker.instances.keys().filter_map(|key| Some((*key, node?))));
        }
        ensure!(known == there, "the core knows {known:?}, the workers run {there:?}");
        Ok(())
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let dull = |text: String, part: &&str| text.replace(*part, "");
            log.push(format!("{:>6} #{} {}", self.now, self.step, DULL.iter().fold(line(), dull)));
        }
    }

    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let log = self.log.as_deref().unwrap_or_default();
        log[log.len().saturating_sub(count)..].to_vec()
    }
}
