//! How many instances there are, where they are, and how they come and go.

use super::*;

#[test]
fn calls_stay_warm_until_another_node_is_better_by_the_margin() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 8), rig.worker("b", 8));
    rig.put(Revision { concurrency: 10, ..http("h") });
    rig.settle_load(b, 60.0);
    let (first, node) = rig.warm("h");
    assert_eq!(node, a.node);
    // worse by less than the margin of 20 points (CPU counts half): it stays
    rig.settle_load(b, 10.0);
    rig.settle_load(a, 45.0);
    let call = rig.invoke("h");
    assert_eq!((rig.at(call), rig.instances("h").len()), (Some(a.node), 1));
    rig.finish(call);
    // worse by more: this call is served where it is warm, and one starts over there
    rig.settle_load(a, 95.0);
    let call = rig.invoke("h");
    assert_eq!(rig.at(call), Some(a.node));
    let (second, at, state) = rig.instances("h")[1];
    assert_eq!((at, state), (b.node, InstanceState::Starting));
    rig.ready(second);
    let next = rig.invoke("h");
    assert_eq!(rig.at(next), Some(b.node));
    // the old one finishes its call, then goes
    assert_eq!(rig.cluster.instance(first).unwrap().state, InstanceState::Draining);
    rig.finish(call);
    assert_eq!(rig.told(|e| matches!(e, Event::InstanceStopping { instance, .. } if *instance == first)), 1);
    assert_eq!(rig.instances("h").len(), 1);
}

#[test]
fn two_nodes_do_not_hand_a_function_to_and_fro() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 8), rig.worker("b", 8));
    rig.put(http("h"));
    rig.warm("h");
    let mut starts = 0;
    for round in 0..20 {
        let (worse, better) = if round % 2 == 0 { (a, b) } else { (b, a) };
        rig.settle_load(worse, 95.0);
        rig.settle_load(better, 5.0);
        let call = rig.invoke("h");
        if let Some(instance) = rig.starting("h").first().copied() {
            starts += 1;
            rig.ready(instance);
        }
        rig.finish(call);
        rig.pass(100);
    }
    assert_eq!(starts, 1, "within the pause of one take-over");
}

#[test]
fn one_start_serves_all_who_wait() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { concurrency: 8, max: 5, ..http("h") });
    let calls: Vec<_> = (0..5).map(|_| rig.invoke("h")).collect();
    assert_eq!(rig.instances("h").len(), 1);
    assert!(calls.iter().all(|c| rig.at(*c).is_none()));
    rig.ready(rig.starting("h")[0]);
    assert!(calls.iter().all(|c| rig.at(*c) == Some(a.node)));
    rig.ready(rig.instances("h")[0].0); // told twice
    assert!(rig.events.is_empty());
}

#[test]
fn a_failed_start_is_tried_elsewhere_then_all_are_given_the_reason() {
    let mut rig = Rig::new();
    for name in ["a", "b", "c", "d"] {
        rig.worker(name, 8);
    }
    rig.put(Revision { concurrency: 8, ..http("h") });
    let calls = [rig.invoke("h"), rig.invoke("h")];
    let mut tried = BTreeSet::new();
    for attempt in 1..=3 {
        let (instance, node, _) = rig.instances("h")[0];
        assert!(tried.insert(node), "tried twice on one node");
        rig.ended(instance, "exit code 7");
        assert_eq!(rig.failures().len(), if attempt == 3 { 2 } else { 0 });
    }
    let reason = Failure::NotStarted { why: "exit code 7".into() };
    assert_eq!(rig.failures(), [reason.clone(), reason]);
    assert!(calls.iter().all(|c| rig.over(*c)));
    rig.invoke("h"); // and the next call tries again
    assert_eq!(rig.starting("h").len(), 1);
}

#[test]
fn starts_that_all_fail_on_one_node_end() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { max: 5, ..http("h") });
    (0..5).for_each(|_| _ = rig.invoke("h"));
    let mut starts = 0;
    while let Some(instance) = rig.starting("h").first().copied() {
        starts += 1;
        assert!(starts <= 5, "starts for ever");
        rig.ended(instance, "exit code 1");
    }
    assert_eq!(rig.failures().len(), 5);
}

