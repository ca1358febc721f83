//! Where a task goes: filters first, then what its scheduler likes best; and what of a node is reserved for tasks. A task
//! waits only while no node has room for it.

use super::super::placement::meets;
use super::*;
use std::cmp::Reverse;

/// What a task asks of a node. Equal for most tasks, which then wait in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Needs {
    pub engine: &'static str,
    pub constraints: Constraints,
    pub devices: BTreeSet<String>,
    pub room: Reserved,
}

/// Room on a node, taken or asked for. Whole numbers, so that giving back leaves nothing over.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Reserved {
    pub memory_bytes: u64,
    pub cpu_milli: u64,
    pub disk_bytes: u64,
    /// Of the host; true: udp.
    pub ports: BTreeSet<(u16, bool)>,
}

impl Needs {
    pub fn of(spec: &TaskSpec) -> Needs {
        Needs {
            engine: engine_of(&spec.image),
            constraints: spec.constraints.clone(),
            devices: spec.devices.clone(),
            room: Reserved {
                memory_bytes: spec.memory_bytes,
                cpu_milli: (spec.cpu * 1_000.0).round() as u64,
                disk_bytes: spec.disk_bytes,
                ports: spec.host_ports.clone(),
            },
        }
    }

    /// A node of this kind could take it when it is empty.
    fn suits(&self, node: &Node) -> bool {
        let (spec, room) = (&node.spec, &self.room);
        spec.engines.contains(self.engine)
            && meets(node, &self.constraints)
            && self.devices.is_subset(&spec.devices)
            && room.memory_bytes <= spec.memory_bytes
            && room.cpu_milli <= u64::from(spec.cpus) * 1_000
            && room.disk_bytes <= spec.disk_bytes
    }

    /// And there is room now.
    pub fn fit(&self, node: &Node) -> bool {
        let (spec, room, taken) = (&node.spec, &self.room, &node.reserved);
        self.suits(node)
            && room.memory_bytes.saturating_add(taken.memory_bytes) <= spec.memory_bytes.max(taken.memory_bytes)
            && room.cpu_milli.saturating_add(taken.cpu_milli) <= (u64::from(spec.cpus) * 1_000).max(taken.cpu_milli)
            && room.disk_bytes.saturating_add(taken.disk_bytes) <= spec.disk_bytes.max(taken.disk_bytes)
            && room.ports.is_disjoint(&taken.ports)
    }
}

/// A node's place among those that take tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct TaskPlace {
    turn: u64,
    tasks: usize,
    full_permille: u64,
}

impl TaskPlace {
    fn of(node: &Node) -> TaskPlace {
        let permille = |taken: u64, all: u64| taken.saturating_mul(1_000) / all.max(1);
        let memory = permille(node.reserved.memory_bytes, node.spec.memory_bytes);
        let cpu = permille(node.reserved.cpu_milli, u64::from(node.spec.cpus) * 1_000);
        TaskPlace { turn: node.task_turn, tasks: node.tasks.len(), full_permille: memory.max(cpu) }
    }
}

/// The nodes that take tasks, in the order each scheduler looks at them.
#[derive(Default)]
pub(in super::super) struct TaskIndex {
    in_turn: BTreeSet<(u64, NodeKey)>,
    emptiest: BTreeSet<(usize, u64, NodeKey)>,
    fullest: BTreeSet<(Reverse<(u64, usize)>, NodeKey)>,
}

impl TaskIndex {
    fn add(&mut self, key: NodeKey, at: TaskPlace) {
        self.in_turn.insert((at.turn, key));
        self.emptiest.insert((at.tasks, at.turn, key));
        self.fullest.insert((Reverse((at.full_permille, at.tasks)), key));
    }

