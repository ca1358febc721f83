//! Tasks: where they go, what their nodes' words make of them, and what is never lost or run twice.

use super::*;
use RestartPolicy::{Always, Never};

fn task(name: &str) -> TaskSpec {
    TaskSpec { name: name.into(), image: "bundle:abc".into(), settings: name.into(), ..TaskSpec::default() }
}

fn lasting(name: &str) -> TaskSpec {
    TaskSpec { restart: Always, ..task(name) }
}

fn sized(name: &str, memory_gib: u64) -> TaskSpec {
    TaskSpec { memory_bytes: memory_gib << 30, ..task(name) }
}

fn report(task: TaskKey, attempt: u64, word: TaskWord) -> TaskReport {
    let progress = Progress { started_unix_ms: 1, ..Progress::default() };
    TaskReport { id: task.to_string().into(), attempt, word, progress, spec: None }
}

impl Rig {
    fn try_submit(&mut self, spec: TaskSpec) -> Result<TaskKey, Refusal> {
        self.try_apply(Command::SubmitTask { spec: Box::new(spec) })?;
        let submitted = self.events.iter().find_map(|e| match e {
            Event::TaskSubmitted { task, .. } => Some(*task),
            _ => None,
        });
        Ok(submitted.unwrap())
    }

    fn submit(&mut self, spec: TaskSpec) -> TaskKey {
        self.try_submit(spec).unwrap()
    }

    fn tell(&mut self, at: Joined, reports: Vec<TaskReport>) {
        self.apply(Command::ReportTasks { node: at.node, session: at.session, tasks: reports });
    }

    /// Its node's word on the current attempt.
    fn said(&mut self, at: Joined, task: TaskKey, word: TaskWord) {
        let attempt = self.cluster.task(task).unwrap().attempt;
        self.tell(at, vec![report(task, attempt, word)]);
    }

    fn rejoin(&mut self, name: &str, tasks: Vec<TaskReport>) -> Joined {
        self.apply(Command::Join { spec: spec(name, 4), instances: Vec::new(), tasks });
        let key = self.cluster.find_node(name).unwrap().key;
        let at = Joined { node: key, session: self.cluster.node(key).unwrap().session };
        self.load(at, 10.0);
        at
    }

    fn state(&self, task: TaskKey) -> TaskState {
        self.cluster.task(task).unwrap().state
    }

    fn node_of(&self, task: TaskKey) -> Option<NodeKey> {
        self.cluster.task(task).unwrap().node
    }

    fn stops(&self) -> usize {
        self.told(|e| matches!(e, Event::TaskStop { .. }))
    }

    fn forgets(&self) -> usize {
        self.told(|e| matches!(e, Event::TaskForget { .. }))
    }
}

#[test]
fn the_table_of_states_is_this_one() {
    use TaskState::*;
    let legal = [
        (Pending, vec![Scheduled, Failed, Stopped]),
        (Scheduled, vec![Pending, Running, Stopping, Completed, Failed, Stopped]),
        (Running, vec![Pending, Stopping, Completed, Failed, Stopped]),
        (Stopping, vec![Pending, Completed, Failed, Stopped]),
        (Completed, vec![Pending]),
        (Failed, vec![Pending]),
        (Stopped, vec![Pending]),
    ];
    for (from, next) in legal {
        for to in TaskState::ALL {
            let mut rig = Rig::new();
            let key = rig.submit(task("a"));
            rig.cluster.tasks.all.get_mut(&key).unwrap().state = from;
            let task = rig.cluster.tasks.all.get_mut(&key).unwrap();
            assert_eq!(task.transition(to), next.contains(&to), "{from:?} to {to:?}");
            assert_eq!(task.state, if next.contains(&to) { to } else { from });
        }
        assert_eq!(TaskState::of(from.word()), Some(from));
    }
}

#[test]
fn a_task_is_placed_runs_and_ends() {
    let mut rig = Rig::new();
    let waiting = rig.submit(task("a"));
    assert_eq!(rig.state(waiting), TaskState::Pending);
    assert!(rig.cluster.why_pending(rig.cluster.task(waiting).unwrap()).contains("no node"));
    let a = rig.worker("a", 4);
    assert_eq!((rig.state(waiting), rig.node_of(waiting)), (TaskState::Scheduled, Some(a.node)));
    rig.said(a, waiting, TaskWord::Starting);
    assert_eq!(rig.state(waiting), TaskState::Scheduled);
    rig.said(a, waiting, TaskWord::Running);
    assert_eq!(rig.state(waiting), TaskState::Running);
    rig.said(a, waiting, TaskWord::Completed);
    assert_eq!((rig.state(waiting), rig.forgets()), (TaskState::Completed, 0), "its node keeps its log");
    rig.said(a, waiting, TaskWord::Completed); // told again
    assert_eq!((rig.state(waiting), rig.forgets()), (TaskState::Completed, 0));
    rig.apply(Command::DeleteTask { task: waiting });
    assert_eq!(rig.forgets(), 1);
}

