//! What the releases before answered and kept, as they wrote it (`tests/fixtures/release-*`): today's client reads their
//! JSON, today's program still answers each field of it, and takes up a cluster that they kept.
//!
//! A release is recorded once, with `CARES_RECORD=VERSION cargo test --test it release::record -- --ignored`, and its
//! files never change after it. `src/wire/tests.rs` does the same for the messages of nodes.

use crate::harness::{Cluster, cares, run, wait_for, wait_for_some};
use crate::wire::{ask, get, post};
use cares::types;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Releases that may still be in use beside this one.
const BEFORE: &[&str] = &["0.1.0"];

fn folder(version: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(format!("release-{version}"))
}

/// A cluster with something of everything, always the same.
fn scene() -> Cluster {
    let cluster = Cluster::start(1);
    let http = cluster.head.http();
    let settings =
        r#","env":{"A":"b"},"timeout_s":20,"memory_mb":64,"labels":{"team":"x"},"description":"says it again","max":3"#;
    cluster.deploy_echo(settings);
    cluster.deploy_script("shout", "tr a-z A-Z; echo told >&2");
    assert_eq!(cluster.call("echo", "hello").0, 200);
    assert_eq!(cluster.call("shout", "hello").0, 200);
    let accepted = ask(http, "POST", "/async-function/shout", &[("Idempotency-Key", "k1")], b"later").json();
    let id = accepted["id"].as_str().expect("an id").to_string();
    wait_for("the call ends", || get(http, &format!("/calls/{id}/result")).status == 200);
    let image = cluster.client.function("shout").expect("it is there").image;
    let task = format!(
        r#"{{"name":"once","image":"{image}","command":["sh","-c","echo done"],"env":{{"A":"b"}},"labels":{{"team":"x"}}}}"#
    );
    let made = post(http, "/api/v1/manager/tasks", task);
    assert_eq!(made.status, 201, "{}", made.text());
    wait_for("the task ends", || first(http, "/api/v1/manager/tasks")["state"] == "Completed");
    let modules = r#"{"name":"p","modules":[{"name":"a","function":"shout","inputs":"x"},{"name":"b","function":"shout","dependsOn":["a"]}]}"#;
    let made = post(http, "/api/pipelines", modules);
    assert_eq!(made.status, 201, "{}", made.text());
    wait_for("the pipeline ends", || first(http, "/api/pipelines")["status"] == "succeeded");
    cluster
}

fn first(http: SocketAddr, list: &str) -> Value {
    get(http, list).json()[0].clone()
}

/// What is asked, by the file it is recorded in; `{}`: the id of the first of a list.
const ASKED: &[(&str, &str, &str)] = &[
    ("functions", "/functions", ""),
    ("function", "/functions/echo", ""),
    ("nodes", "/nodes", ""),
    ("node", "/nodes/w1", ""),
    ("cluster", "/cluster", ""),
    ("version", "/version", ""),
    ("calls", "/calls", ""),
    ("call", "/calls/{}", "/calls?async=true"),
    ("tasks", "/api/v1/manager/tasks", ""),
    ("task", "/api/v1/manager/tasks/{}", "/api/v1/manager/tasks"),
    ("workers", "/api/v1/manager/workers", ""),
    ("manager-metrics", "/api/v1/manager/metrics", ""),
    ("manager-events", "/api/v1/manager/events", ""),
    ("pipelines", "/api/pipelines", ""),
    ("pipeline", "/api/pipelines/{}", "/api/pipelines"),
    ("problem", "/functions/none", ""),
];

fn answer(http: SocketAddr, path: &str, list: &str) -> Value {
    if list.is_empty() {
        return get(http, path).json();
    }
    let ids = wait_for_some("something is listed", || first(http, list)["id"].as_str().map(str::to_string));
    get(http, &path.replace("{}", &ids)).json()
}

#[test]
#[ignore = "for a release"]
fn record() {
    let folder = folder(&std::env::var("CARES_RECORD").expect("CARES_RECORD=VERSION"));
    fs::create_dir_all(&folder).expect("a folder");
    let cluster = scene();
    for (file, path, list) in ASKED {
        let text = serde_json::to_string_pretty(&answer(cluster.head.http(), path, list)).expect("JSON");
        fs::write(folder.join(format!("{file}.json")), text + "\n").expect("written");
    }
    let file = folder.join("backup.tar");
    let (status, out, err) = run(cares().arg("backup").arg(&file).args(["--url", &cluster.head.url()]));
    assert!(status.success(), "{out}{err}");
}

