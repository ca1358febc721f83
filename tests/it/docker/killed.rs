//! Workers killed with -9: after their restart what is still wanted serves on, and nothing else of theirs is left.

use super::{Docked, docker};
use crate::harness::wait_for;
use cares::types::FunctionSpec;
use std::time::{Duration, Instant};

/// For an engine's word of a container to come, and the container to go, on a busy machine; a look without a word is later.
const LATE_GONE: Duration = Duration::from_secs(20);

#[test]
fn what_is_warm_serves_on_after_a_kill_of_the_worker_and_is_not_started_twice() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register("f", "echo");
    docked.call("f", "before");
    let container = docked.container(0);
    let instance = docked.function("f").instances[0].id.clone();
    let started = docker(&["inspect", "--format", "{{.State.StartedAt}}", &container]);
    for _ in 0..3 {
        docked.cluster.workers[0].kill();
        docked.start_again(0);
        assert_eq!(docked.call("f", "after"), "POST / HTTP/1.1\nafter");
        assert_eq!(docked.container(0), container, "the same container");
        assert_eq!(docker(&["inspect", "--format", "{{.State.StartedAt}}", &container]), started);
        let instances = docked.function("f").instances;
        assert_eq!(instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), [instance.as_str()]);
    }
    // It is held like any other: its end is noticed, and it ends with its worker.
    docker(&["kill", &container]);
    wait_for("its end is noticed", || docked.function("f").instances.is_empty());
    docked.call("f", "a new one");
    assert_ne!(docked.container(0), container);
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    docked.leaves_none(0);
}

#[test]
fn what_is_not_wanted_any_more_is_gone_after_a_kill_of_the_worker() {
    let Some(mut docked) = Docked::start(1) else { return };
    for name in ["deleted", "changed", "kept"] {
        docked.register(name, "echo");
        docked.call(name, "");
    }
    docked.cluster.workers[0].kill();
    docked.client().delete_function("deleted").expect("deleted");
    let settings = FunctionSpec { image: "cares-test/other:1".into(), ..FunctionSpec::default() };
    docked.client().replace("changed", &settings).expect("a new revision");
    docked.start_again(0);
    wait_for("only what is wanted is left", || {
        docked.containers(0).len() == 2 && docked.function("changed").serving == 2
    });
    let mut left = docked.containers(0);
    left.sort();
    docked.call("kept", "");
    docked.call("changed", "");
    let mut now = docked.containers(0);
    now.sort();
    assert_eq!(now, left, "they were those that are wanted");
    for (name, image) in [("changed", "other"), ("kept", "echo")] {
        assert!(docked.function(name).instances.iter().all(|i| i.status == "warm"), "{name}");
        let images = left.iter().map(|id| docker(&["inspect", "--format", "{{.Config.Image}}", id]));
        assert_eq!(images.filter(|is| *is == format!("cares-test/{image}:1")).count(), 1, "{name}");
    }
}

#[test]
fn a_job_under_way_is_gone_after_a_kill_of_the_worker() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register("sleeper", "sleeper");
    docked.register("http", "echo");
    docked.call("http", "");
    let warm = docked.container(0);
    let call = docked.cluster.call_aside("sleeper", "");
    wait_for("the job's container is there", || docked.containers(0).len() == 2);
    docked.wait_running(0);
    docked.cluster.workers[0].kill();
    let (status, text, _) = call.join().expect("an answer");
    assert_eq!(status, 502, "{text}");
    docked.start_again(0);
    wait_for("the job's container is gone", || docked.containers(0) == [warm.clone()]);
    docked.call("http", "serves on");
    assert_eq!(docked.container(0), warm);
}

#[test]
fn a_start_under_way_is_gone_after_a_kill_of_the_worker() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register_as("deaf", "deaf", FunctionSpec { timeout_s: Some(5.0), ..FunctionSpec::default() });
    let call = docked.cluster.call_aside("deaf", "");
    let first = docked.wait_running(0);
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    let (status, text, _) = call.join().expect("an answer");
    assert!([502, 503, 504].contains(&status), "{text}");
    docked.wait_none(0);
    assert!(!docked.containers(0).contains(&first));
    docked.register("http", "echo");
    docked.call("http", "the node is fine");
}

#[test]
fn what_the_engine_makes_late_for_a_killed_worker_is_gone_at_once() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register("http", "echo");
    docked.call("http", "");
    let warm = docked.container(0);
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    let node = format!("io.cares.node={}", docked.nodes[0]);
    let labels = ["--label", &node, "--label", "io.cares.id=late", "--label", "io.cares.function=http"];
    let made = Instant::now();
    // Not started: who starts it finds it gone.
    docker(&[&["create"], &labels[..], &["cares-test/echo:1"]].concat());
    wait_for("it is gone", || docked.containers(0) == [warm.clone()]);
    assert!(made.elapsed() < LATE_GONE, "after {:?}", made.elapsed());
    docked.call("http", "serves on");
    assert_eq!(docked.container(0), warm);
}

#[test]
fn many_starts_under_way_leave_nothing_behind_after_a_kill_of_the_worker() {
    let Some(mut docked) = Docked::start(1) else { return };
    let names: Vec<String> = (0..10).map(|n| format!("f{n}")).collect();
    names.iter().for_each(|name| docked.register_as(name, "echo", FunctionSpec::default()));
    let calls: Vec<_> = names.iter().map(|name| docked.cluster.call_aside(name, "x")).collect();
    wait_for("the first are there", || docked.containers(0).len() >= 3);
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    for call in calls {
        let _ = call.join().expect("an answer"); // whichever was under way may have failed
    }
    for name in &names {
        docked.call(name, "y");
    }
    let mut told: Vec<String> =
        names.iter().flat_map(|name| docked.function(name).instances).map(|instance| instance.id).collect();
    told.sort();
    let held = || {
        let ids = docked.containers(0).into_iter();
        let mut ids: Vec<String> =
            ids.map(|id| docker(&["inspect", "--format", r#"{{index .Config.Labels "io.cares.id"}}"#, &id])).collect();
        ids.sort();
        ids
    };
    wait_for("just the instances that are told have containers", || held() == told);
}
