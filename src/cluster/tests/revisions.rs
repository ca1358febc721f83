//! How one revision follows another, and how a function goes back.

use super::*;

fn number(rig: &Rig) -> (u64, u64) {
    let f = rig.cluster.function("h").unwrap();
    (f.current().number, f.newest().number)
}

fn of_revision(rig: &Rig, number: u64) -> Vec<InstanceKey> {
    let of = |i: &&Instance| i.revision.number == number;
    rig.cluster.instances.values().filter(of).map(|i| i.key).collect()
}

fn put_again(rig: &mut Rig, which: Kept) -> Result<(), Refusal> {
    rig.try_apply(Command::PutAgain { function: "h".into(), which, unix_ms: 5, by: String::new() })
}

/// A function with a warm instance, one call that runs and one that waits; and then a new revision.
fn updated() -> (Rig, InstanceKey, InvocationKey, InvocationKey) {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let (old, _) = rig.warm("h");
    let (running, waiting) = (rig.invoke("h"), rig.invoke("h"));
    rig.put(http("h"));
    (rig, old, running, waiting)
}

#[test]
fn a_new_revision_takes_all_new_calls_once_it_answers() {
    let (mut rig, old, running, waiting) = updated();
    assert_eq!(number(&rig), (1, 2));
    assert_eq!(rig.cluster.instance(old).unwrap().state, InstanceState::Warm, "it serves until then");
    rig.ready(rig.starting("h")[0]); // as many as the two calls need
    assert_eq!((number(&rig), of_revision(&rig, 2).len()), ((2, 2), 1), "of at most one");
    assert_eq!(rig.cluster.instance(old).unwrap().state, InstanceState::Draining);
    let held = rig.cluster.invocations[&waiting].held.unwrap();
    assert_ne!(held.instance, Some(old));
    rig.finish(running);
    assert_eq!(rig.instances("h").len(), 1);
}

#[test]
fn as_many_start_as_the_calls_under_way_need_before_it_takes_over() {
    let mut rig = Rig::new();
    rig.worker("a", 100);
    rig.put(Revision { max: 10, ..http("h") });
    let calls: Vec<_> = (0..4).map(|_| rig.invoke("h")).collect();
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    rig.put(Revision { max: 10, ..http("h") });
    rig.ready(of_revision(&rig, 2)[0]);
    assert_eq!((number(&rig), of_revision(&rig, 2).len()), ((1, 2), 4));
    of_revision(&rig, 2).into_iter().skip(1).for_each(|i| rig.ready(i));
    assert_eq!(number(&rig), (2, 2));
    assert!(calls.iter().all(|c| rig.at(*c).is_some()), "those under way go on");
    let next: Vec<_> = (0..4).map(|_| rig.invoke("h")).collect();
    assert!(next.iter().all(|c| rig.at(*c).is_some()), "and nobody waits");
}

#[test]
fn a_revision_that_fails_to_start_leaves_the_old_one_serving() {
    let (mut rig, old, running, waiting) = updated();
    rig.ended(of_revision(&rig, 2)[0], "exit code 7");
    assert_eq!(rig.told(|e| matches!(e, Event::RevisionFailed { serving: 1, .. })), 1);
    let f = rig.cluster.function("h").unwrap();
    assert_eq!((f.failed.as_deref(), f.last_error.as_deref()), (Some("exit code 7"), Some("exit code 7")));
    rig.finish(running);
    assert_eq!(rig.cluster.invocations[&waiting].held.unwrap().instance, Some(old));
    rig.finish(waiting);
    rig.pass(1_000);
    assert!(of_revision(&rig, 2).is_empty(), "it is not tried again by itself");
    // a better one takes over from it
    rig.put(http("h"));
    rig.ready(of_revision(&rig, 3)[0]);
    assert_eq!(number(&rig), (3, 3));
    assert_eq!(rig.cluster.function("h").unwrap().failed, None);
}

#[test]
fn a_new_revision_is_tried_on_several_nodes_before_it_has_failed() {
    let (mut rig, ..) = updated();
    let b = rig.worker("b", 8);
    rig.ended(of_revision(&rig, 2)[0], "exit code 7");
    let second = of_revision(&rig, 2)[0];
    assert_eq!(rig.cluster.instance(second).unwrap().node, b.node);
    rig.ready(second);
    assert_eq!(number(&rig), (2, 2));
}

