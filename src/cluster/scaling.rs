//! How many instances a function has, and where: started for calls that wait, moved to a better node, stopped when idle.

use super::*;

/// After a failed start the minimum is tried again this much later, doubling.
const RETRY_FIRST_MS: Millis = 1_000;
/// And never later than this.
const RETRY_LAST_MS: Millis = 60_000;

impl Cluster {
    /// Of the current revision, starting or warm.
    pub(super) fn live_instances(&self, key: FunctionKey) -> u32 {
        self.count(key, |state| matches!(state, InstanceState::Starting | InstanceState::Warm))
    }

    /// The instance a call goes to: room first, then a node that has not refused it, then the least of load and score.
    pub(super) fn pick(&self, function: &Function, refused_by: &[NodeKey]) -> Option<(NodeKey, InstanceKey)> {
        let cost = |i: &Instance, node: &Node| {
            let full_percent = 100.0 * f64::from(i.in_flight) / f64::from(i.revision.concurrency.max(1));
            ((full_percent + node.score()) * 10.0) as u64
        };
        let current = function.current().number;
        function
            .instances
            .iter()
            .filter_map(|key| self.instances.get(key))
            .filter(|i| i.has_room() && i.revision.number == current)
            .filter_map(|i| Some((i, self.nodes.get(&i.node).filter(|n| n.carries_calls())?)))
            .min_by_key(|(i, node)| (refused_by.contains(&i.node), cost(i, node), i.key))
            .map(|(i, node)| (node.key, i.key))
    }

    /// Starts what the waiting calls need, up to the function's maximum.
    pub(super) fn scale_up(&mut self, now: Millis, key: FunctionKey, waiting: usize, out: &mut Vec<Event>) {
        loop {
            let Some(function) = self.functions.get(&key) else { return };
            let revision = function.current().clone();
            let coming =
                self.count(key, |state| state == InstanceState::Starting) as usize * revision.concurrency as usize;
            if coming >= waiting || self.live_instances(key) >= revision.max {
                return;
            }
            if !self.start_instance(now, key, &[], out) {
                return;
            }
        }
    }

    /// Nodes where it just failed are left out for good only while others may do better.
    pub(super) fn forgive(&mut self, key: FunctionKey) {
        let Some(function) = self.functions.get(&key) else { return };
        if !function.failed_on.is_empty()
            && !self.placeable(function.current(), &function.failed_on)
            && let Some(function) = self.functions.get_mut(&key)
        {
            function.failed_on.clear();
        }
    }

    fn start_instance(&mut self, now: Millis, key: FunctionKey, not_on: &[NodeKey], out: &mut Vec<Event>) -> bool {
        let Some(function) = self.functions.get(&key) else { return false };
        let revision = function.current().clone();
        let not_on: Vec<NodeKey> = function.failed_on.iter().chain(not_on).copied().collect();
        let Some(node) = self.place(&revision, &not_on) else { return false };
        let (instance, turn) = (InstanceKey(self.fresh_key()), self.fresh_turn());
        if let Some(node) = self.nodes.get_mut(&node) {
            node.note_start(turn);
        }
        self.reindex(node);
        self.add_instance(now, instance, key, &revision, node, InstanceState::Starting);
        out.push(Event::InstanceStarting { instance, node, revision });
        true
    }

    fn add_instance(
        &mut self,
        now: Millis,
        key: InstanceKey,
        function: FunctionKey,
        revision: &Arc<Revision>,
        node: NodeKey,
        state: InstanceState,
    ) {
        let revision = revision.clone();
        let instance = Instance { key, function, revision, node, state, in_flight: 0, idle_since: now };
        self.instances.insert(key, instance);
        if let Some(function) = self.functions.get_mut(&function) {
            function.instances.push(key);
        }
    }

