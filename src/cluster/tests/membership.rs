//! How nodes come, stay and go.

use super::*;

#[test]
fn a_silent_node_is_lost_in_time_and_its_calls_are_answered() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    rig.load(b, 99.0);
    rig.put(job("j"));
    let call = rig.invoke("j");
    assert_eq!(rig.at(call), Some(a.node));
    let events = rig.pass_beating(9_000, &[b]);
    assert!(events.is_empty(), "{events:?}");
    let events = rig.pass_beating(1_000, &[b]);
    assert!(matches!(&events[0], Event::NodeLost { node, .. } if *node == a.node), "{events:?}");
    let lost = Failure::NodeLost { node: "a".into() };
    assert!(matches!(&events[1], Event::InvocationFailed { failure, .. } if *failure == lost));
    assert_eq!((rig.status(a), rig.status(b)), (NodeStatus::Disconnected, NodeStatus::Active));
}

#[test]
fn nothing_moves_to_a_node_that_is_lost_at_the_same_time() {
    let mut rig = Rig::new();
    let nodes = [rig.worker("a", 1), rig.worker("b", 1)];
    rig.put(job("j"));
    let calls: Vec<_> = (0..4).map(|_| rig.invoke("j")).collect();
    let events = rig.pass(20_000);
    assert!(!events.iter().any(|e| matches!(e, Event::InvocationAssigned(_))));
    assert!(calls.iter().all(|c| rig.over(*c)));
    assert!(nodes.iter().all(|n| rig.status(*n) == NodeStatus::Disconnected));
}

#[test]
fn a_node_that_returns_keeps_its_row_and_its_old_session_is_refused() {
    let mut rig = Rig::new();
    let old = rig.worker("a", 4);
    rig.apply(disconnect(old));
    let new = rig.worker("a", 4);
    assert_eq!((old.node, rig.cluster.nodes().count()), (new.node, 1));
    assert!(new.session > old.session);
    for late in [
        disconnect(old),
        Command::Beat { node: old.node, session: old.session, cpu_percent: None, memory_percent: None },
        Command::SetReach { node: old.node, session: old.session, reach: Reach::None },
        Command::Leave { node: old.node, session: old.session },
    ] {
        assert_eq!(rig.try_apply(late), Err(Refusal::StaleSession));
    }
    assert_eq!(rig.status(new), NodeStatus::Active);
}

#[test]
fn a_join_over_a_session_that_has_not_ended_settles_it() {
    let mut rig = Rig::new();
    rig.worker("a", 4);
    rig.put(job("j"));
    let call = rig.invoke("j");
    let again = rig.join(spec("a", 2), Vec::new()).unwrap();
    assert!(rig.over(call));
    let node = rig.cluster.node(again.node).unwrap();
    assert_eq!((node.running, node.spec.slots, node.reach), (0, 2, Reach::None));
}

#[test]
fn a_name_belongs_to_one_node() {
    let mut rig = Rig::new();
    let first = rig.worker("a", 4);
    let namesake = NodeSpec { id: "another".into(), ..spec("a", 4) };
    let refused = rig.join(namesake.clone(), Vec::new());
    assert_eq!(refused, Err(Refusal::NodeNameTaken { name: "a".into(), by: "id-a".into() }));
    rig.apply(disconnect(first));
    let second = rig.join(namesake, Vec::new()).unwrap(); // a machine set up anew
    assert_ne!(first.node, second.node);
    assert_eq!(rig.cluster.nodes().count(), 1);
}

#[test]
fn a_returning_node_keeps_instances_that_are_of_use() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.put(http("h"));
    let (kept, _) = rig.warm("h");
    rig.apply(disconnect(a));
    let report =
        |instance, function: &str, revision| Reported { instance, function: function.into(), revision, frozen: false };
    let reported = vec![
        report(kept, "h", 1),
        report(kept, "h", 1),           // twice
        report(InstanceKey(1), "h", 1), // more than the maximum
        report(InstanceKey(2), "gone", 1),
        report(InstanceKey(3), "h", 7), // a revision that never was
    ];
    rig.apply(Command::Join { spec: spec("a", 4), instances: reported, tasks: Vec::new() });
    let unwanted = rig.events.iter().filter_map(|e| match e {
        Event::InstancesUnwanted { instances, .. } => Some(instances.clone()),
        _ => None,
    });
    let unwanted: Vec<_> = unwanted.collect();
    assert_eq!(unwanted, [[1, 2, 3].map(InstanceKey)]);
    assert_eq!(rig.told(|e| matches!(e, Event::InstanceStopping { .. })), 0);
    assert_eq!(rig.instances("h"), [(kept, a.node, InstanceState::Warm)]);
}

#[test]
fn an_instance_of_a_deleted_namesake_is_not_kept() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.put(http("h"));
    let (stale, _) = rig.warm("h");
    rig.apply(disconnect(a));
    rig.apply(Command::DeleteFunction { name: "h".into() });
    rig.put(http("h")); // other code, and its revision is 1 again
    let reported = vec![Reported { instance: stale, function: "h".into(), revision: 1, frozen: false }];
    rig.apply(Command::Join { spec: spec("a", 4), instances: reported, tasks: Vec::new() });
    assert!(rig.instances("h").is_empty());
}

