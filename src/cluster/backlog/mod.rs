//! Asynchronous calls: accepted, tried until they end, kept for a while. As pure as the rest of the core: commands and
//! time go in, events come out. Never knows how a call is run or what it carries.
//!
//! Time here is milliseconds since the Unix epoch, as they go on counting from the orchestrator's start: what is kept
//! over a restart means the same after it.

mod call;
mod ending;
mod lines;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use call::{Call, CallKey, CallStatus, Callback, CallbackStatus, Idempotency, Submission};
use lines::Lines;

use super::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is taken, how often it is tried, and how long it is kept. Each has a reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls of one function that wait or run: one function's flood leaves room for others.
    pub open_per_function: usize,
    /// And of all: bounds memory.
    pub open_total: usize,
    /// Ended calls that are kept: bounds memory.
    pub ended_kept: usize,
    /// How long an ended call and its result are kept.
    pub retention_ms: Millis,
    /// A call that could not be tried to its end in this time is given up.
    pub max_age_ms: Millis,
    /// Requests and results together, on disk.
    pub bytes: u64,
    /// Between attempts: the first pause, doubling, and the longest.
    pub retry_first_ms: Millis,
    pub retry_last_ms: Millis,
    /// The longest pause when nothing could be started: the cluster may have room at any time.
    pub room_last_ms: Millis,
    /// Nodes and orchestrators a call may outlive: one that kills its nodes must end some day.
    pub interruptions: u32,
    /// Times a callback is tried.
    pub callback_attempts: u32,
    /// Callbacks at once.
    pub callbacks_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            open_per_function: 10_000,
            open_total: 50_000,
            ended_kept: 50_000,
            retention_ms: 24 * 3_600_000,
            max_age_ms: 24 * 3_600_000,
            bytes: 1 << 30,
            retry_first_ms: 1_000,
            retry_last_ms: 300_000,
            room_last_ms: 5_000,
            interruptions: 20,
            callback_attempts: 12,
            callbacks_at_once: 16,
        }
    }
}

/// A change asked for, or something that happened.
#[derive(Clone, Debug)]
pub enum Command {
    /// Takes a call in. It is not tried before it is `Kept`. Answered by `Accepted` or `Known`.
    Submit(Submission),
    /// The call is on disk.
    Kept { call: CallKey },
    /// The call could not be put on disk, and nobody was told that it is accepted.
    Forget { call: CallKey },
    /// The node that the attempt under way goes to.
    Placed { call: CallKey, node: Arc<str> },
    /// How an attempt ended. One that is not current is refused.
    Attempted { call: CallKey, attempt: u64, end: AttemptEnd },
    /// The call is not wanted any more.
    Cancel { call: CallKey },
    /// Whether the callback was taken.
    CalledBack { call: CallKey, taken: Result<(), String> },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The function answered; what that takes on disk.
    Answered { bytes: u64 },
    /// The function failed, and what it said takes that much on disk; `again`: it may do better.
    Failed { why: String, bytes: u64, again: bool },
    /// Its node went away; it may have run.
    Interrupted { why: String },
    /// Nothing of it was started, for want of room.
    NotStarted { why: String },
}

/// A fact. What the shell must do and keep follows from these alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new call: to be put on disk, and then `Kept`.
    Accepted { call: CallKey },
    /// Asked for before, under the same name.
    Known { call: CallKey },
    /// To be kept as it is now, then to be run.
    Starting { call: CallKey, attempt: u64 },
    /// An attempt that is not wanted any more: what runs of it must end.
    Stopping { call: CallKey, attempt: u64 },
    /// To be kept as it is now.
    Changed { call: CallKey },
    /// It is over: to be kept with its result; its request is not needed any more.
    Ended { call: CallKey },
    /// Its end is to be told.
    CallBack { call: CallKey },
    /// No longer kept: nothing of it is needed any more.
    Dropped { call: CallKey },
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many calls wait or run as may, of this function or in all.
    QueueFull { limit: usize },
    /// Requests and results take as much disk as they may.
    NoSpace { limit: u64 },
    /// Another request was made under this name.
    KeyReused { call: CallKey },
    /// Never was, or is no longer kept.
    UnknownCall,
    /// Over already, otherwise.
    Ended { status: CallStatus },
    /// Another attempt is current, or none.
    StaleAttempt,
}

/// What runs a call: jobs take a slot each, http calls share instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pool {
    Jobs,
    Http,
}

/// How much room there is for calls of a function, so that others are left theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub pool: Pool,
    /// Of all functions' calls in the pool, at once.
    pub pool_at_once: u32,
    /// Of this function's, at once.
    pub at_once: u32,
}

/// An attempt under way.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    pool: Pool,
}

