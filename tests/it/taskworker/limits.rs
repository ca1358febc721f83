//! What a worker's task API refuses, and how it lists.

use super::{Alone, TASKS};
use crate::harness::wait_for;
use crate::wire::{ask, connect, get, head, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};

#[test]
fn bad_requests_are_refused_by_name() {
    let Some(alone) = Alone::start() else { return };
    let large = json!({"image": "x", "env": {"A": "x".repeat(1_000_000)}});
    assert!(alone.submit(large).problem(413, "too_large").contains("env"));
    let huge = json!({"image": "x", "env": {"A": "x".repeat(2_000_000)}});
    assert_eq!(alone.submit(huge).status, 413);
    let long = alone.submit(json!({"image": "x", "name": "n".repeat(5_000)}));
    assert!(long.problem(400, "invalid_field").contains("name"));
    assert!(alone.submit(json!({"image": 7})).problem(400, "invalid_field").contains("image"));
    assert!(alone.submit(json!({})).problem(400, "invalid_field").contains("image"));
    post(alone.at, TASKS, "{").problem(400, "invalid_json");
    assert!(
        alone
            .submit(json!({"image": "x", "restart_policy": 3}))
            .problem(400, "invalid_field")
            .contains("restart_policy")
    );
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop"), ("GET", "/logs")] {
        ask(alone.at, method, &format!("{TASKS}/nothing{path}"), &[], b"").problem(404, "task_not_found");
    }
    assert_eq!(ask(alone.at, "PATCH", TASKS, &[], b"").status, 405);
}

#[test]
fn only_what_the_table_allows_is_done() {
    let Some(alone) = Alone::start() else { return };
    let id = alone.run("sleeper", json!({}));
    alone.wait(&id, "Running");
    alone.act(&id, "start").problem(409, "illegal_transition");
    let kept = alone.delete(&id);
    assert_eq!(kept.status, 202, "it is stopped, and its record kept");
    alone.wait(&id, "Stopped");
    assert!(alone.act(&id, "stop").problem(409, "illegal_transition").contains("stopped"));
    assert_eq!(alone.delete(&id).status, 204);
}

#[test]
fn a_task_submitted_twice_with_one_key_is_one() {
    let Some(mut alone) = Alone::start() else { return };
    let task = json!({"image": "cares-test/env:1", "name": "once"}).to_string();
    let submit =
        |alone: &Alone, body: &str| ask(alone.at, "POST", TASKS, &[("Idempotency-Key", "k-1")], body.as_bytes());
    let first = submit(&alone, &task);
    assert_eq!(first.status, 201, "{}", first.text());
    let id = first.json()["id"].clone();
    let second = submit(&alone, &task);
    assert_eq!((second.status, &second.json()["id"]), (200, &id));
    submit(&alone, &task.replace("once", "other")).problem(409, "task_key_reused");
    alone.kill();
    alone.start_again();
    let third = submit(&alone, &task);
    assert_eq!((third.status, &third.json()["id"]), (200, &id), "also at the next worker");
    alone.wait(id.as_str().expect("text"), "Completed");
}

#[test]
fn the_list_comes_in_pages_and_as_it_changes() {
    let Some(alone) = Alone::start() else { return };
    let ids: BTreeSet<String> = (0..3).map(|_| alone.run("env", json!({}))).collect();
    ids.iter().for_each(|id| drop(alone.wait(id, "Completed")));
    let first = get(alone.at, &format!("{TASKS}?limit=2"));
    let next = first.header("link").expect("there is more").to_string();
    let next = next.split_once('>').expect("a link").0.trim_start_matches('<');
    let second = get(alone.at, next);
    let rows = [first.json(), second.json()].into_iter().flat_map(|page| page.as_array().cloned().unwrap_or_default());
    let listed: Vec<String> = rows.map(|row| row["id"].as_str().unwrap_or_default().to_string()).collect();
    assert!(listed.iter().eq(ids.iter()) && second.header("link").is_none(), "{listed:?}");
    get(alone.at, &format!("{TASKS}?limit=0")).problem(400, "invalid_field");
    let mut stream = connect(alone.at);
    stream.write_all((head("GET", &format!("{TASKS}?watch=true"), &[]) + "\r\n").as_bytes()).expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "event: synced"));
    let id = alone.run("sleeper", json!({}));
    assert!(lines.any(|line| line.contains(&id) && line.contains("Running")));
    assert_eq!(alone.delete(&id).status, 202);
    assert!(lines.any(|line| line.contains(&id) && line.contains("Stopped")));
    assert_eq!(alone.delete(&id).status, 204);
    assert!(lines.any(|line| line == "event: gone"));
}

#[test]
fn the_worker_tells_what_it_is_and_uses() {
    let Some(alone) = Alone::start() else { return };
    let of = |what: &str| -> Value { get(alone.at, &format!("/api/v1/worker/{what}")).json() };
    assert_ne!(of("metrics")["uptime"], 0, "it is counted from the start, not from the first question");
    let id = alone.run("sleeper", json!({}));
    alone.wait(&id, "Running");
    let metrics = of("metrics");
    assert_eq!((&metrics["task_count"], &metrics["tasks_running"]), (&json!(1), &json!(1)), "{metrics}");
    let positive = |name: &str| metrics[name].as_u64().is_some_and(|n| n > 0);
    assert!(["memory_total", "disk_total", "uptime"].into_iter().all(positive), "{metrics}");
    let status = of("status");
    assert_eq!((&status["status"], &status["tasks"][0]["id"]), (&json!("busy"), &json!(id)), "{status}");
    assert_eq!(of("info")["id"], json!(alone.node));
    assert_eq!(alone.act(&id, "stop").status, 202);
    wait_for("it has nothing to do", || of("status")["status"] == "idle");
}
