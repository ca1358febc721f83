//! What a node says of its tasks, and what becomes of them when it goes: a copy of another attempt than the current one
//! is stopped and forgotten, so that no task goes on twice for longer than it takes to say so.

use super::*;

/// After a node would not have a task it is tried again this much later, doubling.
const RETRY_FIRST_MS: Millis = 1_000;
/// And never later than this.
const RETRY_LAST_MS: Millis = 30_000;

impl Cluster {
    /// All that a node has, as it says when it joins.
    pub(in super::super) fn tasks_joined(
        &mut self,
        now: Millis,
        node: NodeKey,
        reports: Vec<TaskReport>,
        out: &mut Vec<Event>,
    ) {
        let told: BTreeSet<(Arc<str>, u64)> = reports.iter().map(|r| (r.id.clone(), r.attempt)).collect();
        for report in reports {
            self.task_reported(now, node, report, true, out);
        }
        for key in self.tasks_on(node) {
            if self.tasks.all.get(&key).is_some_and(|task| !told.contains(&(task.id.clone(), task.attempt))) {
                self.lose_task(now, key, "its node does not have it any more", out);
            }
        }
    }

    pub(in super::super) fn report_tasks(
        &mut self,
        now: Millis,
        node: NodeKey,
        session: u64,
        reports: Vec<TaskReport>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.in_session(node, session)?;
        for report in reports {
            self.task_reported(now, node, report, false, out);
        }
        Ok(())
    }

    fn task_reported(
        &mut self,
        now: Millis,
        node: NodeKey,
        mut report: TaskReport,
        joining: bool,
        out: &mut Vec<Event>,
    ) {
        let known = self.tasks.ids.get(&report.id).and_then(|key| self.tasks.all.get(key));
        let Some(task) = known else {
            return match report.spec.take() {
                Some(spec) => {
                    note_end(node, &report, out);
                    self.add_local(now, node, *spec, report, out)
                }
                None => refuse_copy(node, &report, out),
            };
        };
        let (key, state) = (task.key, task.state);
        if task.local {
            if task.node == Some(node) {
                note_end(node, &report, out);
                self.local_reported(now, key, report, out);
            }
            return; // a namesake on another node is that one's own affair
        }
        let current = task.attempt == report.attempt;
        if current && task.log_kept && task.node == Some(node) && report.word.state().is_end() {
            return self.note_end_again(now, key, report, out);
        }
        if current && joining && state == TaskState::Pending {
            self.take_back(now, key, node, out);
        } else if !(current && task.node == Some(node) && state.is_placed()) {
            return refuse_copy(node, &report, out);
        }
        self.follow_report(now, key, node, report, out);
    }

    /// An end told again, perhaps with more words than before.
    fn note_end_again(&mut self, now: Millis, key: TaskKey, report: TaskReport, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        if report.progress.last_lines.len() > task.progress.last_lines.len() {
            self.tasks.ended_bytes -= task.bytes();
            task.progress = report.progress;
            self.tasks.ended_bytes += task.bytes();
            out.push(Event::TaskNoted { task: key });
            self.trim_ended(now, out);
        }
    }