/// All asynchronous calls.
pub struct Backlog {
    limits: Limits,
    next_key: u64,
    next_attempt: u64,
    calls: BTreeMap<CallKey, Call>,
    /// Not on disk yet.
    unkept: BTreeSet<CallKey>,
    attempts: BTreeMap<CallKey, Attempt>,
    names: BTreeMap<(Arc<str>, Arc<str>), CallKey>,
    lines: Lines,
    /// Neither of these has ended: by when they were submitted.
    open: BTreeSet<(Millis, CallKey)>,
    ended: BTreeSet<(Millis, CallKey)>,
    callbacks: BTreeSet<(Millis, CallKey)>,
    sending: usize,
    /// Of all calls, and of those that have not ended.
    bytes: u64,
    open_bytes: u64,
    /// Calls that ended since the start: succeeded, failed, cancelled.
    over: [u64; 3],
}

impl Backlog {
    /// Empty. Keys count up from `first_key`; give each start of the orchestrator a range of its own.
    pub fn new(limits: Limits, first_key: u64) -> Self {
        Backlog {
            limits,
            next_key: first_key,
            next_attempt: 0,
            calls: BTreeMap::new(),
            unkept: BTreeSet::new(),
            attempts: BTreeMap::new(),
            names: BTreeMap::new(),
            lines: Lines::default(),
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            callbacks: BTreeSet::new(),
            sending: 0,
            bytes: 0,
            open_bytes: 0,
            over: [0; 3],
        }
    }

    /// Carries one command out, or refuses it and changes nothing.
    pub fn apply(&mut self, now: Millis, command: Command) -> Result<Vec<Event>, Refusal> {
        let mut out = Vec::new();
        match command {
            Command::Submit(asked) => self.submit(now, asked, &mut out)?,
            Command::Kept { call } => self.kept(call)?,
            Command::Forget { call } => self.forget(call)?,
            Command::Placed { call, node } => self.placed(call, node)?,
            Command::Attempted { call, attempt, end } => self.attempted(now, call, attempt, end, &mut out)?,
            Command::Cancel { call } => self.cancel(now, call, &mut out)?,
            Command::CalledBack { call, taken } => self.called_back(now, call, taken, &mut out)?,
        }
        Ok(out)
    }

    /// Whether a call of this function would be taken, before its body is; `submit` asks again.
    pub fn admits(&self, function: &str) -> Result<(), Refusal> {
        for (count, limit) in
            [(self.lines.open(function), self.limits.open_per_function), (self.open.len(), self.limits.open_total)]
        {
            if count >= limit {
                return Err(Refusal::QueueFull { limit });
            }
        }
        Ok(())
    }

    fn submit(&mut self, now: Millis, asked: Submission, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let name = asked.idempotency.as_ref().map(|i| (asked.function.clone(), i.key.clone()));
        if let Some(known) = name.as_ref().and_then(|name| self.names.get(name)).and_then(|key| self.calls.get(key)) {
            let call = known.key;
            if known.idempotency != asked.idempotency {
                return Err(Refusal::KeyReused { call });
            }
            out.push(Event::Known { call });
            return Ok(());
        }
        self.admits(&asked.function)?;
        if self.open_bytes + asked.bytes > self.limits.bytes {
            return Err(Refusal::NoSpace { limit: self.limits.bytes });
        }
        self.next_key += 1;
        let call = Call::new(CallKey(self.next_key), now, asked);
        let key = call.key;
        self.unkept.insert(key);
        self.insert(call);
        out.push(Event::Accepted { call: key });
        self.drop_beyond(out);
        Ok(())
    }

    /// Puts a call in all books it belongs to.
    fn insert(&mut self, call: Call) {
        self.bytes += call.bytes();
        if let Some(i) = &call.idempotency {
            self.names.insert((call.function.clone(), i.key.clone()), call.key);
        }
        match call.ended {
            Some(at) => drop(self.ended.insert((at, call.key))),
            None => {
                self.open_bytes += call.bytes();
                self.open.insert((call.submitted, call.key));
                self.lines.opened(&call.function);
                if !self.unkept.contains(&call.key) {
                    self.lines.push(&call.function, call.next_try, call.key);
                }
            }
        }
        if let Some(callback) = call.callback.as_ref().filter(|c| c.status == CallbackStatus::Pending) {
            self.callbacks.insert((callback.next_try, call.key));
        }
        self.calls.insert(call.key, call);
    }

    fn kept(&mut self, key: CallKey) -> Result<(), Refusal> {
        let call = self.calls.get(&key).ok_or(Refusal::UnknownCall)?;
        if self.unkept.remove(&key) && call.status == CallStatus::Queued {
            self.lines.push(&call.function, call.next_try, key);
        }
        Ok(())
    }

    fn placed(&mut self, key: CallKey, node: Arc<str>) -> Result<(), Refusal> {
        let call = self.calls.get_mut(&key).ok_or(Refusal::UnknownCall)?;
        if call.status != CallStatus::Running {
            return Err(Refusal::StaleAttempt);
        }
        call.node = Some(node);
        Ok(())
    }

