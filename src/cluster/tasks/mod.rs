//! The cluster's tasks: taken in, stopped, started again and forgotten, and what is counted of them. Never decides where
//! one goes (`placing.rs`), nor what a node's word about one means (`reports.rs`).

mod placing;
mod reports;

use super::*;
use placing::TaskIndex;
pub(super) use placing::{Needs, Reserved, TaskPlace};
use std::collections::{BTreeMap, BTreeSet};

/// All tasks, and the orders they are looked up in.
#[derive(Default)]
pub(super) struct Tasks {
    pub all: BTreeMap<TaskKey, Task>,
    ids: BTreeMap<Arc<str>, TaskKey>,
    /// By the key they were submitted with.
    by_key: BTreeMap<String, TaskKey>,
    /// Those that wait for room, by what they ask for: where one finds none, none of its line does.
    pub lines: BTreeMap<Arc<Needs>, BTreeSet<TaskKey>>,
    /// Those that wait for their next try.
    pub later: BTreeSet<(Millis, TaskKey)>,
    /// Those that have ended, oldest first.
    pub ended: BTreeMap<u64, TaskKey>,
    /// Of these, those whose nodes keep what they printed.
    pub logs: BTreeMap<u64, TaskKey>,
    /// How many are in which state.
    pub counts: [usize; TaskState::ALL.len()],
    /// Those that have not ended take so many bytes, and those that have.
    pub live_bytes: usize,
    pub ended_bytes: usize,
    pub index: TaskIndex,
    /// Nodes that may have room now where they had none.
    pub freed: BTreeSet<NodeKey>,
}

impl Tasks {
    pub fn count(&self, state: TaskState) -> usize {
        self.counts[state as usize]
    }

    pub fn live(&self) -> usize {
        TaskState::ALL.into_iter().filter(|state| !state.is_end()).map(|state| self.count(state)).sum()
    }

    fn add(&mut self, task: Task) {
        self.ids.insert(task.id.clone(), task.key);
        if let Some(key) = &task.spec.idempotency_key {
            self.by_key.insert(key.clone(), task.key);
        }
        self.counts[task.state as usize] += 1;
        match task.state.is_end() {
            true => {
                self.ended_bytes += task.bytes();
                self.ended.insert(task.ended_as, task.key);
            }
            false => self.live_bytes += task.spec.bytes(),
        }
        self.all.insert(task.key, task);
    }

    /// It holds nothing on a node any more.
    fn remove(&mut self, key: TaskKey) -> Option<Task> {
        self.leave_lines(key);
        let task = self.all.remove(&key)?;
        self.ids.remove(&task.id);
        if let Some(idempotent) = task.spec.idempotency_key.as_ref().filter(|k| self.by_key.get(*k) == Some(&key)) {
            self.by_key.remove(idempotent);
        }
        self.counts[task.state as usize] -= 1;
        match task.state.is_end() {
            true => {
                self.ended_bytes -= task.bytes();
                self.ended.remove(&task.ended_as);
            }
            false => self.live_bytes -= task.spec.bytes(),
        }
        Some(task)
    }

    pub fn join_line(&mut self, key: TaskKey) {
        if let Some(task) = self.all.get_mut(&key) {
            task.retry_at = None;
            self.lines.entry(task.needs.clone()).or_default().insert(key);
        }
    }

    pub fn leave_lines(&mut self, key: TaskKey) {
        let Some(task) = self.all.get_mut(&key) else { return };
        if let Some(at) = task.retry_at.take() {
            self.later.remove(&(at, key));
        }
        if let Some(line) = self.lines.get_mut(&task.needs) {
            line.remove(&key);
            if line.is_empty() {
                self.lines.remove(&task.needs);
            }
        }
    }
}

impl Cluster {
    /// What the wall clock showed when this cluster's time was 0.
    pub fn set_wall_clock(&mut self, unix_ms_at_zero: u64) {
        self.unix_ms_at_zero = unix_ms_at_zero;
    }