#[test]
fn a_node_where_it_failed_is_tried_again_when_it_is_the_last() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 8), rig.worker("b", 8));
    rig.settle_load(b, 50.0);
    rig.put(http("h"));
    rig.invoke("h");
    rig.ended(rig.starting("h")[0], "exit code 1"); // on a: goes on at b
    assert_eq!(rig.instances("h")[0].1, b.node);
    rig.apply(disconnect(b));
    assert_eq!(rig.failures(), [Failure::NotStarted { why: "exit code 1".into() }]);
    rig.invoke("h");
    assert_eq!(rig.instances("h")[0].1, a.node);
}

#[test]
fn a_crashed_instance_is_replaced_for_those_who_wait() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let (first, _) = rig.warm("h");
    let (running, waiting) = (rig.invoke("h"), rig.invoke("h"));
    rig.ended(first, "exit code 139");
    assert!(rig.told(|e| matches!(e, Event::InstanceEnded { started: true, .. })) == 1 && !rig.over(running));
    rig.finish(running);
    rig.ready(rig.starting("h")[0]);
    assert!(rig.at(waiting).is_some());
}

#[test]
fn idle_instances_go() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { idle_ms: 5_000, ..http("h") });
    let (instance, _) = rig.warm("h");
    let early = rig.pass_beating(4_000, &[a]);
    assert!(early.is_empty());
    let late = rig.pass_beating(1_000, &[a]);
    assert!(matches!(late[..], [Event::InstanceStopping { instance: i, .. }] if i == instance));
    assert!(rig.instances("h").is_empty());
}

#[test]
fn minimum_and_maximum_are_kept() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { min: 2, max: 3, idle_ms: 1_000, ..http("h") });
    assert_eq!(rig.starting("h").len(), 2, "before any call");
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    let calls: Vec<_> = (0..6).map(|_| rig.invoke("h")).collect();
    assert_eq!(rig.instances("h").len(), 3);
    rig.ready(rig.starting("h")[0]);
    calls.into_iter().for_each(|c| rig.finish(c));
    rig.pass_beating(5_000, &[a]);
    assert_eq!(rig.instances("h").len(), 2);
    // one that ends is replaced, later each time it fails
    rig.ended(rig.instances("h")[0].0, "exit code 1");
    assert_eq!(rig.instances("h").len(), 1);
    rig.pass_beating(1_000, &[a]);
    assert_eq!(rig.instances("h").len(), 2);
}

#[test]
fn a_minimum_moves_off_a_drained_node_and_returns_with_a_new_one() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { min: 1, ..http("h") });
    rig.ready(rig.starting("h")[0]);
    rig.apply(drain(a));
    assert!(rig.instances("h").is_empty());
    let b = rig.worker("b", 8);
    assert_eq!(rig.instances("h")[0].1, b.node);
    rig.apply(disconnect(b));
    rig.apply(uncordon(a));
    assert_eq!(rig.instances("h")[0].1, a.node);
}

#[test]
fn one_that_was_told_to_have_ended_does_not_come_back_while_calls_of_it_have_yet_to_end() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { concurrency: 2, ..http("h") });
    let (instance, node) = rig.warm("h");
    let calls = [rig.invoke("h"), rig.invoke("h")];
    rig.ended(instance, "late");
    let found = || vec![Reported { instance, function: "h".into(), revision: 1, frozen: false }];
    let unwanted = |e: &Event| matches!(e, Event::InstancesUnwanted { instances, .. } if instances == &[instance]);
    rig.apply(Command::Report { node, session: a.session, instances: found() });
    assert_eq!((rig.told(unwanted), rig.cluster.instance(instance).is_some()), (1, false));
    calls.into_iter().for_each(|call| rig.finish(call));
    rig.apply(Command::Report { node, session: a.session, instances: found() });
    assert!(rig.cluster.instance(instance).is_some(), "none of its calls is left to be miscounted");
}
