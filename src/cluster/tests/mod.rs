//! What the cluster promises, one test a promise. Every step is followed by a check of the invariants.

mod calls;
mod crowd;
mod figures;
mod idle;
mod instances;
mod membership;
mod meter;
mod placement;
mod revisions;
mod stopped;
mod tasks;

use super::invariants::check;
use super::*;

/// A cluster, its time, and what happened last.
struct Rig {
    cluster: Cluster,
    now: Millis,
    ticked: Millis,
    events: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Joined {
    node: NodeKey,
    session: u64,
}

impl Rig {
    fn new() -> Self {
        Rig::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Rig { cluster: Cluster::new(limits, 0), now: 1_000, ticked: 0, events: Vec::new() }
    }

    fn try_apply(&mut self, command: Command) -> Result<(), Refusal> {
        self.events = self.cluster.apply(self.now, command)?;
        check(&self.cluster, self.now, self.ticked).unwrap();
        Ok(())
    }

    fn apply(&mut self, command: Command) {
        self.try_apply(command).unwrap();
    }

    /// Lets time pass as a shell does: a tick at each deadline.
    fn pass(&mut self, ms: Millis) -> Vec<Event> {
        let (until, mut all) = (self.now + ms, Vec::new());
        while let Some(due) = self.cluster.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            all.extend(self.cluster.tick(self.now));
            self.ticked = self.now;
            check(&self.cluster, self.now, self.ticked).unwrap();
        }
        self.now = until;
        all
    }

    /// Lets time pass while these nodes beat every second.
    fn pass_beating(&mut self, ms: Millis, nodes: &[Joined]) -> Vec<Event> {
        let mut all = Vec::new();
        for _ in 0..ms / 1_000 {
            all.extend(self.pass(1_000));
            nodes.iter().for_each(|n| self.load(*n, 10.0));
        }
        all
    }

    fn join(&mut self, spec: NodeSpec, instances: Vec<Reported>) -> Result<Joined, Refusal> {
        self.try_apply(Command::Join { spec, instances, tasks: Vec::new() })?;
        let joined = self.events.iter().find_map(|e| match e {
            Event::NodeJoined { node, session, .. } => Some(Joined { node: *node, session: *session }),
            _ => None,
        });
        let joined = joined.unwrap();
        self.load(joined, 10.0);
        Ok(joined)
    }

    fn reach(&mut self, at: Joined, reach: Reach) {
        self.apply(Command::SetReach { node: at.node, session: at.session, reach });
    }

    /// A node with four cores, 10 % busy, in reach.
    fn worker(&mut self, name: &str, slots: u32) -> Joined {
        let joined = self.join(spec(name, slots), Vec::new()).unwrap();
        self.reach(joined, Reach::Links);
        joined
    }

    /// A beat with this much CPU used.
    fn load(&mut self, at: Joined, cpu: f64) {
        let (node, session) = (at.node, at.session);
        self.apply(Command::Beat { node, session, cpu_percent: Some(cpu), memory_percent: Some(10.0) });
    }

    /// Three beats: the metrics show everything that was placed.
    fn settle_load(&mut self, at: Joined, cpu: f64) {
        (0..3).for_each(|_| self.load(at, cpu));
    }

    fn put(&mut self, revision: Revision) {
        self.apply(Command::PutFunction { revision: Box::new(revision), put: Put::Any });
    }

    fn try_invoke(&mut self, name: &str) -> Result<InvocationKey, Refusal> {
        let newest = self.cluster.invocations.keys().next_back().copied();
        self.try_apply(Command::Invoke { function: name.into(), origin: Origin::Caller, wants: None })?;
        Ok(self.cluster.invocations.keys().next_back().copied().filter(|k| newest != Some(*k)).unwrap())
    }

    fn invoke(&mut self, name: &str) -> InvocationKey {
        self.try_invoke(name).unwrap()
    }

