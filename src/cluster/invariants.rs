//! What must be true of the cluster after every step, whatever happened. For tests only.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

macro_rules! ensure {
    ($true:expr, $($why:tt)+) => {
        if !$true {
            return Err(format!($($why)+));
        }
    };
}
#[cfg(test)]
pub(super) use ensure;

/// Says which promise is broken, if any is. `ticked`: when `tick` ran last.
pub(super) fn check(cluster: &Cluster, now: Millis, ticked: Millis) -> Result<(), String> {
    nodes(cluster)?;
    instances(cluster)?;
    invocations(cluster)?;
    for function in cluster.functions.values() {
        queue(cluster, function)?;
        size(function)?;
        revisions(cluster, function)?;
    }
    tasks(cluster)?;
    deadlines(cluster, now, ticked)
}

fn nodes(c: &Cluster) -> Result<(), String> {
    let mut held: BTreeMap<NodeKey, (u32, u32)> = BTreeMap::new();
    for held_by in c.invocations.values().filter_map(|i| i.held) {
        let (running, jobs) = held.entry(held_by.node).or_default();
        *running += 1;
        *jobs += u32::from(held_by.instance.is_none());
    }
    let (mut names, mut indexed) = (BTreeSet::new(), 0);
    for (key, node) in &c.nodes {
        let spec = &node.spec;
        ensure!(node.key == *key && c.node_ids.get(&spec.id) == Some(key), "{key:?} has two ids or none");
        ensure!(names.insert(&spec.name), "two nodes are called {}", spec.name);
        ensure!(node.running <= spec.slots, "{key:?} runs {} calls on {} slots", node.running, spec.slots);
        ensure!(node.running_jobs <= spec.job_slots, "{key:?} runs {} jobs", node.running_jobs);
        let counted = held.remove(key).unwrap_or_default();
        ensure!((node.running, node.running_jobs) == counted, "{key:?} counts {} calls of {counted:?}", node.running);
        ensure!(node.score().is_finite() && node.score() >= 0.0, "{key:?} scores {}", node.score());
        ensure!(node.takes_work() == node.placed.is_some(), "{key:?} is in the index or takes work, not both");
        if node.takes_work() {
            indexed += 1;
            ensure!(c.index.holds(node), "{key:?} stands in the index under an old key");
        }
        let held = c.tasks().any(|t| t.node == Some(*key) && t.state.is_placed() && t.holds_drain());
        let idle = node.running == 0 && !c.instances.values().any(|i| i.node == *key) && !held;
        let told = node.status == NodeStatus::Draining && idle && !node.drained;
        ensure!(!told, "{key:?} is drained and nobody was told");
    }
    ensure!(held.is_empty(), "calls run on unknown nodes: {held:?}");
    ensure!(c.index.strays() == 0, "classes of the index have nodes that take no work");
    ensure!(c.index.len() == indexed, "the index has {} nodes of {indexed}", c.index.len());
    ensure!(c.node_ids.len() == c.nodes.len(), "{} ids of {} nodes", c.node_ids.len(), c.nodes.len());
    Ok(())
}

fn instances(c: &Cluster) -> Result<(), String> {
    let mut in_flight: BTreeMap<(InstanceKey, NodeKey), u32> = BTreeMap::new(); // a node may claim another's key
    for held in c.invocations.values().filter_map(|i| i.held) {
        if let Some(instance) = held.instance {
            *in_flight.entry((instance, held.node)).or_default() += 1;
        }
    }
    for (key, i) in &c.instances {
        let held = in_flight.get(&(*key, i.node)).copied().unwrap_or(0);
        ensure!(i.in_flight == held, "{key} counts {} calls of {held}", i.in_flight);
        ensure!(i.in_flight <= i.revision.concurrency, "{key} has {} calls at once", i.in_flight);
        ensure!(i.state != InstanceState::Gone, "{key} is gone and still listed");
        let there = c.nodes.get(&i.node).is_some_and(|n| n.status != NodeStatus::Disconnected);
        ensure!(there, "{key} sits on {:?}, which is not there", i.node);
        ensure!(i.state != InstanceState::Draining || held > 0, "{key} drains without a call");
        ensure!(i.state != InstanceState::Frozen || held == 0, "{key} is frozen and has {held} calls");
        let listed = c.nodes.get(&i.node).is_some_and(|n| n.instances.contains(key));
        ensure!(listed, "{key} sits on {:?}, which does not list it", i.node);
        let timed = c.timers.contains(&(i.look_at, *key));
        ensure!(timed == (i.look_at != Millis::MAX), "{key} is to be looked at at {}: {timed}", i.look_at);
        match c.functions.get(&i.function) {
            None => ensure!(i.state == InstanceState::Draining, "{key} outlived its function"),
            Some(f) => {
                ensure!(f.instances.iter().filter(|k| *k == key).count() == 1, "{key} is not listed once");
                let rolls = f.rollout.is_some() && f.newest().number == i.revision.number;
                let wanted = rolls || f.current().number == i.revision.number;
                ensure!(wanted || i.state == InstanceState::Draining, "{key} is of an old revision");
                let open = i.has_room() && f.current().number == i.revision.number;
                ensure!(f.open.contains(key) == open, "{key} has room: {open}, and its function knows otherwise");
            }
        }
    }
    let listed: usize = c.nodes.values().map(|n| n.instances.len()).sum();
    ensure!(listed == c.instances.len(), "nodes list {listed} instances of {}", c.instances.len());
    ensure!(c.timers.len() <= c.instances.len(), "{} timers of {} instances", c.timers.len(), c.instances.len());
    let unknown = c.functions.values().flat_map(|f| &f.instances).find(|i| !c.instances.contains_key(i));
    ensure!(unknown.is_none(), "{unknown:?} is listed by its function and unknown");
    Ok(())
}