#[test]
fn a_restarted_orchestrator_takes_its_nodes_instances_back() {
    let mut rig = Rig::new();
    rig.worker("a", 4);
    rig.put(http("h"));
    let (kept, _) = rig.warm("h");
    let mut next = Cluster::new(Limits::default(), 1 << 32);
    next.restore_node(spec("a", 4), true);
    let known = rig.cluster.function("h").unwrap();
    next.restore_function(known.lasting());
    rig.cluster = next;
    let a = rig
        .join(spec("a", 4), vec![Reported { instance: kept, function: "h".into(), revision: 1, frozen: false }])
        .unwrap();
    assert_eq!(rig.instances("h"), [(kept, a.node, InstanceState::Warm)]);
    assert!(rig.cluster.node(a.node).unwrap().cordoned, "outlives a restart");
}

#[test]
fn what_a_restarted_orchestrator_never_had_is_not_taken_for_what_has_its_number_now() {
    for deleted in [true, false] {
        let mut rig = Rig::new();
        let a = rig.worker("a", 4);
        rig.put(http("h"));
        let before = rig.cluster.function("h").unwrap().lasting();
        rig.put(Revision { image: "bundle:def".into(), ..http("h") });
        let (stale, _) = rig.warm("h");
        let number = rig.cluster.instance(stale).unwrap().revision.number;
        rig.apply(disconnect(a));
        let kept = match deleted {
            // both are on disk: that it was deleted, and its namesake, which has come as far
            true => {
                rig.apply(Command::DeleteFunction { name: "h".into() });
                rig.put(http("h"));
                rig.put(Revision { image: "bundle:ghi".into(), ..http("h") });
                rig.cluster.function("h").unwrap().lasting()
            }
            false => before, // it ended before the second revision was on disk
        };
        let mut next = Cluster::new(Limits::default(), 1 << 32);
        next.restore_node(spec("a", 4), false);
        next.restore_function(kept);
        rig.cluster = next;
        if !deleted {
            rig.put(Revision { image: "bundle:ghi".into(), ..http("h") });
        }
        assert_eq!(rig.cluster.function("h").unwrap().newest().number, number);
        let found = Reported { instance: stale, function: "h".into(), revision: number, frozen: false };
        rig.apply(Command::Join { spec: spec("a", 4), instances: vec![found], tasks: Vec::new() });
        assert_eq!(rig.told(|e| matches!(e, Event::InstancesUnwanted { .. })), 1, "deleted: {deleted}");
        assert!(rig.instances("h").is_empty());
    }
}

#[test]
fn a_cordoned_node_serves_what_is_warm_and_gets_nothing_new() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.put(http("h"));
    rig.put(job("j"));
    rig.warm("h");
    rig.apply(cordon(a));
    let call = rig.invoke("h");
    assert_eq!(rig.at(call), Some(a.node));
    assert!(matches!(rig.try_invoke("j"), Err(Refusal::NoNode { .. })));
    rig.apply(uncordon(a));
    rig.invoke("j");
}

#[test]
fn jobs_that_wait_for_a_node_alone_are_told_when_it_is_cordoned() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 1);
    rig.put(job("j"));
    let (running, waiting) = (rig.invoke("j"), rig.invoke("j"));
    rig.apply(cordon(a));
    assert!(matches!(rig.failures()[..], [Failure::NoNode { .. }]));
    assert!(rig.over(waiting) && !rig.over(running));
}

#[test]
fn a_drained_node_finishes_what_it_has_and_says_so_once() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    rig.load(b, 90.0);
    rig.put(job("j"));
    rig.put(http("h"));
    rig.warm("h");
    let (running, served) = (rig.invoke("j"), rig.invoke("h"));
    rig.apply(drain(a));
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 0);
    let elsewhere = rig.invoke("j");
    assert_eq!(rig.at(elsewhere), Some(b.node));
    rig.finish(running);
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 0);
    rig.finish(served);
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 1);
    rig.apply(drain(a));
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 0);
    rig.apply(uncordon(a));
    rig.settle_load(a, 5.0);
    let back = rig.invoke("j");
    assert_eq!((rig.status(a), rig.at(back)), (NodeStatus::Active, Some(a.node)));
}

#[test]
fn a_call_that_waits_for_a_start_is_served_elsewhere_when_that_node_is_drained() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    rig.load(b, 90.0);
    rig.put(http("h"));
    let call = rig.invoke("h");
    assert_eq!(rig.instances("h")[0].1, a.node);
    rig.apply(drain(a));
    rig.ready(rig.starting("h")[0]);
    assert_eq!(rig.at(call), Some(b.node));
}