    fn remove(&mut self, key: NodeKey, at: TaskPlace) {
        self.in_turn.remove(&(at.turn, key));
        self.emptiest.remove(&(at.tasks, at.turn, key));
        self.fullest.remove(&(Reverse((at.full_permille, at.tasks)), key));
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub fn holds(&self, node: &Node) -> bool {
        let at = TaskPlace::of(node);
        node.task_place == Some(at)
            && self.in_turn.contains(&(at.turn, node.key))
            && self.emptiest.contains(&(at.tasks, at.turn, node.key))
            && self.fullest.contains(&(Reverse((at.full_permille, at.tasks)), node.key))
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub fn lens(&self) -> [usize; 3] {
        [self.in_turn.len(), self.emptiest.len(), self.fullest.len()]
    }
}

impl Cluster {
    /// To be called after a node's load, status or tasks changed.
    pub(in super::super) fn reindex_tasks(&mut self, key: NodeKey) {
        let limits = (self.limits.tasks_per_node, self.limits.tasks_starting);
        let Some(node) = self.nodes.get_mut(&key) else { return };
        let now = node.takes_tasks(limits).then(|| TaskPlace::of(node));
        if node.task_place == now {
            return;
        }
        let before = std::mem::replace(&mut node.task_place, now);
        if let Some(before) = before {
            self.tasks.index.remove(key, before);
        }
        if let Some(now) = now {
            self.tasks.index.add(key, now);
            if before.is_none() {
                self.tasks.freed.insert(key);
            }
        }
    }

    /// To be called before a node is forgotten.
    pub(in super::super) fn unindex_tasks(&mut self, key: NodeKey) {
        if let Some(before) = self.nodes.get_mut(&key).and_then(|node| node.task_place.take()) {
            self.tasks.index.remove(key, before);
        }
    }

    /// The node its scheduler likes best, of those with room; one that refused it only if there is no other.
    fn node_for(&self, task: &Task) -> Option<NodeKey> {
        let open =
            |key: &NodeKey| self.nodes.get(key).is_some_and(|node| node.task_place.is_some() && task.needs.fit(node));
        let index = &self.tasks.index;
        let best = |but: &[NodeKey]| {
            let open = |key: &NodeKey| !but.contains(key) && open(key);
            let in_turn = || index.in_turn.iter().map(|(_, key)| *key).find(open);
            match task.spec.scheduler {
                // one without a free slot for calls is busy, and comes last
                Scheduler::Cost => self.index.best_first().find(open).or_else(in_turn),
                Scheduler::RoundRobin => in_turn(),
                Scheduler::Spread => index.emptiest.iter().map(|(.., key)| *key).find(open),
                Scheduler::Binpack => index.fullest.iter().map(|(_, key)| *key).find(open),
            }
        };
        match task.refused_by.is_empty() {
            true => best(&[]),
            false => best(&task.refused_by).or_else(|| best(&[])),
        }
    }

    /// For a pending task: on a node at once, or in its line.
    pub(super) fn place_or_wait(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get(&key) else { return };
        let others_wait = self.tasks.lines.contains_key(&task.needs);
        match self.node_for(task).filter(|_| !others_wait) {
            Some(node) => self.place_task(now, key, node, out),
            None => self.tasks.join_line(key),
        }
    }

    fn place_task(&mut self, now: Millis, key: TaskKey, node: NodeKey, out: &mut Vec<Event>) {
        let unix_ms = self.unix_ms(now);
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        task.node = Some(node);
        task.attempt += 1;
        task.scheduled_unix_ms = unix_ms;
        task.progress = Progress::default();
        let attempt = task.attempt;
        let turn = self.fresh_turn();
        if let Some(node) = self.nodes.get_mut(&node) {
            node.note_start(turn);
            node.task_turn = turn;
        }
        self.set_task(now, key, TaskState::Scheduled, out);
        out.push(Event::TaskPlace { task: key, node, attempt });
        self.take_room(now, key, node, out);
    }

    /// Room for a task, which functions may have hoped for.
    pub(super) fn take_room(&mut self, now: Millis, key: TaskKey, node: NodeKey, out: &mut Vec<Event>) {
        self.reserve_task(key, node);
        self.pump_all(now, out);
        self.wake_by(now);
    }

    /// Takes room on a node for a task whose state says that it is placed.
    pub(super) fn reserve_task(&mut self, key: TaskKey, node: NodeKey) {
        let Some(task) = self.tasks.all.get(&key) else { return };
        if let Some(node) = self.nodes.get_mut(&node) {
            node.tasks.insert(key);
            node.tasks_starting += usize::from(task.state == TaskState::Scheduled);
            let (taken, room) = (&mut node.reserved, &task.needs.room);
            taken.memory_bytes = taken.memory_bytes.saturating_add(room.memory_bytes);
            taken.cpu_milli = taken.cpu_milli.saturating_add(room.cpu_milli);
            taken.disk_bytes = taken.disk_bytes.saturating_add(room.disk_bytes);
            taken.ports.extend(&room.ports);
        }
        self.reindex(node);
    }

    /// A task of this node is not starting any more.
    pub(super) fn note_started(&mut self, node: Option<NodeKey>) {
        let Some(key) = node else { return };
        if let Some(node) = self.nodes.get_mut(&key) {
            node.tasks_starting = node.tasks_starting.saturating_sub(1);
        }
        self.reindex_tasks(key);
    }

    /// Gives the room of a placed task back before it is taken off the books.
    pub(super) fn release_task(&mut self, now: Millis, key: TaskKey, out: &mut Vec<Event>) {
        let Some(task) = self.tasks.all.get(&key).filter(|task| task.state.is_placed()) else { return };
        let (node, starting) = (task.node, task.state == TaskState::Scheduled);
        if starting {
            self.note_started(node);
        }
        self.release_from(now, key, node, out);
    }

    pub(super) fn release_from(&mut self, now: Millis, key: TaskKey, node: Option<NodeKey>, out: &mut Vec<Event>) {
        let (Some(task), Some(node_key)) = (self.tasks.all.get(&key), node) else { return };
        let Some(node) = self.nodes.get_mut(&node_key) else { return };
        if !node.tasks.remove(&key) {
            return;
        }
        let (taken, room) = (&mut node.reserved, &task.needs.room);
        taken.memory_bytes = taken.memory_bytes.saturating_sub(room.memory_bytes);
        taken.cpu_milli = taken.cpu_milli.saturating_sub(room.cpu_milli);
        taken.disk_bytes = taken.disk_bytes.saturating_sub(room.disk_bytes);
        if !room.ports.is_empty() {
            let left = node.tasks.iter().filter_map(|task| self.tasks.all.get(task));
            taken.ports = left.flat_map(|task| task.needs.room.ports.iter().copied()).collect();
        }
        self.tasks.freed.insert(node_key);
        self.reindex(node_key);
        self.pump_all(now, out); // functions may have waited for the memory
        self.wake_by(now);
        self.told_drained(node_key, out);
    }

    /// Those whose time has come try again.
    pub(in super::super) fn retry_tasks(&mut self, now: Millis, out: &mut Vec<Event>) {
        while let Some((at, key)) = self.tasks.later.first().copied() {
            if at > now {
                return self.wake_by(at);
            }
            self.tasks.later.remove(&(at, key));
            if let Some(task) = self.tasks.all.get_mut(&key) {
                task.retry_at = None;
                self.place_or_wait(now, key, out);
            }
        }
    }

    /// Gives what became free to those that wait for it, the oldest first.
    pub(in super::super) fn pump_tasks(&mut self, now: Millis, out: &mut Vec<Event>) {
        while let Some(freed) = self.tasks.freed.pop_first() {
            while let Some(node) = self.nodes.get(&freed).filter(|node| node.task_place.is_some()) {
                let fitting = self.tasks.lines.iter().filter(|(needs, _)| needs.fit(node));
                let Some(key) = fitting.filter_map(|(_, line)| line.first().copied()).min() else { break };
                let best = self.tasks.all.get(&key).and_then(|task| self.node_for(task)).unwrap_or(freed);
                self.place_task(now, key, best, out);
            }
        }
    }

    /// Why a task waits, and what to do, for people.
    pub fn why_pending(&self, task: &Task) -> String {
        let there: Vec<&Node> = self.nodes.values().filter(|n| n.status == NodeStatus::Active).collect();
        let needs = &task.needs;
        if task.retry_at.is_some() {
            return format!("it is tried again soon: {}", task.progress.reason);
        }
        if there.is_empty() {
            return "no node is active: start one with `cares worker ORCHESTRATOR`, or see `cares node list`".into();
        }
        if !there.iter().any(|n| n.spec.engines.contains(needs.engine)) {
            let (engine, image) = (needs.engine, &task.spec.image);
            let trouble = there.iter().map(|n| n.spec.engine_trouble.as_str()).find(|why| !why.is_empty());
            let says = trouble.map(|why| format!("; one says: {why}")).unwrap_or_default();
            return format!("no active node has the {engine} engine, which image '{image}' needs{says}");
        }
        if !there.iter().any(|n| needs.suits(n)) {
            return "no active node has what it asks for (os, arch, tools, tags, devices, memory, cpu, disk): see \
                    `cares node list -o wide`"
                .into();
        }
        let mut able = there.iter().filter(|n| needs.suits(n) && !n.cordoned && n.reach == Reach::Links).peekable();
        if able.peek().is_none() {
            return "every node that could take it is cordoned or not connected: see `cares node list`".into();
        }
        if able.all(|n| !needs.room.ports.is_disjoint(&n.reserved.ports)) {
            return "on every node that could take it another task has one of its host ports: leave `host` out for a \
                    free one, or stop that task"
                .into();
        }
        "every node that could take it is full: what other tasks have reserved is given back when they end".into()
    }
}