#[test]
fn what_tasks_reserve_is_not_given_twice_and_comes_back() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4); // 8 GiB, 4 cores
    let (one, two) = (rig.submit(sized("one", 5)), rig.submit(sized("two", 5)));
    let small = rig.submit(sized("small", 3));
    let cores = rig.submit(TaskSpec { cpu: 5.0, ..task("cores") });
    assert_eq!(rig.node_of(one), Some(a.node));
    assert_eq!((rig.state(two), rig.state(small)), (TaskState::Pending, TaskState::Scheduled));
    assert!(rig.cluster.why_pending(rig.cluster.task(two).unwrap()).contains("full"));
    assert!(rig.cluster.why_pending(rig.cluster.task(cores).unwrap()).contains("asks for"));
    rig.said(a, one, TaskWord::Failed);
    assert_eq!(rig.state(two), TaskState::Scheduled);
    assert_eq!(rig.cluster.node(a.node).unwrap().reserved().0, 8 << 30);
}

#[test]
fn functions_see_what_tasks_have_reserved() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    let big = rig.submit(sized("big", 7));
    rig.put(Revision { memory_bytes: 2 << 30, ..job("f") });
    let other = if rig.node_of(big) == Some(a.node) { b } else { a };
    for _ in 0..3 {
        let call = rig.invoke("f");
        assert_eq!(rig.at(call), Some(other.node));
        rig.finish(call);
    }
}

#[test]
fn one_port_of_a_node_is_given_once() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    let web = |name| TaskSpec { host_ports: [(80, false)].into(), ..task(name) };
    let (one, two, three) = (rig.submit(web("one")), rig.submit(web("two")), rig.submit(web("three")));
    let nodes: BTreeSet<_> = [rig.node_of(one), rig.node_of(two)].into();
    assert_eq!(nodes, [Some(a.node), Some(b.node)].into());
    assert_eq!(rig.state(three), TaskState::Pending);
    let at = if rig.node_of(two) == Some(a.node) { a } else { b };
    rig.said(at, two, TaskWord::Completed);
    assert_eq!(rig.node_of(three), Some(at.node));
}

#[test]
fn schedulers_choose_as_they_are_called() {
    let placed = |scheduler, count: usize| {
        let mut rig = Rig::new();
        let nodes = ["a", "b", "c"].map(|name| rig.worker(name, 4).node);
        let of = |n: usize| TaskSpec { scheduler, memory_bytes: 1 << 30, cpu: 0.25, ..task(&format!("t{n}")) };
        let tasks: Vec<TaskKey> = (0..count).map(|n| rig.submit(of(n))).collect();
        let on = |node: &NodeKey| tasks.iter().filter(|t| rig.node_of(**t) == Some(*node)).count();
        let mut counts: Vec<usize> = nodes.iter().map(on).collect();
        counts.sort();
        counts
    };
    assert_eq!(placed(Scheduler::RoundRobin, 6), [2, 2, 2]);
    assert_eq!(placed(Scheduler::Spread, 6), [2, 2, 2]);
    assert_eq!(placed(Scheduler::Binpack, 6), [0, 0, 6]);
    assert_eq!(placed(Scheduler::Binpack, 12), [0, 4, 8]);
    assert_eq!(placed(Scheduler::Cost, 6), [2, 2, 2], "a burst between two heartbeats is spread");
    for scheduler in Scheduler::ALL {
        assert_eq!(Scheduler::of(scheduler.word()), Some(scheduler));
    }
}

#[test]
fn the_least_loaded_gets_it_and_constraints_filter_first() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    rig.settle_load(a, 90.0);
    rig.settle_load(b, 10.0);
    let first = rig.submit(task("first"));
    assert_eq!(rig.node_of(first), Some(b.node));
    let gpu = |name| NodeSpec { devices: ["gpu".to_string()].into(), ..spec(name, 4) };
    let c = rig.join(gpu("c"), Vec::new()).unwrap();
    rig.reach(c, Reach::Links);
    rig.settle_load(c, 99.0);
    let wants = rig.submit(TaskSpec { devices: ["gpu".to_string()].into(), ..task("wants") });
    assert_eq!(rig.node_of(wants), Some(c.node));
}