    /// Keeps what a node that came back still runs, if it is of use; has it stopped otherwise.
    pub(super) fn adopt(&mut self, now: Millis, node: NodeKey, found: Reported, out: &mut Vec<Event>) {
        let key = found.instance;
        let wanted = self.function_names.get(found.function.as_str()).copied().filter(|function| {
            self.functions.get(function).is_some_and(|f| {
                let current = f.current();
                current.number == found.revision
                    && key.0 > f.born
                    && !current.is_job()
                    && self.live_instances(*function) < current.max
                    && self.nodes.get(&node).is_some_and(|n| satisfies(n, current))
            })
        });
        if self.instances.get(&key).is_some_and(|i| i.node == node) {
            return; // told twice
        }
        let fresh = key.0 <= self.next_key && !self.instances.contains_key(&key); // a node may say anything
        match wanted.and_then(|function| Some((function, self.functions.get(&function)?.current().clone()))) {
            Some((function, revision)) if fresh => {
                let due = now.saturating_add(revision.idle_ms);
                self.add_instance(now, key, function, &revision, node, InstanceState::Warm);
                out.push(Event::InstanceWarm { instance: key, node, revision });
                self.wake_by(due);
            }
            _ => out.push(Event::InstanceStopping { instance: key, node }),
        }
    }

    pub(super) fn instance_ready(
        &mut self,
        now: Millis,
        key: InstanceKey,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let instance = self.instances.get_mut(&key).ok_or(Refusal::UnknownInstance)?;
        if !instance.transition(InstanceState::Warm) {
            return Ok(()); // told twice
        }
        instance.idle_since = now;
        let (function, node, revision) = (instance.function, instance.node, instance.revision.clone());
        self.wake_by(now.saturating_add(revision.idle_ms));
        out.push(Event::InstanceWarm { instance: key, node, revision: revision.clone() });
        if let Some(function) = self.functions.get_mut(&function) {
            function.failed_on.clear();
            function.start_failures = 0;
            function.last_error = None;
        }
        if self.live_instances(function) > revision.max {
            self.retire_worst(function, key, out); // this one was started to take over
        }
        self.pump(now, function, out);
        Ok(())
    }

    pub(super) fn instance_ended(
        &mut self,
        now: Millis,
        key: InstanceKey,
        why: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let instance = self.instances.get(&key).ok_or(Refusal::UnknownInstance)?;
        let (id, node, revision) = (instance.function, instance.node, instance.revision.clone());
        let started = instance.state != InstanceState::Starting;
        self.forget(key);
        out.push(Event::InstanceEnded { instance: key, node, revision: revision.clone(), started, why: why.clone() });
        self.told_drained(node, out);
        let attempts = self.limits.start_attempts;
        let Some(function) = self.functions.get_mut(&id).filter(|f| f.current().number == revision.number) else {
            return Ok(());
        };
        function.last_error = Some(why.clone());
        function.start_failures += 1;
        function.retry_at = now + (RETRY_FIRST_MS << (function.start_failures - 1).min(6)).min(RETRY_LAST_MS);
        let retry_at = function.retry_at;
        self.wake_by(retry_at);
        if !started && let Some(function) = self.functions.get_mut(&id) {
            if !function.failed_on.contains(&node) {
                function.failed_on.push(node);
            }
            let elsewhere = function.failed_on.len() < attempts
                && self.functions.get(&id).is_some_and(|f| self.placeable(&revision, &f.failed_on));
            // as long as one more may succeed, calls wait for it: clearing then would start here again and again
            if !elsewhere && self.live_instances(id) == 0 {
                if let Some(function) = self.functions.get_mut(&id) {
                    function.failed_on.clear(); // the next call tries everywhere again
                }
                self.fail_waiting(now, id, Failure::NotStarted { why }, out);
            }
        }
        self.pump(now, id, out);
        Ok(())
    }

