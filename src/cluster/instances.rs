//! How an instance comes, answers, drains and goes, and what its function counts of it. Never decides how many there
//! should be.

use super::*;

/// After a failed start the minimum is tried again this much later, doubling.
const RETRY_FIRST_MS: Millis = 1_000;
/// And never later than this.
const RETRY_LAST_MS: Millis = 60_000;

impl Cluster {
    pub(super) fn start_instance(
        &mut self,
        now: Millis,
        key: FunctionKey,
        revision: &Arc<Revision>,
        not_on: &[NodeKey],
        out: &mut Vec<Event>,
    ) -> bool {
        let Some(node) = self.place(revision, not_on) else { return false };
        let (instance, turn) = (InstanceKey(self.fresh_key()), self.fresh_turn());
        if let Some(node) = self.nodes.get_mut(&node) {
            node.note_start(turn);
        }
        self.reindex(node);
        self.add_instance(now, instance, key, revision, node, InstanceState::Starting);
        self.note(key, |meter| meter.starts += 1);
        out.push(Event::InstanceStarting { instance, node, revision: revision.clone() });
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
        let instance = Instance {
            key,
            function,
            revision,
            node,
            state,
            in_flight: 0,
            idle_since: now,
            wakeful: false,
            look_at: Millis::MAX,
        };
        self.instances.insert(key, instance);
        if let Some(node) = self.nodes.get_mut(&node) {
            node.instances.insert(key);
        }
        if let Some(function) = self.functions.get_mut(&function) {
            function.instances.push(key);
        }
        self.count(key, 1);
        self.reopen(key);
    }

    /// Keeps what a node that came back still runs, if it is of use; has it stopped otherwise.
    pub(super) fn adopt(&mut self, now: Millis, node: NodeKey, found: Vec<Reported>, out: &mut Vec<Event>) {
        // Those it was told have ended, while calls of theirs have yet to: they do not come back.
        let held = self.invocations.values().filter_map(|call| call.held).filter(|held| held.node == node);
        let over: BTreeSet<InstanceKey> =
            held.filter_map(|held| held.instance).filter(|key| !self.instances.contains_key(key)).collect();
        let found = found.into_iter();
        let instances: Vec<_> = found.filter_map(|one| self.adopt_one(now, node, one, &over, out).err()).collect();
        if !instances.is_empty() {
            out.push(Event::InstancesUnwanted { node, instances });
        }
    }

    /// `Err`: it is not wanted.
    fn adopt_one(
        &mut self,
        now: Millis,
        node: NodeKey,
        found: Reported,
        over: &BTreeSet<InstanceKey>,
        out: &mut Vec<Event>,
    ) -> Result<(), InstanceKey> {
        let key = found.instance;
        if self.instances.get(&key).is_some_and(|i| i.node == node) {
            return Ok(()); // told twice
        }
        let wanted = self.function_names.get(found.function.as_str()).and_then(|id| {
            let f = self.functions.get(id)?;
            let (revision, live) = match &f.rollout {
                Some(rollout) if f.newest().number == found.revision => (f.newest(), rollout.tally.live()),
                _ => (f.current(), f.tally.live()),
            };
            let fits = revision.number == found.revision
                && !f.stopped
                && key.0 > revision.born
                && !revision.is_job()
                && live < revision.max
                && self.nodes.get(&node).is_some_and(|n| satisfies(n, revision));
            fits.then(|| (*id, revision.clone()))
        });
        // A node may say anything.
        let fresh = key.0 <= self.next_key && !self.instances.contains_key(&key) && !over.contains(&key);
        match wanted {
            Some((function, revision)) if fresh => {
                let state = if found.frozen { InstanceState::Frozen } else { InstanceState::Warm };
                self.add_instance(now, key, function, &revision, node, state);
                out.push(Event::InstanceWarm { instance: key, node, revision });
                self.touched.insert(function);
                self.look_soon(now, key);
                self.proved(now, key, out);
                self.pump(now, function, out); // calls that waited for its successor may start more beside it
                Ok(())
            }
            _ => Err(key),
        }
    }