#[test]
fn a_lost_nodes_tasks_go_elsewhere_once_its_lease_is_over_and_the_old_copy_is_stopped() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let key = rig.submit(task("t"));
    rig.said(a, key, TaskWord::Running);
    let b = rig.worker("b", 4);
    rig.apply(disconnect(a));
    assert_eq!(rig.node_of(key), Some(a.node), "it may be back within its lease");
    rig.pass_beating(9_000, &[b]);
    assert_eq!(rig.node_of(key), Some(a.node));
    let events = rig.pass_beating(2_000, &[b]);
    assert!(events.iter().any(|e| matches!(e, Event::TaskPlace { attempt: 2, .. })));
    assert_eq!(rig.node_of(key), Some(b.node));
    rig.said(b, key, TaskWord::Running);
    let a = rig.rejoin("a", vec![report(key, 1, TaskWord::Running)]);
    assert_eq!((rig.stops(), rig.node_of(key)), (0, Some(b.node)));
    let _ = a;
}

#[test]
fn who_is_back_within_the_lease_keeps_its_tasks_and_who_lost_one_does_not() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let (kept, lost) = (rig.submit(task("kept")), rig.submit(task("lost")));
    rig.said(a, kept, TaskWord::Running);
    rig.said(a, lost, TaskWord::Running);
    rig.apply(disconnect(a));
    let a = rig.rejoin("a", vec![report(kept, 1, TaskWord::Running)]);
    assert_eq!((rig.state(kept), rig.state(lost)), (TaskState::Running, TaskState::Pending));
    rig.reach(a, Reach::Links);
    assert_eq!((rig.state(lost), rig.cluster.task(lost).unwrap().attempt), (TaskState::Scheduled, 2));
}

#[test]
fn one_that_waits_in_vain_is_taken_back_when_its_node_returns() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let (runs, done) = (rig.submit(task("runs")), rig.submit(task("done")));
    for key in [runs, done] {
        rig.said(a, key, TaskWord::Running);
    }
    rig.pass(11_000);
    assert_eq!((rig.state(runs), rig.state(done)), (TaskState::Pending, TaskState::Pending));
    let reports = vec![report(runs, 1, TaskWord::Running), report(done, 1, TaskWord::Completed)];
    rig.rejoin("a", reports);
    assert_eq!((rig.state(runs), rig.state(done)), (TaskState::Running, TaskState::Completed));
    assert_eq!(rig.cluster.task(runs).unwrap().attempt, 1);
}

#[test]
fn a_drain_moves_what_is_there_for_good_and_waits_for_the_rest() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let (service, once) = (rig.submit(lasting("service")), rig.submit(task("once")));
    for key in [service, once] {
        rig.said(a, key, TaskWord::Running);
    }
    let b = rig.worker("b", 4);
    rig.apply(drain(a));
    assert_eq!((rig.state(service), rig.state(once), rig.stops()), (TaskState::Stopping, TaskState::Running, 1));
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 0);
    rig.said(a, service, TaskWord::Stopped);
    assert_eq!((rig.state(service), rig.node_of(service)), (TaskState::Scheduled, Some(b.node)));
    rig.said(a, once, TaskWord::Completed);
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 1);
}

#[test]
fn a_stop_is_a_stop_wherever_the_task_is() {
    let mut rig = Rig::new();
    let waits = rig.submit(task("waits"));
    rig.apply(Command::StopTask { task: waits });
    assert_eq!(rig.state(waits), TaskState::Stopped);
    let again = rig.try_apply(Command::StopTask { task: waits });
    assert_eq!(again, Err(Refusal::TaskEnded { state: TaskState::Stopped }));
    let a = rig.worker("a", 4);
    let runs = rig.submit(lasting("runs"));
    rig.said(a, runs, TaskWord::Running);
    rig.apply(Command::StopTask { task: runs });
    assert_eq!((rig.state(runs), rig.stops()), (TaskState::Stopping, 1));
    rig.said(a, runs, TaskWord::Running); // it has not heard
    assert_eq!((rig.state(runs), rig.stops()), (TaskState::Stopping, 1));
    rig.apply(disconnect(a));
    rig.pass(11_000);
    assert_eq!(rig.state(runs), TaskState::Stopped, "it is not placed anew");
    assert_eq!(rig.try_apply(Command::StopTask { task: TaskKey(77) }), Err(Refusal::UnknownTask));
}

