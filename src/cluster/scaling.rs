//! How many instances a function has, and where: started for calls that wait and for what its bounds say, moved to a
//! better node. What becomes of those that are not needed stands in `idle.rs`.

use super::*;
use std::ops::Bound;

/// Instances with room that are compared for one call: all there are, for nearly every function; where there are more,
/// the next ones in turn, so that a call costs the same however many there are.
const COMPARED: usize = 16;
/// What a frozen instance must be better by, in points, to be woken in place of a warm one.
const WAKE_POINTS: f64 = 10.0;
/// Between two looks for a better node that found none.
const LOOK_AGAIN_MS: Millis = 100;

impl Cluster {
    /// The instance a call goes to: room first, then a node that has not refused it, then the least of load and score.
    pub(super) fn pick(&self, function: &Function, refused_by: &[NodeKey]) -> Option<(NodeKey, InstanceKey)> {
        let cost = |i: &Instance, node: &Node| {
            let full_percent = 100.0 * f64::from(i.in_flight) / f64::from(i.revision.concurrency.max(1));
            let wake = if i.state == InstanceState::Frozen { WAKE_POINTS } else { 0.0 };
            ((full_percent + node.score() + wake) * 10.0) as u64
        };
        let after = function.open.range((Bound::Excluded(function.picked), Bound::Unbounded));
        after
            .chain(function.open.range(..=function.picked))
            .filter_map(|key| self.instances.get(key))
            .filter_map(|i| Some((i, self.nodes.get(&i.node).filter(|n| n.carries_calls())?)))
            .take(COMPARED)
            .min_by_key(|(i, node)| (refused_by.contains(&i.node), cost(i, node), i.key))
            .map(|(i, node)| (node.key, i.key))
    }

    /// Starts what the waiting calls need, up to the function's maximum.
    pub(super) fn scale_up(&mut self, now: Millis, key: FunctionKey, waiting: usize, out: &mut Vec<Event>) {
        loop {
            let Some(function) = self.functions.get(&key) else { return };
            let revision = function.current().clone();
            let coming = function.tally.starting as usize * revision.concurrency as usize;
            if coming >= waiting || function.tally.live() >= revision.max {
                return;
            }
            if function.tally.live() == 0 && function.is_coming() {
                return; // its successor is about to take over
            }
            let not_on = function.failed_on.clone();
            if !self.start_instance(now, key, &revision, &not_on, out) {
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

    /// Starts an instance on a better node when the one a call just went to has become a bad place.
    pub(super) fn consider_takeover(&mut self, now: Millis, key: FunctionKey, node: NodeKey, out: &mut Vec<Event>) {
        // Only what was measured: else the weight of the start just made here would drive the function away again.
        let Some((here, best)) = self.nodes.get(&node).map(Node::measured).zip(self.index.best_score()) else { return };
        if here <= best + self.limits.takeover_margin {
            return;
        }
        let Some(function) = self.functions.get(&key) else { return };
        if function.moved_at.is_some_and(|at| now < at + self.limits.takeover_pause_ms)
            || function.looked_at.is_some_and(|at| now < at + LOOK_AGAIN_MS)
            || function.tally.starting > 0
        {
            return;
        }
        let revision = function.current().clone();
        let elsewhere = function.instances.iter().filter_map(|i| self.instances.get(i)).map(|i| i.node);
        let not_on: Vec<NodeKey> = function.failed_on.iter().copied().chain(elsewhere).collect();
        let target = self.place(&revision, &not_on).and_then(|target| self.nodes.get(&target));
        let better = target.is_some_and(|n| n.score() + self.limits.takeover_margin < here);
        let moved = better && self.start_instance(now, key, &revision, &not_on, out);
        if let Some(function) = self.functions.get_mut(&key) {
            let at = if moved { &mut function.moved_at } else { &mut function.looked_at };
            *at = Some(now);
        }
    }

    /// Starts what functions with a minimum lack, and what takes over from them.
    pub(super) fn keep_minimum(&mut self, now: Millis, out: &mut Vec<Event>) {
        for key in self.cared.iter().copied().collect::<Vec<_>>() {
            self.care(now, key, out);
        }
    }

    /// The same for one function.
    pub(super) fn care(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        self.advance_rollout(now, key, out);
        let Some(function) = self.functions.get(&key) else { return };
        match function.wants_care() {
            true => self.cared.insert(key),
            false => self.cared.remove(&key),
        };
        let (retry_at, lacks) = (function.retry_at, function.floor().saturating_sub(function.tally.live()));
        if lacks == 0 || function.tally.live() == 0 && function.is_coming() {
            return;
        }
        if retry_at > now {
            self.wake_by(retry_at);
            return;
        }
        if let Some(function) = self.functions.get_mut(&key) {
            function.retry_at = 0; // it is now
        }
        self.forgive(key);
        for _ in 0..lacks {
            let Some(function) = self.functions.get(&key) else { return };
            let (revision, not_on) = (function.current().clone(), function.failed_on.clone());
            if !self.start_instance(now, key, &revision, &not_on, out) {
                break; // a joining node wakes us
            }
        }
        self.pump(now, key, out); // what was forgiven may help calls that wait, beyond the minimum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::http;

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
            cluster.apply(0, Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }).expect("joined");
            let node = cluster.find_node(name).expect("a node");
            let (node, session) = (node.key, node.session);
            cluster.apply(0, Command::SetReach { node, session, reach: Reach::Links }).expect("linked");
            beat(&mut cluster, node, 10.0);
            node
        });
        let revision = Revision {
            command: vec!["x".into()],
            concurrency: 80,
            freeze_ms: 300_000,
            max: 20,
            idle_ms: 300_000,
            ..http("f")
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
        let invoke = || Command::Invoke { function: "f".into(), origin: Origin::Caller, wants: None };
        let [(instance, home)] = starts(&cluster.apply(0, invoke()).expect("taken"))[..] else { panic!("one start") };
        let warm = cluster.apply(0, Command::InstanceReady { instance }).expect("warm");
        assert!(starts(&warm).is_empty() && starts(&cluster.apply(0, invoke()).expect("taken")).is_empty());
        beat(&mut cluster, home, 100.0);
        let other = if home == a { b } else { a };
        let moved = starts(&cluster.apply(0, invoke()).expect("taken"));
        assert_eq!(moved.iter().map(|(_, node)| *node).collect::<Vec<_>>(), [other]);
    }
}