    pub(super) fn instance_ready(
        &mut self,
        now: Millis,
        key: InstanceKey,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let instance = self.instances.get(&key).ok_or(Refusal::UnknownInstance)?;
        let (function, node, revision) = (instance.function, instance.node, instance.revision.clone());
        if instance.state != InstanceState::Starting {
            return Ok(()); // told twice
        }
        self.change(key, InstanceState::Warm);
        if let Some(instance) = self.instances.get_mut(&key) {
            instance.idle_since = now;
        }
        self.look_soon(now, key);
        out.push(Event::InstanceWarm { instance: key, node, revision: revision.clone() });
        self.proved(now, key, out);
        if let Some(f) = self.functions.get_mut(&function).filter(|f| f.serving.number == revision.number) {
            f.failed_on.clear();
            f.start_failures = 0;
            f.last_error = f.failed.clone();
            if f.tally.live() > f.serving.max {
                self.retire_worst(function, key, out); // this one was started to take over
            }
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
        self.note(id, |meter| meter.crashes += 1);
        let Some(function) = self.functions.get_mut(&id) else { return Ok(()) };
        if function.serving.number != revision.number {
            self.setback(now, id, revision.number, node, why, out);
            return Ok(());
        }
        function.last_error = Some(why.clone());
        function.start_failures += 1;
        function.retry_at = now + (RETRY_FIRST_MS << (function.start_failures - 1).min(6)).min(RETRY_LAST_MS);
        let retry_at = function.retry_at;
        self.wake_by(retry_at);
        let attempts = self.limits.start_attempts;
        if !started && let Some(function) = self.functions.get_mut(&id) {
            if !function.failed_on.contains(&node) {
                function.failed_on.push(node);
            }
            let elsewhere = function.failed_on.len() < attempts
                && self.functions.get(&id).is_some_and(|f| self.placeable(&revision, &f.failed_on));
            // as long as one more may succeed, calls wait for it: clearing then would start here again and again
            if !elsewhere && self.functions.get(&id).is_some_and(|f| f.tally.live() == 0 && !f.is_coming()) {
                if let Some(function) = self.functions.get_mut(&id) {
                    function.failed_on.clear(); // the next call tries everywhere again
                }
                self.fail_waiting(now, id, Failure::NotStarted { why }, out);
            }
        }
        self.pump(now, id, out);
        Ok(())
    }

    /// Its node could not freeze it: it is not asked again before the next call.
    pub(super) fn instance_awake(&mut self, key: InstanceKey) -> Result<(), Refusal> {
        let instance = self.instances.get_mut(&key).ok_or(Refusal::UnknownInstance)?;
        if instance.state == InstanceState::Frozen {
            instance.wakeful = true;
            self.change(key, InstanceState::Warm);
        }
        Ok(())
    }

    /// A call goes there: whatever it was, its node wakes it.
    pub(super) fn occupy(&mut self, key: InstanceKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        instance.in_flight += 1;
        instance.wakeful = false;
        match instance.state {
            InstanceState::Frozen => drop(self.change(key, InstanceState::Warm)),
            _ if instance.in_flight < instance.revision.concurrency => {}
            _ => self.reopen(key),
        }
    }

    /// A call there has ended.
    pub(super) fn vacate(&mut self, now: Millis, key: InstanceKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let was_full = !instance.has_room();
        instance.in_flight = instance.in_flight.saturating_sub(1);
        if instance.in_flight == 0 {
            instance.idle_since = now;
            self.look_soon(now, key);
        }
        if was_full {
            self.reopen(key);
        }
    }

    /// Lets those go that are more than its maximum: starts first, the last of them first.
    pub(super) fn trim(&mut self, key: FunctionKey, out: &mut Vec<Event>) {
        while let Some(f) = self.functions.get(&key) {
            let rolls = f.rollout.as_ref().filter(|r| r.tally.live() > f.newest().max);
            let (number, tally) = match rolls {
                Some(rollout) => (f.newest().number, rollout.tally),
                None if f.tally.live() > f.serving.max => (f.serving.number, f.tally),
                None => return,
            };
            let wanted = |i: &InstanceState| match tally.starting {
                0 => matches!(i, InstanceState::Warm | InstanceState::Frozen),
                _ => *i == InstanceState::Starting,
            };
            let all = f.instances.iter().rev().filter_map(|i| self.instances.get(i));
            let last = all.filter(|i| i.revision.number == number && wanted(&i.state)).map(|i| i.key).next();
            match last {
                Some(last) if tally.starting > 0 || rolls.is_some() => self.retire(last, out),
                _ => self.retire_worst(key, InstanceKey(0), out),
            }
        }
    }

    pub(super) fn retire_worst(&mut self, key: FunctionKey, but: InstanceKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key) else { return };
        let score = |i: &Instance| self.nodes.get(&i.node).map_or(u64::MAX, |n| (n.score() * 10.0) as u64);
        let worst = function
            .instances
            .iter()
            .filter_map(|i| self.instances.get(i))
            .filter(|i| i.revision.number == function.serving.number && i.key != but)
            .filter(|i| matches!(i.state, InstanceState::Warm | InstanceState::Frozen))
            .max_by_key(|i| (score(i), i.key))
            .map(|i| i.key);
        if let Some(worst) = worst {
            self.retire(worst, out);
        }
    }

