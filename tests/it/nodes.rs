//! What an operator does with nodes, over REST and the command line: what it changes, and when it is refused.

use crate::gate::Gate;
use crate::harness::{Cluster, Role, Starting, cares, run, wait_for};
use crate::processes;
use std::collections::BTreeSet;
use std::path::Path;

/// A verb of `cares node`; exit code, stdout, stderr.
fn node(cluster: &Cluster, words: &[&str]) -> (i32, String, String) {
    let (status, out, err) = run(cares().arg("node").args(words).args(["--url", &cluster.head.url()]));
    (status.code().expect("a code"), out, err)
}

/// Status and code of what the API refuses.
fn refused<T: std::fmt::Debug>(result: Result<T, cares::errors::Error>) -> (Option<u16>, String) {
    let error = result.expect_err("a refusal");
    (error.status(), error.code().to_string())
}

#[test]
fn a_cordoned_node_gets_nothing_new_until_it_is_uncordoned() {
    let mut cluster = Cluster::start(2);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let cordoned = cluster.client.cordon("w1").expect("cordoned");
    assert_eq!((cordoned.status.as_str(), cordoned.cordoned), ("active", true));
    for _ in 0..10 {
        assert_eq!(cluster.call("cat", "x").0, 200);
    }
    wait_for("all calls are counted", || cluster.client.node("w2").expect("w2").succeeded == 10);
    assert_eq!(cluster.client.node("w1").expect("w1").succeeded, 0);

    let (code, out, err) = node(&cluster, &["cordon", "w2"]);
    assert_eq!((code, out.as_str()), (0, "cordoned w2. Next: cares node uncordon w2\n"), "{err}");
    assert_eq!(cluster.problem("cat", "").code, "no_node");
    cluster.restart_worker(0, "w1", &[]);
    assert!(cluster.client.node("w1").expect("w1").cordoned, "outlives a reconnect");
    cluster.restart_head();
    cluster.wait_linked("w2");
    assert!(cluster.client.node("w2").expect("w2").cordoned, "outlives a restart");
    assert_eq!(cluster.problem("cat", "").code, "no_node");
    assert_eq!(node(&cluster, &["uncordon", "w2"]).0, 0);
    assert_eq!(cluster.call("cat", "x").0, 200);
}

#[test]
fn a_drained_node_finishes_what_it_has_and_then_runs_nothing() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let gate = Gate::deploy(&cluster, "gate", "");
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    let (code, out, err) = node(&cluster, &["drain", "w1"]);
    assert_eq!((code, out.as_str()), (0, "draining w1. Next: cares node describe w1\n"), "{err}");
    assert_eq!(cluster.client.node("w1").expect("w1").status, "draining");
    assert_eq!(cluster.problem("gate", "").code, "no_node");
    wait_for("the idle instance is gone", || cluster.client.function("echo").expect("echo").instances.is_empty());
    assert_eq!(cluster.client.node("w1").expect("w1").running, 1);
    gate.open();
    let (status, text, _) = call.join().expect("an answer");
    assert_eq!((status, text.as_str()), (200, "through\n"));
    processes::wait_none(&cluster);
    let drained = |log: String| log.contains("Node 'w1' is drained: nothing runs there");
    wait_for("it is said to be drained", || drained(cluster.head.log()));

    cluster.restart_worker(0, "w1", &[]);
    assert_eq!(cluster.problem("gate", "").code, "no_node", "stays out after a reconnect");
    let back = cluster.client.uncordon("w1").expect("uncordoned");
    assert_eq!((back.status.as_str(), back.cordoned), ("active", false));
    assert_eq!(cluster.call("echo", "x").0, 200);
}

#[test]
fn an_uncordoned_node_that_was_draining_is_active_again() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", "");
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    assert_eq!(cluster.client.drain("w1").expect("draining").status, "draining");
    assert_eq!(cluster.client.uncordon("w1").expect("active").status, "active");
    gate.open();
    assert_eq!(call.join().expect("an answer").0, 200);
    assert_eq!(cluster.call("gate", "").0, 200);
}

