//! The core: what the cluster is and what may happen to it. Commands and time go in, events come out; it does no I/O,
//! reads no clock, rolls no dice and blocks on nothing, so that a test can live through a year of it in a second.

pub mod backlog;
mod calls;
mod catalog;
mod command;
mod crowd;
mod event;
mod function;
mod idle;
mod instance;
mod instances;
#[cfg(any(test, feature = "fuzz"))]
mod invariants;
mod invocation;
mod key;
mod membership;
mod meter;
mod node;
pub mod pipeline;
mod placement;
mod recent;
mod rollout;
mod scaling;
#[cfg(test)]
mod simulation;
mod step;
mod stopped;
mod task;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

pub use command::{Command, Kept, Put, Refusal, Reported};
pub use event::{Assigned, Event};
use function::engine_of;
pub use function::{Constraints, Function, FunctionKey, Isolation, Lasting, Mode, Revision, Runs, Schedule, Secrets};
pub use instance::{Instance, InstanceKey, InstanceState};
pub use invocation::{Failure, Held, Invocation, InvocationKey, Origin};
pub use meter::{Histogram, Meter};
pub use node::{Node, NodeKey, NodeSpec, NodeStatus, Pull, Reach, Words};
pub use placement::Candidate;
use placement::{Index, Placement, meets, satisfies};
pub use recent::{Ended, Recent};
pub use task::{
    LastingTask, Progress, RestartPolicy, Scheduler, Stopping, Task, TaskKey, TaskPort, TaskReport, TaskSpec,
    TaskState, TaskWord,
};
use tasks::{Reserved, TaskPlace, Tasks};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Monotonic milliseconds, as the shell counts them.
pub type Millis = u64;

/// What the cluster takes, and how long it waits. Each has a reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Without a heartbeat for this long a node is lost; the promise to users is 15 s.
    pub lease_ms: Millis,
    /// The same for one that joined over HTTP: it beats every 5 s, so that two beats may be lost.
    pub http_lease_ms: Millis,
    /// Calls that run or wait, and those of one function that says no other number.
    pub calls: usize,
    pub calls_per_function: usize,
    /// Calls of one function that may wait for room: beyond it a caller is better told at once.
    pub queue_per_function: usize,
    /// Waiting calls in all: bounds memory.
    pub queue_total: usize,
    /// Revisions of a function kept for going back.
    pub revisions_kept: usize,
    /// Bounds memory and listings.
    pub max_functions: usize,
    /// Bounds memory and listings.
    pub max_nodes: usize,
    /// Score points by which a warm instance's node may be worse before a better node takes over: a start costs more
    /// than a few points of load.
    pub takeover_margin: f64,
    /// Between two such take-overs of one function, so that two nodes do not hand it to and fro.
    pub takeover_pause_ms: Millis,
    /// Nodes on which a function is tried before its waiting calls are given the reason.
    pub start_attempts: usize,
    /// A node that uses more of its memory than this gives idle instances up, one a heartbeat: before the kernel ends
    /// some process of its own choice.
    pub memory_high_percent: f64,
    /// Tasks that have not ended: bounds memory and listings.
    pub tasks_live: usize,
    /// Of these, tasks that wait for a node: beyond it who submits is better told at once.
    pub tasks_pending: usize,
    /// What those that have not ended may take in memory, about: environments may be large.
    pub task_bytes: usize,
    /// Tasks kept once they have ended, for people to look at; the oldest go first.
    pub tasks_kept: usize,
    /// And what these may take in memory, about.
    pub ended_task_bytes: usize,
    /// Of these, such as their nodes keep what was printed of, and report when they join.
    pub task_logs: usize,
    /// Tasks of one node: more processes than this are no use to anybody.
    pub tasks_per_node: usize,
    /// Of these, such as are being started: an engine that starts all at once starts none in time.
    pub tasks_starting: usize,
    /// Times that nodes may refuse a task, or fail to start it, before it has failed.
    pub task_attempts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            lease_ms: 10_000,
            http_lease_ms: 14_000,
            calls: usize::MAX,
            calls_per_function: usize::MAX,
            queue_per_function: 1_000,
            queue_total: 10_000,
            revisions_kept: 10,
            max_functions: 100_000,
            max_nodes: 10_000,
            takeover_margin: 20.0,
            takeover_pause_ms: 10_000,
            start_attempts: 3,
            memory_high_percent: 90.0,
            tasks_live: 50_000,
            tasks_pending: 20_000,
            task_bytes: 256 << 20,
            tasks_kept: 10_000,
            ended_task_bytes: 64 << 20,
            task_logs: 1_000,
            tasks_per_node: 1_000,
            tasks_starting: 16,
            task_attempts: 4,
        }
    }
}