    /// Lets an instance finish its calls and go; at once when it has none.
    pub(super) fn retire(&mut self, key: InstanceKey, out: &mut Vec<Event>) {
        let Some(instance) = self.instances.get(&key) else { return };
        if instance.in_flight > 0 {
            self.change(key, InstanceState::Draining);
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

    /// Takes an instance off the books. Calls that still run on it end by themselves.
    pub(super) fn forget(&mut self, key: InstanceKey) {
        self.count(key, -1);
        let Some(mut instance) = self.instances.remove(&key) else { return };
        instance.transition(InstanceState::Gone);
        self.timers.remove(&(instance.look_at, key));
        if let Some(node) = self.nodes.get_mut(&instance.node) {
            node.instances.remove(&key);
        }
        if let Some(function) = self.functions.get_mut(&instance.function) {
            function.instances.retain(|i| *i != key);
            function.open.remove(&key);
            self.touched.insert(instance.function);
        }
    }

    /// The only way from one state to the next: keeps what its function counts.
    pub(super) fn change(&mut self, key: InstanceKey, next: InstanceState) -> bool {
        self.count(key, -1);
        let changed = self.instances.get_mut(&key).is_some_and(|i| i.transition(next));
        self.count(key, 1);
        self.reopen(key);
        if let Some(instance) = self.instances.get(&key) {
            self.touched.insert(instance.function);
        }
        changed
    }

    fn count(&mut self, key: InstanceKey, by: i32) {
        let Some(instance) = self.instances.get(&key) else { return };
        let Some(function) = self.functions.get_mut(&instance.function) else { return };
        let number = instance.revision.number;
        let tally = match &mut function.rollout {
            _ if number == function.serving.number => &mut function.tally,
            Some(rollout) if function.revisions.back().is_some_and(|r| r.number == number) => &mut rollout.tally,
            _ => return,
        };
        let counted = match instance.state {
            InstanceState::Starting => &mut tally.starting,
            InstanceState::Warm => &mut tally.warm,
            InstanceState::Frozen => &mut tally.frozen,
            InstanceState::Draining | InstanceState::Gone => return,
        };
        *counted = counted.saturating_add_signed(by);
    }

    fn reopen(&mut self, key: InstanceKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        let Some(function) = self.functions.get_mut(&instance.function) else { return };
        match instance.has_room() && instance.revision.number == function.serving.number {
            true => function.open.insert(key),
            false => function.open.remove(&key),
        };
    }

    /// Counts anew, after another revision serves or rolls out.
    pub(super) fn recount(&mut self, key: FunctionKey) {
        let Some(function) = self.functions.get_mut(&key) else { return };
        function.open.clear();
        function.tally = Default::default();
        if let Some(rollout) = &mut function.rollout {
            rollout.tally = Default::default();
        }
        for instance in function.instances.clone() {
            self.count(instance, 1);
            self.reopen(instance);
        }
        self.touched.insert(key);
    }
}
