//! How nodes come, stay and go, and what becomes of their work when they go.

use super::*;

impl Cluster {
    pub(super) fn join(
        &mut self,
        now: Millis,
        spec: NodeSpec,
        reported: Vec<Reported>,
        tasks: Vec<TaskReport>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let known = self.node_ids.get(&spec.id).copied();
        let node = known.and_then(|key| self.nodes.get(&key));
        if node.is_some_and(|node| node.revoked) {
            return Err(Refusal::NodeRevoked);
        }
        let digest = node.map_or("", |node| node.spec.digest.as_str());
        if !digest.is_empty() && digest != spec.digest {
            return Err(Refusal::NotThatNode);
        }
        let namesake = self.nodes.values().find(|n| n.spec.name == spec.name && n.spec.id != spec.id);
        if let Some(other) = namesake {
            if other.status != NodeStatus::Disconnected {
                return Err(Refusal::NodeNameTaken { name: spec.name, by: other.spec.id.clone() });
            }
            let key = other.key; // a machine set up anew under its old name
            self.remove_node(now, key, out)?;
        }
        if known.is_none() && self.nodes.len() >= self.limits.max_nodes {
            return Err(Refusal::TooManyNodes { limit: self.limits.max_nodes });
        }
        let key = match known {
            Some(key) => {
                self.settle(now, key, out); // the session before this one, if it had not ended
                key
            }
            None => {
                let key = NodeKey(self.fresh_key());
                self.node_ids.insert(spec.id.clone(), key);
                self.nodes.insert(key, Node::new(key, spec.clone()));
                key
            }
        };
        let session = self.fresh_key();
        let lease_ms = self.limits.lease_of(spec.http);
        if let Some(node) = self.nodes.get_mut(&key) {
            node.spec = spec;
            node.start_session(session, now, lease_ms);
            node.transition(NodeStatus::Active);
            self.wake_by(now + lease_ms);
        }
        self.reclassify(key);
        out.push(Event::NodeJoined { node: key, session, again: known.is_some() });
        self.adopt(now, key, reported, out);
        self.tasks_joined(now, key, tasks, out);
        Ok(())
    }

    pub(super) fn set_reach(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        reach: Reach,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let node = self.in_session(key, session)?;
        let linked = std::mem::replace(&mut node.reach, reach) != Reach::Links && reach == Reach::Links;
        self.reclassify(key);
        if linked {
            self.freeze_anew(key, out);
        }
        if reach != Reach::None {
            self.retire_what_cannot_be_reached(key, reach, out);
        }
        self.pump_all(now, out);
        self.keep_minimum(now, out);
        Ok(())
    }

    /// A node may have said that it has instances, and then that it is of a kind that runs none.
    fn retire_what_cannot_be_reached(&mut self, key: NodeKey, reach: Reach, out: &mut Vec<Event>) {
        let beyond = |i: &InstanceKey| self.instances.get(i).is_some_and(|i| i.revision.words() > reach.words());
        for instance in self.on_node(key).into_iter().filter(beyond).collect::<Vec<_>>() {
            self.retire(instance, out);
        }
    }

    pub(super) fn beat(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        cpu_percent: Option<f64>,
        memory_percent: Option<f64>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let http = self.in_session(key, session)?.spec.http;
        let lease_ms = self.limits.lease_of(http);
        let node = self.in_session(key, session)?;
        node.renew(now, lease_ms);
        node.beat(cpu_percent, memory_percent);
        let short = node.memory_percent.is_some_and(|used| used > self.limits.memory_high_percent);
        self.reindex(key);
        if short {
            self.evict(now, key, out);
        }
        Ok(())
    }

    pub(super) fn set_engines(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        engines: BTreeSet<String>,
        trouble: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let spec = &mut self.in_session(key, session)?.spec;
        if spec.engines != engines || spec.engine_trouble != trouble {
            (spec.engines, spec.engine_trouble) = (engines, trouble);
            self.reclassify(key);
            out.push(Event::NodeEngines { node: key });
            self.pump_all(now, out);
            self.keep_minimum(now, out);
        }
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        instances: Vec<Reported>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.in_session(key, session)?;
        self.adopt(now, key, instances, out);
        self.pump_all(now, out);
        Ok(())
    }

    pub(super) fn leave(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let node = self.in_session(key, session)?;
        if !node.leaving {
            node.leaving = true;
            node.drained = false; // an operator may have heard it before; the node has not
            self.empty(now, key, out);
        }
        Ok(())
    }

    pub(super) fn disconnect(
        &mut self,
        now: Millis,
        key: NodeKey,
        session: u64,
        why: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.in_session(key, session)?;
        self.mark_lost(key, why, out);
        self.settle(now, key, out);
        Ok(())
    }

    pub(super) fn cordon(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let node = self.nodes.get_mut(&key).ok_or(Refusal::UnknownNode)?;
        if !node.cordoned {
            node.cordoned = true;
            out.push(Event::NodeCordoned { node: key });
        }
        self.reindex(key);
        self.pump_all(now, out); // jobs that waited for it alone wait in vain
        Ok(())
    }

    pub(super) fn uncordon(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let node = self.nodes.get_mut(&key).ok_or(Refusal::UnknownNode)?;
        let drained_by_us = node.status == NodeStatus::Draining && !node.leaving;
        if node.cordoned || drained_by_us {
            node.cordoned = false;
            if drained_by_us && node.transition(NodeStatus::Active) {
                node.drained = false;
            }
            out.push(Event::NodeUncordoned { node: key });
        }
        self.reindex(key);
        self.pump_all(now, out);
        self.keep_minimum(now, out);
        Ok(())
    }