    /// Starts an instance on a better node when the one a call just went to has become a bad place.
    pub(super) fn consider_takeover(&mut self, now: Millis, key: FunctionKey, node: NodeKey, out: &mut Vec<Event>) {
        // Only what was measured: else the weight of the start just made here would drive the function away again.
        let Some((here, best)) = self.nodes.get(&node).map(Node::measured).zip(self.index.best_score()) else { return };
        if here <= best + self.limits.takeover_margin {
            return;
        }
        let Some(function) = self.functions.get(&key) else { return };
        if function.moved_at.is_some_and(|at| now < at + self.limits.takeover_pause_ms) {
            return;
        }
        let elsewhere: Vec<NodeKey> =
            function.instances.iter().filter_map(|i| self.instances.get(i)).map(|i| i.node).collect();
        let not_on: Vec<NodeKey> = function.failed_on.iter().chain(&elsewhere).copied().collect();
        let Some(target) = self.place(function.current(), &not_on) else { return };
        let better = self.nodes.get(&target).is_some_and(|n| n.score() + self.limits.takeover_margin < here);
        if better
            && self.count(key, |state| state == InstanceState::Starting) == 0
            && self.start_instance(now, key, &elsewhere, out)
            && let Some(function) = self.functions.get_mut(&key)
        {
            function.moved_at = Some(now);
        }
    }

