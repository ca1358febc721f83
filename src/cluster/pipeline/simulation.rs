//! Thousands of seeded lives of pipelines: random graphs, modules that fail, are lost or find no room, cancels, retries,
//! and an orchestrator that ends at any moment and starts again with what was on disk. Order is always respected, each
//! module ends once, nothing runs after a cancel.
//!
//! `CARES_SIM_SEEDS=n` lives that many; `CARES_SIM_SEED=n` lives one.

use super::*;
use crate::cluster::invariants::ensure;
use crate::cluster::simulation::lives::{Seen, live};
use crate::dice::Dice;

const SEEDS: u64 = 3_000;
const STEPS: u64 = 200;

struct World {
    dice: Dice,
    now: Millis,
    limits: Limits,
    pipelines: Pipelines,
    /// What a restart would find.
    disk: BTreeMap<PipelineKey, Pipeline>,
    /// What is on its way there, and what may run once it is.
    unwritten: BTreeMap<PipelineKey, Option<Pipeline>>,
    begun: Vec<(PipelineKey, usize, u64)>,
    accepted: BTreeSet<PipelineKey>,
    running: BTreeMap<(PipelineKey, usize), u64>,
    /// Attempts that ever ran, of a module.
    ran: BTreeMap<(PipelineKey, usize), u32>,
    largest: u64,
    starts: u64,
    healed: bool,
    seen: Seen,
}

impl World {
    fn new(seed: u64, largest: u64) -> Self {
        let mut dice = Dice(seed);
        let limits = Limits {
            open: dice.between(1, 5) as usize,
            ended_kept: dice.between(1, 8) as usize,
            retention_ms: dice.one_of(&[5_000, 600_000, 86_400_000]),
            result_bytes: dice.between(10, 5_000),
            at_once: dice.between(1, 20) as u32,
            at_once_in_all: dice.between(1, 30) as u32,
            retry_first_ms: dice.between(1, 1_000),
            retry_last_ms: dice.between(1_000, 30_000),
            max_age_ms: dice.one_of(&[20_000, 86_400_000]),
            interruptions: dice.between(1, 20) as u32,
            ..Limits::default()
        };
        World {
            now: 1_000_000,
            pipelines: Pipelines::new(limits.clone(), 0),
            limits,
            disk: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            begun: Vec::new(),
            accepted: BTreeSet::new(),
            running: BTreeMap::new(),
            ran: BTreeMap::new(),
            largest,
            starts: 0,
            healed: false,
            seen: Seen::default(),
            dice,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.dice.between(0, 99) {
                0..8 => self.submit()?,
                8..11 => self.ask(|pipeline| Command::Cancel { pipeline })?,
                11..15 => self.ask(|pipeline| Command::Retry { pipeline })?,
                15..18 => self.restart()?,
                18..30 => self.place()?,
                30..75 => self.attempt_ends()?,
                _ => {
                    let wait = self.dice.one_of(&[0, 10, 500, 3_000, 20_000]);
                    self.now += wait;
                }
            }
            self.turn()?;
        }
        self.settle()
    }

    fn graph(&mut self) -> Graph {
        let count = self.dice.between(1, self.largest);
        let mut planned = Vec::new();
        for n in 0..count {
            let mut after = BTreeSet::new();
            for _ in 0..self.dice.between(0, 3).min(n) {
                after.insert(self.dice.between(0, n - 1));
            }
            planned.push(Planned {
                name: format!("m{n}").into(),
                after: after.into_iter().map(|n| format!("m{n}").into()).collect(),
                condition: self.dice.one_of(&[
                    Condition::Success,
                    Condition::Success,
                    Condition::Always,
                    Condition::Failure,
                ]),
                retries: self.dice.between(0, 2) as u32,
                group: self.dice.between(0, 2) as u32,
            });
        }
        Graph::new(planned).expect("no circle")
    }

