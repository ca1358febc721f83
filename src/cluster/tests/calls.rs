//! What becomes of a call.

use super::*;

#[test]
fn slots_are_never_exceeded_and_the_one_who_waited_longest_is_next() {
    let mut rig = Rig::new();
    rig.worker("a", 2);
    rig.put(job("x"));
    rig.put(job("y"));
    let (first, second) = (rig.invoke("x"), rig.invoke("x"));
    let (y, x) = (rig.invoke("y"), rig.invoke("x"));
    assert!(rig.at(first).is_some() && rig.at(second).is_some());
    assert!(rig.at(y).is_none() && rig.at(x).is_none());
    rig.finish(first); // of x: the slot is y's all the same
    assert!(rig.at(y).is_some() && rig.at(x).is_none());
    rig.finish(y);
    assert!(rig.at(x).is_some());
}

#[test]
fn a_first_call_waits_for_a_slot_on_a_full_cluster() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 1);
    rig.put(job("j"));
    rig.put(http("h"));
    let (running, waiting) = (rig.invoke("j"), rig.invoke("h"));
    assert!(rig.instances("h").is_empty());
    rig.finish(running);
    rig.ready(rig.starting("h")[0]);
    assert_eq!(rig.at(waiting), Some(a.node));
}

#[test]
fn job_slots_leave_room_for_http() {
    let mut rig = Rig::new();
    let a = rig.join(NodeSpec { job_slots: 1, ..spec("a", 2) }, Vec::new()).unwrap();
    rig.reach(a, Reach::Links);
    rig.put(job("j"));
    rig.put(http("h"));
    let (one, two) = (rig.invoke("j"), rig.invoke("j"));
    assert!(rig.at(one).is_some() && rig.at(two).is_none());
    rig.warm("h");
    assert!(rig.at(two).is_none());
    rig.finish(one);
    assert!(rig.at(two).is_some());
}

#[test]
fn queues_end() {
    let mut rig = Rig::with(|limits| (limits.queue_per_function, limits.queue_total) = (2, 3));
    rig.worker("a", 1);
    rig.put(job("x"));
    rig.put(job("y"));
    let running = rig.invoke("x");
    let gives_up = rig.invoke("x");
    rig.invoke("x");
    assert_eq!(rig.try_invoke("x"), Err(Refusal::QueueFull { limit: 2 }));
    rig.invoke("y");
    assert_eq!(rig.try_invoke("y"), Err(Refusal::QueueFull { limit: 3 }));
    rig.finish(gives_up); // while it waits: its place is free
    rig.invoke("y");
    assert!(rig.at(running).is_some());
}

#[test]
fn delete_answers_who_waits_and_lets_who_runs_finish() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(http("h"));
    let (instance, _) = rig.warm("h");
    let (running, waiting) = (rig.invoke("h"), rig.invoke("h"));
    rig.apply(Command::DeleteFunction { name: "h".into() });
    assert_eq!(rig.failures(), [Failure::FunctionDeleted]);
    assert!(rig.over(waiting) && !rig.over(running));
    assert_eq!(rig.try_invoke("h"), Err(Refusal::UnknownFunction));
    rig.finish(running);
    assert_eq!(rig.told(|e| matches!(e, Event::InstanceStopping { instance: i, .. } if *i == instance)), 1);
    assert_eq!(rig.cluster.node(a.node).unwrap().running, 0);
}

#[test]
fn a_refused_job_is_tried_elsewhere_and_three_times_at_most() {
    let mut rig = Rig::new();
    for name in ["a", "b", "c", "d"] {
        rig.worker(name, 8);
    }
    rig.put(job("j"));
    let (call, mut tried) = (rig.invoke("j"), BTreeSet::new());
    for _ in 0..2 {
        assert!(tried.insert(rig.at(call)));
        rig.refuse(call);
    }
    assert!(tried.insert(rig.at(call)));
    rig.refuse(call);
    assert_eq!(rig.failures(), [Failure::NotStarted { why: "busy".into() }]);
    assert!(rig.over(call));
}

