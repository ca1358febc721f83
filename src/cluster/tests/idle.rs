//! What becomes of instances that the load does not need.

use super::*;

fn state(rig: &Rig, instance: InstanceKey) -> Option<InstanceState> {
    rig.cluster.instance(instance).map(|i| i.state)
}

#[test]
fn an_idle_instance_is_frozen_then_stopped_and_a_call_wakes_it() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { freeze_ms: 2_000, idle_ms: 10_000, ..http("h") });
    let (instance, _) = rig.warm("h");
    assert!(rig.pass_beating(1_000, &[a]).is_empty());
    let frozen = rig.pass_beating(1_000, &[a]);
    assert!(matches!(frozen[..], [Event::InstanceFrozen { instance: i, .. }] if i == instance));
    let call = rig.invoke("h");
    assert_eq!((rig.at(call), state(&rig, instance)), (Some(a.node), Some(InstanceState::Warm)));
    assert!(rig.pass_beating(5_000, &[a]).is_empty(), "a call keeps it awake");
    rig.finish(call);
    assert_eq!(rig.pass_beating(9_000, &[a]).len(), 1);
    assert_eq!(state(&rig, instance), Some(InstanceState::Frozen));
    let gone = rig.pass_beating(1_000, &[a]);
    assert!(matches!(gone[..], [Event::InstanceStopping { instance: i, .. }] if i == instance));
}

#[test]
fn one_that_cannot_be_frozen_is_not_asked_again_before_the_next_call() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { freeze_ms: 2_000, ..http("h") });
    let (instance, _) = rig.warm("h");
    rig.pass_beating(2_000, &[a]);
    rig.apply(Command::InstanceAwake { instance });
    assert!(rig.pass_beating(10_000, &[a]).is_empty());
    let call = rig.invoke("h");
    rig.finish(call);
    assert_eq!(rig.pass_beating(2_000, &[a]).len(), 1);
}

#[test]
fn the_minimum_stays_awake_and_the_ready_ones_stay() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { min: 1, ready: 3, max: 5, freeze_ms: 1_000, idle_ms: 5_000, ..http("h") });
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    rig.pass_beating(60_000, &[a]);
    let states = |rig: &Rig| rig.instances("h").iter().map(|i| i.2).collect::<Vec<_>>();
    let count = |rig: &Rig, s| states(rig).iter().filter(|state| **state == s).count();
    assert_eq!((count(&rig, InstanceState::Warm), count(&rig, InstanceState::Frozen)), (1, 2));
    // the one that is awake goes: another wakes in its place, and one more is started
    let warm = rig.instances("h").iter().find(|i| i.2 == InstanceState::Warm).unwrap().0;
    rig.ended(warm, "exit code 1");
    assert_eq!(rig.told(|e| matches!(e, Event::InstanceThawing { .. })), 1);
    assert_eq!((count(&rig, InstanceState::Warm), count(&rig, InstanceState::Frozen)), (1, 1));
    rig.apply(Command::Scale { function: "h".into(), min: Some(2), max: None, ready: None });
    assert_eq!(count(&rig, InstanceState::Warm), 2);
}

#[test]
fn what_the_load_does_not_need_goes_although_calls_still_come() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 100);
    rig.put(Revision { concurrency: 2, max: 10, idle_ms: 5_000, ..http("h") });
    let burst: Vec<_> = (0..10).map(|_| rig.invoke("h")).collect();
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    assert_eq!(rig.instances("h").len(), 5);
    let (kept, over) = burst.split_at(2);
    over.iter().for_each(|c| rig.finish(*c));
    let mut calls = kept.to_vec();
    for _ in 0..20 {
        // two at a time, on as many instances as there are
        calls.push(rig.invoke("h"));
        rig.finish(calls.remove(0));
        rig.pass_beating(1_000, &[a]);
    }
    assert!(rig.instances("h").len() <= 2, "{:?}", rig.instances("h"));
    assert!(calls.iter().all(|c| rig.at(*c).is_some()));
}

#[test]
fn a_node_short_of_memory_gives_up_what_is_missed_least() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    for (name, freeze_ms, min) in [("old", 60_000, 0), ("frozen", 1_000, 0), ("busy", 60_000, 0), ("kept", 60_000, 1)] {
        rig.put(Revision { freeze_ms, min, ..http(name) });
        match min {
            0 => drop(rig.warm(name)),
            _ => rig.ready(rig.starting(name)[0]),
        }
        rig.pass_beating(1_000, &[a]);
    }
    rig.invoke("busy");
    let short = |rig: &mut Rig| {
        let (node, session) = (a.node, a.session);
        rig.apply(Command::Beat { node, session, cpu_percent: Some(10.0), memory_percent: Some(95.0) });
        rig.events.iter().find_map(|e| match e {
            Event::InstanceEvicted { revision, .. } => Some(revision.function.to_string()),
            _ => None,
        })
    };
    assert_eq!(short(&mut rig).as_deref(), Some("frozen"));
    assert_eq!(short(&mut rig).as_deref(), Some("old"));
    assert_eq!(short(&mut rig), None, "neither one that is busy nor one that is to be kept");
}

#[test]
fn one_reported_frozen_is_taken_over_frozen() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(http("h"));
    let (instance, _) = rig.warm("h");
    rig.apply(disconnect(a));
    let found = Reported { instance, function: "h".into(), revision: 1, frozen: true };
    let a = rig.join(super::spec("a", 8), vec![found]).unwrap();
    assert_eq!(state(&rig, instance), Some(InstanceState::Frozen));
    // A call may have woken it since that report was written; there is no way to say so before there is a link.
    let mut link = |reach| {
        rig.reach(a, reach);
        rig.events.iter().filter(|e| matches!(e, Event::InstanceFrozen { .. })).count()
    };
    assert_eq!((link(Reach::None), link(Reach::Links), link(Reach::Links)), (0, 1, 0));
}