fn invocations(c: &Cluster) -> Result<(), String> {
    let mut running: BTreeMap<FunctionKey, u64> = BTreeMap::new();
    let mut waiting: BTreeSet<InvocationKey> = BTreeSet::new();
    for function in c.functions.values() {
        for call in &function.queue {
            ensure!(waiting.insert(*call), "{call} waits twice");
            let known = c.invocations.get(call).is_some_and(|i| i.held.is_none() && i.function == function.key);
            ensure!(known, "{call} waits, but runs or has ended");
        }
    }
    ensure!(c.queued == waiting.len(), "{} calls wait, counted {}", waiting.len(), c.queued);
    let order: BTreeSet<_> = c.functions.values().filter_map(|f| Some((*f.queue.front()?, f.key))).collect();
    ensure!(order == c.waiting, "the order among waiting functions is {:?}, not {order:?}", c.waiting);
    for (call, i) in &c.invocations {
        ensure!(i.held.is_some() || i.elsewhere || waiting.contains(call), "{call} neither runs nor waits");
        if i.held.is_some() || i.elsewhere {
            *running.entry(i.function).or_default() += 1;
        }
    }
    for function in c.functions.values() {
        let counted = running.get(&function.key).copied().unwrap_or(0);
        ensure!(function.running == counted, "{} counts {} calls of {counted}", function.name, function.running);
    }
    Ok(())
}

/// A call waits only while there is no room for it, and only while there will be some.
fn queue(c: &Cluster, function: &Function) -> Result<(), String> {
    let (name, revision, waiting) = (&function.name, function.current(), function.queue.len());
    let asks = |call: &&InvocationKey| c.invocations.get(*call).is_some_and(|i| i.wants.is_some());
    let asking: BTreeSet<InvocationKey> = function.queue.iter().filter(asks).copied().collect();
    ensure!(asking == function.asking, "{:?} of {name} ask for more, not {asking:?}", function.asking);
    ensure!(asking.is_empty() || revision.is_job(), "{asking:?} of {name} wait for what http functions do not give");
    if waiting == 0 {
        return Ok(());
    }
    if revision.is_job() {
        for call in &function.queue {
            let Some(i) = c.invocations.get(call) else { return Err(format!("{call} waits and is not known")) };
            let (wants, not_on) = (i.wants.as_deref(), &i.refused_by);
            ensure!(c.place_call(revision, wants, not_on).is_none(), "{call} of {name} waits while there is room");
            ensure!(c.placeable_call(revision, wants, not_on), "{call} of {name} waits for no node");
        }
        return Ok(());
    }
    let live = function.tally.live();
    ensure!(c.pick(function, &[]).is_none(), "{waiting} calls of {name} wait while an instance has room");
    let starting = function.tally.starting as usize;
    let succeeded = live == 0 && function.is_coming();
    let may_start = !succeeded && live < revision.max && starting * (revision.concurrency as usize) < waiting;
    let somewhere = c.place(revision, &function.failed_on).is_some();
    ensure!(!(may_start && somewhere), "{waiting} calls of {name} wait, {starting} starts, and one more could");
    let hope = live > 0 || function.is_coming() || revision.max > 0 && c.placeable(revision, &function.failed_on);
    ensure!(hope, "{waiting} calls of {name} wait for no instance and no node");
    Ok(())
}