impl Limits {
    fn lease_of(&self, http: bool) -> Millis {
        if http { self.http_lease_ms } else { self.lease_ms }
    }
}

/// The cluster.
pub struct Cluster {
    limits: Limits,
    next_key: u64,
    turn: u64,
    nodes: BTreeMap<NodeKey, Node>,
    node_ids: BTreeMap<String, NodeKey>,
    functions: BTreeMap<FunctionKey, Function>,
    function_names: BTreeMap<Arc<str>, FunctionKey>,
    instances: BTreeMap<InstanceKey, Instance>,
    invocations: BTreeMap<InvocationKey, Invocation>,
    /// Functions whose calls wait, by the first of these.
    waiting: BTreeSet<(InvocationKey, FunctionKey)>,
    queued: usize,
    /// When which instance is looked at: it may be due to be frozen or stopped.
    timers: BTreeSet<(Millis, InstanceKey)>,
    /// Functions with something to be kept or brought up whatever the load.
    cared: BTreeSet<FunctionKey>,
    /// Functions whose instances have changed in this step.
    touched: BTreeSet<FunctionKey>,
    index: Index,
    tasks: Tasks,
    /// All calls, also of functions that are gone.
    meter: Meter,
    /// What the wall clock showed at 0.
    unix_ms_at_zero: u64,
    /// Nothing is due before this.
    wake_at: Option<Millis>,
}

#[cfg(any(test, feature = "fuzz"))]
/// Which promise is broken, if any is. To be asked right after a tick.
pub fn broken(cluster: &Cluster, now: Millis) -> Result<(), String> {
    invariants::check(cluster, now, now)
}

impl Cluster {
    /// An empty cluster. Keys count up from `first_key`; give each start of the orchestrator a range of its own.
    pub fn new(limits: Limits, first_key: u64) -> Self {
        Cluster {
            limits,
            next_key: first_key,
            turn: 0,
            nodes: BTreeMap::new(),
            node_ids: BTreeMap::new(),
            functions: BTreeMap::new(),
            function_names: BTreeMap::new(),
            instances: BTreeMap::new(),
            invocations: BTreeMap::new(),
            waiting: BTreeSet::new(),
            queued: 0,
            timers: BTreeSet::new(),
            cared: BTreeSet::new(),
            touched: BTreeSet::new(),
            index: Index::default(),
            tasks: Tasks::default(),
            meter: Meter::default(),
            unix_ms_at_zero: 0,
            wake_at: None,
        }
    }