    fn submit(&mut self) -> Result<(), String> {
        let graph = Arc::new(self.graph());
        let stop = self.dice.percent(50);
        let key: Arc<str> = format!("k{}", self.dice.between(0, 3)).into();
        let digest: Arc<str> = format!("{}", self.dice.between(0, 1)).into();
        let idempotency = self.dice.percent(20).then_some(Idempotency { key, digest });
        match self.apply(Command::Submit(Submission { graph, stop, bytes: 1, idempotency }))? {
            Ok(events) => {
                for event in events {
                    let Event::Accepted { pipeline } = event else { continue };
                    let told = match self.healed || self.dice.percent(95) {
                        true => {
                            self.write();
                            self.accepted.insert(pipeline);
                            Command::Kept { pipeline }
                        }
                        false => {
                            self.seen.saw("not kept");
                            self.unwritten.remove(&pipeline);
                            Command::Forget { pipeline }
                        }
                    };
                    ensure!(self.apply(told)?.is_ok(), "{pipeline} is not known");
                }
            }
            Err(Refusal::TooMany { .. }) => self.seen.saw("full"),
            Err(Refusal::KeyReused { .. }) => self.seen.saw("key reused"),
            Err(other) => return Err(format!("not taken: {other:?}")),
        }
        Ok(())
    }

    fn ask(&mut self, command: fn(PipelineKey) -> Command) -> Result<(), String> {
        let keys: Vec<PipelineKey> = self.accepted.iter().copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let key = self.dice.one_of(&keys);
        let command = command(key);
        let what = if matches!(command, Command::Cancel { .. }) { "cancel" } else { "retry" };
        if self.apply(command)?.is_ok() {
            self.write(); // acknowledged only then
            self.seen.saw(what);
        }
        if what == "cancel" && self.pipelines.pipeline(key).is_some_and(|p| p.status == PipelineStatus::Cancelled) {
            ensure!(!self.running.keys().any(|(of, _)| *of == key), "{key} runs on after its cancel");
        }
        Ok(())
    }

    fn place(&mut self) -> Result<(), String> {
        let Some(((pipeline, module), attempt)) = self.one_running() else { return Ok(()) };
        let told = self.apply(Command::Placed { pipeline, module, attempt, node: "n1".into() })?;
        ensure!(told.is_ok(), "{pipeline}: {module} is not current");
        Ok(())
    }

    fn one_running(&mut self) -> Option<((PipelineKey, usize), u64)> {
        let all: Vec<_> = self.running.iter().map(|(at, attempt)| (*at, *attempt)).collect();
        (!all.is_empty()).then(|| self.dice.one_of(&all))
    }

    fn attempt_ends(&mut self) -> Result<(), String> {
        let Some(((pipeline, module), attempt)) = self.one_running() else { return Ok(()) };
        let why = || "why".to_string();
        let end = match self.dice.between(0, 9) {
            0 => AttemptEnd::Failed { why: why(), bytes: 3, again: self.dice.percent(70) },
            1 if !self.healed => AttemptEnd::Interrupted { why: why() },
            2 if !self.healed => AttemptEnd::NotStarted { why: why() },
            _ => AttemptEnd::Answered { bytes: self.dice.between(0, 20) },
        };
        self.running.remove(&(pipeline, module));
        if matches!(end, AttemptEnd::NotStarted { .. }) {
            *self.ran.entry((pipeline, module)).or_default() -= 1;
        }
        let told = self.apply(Command::Attempted { pipeline, module, attempt, end: end.clone() })?;
        ensure!(told.is_ok(), "{pipeline}: {module}'s attempt was not current");
        let twice = self.apply(Command::Attempted { pipeline, module, attempt, end })?;
        ensure!(twice.is_err(), "{pipeline}: {module} ended twice");
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        let events = self.pipelines.tick(self.now);
        self.follow(&events)?;
        let room = self.dice.between(1, 6) as u32;
        let events = self.pipelines.start_due(self.now, |_, group| if group == 0 { room } else { 2 });
        self.follow(&events)?;
        if self.healed || self.dice.percent(70) {
            self.write();
            self.run_begun()?;
        }
        self.check()
    }

