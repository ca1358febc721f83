//! Tasks in these lives: submitted, stopped, moved, run by workers that keep them on disk, and held to what was promised.

use super::super::*;
use super::workers::Worker;
use super::world::{Happening, World};
use crate::cluster::invariants::ensure;
use std::collections::{BTreeMap, BTreeSet};

/// What the shell says to a worker until it is heard, or the worker's session is over.
#[derive(Clone, Debug)]
pub(super) enum TaskOrder {
    Start(TaskKey),
    Stop,
    Forget,
}

/// A task as a worker has it on its disk.
#[derive(Clone)]
pub(super) struct OwnTask {
    attempt: u64,
    word: TaskWord,
    restarts: u32,
    spec: Arc<TaskSpec>,
    local: bool,
    /// Counts what happens to it: a timer of before is void.
    pub turn: u64,
}

/// What the outside knows of a task.
pub(super) struct Known {
    id: Arc<str>,
    state: TaskState,
    /// Somebody has started it again.
    restarted: bool,
}

#[derive(Default)]
pub(super) struct TaskWorld {
    pub known: BTreeMap<TaskKey, Known>,
    count: u64,
}

/// How long it runs.
fn ends_in(spec: &TaskSpec) -> Millis {
    spec.settings.parse().unwrap_or(0)
}

impl World {
    /// Those that were on the orchestrator's disk.
    pub fn restore_tasks(&mut self, next: &mut Cluster, kept: Vec<LastingTask>) {
        kept.into_iter().for_each(|task| next.restore_task(self.now, task));
        let known = |t: &Task| (t.key, Known { id: t.id.clone(), state: t.state, restarted: false });
        self.tasks.known = next.tasks().map(known).collect();
    }

    pub fn task_chaos(&mut self) -> Result<(), String> {
        let all: Vec<TaskKey> = self.tasks.known.keys().copied().collect();
        let some = if all.is_empty() { TaskKey(9) } else { self.dice.one_of(&all) };
        match self.dice.between(0, 19) {
            0..9 => {
                let spec = Box::new(self.task_spec());
                self.core(None, Command::SubmitTask { spec })
            }
            9..12 => self.core(None, Command::StopTask { task: some }),
            12..14 => {
                let ended = self.cluster.task(some).is_some_and(|t| t.state.is_end() && !t.local);
                if let Some(known) = self.tasks.known.get_mut(&some).filter(|_| ended) {
                    known.restarted = true;
                }
                self.core(None, Command::StartTask { task: some })
            }
            14 => self.core(None, Command::DeleteTask { task: some }),
            15 => self.core(None, Command::WithdrawTask { task: some }),
            16 => {
                let (node, attempt) = (self.cluster.task(some).and_then(|t| t.node), self.dice.between(0, 3));
                let current = self.cluster.task(some).is_some_and(|t| t.attempt == attempt);
                let node = node.filter(|_| !current).unwrap_or(NodeKey(0));
                self.core(None, Command::TaskMissing { task: some, node, attempt })
            }
            17 => self.local_task(),
            _ => self.crash_task(),
        }
    }

    fn task_spec(&mut self) -> TaskSpec {
        self.tasks.count += 1;
        if self.dice.percent(10) {
            let idempotency_key = self.dice.one_of(&["a", "b"]).to_string();
            let image = self.dice.one_of(&["bundle:abc", "bundle:abc", "nginx"]).into();
            return TaskSpec { image, idempotency_key: Some(idempotency_key), ..TaskSpec::default() };
        }
        let mut constraints = Constraints::default();
        if self.dice.percent(15) {
            constraints.tags.insert("zone".into(), self.dice.one_of(&["a", "b"]).into());
        }
        let host_ports = match self.dice.one_of(&[0, 0, 0, 0, 80, 81]) {
            0 => BTreeSet::new(),
            port => [(port, false)].into(),
        };
        let runs_ms = self.dice.one_of(&[0, 100, 2_000, 20_000]);
        TaskSpec {
            name: format!("task{}", self.tasks.count),
            image: self.dice.one_of(&["bundle:abc", "bundle:abc", "nginx"]).into(),
            memory_bytes: self.dice.one_of(&[0, 0, 1 << 30, 3 << 30, 8 << 30, 64 << 30]),
            cpu: self.dice.one_of(&[0.0, 0.0, 0.25, 1.0, 4.0]),
            host_ports,
            restart: self.dice.one_of(&RestartPolicy::ALL),
            settings: runs_ms.to_string().into(),
            constraints,
            scheduler: self.dice.one_of(&Scheduler::ALL),
            ..TaskSpec::default()
        }
    }