fn size(function: &Function) -> Result<(), String> {
    let (live, max) = (function.tally.live(), function.current().max);
    let starts = function.tally.starting > 0;
    let taking_over = u32::from(starts); // more than one start of a function is only up to its maximum
    ensure!(live <= max + taking_over, "{} has {live} instances of at most {max}", function.name);
    Ok(())
}

/// What a function counts is so; what serves stays until its successor has answered; enough stay awake.
fn revisions(c: &Cluster, f: &Function) -> Result<(), String> {
    let (name, serving, newest) = (&f.name, f.current().number, f.newest().number);
    let tally = |number: u64| {
        let states = f.instances.iter().map(|i| &c.instances[i]).filter(|i| i.revision.number == number);
        states.fold(function::Tally::default(), |mut tally, i| {
            match i.state {
                InstanceState::Starting => tally.starting += 1,
                InstanceState::Warm => tally.warm += 1,
                InstanceState::Frozen => tally.frozen += 1,
                InstanceState::Draining | InstanceState::Gone => {}
            }
            tally
        })
    };
    let stays = f.stopped && (f.tally.live() > 0 || !f.queue.is_empty());
    ensure!(!stays, "{name} is stopped, and has instances or calls that wait");
    ensure!(f.tally == tally(serving), "{name} counts {:?} of {:?}", f.tally, tally(serving));
    ensure!(f.revisions.iter().any(|r| **r == **f.current() || r.cpu.is_nan()), "{name} does not keep what serves");
    ensure!(serving <= newest, "{name} serves {serving}, and {newest} is its newest");
    if let Some(rollout) = &f.rollout {
        ensure!(serving != newest && f.failed.is_none(), "{name}: {newest} rolls out and serves or has failed");
        ensure!(rollout.tally == tally(newest), "{name} counts {:?} of {:?}", rollout.tally, tally(newest));
        ensure!(rollout.tally.live() <= f.newest().max.max(1), "{name} rolls out {:?}", rollout.tally);
    }
    let settled = serving == newest || f.rollout.is_some() || f.failed.is_some();
    ensure!(settled, "{name} serves {serving} and {newest} neither rolls out nor has failed");
    ensure!(c.cared.contains(&f.key) == f.wants_care(), "{name} is cared for: {}", !f.wants_care());
    let awake = f.tally.starting + f.tally.warm;
    ensure!(f.tally.frozen == 0 || awake >= f.current().min, "{name} has {awake} awake, {} frozen", f.tally.frozen);
    Ok(())
}

