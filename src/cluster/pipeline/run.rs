//! One pipeline: its modules' way to their ends, step by step. The only place where a module's state changes.

use super::super::Millis;
use super::super::backlog::Idempotency;
use super::super::key::written_key;
use super::super::words::worded;
use super::{Condition, Graph, Limits, Module, ModuleState};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

written_key! {
    /// A pipeline's id, unique over restarts of the orchestrator.
    pub struct PipelineKey, "p{:x}"
}

worded! {
    /// How a pipeline is.
    #[derive(Default)]
    pub enum PipelineStatus {
        #[default]
        Running = "running",
        /// No module failed.
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl PipelineStatus {
    /// Nothing follows, but for a retry.
    pub fn is_final(self) -> bool {
        self != PipelineStatus::Running
    }
}

/// Modules that need the same of the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Not tried before then.
    later: BTreeSet<(Millis, usize)>,
    /// May be tried: the one with the most behind it first, or the ends would be waited for with slots to spare.
    ready: BTreeSet<(Reverse<u32>, usize)>,
    /// Attempts under way.
    pub under_way: u32,
    /// There was no room: none is tried before this.
    paused_until: Millis,
    /// Such pauses in a row.
    pauses: u32,
}

impl Group {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.later.is_empty()
    }

    fn due(&self) -> Option<Millis> {
        let first = self.later.first().map(|(at, _)| *at);
        let first = if self.ready.is_empty() { first } else { Some(0) };
        first.map(|at| at.max(self.paused_until))
    }
}

/// A pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub key: PipelineKey,
    pub graph: Arc<Graph>,
    /// As many as the graph has, in its order.
    pub modules: Vec<Module>,
    pub status: PipelineStatus,
    /// Nothing that needs success starts any more once a module has failed.
    pub stop: bool,
    pub submitted: Millis,
    pub ended: Option<Millis>,
    /// 1, and one more for each retry.
    pub runs: u32,
    /// Of what was asked for, in memory and on disk.
    pub bytes: u64,
    pub idempotency: Option<Idempotency>,
    /// What a module depends on and has not ended, by module.
    waits: Vec<usize>,
    open: usize,
    failed: bool,
    pub(super) groups: BTreeMap<u32, Group>,
}

impl Pipeline {
    /// At its beginning; `begin` is next.
    pub fn new(key: PipelineKey, graph: Arc<Graph>, stop: bool, now: Millis, bytes: u64) -> Self {
        let modules = vec![Module::default(); graph.len()];
        Pipeline {
            key,
            graph,
            modules,
            status: PipelineStatus::Running,
            stop,
            submitted: now,
            ended: None,
            runs: 1,
            bytes,
            idempotency: None,
            waits: Vec::new(),
            open: 0,
            failed: false,
            groups: BTreeMap::new(),
        }
    }

    /// What its modules' results take on disk.
    pub fn result_bytes(&self) -> u64 {
        self.modules.iter().map(|module| module.result_bytes).sum()
    }

    /// Reckons from the modules' states alone what is to be known of them, and goes on from there. What changed is put
    /// into `changed`.
    pub(super) fn begin(&mut self, now: Millis, changed: &mut BTreeSet<usize>) {
        let ended: Vec<bool> = self.modules.iter().map(|module| module.state.is_final()).collect();
        self.groups.clear();
        self.open = ended.iter().filter(|ended| !**ended).count();
        self.failed = self.modules.iter().any(|module| module.state == ModuleState::Failed);
        let waits = |index| self.graph.place(index).after.iter().filter(|dependency| !ended[**dependency]).count();
        self.waits = (0..self.modules.len()).map(waits).collect();
        self.taint();
        for index in 0..self.modules.len() {
            if self.modules[index].state == ModuleState::Ready && !self.modules[index].begun {
                self.line_up(index);
            }
        }
        if self.failed {
            self.stop_what_needs_success(now, changed);
        }
        for index in 0..self.modules.len() {
            let waits = self.waits[index] > 0 || self.modules[index].state != ModuleState::Pending;
            if !waits && !self.decide(now, index, changed) {
                self.end(now, index, ModuleState::Skipped, changed);
            }
        }
    }

    /// Failure goes on along dependencies: kept with no record, as it follows from the states.
    fn taint(&mut self) {
        let mut tainted: Vec<usize> = Vec::new();
        for index in 0..self.modules.len() {
            self.modules[index].tainted = self.modules[index].state == ModuleState::Failed;
            tainted.extend(self.modules[index].tainted.then_some(index));
        }
        while let Some(index) = tainted.pop() {
            for next in &self.graph.place(index).before {
                let module = &mut self.modules[*next];
                if module.state.is_final() && !module.tainted {
                    module.tainted = true;
                    tainted.push(*next);
                }
            }
        }
    }

    /// Whether modules that need success no longer start.
    fn stopping(&self) -> bool {
        self.stop && self.failed
    }

    /// All that a module depends on has ended. False: it is not to run, and to be ended so.
    fn decide(&mut self, now: Millis, index: usize, changed: &mut BTreeSet<usize>) -> bool {
        let place = self.graph.place(index);
        let runs = match place.condition {
            Condition::Always => true,
            Condition::Failure => place.after.iter().any(|dependency| self.modules[*dependency].tainted),
            Condition::Success => {
                let succeeded = |dependency: &usize| self.modules[*dependency].state == ModuleState::Succeeded;
                !self.stopping() && place.after.iter().all(succeeded)
            }
        };
        if runs && self.modules[index].transition(ModuleState::Ready) {
            self.modules[index].next_try = now;
            changed.insert(index);
            self.line_up(index);
        }
        runs
    }