#[test]
fn calls_wait_for_the_new_one_where_the_old_one_is_cold_and_fall_back_to_it() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { idle_ms: 1_000, ..http("h") });
    rig.warm("h");
    rig.pass_beating(2_000, &[a]);
    assert!(rig.instances("h").is_empty());
    rig.put(http("h"));
    let call = rig.invoke("h");
    assert!(of_revision(&rig, 1).is_empty() && rig.at(call).is_none(), "no start of what is about to go");
    rig.ended(of_revision(&rig, 2)[0], "exit code 7");
    rig.ready(of_revision(&rig, 1)[0]);
    assert_eq!(rig.at(call), Some(a.node));
}

#[test]
fn what_never_answered_is_replaced_at_once() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    rig.put(http("h"));
    assert_eq!((number(&rig), rig.instances("h").len()), ((2, 2), 0));
}

#[test]
fn a_newer_revision_stands_in_for_one_that_still_starts() {
    let (mut rig, old, ..) = updated();
    let second = of_revision(&rig, 2)[0];
    rig.put(http("h"));
    assert!(rig.cluster.instance(second).is_none(), "nobody waits for it any more");
    assert_eq!(rig.cluster.instance(old).unwrap().state, InstanceState::Warm);
    rig.ready(of_revision(&rig, 3)[0]);
    assert_eq!(number(&rig), (3, 3));
}

#[test]
fn an_image_is_looked_at_before_it_takes_over() {
    let mut rig = Rig::new();
    let engines = ["process", "docker"].map(String::from).into();
    let a = rig.join(NodeSpec { engines, ..super::spec("a", 8) }, Vec::new()).unwrap();
    rig.reach(a, Reach::Links);
    let image = |mode| Revision { image: "registry/image:1".into(), mode, ..http("h") };
    rig.put(image(Mode::Http));
    rig.warm("h");
    let unknown = |rig: &mut Rig| {
        rig.put(image(Mode::Auto));
        assert_eq!(rig.told(|e| matches!(e, Event::ModeWanted { node, .. } if *node == a.node)), 1);
        rig.cluster.function("h").unwrap().newest().number
    };
    let (function, node): (Arc<str>, _) = ("h".into(), a.node);
    let revision = unknown(&mut rig);
    let why = "no such image".to_string();
    rig.apply(Command::RevisionFailed { function: function.clone(), revision, node, why });
    assert_eq!(number(&rig), (1, 2));
    let revision = unknown(&mut rig);
    rig.apply(Command::ResolveMode { function, revision, mode: Mode::Http });
    rig.ready(of_revision(&rig, 3)[0]);
    assert_eq!(number(&rig), (3, 3));
}

#[test]
fn rollback_makes_what_was_before_the_newest_again() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { description: "one".into(), ..http("h") });
    rig.warm("h");
    rig.put(Revision { description: "two".into(), ..http("h") });
    rig.ready(of_revision(&rig, 2)[0]);
    put_again(&mut rig, Kept::Before).unwrap();
    rig.ready(of_revision(&rig, 3)[0]);
    let newest = rig.cluster.function("h").unwrap().current().clone();
    assert_eq!((newest.number, newest.description.as_str(), newest.updated_unix_ms), (3, "one", 5));
    // one that does not start: back to what serves, not to what was before that
    rig.put(Revision { description: "broken".into(), ..http("h") });
    rig.ended(of_revision(&rig, 4)[0], "exit code 7");
    put_again(&mut rig, Kept::Before).unwrap();
    assert_eq!(rig.cluster.function("h").unwrap().newest().description, "one");
    put_again(&mut rig, Kept::Number(2)).unwrap();
    let newest = rig.cluster.function("h").unwrap().newest().clone();
    assert_eq!((newest.number, newest.description.as_str()), (6, "two"));
    assert!(matches!(put_again(&mut rig, Kept::Number(99)), Err(Refusal::UnknownRevision { .. })));
}

#[test]
fn scaling_makes_no_revision_and_is_kept_by_rollback() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { max: 5, ..http("h") });
    rig.put(Revision { max: 5, ..http("h") });
    let scale = |min, max, ready| Command::Scale { function: "h".into(), min, max, ready };
    rig.apply(scale(Some(2), None, None));
    assert_eq!((number(&rig), rig.starting("h").len()), ((2, 2), 2));
    rig.starting("h").into_iter().for_each(|i| rig.ready(i));
    rig.apply(scale(Some(0), Some(1), None));
    assert_eq!(rig.instances("h").len(), 1, "never more than the maximum");
    let refused = rig.try_apply(scale(Some(2), None, None));
    assert_eq!(refused, Err(Refusal::BadScale { field: "min", max: 1 }));
    put_again(&mut rig, Kept::Number(1)).unwrap();
    assert_eq!(rig.cluster.function("h").unwrap().newest().max, 1);
}