    fn retire_worst(&mut self, key: FunctionKey, but: InstanceKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key) else { return };
        let score = |i: &Instance| self.nodes.get(&i.node).map_or(u64::MAX, |n| (n.score() * 10.0) as u64);
        let worst = function
            .instances
            .iter()
            .filter_map(|i| self.instances.get(i))
            .filter(|i| i.state == InstanceState::Warm && i.key != but)
            .max_by_key(|i| (score(i), i.key))
            .map(|i| i.key);
        if let Some(worst) = worst {
            self.retire(worst, out);
        }
    }

    /// Lets an instance finish its calls and go; at once when it has none.
    pub(super) fn retire(&mut self, key: InstanceKey, out: &mut Vec<Event>) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let busy = instance.in_flight > 0;
        if busy {
            instance.transition(InstanceState::Draining);
            return;
        }
        let node = instance.node;
        self.forget(key);
        out.push(Event::InstanceStopping { instance: key, node });
        self.told_drained(node, out);
    }

    /// To be called after a call ended: an instance that only waited for it goes.
    pub(super) fn stop_emptied(&mut self, held: &Held, out: &mut Vec<Event>) {
        let emptied = held.instance.and_then(|key| self.instances.get(&key));
        match emptied.filter(|i| i.state == InstanceState::Draining && i.in_flight == 0).map(|i| i.key) {
            Some(key) => self.retire(key, out),
            None => self.told_drained(held.node, out),
        }
    }

    pub(super) fn stop_idle(&mut self, now: Millis, out: &mut Vec<Event>) {
        let idle: Vec<(InstanceKey, FunctionKey, Arc<Revision>, Millis)> = self
            .instances
            .values()
            .filter(|i| i.state == InstanceState::Warm && i.in_flight == 0)
            .map(|i| (i.key, i.function, i.revision.clone(), i.idle_since.saturating_add(i.revision.idle_ms)))
            .collect();
        for (instance, function, revision, due) in idle {
            if due > now {
                self.wake_by(due);
            } else if self.live_instances(function) > revision.min {
                self.retire(instance, out);
                self.pump(now, function, out); // its node was full or out of reach all that time: elsewhere, then
            }
        }
    }

    /// Starts what functions with a minimum lack.
    pub(super) fn keep_minimum(&mut self, now: Millis, out: &mut Vec<Event>) {
        let lacking: Vec<FunctionKey> = self
            .functions
            .values()
            .filter(|f| f.current().min > 0 && !f.current().is_job() && self.live_instances(f.key) < f.current().min)
            .map(|f| f.key)
            .collect();
        for key in lacking {
            let Some(function) = self.functions.get(&key) else { continue };
            let (retry_at, lacks) = (function.retry_at, function.current().min - self.live_instances(key));
            if retry_at > now {
                self.wake_by(retry_at);
                continue;
            }
            self.forgive(key);
            for _ in 0..lacks {
                if !self.start_instance(now, key, &[], out) {
                    break; // a joining node wakes us
                }
            }
            self.pump(now, key, out); // what was forgiven may help calls that wait, beyond the minimum
        }
    }

    /// Takes an instance off the books. Calls that still run on it end by themselves.
    pub(super) fn forget(&mut self, key: InstanceKey) {
        let Some(mut instance) = self.instances.remove(&key) else { return };
        instance.transition(InstanceState::Gone);
        if let Some(function) = self.functions.get_mut(&instance.function) {
            function.instances.retain(|i| *i != key);
        }
    }

    fn count(&self, key: FunctionKey, counts: impl Fn(InstanceState) -> bool) -> u32 {
        let Some(function) = self.functions.get(&key) else { return 0 };
        let current = function.current().number;
        let live = function.instances.iter().filter_map(|i| self.instances.get(i));
        live.filter(|i| i.revision.number == current && counts(i.state)).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Two machines of one core each, and an http function.
    fn cluster() -> (Cluster, [NodeKey; 2]) {
        let mut cluster = Cluster::new(Limits::default(), 0);
        let nodes = ["a", "b"].map(|name| {
            let spec = NodeSpec {
                id: name.into(),
                name: name.into(),
                engines: ["process".to_string()].into(),
                slots: 100,
                job_slots: 1,
                cpus: 1,
                ..NodeSpec::default()
            };
            cluster.apply(0, Command::Join { spec, instances: Vec::new() }).expect("joined");
            let node = cluster.find_node(name).expect("a node");
            let (node, session) = (node.key, node.session);
            cluster.apply(0, Command::SetReach { node, session, reach: Reach::Links }).expect("linked");
            beat(&mut cluster, node, 10.0);
            node
        });
        let revision = Revision {
            function: "f".into(),
            number: 0,
            image: format!("bundle:{}", "0".repeat(64)),
            mode: Mode::Http,
            command: vec!["x".into()],
            env: BTreeMap::new(),
            timeout_ms: 30_000,
            memory_bytes: 0,
            cpu: 0.0,
            concurrency: 80,
            min: 0,
            max: 20,
            idle_ms: 300_000,
            constraints: Constraints::default(),
            labels: BTreeMap::new(),
            description: String::new(),
            public: false,
            created_unix_ms: 0,
            updated_unix_ms: 0,
        };
        cluster.apply(0, Command::PutFunction { revision: Box::new(revision), put: Put::Create }).expect("put");
        (cluster, nodes)
    }

    fn beat(cluster: &mut Cluster, node: NodeKey, cpu: f64) {
        let session = cluster.node(node).expect("a node").session;
        let beat = Command::Beat { node, session, cpu_percent: Some(cpu), memory_percent: Some(10.0) };
        cluster.apply(0, beat).expect("a beat");
    }

    /// Instances that the events have started.
    fn starts(events: &[Event]) -> Vec<(InstanceKey, NodeKey)> {
        let start = |event: &Event| match event {
            Event::InstanceStarting { instance, node, .. } => Some((*instance, *node)),
            _ => None,
        };
        events.iter().filter_map(start).collect()
    }

    #[test]
    fn a_start_does_not_drive_its_function_away_but_measured_load_does() {
        let (mut cluster, [a, b]) = cluster();
        let invoke = || Command::Invoke { function: "f".into() };
        let [(instance, home)] = starts(&cluster.apply(0, invoke()).expect("taken"))[..] else { panic!("one start") };
        let warm = cluster.apply(0, Command::InstanceReady { instance }).expect("warm");
        assert!(starts(&warm).is_empty() && starts(&cluster.apply(0, invoke()).expect("taken")).is_empty());
        beat(&mut cluster, home, 100.0);
        let other = if home == a { b } else { a };
        let moved = starts(&cluster.apply(0, invoke()).expect("taken"));
        assert_eq!(moved.iter().map(|(_, node)| *node).collect::<Vec<_>>(), [other]);
    }
}
