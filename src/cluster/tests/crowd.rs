//! More calls than a function's instances can take.

use super::*;

/// One instance that takes 40 calls at once, with as many calls on it.
fn full() -> (Rig, Vec<InvocationKey>) {
    let mut rig = Rig::new();
    rig.worker("a", 100);
    rig.put(Revision { concurrency: 40, max: 1, ..http("h") });
    rig.warm("h");
    let running: Vec<InvocationKey> = (0..40).map(|_| rig.invoke("h")).collect();
    assert!(running.iter().all(|call| rig.at(*call).is_some()));
    (rig, running)
}

fn invoke(rig: &mut Rig, name: &str, times: u32) {
    (0..times).for_each(|_| assert!(rig.try_invoke(name).is_ok()));
}

#[test]
fn a_burst_waits_and_all_of_it_is_answered() {
    let (mut rig, running) = full();
    let burst: Vec<InvocationKey> = (0..500).map(|_| rig.invoke("h")).collect();
    running.into_iter().for_each(|call| rig.finish(call));
    for call in burst {
        assert!(rig.at(call).is_some());
        rig.finish(call);
    }
}

#[test]
fn when_it_goes_on_those_that_came_last_go_and_few_wait_from_then_on() {
    let (mut rig, running) = full();
    let waiting: Vec<InvocationKey> = (0..50).map(|_| rig.invoke("h")).collect();
    rig.pass(100);
    rig.apply(Command::Invoke { function: "h".into(), origin: Origin::Caller, wants: None });
    assert!(waiting[..20].iter().all(|call| !rig.over(*call)), "half as many as run");
    assert!(waiting[20..].iter().all(|call| rig.over(*call)));
    assert_eq!(
        rig.told(|e| matches!(e, Event::InvocationFailed { failure: Failure::Crowded { limit: 20 }, .. })),
        31,
        "and this one"
    );
    assert_eq!(rig.try_invoke("h"), Err(Refusal::QueueFull { limit: 20 }));
    rig.finish(running[0]);
    assert!(rig.at(waiting[0]).is_some(), "first come, first served");
    let next = rig.invoke("h");
    assert!(!rig.over(next));
    assert_eq!(
        rig.try_invoke("h"),
        Err(Refusal::QueueFull { limit: 20 }),
        "though the queue was never as full as at first"
    );
}

#[test]
fn however_few_run_eight_may_wait() {
    let mut rig = Rig::new();
    rig.worker("a", 100);
    rig.put(Revision { concurrency: 1, max: 1, ..http("h") });
    rig.warm("h");
    invoke(&mut rig, "h", 1 + 20);
    rig.pass(100);
    rig.apply(Command::Invoke { function: "h".into(), origin: Origin::Caller, wants: None });
    assert_eq!(rig.cluster.function("h").unwrap().queue.len(), 8);
    assert_eq!(rig.try_invoke("h"), Err(Refusal::QueueFull { limit: 8 }));
}

#[test]
fn once_no_call_had_to_wait_for_a_while_a_burst_is_welcome_again() {
    let (mut rig, running) = full();
    let waiting = rig.invoke("h");
    rig.pass(100);
    running.into_iter().chain([waiting]).for_each(|call| rig.finish(call));
    rig.pass(1_001);
    invoke(&mut rig, "h", 300);
    assert_eq!(rig.cluster.function("h").unwrap().queue.len(), 260);
}

#[test]
fn calls_wait_for_what_is_being_started_however_many_they_are() {
    let mut rig = Rig::new();
    rig.worker("a", 100);
    rig.put(Revision { concurrency: 1, max: 2, ..http("h") });
    invoke(&mut rig, "h", 30);
    rig.pass(500);
    invoke(&mut rig, "h", 30);
    assert_eq!(rig.cluster.function("h").unwrap().queue.len(), 60);
}

#[test]
fn jobs_wait_their_turn() {
    let mut rig = Rig::new();
    rig.worker("a", 1);
    rig.put(job("j"));
    invoke(&mut rig, "j", 30);
    rig.pass(500);
    invoke(&mut rig, "j", 30);
    assert_eq!(rig.cluster.function("j").unwrap().queue.len(), 59);
}
