//! Thousands of seeded lives of a backlog: calls come, run, fail, are lost and cancelled, the disk refuses, and the
//! orchestrator ends at any moment and starts again with what was on disk. Every accepted call ends exactly once.
//!
//! `CARES_SIM_SEEDS=n` lives that many; `CARES_SIM_SEED=n` lives one.

use super::*;
use crate::cluster::invariants::ensure;
use crate::cluster::simulation::lives::{Seen, live};
use crate::dice::Dice;

const SEEDS: u64 = 10_000;
const STEPS: u64 = 150;

/// What a client was told.
struct Promise {
    ended: Option<CallStatus>,
    name: Option<(Arc<str>, Idempotency)>,
}

struct World {
    dice: Dice,
    now: Millis,
    backlog: Backlog,
    limits: Limits,
    /// What a restart would find.
    disk: BTreeMap<CallKey, Call>,
    /// What is on its way there; `None`: that it is gone.
    unwritten: BTreeMap<CallKey, Option<Call>>,
    promised: BTreeMap<CallKey, Promise>,
    /// Attempts that run somewhere.
    running: BTreeMap<CallKey, u64>,
    /// Of these, such as will once it is on disk that they do.
    starting: BTreeSet<CallKey>,
    /// Those that have ended since the last start.
    ended: BTreeSet<CallKey>,
    /// Attempts ever begun for a call.
    begun: BTreeMap<CallKey, u32>,
    calling_back: BTreeSet<CallKey>,
    starts: u64,
    healed: bool,
    seen: Seen,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let limits = Limits {
            open_per_function: dice.between(1, 8) as usize,
            open_total: dice.between(2, 12) as usize,
            ended_kept: dice.between(1, 40) as usize,
            retention_ms: dice.one_of(&[5_000, 60_000, 86_400_000]),
            max_age_ms: dice.one_of(&[20_000, 600_000, 86_400_000]),
            bytes: dice.between(50, 2_000),
            retry_first_ms: dice.between(1, 1_000),
            retry_last_ms: dice.between(1_000, 30_000),
            room_last_ms: dice.between(500, 5_000),
            interruptions: dice.between(1, 20) as u32,
            callback_attempts: dice.between(1, 4) as u32,
            callbacks_at_once: dice.between(1, 3) as usize,
        };
        World {
            now: 1_000_000,
            backlog: Backlog::new(limits.clone(), 0),
            limits,
            disk: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            promised: BTreeMap::new(),
            running: BTreeMap::new(),
            starting: BTreeSet::new(),
            ended: BTreeSet::new(),
            begun: BTreeMap::new(),
            calling_back: BTreeSet::new(),
            starts: 0,
            healed: false,
            seen: Seen::default(),
            dice,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.dice.between(0, 99) {
                0..25 => self.submit()?,
                25..30 => self.cancel()?,
                30..34 => self.restart()?,
                34..70 => self.attempt_ends()?,
                70..80 => self.callback_ends()?,
                _ => {
                    let wait = self.dice.one_of(&[0, 10, 500, 3_000, 20_000]);
                    self.now += wait;
                }
            }
            self.turn()?;
        }
        self.settle()
    }

    /// What the shell does all the time: ticks, starts what is due.
    fn turn(&mut self) -> Result<(), String> {
        let events = self.backlog.tick(self.now);
        self.follow(events)?;
        let (pool, own) = (self.dice.between(1, 4) as u32, self.dice.between(1, 3) as u32);
        let pool = if self.healed { 4 } else { pool };
        let room = |function: &str| Room {
            pool: if function == "f0" { Pool::Http } else { Pool::Jobs },
            pool_at_once: pool,
            at_once: own,
        };
        let events = self.backlog.start_due(self.now, room);
        self.follow(events)?;
        if self.healed || self.dice.percent(70) {
            self.write()?;
        }
        self.check()
    }

    fn apply(&mut self, command: Command) -> Result<Result<(), Refusal>, String> {
        let before = self.books();
        match self.backlog.apply(self.now, command.clone()) {
            Ok(events) => self.follow(events).map(Ok),
            Err(refusal) => {
                ensure!(before == self.books(), "{command:?} was refused with {refusal:?} and changed something");
                Ok(Err(refusal))
            }
        }
    }

    fn books(&self) -> (Vec<Call>, u64, usize) {
        (self.backlog.calls.values().cloned().collect(), self.backlog.bytes, self.backlog.sending)
    }

    fn follow(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            match event {
                Event::Accepted { .. } | Event::Known { .. } => {}
                Event::Starting { call, attempt } => {
                    ensure!(!self.running.contains_key(&call), "{call} runs twice at once");
                    ensure!(self.promised.get(&call).is_some_and(|p| p.ended.is_none()), "{call} starts after its end");
                    self.save(call);
                    self.starting.insert(call); // the shell does not run what is not on disk as running
                    self.running.insert(call, attempt);
                }
                Event::Stopping { call, attempt } => {
                    self.starting.remove(&call);
                    ensure!(self.running.remove(&call) == Some(attempt), "{call}: stopped what does not run");
                }
                Event::Changed { call } => self.save(call),
                Event::Ended { call } => {
                    self.save(call);
                    let status = self.backlog.call(call).map(|c| c.status);
                    let status = status.unwrap_or(CallStatus::Failed); // dropped at once: which one is not told
                    ensure!(status.is_final(), "{call} ended as {status:?}");
                    self.seen.saw(status.word());
                    let told = self.promised.get(&call).and_then(|promise| promise.ended);
                    ensure!(told.is_none() && self.ended.insert(call), "{call} ended twice: {told:?}, {status:?}");
                }
                Event::CallBack { call } => {
                    ensure!(self.calling_back.insert(call), "{call} is told twice at once");
                    self.save(call);
                }
                Event::Dropped { call } => {
                    self.calling_back.remove(&call);
                    self.unwritten.insert(call, None);
                    if let Some(promise) = self.promised.get(&call) {
                        let ended = promise.ended.is_some() || self.ended.contains(&call);
                        ensure!(ended, "{call} was dropped before its end");
                        self.seen.saw("dropped");
                    }
                }
            }
        }
        Ok(())
    }

    fn save(&mut self, key: CallKey) {
        if let Some(call) = self.backlog.call(key)
            && (self.promised.contains_key(&key) || self.disk.contains_key(&key))
        {
            self.unwritten.insert(key, Some(call.clone()));
        }
    }

    /// All of it is on disk from now on: ends are told, and what was to start does.
    fn write(&mut self) -> Result<(), String> {
        for (key, call) in std::mem::take(&mut self.unwritten) {
            let Some(call) = call else {
                self.disk.remove(&key);
                self.promised.remove(&key);
                continue;
            };
            if let Some(promise) = self.promised.get_mut(&key).filter(|_| call.status.is_final()) {
                promise.ended = Some(call.status);
            }
            self.disk.insert(key, call);
        }
        for call in std::mem::take(&mut self.starting) {
            let Some(attempt) = self.running.get(&call).copied() else { continue };
            *self.begun.entry(call).or_default() += 1;
            if !self.healed && self.dice.percent(3) {
                self.seen.saw("start not kept");
                self.running.remove(&call);
                *self.begun.entry(call).or_default() -= 1;
                let end = AttemptEnd::NotStarted { why: "disk full".into() };
                let told = self.apply(Command::Attempted { call, attempt, end })?;
                ensure!(told.is_ok(), "{call}'s attempt was not current");
            }
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), String> {
        let function: Arc<str> = self.dice.one_of(&["f0", "f1", "f2"]).into();
        let idempotency = self.dice.percent(30).then(|| Idempotency {
            key: self.dice.one_of(&["k0", "k1"]).into(),
            digest: self.dice.one_of(&["d", "d", "d", "e"]).into(),
        });
        let asked = Submission {
            function: function.clone(),
            bytes: self.dice.between(0, 60),
            max_attempts: self.dice.between(1, 4) as u32,
            idempotency: idempotency.clone(),
            callback: self.dice.percent(30).then(|| "http://there/".into()),
            scheduled_for: None,
        };
        let same = |p: &&Promise| {
            p.name
                .as_ref()
                .is_some_and(|(f, i)| *f == function && idempotency.as_ref().is_some_and(|own| own.key == i.key))
        };
        let there = self.promised.iter().filter(|(key, _)| self.backlog.call(**key).is_some()).map(|(_, p)| p);
        let known = { there }.find(same).and_then(|p| p.name.clone()).map(|(_, i)| i);
        let events = match self.backlog.apply(self.now, Command::Submit(asked)) {
            Ok(events) => events,
            Err(Refusal::KeyReused { .. }) => {
                ensure!(known.is_some() && known != idempotency, "a fresh name was taken for a used one");
                self.seen.saw("key reused");
                return Ok(());
            }
            Err(Refusal::QueueFull { .. } | Refusal::NoSpace { .. }) => {
                self.seen.saw("full");
                return Ok(());
            }
            Err(other) => return Err(format!("refused with {other:?}")),
        };
        match events.first() {
            Some(Event::Known { .. }) => {
                ensure!(known == idempotency, "{idempotency:?} is known as {known:?}");
                self.seen.saw("known");
            }
            Some(Event::Accepted { call }) => {
                let call = *call;
                ensure!(known.is_none(), "the same name made two calls");
                self.follow(events)?;
                match self.dice.between(0, 19) {
                    0 => {
                        self.seen.saw("not kept");
                        let told = self.apply(Command::Forget { call })?;
                        ensure!(told.is_ok(), "{call} could not be forgotten");
                    }
                    1 => return self.restart(), // nobody was told
                    _ => {
                        let name = idempotency.map(|i| (function, i));
                        self.promised.insert(call, Promise { ended: None, name });
                        self.save(call);
                        self.write()?; // what came before is on disk too
                        let told = self.apply(Command::Kept { call })?;
                        ensure!(told.is_ok(), "{call} could not be kept");
                    }
                }
            }
            other => return Err(format!("answered with {other:?}")),
        }
        Ok(())
    }

    fn some_call(&mut self) -> CallKey {
        let known: Vec<CallKey> = self.backlog.calls.keys().copied().chain([CallKey(u64::MAX)]).collect();
        self.dice.one_of(&known)
    }

    fn cancel(&mut self) -> Result<(), String> {
        let call = self.some_call();
        let before = self.backlog.call(call).map(|c| c.status);
        let told = self.apply(Command::Cancel { call })?;
        let after = self.backlog.call(call).map(|c| c.status);
        match (before, told) {
            (None, Err(Refusal::UnknownCall)) => Ok(()),
            (Some(before), Err(Refusal::Ended { status })) if before == status => Ok(()),
            (Some(CallStatus::Cancelled), Ok(())) => Ok(()),
            (Some(before), Ok(())) if !before.is_final() => {
                ensure!(after.is_none_or(|s| s == CallStatus::Cancelled), "{call} is {after:?} and was cancelled");
                Ok(())
            }
            other => Err(format!("cancelling {call} gave {other:?}")),
        }
    }

    fn attempt_ends(&mut self) -> Result<(), String> {
        let begun = self.running.iter().filter(|(call, _)| !self.starting.contains(call));
        let running: Vec<(CallKey, u64)> = begun.map(|(k, a)| (*k, *a)).collect();
        if running.is_empty() {
            return Ok(());
        }
        let (call, mut attempt) = self.dice.one_of(&running);
        let why = || "why".to_string();
        let end = match self.dice.between(0, 9) {
            _ if self.healed => AttemptEnd::Answered { bytes: 5 },
            0 | 1 => AttemptEnd::Interrupted { why: why() },
            2 | 3 => AttemptEnd::NotStarted { why: why() },
            4 | 5 => AttemptEnd::Failed { why: why(), bytes: self.dice.between(0, 60), again: self.dice.percent(80) },
            _ => AttemptEnd::Answered { bytes: self.dice.between(0, 60) },
        };
        if !self.healed && self.dice.percent(5) {
            attempt = attempt.wrapping_sub(1); // of an attempt before
            let told = self.apply(Command::Attempted { call, attempt, end })?;
            ensure!(told == Err(Refusal::StaleAttempt), "a stale attempt was heard: {told:?}");
            return Ok(());
        }
        self.running.remove(&call);
        if matches!(end, AttemptEnd::NotStarted { .. }) {
            *self.begun.entry(call).or_default() -= 1;
        }
        let told = self.apply(Command::Attempted { call, attempt, end })?;
        ensure!(told.is_ok(), "the end of {call}'s attempt was refused: {told:?}");
        Ok(())
    }

    fn callback_ends(&mut self) -> Result<(), String> {
        let Some(call) = self.calling_back.first().copied() else { return Ok(()) };
        self.calling_back.remove(&call);
        let taken = if self.healed || self.dice.percent(50) { Ok(()) } else { Err("refused".to_string()) };
        self.seen.saw(if taken.is_ok() { "called back" } else { "callback refused" });
        let told = self.apply(Command::CalledBack { call, taken })?;
        ensure!(told.is_ok(), "the callback of {call} was not heard: {told:?}");
        Ok(())
    }

    /// kill -9, and a start on what is on disk; the clock may have been set meanwhile.
    fn restart(&mut self) -> Result<(), String> {
        self.seen.saw("restart");
        self.starts += 1;
        let forward = self.dice.one_of(&[0, 1_000, 100_000]);
        self.now = (self.now + forward).saturating_sub(self.dice.one_of(&[0, 0, 0, 5_000]));
        self.backlog = Backlog::new(self.limits.clone(), self.starts << 20);
        if !self.unwritten.is_empty() {
            self.seen.saw("restart with less");
        }
        self.running.clear();
        self.calling_back.clear();
        self.starting.clear();
        self.ended.clear();
        self.unwritten.clear();
        let disk: Vec<Call> = self.disk.values().cloned().collect();
        for call in disk {
            let (key, before) = (call.key, call.clone());
            let ran = self.begun.insert(key, before.attempts).unwrap_or(0); // that one never began may be lost
            ensure!(before.attempts >= ran, "{key} ran {ran} times, and the disk knows of {}", before.attempts);
            let events = self.backlog.restore(self.now, call);
            self.follow(events)?;
            let Some(now) = self.backlog.call(key) else { continue };
            ensure!(now.attempts == before.attempts, "{key} was tried {} times, not {}", before.attempts, now.attempts);
        }
        self.turn()
    }

    fn check(&mut self) -> Result<(), String> {
        let (b, l) = (&self.backlog, &self.limits);
        ensure!(b.bytes == b.calls.values().map(Call::bytes).sum::<u64>(), "{} bytes are counted", b.bytes);
        let open: Vec<&Call> = b.calls.values().filter(|c| !c.status.is_final()).collect();
        ensure!(b.open_bytes == open.iter().map(|c| c.bytes()).sum::<u64>(), "{} open bytes", b.open_bytes);
        ensure!(open.len() == b.open.len() && b.open.len() <= l.open_total, "{} are open", open.len());
        ensure!(b.calls.len() == b.open.len() + b.ended.len(), "some are neither open nor ended");
        ensure!(b.ended.len() <= l.ended_kept, "{} ended calls are kept", b.ended.len());
        ensure!(b.bytes <= l.bytes || b.ended.len() <= 1, "{} bytes are kept", b.bytes);
        ensure!(b.sending == self.calling_back.len() && b.sending <= l.callbacks_at_once, "{} are told", b.sending);
        for function in ["f0", "f1", "f2"] {
            let of = open.iter().filter(|c| &*c.function == function);
            let running = of.clone().filter(|c| c.status == CallStatus::Running).count();
            ensure!(b.lines.running(function) as usize == running, "{function} runs {running}");
            ensure!(b.open(function) == of.clone().count(), "{function} has {} open", b.open(function));
            ensure!(b.open(function) <= l.open_per_function, "{function} has too many open");
        }
        for (key, call) in &b.calls {
            let runs = call.status == CallStatus::Running;
            ensure!(runs == b.attempts.contains_key(key), "{key} is {:?}", call.status);
            ensure!(runs == self.running.contains_key(key), "{key} is {:?}, and the world differs", call.status);
            ensure!(call.ended.is_some() == call.status.is_final(), "{key} has ended and not");
            ensure!(call.failures <= call.max_attempts, "{key} failed {} times", call.failures);
            let ran = self.begun.get(key).copied().unwrap_or(0);
            ensure!(call.attempts >= ran, "{key} ran {ran} times and counts {}", call.attempts);
            let stopped = call.status == CallStatus::Cancelled; // perhaps before it began
            ensure!(runs || stopped || call.attempts <= ran, "{key} ran {ran} times and counts {}", call.attempts);
            let due = !runs && !call.status.is_final() && !b.unkept.contains(key);
            let woken = b.next_deadline(self.now).is_some() || b.waits_for_room(self.now);
            ensure!(!due || woken, "{key} waits and nothing wakes it");
        }
        for (key, promise) in &self.promised {
            if self.unwritten.contains_key(key) {
                continue;
            }
            let Some(call) = b.call(*key) else { return Err(format!("{key} disappeared")) };
            let known = call.status.is_final().then_some(call.status);
            ensure!(promise.ended == known, "{key} ended as {:?} and is {:?}", promise.ended, call.status);
            ensure!(self.disk.get(key).is_some_and(|c| c.status == call.status), "{key} is not on disk as it is");
        }
        Ok(())
    }

    /// From here on all goes well: everything that was accepted ends.
    fn settle(&mut self) -> Result<(), String> {
        self.healed = true;
        for _ in 0..3_000 {
            self.attempt_ends()?;
            self.callback_ends()?;
            self.turn()?;
            let b = &self.backlog;
            let told = b.calls.values().filter_map(|c| c.callback.as_ref());
            let telling = told.filter(|c| !matches!(c.status, CallbackStatus::Delivered | CallbackStatus::Failed));
            if b.open.is_empty() && telling.count() == 0 {
                return Ok(());
            }
            if self.running.is_empty() && self.calling_back.is_empty() {
                let next = self.backlog.next_deadline(self.now).ok_or("nothing is due, and calls are open")?;
                self.now = self.now.max(next);
            }
        }
        Err(format!("{} calls do not end", self.backlog.open.len()))
    }
}

#[test]
fn every_accepted_call_ends_exactly_once() {
    let worth_seeing = [
        "succeeded",
        "failed",
        "cancelled",
        "dropped",
        "restart",
        "restart with less",
        "known",
        "key reused",
        "full",
        "not kept",
        "start not kept",
        "called back",
        "callback refused",
    ];
    live(SEEDS, "every_accepted_call_ends", &worth_seeing, |seed| {
        let mut world = World::new(seed);
        world.live().map(|()| world.seen)
    });
}
