//! Who is next: a line for each function, and turns among them. Never knows what becomes of a call.

use super::super::Millis;
use super::CallKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Default)]
struct Line {
    waiting: BTreeSet<(Millis, CallKey)>,
    running: u32,
    open: usize,
    /// Nothing of it could be started: none is tried before this, for the next would fare no better.
    paused_until: Millis,
    /// Such pauses in a row.
    pauses: u32,
    /// When it last had its turn, as a counter.
    turn: u64,
}

impl Line {
    fn due(&self) -> Option<Millis> {
        self.waiting.first().map(|(at, _)| (*at).max(self.paused_until))
    }
}

/// All lines.
#[derive(Default)]
pub(super) struct Lines {
    by_function: BTreeMap<Arc<str>, Line>,
    turn: u64,
}

impl Lines {
    /// Calls of a function that wait or run.
    pub fn open(&self, function: &str) -> usize {
        self.by_function.get(function).map_or(0, |line| line.open)
    }

    pub fn running(&self, function: &str) -> u32 {
        self.by_function.get(function).map_or(0, |line| line.running)
    }

    pub fn opened(&mut self, function: &Arc<str>) {
        self.by_function.entry(function.clone()).or_default().open += 1;
    }

    /// A call of it has ended or is not wanted.
    pub fn closed(&mut self, function: &str) {
        let Some(line) = self.by_function.get_mut(function) else { return };
        line.open = line.open.saturating_sub(1);
        if line.open == 0 {
            self.by_function.remove(function);
        }
    }

    pub fn push(&mut self, function: &Arc<str>, at: Millis, call: CallKey) {
        self.by_function.entry(function.clone()).or_default().waiting.insert((at, call));
    }

    pub fn leave(&mut self, function: &str, at: Millis, call: CallKey) {
        if let Some(line) = self.by_function.get_mut(function) {
            line.waiting.remove(&(at, call));
        }
    }

    /// Takes the first that is due out of its line; it runs from now on.
    pub fn take(&mut self, function: &str, now: Millis) -> Option<CallKey> {
        let line = self.by_function.get_mut(function)?;
        line.due().filter(|at| *at <= now)?;
        let (_, call) = line.waiting.pop_first()?;
        self.turn += 1;
        line.turn = self.turn;
        line.running += 1;
        Some(call)
    }

    /// One that ran does not run any more. `started`: it had at least been sent somewhere.
    pub fn stopped(&mut self, function: &str, started: bool) {
        let Some(line) = self.by_function.get_mut(function) else { return };
        line.running = line.running.saturating_sub(1);
        if started {
            (line.pauses, line.paused_until) = (0, 0);
        }
    }

    /// There was no room: the function's calls wait, ever longer up to `last`.
    pub fn pause(&mut self, function: &str, now: Millis, first: Millis, last: Millis) {
        let Some(line) = self.by_function.get_mut(function) else { return };
        if line.paused_until > now {
            return; // one of several that failed together
        }
        line.paused_until = now + first.saturating_mul(1 << line.pauses.min(20)).min(last);
        line.pauses += 1;
    }

    /// Functions with a call that is due, the longest without a turn first.
    pub fn in_turn(&self, now: Millis) -> Vec<Arc<str>> {
        let due = |line: &Line| line.due().is_some_and(|at| at <= now);
        let mut all: Vec<_> = self.by_function.iter().filter(|(_, line)| due(line)).collect();
        all.sort_by_key(|(_, line)| line.turn);
        all.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// The first time after now at which a call becomes due.
    pub fn next_due(&self, now: Millis) -> Option<Millis> {
        self.by_function.values().filter_map(Line::due).filter(|at| *at > now).min()
    }
}