    pub(super) fn drain(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let node = self.nodes.get_mut(&key).ok_or(Refusal::UnknownNode)?;
        if node.status == NodeStatus::Disconnected {
            return Err(Refusal::NodeDisconnected);
        }
        node.cordoned = true; // stays out after a reconnect too
        self.empty(now, key, out);
        Ok(())
    }

    pub(super) fn revoke(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let node = self.nodes.get_mut(&key).ok_or(Refusal::UnknownNode)?;
        if !std::mem::replace(&mut node.revoked, true) {
            out.push(Event::NodeRevoked { node: key });
        }
        if node.status != NodeStatus::Disconnected {
            node.leaving = false; // it does not go as it said it would
            self.mark_lost(key, "it was revoked".into(), out);
            self.settle(now, key, out);
        }
        self.lose_tasks_of(now, key, out); // it will not be back with them
        Ok(())
    }

    pub(super) fn remove_node(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let node = self.nodes.get(&key).ok_or(Refusal::UnknownNode)?;
        if node.status != NodeStatus::Disconnected {
            return Err(Refusal::NodeConnected);
        }
        self.lose_tasks_of(now, key, out);
        self.unindex(key);
        self.unindex_tasks(key);
        if let Some(node) = self.nodes.remove(&key) {
            self.node_ids.remove(&node.spec.id);
            out.push(Event::NodeRemoved { node: key, id: node.spec.id, name: node.spec.name });
        }
        Ok(())
    }

    pub(super) fn expire_leases(&mut self, now: Millis, out: &mut Vec<Event>) {
        let there = |n: &&Node| n.status != NodeStatus::Disconnected;
        let expired: Vec<NodeKey> =
            self.nodes.values().filter(there).filter(|n| n.lease_ends <= now).map(|n| n.key).collect();
        for key in &expired {
            let silent_s = self.nodes.get(key).map_or(0, |n| now.saturating_sub(n.last_seen) / 1_000);
            self.mark_lost(*key, format!("no heartbeat for {silent_s} s"), out);
        }
        for key in expired {
            self.settle(now, key, out); // not before all are marked: nothing may move to one that is lost too
        }
        if let Some(next) = self.nodes.values().filter(there).map(|n| n.lease_ends).min() {
            self.wake_by(next);
        }
    }

    /// Gives nothing new to a node and lets its instances go as they fall idle.
    fn empty(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        if node.transition(NodeStatus::Draining) {
            out.push(Event::NodeDraining { node: key });
        }
        self.reindex(key);
        for instance in self.on_node(key) {
            self.retire(instance, out);
        }
        self.move_tasks(now, key, out);
        self.pump_all(now, out); // calls may have waited for a start here
        self.wake_by(now); // the minimum of some function may have been here
        self.told_drained(key, out);
    }

    /// To be called when something on a node ended: says once that nothing is left.
    pub(super) fn told_drained(&mut self, key: NodeKey, out: &mut Vec<Event>) {
        let idle = |n: &Node| n.status == NodeStatus::Draining && n.running == 0 && !n.drained;
        let held = |n: &Node| n.tasks.iter().filter_map(|t| self.tasks.all.get(t)).any(Task::holds_drain);
        if !self.nodes.get(&key).is_some_and(|n| idle(n) && n.instances.is_empty() && !held(n)) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(&key) {
            node.drained = true;
            out.push(Event::NodeDrained { node: key });
        }
    }

    fn mark_lost(&mut self, key: NodeKey, why: String, out: &mut Vec<Event>) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        if !node.transition(NodeStatus::Disconnected) {
            return;
        }
        let name = node.spec.name.clone();
        out.push(match node.leaving {
            true => Event::NodeLeft { node: key, name },
            false => Event::NodeLost { node: key, name, why },
        });
        self.reindex(key);
    }

    /// Ends everything that ran in a node's session.
    fn settle(&mut self, now: Millis, key: NodeKey, out: &mut Vec<Event>) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        node.transition(NodeStatus::Disconnected);
        node.reach = Reach::None;
        node.cpu_percent = None;
        node.memory_percent = None;
        let name = node.spec.name.clone();
        for instance in self.on_node(key) {
            self.forget(instance);
        }
        let held_here = |i: &Invocation| i.held.is_some_and(|held| held.node == key);
        let lost: Vec<InvocationKey> =
            self.invocations.iter().filter(|(_, i)| held_here(i)).map(|(key, _)| *key).collect();
        for invocation in lost {
            self.release(now, invocation, false, None);
            let failure = Failure::NodeLost { node: name.clone() };
            out.push(Event::InvocationFailed { invocation, failure });
        }
        self.reindex(key);
        self.pump_all(now, out);
        self.wake_by(now); // the minimum of some function may be gone
    }

    fn on_node(&self, key: NodeKey) -> Vec<InstanceKey> {
        self.nodes.get(&key).map(|n| n.instances.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn in_session(&mut self, key: NodeKey, session: u64) -> Result<&mut Node, Refusal> {
        let node = self.nodes.get_mut(&key).ok_or(Refusal::UnknownNode)?;
        match node.session == session && node.status != NodeStatus::Disconnected {
            true => Ok(node),
            false => Err(Refusal::StaleSession),
        }
    }
}