    fn finish(&mut self, invocation: InvocationKey) {
        self.apply(Command::Finish { invocation, success: true, took_us: 0 });
    }

    fn refuse(&mut self, invocation: InvocationKey) {
        self.apply(Command::Refuse { invocation, why: "busy".into() });
    }

    /// Where a call runs; `None`: it waits.
    fn at(&self, invocation: InvocationKey) -> Option<NodeKey> {
        self.cluster.invocations[&invocation].held.map(|h| h.node)
    }

    fn over(&self, invocation: InvocationKey) -> bool {
        !self.cluster.invocations.contains_key(&invocation)
    }

    /// The instances of a function and where they are, oldest first.
    fn instances(&self, name: &str) -> Vec<(InstanceKey, NodeKey, InstanceState)> {
        let keys = &self.cluster.function(name).unwrap().instances;
        keys.iter().filter_map(|k| self.cluster.instance(*k)).map(|i| (i.key, i.node, i.state)).collect()
    }

    fn starting(&self, name: &str) -> Vec<InstanceKey> {
        self.instances(name).iter().filter(|i| i.2 == InstanceState::Starting).map(|i| i.0).collect()
    }

    fn ready(&mut self, instance: InstanceKey) {
        self.apply(Command::InstanceReady { instance });
    }

    fn ended(&mut self, instance: InstanceKey, why: &str) {
        self.apply(Command::InstanceEnded { instance, why: why.into() });
    }

    /// Calls it once so that one instance is warm.
    fn warm(&mut self, name: &str) -> (InstanceKey, NodeKey) {
        let call = self.invoke(name);
        let instance = self.starting(name)[0];
        self.ready(instance);
        self.finish(call);
        (instance, self.cluster.instance(instance).unwrap().node)
    }

    fn status(&self, at: Joined) -> NodeStatus {
        self.cluster.node(at.node).unwrap().status
    }

    /// Why calls failed in the last step.
    fn failures(&self) -> Vec<Failure> {
        let failed = |e: &Event| match e {
            Event::InvocationFailed { failure, .. } => Some(failure.clone()),
            _ => None,
        };
        self.events.iter().filter_map(failed).collect()
    }

    fn told(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|e| what(e)).count()
    }
}

fn spec(name: &str, slots: u32) -> NodeSpec {
    NodeSpec {
        id: format!("id-{name}"),
        name: name.into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        engines: ["process".to_string()].into(),
        slots,
        job_slots: slots,
        cpus: 4,
        memory_bytes: 8 << 30,
        ..NodeSpec::default()
    }
}

/// A function of one call at a time on at most one instance.
pub fn http(name: &str) -> Revision {
    Revision {
        function: name.into(),
        number: 0,
        born: 0,
        image: "bundle:abc".into(),
        mode: Mode::Http,
        command: Vec::new(),
        secrets: Default::default(),
        env: BTreeMap::new(),
        timeout_ms: 30_000,
        memory_bytes: 0,
        cpu: 0.0,
        isolation: Default::default(),
        concurrency: 1,
        min: 0,
        ready: 0,
        freeze_ms: 600_000,
        fresh: false,
        max: 1,
        idle_ms: 60_000,
        constraints: Constraints::default(),
        labels: BTreeMap::new(),
        description: String::new(),
        attempts: 3,
        schedule: None,
        public: false,
        rate_per_s: 0,
        calls_at_once: 0,
        created_unix_ms: 0,
        updated_unix_ms: 0,
        by: String::new(),
    }
}

fn job(name: &str) -> Revision {
    Revision { mode: Mode::Job, ..http(name) }
}

fn drain(at: Joined) -> Command {
    Command::Drain { node: at.node }
}

fn cordon(at: Joined) -> Command {
    Command::Cordon { node: at.node }
}

fn uncordon(at: Joined) -> Command {
    Command::Uncordon { node: at.node }
}

fn disconnect(at: Joined) -> Command {
    Command::Disconnect { node: at.node, session: at.session, why: "connection reset".into() }
}