fn recorded(version: &str, file: &str) -> Vec<u8> {
    let path = folder(version).join(format!("{file}.json"));
    fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn read<T: DeserializeOwned>(version: &str, file: &str) -> T {
    serde_json::from_slice(&recorded(version, file)).unwrap_or_else(|why| panic!("{file} of {version}: {why}"))
}

#[test]
fn todays_client_reads_what_releases_before_answered() {
    for version in BEFORE {
        let functions: Vec<types::Function> = read(version, "functions");
        assert_eq!(functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["echo", "shout"]);
        let echo: types::Function = read(version, "function");
        assert_eq!((echo.env["A"].as_str(), echo.calls, echo.description.as_str()), ("b", 1, "says it again"));
        let nodes: Vec<types::Node> = read(version, "nodes");
        let node: types::Node = read(version, "node");
        assert_eq!((nodes[0].name.as_str(), &nodes[0].id, node.status.as_str()), ("w1", &node.id, "active"));
        assert_eq!(read::<types::Version>(version, "version").role, "orchestrator");
        assert_eq!(read::<types::Cluster>(version, "cluster").version, *version);
        assert!(read::<Vec<types::CallRecord>>(version, "calls").len() >= 3);
        assert_eq!(read::<types::Call>(version, "call").function, "shout");
        let tasks: Vec<types::TaskSummary> = read(version, "tasks");
        assert_eq!((tasks.len(), read::<types::TaskStatus>(version, "task").request.name.as_str()), (1, "once"));
        assert_eq!(read::<Vec<types::WorkerStatus>>(version, "workers")[0].name, "w1");
        assert_eq!(read::<types::ManagerMetrics>(version, "manager-metrics").tasks["Completed"], 1);
        assert!(read::<Vec<types::Event>>(version, "manager-events").iter().any(|e| e.kind == "node.joined"));
        assert_eq!(read::<Vec<types::Pipeline>>(version, "pipelines").len(), 1);
        assert_eq!(read::<types::Pipeline>(version, "pipeline").modules.len(), 2);
        assert_eq!(read::<types::Problem>(version, "problem").code, "function_not_found");
    }
}

/// Where `now` lacks something that `then` has, or has another type there. Of lists the first entries stand for all; keys
/// that people chose are the same in both.
fn differences(at: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, then) in then {
                match now.get(key) {
                    Some(now) => differences(&format!("{at}.{key}"), then, now, found),
                    None => found.push(format!("{at}.{key} is not there any more")),
                }
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            if let (Some(then), Some(now)) = (then.first(), now.first()) {
                differences(&format!("{at}[0]"), then, now, found);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {} // nothing to be told at the moment
        _ if std::mem::discriminant(then) != std::mem::discriminant(now) => {
            found.push(format!("{at} was {then}, and is {now}"));
        }
        _ => {}
    }
}

#[test]
fn each_field_of_releases_before_is_still_answered() {
    let cluster = scene();
    for version in BEFORE {
        let mut found = Vec::new();
        for (file, path, list) in ASKED {
            let now = answer(cluster.head.http(), path, list);
            differences(file, &read::<Value>(version, file), &now, &mut found);
        }
        assert!(found.is_empty(), "since {version}: {}", found.join("\n"));
    }
}

#[test]
fn a_field_that_is_gone_or_changed_is_noticed() {
    let differ = |then: &str, now: &str| {
        let mut found = Vec::new();
        let [then, now] = [then, now].map(|text| serde_json::from_str(text).expect("JSON"));
        differences("x", &then, &now, &mut found);
        found
    };
    assert_eq!(differ(r#"{"a":1,"b":[{"c":""}]}"#, r#"{"a":2,"b":[{"c":"y","d":1}],"e":0}"#), [""; 0]);
    assert_eq!(differ(r#"{"b":[{"c":""}]}"#, r#"{"b":[{}]}"#), ["x.b[0].c is not there any more"]);
    assert_eq!(differ(r#"{"a":1}"#, r#"{"a":"1"}"#), [r#"x.a was 1, and is "1""#]);
}

/// A backup is the store's records as they are on disk, with the store's version.
#[test]
fn todays_program_takes_up_what_releases_before_kept() {
    for version in BEFORE {
        let cluster = Cluster::start(0);
        let file: &Path = &folder(version).join("backup.tar");
        let (status, out, err) = run(cares().arg("restore").arg(file).args(["--yes", "--url", &cluster.head.url()]));
        assert!(status.success(), "{version}: {out}{err}");
        let mut cluster = cluster;
        cluster.add_worker("w9", &[]);
        assert_eq!(cluster.call("shout", "hello"), (200, "HELLO".into()), "{version}: its bundle came along");
        let echo = cluster.client.function("echo").expect("it is there");
        assert_eq!((echo.env["A"].as_str(), echo.max, echo.labels["team"].as_str()), ("b", 3, "x"), "{version}");
        assert!(cluster.client.node("w1").is_ok_and(|node| node.status == "disconnected"), "{version}");
    }
}