#[test]
fn a_node_that_leaves_is_told_when_it_may_and_is_not_called_lost() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.put(job("j"));
    let call = rig.invoke("j");
    rig.apply(Command::Leave { node: a.node, session: a.session });
    rig.finish(call);
    assert_eq!(rig.told(|e| matches!(e, Event::NodeDrained { .. })), 1);
    rig.apply(uncordon(a)); // too late to keep it
    assert_eq!(rig.status(a), NodeStatus::Draining);
    assert_eq!(rig.try_apply(Command::RemoveNode { node: a.node }), Err(Refusal::NodeConnected));
    rig.apply(disconnect(a));
    assert!(matches!(rig.events[..], [Event::NodeLeft { .. }]));
    assert_eq!(rig.try_apply(drain(a)), Err(Refusal::NodeDisconnected));
    rig.apply(Command::RemoveNode { node: a.node });
    assert_eq!(rig.cluster.nodes().count(), 0);
}

#[test]
fn limits_on_nodes_and_functions() {
    let mut rig = Rig::with(|limits| (limits.max_nodes, limits.max_functions) = (1, 1));
    rig.worker("a", 4);
    assert_eq!(rig.join(spec("b", 4), Vec::new()), Err(Refusal::TooManyNodes { limit: 1 }));
    rig.worker("a", 4); // the same again is not one more
    rig.put(job("j"));
    rig.put(job("j"));
    let put = |put, name| Command::PutFunction { revision: Box::new(job(name)), put };
    assert_eq!(rig.try_apply(put(Put::Any, "k")), Err(Refusal::TooManyFunctions { limit: 1 }));
    assert_eq!(rig.try_apply(put(Put::Create, "j")), Err(Refusal::FunctionNameTaken));
    assert_eq!(rig.try_apply(put(Put::Replace, "k")), Err(Refusal::UnknownFunction));
}

#[test]
fn a_revoked_node_is_gone_and_stays_out() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.apply(Command::Revoke { node: a.node });
    let events = std::mem::take(&mut rig.events);
    assert!(events.iter().any(|e| matches!(e, Event::NodeRevoked { node } if *node == a.node)), "{events:?}");
    assert!(events.iter().any(|e| matches!(e, Event::NodeLost { .. })), "{events:?}");
    let again = Command::Join { spec: spec("a", 4), instances: Vec::new(), tasks: Vec::new() };
    assert_eq!(rig.try_apply(again), Err(Refusal::NodeRevoked));
    rig.apply(Command::Revoke { node: a.node });
    assert!(rig.events.is_empty(), "{:?}", rig.events);
    rig.apply(Command::RemoveNode { node: a.node });
}

#[test]
fn what_of_its_disk_is_used_is_what_the_node_said_last_in_this_session() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let told = |bytes, at: Joined| Command::SetDiskUsed { node: at.node, session: at.session, bytes };
    let used = |rig: &Rig| rig.cluster.node(a.node).map(|node| node.disk_used);
    assert_eq!(used(&rig), Some(0));
    rig.apply(told(7, a));
    rig.apply(told(9, a));
    assert_eq!(used(&rig), Some(9));
    let again = rig.join(spec("a", 4), Vec::new()).unwrap();
    assert!(matches!(rig.try_apply(told(7, a)), Err(Refusal::StaleSession)));
    rig.apply(told(5, again));
    assert_eq!(used(&rig), Some(5));
}

#[test]
fn pulls_are_what_the_node_said_last_in_this_session() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    let pull = Pull { image: "x".into(), layers: 3, layers_done: 1, bytes: 9, bytes_done: 2 };
    let told = |pulls: &[&Pull], at: Joined| Command::SetPulls {
        node: at.node,
        session: at.session,
        pulls: pulls.iter().map(|pull| (*pull).clone()).collect(),
    };
    let pulled = |rig: &Rig| rig.cluster.node(a.node).and_then(|node| node.pull_of("x").cloned());
    rig.apply(told(&[&pull], a));
    assert_eq!(pulled(&rig), Some(pull.clone()));
    rig.apply(told(&[], a));
    assert_eq!(pulled(&rig), None);
    rig.apply(told(&[&pull], a));
    let again = rig.join(spec("a", 4), Vec::new()).unwrap();
    assert_eq!(pulled(&rig), None, "the worker says it anew");
    assert!(matches!(rig.try_apply(told(&[&pull], a)), Err(Refusal::StaleSession)));
    rig.apply(told(&[&pull], again));
    rig.apply(Command::Disconnect { node: again.node, session: again.session, why: "gone".into() });
    assert_eq!(pulled(&rig), None, "nobody knows how it goes on");
}

#[test]
fn a_node_that_says_it_has_instances_and_is_of_a_kind_that_has_none_gets_no_calls_for_them() {
    for reach in [Reach::FirstGeneration, Reach::Http, Reach::Links] {
        let mut rig = Rig::new();
        let a = rig.worker("a", 4);
        rig.put(http("h"));
        let (instance, _) = rig.warm("h");
        rig.apply(disconnect(a));
        let found = Reported { instance, function: "h".into(), revision: 1, frozen: false };
        let a = rig.join(spec("a", 4), vec![found]).unwrap();
        rig.reach(a, reach);
        let kept = reach == Reach::Links;
        assert_eq!((rig.instances("h").len(), rig.try_invoke("h").is_ok()), (usize::from(kept), kept), "{reach:?}");
    }
}
