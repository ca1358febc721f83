//! Tasks through the manager: submitted, run, stopped, moved and kept, with the real `cares`. Those of bundles run on any
//! machine; those of images say so and pass where there is no engine, unless CARES_REQUIRE_DOCKER=1.

use crate::browser::{Browser, browser_is_there};
use crate::harness::{Cluster, PATIENCE, cares, run, wait_for, wait_for_some};
use crate::wire::{Reply, ask, get, post};
use cares::client::Tasks;
use cares::types::{RestartPolicy, TaskPhase, TaskRequest, TaskStatus};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

mod contended;
mod docker;
mod left;
mod many;
mod pulling;

const TASKS: &str = "/api/v1/manager/tasks";

/// Writes a word, then runs until it is told to end.
const SERVICE: &str = "echo up; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";

impl Cluster {
    /// A bundle whose command is this script, as a task.
    pub fn scripted(&self, name: &str, script: &str) -> TaskRequest {
        self.deploy_script(name, script);
        let function = self.client.function(name).expect("it is there");
        TaskRequest { image: function.image, command: function.command, ..Default::default() }
    }

    pub fn submit(&self, task: &TaskRequest) -> String {
        self.client.submit_task(task).expect("taken").id
    }

    pub fn wait_task(&self, id: &str, what: &str, is_so: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        wait_for_some(&format!("task {id}: {what}"), || self.client.task(id).ok().filter(|task| is_so(task)))
    }

    pub fn wait_phase(&self, id: &str, phase: TaskPhase) -> TaskStatus {
        wait_for_some(&format!("task {id} is {phase}"), || {
            let task = self.client.task(id).ok()?;
            assert!(!task.state.ended() || task.state == phase, "{task:?}");
            (task.state == phase).then_some(task)
        })
    }

    fn lines(&self, id: &str) -> Vec<String> {
        let lines = self.client.task_logs(id, None, None, false).expect("a log");
        lines.map(|line| line.expect("a line").line).collect()
    }
}

fn service(task: TaskRequest) -> TaskRequest {
    let restart_policy = Some(RestartPolicy { policy: "always".into(), backoff_s: Some(0.1), ..Default::default() });
    TaskRequest { restart_policy, ..task }
}

#[test]
fn a_task_lives_from_its_submission_to_its_end() {
    let cluster = Cluster::start(1);
    let task = cluster.scripted("service", SERVICE);
    let id = cluster.submit(&TaskRequest { name: "web".into(), labels: [("a".into(), "b".into())].into(), ..task });
    let running = cluster.wait_phase(&id, TaskPhase::Running);
    assert_eq!((running.node_name.as_deref(), running.attempt), (Some("w1"), 1));
    wait_for("it has written", || cluster.lines(&id) == ["up"]);
    let found = |which: Tasks| {
        cluster.client.tasks(&which).expect("a list").into_iter().map(|t| t.id).collect::<Vec<_>>().join(",")
    };
    let some = |text: &str| Some(text.to_string());
    assert_eq!(found(Tasks { state: some("Running"), node: some("w1"), ..Tasks::default() }), id);
    assert_eq!(found(Tasks { name: some("web"), label: some("a=b"), ..Tasks::default() }), id);
    assert!(found(Tasks { label: some("a=c"), ..Tasks::default() }).is_empty());
    let worker = cluster.client.worker("w1").expect("a worker");
    assert_eq!((worker.tasks.len(), worker.metrics.tasks_running), (1, 1));
    assert_eq!(cluster.client.manager_metrics().expect("numbers").tasks["Running"], 1);
    let (manager, which) = (cluster.client.manager(), cluster.client.cluster().expect("which it is"));
    let status = || manager.cluster().expect("how it is");
    let whole = status();
    assert_eq!((&whole.cluster, whole.status.as_str()), (&which, "healthy"));
    assert_eq!((whole.workers.busy, whole.tasks["Running"], whole.functions), (1, 1, 1));
    cluster.client.cordon("w1").expect("cordoned");
    assert_eq!((status().status.as_str(), status().workers.maintenance), ("unavailable", 1));
    cluster.client.uncordon("w1").expect("as it was");
    assert_eq!(cluster.client.stop_task(&id).expect("stopping").id, id);
    cluster.wait_phase(&id, TaskPhase::Stopped);
    let lines = cluster.lines(&id); // there after its end; the shell has a word of its own to say, on another stream
    assert!(lines[0] == "up" && lines.iter().any(|line| line == "bye"), "{lines:?}");
    let again = cluster.client.start_task(&id).expect("started again");
    assert_eq!(again.id, id);
    assert_eq!(cluster.wait_phase(&id, TaskPhase::Running).attempt, 2);
    assert_eq!(cluster.client.delete_task(&id).expect("stopping").expect("its record").id, id);
    cluster.wait_phase(&id, TaskPhase::Stopped);
    assert_eq!(cluster.client.delete_task(&id).expect("gone"), None);
    assert_eq!(cluster.client.task(&id).expect_err("gone").code(), "task_not_found");
    let kinds: Vec<String> = events(&cluster, &id).into_iter().map(|(kind, _)| kind).collect();
    let told = ["submitted", "scheduled", "running", "stopping", "stopped", "started", "scheduled", "running"];
    let told: Vec<String> =
        told.iter().chain(&["stopping", "stopped", "deleted"]).map(|k| format!("task.{k}")).collect();
    assert_eq!(kinds, told);
}