    fn forget(&mut self, key: CallKey) -> Result<(), Refusal> {
        if !self.unkept.contains(&key) {
            return Err(Refusal::UnknownCall);
        }
        self.remove(key);
        Ok(())
    }

    /// Begins what is due and has room, a call of each function in turn, and callbacks.
    pub fn start_due(&mut self, now: Millis, room: impl Fn(&str) -> Room) -> Vec<Event> {
        let mut out = Vec::new();
        let mut running: BTreeMap<Pool, u32> = BTreeMap::new();
        for attempt in self.attempts.values() {
            *running.entry(attempt.pool).or_default() += 1;
        }
        loop {
            let before = out.len();
            for function in self.lines.in_turn(now) {
                let room = room(&function);
                let all = running.entry(room.pool).or_default();
                if *all >= room.pool_at_once.max(1) || self.lines.running(&function) >= room.at_once.max(1) {
                    continue;
                }
                let Some(key) = self.lines.take(&function, now) else { continue };
                let Some(call) = self.calls.get_mut(&key) else { continue };
                if !call.transition(CallStatus::Running) {
                    continue;
                }
                *all += 1;
                call.attempts += 1;
                call.started = Some(now);
                self.next_attempt += 1;
                let attempt = self.next_attempt;
                self.attempts.insert(key, Attempt { number: attempt, pool: room.pool });
                out.push(Event::Starting { call: key, attempt });
            }
            if out.len() == before {
                break;
            }
        }
        self.start_callbacks(now, &mut out);
        out
    }

    /// Whether calls that are due wait for room, of which the end of another tells, or a change of the cluster.
    pub fn waits_for_room(&self, now: Millis) -> bool {
        !self.lines.in_turn(now).is_empty()
    }

    /// Does what has become due, but for starting calls. Harmless at any time.
    pub fn tick(&mut self, now: Millis) -> Vec<Event> {
        let mut out = Vec::new();
        self.give_up_old(now, &mut out);
        self.drop_expired(now, &mut out);
        self.drop_beyond(&mut out);
        out
    }

    /// When `tick` or `start_due` may have something to do that is not due now.
    pub fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let waiting = |at: &Millis| *at > now;
        let callbacks = self.callbacks.first().map(|(at, _)| *at);
        let age = self.limits.max_age_ms;
        let oldest = self.open.iter().find(|(_, key)| !self.attempts.contains_key(key));
        [
            self.lines.next_due(now),
            callbacks.filter(waiting),
            oldest.map(|(at, _)| at.saturating_add(age)),
            self.ended.first().map(|(at, _)| at.saturating_add(self.limits.retention_ms)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes a call back into memory after a restart, as it was kept. What ran then is tried again.
    pub fn restore(&mut self, now: Millis, mut call: Call) -> Vec<Event> {
        let mut out = Vec::new();
        let key = call.key;
        // a clock that was wrong then must not hold anything back now
        let ran = call.status == CallStatus::Running && call.transition(CallStatus::Queued);
        let latest = if ran || call.next_try <= call.submitted { now } else { now + self.limits.retry_last_ms };
        call.next_try = call.next_try.min(latest);
        call.submitted = call.submitted.min(now);
        call.ended = call.ended.map(|at| at.min(now));
        if let Some(callback) = &mut call.callback {
            let sent = callback.status == CallbackStatus::Sending && callback.transition(CallbackStatus::Pending);
            let latest = if sent { now } else { now + self.limits.retry_last_ms };
            callback.next_try = callback.next_try.min(latest);
        }
        self.insert(call);
        if ran {
            self.interrupted(now, key, "the orchestrator was restarted while it ran".into(), &mut out);
        }
        out
    }

    /// Newest first, from before a key on.
    pub fn newest(&self, before: Option<CallKey>) -> impl Iterator<Item = &Call> {
        self.calls.range(..before.unwrap_or(CallKey(u64::MAX))).rev().map(|(_, call)| call)
    }

    /// Calls that wait and that run now, then those that ended since the start, by status.
    pub fn count(&self) -> [(CallStatus, u64); 5] {
        use CallStatus::{Cancelled, Failed, Queued, Running, Succeeded};
        let running = self.attempts.len() as u64;
        let waiting = (self.open.len() as u64).saturating_sub(running);
        let [succeeded, failed, cancelled] = self.over;
        [(Queued, waiting), (Running, running), (Succeeded, succeeded), (Failed, failed), (Cancelled, cancelled)]
    }

    pub fn call(&self, key: CallKey) -> Option<&Call> {
        self.calls.get(&key)
    }

    /// Whether it is on disk; `None` when it is not known.
    pub fn is_kept(&self, key: CallKey) -> Option<bool> {
        self.calls.get(&key).map(|_| !self.unkept.contains(&key))
    }

    /// Calls that wait or run, of one function.
    #[cfg(test)]
    fn open(&self, function: &str) -> usize {
        self.lines.open(function)
    }
}