    /// It was taken for lost and is there: better than to begin anew.
    fn take_back(&mut self, now: Millis, key: TaskKey, node: NodeKey, out: &mut Vec<Event>) {
        if !self.set_task(now, key, TaskState::Scheduled, out) {
            return;
        }
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.node = Some(node);
        }
        self.take_room(now, key, node, out);
    }

    /// The current copy, at the node it was given to.
    fn follow_report(&mut self, now: Millis, key: TaskKey, node: NodeKey, report: TaskReport, out: &mut Vec<Event>) {
        let TaskReport { id, attempt, word, progress, .. } = report;
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        let (state, stopping, never_ran) = (task.state, task.stopping, progress.started_unix_ms == 0);
        let leaving = self.nodes.get(&node).is_some_and(|n| n.leaving || n.status == NodeStatus::Draining);
        let noted = task.progress != progress;
        let reason = progress.reason.clone();
        task.progress = progress;
        if word == TaskWord::Running {
            task.refused_by.clear();
        }
        if word.state().is_end() {
            let movable = task.is_movable();
            let again = match (stopping, word) {
                (Some(Stopping::Asked), _) => false,
                (Some(Stopping::Moving), TaskWord::Stopped) => true,
                (Some(Stopping::Moving), _) => movable,
                (None, TaskWord::Stopped) => leaving, // by its node, on its way out
                (None, _) => false,
            };
            let retry = word == TaskWord::Failed && never_ran && stopping.is_none();
            if !again && !retry {
                self.end_task(now, key, word.state(), out);
                if self.keep_log(key, out) {
                    return;
                }
            }
            out.push(Event::TaskForget { id, node, attempt });
            match retry {
                true => self.refused(now, key, node, reason, out),
                false if again => self.place_anew(now, key, out),
                false => {}
            }
            return;
        }
        match (state, word) {
            (TaskState::Scheduled, TaskWord::Running) => _ = self.set_task(now, key, TaskState::Running, out),
            (TaskState::Scheduled | TaskState::Running, TaskWord::Stopping) => {
                self.set_task(now, key, TaskState::Stopping, out); // somebody at the node has stopped it
                if let Some(task) = self.tasks.all.get_mut(&key) {
                    task.stopping = Some(if leaving { Stopping::Moving } else { Stopping::Asked });
                }
            }
            (TaskState::Stopping, TaskWord::Starting | TaskWord::Running) => {
                out.push(Event::TaskStop { id, node, attempt }) // it has not heard, or hears it twice
            }
            _ if noted => out.push(Event::TaskNoted { task: key }),
            _ => {}
        }
        let draining = self.nodes.get(&node).is_some_and(|n| n.status == NodeStatus::Draining);
        if draining {
            self.move_task(now, key, out); // it was taken back, or came as the drain began
        }
    }

    /// A node would not have a task it was given.
    pub(in super::super) fn task_refused(
        &mut self,
        now: Millis,
        key: TaskKey,
        at: (NodeKey, u64),
        why: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        match self.placed_at(key, at)?.state {
            TaskState::Scheduled => self.refused(now, key, at.0, why, out),
            _ => self.lose_task(now, key, &why, out),
        }
        Ok(())
    }

    /// A node that was told to stop a task has none such.
    pub(in super::super) fn task_missing(
        &mut self,
        now: Millis,
        key: TaskKey,
        at: (NodeKey, u64),
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.placed_at(key, at)?;
        self.lose_task(now, key, "its node does not have it", out);
        Ok(())
    }

    fn placed_at(&self, key: TaskKey, at: (NodeKey, u64)) -> Result<&Task, Refusal> {
        let task = self.tasks.all.get(&key).ok_or(Refusal::UnknownTask)?;
        let there = task.state.is_placed() && task.node == Some(at.0) && task.attempt == at.1;
        if there { Ok(task) } else { Err(Refusal::StaleAttempt) }
    }

    /// Elsewhere then, after a while; for so often.
    fn refused(&mut self, now: Millis, key: TaskKey, node: NodeKey, why: String, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        task.refused_by.push(node);
        task.progress.reason = why;
        let tries = task.refused_by.len();
        if tries >= self.limits.task_attempts.max(1) {
            return self.end_task(now, key, TaskState::Failed, out);
        }
        let wait_ms = (RETRY_FIRST_MS << (tries - 1).min(16)).min(RETRY_LAST_MS);
        let at = now.saturating_add(wait_ms);
        if !self.set_task(now, key, TaskState::Pending, out) {
            return;
        }
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.retry_at = Some(at);
            self.tasks.later.insert((at, key));
            self.wake_by(at);
        }
    }

    fn place_anew(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) {
        if self.set_task(now, key, TaskState::Pending, out) {
            self.place_or_wait(now, key, out);
        }
    }

    /// Its node is gone, or has it no more.
    fn lose_task(&mut self, now: Millis, key: TaskKey, why: &str, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        if task.local {
            return self.drop_task(now, key, out);
        }
        task.progress.reason = why.into();
        match task.stopping {
            Some(Stopping::Asked) => self.end_task(now, key, TaskState::Stopped, out),
            _ => self.place_anew(now, key, out),
        }
    }

    fn tasks_on(&self, node: NodeKey) -> Vec<TaskKey> {
        self.nodes.get(&node).map(|node| node.tasks.iter().copied().collect()).unwrap_or_default()
    }

    /// A node will not come back: at once, as far as its tasks are concerned.
    pub(in super::super) fn lose_tasks_of(&mut self, now: Millis, node: NodeKey, out: &mut Vec<Event>) {
        let name = self.nodes.get(&node).map_or("?", |node| node.spec.name.as_str());
        let why = format!("its node '{name}' is lost");
        for key in self.tasks_on(node) {
            self.lose_task(now, key, &why, out);
        }
    }

    /// Tasks stay with a node that lost its connection for as long as its lease goes on: it may be back by then.
    pub(in super::super) fn lose_tasks_of_lost(&mut self, now: Millis, out: &mut Vec<Event>) {
        let gone = |n: &&Node| n.status == NodeStatus::Disconnected && !n.tasks.is_empty();
        let due: Vec<NodeKey> =
            self.nodes.values().filter(gone).filter(|n| n.lease_ends <= now).map(|n| n.key).collect();
        for node in due {
            self.lose_tasks_of(now, node, out);
        }
        if let Some(next) = self.nodes.values().filter(gone).map(|n| n.lease_ends).min() {
            self.wake_by(next);
        }
    }

    /// What is there for good goes elsewhere: stopped here first, for there must never be two. What ends by itself may.
    pub(in super::super) fn move_tasks(&mut self, now: Millis, node: NodeKey, out: &mut Vec<Event>) {
        for key in self.tasks_on(node) {
            self.move_task(now, key, out);
        }
    }

    fn move_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) {
        let here = |task: &&Task| matches!(task.state, TaskState::Scheduled | TaskState::Running);
        if self.tasks.all.get(&key).filter(here).is_some_and(Task::is_movable) {
            self.order_stop(now, key, Stopping::Moving, out);
        }
    }

    /// A task that was submitted to its node is seen here like any other.
    fn add_local(&mut self, now: Millis, node: NodeKey, spec: TaskSpec, report: TaskReport, out: &mut Vec<Event>) {
        let state = report.word.state();
        if !state.is_end() && self.check_live(&spec).is_err() {
            return; // its node runs it all the same
        }
        let key = TaskKey(self.fresh_key());
        let unix_ms = self.unix_ms(now);
        let started = report.progress.started_unix_ms;
        let ended_as = if state.is_end() { self.fresh_turn() } else { 0 };
        let mut spec = spec;
        spec.idempotency_key = None; // its node's to know
        self.tasks.add(Task {
            key,
            id: report.id,
            needs: Arc::new(Needs::of(&spec)),
            spec: Arc::new(spec),
            state,
            stopping: (state == TaskState::Stopping).then_some(Stopping::Asked),
            node: Some(node),
            attempt: report.attempt,
            local: true,
            created_unix_ms: if started > 0 { started } else { unix_ms },
            scheduled_unix_ms: 0,
            progress: report.progress,
            refused_by: Vec::new(),
            retry_at: None,
            ended_as,
            log_kept: false,
        });
        out.push(Event::TaskSubmitted { task: key, again: false });
        if state.is_placed() {
            self.take_room(now, key, node, out);
        }
        self.trim_ended(now, out);
    }

    fn local_reported(&mut self, now: Millis, key: TaskKey, report: TaskReport, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        let (from, to, node) = (task.state, report.word.state(), task.node);
        let same = from == to || from == TaskState::Running && to == TaskState::Scheduled; // it is restarted there
        let changed = task.progress != report.progress || task.attempt != report.attempt;
        if from.is_end() && same && !changed {
            return; // told again, at a join
        }
        if from.is_end() || !same && !from.may_become(to) {
            let spec = report.spec.clone().unwrap_or_else(|| Box::new((*task.spec).clone()));
            self.drop_task(now, key, out); // started again by its node, or we have missed some
            if let Some(node) = node {
                self.add_local(now, node, *spec, report, out);
            }
            return;
        }
        (task.progress, task.attempt) = (report.progress, report.attempt);
        match to {
            _ if same && changed => out.push(Event::TaskNoted { task: key }),
            _ if same => {}
            end if end.is_end() => self.end_task(now, key, end, out),
            to => _ = self.set_task(now, key, to, out),
        }
    }
}

/// A node may drop what ended of its own tasks, when it is short of room, once it was heard of.
fn note_end(node: NodeKey, report: &TaskReport, out: &mut Vec<Event>) {
    if report.word.state().is_end() {
        out.push(Event::TaskForget { id: report.id.clone(), node, attempt: report.attempt });
    }
}

/// Not the current attempt of anything known here.
fn refuse_copy(node: NodeKey, report: &TaskReport, out: &mut Vec<Event>) {
    let (id, attempt) = (report.id.clone(), report.attempt);
    out.push(match report.word.state().is_end() {
        true => Event::TaskForget { id, node, attempt },
        false => Event::TaskStop { id, node, attempt },
    });
}