    /// A ready module waits for its turn.
    pub(super) fn line_up(&mut self, index: usize) {
        let group = self.groups.entry(self.graph.place(index).group).or_default();
        group.later.insert((self.modules[index].next_try, index));
    }

    pub(super) fn leave_line(&mut self, index: usize) {
        let place = self.graph.place(index);
        if let Some(group) = self.groups.get_mut(&place.group) {
            group.later.remove(&(self.modules[index].next_try, index));
            group.ready.remove(&(Reverse(place.behind), index));
        }
    }

    /// The next of a group, on its way from now on.
    pub(super) fn take(&mut self, now: Millis, group: u32) -> Option<usize> {
        let line = self.groups.get_mut(&group)?;
        line.due().filter(|at| *at <= now)?;
        while let Some((_, index)) = line.later.first().copied().filter(|(at, _)| *at <= now) {
            line.later.pop_first();
            line.ready.insert((Reverse(self.graph.place(index).behind), index));
        }
        let (_, index) = line.ready.pop_first()?;
        line.under_way += 1;
        let module = &mut self.modules[index];
        module.begun = true;
        module.attempts += 1;
        module.started = Some(now);
        Some(index)
    }

    /// An attempt is over. `no_room`: it never was one.
    pub(super) fn back(&mut self, now: Millis, index: usize, no_room: bool, limits: &Limits) {
        self.modules[index].begun = false;
        let Some(group) = self.groups.get_mut(&self.graph.place(index).group) else { return };
        group.under_way = group.under_way.saturating_sub(1);
        if !no_room {
            (group.pauses, group.paused_until) = (0, 0);
        } else if group.paused_until <= now {
            // else it is one of several that found none together
            group.paused_until =
                now + limits.room_first_ms.saturating_mul(1 << group.pauses.min(20)).min(limits.room_last_ms);
            group.pauses += 1;
        }
    }

    /// Groups with a module that is due.
    pub(super) fn due_groups(&self, now: Millis) -> Vec<u32> {
        let due = |group: &Group| group.due().is_some_and(|at| at <= now);
        self.groups.iter().filter(|(_, group)| due(group)).map(|(number, _)| *number).collect()
    }

    /// The first time after now at which a module becomes due.
    pub(super) fn next_due(&self, now: Millis) -> Option<Millis> {
        self.groups.values().filter_map(Group::due).filter(|at| *at > now).min()
    }

    /// The only way a module ends. All that follows for others is done here too.
    pub(super) fn end(&mut self, now: Millis, index: usize, state: ModuleState, changed: &mut BTreeSet<usize>) {
        let mut ending = vec![(index, state)];
        while let Some((index, state)) = ending.pop() {
            self.leave_line(index);
            if !self.modules[index].transition(state) {
                continue;
            }
            self.modules[index].ended = Some(now);
            self.modules[index].begun = false;
            self.open -= 1;
            changed.insert(index);
            let graph = self.graph.clone();
            let place = graph.place(index);
            let tainted = place.after.iter().any(|dependency| self.modules[*dependency].tainted);
            self.modules[index].tainted = tainted || state == ModuleState::Failed;
            if state == ModuleState::Failed && !self.failed {
                self.failed = true;
                self.stop_what_needs_success(now, changed);
            }
            for next in &place.before {
                self.waits[*next] -= 1;
                if self.waits[*next] > 0 || self.modules[*next].state != ModuleState::Pending {
                    continue;
                }
                if self.status == PipelineStatus::Cancelled {
                    ending.push((*next, ModuleState::Cancelled));
                } else if !self.decide(now, *next, changed) {
                    ending.push((*next, ModuleState::Skipped));
                }
            }
        }
        if self.open == 0 && self.status == PipelineStatus::Running {
            self.status = if self.failed { PipelineStatus::Failed } else { PipelineStatus::Succeeded };
            self.ended = Some(now);
        }
    }

    /// What has begun goes on, with its retries.
    fn stop_what_needs_success(&mut self, now: Millis, changed: &mut BTreeSet<usize>) {
        if !self.stop {
            return;
        }
        for index in 0..self.modules.len() {
            let module = &self.modules[index];
            let waits = matches!(module.state, ModuleState::Pending | ModuleState::Ready) && !module.begun;
            let fresh = module.failures == 0 && module.interruptions == 0;
            if waits && fresh && self.graph.place(index).condition == Condition::Success {
                self.end(now, index, ModuleState::Skipped, changed);
            }
        }
    }

    /// Nothing of it runs any more.
    pub(super) fn cancel(&mut self, now: Millis, changed: &mut BTreeSet<usize>) {
        (self.status, self.ended) = (PipelineStatus::Cancelled, Some(now));
        for index in 0..self.modules.len() {
            self.end(now, index, ModuleState::Cancelled, changed);
        }
    }

    /// What did not succeed is run again, and all that depends on it.
    pub(super) fn retry(&mut self, now: Millis, changed: &mut BTreeSet<usize>) {
        (self.status, self.ended) = (PipelineStatus::Running, None);
        self.runs += 1;
        let unsuccessful = |index: &usize| self.modules[*index].state != ModuleState::Succeeded;
        let mut again: Vec<usize> = (0..self.modules.len()).filter(unsuccessful).collect();
        while let Some(index) = again.pop() {
            if changed.insert(index) {
                self.modules[index] = self.modules[index].again();
                again.extend(&self.graph.place(index).before);
            }
        }
        self.begin(now, changed);
    }
}