/// What was told of a task: kinds and messages.
fn events(cluster: &Cluster, id: &str) -> Vec<(String, String)> {
    let reply = get(cluster.head.http(), &format!("/api/v1/manager/events?kind=task&task={id}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_string();
    reply.json().as_array().expect("a list").iter().map(|e| (text(&e["kind"]), text(&e["message"]))).collect()
}

#[test]
fn a_watch_of_events_goes_on_behind_the_last_one_seen() {
    let cluster = Cluster::start(1);
    let joined = get(cluster.head.http(), "/api/v1/manager/events?kind=node.joined&node=w1").json();
    let id = joined[0]["id"].as_u64().expect("by its node's name too");
    let watch = |last: &str| {
        let path = "/api/v1/manager/events?watch=true&kind=node";
        let mut stream = TcpStream::connect(cluster.head.http()).expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        BufReader::new(stream).lines().map(|line| line.expect("a line"))
    };
    assert!(watch("x").any(|line| line.contains("Last-Event-ID: must be")));
    assert!(watch(&(id - 1).to_string()).any(|line| line == format!("id: {id}")), "it is told once more");
    let mut after = watch(&id.to_string());
    assert!(after.any(|line| line == ": connected"));
    cluster.client.cordon("w1").expect("cordoned");
    let next = after.find(|line| line.starts_with("event: "));
    assert_eq!(next.as_deref(), Some("event: node.cordoned"));
}

#[test]
fn a_killed_workers_service_runs_elsewhere_and_its_old_copy_is_stopped() {
    let mut cluster = Cluster::start(2);
    let task = service(cluster.scripted("service", SERVICE));
    let id = cluster.submit(&task);
    let first = cluster.wait_phase(&id, TaskPhase::Running).node_name.expect("a node");
    let at = if first == "w1" { 0 } else { 1 };
    cluster.workers[at].kill();
    let killed = Instant::now();
    let limit = Duration::from_secs(15); // the lease and five seconds
    let second = cluster.wait_task(&id, "it runs elsewhere", |task| {
        task.state == TaskPhase::Running && task.node_name.as_deref().is_some_and(|name| name != first)
    });
    assert!(killed.elapsed() < limit, "it took {:?}", killed.elapsed());
    assert_eq!(second.attempt, 2);
    cluster.restart_worker(at, &first, &[]);
    let here = |cluster: &Cluster| {
        let tasks = get(cluster.workers[at].http(), "/api/v1/worker/tasks").json();
        tasks.as_array().expect("a list").len()
    };
    wait_for("the old copy is stopped and forgotten", || here(&cluster) == 0);
    assert_eq!(cluster.client.task(&id).expect("still there").attempt, 2);
}

#[test]
fn a_log_that_is_out_of_reach_is_not_taken_for_an_empty_one() {
    let mut cluster = Cluster::start(1);
    let task = cluster.scripted("said", "echo something");
    let id = cluster.submit(&task);
    cluster.wait_phase(&id, TaskPhase::Completed);
    assert_eq!(cluster.lines(&id), ["something"]);
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    for query in ["", "?follow=true", "?follow=true&format=json&tail=5"] {
        let answer = get(cluster.head.http(), &format!("{TASKS}/{id}/logs{query}"));
        assert!(answer.problem(409, "node_disconnected").contains("'w1'"), "{query}");
    }
    let Some(browser) = browser_is_there().then(|| Browser::open(&format!("{}/#/tasks/{id}", cluster.head.url())))
    else {
        return;
    };
    browser.shows("node 'w1', which has the log of task");
    browser.hides("Loading");
    browser.hides("nothing so far");
    cluster.restart_worker(0, "w1", &[]);
    browser.shows("something");
    browser.hides("which has the log of task");
}

#[test]
fn a_drain_moves_a_service_and_lets_the_rest_end() {
    let mut cluster = Cluster::start(1);
    let moving = cluster.submit(&service(cluster.scripted("service", SERVICE)));
    let ending = cluster.submit(&cluster.scripted("short", "while ! test -e go; do sleep 0.05; done"));
    for id in [&moving, &ending] {
        cluster.wait_phase(id, TaskPhase::Running);
    }
    cluster.add_worker("w2", &[]);
    cluster.client.drain("w1").expect("draining");
    let moved = |task: &TaskStatus| task.state == TaskPhase::Running && task.node_name.as_deref() == Some("w2");
    assert_eq!(cluster.wait_task(&moving, "it runs on w2", moved).attempt, 2);
    assert_eq!(cluster.client.task(&ending).expect("there").state, TaskPhase::Running);
    cluster.client.stop_task(&ending).expect("stopping");
    cluster.wait_phase(&ending, TaskPhase::Stopped);
    let drained = || cluster.client.past_events().expect("events").flatten().any(|e| e.kind == "node.drained");
    wait_for("w1 is drained", drained);
}

#[test]
fn an_orchestrator_that_was_killed_knows_its_tasks_and_takes_them_over() {
    let mut cluster = Cluster::start(1);
    let runs = cluster.submit(&service(cluster.scripted("service", SERVICE)));
    cluster.wait_phase(&runs, TaskPhase::Running);
    let ended = cluster.submit(&cluster.scripted("short", "echo done"));
    let before = cluster.wait_phase(&ended, TaskPhase::Completed);
    let waits = cluster.submit(&TaskRequest { memory: Some(1 << 43), ..cluster.scripted("short", "echo done") });
    cluster.restart_head();
    assert_eq!(cluster.client.task(&ended).expect("kept"), before);
    assert_eq!(cluster.client.task(&waits).expect("kept").state, TaskPhase::Pending);
    cluster.wait_linked("w1");
    let task = cluster.wait_phase(&runs, TaskPhase::Running);
    assert_eq!((task.attempt, task.restarts), (1, 0), "it went on all the while");
    wait_for("its log is there", || cluster.lines(&runs) == ["up"]);
    cluster.client.stop_task(&waits).expect("stopped");
    assert_eq!(cluster.client.task(&waits).expect("kept").state, TaskPhase::Stopped);
}

#[test]
fn a_crash_loop_ends_with_the_reason_and_the_last_lines() {
    let cluster = Cluster::start(1);
    let restart = RestartPolicy { policy: "on-failure".into(), limit: Some(2), backoff_s: Some(0.05), window_s: None };
    let task = cluster.scripted("crash", "echo 'no database' >&2; exit 3");
    let id = cluster.submit(&TaskRequest { restart_policy: Some(restart), ..task });
    let failed = cluster.wait_phase(&id, TaskPhase::Failed);
    assert_eq!((failed.restarts, failed.exit_code), (2, Some(3)));
    assert!(failed.reason.expect("a reason").contains('3'));
    assert!(failed.last_lines.expect("its last lines").contains("no database"));
}

#[test]
fn nonsense_is_refused_and_named() {
    let cluster = Cluster::start(1);
    let at = cluster.head.http();
    let submit = |task: serde_json::Value| post(at, TASKS, task.to_string());
    assert!(submit(json!({})).problem(400, "invalid_field").contains("image"));
    assert!(submit(json!({"image": "a", "name": "x".repeat(5_000)})).problem(400, "invalid_field").contains("name"));
    let env = json!({"A": "x".repeat(1_000_000)});
    assert!(submit(json!({"image": "a", "env": env})).problem(413, "too_large").contains("env"));
    assert!(submit(json!({"image": "a", "scheduler": "luck"})).problem(400, "invalid_field").contains("scheduler"));
    let digest = format!("bundle:{}", "0".repeat(64));
    assert!(submit(json!({"image": digest})).problem(400, "unknown_bundle").contains("image"));
    let on = |method: &str, path: &str| -> Reply { ask(at, method, &format!("{TASKS}/{path}"), &[], b"") };
    for (method, path) in
        [("GET", "t99"), ("DELETE", "t99"), ("POST", "t99/stop"), ("POST", "t99/start"), ("GET", "t99/logs")]
    {
        assert!(on(method, path).problem(404, "task_not_found").contains("t99"), "{method} {path}");
    }
    assert!(get(at, &format!("{TASKS}?state=running")).problem(400, "invalid_field").contains("state"));
    assert!(get(at, &format!("{TASKS}?node=nowhere")).problem(404, "node_not_found").contains("nowhere"));
    let unnamed = post(at, "/api/v1/manager/workers", "{}");
    assert_eq!(unnamed.status, 400, "{}", unnamed.text());
    let used = |metrics: &serde_json::Value| metrics["disk_usage"].as_u64().is_some_and(|bytes| bytes > 0);
    wait_for("its disk is told of", || used(&get(at, "/api/v1/manager/workers").json()[0]["metrics"]));
    assert!(used(&get(at, "/api/v1/manager/metrics").json()));

    let waits = json!({"image": "a", "memory": 1_u64 << 43, "idempotency_key": "k"});
    let first = submit(waits.clone());
    assert_eq!(first.status, 201, "{}", first.text());
    let id = first.json()["id"].as_str().expect("an id").to_string();
    assert_eq!(first.header("location"), Some(format!("{TASKS}/{id}").as_str()));
    assert!(first.json()["reason"].as_str().expect("why it waits").contains("node"));
    let again = submit(waits);
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())));
    submit(json!({"image": "b", "idempotency_key": "k"})).problem(409, "task_key_reused");
    assert!(on("POST", &format!("{id}/start")).problem(409, "illegal_transition").contains("pending"));
    assert_eq!(on("POST", &format!("{id}/stop")).status, 202);
    assert!(on("POST", &format!("{id}/stop")).problem(409, "illegal_transition").contains("stopped"));
    assert_eq!(on("DELETE", &id).status, 204);
}

