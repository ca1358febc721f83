//! Tasks that go on: over a kill of their worker, with ports, logs and volumes of their own.

use super::{Alone, TASKS};
use crate::docker::docker;
use crate::harness::wait_for;
use crate::wire::{connect, get, head};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;

#[test]
fn tasks_outlive_a_kill_of_their_worker_and_what_ended_meanwhile_is_told() {
    let Some(mut alone) = Alone::start() else { return };
    let stays = alone.run("echo", json!({"ports": [{"container": 8080}]}));
    alone.wait(&stays, "Running");
    wait_for("it listens", || alone.logs(&stays, "").contains("listening"));
    let container = alone.containers();
    let (ends, fails) = (
        alone.run("sleeper", json!({"command": ["1"]})),
        alone.run(
            "echo",
            json!({"ports": [{"container": 8080}], "restart_policy": {"policy": "always", "backoff_s": 0.1}}),
        ),
    );
    alone.wait(&ends, "Running");
    alone.wait(&fails, "Running");
    alone.kill();
    wait_for("one has ended", || {
        let ended = docker(&[
            "ps",
            "--all",
            "--quiet",
            "--filter",
            &format!("label=io.cares.node={}", alone.node),
            "--filter",
            "status=exited",
        ]);
        !ended.is_empty()
    });
    alone.start_again();
    assert_eq!(alone.wait(&ends, "Completed")["exit_code"], 0);
    let task = alone.wait(&stays, "Running");
    assert_eq!((&task["restarts"], alone.containers().contains(&container[0])), (&json!(0), true));
    let port = task["ports"][0]["host"].as_u64().expect("a port");
    assert_eq!(get(SocketAddr::new(alone.at.ip(), port.try_into().expect("a port")), "/still").status, 200);
    wait_for("its log is read on", || alone.logs(&stays, "").contains("GET /still"));
    assert!(alone.logs(&stays, "").contains("listening"), "what it said before is there too");
    // Held like any other.
    docker(&["kill", &container[0]]);
    assert!(alone.wait(&stays, "Failed")["reason"].as_str().is_some_and(|why| why.contains("by hand")));
    assert_eq!(alone.act(&fails, "stop").status, 202);
    alone.wait(&fails, "Stopped");
    wait_for("no container is left", || alone.containers().is_empty());
}

#[test]
fn a_worker_that_is_told_to_end_leaves_no_container_and_its_tasks_go_on_with_the_next() {
    let Some(mut alone) = Alone::start() else { return };
    let once = alone.run("sleeper", json!({}));
    let again = alone.run("sleeper", json!({"restart_policy": "on-failure"}));
    alone.wait(&once, "Running");
    alone.wait(&again, "Running");
    let worker = alone.worker.take().expect("it runs");
    worker.signal("TERM");
    wait_for("no container is left", || alone.containers().is_empty());
    drop(worker);
    alone.start_again();
    assert!(alone.wait(&once, "Failed")["reason"].as_str().is_some_and(|why| why.contains("its worker ended")));
    assert_eq!(alone.wait(&again, "Running")["restarts"], 1);
}

#[test]
fn a_port_belongs_to_one() {
    let Some(alone) = Alone::start() else { return };
    let free = crate::harness::free_address().port();
    let ports = json!({"ports": [{"container": 8080, "host": free}]});
    let id = alone.run("echo", ports.clone());
    alone.wait(&id, "Running");
    let at = SocketAddr::new(alone.at.ip(), free);
    wait_for("it answers there", || {
        std::net::TcpStream::connect(at).is_ok() && alone.logs(&id, "").contains("listening")
    });
    assert!(get(at, "/x").text().contains("GET /x"));
    let mut second = ports.clone();
    second["image"] = json!("cares-test/echo:1");
    assert!(alone.submit(second.clone()).problem(409, "port_in_use").contains(&free.to_string()));
    assert_eq!(alone.act(&id, "stop").status, 202);
    alone.wait(&id, "Stopped");
    let other = std::net::TcpListener::bind(at).expect("it is free now");
    assert!(alone.submit(second).problem(409, "port_in_use").contains(&free.to_string()));
    alone.act(&id, "start").problem(409, "port_in_use");
    drop(other);
    assert_eq!(alone.act(&id, "start").status, 200);
    alone.wait(&id, "Running");
}

#[test]
fn logs_are_given_by_their_end_by_time_and_as_they_come() {
    let Some(alone) = Alone::start() else { return };
    let id = alone.run("echo", json!({"ports": [{"container": 8080}]}));
    let port = alone.wait(&id, "Running")["ports"][0]["host"].as_u64().expect("a port");
    let at = SocketAddr::new(alone.at.ip(), port.try_into().expect("a port"));
    wait_for("it listens", || alone.logs(&id, "").contains("listening"));
    assert_eq!(get(at, "/one").status, 200);
    wait_for("it is logged", || alone.logs(&id, "").contains("/one"));
    assert!(!alone.logs(&id, "tail=1").contains("listening") && alone.logs(&id, "tail=1").contains("/one"));
    assert!(alone.logs(&id, "since=2020-01-01T00:00:00Z").contains("listening"));
    assert_eq!(alone.logs(&id, "since=2099-01-01T00:00:00Z"), "");
    get(alone.at, &format!("{TASKS}/{id}/logs?since=soon")).problem(400, "invalid_field");
    get(alone.at, &format!("{TASKS}/{id}/logs?tail=-1")).problem(400, "invalid_field");
    let mut stream = connect(alone.at);
    let ask =
        head("GET", &format!("{TASKS}/{id}/logs?follow=true&tail=0&format=json"), &[("Connection", "close")]) + "\r\n";
    stream.write_all(ask.as_bytes()).expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.is_empty()), "the head has come, so it is followed");
    assert_eq!(get(at, "/two").status, 200);
    assert!(lines.any(|line| line.contains("/two") && line.contains("\"stream\":\"stdout\"")));
    assert_eq!(alone.act(&id, "stop").status, 202);
    assert!(!lines.any(|line| line.contains("/one")), "it ends with the task");
    alone.wait(&id, "Stopped");
    // Also at the next worker.
    let mut alone = alone;
    alone.kill();
    alone.start_again();
    assert!(alone.logs(&id, "").contains("/two") && !alone.logs(&id, "tail=1").contains("/one"));
}

#[test]
fn a_volume_outlives_its_task() {
    let Some(alone) = Alone::start() else { return };
    let id = alone.run("sleeper", json!({"volumes": [{"name": "kept", "path": "/data"}], "command": ["0"]}));
    alone.wait(&id, "Completed");
    let name = format!("cares-{}-kept", alone.node);
    let label = docker(&["volume", "inspect", "--format", "{{index .Labels \"io.cares.volume\"}}", &name]);
    assert_eq!(label, "kept");
    wait_for("its container is gone", || alone.containers().is_empty());
    docker(&["volume", "rm", &name]);
}
