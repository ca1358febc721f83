//! How tasks end: by themselves, too often, too sick, or told to.

use super::Alone;
use crate::harness::wait_for;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_task_runs_to_its_end_and_its_record_stays_until_it_is_removed() {
    let Some(alone) = Alone::start() else { return };
    let id = alone.run("env", json!({"name": "one", "env": {"A": "b"}, "cpu": 0.5, "memory": 64 << 20}));
    let task = alone.wait(&id, "Completed");
    assert_eq!((&task["exit_code"], &task["restarts"], &task["name"]), (&json!(0), &json!(0), &json!("one")));
    assert!(task["started_at"].is_string() && task["ended_at"].is_string() && task["env"]["A"] == "b", "{task}");
    let logs = alone.logs(&id, "");
    assert!(
        logs.contains("A=b") && logs.contains("FROM_IMAGE=1") && logs.contains(&format!("CARES_TASK_ID={id}")),
        "{logs}"
    );
    wait_for("its container is gone", || alone.containers().is_empty());
    assert_eq!(alone.delete(&id).status, 204);
    assert_eq!(alone.delete(&id).status, 404);
}

#[test]
fn a_failure_tells_why() {
    let Some(alone) = Alone::start() else { return };
    let task = alone.wait(&alone.run("fails", json!({})), "Failed");
    assert_eq!(task["exit_code"], 3);
    assert!(task["reason"].as_str().is_some_and(|why| why.contains("exited with code 3")), "{task}");
    assert!(task["last_lines"].as_str().is_some_and(|said| said.contains("this is why it failed")), "{task}");
    let none = alone.wait(&alone.run("none", json!({})), "Failed");
    assert!(none["reason"].as_str().is_some_and(|why| why.contains("`command`")), "{none}");
}

#[test]
fn what_fails_is_started_again_with_growing_waits_up_to_its_limit() {
    let Some(alone) = Alone::start() else { return };
    let policy = json!({"policy": "on-failure", "limit": 2, "backoff_s": 0.3});
    let began = Instant::now();
    let id = alone.run("fails", json!({"restart_policy": policy}));
    let task = alone.wait(&id, "Failed");
    assert!(began.elapsed() > Duration::from_millis(900), "0.3 s, then 0.6 s: {:?}", began.elapsed());
    assert_eq!((&task["restarts"], &task["exit_code"]), (&json!(2), &json!(3)));
    assert!(task["reason"].as_str().is_some_and(|why| why.contains("started again 2 times within")), "{task}");
    assert_eq!(alone.logs(&id, "").matches("this is stdout").count(), 3);
    let well = alone.run("env", json!({"restart_policy": "on-failure"}));
    assert_eq!(alone.wait(&well, "Completed")["restarts"], 0);
}

#[test]
fn a_sick_task_is_started_again_and_a_healthy_one_is_not() {
    let Some(alone) = Alone::start() else { return };
    let check = json!({"kind": "command", "command": ["/p", "fails"], "interval_s": 0.2, "retries": 2});
    let policy = json!({"policy": "always", "limit": 1, "backoff_s": 0.1});
    let sick = alone.run("sleeper", json!({"health_check": check, "restart_policy": policy}));
    let task = alone.wait(&sick, "Failed");
    let why = task["reason"].as_str().unwrap_or_default();
    assert!(task["restarts"] == 1 && why.contains("2 times in a row: the command exited with code 3"), "{task}");
    let ports = json!([{"container": 8080}]);
    for check in [
        json!({"kind": "http", "path": "/well", "interval_s": 0.2}),
        json!({"kind": "tcp", "port": 8080, "interval_s": 0.2}),
        json!({"kind": "command", "command": ["/p", "env"], "interval_s": 0.2}),
    ] {
        let well = alone.run("echo", json!({"health_check": check, "ports": ports}));
        wait_for("it is healthy", || alone.task(&well)["health"] == "healthy");
        assert_eq!(alone.act(&well, "stop").status, 202);
        assert_eq!(alone.wait(&well, "Stopped")["restarts"], 0);
    }
    let deaf = json!({"kind": "tcp", "port": 8080, "interval_s": 0.2, "retries": 2, "timeout_s": 0.5});
    let deaf = alone.run("deaf", json!({"health_check": deaf}));
    assert!(alone.wait(&deaf, "Failed")["reason"].as_str().is_some_and(|why| why.contains("health check failed")));
}

#[test]
fn a_stop_gives_time_and_then_kills() {
    let Some(alone) = Alone::start() else { return };
    let polite = alone.run("sleeper", json!({"stop_grace_s": 30}));
    let stubborn = alone.run("stubborn", json!({"stop_grace_s": 1, "restart_policy": "always"}));
    alone.wait(&polite, "Running");
    wait_for("it is up", || alone.logs(&stubborn, "").contains("up"));
    let began = Instant::now();
    assert_eq!(alone.act(&polite, "stop").status, 202);
    let task = alone.wait(&polite, "Stopped");
    assert!(began.elapsed() < Duration::from_secs(20) && task["exit_code"] == 0, "{:?} {task}", began.elapsed());
    let began = Instant::now();
    let stopping = alone.delete(&stubborn);
    assert_eq!((stopping.status, &stopping.json()["state"]), (202, &json!("Stopping")));
    alone.wait(&stubborn, "Stopped");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    wait_for("no container is left", || alone.containers().is_empty());
    // Once more, by hand.
    assert_eq!(alone.act(&polite, "start").status, 200);
    assert_eq!(alone.wait(&polite, "Running")["attempt"], 2);
}

#[test]
fn one_that_cannot_be_noted_as_started_again_stays_as_it_was() {
    let Some(alone) = Alone::start() else { return };
    let id = alone.run("sleeper", json!({"command": ["0"]}));
    alone.wait(&id, "Completed");
    let (tasks, away) = (alone.dir.path().join("tasks"), alone.dir.path().join("away"));
    std::fs::rename(&tasks, &away).expect("moved");
    let refused = alone.act(&id, "start");
    refused.problem(507, "store_failed");
    assert_eq!(alone.task(&id)["state"], "Completed");
    std::fs::rename(&away, &tasks).expect("moved back");
    assert_eq!(alone.act(&id, "start").status, 200);
    wait_for("it has run again", || alone.task(&id)["attempt"] == 2 && alone.task(&id)["state"] == "Completed");
}
