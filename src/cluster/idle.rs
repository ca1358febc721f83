//! What becomes of instances that the load does not need: frozen after a while, stopped after a longer one, evicted where
//! memory is short. Each is looked at when it may be due; a call only moves that when it comes sooner than was thought.

use super::*;

/// Two looks at an instance that stays are no closer than this.
const LOOK_AGAIN_MS: Millis = 1_000;

impl Cluster {
    /// To be called when an instance has become idle or has just started.
    pub(super) fn look_soon(&mut self, now: Millis, key: InstanceKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        let due = now.saturating_add(instance.revision.idle_ms.min(instance.revision.freeze_ms));
        if due < instance.look_at {
            self.look_at(key, due);
        }
    }

    /// To be called when the bounds of a function have changed.
    pub(super) fn look_at_all_of(&mut self, now: Millis, key: FunctionKey) {
        let Some(function) = self.functions.get(&key) else { return };
        for instance in function.instances.clone() {
            if self.instances.get(&instance).is_some_and(|i| i.look_at > now && i.look_at != Millis::MAX) {
                self.look_at(instance, now);
            }
        }
    }

    fn look_at(&mut self, key: InstanceKey, at: Millis) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        self.timers.remove(&(instance.look_at, key));
        instance.look_at = at;
        self.timers.insert((at, key));
        self.wake_by(at);
    }

    /// Looks at those whose time has come.
    pub(super) fn look_at_due(&mut self, now: Millis, out: &mut Vec<Event>) {
        let due: Vec<InstanceKey> = self.timers.range(..=(now, InstanceKey(u64::MAX))).map(|(_, key)| *key).collect();
        for key in due {
            self.look_after(now, key, out);
        }
        if let Some(at) = self.timers.first().map(|(at, _)| *at) {
            self.wake_by(at);
        }
    }

    fn look_after(&mut self, now: Millis, key: InstanceKey, out: &mut Vec<Event>) {
        let Some(i) = self.instances.get(&key) else { return };
        let (id, number, idle, idle_since) = (i.function, i.revision.number, i.is_idle(), i.idle_since);
        let may_freeze = idle && i.state == InstanceState::Warm && !i.wakeful;
        let Some(f) = self.functions.get_mut(&id).filter(|f| f.serving.number == number) else {
            self.look_at(key, now.saturating_add(LOOK_AGAIN_MS)); // it drains, or is to take over
            return;
        };
        let (idle_ms, freeze_ms) = (f.serving.idle_ms, f.serving.freeze_ms);
        if now >= f.peaks_until {
            f.peaks = [f.running + f.queue.len() as u64, f.peaks[0]];
            f.peaks_until = now.saturating_add(idle_ms);
        }
        let above_floor = f.tally.live() > f.floor();
        let idle_until = idle_since.saturating_add(idle_ms);
        if idle && above_floor && idle_until <= now {
            self.retire(key, out);
            self.pump(now, id, out); // its node was full or out of reach all that time: elsewhere, then
            return;
        }
        let needed = f.needed(f.peaks[0].max(f.peaks[1])).max(f.floor());
        let calm = f.queue.is_empty() && f.tally.starting == 0 && f.rollout.is_none();
        if calm && f.tally.up() > needed && idle_ms > 0 {
            self.retire_surplus(id, out);
        }
        let warm = self.functions.get(&id).map_or(0, |f| f.tally.starting + f.tally.warm);
        let min = self.functions.get(&id).map_or(0, |f| f.serving.min);
        let freeze_at = idle_since.saturating_add(freeze_ms);
        if !self.instances.contains_key(&key) {
            return; // it was the surplus
        }
        let frozen = may_freeze && freeze_at <= now && warm > min;
        if frozen {
            self.freeze(key, out);
        }
        let awaited = [(may_freeze && !frozen, freeze_at), (idle, idle_until)];
        let next = awaited.into_iter().filter(|(is, at)| *is && *at > now).map(|(_, at)| at).min();
        let later = if idle { idle_ms } else { idle_ms.min(freeze_ms) };
        self.look_at(key, next.unwrap_or_else(|| now.saturating_add(later.max(LOOK_AGAIN_MS))));
    }

    fn freeze(&mut self, key: InstanceKey, out: &mut Vec<Event>) {
        if !self.change(key, InstanceState::Frozen) {
            return;
        }
        if let Some(i) = self.instances.get(&key) {
            out.push(Event::InstanceFrozen { instance: key, node: i.node, revision: i.revision.clone() });
        }
    }

    /// Tells a node that can be told again which of its instances are to be frozen: a call may have woken one since the
    /// node wrote the report it joined with.
    pub(super) fn freeze_anew(&self, node: NodeKey, out: &mut Vec<Event>) {
        let on_it = self.nodes.get(&node).into_iter().flat_map(|n| &n.instances);
        let frozen = on_it.filter_map(|i| self.instances.get(i)).filter(|i| i.state == InstanceState::Frozen);
        out.extend(frozen.map(|i| Event::InstanceFrozen { instance: i.key, node, revision: i.revision.clone() }));
    }

    /// Lets the one go that is missed least: the load has not needed it for as long as an idle one is kept.
    fn retire_surplus(&mut self, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(f) = self.functions.get(&key) else { return };
        let least = f
            .instances
            .iter()
            .filter_map(|i| self.instances.get(i))
            .filter(|i| i.revision.number == f.serving.number)
            .filter(|i| matches!(i.state, InstanceState::Warm | InstanceState::Frozen))
            .min_by_key(|i| (i.state != InstanceState::Frozen, i.in_flight, std::cmp::Reverse(i.key)))
            .map(|i| i.key);
        if let Some(least) = least {
            self.retire(least, out);
        }
    }

    /// The node is short of memory: the idle instance there that is missed least goes. One at a time, for the next beat
    /// shows what it was good for.
    pub(super) fn evict(&mut self, now: Millis, node: NodeKey, out: &mut Vec<Event>) {
        let Some(on_it) = self.nodes.get(&node).map(|n| &n.instances) else { return };
        let spare = |i: &&Instance| {
            let f = self.functions.get(&i.function);
            i.is_idle()
                && f.is_some_and(|f| {
                    f.serving.number == i.revision.number && f.rollout.is_none() && f.tally.live() > f.floor()
                })
        };
        let least = on_it
            .iter()
            .filter_map(|i| self.instances.get(i))
            .filter(spare)
            .min_by_key(|i| (i.state != InstanceState::Frozen, i.idle_since, i.key));
        let Some((key, function, revision)) = least.map(|i| (i.key, i.function, i.revision.clone())) else { return };
        out.push(Event::InstanceEvicted { instance: key, node, revision });
        self.retire(key, out);
        self.pump(now, function, out);
    }

    /// Wakes frozen instances of functions that have fewer awake than they must. To be called after every change.
    pub(super) fn keep_awake(&mut self, now: Millis, out: &mut Vec<Event>) {
        while let Some(key) = self.touched.pop_first() {
            let Some(f) = self.functions.get(&key) else { continue };
            let lacks = f.serving.min.saturating_sub(f.tally.starting + f.tally.warm).min(f.tally.frozen);
            if lacks == 0 {
                continue;
            }
            let frozen = |i: &&Instance| i.state == InstanceState::Frozen && i.revision.number == f.serving.number;
            let all = f.instances.iter().filter_map(|i| self.instances.get(i)).filter(frozen);
            let chosen: Vec<InstanceKey> = all.map(|i| i.key).take(lacks as usize).collect();
            for instance in chosen {
                self.change(instance, InstanceState::Warm);
                if let Some(i) = self.instances.get_mut(&instance) {
                    i.idle_since = now;
                    out.push(Event::InstanceThawing { instance, node: i.node });
                }
                self.look_soon(now, instance);
            }
        }
    }
}