    /// What follows from the core's word on tasks.
    pub fn task_event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::TaskSubmitted { task, again } => {
                self.seen.saw(if again { "task submitted again" } else { "task" });
                let Some(now) = self.cluster.task(task) else { return Ok(()) }; // gone since
                let (id, state) = (now.id.clone(), if now.local { now.state } else { TaskState::Pending });
                let known = self.tasks.known.contains_key(&task);
                ensure!(known == again, "{task} was submitted, again: {again}, known: {known}");
                self.tasks.known.entry(task).or_insert(Known { id, state, restarted: false });
            }
            Event::TaskChanged { task, from, to } => {
                let Some(known) = self.tasks.known.get_mut(&task) else { return Err(format!("{task} is not known")) };
                ensure!(known.state == from, "{task} went from {from:?} to {to:?} and was {:?}", known.state);
                ensure!(from.may_become(to), "{task} went from {from:?} to {to:?}");
                let may = !from.is_end() || std::mem::take(&mut known.restarted);
                ensure!(may, "{task} left its end {from:?} for {to:?}");
                known.state = to;
                self.seen.saw(match to {
                    TaskState::Pending if from.is_end() => "task started again",
                    TaskState::Pending => "task pending again",
                    TaskState::Scheduled => "task scheduled",
                    TaskState::Running => "task running",
                    TaskState::Stopping => "task stopping",
                    TaskState::Completed => "task completed",
                    TaskState::Failed => "task failed",
                    TaskState::Stopped => "task stopped",
                });
            }
            Event::TaskNoted { task } => ensure!(self.tasks.known.contains_key(&task), "{task} is noted, not known"),
            Event::TaskPlace { task, node, attempt } => self.task_placed(task, node, attempt)?,
            Event::TaskStop { id, node, attempt } => self.task_order(node, id, attempt, TaskOrder::Stop),
            Event::TaskForget { id, node, attempt } => self.task_order(node, id, attempt, TaskOrder::Forget),
            Event::TaskGone { id, local } => {
                let task = self.tasks.known.iter().find(|(_, known)| known.id == id).map(|(task, _)| *task);
                let gone = task.and_then(|task| self.tasks.known.remove(&task));
                ensure!(gone.is_some() || local, "{id} is gone twice"); // one that was old news is gone at once
            }
            _ => {}
        }
        Ok(())
    }

    fn task_placed(&mut self, key: TaskKey, node: NodeKey, attempt: u64) -> Result<(), String> {
        let Some(task) = self.cluster.task(key).filter(|t| t.attempt == attempt) else { return Ok(()) };
        let Some(n) = self.cluster.node(node) else { return Err(format!("{key} is placed on no node")) };
        let (memory, cpu, _) = n.reserved();
        if task.state == TaskState::Scheduled {
            let there = n.status == NodeStatus::Active && n.reach == Reach::Links && !n.cordoned;
            ensure!(there, "{key} is placed on {node:?}, {:?}", n.status);
            let asks = task.spec.memory_bytes > 0;
            ensure!(!asks || memory <= n.spec.memory_bytes, "{key} gets memory of {node:?} that is not there");
            let asks = task.spec.cpu > 0.0;
            ensure!(!asks || cpu <= f64::from(n.spec.cpus), "{key} gets cores of {node:?} that are not there");
            ensure!(n.tasks.len() <= self.limits.tasks_per_node, "{node:?} has {} tasks", n.tasks.len());
        }
        let id = task.id.clone();
        self.task_order(node, id, attempt, TaskOrder::Start(key));
        Ok(())
    }

    fn task_order(&mut self, node: NodeKey, id: Arc<str>, attempt: u64, order: TaskOrder) {
        let session = self.cluster.node(node).map_or(0, |n| n.session);
        let delay = self.dice.between(0, 20);
        self.at(delay, Happening::TaskOrder { node, session, id, attempt, order });
    }

    /// The shell tries until it is heard, or there is nobody to hear it.
    pub fn task_ordered(
        &mut self,
        (node, session): (NodeKey, u64),
        (id, attempt): (Arc<str>, u64),
        order: TaskOrder,
    ) -> Result<(), String> {
        let current = |n: &Node| n.session == session && n.status != NodeStatus::Disconnected;
        if !self.cluster.node(node).is_some_and(current) {
            return Ok(());
        }
        if let TaskOrder::Start(key) = order
            && !self.cluster.task(key).is_some_and(|t| t.attempt == attempt && t.state == TaskState::Scheduled)
        {
            return Ok(());
        }
        if !matches!(order, TaskOrder::Stop) && !self.all_kept() {
            self.at(500, Happening::TaskOrder { node, session, id, attempt, order });
            return Ok(()); // neither is said before what led to it is on disk
        }
        let heard = self.by_node.get(&node).copied().filter(|w| {
            let w = &self.workers[*w];
            w.up && !w.cut && !w.hung && w.session == Some((node, session))
        });
        let Some(worker) = heard.filter(|_| self.healed || self.dice.percent(80)) else {
            self.at(500, Happening::TaskOrder { node, session, id, attempt, order });
            return Ok(());
        };
        match order {
            TaskOrder::Start(key) => self.worker_starts(worker, key, node, attempt)?,
            TaskOrder::Stop => match self.workers[worker].tasks.get(&id) {
                Some(own) if own.attempt == attempt => self.worker_ends(worker, &id, TaskWord::Stopped),
                _ => {
                    let task = self.cluster.find_task(&id).map(|t| t.key);
                    if let Some(task) = task {
                        self.core(None, Command::TaskMissing { task, node, attempt })?;
                    }
                }
            },
            TaskOrder::Forget => {
                let own = self.workers[worker].tasks.get(&id);
                if own.is_some_and(|own| own.attempt == attempt && own.word.state().is_end() && !own.local) {
                    self.workers[worker].tasks.remove(&id);
                }
            }
        }
        if !self.healed && self.dice.percent(10) {
            let again = self.dice.between(0, 100); // its answer was lost
            let order = if let TaskOrder::Start(key) = order { TaskOrder::Start(key) } else { TaskOrder::Forget };
            self.at(again, Happening::TaskOrder { node, session, id, attempt, order });
        }
        Ok(())
    }

    fn worker_starts(&mut self, worker: usize, key: TaskKey, node: NodeKey, attempt: u64) -> Result<(), String> {
        let Some(task) = self.cluster.task(key) else { return Ok(()) };
        let (id, spec) = (task.id.clone(), task.spec.clone());
        let known = self.workers[worker].tasks.get(&id).map(|own| own.attempt);
        if known.is_some_and(|known| known >= attempt) {
            return Ok(()); // heard before
        }
        if !self.healed && self.dice.percent(10) {
            self.seen.saw("task refused");
            let why = "the port is in use".into();
            return self.core(None, Command::TaskRefused { task: key, node, attempt, why });
        }
        let elsewhere =
            self.workers.iter().enumerate().any(|(at, w)| {
                at != worker && w.tasks.get(&id).is_some_and(|own| own.attempt == attempt && !own.local)
            });
        ensure!(!elsewhere, "{id} runs twice as attempt {attempt}");
        let own = OwnTask { attempt, word: TaskWord::Starting, restarts: 0, spec, local: false, turn: 0 };
        self.workers[worker].tasks.insert(id.clone(), own);
        self.task_turns(worker, &id, 50);
        Ok(())
    }

    /// It goes on after a while.
    fn task_turns(&mut self, worker: usize, id: &Arc<str>, in_ms: Millis) {
        let Some(own) = self.workers[worker].tasks.get_mut(id) else { return };
        own.turn += 1;
        let turn = own.turn;
        self.at(in_ms, Happening::TaskTurn { worker, id: id.clone(), turn });
    }

    pub fn task_turned(&mut self, worker: usize, id: &Arc<str>, turn: u64) -> Result<(), String> {
        let w = &mut self.workers[worker];
        let Some(own) = w.tasks.get_mut(id).filter(|own| w.up && own.turn == turn) else { return Ok(()) };
        let (spec, never) = (own.spec.clone(), own.spec.restart == RestartPolicy::Never);
        match own.word {
            TaskWord::Starting if !self.healed && self.dice.percent(15) => {
                self.worker_ends(worker, id, TaskWord::Failed)
            }
            TaskWord::Starting => {
                own.word = TaskWord::Running;
                self.task_told(worker, id);
                self.task_turns(worker, id, ends_in(&spec));
            }
            TaskWord::Running if spec.restart == RestartPolicy::Always && self.healed => {}
            TaskWord::Running if spec.restart == RestartPolicy::Always => {
                own.restarts += 1;
                own.word = self.dice.one_of(&[TaskWord::Starting, TaskWord::Running]);
                self.task_told(worker, id);
                self.task_turns(worker, id, ends_in(&spec) + 100);
            }
            TaskWord::Running => {
                let well = self.healed || !never || self.dice.percent(70);
                self.worker_ends(worker, id, if well { TaskWord::Completed } else { TaskWord::Failed });
            }
            _ => {}
        }
        Ok(())
    }

    fn worker_ends(&mut self, worker: usize, id: &Arc<str>, word: TaskWord) {
        let Some(own) = self.workers[worker].tasks.get_mut(id) else { return };
        if !own.word.state().is_end() {
            own.word = word;
            own.turn += 1;
        }
        self.task_told(worker, id);
    }

    /// A change of a task is told with the next beat, which is sent at once.
    fn task_told(&mut self, worker: usize, id: &Arc<str>) {
        self.workers[worker].untold.insert(id.clone());
        self.tell_tasks(worker);
    }

    /// In order, and nothing of it is lost while the session lasts.
    pub fn tell_tasks(&mut self, worker: usize) {
        let w = &self.workers[worker];
        let (Some((node, session)), false) = (w.session, w.cut || w.hung || w.untold.is_empty()) else { return };
        let tasks: Vec<TaskReport> = w.untold.iter().filter_map(|id| report_of(w, id)).collect();
        let delay = if self.healed { 5 } else { self.dice.one_of(&[0, 5, 50, 500]) };
        let w = &mut self.workers[worker];
        w.untold.clear();
        w.told_at = w.told_at.max(self.now + self.dice.between(0, delay));
        let (in_ms, twice) = (w.told_at - self.now, self.dice.percent(5));
        for _ in 0..=usize::from(twice) {
            let command = Command::ReportTasks { node, session, tasks: tasks.clone() };
            self.at(in_ms, Happening::Core { from: Some(worker), command });
        }
    }

    /// All a worker has, as it joins.
    pub fn tasks_of(&mut self, worker: usize) -> Vec<TaskReport> {
        let w = &mut self.workers[worker];
        w.untold.clear();
        w.tasks.keys().filter_map(|id| report_of(w, id)).collect()
    }

    /// What becomes of a worker's tasks when its program ends, and it finds them on its disk later.
    pub fn kill_tasks(&mut self, worker: usize) {
        let ids: Vec<Arc<str>> = self.workers[worker].tasks.keys().cloned().collect();
        for id in ids {
            let died = self.dice.percent(50);
            let Some(own) = self.workers[worker].tasks.get_mut(&id) else { continue };
            own.turn += 1;
            if died && !own.word.state().is_end() {
                own.word = TaskWord::Failed;
            }
        }
    }

    /// It goes on with what it has.
    pub fn resume_tasks(&mut self, worker: usize) {
        let ids: Vec<Arc<str>> = self.workers[worker].tasks.keys().cloned().collect();
        ids.iter().for_each(|id| self.task_turns(worker, id, 200));
    }

    fn local_task(&mut self) -> Result<(), String> {
        let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
        let mut spec = self.task_spec();
        spec.idempotency_key = None;
        let (id, spec) = (Arc::from(format!("local{}", self.tasks.count)), Arc::new(spec));
        if self.workers[worker].up {
            self.seen.saw("local task");
            let own = OwnTask { attempt: 1, word: TaskWord::Starting, restarts: 0, spec, local: true, turn: 0 };
            self.workers[worker].tasks.insert(Arc::clone(&id), own);
            self.task_told(worker, &id);
            self.task_turns(worker, &id, 50);
        }
        Ok(())
    }

    fn crash_task(&mut self) -> Result<(), String> {
        let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
        let w = &self.workers[worker];
        let live: Vec<Arc<str>> =
            w.tasks.iter().filter(|(_, own)| w.up && !own.word.state().is_end()).map(|(id, _)| id.clone()).collect();
        if !live.is_empty() {
            let id = self.dice.one_of(&live);
            let word = self.dice.one_of(&[TaskWord::Failed, TaskWord::Failed, TaskWord::Stopped]);
            self.worker_ends(worker, &id, word);
        }
        Ok(())
    }

    /// What was acknowledged is there, unless it was said to be gone.
    pub fn check_tasks(&self) -> Result<(), String> {
        let c = &self.cluster;
        ensure!(
            c.tasks.all.len() == self.tasks.known.len(),
            "{} tasks of {}",
            c.tasks.all.len(),
            self.tasks.known.len()
        );
        for (key, known) in &self.tasks.known {
            let state = c.task(*key).map(|t| t.state);
            ensure!(state == Some(known.state), "{key} is {state:?} and was told to be {:?}", known.state);
        }
        Ok(())
    }

    /// All is well again: each live task is where it should be, once, or has nowhere to go.
    pub fn tasks_settled(&self) -> Result<(), String> {
        let c = &self.cluster;
        for task in c.tasks() {
            match task.state {
                TaskState::Pending => ensure!(task.retry_at.is_none(), "{} is still to be tried", task.id),
                TaskState::Running => {
                    ensure!(task.spec.restart == RestartPolicy::Always, "{} has not ended", task.id);
                    let at = task.node.and_then(|node| self.by_node.get(&node)).map(|w| &self.workers[*w]);
                    let own = at.and_then(|w| w.tasks.get(&task.id)).filter(|own| own.attempt == task.attempt);
                    ensure!(own.is_some_and(|own| own.word == TaskWord::Running), "{} runs nowhere", task.id);
                }
                state => ensure!(state.is_end(), "{} stays {state:?}", task.id),
            }
        }
        let there = self.workers.iter().filter(|w| w.up && w.session.is_some()); // others may have no place
        let mut seen = BTreeSet::new();
        for (id, own) in there.flat_map(|w| &w.tasks).filter(|(_, own)| !own.local) {
            let kept = c.find_task(id).is_some_and(|t| t.log_kept && t.attempt == own.attempt);
            if own.word.state().is_end() {
                ensure!(kept, "{id} has ended and is not forgotten by its worker");
                continue;
            }
            ensure!(seen.insert(id.clone()), "{id} runs twice");
            let wanted = c.find_task(id).is_some_and(|t| t.attempt == own.attempt && t.state == TaskState::Running);
            ensure!(wanted, "{id} runs and should not");
        }
        Ok(())
    }
}

fn report_of(worker: &Worker, id: &Arc<str>) -> Option<TaskReport> {
    let own = worker.tasks.get(id)?;
    let ran = own.word != TaskWord::Starting;
    let progress = Progress { restarts: own.restarts, started_unix_ms: u64::from(ran), ..Progress::default() };
    let spec = own.local.then(|| Box::new((*own.spec).clone()));
    Some(TaskReport { id: id.clone(), attempt: own.attempt, word: own.word, progress, spec })
}