#[test]
fn only_a_person_leads_out_of_an_end_and_deleting_keeps_what_runs() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let key = rig.submit(task("t"));
    assert_eq!(
        rig.try_apply(Command::StartTask { task: key }),
        Err(Refusal::TaskNotEnded { state: TaskState::Scheduled })
    );
    rig.apply(Command::DeleteTask { task: key });
    assert_eq!(rig.state(key), TaskState::Stopping);
    rig.said(a, key, TaskWord::Stopped);
    rig.tell(a, vec![report(key, 1, TaskWord::Running)]); // late
    assert_eq!((rig.state(key), rig.stops()), (TaskState::Stopped, 1));
    rig.apply(Command::StartTask { task: key });
    assert_eq!((rig.state(key), rig.cluster.task(key).unwrap().attempt), (TaskState::Scheduled, 2));
    rig.said(a, key, TaskWord::Completed);
    rig.apply(Command::DeleteTask { task: key });
    assert!(rig.cluster.task(key).is_none());
    assert_eq!(rig.try_apply(Command::DeleteTask { task: key }), Err(Refusal::UnknownTask));
}

#[test]
fn what_nodes_refuse_is_tried_elsewhere_later_and_for_so_often() {
    let mut rig = Rig::new();
    let nodes = [rig.worker("a", 4), rig.worker("b", 4)];
    let key = rig.submit(task("t"));
    let mut seen = Vec::new();
    for attempt in 1..=4 {
        let node = rig.node_of(key).unwrap();
        seen.push(node);
        rig.apply(Command::TaskRefused { task: key, node, attempt, why: "the port is in use".into() });
        let late = Command::TaskRefused { task: key, node, attempt, why: "late".into() };
        assert_eq!(rig.try_apply(late), Err(Refusal::StaleAttempt));
        if attempt < 4 {
            assert_eq!(rig.state(key), TaskState::Pending);
            rig.pass_beating(1_000 << (attempt - 1), &nodes);
            rig.pass_beating(1_000, &nodes);
        }
    }
    assert_ne!(seen[0], seen[1]);
    assert_eq!(rig.state(key), TaskState::Failed);
    assert_eq!(rig.cluster.task(key).unwrap().progress.reason, "the port is in use");
}

#[test]
fn an_image_that_cannot_be_had_is_a_refusal_and_a_crash_an_end() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let (never, crashed) = (rig.submit(task("never")), rig.submit(task("crashed")));
    let unstarted = Progress { reason: "no such image".into(), ..Progress::default() };
    rig.tell(a, vec![TaskReport { progress: unstarted, ..report(never, 1, TaskWord::Failed) }]);
    assert_eq!((rig.state(never), rig.forgets()), (TaskState::Pending, 1));
    rig.said(a, crashed, TaskWord::Running);
    rig.said(a, crashed, TaskWord::Failed);
    assert_eq!(rig.state(crashed), TaskState::Failed);
}

#[test]
fn what_nobody_knows_is_stopped_and_what_ended_of_it_forgotten() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.tell(a, vec![report(TaskKey(99), 1, TaskWord::Running), report(TaskKey(98), 3, TaskWord::Failed)]);
    assert_eq!((rig.stops(), rig.forgets()), (1, 1));
    assert_eq!(rig.cluster.tasks().count(), 0);
}

#[test]
fn a_task_of_a_node_is_seen_and_never_moved() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.worker("b", 4);
    let local = |word| {
        let spec = Some(Box::new(sized("own", 2)));
        TaskReport { id: "own".into(), spec, ..report(TaskKey(0), 1, word) }
    };
    rig.tell(a, vec![local(TaskWord::Running)]);
    let key = rig.cluster.find_task("own").unwrap().key;
    assert_eq!((rig.state(key), rig.node_of(key)), (TaskState::Running, Some(a.node)));
    assert_eq!(rig.cluster.node(a.node).unwrap().reserved().0, 2 << 30);
    assert_eq!(
        rig.try_apply(Command::StartTask { task: key }),
        Err(Refusal::TaskNotEnded { state: TaskState::Running })
    );
    rig.tell(a, vec![local(TaskWord::Failed)]);
    assert_eq!((rig.state(key), rig.forgets()), (TaskState::Failed, 1), "its node keeps it, and may drop it");
    assert_eq!(rig.try_apply(Command::StartTask { task: key }), Err(Refusal::TaskOfNode));
    assert_eq!(rig.try_apply(Command::DeleteTask { task: key }), Err(Refusal::TaskOfNode));
    rig.tell(a, vec![local(TaskWord::Running)]);
    assert_eq!(rig.cluster.find_task("own").unwrap().state, TaskState::Running);
    rig.apply(disconnect(a));
    rig.pass(11_000);
    assert!(rig.cluster.find_task("own").is_none(), "nothing is known of it while its node is away");
}