    /// Carries one command out, or refuses it and changes nothing.
    pub fn apply(&mut self, now: Millis, command: Command) -> Result<Vec<Event>, Refusal> {
        let mut out = Vec::new();
        match command {
            Command::Join { spec, instances, tasks } => self.join(now, spec, instances, tasks, &mut out)?,
            Command::SetReach { node, session, reach } => self.set_reach(now, node, session, reach, &mut out)?,
            Command::Beat { node, session, cpu_percent, memory_percent } => {
                self.beat(now, node, session, cpu_percent, memory_percent, &mut out)?
            }
            Command::SetEngines { node, session, engines, trouble } => {
                self.set_engines(now, node, session, engines, trouble, &mut out)?
            }
            Command::SetPulls { node, session, pulls } => self.in_session(node, session)?.pulls = pulls,
            Command::SetDiskUsed { node, session, bytes } => self.in_session(node, session)?.disk_used = bytes,
            Command::Report { node, session, instances } => self.report(now, node, session, instances, &mut out)?,
            Command::Leave { node, session } => self.leave(now, node, session, &mut out)?,
            Command::Disconnect { node, session, why } => self.disconnect(now, node, session, why, &mut out)?,
            Command::Cordon { node } => self.cordon(now, node, &mut out)?,
            Command::Uncordon { node } => self.uncordon(now, node, &mut out)?,
            Command::Drain { node } => self.drain(now, node, &mut out)?,
            Command::Revoke { node } => self.revoke(now, node, &mut out)?,
            Command::RemoveNode { node } => self.remove_node(now, node, &mut out)?,
            Command::PutFunction { revision, put } => self.put_function(now, *revision, put, &mut out)?,
            Command::PutAgain { function, which, unix_ms, by } => {
                self.put_again(now, &function, which, (unix_ms, by), &mut out)?
            }
            Command::SetStopped { function, stopped } => self.set_stopped(now, &function, stopped, &mut out)?,
            Command::Scale { function, min, max, ready } => self.scale(now, &function, (min, max, ready), &mut out)?,
            Command::RevisionFailed { function, revision, node, why } => {
                self.revision_failed(now, &function, revision, node, why, &mut out)?
            }
            Command::DeleteFunction { name } => self.delete_function(&name, &mut out)?,
            Command::SetFunctions { functions } => self.set_functions(now, functions, &mut out),
            Command::ResolveMode { function, revision, mode } => {
                self.resolve_mode(now, &function, revision, mode, &mut out)?
            }
            Command::Invoke { function, origin, wants } => self.invoke(now, &function, origin, wants, &mut out)?,
            Command::Refuse { invocation, why } => self.refuse(now, invocation, why, &mut out)?,
            Command::Finish { invocation, success, took_us } => {
                self.finish(now, invocation, success, took_us, &mut out)?
            }
            Command::InstanceReady { instance } => self.instance_ready(now, instance, &mut out)?,
            Command::InstanceEnded { instance, why } => self.instance_ended(now, instance, why, &mut out)?,
            Command::InstanceAwake { instance } => self.instance_awake(instance)?,
            Command::SubmitTask { spec } => self.submit_task(now, *spec, &mut out)?,
            Command::StopTask { task } => self.stop_task(now, task, &mut out)?,
            Command::StartTask { task } => self.start_task(now, task, &mut out)?,
            Command::DeleteTask { task } => self.delete_task(now, task, &mut out)?,
            Command::WithdrawTask { task } => self.withdraw_task(now, task, &mut out)?,
            Command::ReportTasks { node, session, tasks } => self.report_tasks(now, node, session, tasks, &mut out)?,
            Command::TaskRefused { task, node, attempt, why } => {
                self.task_refused(now, task, (node, attempt), why, &mut out)?
            }
            Command::TaskMissing { task, node, attempt } => self.task_missing(now, task, (node, attempt), &mut out)?,
        }
        self.pump_tasks(now, &mut out);
        self.keep_awake(now, &mut out);
        Ok(out)
    }

    /// Does what has become due. Harmless at any time.
    pub fn tick(&mut self, now: Millis) -> Vec<Event> {
        let mut out = Vec::new();
        self.wake_at = None;
        self.expire_leases(now, &mut out);
        self.lose_tasks_of_lost(now, &mut out);
        self.retry_tasks(now, &mut out);
        self.pump_tasks(now, &mut out);
        self.look_at_due(now, &mut out);
        self.keep_minimum(now, &mut out);
        self.keep_awake(now, &mut out);
        out
    }