    fn apply(&mut self, command: Command) -> Result<Result<Vec<Event>, Refusal>, String> {
        match self.pipelines.apply(self.now, command) {
            Ok(events) => self.follow(&events).map(|()| Ok(events)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn follow(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            match event {
                Event::Known { .. } => self.seen.saw("known"),
                Event::Accepted { pipeline } | Event::Pipeline { pipeline } | Event::Module { pipeline, .. } => {
                    self.mark(*pipeline)
                }
                Event::Starting { pipeline, module, attempt } => {
                    self.mark(*pipeline);
                    self.begun.push((*pipeline, *module, *attempt));
                }
                Event::Stopping { pipeline, module, attempt } => {
                    let waiting = self.begun.len();
                    self.begun.retain(|begun| *begun != (*pipeline, *module, *attempt));
                    let ran = self.running.remove(&(*pipeline, *module)) == Some(*attempt);
                    ensure!(ran != (self.begun.len() < waiting), "{pipeline}: {module} is stopped and does not run");
                }
                Event::Dropped { pipeline, .. } => {
                    self.seen.saw("dropped");
                    self.unwritten.insert(*pipeline, None);
                    self.accepted.remove(pipeline);
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self, key: PipelineKey) {
        if let Some(pipeline) = self.pipelines.pipeline(key) {
            self.unwritten.insert(key, Some(pipeline.clone()));
        }
    }

    /// What changed is on disk from now on: all of it as it is now.
    fn write(&mut self) {
        for (key, _) in std::mem::take(&mut self.unwritten) {
            match self.pipelines.pipeline(key) {
                Some(pipeline) => drop(self.disk.insert(key, pipeline.clone())),
                None => drop(self.disk.remove(&key)),
            }
        }
    }

    /// What was begun goes out once that is on disk.
    fn run_begun(&mut self) -> Result<(), String> {
        for (key, module, attempt) in std::mem::take(&mut self.begun) {
            let Some(pipeline) = self.disk.get(&key) else { return Err(format!("{key} runs and is not on disk")) };
            ensure!(pipeline.status == PipelineStatus::Running, "{key} is over, and {module} runs");
            ensure!(pipeline.modules[module].begun, "{key}: {module} runs, and the disk does not know");
            let place = pipeline.graph.place(module);
            let states: Vec<ModuleState> = place.after.iter().map(|d| pipeline.modules[*d].state).collect();
            ensure!(
                states.iter().all(|state| state.is_final()),
                "{key}: {module} runs before what it depends on: {states:?}"
            );
            let succeeded = states.iter().all(|state| *state == ModuleState::Succeeded);
            ensure!(place.condition != Condition::Success || succeeded, "{key}: {module} needs success: {states:?}");
            ensure!(self.running.insert((key, module), attempt).is_none(), "{key}: {module} runs twice at once");
            *self.ran.entry((key, module)).or_default() += 1;
        }
        Ok(())
    }

    /// kill -9, and a start on what is on disk; the clock may have been set meanwhile.
    fn restart(&mut self) -> Result<(), String> {
        self.seen.saw("restart");
        self.starts += 1;
        self.now = (self.now + self.dice.one_of(&[0, 1_000, 100_000])).saturating_sub(self.dice.one_of(&[0, 0, 5_000]));
        self.pipelines = Pipelines::new(self.limits.clone(), self.starts << 20);
        self.running.clear();
        self.begun.clear();
        self.unwritten.clear();
        let disk: Vec<Pipeline> = self.disk.values().cloned().collect();
        for pipeline in disk {
            let (key, before) = (pipeline.key, pipeline.clone());
            // what follows from the rest is not on disk
            let Pipeline { graph, stop, submitted, bytes, modules, status, ended, runs, idempotency, .. } = pipeline;
            let mut kept = Pipeline::new(key, graph, stop, submitted, bytes);
            (kept.modules, kept.status, kept.ended, kept.runs, kept.idempotency) =
                (modules, status, ended, runs, idempotency);
            let events = self.pipelines.restore(self.now, kept);
            self.follow(&events)?;
            let Some(now) = self.pipelines.pipeline(key) else { continue };
            for (index, module) in before.modules.iter().enumerate() {
                let after = &now.modules[index];
                ensure!(!module.state.is_final() || after.state == module.state, "{key}: {index} left its end");
                ensure!(after.attempts == module.attempts, "{key}: {index} forgot its attempts");
            }
        }
        self.accepted = self.disk.keys().copied().filter(|key| self.pipelines.pipeline(*key).is_some()).collect();
        let known = self.ran.keys().copied().filter(|(key, _)| self.disk.contains_key(key)).collect::<BTreeSet<_>>();
        self.ran.retain(|at, _| known.contains(at));
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let (p, l) = (&self.pipelines, &self.limits);
        let all = || p.pipelines.values();
        let open = || all().filter(|pipeline| !pipeline.status.is_final());
        ensure!(p.bytes == all().map(|x| x.bytes).sum::<u64>(), "{} bytes are counted", p.bytes);
        ensure!(p.result_bytes == all().map(Pipeline::result_bytes).sum::<u64>(), "{} of results", p.result_bytes);
        ensure!(p.open_bytes == open().map(|x| x.bytes).sum::<u64>(), "{} open bytes", p.open_bytes);
        ensure!(p.modules == all().map(|x| x.modules.len()).sum::<usize>(), "{} modules", p.modules);
        ensure!(p.open_modules == open().map(|x| x.modules.len()).sum::<usize>(), "{} open modules", p.open_modules);
        ensure!(open().count() == p.open.len() && p.open.len() <= l.open, "{} are open", p.open.len());
        ensure!(p.open.len() + p.ended.len() == p.pipelines.len(), "some are neither open nor ended");
        ensure!(p.ended.len() <= l.ended_kept, "{} ended ones are kept", p.ended.len());
        ensure!(p.attempts.len() <= l.at_once_in_all as usize, "{} at once", p.attempts.len());
        for pipeline in all() {
            let key = pipeline.key;
            let under_way = p.attempts.keys().filter(|(of, _)| *of == key).count();
            ensure!(under_way <= l.at_once as usize, "{key} has {under_way} at once");
            ensure!(pipeline.ended.is_some() == pipeline.status.is_final(), "{key} has ended and not");
            let finished = pipeline.modules.iter().all(|module| module.state.is_final());
            ensure!(finished == pipeline.status.is_final(), "{key} is {:?}", pipeline.status);
            for (index, module) in pipeline.modules.iter().enumerate() {
                let begun = p.attempts.contains_key(&(key, index));
                ensure!(begun == module.begun, "{key}: {index} is {:?} and begun: {begun}", module.state);
                let ran = self.ran.get(&(key, index)).copied().unwrap_or(0);
                ensure!(module.attempts >= ran, "{key}: {index} ran {ran} times and counts {}", module.attempts);
                ensure!(module.ended.is_some() == module.state.is_final(), "{key}: {index} has ended and not");
            }
            let waits = pipeline.groups.values().any(|group| !group.is_empty());
            let woken = p.next_deadline(self.now).is_some() || p.waits_for_room(self.now);
            ensure!(
                !waits || pipeline.status.is_final() || p.unkept.contains(&key) || woken,
                "{key} waits and nothing wakes it"
            );
        }
        Ok(())
    }

    /// From here on all goes well: everything that was accepted ends.
    fn settle(&mut self) -> Result<(), String> {
        self.healed = true;
        for _ in 0..30_000 {
            self.attempt_ends()?;
            self.turn()?;
            if self.pipelines.open.is_empty() {
                return Ok(());
            }
            if self.running.is_empty() {
                let next = self.pipelines.next_deadline(self.now).ok_or("nothing is due, and pipelines are open")?;
                self.now = self.now.max(next);
            }
        }
        Err(format!("{} pipelines do not end", self.pipelines.open.len()))
    }
}

fn lives(count: u64, largest: u64, expected: &[&str]) {
    live(count, "cluster::pipeline::simulation", expected, |seed| {
        let mut world = World::new(seed, largest);
        world.live().map(|()| world.seen)
    });
}

#[test]
fn order_is_respected_and_each_module_ends_once() {
    lives(SEEDS, 20, &["cancel", "retry", "restart", "known", "key reused", "full", "not kept", "dropped"]);
}

#[test]
fn a_thousand_modules_too() {
    lives(8, 1_000, &[]);
}
