//! What a dashboard shows beside the lists: the program's own log, the calls of late, and which cluster it is.

use crate::harness::{Cluster, PATIENCE, Role, cares, raw, run, wait_for};
use crate::head::Head;
use crate::wire::Reply;
use cares::client::Orchestrator;
use cares::types::LogRecord;
use std::sync::mpsc::channel;
use std::thread;

fn log_of(url: &str, tail: u64) -> Vec<LogRecord> {
    let client = Orchestrator::new(url).expect("a URL");
    client.own_log(tail, false).expect("a log").map(|record| record.expect("a record")).collect()
}

fn get(role: &Role, path: &str) -> Reply {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    Reply::parse(raw(role.http(), request.as_bytes()).as_bytes()).expect("an answer")
}

#[test]
fn each_role_tells_its_own_log() {
    let cluster = Cluster::start(1);
    let joined = "Node 'w1' has joined the cluster";
    let head = log_of(&cluster.head.url(), 10_000);
    assert!(head.iter().any(|r| r.message == joined && r.level == "info"), "{head:?}");
    assert!(head.windows(2).all(|pair| pair[0].id < pair[1].id && pair[0].time <= pair[1].time), "{head:?}");
    let worker = log_of(&cluster.workers[0].url(), 10_000);
    assert!(!worker.is_empty() && worker.iter().all(|r| r.message != joined), "{worker:?}");
    assert_eq!(log_of(&cluster.head.url(), 1).last(), log_of(&cluster.head.url(), 2).last());
    assert_eq!(log_of(&cluster.head.url(), 0), []);

    let text = get(&cluster.head, "/log?tail=10000");
    assert_eq!((text.status, text.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(text.text().lines().any(|line| line.ends_with(&format!("[INFO] {joined}"))), "{}", text.text());
    assert_eq!(get(&cluster.head, "/log?tail=1&format=json").header("content-type"), Some("application/x-ndjson"));
    for tail in ["10001", "-1", "x"] {
        let detail = get(&cluster.head, &format!("/log?tail={tail}")).problem(400, "invalid_field");
        assert!(detail.starts_with("tail: "), "{detail}");
    }

    let (status, out, err) = run(cares().args(["logs", "--url", &cluster.head.url()]));
    assert!(status.success() && out.contains(joined), "{out}{err}");
    let (status, out, err) =
        run(cares().args(["logs", "-o", "json", "--tail", "1", "--url", &cluster.workers[0].url()]));
    assert!(status.success() && out.lines().count() == 1, "{out}{err}");
    let record: LogRecord = serde_json::from_str(&out).expect("a record");
    assert!(worker.contains(&record) || worker.iter().all(|r| r.id < record.id), "{record:?}");
}

#[test]
fn a_log_is_followed_line_by_line() {
    let cluster = Cluster::start(1);
    let (tell, told) = channel();
    let log = cluster.client.own_log(0, true).expect("a log");
    thread::spawn(move || log.map_while(Result::ok).all(|record| tell.send(record).is_ok()));
    cluster.client.cordon("w1").expect("cordoned");
    cluster.client.uncordon("w1").expect("uncordoned");
    let mut found = Vec::new();
    while found.len() < 2 {
        let record = told.recv_timeout(PATIENCE).expect("a line");
        if record.message.starts_with("Node 'w1' ") {
            found.push(record.message);
        }
    }
    assert_eq!(found, ["Node 'w1' is cordoned: it gets nothing new", "Node 'w1' takes work again"]);
}

#[test]
fn calls_of_late_are_told_newest_first() {
    let cluster = Cluster::start(2);
    let client = &cluster.client;
    cluster.deploy_echo("");
    cluster.deploy_script("fails", "exit 3");
    cluster.deploy_script("works", "echo fine");
    assert_eq!(client.calls(None, None, 100).expect("calls"), []);
    assert_eq!(client.function("echo").expect("echo").p50_ms, None);
    let mut ids = Vec::new();
    for (name, status) in [("echo", 200), ("fails", 502), ("works", 200), ("echo", 200)] {
        let (answer, _) = cluster.invoke(name, "x");
        assert_eq!(answer.status, status);
        ids.insert(0, answer.call_id.expect("an id"));
        wait_for("it is over", || client.calls(None, None, 100).expect("calls").len() == ids.len());
    }
    let calls = client.calls(None, None, 100).expect("calls");
    assert_eq!(calls.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(
        calls.iter().map(|c| c.status.as_str()).collect::<Vec<_>>(),
        ["succeeded", "succeeded", "failed", "succeeded"]
    );
    let nodes: Vec<String> = client.nodes().expect("nodes").into_iter().map(|n| n.id).collect();
    assert!(calls.iter().all(|c| c.node.as_ref().is_some_and(|node| nodes.contains(node)) && c.duration_ms > 0.0));
    assert!(calls.windows(2).all(|pair| pair[0].started_at >= pair[1].started_at), "{calls:?}");

    let echo = client.calls(Some("echo"), None, 1).expect("calls");
    assert_eq!((echo.len(), echo[0].id.as_str(), echo[0].function.as_str()), (1, ids[0].as_str(), "echo"));
    let count = |node: &str| client.calls(None, Some(node), 1_000).expect("calls").len();
    assert_eq!(count("w1") + count("w2"), 4);
    assert_eq!((count(&nodes[0]), count(&nodes[1])), {
        let of = |id: &String| calls.iter().filter(|c| c.node.as_ref() == Some(id)).count();
        (of(&nodes[0]), of(&nodes[1]))
    });
    for _ in 0..70 {
        assert_eq!(cluster.call("echo", "x").0, 200);
    }
    let kept = || client.calls(Some("echo"), None, 1_000).expect("calls");
    wait_for("the last is over", || client.function("echo").expect("echo").calls == 72);
    assert_eq!(kept().len(), 64);
    let mut took: Vec<f64> = kept().iter().map(|c| c.duration_ms).collect();
    took.sort_by(f64::total_cmp);
    assert_eq!(client.function("echo").expect("echo").p50_ms, Some(took[31]));

    for (path, status, code) in [
        ("/calls?function=none", 404, "function_not_found"),
        ("/calls?node=none", 404, "node_not_found"),
        ("/calls?limit=0", 400, "invalid_field"),
        ("/calls?limit=1001", 400, "invalid_field"),
    ] {
        get(&cluster.head, path).problem(status, code);
    }
    let (status, out, err) = run(cares().args(["describe", "echo", "--url", &cluster.head.url()]));
    assert!(status.success() && out.contains(&ids[0][..1]) && out.contains("Half within:"), "{out}{err}");
    assert!(out.contains(&kept()[0].id), "{out}");
}

#[test]
fn a_call_that_found_no_node_is_among_them() {
    let cluster = Cluster::start(1);
    cluster.deploy("never", r#"{"mode":"http","command":["./run.sh"]}"#, &[("run.sh", "#!/bin/sh\nexit 1\n")]);
    assert_eq!(cluster.problem("never", "").code, "function_not_started");
    let calls = cluster.client.calls(Some("never"), None, 10).expect("calls");
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].node.as_ref(), calls[0].status.as_str()), (None, "failed"));
    assert!(calls[0].duration_ms > 0.0, "{calls:?}");
}

#[test]
fn a_cluster_says_what_it_is_and_how_to_join_it() {
    let mut cluster = Cluster::start(0);
    let told = cluster.client.cluster().expect("the cluster");
    assert_eq!(Some(told.id), cluster.client.version().expect("the version").cluster);
    assert_eq!(
        (told.http_addr.as_str(), told.grpc_addr.as_str()),
        (cluster.head.ready("http"), cluster.head.ready("grpc"))
    );
    assert_eq!(told.join_command, format!("cares worker {}", told.grpc_addr));
    assert!(told.started_at.starts_with("20") && told.started_at.ends_with('Z'), "{}", told.started_at);

    let data = cluster.dir.path().join("wide");
    let wide = Head::of(&data).data(&data).at("127.0.0.1:0", "0.0.0.0:0").told(&["--open"]).start();
    let told = Orchestrator::new(&wide.url()).expect("a URL").cluster().expect("the cluster");
    assert!(told.grpc_addr.starts_with("0.0.0.0:"), "{}", told.grpc_addr);
    let address = told.join_command.strip_prefix("cares worker ").expect("a command");
    cluster.head = wide; // what is told can be typed
    let dir = cluster.dir.path().join("joins");
    let worker = Role::start(&[
        "worker",
        address,
        "--name",
        "w1",
        "--worker-addr",
        "127.0.0.1:0",
        "--data-dir",
        dir.to_str().expect("UTF-8"),
    ]);
    drop(worker);
}