    /// When `tick` may have something to do; it may also turn out to have nothing.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wake_at
    }

    /// Takes a node back into memory after a restart: known, but not there.
    pub fn restore_node(&mut self, spec: NodeSpec, cordoned: bool) {
        let key = NodeKey(self.fresh_key());
        self.node_ids.insert(spec.id.clone(), key);
        let mut node = Node::new(key, spec);
        node.cordoned = cordoned;
        self.nodes.insert(key, node);
        self.reclassify(key);
    }

    /// The same for one that is not let in again. Ignored when it is not known.
    pub fn restore_revoked(&mut self, id: &str) {
        if let Some(node) = self.node_ids.get(id).and_then(|key| self.nodes.get_mut(key)) {
            node.revoked = true;
        }
    }

    /// Takes a function back into memory after a restart. Ignored when it has no revision.
    pub fn restore_function(&mut self, kept: Lasting) {
        let key = FunctionKey(self.fresh_key());
        self.add_function(key, kept);
        self.wake_by(0); // some may want a minimum of instances
    }

    /// All nodes, in the order they first joined.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn node(&self, key: NodeKey) -> Option<&Node> {
        self.nodes.get(&key)
    }

    /// By id, or else by name.
    pub fn find_node(&self, id_or_name: &str) -> Option<&Node> {
        match self.node_ids.get(id_or_name) {
            Some(key) => self.nodes.get(key),
            None => self.nodes.values().find(|n| n.spec.name == id_or_name),
        }
    }

    /// All functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.function_names.values().filter_map(|key| self.functions.get(key))
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(self.function_names.get(name)?)
    }

    /// Nodes by id, from behind one on; all of them from behind the empty one.
    pub fn nodes_behind(&self, id: &str) -> impl Iterator<Item = &Node> {
        let range = self.node_ids.range::<str, _>((Bound::Excluded(id), Bound::Unbounded));
        range.filter_map(|(_, key)| self.nodes.get(key))
    }

    /// Functions by name, from behind one on; all of them from behind the empty one.
    pub fn functions_behind(&self, name: &str) -> impl Iterator<Item = &Function> {
        let range = self.function_names.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        range.filter_map(|(_, key)| self.functions.get(key))
    }

    /// Functions by when they were made, from behind one on.
    pub fn functions_after(&self, key: FunctionKey) -> impl Iterator<Item = &Function> {
        self.functions.range((Bound::Excluded(key), Bound::Unbounded)).map(|(_, function)| function)
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// A function's instances by state.
    pub fn instances_by_state(&self, function: &Function) -> [(&'static str, u64); 4] {
        use InstanceState::{Draining, Frozen, Starting, Warm};
        let states = function.instances.iter().filter_map(|key| self.instances.get(key)).map(|i| i.state);
        let mut counts = [Starting, Warm, Frozen, Draining].map(|state| (state.word(), 0));
        for state in states {
            let counted = counts.iter_mut().find(|(word, _)| *word == state.word());
            counted.into_iter().for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// What has happened to all calls, also of functions that are gone.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Calls that wait for room.
    pub fn calls_waiting(&self) -> usize {
        self.queued
    }

    /// Calls that wait or run.
    pub fn calls_under_way(&self) -> usize {
        self.invocations.len()
    }

    pub fn instance(&self, key: InstanceKey) -> Option<&Instance> {
        self.instances.get(&key)
    }

    /// Counts something of a function, and of all.
    fn note(&mut self, key: FunctionKey, count: impl Fn(&mut Meter)) {
        count(&mut self.meter);
        if let Some(function) = self.functions.get_mut(&key) {
            count(&mut function.meter);
        }
    }

    fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn fresh_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn wake_by(&mut self, at: Millis) {
        self.wake_at = Some(self.wake_at.map_or(at, |now| now.min(at)));
    }
}