#[test]
fn a_node_is_removed_only_once_it_is_disconnected() {
    let mut cluster = Cluster::start(2);
    let id = cluster.client.node("w1").expect("w1").id;
    assert_eq!(refused(cluster.client.remove_node(&id)), (Some(409), "node_connected".into()));
    let (code, _, err) = node(&cluster, &["remove", "w1", "--yes"]);
    assert!(code == 1 && err.contains("stop its worker first"), "{code} {err}");
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    let (code, out, err) = node(&cluster, &["remove", "w1"]);
    assert!(code == 2 && out.is_empty() && err.contains("--yes"), "{code} {out} {err}");
    assert_eq!(cluster.client.nodes().expect("nodes").len(), 2);
    let (code, out, err) = node(&cluster, &["remove", "w1", "--yes"]);
    assert_eq!((code, out.as_str()), (0, "removed w1. Next: cares node list\n"), "{err}");
    let left: Vec<String> = cluster.client.nodes().expect("nodes").into_iter().map(|n| n.name).collect();
    assert_eq!(left, ["w2"]);
    cluster.restart_worker(0, "w1", &[]);
    assert_eq!(cluster.client.node("w1").expect("w1").id, id, "it may come back");
}

#[test]
fn what_cannot_be_done_with_a_node_is_a_conflict_or_not_found() {
    let mut cluster = Cluster::start(1);
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    assert_eq!(refused(cluster.client.drain("w1")), (Some(409), "node_disconnected".into()));
    let (code, _, err) = node(&cluster, &["drain", "w1"]);
    assert!(code == 1 && err.contains("disconnected"), "{code} {err}");
    let c = &cluster.client;
    let unknown = (Some(404), "node_not_found".to_string());
    for refusal in [
        refused(c.node("w9")),
        refused(c.cordon("w9")),
        refused(c.uncordon("w9")),
        refused(c.drain("w9")),
        refused(c.remove_node("w9")),
    ] {
        assert_eq!(refusal, unknown);
    }
    for verb in ["describe", "cordon", "uncordon", "drain", "remove"] {
        let (code, out, err) = node(&cluster, &[verb, "w9", "--yes"]);
        assert!(code == 4 && out.is_empty() && err.contains("'w9'"), "{verb}: {code} {out} {err}");
    }
}

#[test]
fn a_second_worker_of_the_same_name_ends_and_says_how_to_go_on() {
    let cluster = Cluster::start(1);
    let dir = cluster.dir.path().join("other");
    let args = ["worker", cluster.head.ready("grpc"), "--name", "w1", "--worker-addr", "127.0.0.1:0"];
    let started = Role::try_start_with(&args, |c| {
        c.arg("--data-dir").arg(&dir);
    });
    let Err((status, log)) = started else { panic!("it joined") };
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the name 'w1' is in use") && log.contains("--name"), "{log}");
    assert_eq!(cluster.client.nodes().expect("nodes").len(), 1);
    assert_eq!(cluster.client.node("w1").expect("w1").status, "active", "the first is left alone");
}

#[test]
fn workers_without_flags_share_a_machine() {
    let mut cluster = Cluster::start(0);
    let data = cluster.dir.path().join("data");
    let start = || {
        Starting::with(&["worker", cluster.head.ready("grpc")], |c| {
            c.env("XDG_DATA_HOME", &data);
        })
    };
    let starting: Vec<Starting> = (0..3).map(|_| start()).collect();
    cluster.workers = starting.into_iter().map(|s| s.ready().expect("it joins")).collect();
    let nodes = cluster.client.nodes().expect("nodes");
    let different = |of: fn(&cares::types::Node) -> &String| nodes.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!((different(|n| &n.id), different(|n| &n.name), different(|n| &n.address)), (3, 3, 3), "{nodes:?}");
    for n in 1..=3 {
        assert!(Path::new(&data).join(format!("cares/worker-{n}/node-id")).is_file(), "worker-{n}");
    }
    for node in &nodes {
        cluster.wait_linked(&node.name);
    }
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    assert_eq!(cluster.call("cat", "hi"), (200, "hi".into()));
}