#[test]
fn what_was_started_before_it_was_scaled_up_stays_when_it_answers() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { min: 1, max: 1, ..http("h") });
    let first = rig.starting("h");
    rig.apply(Command::Scale { function: "h".into(), min: Some(3), max: Some(3), ready: None });
    let more = rig.starting("h").into_iter().filter(|i| !first.contains(i)).collect::<Vec<_>>();
    assert_eq!(more.len(), 2);
    more.into_iter().chain(first).for_each(|i| rig.ready(i));
    assert_eq!(rig.instances("h").len(), 3);
}

#[test]
fn the_revision_that_serves_is_never_forgotten() {
    let mut rig = Rig::with(|limits| limits.revisions_kept = 2);
    rig.worker("a", 8);
    rig.put(http("h"));
    rig.warm("h");
    for _ in 0..5 {
        rig.put(http("h"));
        let newest = rig.cluster.function("h").unwrap().newest().number;
        rig.ended(of_revision(&rig, newest)[0], "exit code 7");
    }
    let kept: Vec<u64> = rig.cluster.function("h").unwrap().revisions.iter().map(|r| r.number).collect();
    assert_eq!(kept, [1, 6]);
}

/// Makes a function what it was, as after a write that could not be kept.
fn undo(rig: &mut Rig, name: &str, before: Lasting) {
    rig.apply(Command::SetFunctions { functions: vec![(name.into(), before)] });
}

#[test]
fn a_revision_that_could_not_be_kept_never_was_and_the_one_before_serves_on() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let (old, _) = rig.warm("h");
    let before = rig.cluster.function("h").unwrap().lasting();
    rig.put(Revision { image: "bundle:other".into(), ..http("h") });
    assert_eq!(rig.starting("h").len(), 1, "the new one is tried");
    undo(&mut rig, "h", before.clone());
    let f = rig.cluster.function("h").unwrap();
    assert_eq!((f.lasting(), f.rolling_out()), (before, false));
    assert_eq!(rig.instances("h").iter().map(|i| i.0).collect::<Vec<_>>(), [old], "and takes calls");
    let call = rig.invoke("h");
    assert!(rig.at(call).is_some());
}

#[test]
fn a_revision_that_took_over_before_it_could_not_be_kept_drains() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    rig.warm("h");
    let before = rig.cluster.function("h").unwrap().lasting();
    rig.put(Revision { image: "bundle:other".into(), ..http("h") });
    let new = rig.starting("h")[0];
    rig.ready(new);
    let running = rig.invoke("h");
    undo(&mut rig, "h", before);
    assert_eq!(rig.cluster.function("h").unwrap().current().number, 1);
    assert_eq!(rig.cluster.instance(new).map(|i| i.state), Some(InstanceState::Draining));
    let call = rig.invoke("h");
    assert!(rig.at(call).is_none() && !rig.starting("h").is_empty(), "it waits for one of the first");
    rig.finish(running);
    assert!(rig.cluster.instance(new).is_none());
}

#[test]
fn bounds_that_could_not_be_kept_are_what_they_were_and_no_instance_goes() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let (instance, _) = rig.warm("h");
    let before = rig.cluster.function("h").unwrap().lasting();
    rig.apply(Command::Scale { function: "h".into(), min: Some(1), max: None, ready: None });
    undo(&mut rig, "h", before.clone());
    assert_eq!(rig.cluster.function("h").unwrap().lasting(), before);
    assert!(rig.instances("h").iter().any(|i| i.0 == instance && i.2 == InstanceState::Warm));
}

#[test]
fn a_maximum_that_could_not_be_kept_is_what_it_was_for_those_that_it_let_in_too() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let before = rig.cluster.function("h").unwrap().lasting();
    rig.apply(Command::Scale { function: "h".into(), min: Some(3), max: Some(3), ready: None });
    let first = rig.starting("h")[0];
    rig.ready(first);
    assert_eq!(rig.instances("h").len(), 3);
    undo(&mut rig, "h", before);
    assert_eq!(rig.instances("h"), [(first, rig.instances("h")[0].1, InstanceState::Warm)]);
}

#[test]
fn what_has_answered_since_is_no_less_proven_for_what_could_not_be_kept() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let before = rig.cluster.function("h").unwrap().lasting();
    assert_eq!(before.serving, None);
    rig.apply(Command::Scale { function: "h".into(), min: None, max: Some(3), ready: None });
    rig.warm("h");
    undo(&mut rig, "h", before);
    rig.put(Revision { image: "bundle:other".into(), ..http("h") });
    let f = rig.cluster.function("h").unwrap();
    assert_eq!((f.current().number, f.rolling_out()), (1, true), "it serves until the new one has answered");
}