/// Every task is in one place, what is reserved is what they asked for, and one waits only where there is no room.
fn tasks(c: &Cluster) -> Result<(), String> {
    let tasks = &c.tasks;
    let mut on: BTreeMap<NodeKey, BTreeSet<TaskKey>> = BTreeMap::new();
    let (mut live_bytes, mut ended_bytes) = (0, 0);
    for (key, task) in &tasks.all {
        let id = &task.id;
        ensure!(c.find_task(id).map(|t| t.key) == Some(*key) && task.key == *key, "{id} is not found");
        let waits = tasks.lines.get(&task.needs).is_some_and(|line| line.contains(key));
        let later = task.retry_at.is_some_and(|at| tasks.later.contains(&(at, *key)));
        let pending = task.state == TaskState::Pending;
        ensure!((waits ^ later) == pending && !(waits && later), "{id} is {:?}, waits: {waits}, {later}", task.state);
        ensure!(task.retry_at.is_none() || later, "{id} is to be tried again and is not");
        ensure!(!pending || task.node.is_none(), "{id} waits and is on {:?}", task.node);
        ensure!(task.stopping.is_some() == (task.state == TaskState::Stopping), "{id} stops for {:?}", task.stopping);
        let kept = tasks.ended.get(&task.ended_as) == Some(key);
        ensure!(kept == task.state.is_end(), "{id} is {:?} and among the ended: {kept}", task.state);
        let logged = tasks.logs.get(&task.ended_as) == Some(key);
        ensure!(logged == task.log_kept && (kept || !logged), "the log of {id} is kept: {logged}, {}", task.log_kept);
        match task.state.is_end() {
            true => ended_bytes += task.bytes(),
            false => live_bytes += task.spec.bytes(),
        }
        if task.state.is_placed() {
            let node = task.node.filter(|node| c.nodes.contains_key(node));
            let Some(node) = node else { return Err(format!("{id} is {:?} on {:?}", task.state, task.node)) };
            on.entry(node).or_default().insert(*key);
        }
    }
    ensure!(tasks.lines.values().all(|line| !line.is_empty()), "an empty line is kept");
    let waiting = tasks.lines.values().map(BTreeSet::len).sum::<usize>() + tasks.later.len();
    ensure!(waiting == tasks.count(TaskState::Pending), "{waiting} tasks wait of those that are pending");
    for state in TaskState::ALL {
        let counted = tasks.all.values().filter(|t| t.state == state).count();
        ensure!(counted == tasks.count(state), "{counted} tasks are {state:?}, counted {}", tasks.count(state));
    }
    ensure!((live_bytes, ended_bytes) == (tasks.live_bytes, tasks.ended_bytes), "bytes of tasks are miscounted");
    let logs = tasks.logs.len();
    ensure!(logs <= c.limits.task_logs, "{logs} logs of tasks are kept");
    let within = tasks.ended.len() <= c.limits.tasks_kept && ended_bytes <= c.limits.ended_task_bytes;
    ensure!(within, "{} ended tasks are kept, {ended_bytes} bytes", tasks.ended.len());
    let limits = (c.limits.tasks_per_node, c.limits.tasks_starting);
    let mut indexed = 0;
    for node in c.nodes.values() {
        let key = node.key;
        let here = on.remove(&key).unwrap_or_default();
        ensure!(here == node.tasks, "{key:?} lists {:?} of {here:?}", node.tasks);
        let mut taken = Reserved::default();
        for task in here.iter().filter_map(|t| tasks.all.get(t)) {
            taken.memory_bytes += task.needs.room.memory_bytes;
            taken.cpu_milli += task.needs.room.cpu_milli;
            taken.disk_bytes += task.needs.room.disk_bytes;
            taken.ports.extend(&task.needs.room.ports);
        }
        ensure!(taken == node.reserved, "{key:?} has reserved {:?} of {taken:?}", node.reserved);
        let starting = here.iter().filter(|t| c.task(**t).is_some_and(|t| t.state == TaskState::Scheduled)).count();
        ensure!(starting == node.tasks_starting, "{key:?} starts {} of {starting}", node.tasks_starting);
        ensure!(node.takes_tasks(limits) == node.task_place.is_some(), "{key:?} takes tasks or is listed, not both");
        if node.takes_tasks(limits) {
            indexed += 1;
            ensure!(tasks.index.holds(node), "{key:?} stands among those that take tasks under an old key");
            let room = tasks.lines.iter().find(|(needs, _)| needs.fit(node));
            ensure!(room.is_none(), "{room:?} waits while {key:?} has room");
        }
    }
    ensure!(tasks.index.lens() == [indexed; 3], "{indexed} nodes take tasks of {:?}", tasks.index.lens());
    ensure!(on.is_empty(), "tasks are on unknown nodes: {on:?}");
    Ok(())
}

fn deadlines(c: &Cluster, now: Millis, ticked: Millis) -> Result<(), String> {
    let by = |due: Millis, what: &str, of: &dyn std::fmt::Debug| {
        let forgotten = due > ticked && c.next_deadline().is_none_or(|at| at > due.max(now));
        ensure!(!forgotten, "the {what} of {of:?} at {due} is forgotten: next is {:?}", c.next_deadline());
        Ok(())
    };
    for node in c.nodes.values().filter(|n| n.status != NodeStatus::Disconnected) {
        by(node.lease_ends, "lease", &node.key)?;
    }
    for node in c.nodes.values().filter(|n| n.status == NodeStatus::Disconnected && !n.tasks.is_empty()) {
        by(node.lease_ends, "lease for its tasks", &node.key)?;
    }
    for (at, task) in &c.tasks.later {
        by(*at, "retry", task)?;
    }
    let serves = |i: &&Instance| c.functions.get(&i.function).is_some_and(|f| f.current().number == i.revision.number);
    let idle = |i: &&Instance| i.state == InstanceState::Warm && i.in_flight == 0;
    for i in c.instances.values().filter(idle).filter(serves) {
        by(i.idle_since.saturating_add(i.revision.idle_ms), "idle time", &i.key)?;
        if !i.wakeful {
            by(i.idle_since.saturating_add(i.revision.freeze_ms), "freezing", &i.key)?;
        }
    }
    for f in c.functions.values().filter(|f| !f.current().is_job() && f.retry_at > 0) {
        if f.tally.live() < f.floor() && !f.is_coming() {
            by(f.retry_at, "retry", &f.name)?;
        }
    }
    Ok(())
}
