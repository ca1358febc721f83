//! Functions that somebody stopped, that have no image yet, or that are servers elsewhere.

use super::*;

fn stop(rig: &mut Rig, stopped: bool) {
    rig.apply(Command::SetStopped { function: "h".into(), stopped });
}

#[test]
fn a_stopped_function_ends_and_takes_no_calls_until_it_is_started() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(Revision { min: 1, ..http("h") });
    rig.ready(rig.starting("h")[0]);
    let (running, waiting) = (rig.invoke("h"), rig.invoke("h"));
    stop(&mut rig, true);
    assert_eq!((rig.failures(), rig.over(waiting)), (vec![Failure::Stopped], true));
    assert_eq!(rig.instances("h")[0].2, InstanceState::Draining, "what runs goes on");
    rig.finish(running);
    assert!(rig.instances("h").is_empty());
    assert_eq!(rig.try_invoke("h"), Err(Refusal::Stopped));
    rig.pass_beating(100_000, &[a]);
    assert!(rig.instances("h").is_empty(), "its minimum counts only while it is started");
    stop(&mut rig, false);
    assert_eq!(rig.starting("h").len(), 1);
}

#[test]
fn who_starts_a_function_sees_one_instance_of_it() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { max: 4, ..http("h") });
    stop(&mut rig, false);
    stop(&mut rig, false);
    assert_eq!(rig.starting("h").len(), 1, "and no more however often");
    assert_eq!(rig.told(|e| matches!(e, Event::FunctionStopped { .. })), 0, "nothing has changed");
}

#[test]
fn a_stopped_function_takes_a_new_revision_and_starts_with_it() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(http("h"));
    let (old, node) = rig.warm("h");
    stop(&mut rig, true);
    rig.put(http("h"));
    assert!(rig.instances("h").is_empty());
    let instances = vec![Reported { instance: old, function: "h".into(), revision: 1, frozen: false }];
    rig.apply(Command::Report { node, session: a.session, instances });
    assert!(rig.instances("h").is_empty(), "nor is one taken back");
    stop(&mut rig, false);
    rig.ready(rig.starting("h")[0]);
    assert_eq!(rig.cluster.function("h").unwrap().current().number, 2);
}

#[test]
fn a_stop_survives_a_restart_and_one_that_could_not_be_kept_is_undone() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(http("h"));
    let before = rig.cluster.function("h").unwrap().lasting();
    rig.apply(Command::SetStopped { function: "h".into(), stopped: true });
    let kept = rig.cluster.function("h").unwrap().lasting();
    let mut again = Rig::new();
    again.worker("a", 8);
    again.cluster.restore_function(kept);
    assert_eq!(again.try_invoke("h"), Err(Refusal::Stopped));
    rig.apply(Command::SetFunctions { functions: vec![("h".into(), before)] });
    rig.invoke("h");
}

#[test]
fn calls_of_a_server_elsewhere_count_and_need_no_node() {
    let mut rig = Rig::new();
    rig.put(Revision { image: "http://10.0.0.9:80".into(), calls_at_once: 1, min: 1, ..http("h") });
    let call = rig.invoke("h");
    assert_eq!(rig.told(|e| matches!(e, Event::InvocationElsewhere { .. })), 1);
    assert_eq!(rig.try_invoke("h"), Err(Refusal::TooManyCallsOfFunction { limit: 1, of_its_own: true }));
    rig.finish(call);
    let function = rig.cluster.function("h").unwrap();
    assert_eq!((function.running, function.meter.took.count()), (0, 1));
    let call = rig.invoke("h");
    rig.apply(Command::DeleteFunction { name: "h".into() });
    rig.finish(call);
}

#[test]
fn a_function_without_an_image_waits_for_one() {
    let mut rig = Rig::new();
    rig.worker("a", 8);
    rig.put(Revision { image: String::new(), mode: Mode::Auto, ..http("h") });
    assert_eq!(rig.try_invoke("h"), Err(Refusal::NoImage));
    rig.put(http("h"));
    rig.warm("h");
    rig.put(Revision { image: "http://10.0.0.9:80".into(), ..http("h") });
    assert!(rig.instances("h").is_empty(), "a server that is there takes over at once");
    rig.invoke("h");
}