#[test]
fn the_command_line_runs_waits_and_tells_how_it_ended() {
    let cluster = Cluster::start(1);
    let good = cluster.scripted("good", "echo hello from $NAME");
    let bad = cluster.scripted("bad", "echo broken >&2; exit 7");
    let url = cluster.head.url();
    let task = |words: &[&str]| {
        let mut command = cares();
        command.args(["task"]).args(words).args(["--url", &url]);
        run(&mut command)
    };
    let with = |task: &TaskRequest, flags: &[&str]| -> Vec<String> {
        let flags = flags.iter().map(ToString::to_string);
        let words = ["run".to_string()].into_iter().chain(flags).chain([
            task.image.clone(),
            "--url".into(),
            url.clone(),
            "--".into(),
        ]);
        words.chain(task.command.clone()).collect()
    };
    let (status, out, err) = run(cares().arg("task").args(with(&good, &["-f", "-e", "NAME=me", "--memory", "64m"])));
    assert!(status.success(), "{err}");
    assert_eq!(out, "hello from me\n");
    for once in ["was submitted", "goes to node 'w1'", "is completed on node 'w1'"] {
        assert_eq!(err.matches(once).count(), 1, "{err}"); // it may be too short to be seen running
    }
    let (status, _, err) = run(cares().arg("task").args(with(&bad, &["--wait"])));
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("has failed") && err.contains("broken"), "{err}");
    let (status, out, _) = task(&["list", "-o", "json"]);
    assert!(status.success());
    let listed: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(listed.as_array().expect("a list").len(), 2);
    let id = listed[0]["id"].as_str().expect("an id");
    let (_, out, _) = task(&["get", id]);
    assert!(out.contains("State:") && out.contains("64.0MiB") || out.contains("Memory:"), "{out}");
    let (_, out, _) = task(&["logs", id]);
    assert_eq!(out, "hello from me\n");
    let (status, out, err) = task(&["rm", id, "--yes"]);
    assert!(status.success() && out.contains("removed"), "{out}{err}");
    let (status, _, _) = task(&["get", id]);
    assert_eq!(status.code(), Some(4));
    let (status, _, err) = task(&["run", "x", "--memory", "lots"]);
    assert_eq!(status.code(), Some(2), "{err}");
}

#[test]
fn a_watch_tells_of_each_task_and_its_changes() {
    let cluster = Cluster::start(1);
    let watch = cluster.client.watch_tasks().expect("a watch");
    let seen = thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        for change in watch.map_while(Result::ok) {
            if let cares::types::Change::Put(task) = change
                && task.state == TaskPhase::Completed
            {
                return Some(task.id);
            }
            assert!(Instant::now() < end, "watched in vain");
        }
        None
    });
    let id = cluster.submit(&cluster.scripted("short", "true"));
    assert_eq!(seen.join().expect("watched"), Some(id));
}