#[test]
fn the_same_key_is_the_same_task() {
    let mut rig = Rig::new();
    let keyed = |name| TaskSpec { idempotency_key: Some("k".into()), ..task(name) };
    let one = rig.submit(keyed("one"));
    assert_eq!(rig.submit(keyed("one")), one);
    assert_eq!(rig.cluster.tasks().count(), 1);
    assert_eq!(rig.try_submit(keyed("two")), Err(Refusal::TaskKeyTaken { task: one.to_string() }));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut rig = Rig::with(|limits| {
        limits.tasks_pending = 3;
        limits.tasks_kept = 5;
        limits.tasks_starting = 2;
        limits.tasks_per_node = 3;
        limits.tasks_live = 8;
        limits.task_logs = 2;
    });
    (0..3).for_each(|n| _ = rig.submit(task(&format!("p{n}"))));
    assert_eq!(rig.try_submit(task("more")), Err(Refusal::TooManyPending { limit: 3 }));
    let a = rig.worker("a", 4);
    let placed = |rig: &Rig| rig.cluster.node(a.node).unwrap().tasks().count();
    assert_eq!(placed(&rig), 2, "so many start at once");
    let first = rig.cluster.tasks().next().unwrap().key;
    rig.said(a, first, TaskWord::Running);
    assert_eq!(placed(&rig), 3);
    for n in 0..20 {
        let key = rig.cluster.node(a.node).unwrap().tasks().next().unwrap();
        rig.said(a, key, TaskWord::Completed);
        rig.submit(task(&format!("q{n}")));
    }
    let ended = rig.cluster.tasks().filter(|t| t.state.is_end()).count();
    assert_eq!((ended, rig.cluster.tasks_in(TaskState::Completed), rig.cluster.tasks.logs.len()), (5, 5, 2));
    let mut many = Rig::with(|limits| limits.tasks_live = 8);
    (0..8).for_each(|n| _ = many.submit(task(&format!("t{n}"))));
    assert_eq!(many.try_submit(task("more")), Err(Refusal::TooManyTasks { limit: 8 }));
    let mut big = Rig::with(|limits| limits.task_bytes = 10_000);
    let large = TaskSpec { settings: "x".repeat(20_000).into(), ..task("large") };
    assert_eq!(big.try_submit(large), Err(Refusal::TasksTooBig { limit_bytes: 10_000 }));
}

#[test]
fn a_restart_forgets_nothing_and_waits_for_nodes() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let (runs, ended) = (rig.submit(lasting("runs")), rig.submit(task("ended")));
    rig.said(a, runs, TaskWord::Running);
    rig.said(a, ended, TaskWord::Completed);
    let waits = rig.submit(sized("waits", 64));
    let kept: Vec<LastingTask> = rig.cluster.tasks().filter_map(|t| rig.cluster.lasting_task(t.key)).collect();
    let mut next = Rig::new();
    next.cluster = Cluster::new(Limits::default(), 1 << 40);
    next.cluster.restore_node(spec("a", 4), false);
    kept.into_iter().for_each(|task| next.cluster.restore_task(next.now, task));
    let states = [runs, ended, waits].map(|key| next.state(key));
    assert_eq!(states, [TaskState::Running, TaskState::Completed, TaskState::Pending]);
    next.worker("b", 4);
    assert_eq!(next.cluster.task(runs).unwrap().attempt, 1, "its node has a lease to come back");
    let a = next.rejoin("a", vec![report(runs, 1, TaskWord::Running)]);
    assert_eq!((next.state(runs), next.node_of(runs)), (TaskState::Running, Some(a.node)));
}

#[test]
fn a_withdrawn_task_leaves_nothing() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let key = rig.submit(TaskSpec { restart: Never, ..sized("t", 2) });
    rig.apply(Command::WithdrawTask { task: key });
    assert!(rig.cluster.task(key).is_none());
    assert_eq!((rig.stops(), rig.cluster.node(a.node).unwrap().reserved()), (1, (0, 0.0, 0)));
}