#[test]
fn a_refused_call_prefers_the_other_instance() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.worker("b", 8);
    rig.put(Revision { max: 2, ..http("h") });
    let calls = [rig.invoke("h"), rig.invoke("h")];
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    calls.into_iter().for_each(|c| rig.finish(c));
    let call = rig.invoke("h");
    let first = rig.at(call);
    rig.refuse(call);
    assert!(rig.at(call).is_some() && rig.at(call) != first);
}

#[test]
fn a_refused_job_does_not_hold_up_others() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 1), rig.worker("b", 1));
    rig.put(job("j"));
    let (one, two) = (rig.invoke("j"), rig.invoke("j"));
    let (on_a, on_b) = if rig.at(one) == Some(a.node) { (one, two) } else { (two, one) };
    rig.refuse(on_a); // waits for b
    let next = rig.invoke("j");
    assert_eq!((rig.at(on_a), rig.at(next)), (None, Some(a.node)));
    rig.apply(cordon(b)); // b is no hope any more
    assert_eq!(rig.failures().len(), 1);
    assert!(rig.over(on_a));
    rig.finish(on_b);
}

#[test]
fn stale_and_doubled_messages_do_nothing() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 2);
    rig.put(job("j"));
    let call = rig.invoke("j");
    rig.finish(call);
    let unknown = Err(Refusal::UnknownInvocation);
    assert_eq!(rig.try_apply(Command::Finish { invocation: call, success: true, took_us: 0 }), unknown);
    assert_eq!(rig.try_apply(Command::Refuse { invocation: call, why: "late".into() }), unknown);
    assert_eq!(rig.try_apply(Command::InstanceReady { instance: InstanceKey(99) }), Err(Refusal::UnknownInstance));
    assert_eq!(
        rig.try_apply(Command::InstanceEnded { instance: InstanceKey(99), why: "late".into() }),
        Err(Refusal::UnknownInstance)
    );
    let waits = Command::Refuse {
        invocation: {
            rig.invoke("j");
            rig.invoke("j");
            rig.invoke("j")
        },
        why: "x".into(),
    };
    assert_eq!(rig.try_apply(waits), unknown, "it was not sent");
    let node = rig.cluster.node(a.node).unwrap();
    assert_eq!((node.running, node.succeeded), (2, 1));
}

#[test]
fn calls_that_are_over_are_kept_with_how_they_ended() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 1);
    rig.put(job("x"));
    let (runs, waits) = (rig.invoke("x"), rig.invoke("x"));
    rig.pass_beating(2_000, &[a]);
    rig.apply(Command::Finish { invocation: waits, success: false, took_us: 1_999_500 }); // its caller left
    rig.apply(Command::Finish { invocation: runs, success: true, took_us: 2_000_400 });
    rig.apply(Command::Invoke { function: "x".into(), origin: Origin::Later, wants: None });
    rig.pass(60_000); // the node is silent: its lease runs out
    let kept: Vec<Ended> = rig.cluster.function("x").unwrap().recent.newest_first().cloned().collect();
    let told: Vec<_> = kept.iter().map(|c| (c.origin.clone(), c.node, c.success)).collect();
    assert_eq!(
        told,
        [(Origin::Later, Some(a.node), false), (Origin::Caller, Some(a.node), true), (Origin::Caller, None, false)]
    );
    assert_eq!((kept[1].invocation, kept[2].invocation), (runs, waits));
    assert_eq!((kept[1].took_us, kept[2].took_us), (2_000_400, 1_999_500));
    assert_eq!(kept[0].took_us, 10_000_000, "told by the core's own clock: the lease");
    assert_eq!(rig.cluster.function("x").unwrap().recent.median_us(), Some(2_000_400));
}
