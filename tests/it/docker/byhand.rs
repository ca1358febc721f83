//! Containers that someone handles with the engine's own tools: noticed soon, told with the reason, and replaced.

use super::{Docked, SOON, docker};
use crate::harness::wait_for;
use cares::types::Event;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// Reads the events along.
fn events(docked: &Docked) -> Arc<Mutex<Vec<Event>>> {
    let stream = docked.client().events(None).expect("a stream");
    let read = Arc::new(Mutex::new(Vec::new()));
    let into = read.clone();
    thread::spawn(move || stream.map_while(Result::ok).for_each(|event| into.lock().unwrap().push(event)));
    read
}

/// Does this to the container of a warm function; the event must come soon and name the reason, and the next call work.
fn told_after(command: &[&str], reason: &str) {
    let Some(docked) = Docked::start(1) else { return };
    let told = events(&docked);
    docked.register("f", "echo");
    docked.call("f", "first");
    let container = docked.container(0);
    docker(&[command, &[&container]].concat());
    let done = Instant::now();
    let of_end = |event: &Event| event.kind == "instance.ended" && event.message.contains(reason);
    wait_for(&format!("instance.ended with '{reason}' is told"), || told.lock().unwrap().iter().any(of_end));
    let took = done.elapsed();
    assert!(took < SOON, "{took:?}");
    assert!(docked.function("f").instances.is_empty());
    assert_eq!(docked.call("f", "next"), "POST / HTTP/1.1\nnext");
    docked.wait_replaced(0, &container);
}

#[test]
fn one_stopped_by_hand_is_told_and_replaced() {
    told_after(&["stop"], "was stopped by hand on its node");
}

#[test]
fn one_removed_by_hand_is_told_and_replaced() {
    told_after(&["rm", "--force"], "was removed by hand on its node");
}

#[test]
fn one_paused_by_hand_is_told_and_replaced() {
    told_after(&["pause"], "was paused by hand on its node");
}

#[test]
fn one_killed_by_hand_is_told_and_replaced() {
    told_after(&["kill"], "was stopped by hand on its node");
}

#[test]
fn one_restarted_by_hand_is_told_and_replaced() {
    told_after(&["restart"], "was stopped by hand on its node");
}

#[test]
fn one_whose_health_check_fails_is_told_and_replaced() {
    let Some(docked) = Docked::start(1) else { return };
    let told = events(&docked);
    docked.register("f", "checked");
    docked.call("f", "first");
    let container = docked.container(0);
    assert_eq!(docked.post("f/sick", "").status, 200);
    let of_end = |event: &Event| event.kind == "instance.ended" && event.message.contains("failed the health check");
    wait_for("its end is told", || told.lock().unwrap().iter().any(of_end));
    assert_eq!(docked.call("f", "next"), "POST / HTTP/1.1\nnext");
    docked.wait_replaced(0, &container);
}

#[test]
fn a_job_whose_container_is_killed_by_hand_is_a_502_soon() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register("sleeper", "sleeper");
    let call = docked.cluster.call_aside("sleeper", "");
    let container = docked.wait_running(0);
    docker(&["kill", &container]);
    let done = Instant::now();
    let (status, text, at) = call.join().expect("an answer");
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("function_failed") && text.contains("by hand"), "{text}");
    assert!(at.saturating_duration_since(done) < SOON);
    docked.wait_none(0);
}

#[test]
fn one_that_ends_itself_is_told_with_its_code_and_words() {
    let Some(docked) = Docked::start(1) else { return };
    let told = events(&docked);
    docked.register("f", "echo");
    docked.call("f", "");
    docked.post("f/exit/5", "").problem(502, "function_failed");
    let says = |event: &Event| event.message.contains("code 5") && event.message.contains("told to exit");
    wait_for("its end is told", || told.lock().unwrap().iter().any(says));
    assert_eq!(docked.call("f", "next"), "POST / HTTP/1.1\nnext");
}