    fn unix_ms(&self, now: Millis) -> u64 {
        self.unix_ms_at_zero.saturating_add(now)
    }

    /// All tasks, oldest first.
    #[cfg(any(test, feature = "fuzz"))]
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.all.values()
    }

    /// Tasks by id, from behind one on; all of them from behind the empty one.
    pub fn tasks_behind(&self, id: &str) -> impl Iterator<Item = &Task> {
        let range = self.tasks.ids.range::<str, _>((Bound::Excluded(id), Bound::Unbounded));
        range.filter_map(|(_, key)| self.tasks.all.get(key))
    }

    pub fn task(&self, key: TaskKey) -> Option<&Task> {
        self.tasks.all.get(&key)
    }

    pub fn find_task(&self, id: &str) -> Option<&Task> {
        self.tasks.all.get(self.tasks.ids.get(id)?)
    }

    /// How many tasks are in a state.
    pub fn tasks_in(&self, state: TaskState) -> usize {
        self.tasks.count(state)
    }

    pub(super) fn submit_task(&mut self, now: Millis, spec: TaskSpec, out: &mut Vec<Event>) -> Result<(), Refusal> {
        if let Some(known) = spec.idempotency_key.as_ref().and_then(|key| self.tasks.by_key.get(key)) {
            let task = self.tasks.all.get(known).filter(|task| *task.spec == spec);
            let Some(task) = task else { return Err(Refusal::TaskKeyTaken { task: known.to_string() }) };
            out.push(Event::TaskSubmitted { task: task.key, again: true });
            return Ok(());
        }
        self.check_room(&spec)?;
        let (key, needs) = (TaskKey(self.fresh_key()), Arc::new(Needs::of(&spec)));
        self.tasks.add(Task {
            key,
            id: key.to_string().into(),
            spec: Arc::new(spec),
            state: TaskState::Pending,
            stopping: None,
            node: None,
            attempt: 0,
            local: false,
            progress: Progress::default(),
            created_unix_ms: self.unix_ms(now),
            scheduled_unix_ms: 0,
            needs,
            refused_by: Vec::new(),
            retry_at: None,
            ended_as: 0,
            log_kept: false,
        });
        out.push(Event::TaskSubmitted { task: key, again: false });
        self.place_or_wait(now, key, out);
        Ok(())
    }

    /// Whether one more may be taken in to be placed.
    fn check_room(&self, spec: &TaskSpec) -> Result<(), Refusal> {
        if self.tasks.count(TaskState::Pending) >= self.limits.tasks_pending {
            return Err(Refusal::TooManyPending { limit: self.limits.tasks_pending });
        }
        self.check_live(spec)
    }

    fn check_live(&self, spec: &TaskSpec) -> Result<(), Refusal> {
        let limits = &self.limits;
        if self.tasks.live() >= limits.tasks_live {
            return Err(Refusal::TooManyTasks { limit: limits.tasks_live });
        }
        if self.tasks.live_bytes + spec.bytes() > limits.task_bytes {
            return Err(Refusal::TasksTooBig { limit_bytes: limits.task_bytes });
        }
        Ok(())
    }

    pub(super) fn stop_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let task = self.tasks.all.get(&key).ok_or(Refusal::UnknownTask)?;
        match task.state {
            TaskState::Pending => self.end_task(now, key, TaskState::Stopped, out),
            TaskState::Scheduled | TaskState::Running => self.order_stop(now, key, Stopping::Asked, out),
            TaskState::Stopping => {
                if let Some(task) = self.tasks.all.get_mut(&key).filter(|t| t.stopping != Some(Stopping::Asked)) {
                    task.stopping = Some(Stopping::Asked); // it was to go on elsewhere
                    out.push(Event::TaskNoted { task: key });
                }
            }
            state => return Err(Refusal::TaskEnded { state }),
        }
        Ok(())
    }

    /// Has the node of a placed task stop it.
    pub(super) fn order_stop(&mut self, now: Millis, key: TaskKey, why: Stopping, out: &mut Vec<Event>) {
        if !self.set_task(now, key, TaskState::Stopping, out) {
            return;
        }
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        task.stopping = Some(why);
        if let Some(node) = task.node {
            out.push(Event::TaskStop { id: task.id.clone(), node, attempt: task.attempt });
        }
    }

    /// Once more from the beginning, with the next attempt.
    pub(super) fn start_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let task = self.tasks.all.get(&key).ok_or(Refusal::UnknownTask)?;
        if !task.state.is_end() {
            return Err(Refusal::TaskNotEnded { state: task.state });
        }
        if task.local {
            return Err(Refusal::TaskOfNode);
        }
        self.check_room(&task.spec)?;
        self.forget_log(key, out);
        if let Some(task) = self.tasks.all.get(&key) {
            self.tasks.ended_bytes -= task.bytes();
            self.tasks.ended.remove(&task.ended_as);
            self.tasks.live_bytes += task.spec.bytes();
        }
        self.set_task(now, key, TaskState::Pending, out);
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.progress = Progress::default();
            task.refused_by.clear();
        }
        self.place_or_wait(now, key, out);
        Ok(())
    }

    /// One that has ended is forgotten; another is stopped, and kept.
    pub(super) fn delete_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let task = self.tasks.all.get(&key).ok_or(Refusal::UnknownTask)?;
        if !task.state.is_end() {
            return self.stop_task(now, key, out);
        }
        if task.local {
            return Err(Refusal::TaskOfNode);
        }
        self.drop_task(now, key, out);
        Ok(())
    }

    /// What was submitted could not be kept, and was never acknowledged.
    pub(super) fn withdraw_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let task = self.tasks.all.get(&key).ok_or(Refusal::UnknownTask)?;
        if let (true, Some(node)) = (task.state.is_placed(), task.node) {
            out.push(Event::TaskStop { id: task.id.clone(), node, attempt: task.attempt });
        }
        self.drop_task(now, key, out);
        Ok(())
    }

    /// Takes a task off the books, wherever it is.
    pub(super) fn drop_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) {
        self.release_task(now, key, out);
        self.forget_log(key, out);
        if let Some(task) = self.tasks.remove(key) {
            out.push(Event::TaskGone { id: task.id, local: task.local });
        }
    }

    /// The one way from a state to another. False where the table does not allow it.
    pub(super) fn set_task(&mut self, now: Millis, key: TaskKey, to: TaskState, out: &mut Vec<Event>) -> bool {
        let Some(task) = self.tasks.all.get_mut(&key) else { return false };
        let (from, node) = (task.state, task.node);
        if !task.transition(to) {
            return false;
        }
        if to != TaskState::Stopping {
            task.stopping = None;
        }
        if to == TaskState::Pending {
            task.node = None;
        }
        out.push(Event::TaskChanged { task: key, from, to });
        self.tasks.counts[from as usize] -= 1;
        self.tasks.counts[to as usize] += 1;
        if from == TaskState::Scheduled {
            self.note_started(node);
        }
        if from.is_placed() && !to.is_placed() {
            self.release_from(now, key, node, out);
        }
        if from == TaskState::Pending {
            self.tasks.leave_lines(key);
        }
        true
    }

    /// To an end, which is kept while there is room.
    pub(super) fn end_task(&mut self, now: Millis, key: TaskKey, end: TaskState, out: &mut Vec<Event>) {
        if !self.set_task(now, key, end, out) {
            return;
        }
        let (order, unix_ms) = (self.fresh_turn(), self.unix_ms(now));
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        if task.progress.ended_unix_ms == 0 {
            task.progress.ended_unix_ms = unix_ms;
        }
        task.ended_as = order;
        self.tasks.live_bytes -= task.spec.bytes();
        self.tasks.ended_bytes += task.bytes();
        self.tasks.ended.insert(order, key);
        self.trim_ended(now, out);
    }

    /// The node of a task that has just ended keeps what it printed, until this many others have.
    pub(super) fn keep_log(&mut self, key: TaskKey, out: &mut Vec<Event>) -> bool {
        let Some(task) = self.tasks.all.get_mut(&key).filter(|task| task.state.is_end()) else { return false };
        task.log_kept = true;
        self.tasks.logs.insert(task.ended_as, key);
        self.trim_logs(out);
        true
    }

    fn trim_logs(&mut self, out: &mut Vec<Event>) {
        while self.tasks.logs.len() > self.limits.task_logs {
            let Some((_, oldest)) = self.tasks.logs.first_key_value() else { return };
            self.forget_log(*oldest, out);
        }
    }

    fn forget_log(&mut self, key: TaskKey, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get_mut(&key).filter(|task| task.log_kept) else { return };
        task.log_kept = false;
        self.tasks.logs.remove(&task.ended_as);
        if let Some(node) = task.node {
            out.push(Event::TaskForget { id: task.id.clone(), node, attempt: task.attempt });
        }
    }

    fn trim_ended(&mut self, now: Millis, out: &mut Vec<Event>) {
        let beyond = |tasks: &Tasks, limits: &Limits| {
            tasks.ended.len() > limits.tasks_kept || tasks.ended_bytes > limits.ended_task_bytes
        };
        while beyond(&self.tasks, &self.limits) {
            let Some((_, oldest)) = self.tasks.ended.first_key_value() else { return };
            self.drop_task(now, *oldest, out);
        }
    }

    /// Takes a task back into memory after a restart. One on a node stays there until the node says otherwise, or has
    /// not come back within a lease. To be called after all nodes were restored.
    pub fn restore_task(&mut self, now: Millis, kept: LastingTask) {
        let known = kept.node.as_ref().and_then(|id| self.node_ids.get(id).copied());
        let key = TaskKey::parse(&kept.id).unwrap_or_else(|| TaskKey(self.fresh_key()));
        let state = match known {
            None if kept.state.is_placed() && kept.stopping == Some(Stopping::Asked) => TaskState::Stopped,
            None if kept.state.is_placed() => TaskState::Pending,
            _ => kept.state,
        };
        let ended_as = if state.is_end() { self.fresh_turn() } else { 0 };
        let log_kept = state.is_end() && known.is_some();
        self.tasks.add(Task {
            key,
            id: kept.id,
            needs: Arc::new(Needs::of(&kept.spec)),
            spec: kept.spec,
            state,
            stopping: kept.stopping.filter(|_| state == TaskState::Stopping),
            node: known.filter(|_| state != TaskState::Pending),
            attempt: kept.attempt,
            local: false,
            progress: kept.progress,
            created_unix_ms: kept.created_unix_ms,
            scheduled_unix_ms: kept.scheduled_unix_ms,
            refused_by: Vec::new(),
            retry_at: None,
            ended_as,
            log_kept,
        });
        if log_kept {
            self.tasks.logs.insert(ended_as, key);
            self.trim_logs(&mut Vec::new()); // its node reports it, and is told then
        }
        match known.filter(|_| state.is_placed()) {
            Some(node) => {
                self.reserve_task(key, node);
                let lease_ends = now.saturating_add(self.limits.lease_ms);
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.lease_ends = node.lease_ends.max(lease_ends);
                }
                self.wake_by(lease_ends);
            }
            None if state == TaskState::Pending => self.tasks.join_line(key),
            None => {}
        }
    }

    /// What of a task must survive a restart; `None`: its node keeps it.
    pub fn lasting_task(&self, key: TaskKey) -> Option<LastingTask> {
        let task = self.tasks.all.get(&key).filter(|task| !task.local)?;
        Some(LastingTask {
            id: task.id.clone(),
            spec: task.spec.clone(),
            state: task.state,
            stopping: task.stopping,
            node: task.node.and_then(|node| Some(self.nodes.get(&node)?.spec.id.clone())),
            attempt: task.attempt,
            progress: task.progress.clone(),
            created_unix_ms: task.created_unix_ms,
            scheduled_unix_ms: task.scheduled_unix_ms,
        })
    }
}
