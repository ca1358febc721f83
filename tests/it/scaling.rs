//! Instances follow the load, are frozen and woken, and give way to newer revisions: and no call fails meanwhile.

use crate::fixture;
use crate::harness::{Cluster, cares, run, wait_for};
use crate::load::Load;
use crate::processes;
use crate::wire::ReadSome;
use cares::types::{Function, FunctionSpec, Scale};

/// The states of a function's instances, sorted.
fn states(f: &Function) -> Vec<String> {
    let mut all: Vec<String> = f.instances.iter().map(|i| i.status.clone()).collect();
    all.sort();
    all
}

fn function(cluster: &Cluster, name: &str) -> Function {
    cluster.client.function(name).expect("the function")
}

/// Runs a verb, which must do as told; what it printed.
fn verb(cluster: &Cluster, words: &[&str]) -> String {
    let (status, out, err) = run(cares().args(words).args(["--url", &cluster.head.url()]));
    assert!(status.success(), "{words:?}: {out}{err}");
    out
}

/// `R`, `S`, `T`, …: what the system says a process does.
fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim().chars().next()
}

#[test]
fn instances_come_with_the_load_and_go_with_it() {
    let cluster = Cluster::start(2);
    cluster.deploy_echo(r#","concurrency":2,"max":4,"idle_s":0.5"#);
    assert!(function(&cluster, "echo").instances.is_empty());
    let load = Load::start(&cluster, "echo", 8);
    wait_for("all four instances are warm", || states(&function(&cluster, "echo")) == ["warm"; 4]);
    let done = load.done();
    wait_for("a hundred more calls are answered", || load.done() > done + 100);
    load.end();
    wait_for("all are gone", || function(&cluster, "echo").instances.is_empty());
    processes::wait_none(&cluster);
    assert_eq!(function(&cluster, "echo").failures, 0);
}

#[test]
fn what_load_does_not_need_any_more_goes_while_calls_come() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo(r#","concurrency":1,"max":4,"idle_s":0.5"#);
    let many = Load::start(&cluster, "echo", 4);
    wait_for("four are warm", || states(&function(&cluster, "echo")) == ["warm"; 4]);
    let few = Load::start(&cluster, "echo", 1);
    many.end();
    wait_for("few are left", || function(&cluster, "echo").instances.len() <= 2);
    few.end();
}

#[test]
fn no_call_fails_from_none_to_many_through_redeploys_a_broken_one_a_rollback_and_a_drain_and_back_to_none() {
    let mut cluster = Cluster::start(2);
    cluster.deploy_echo(r#","concurrency":2,"max":8,"idle_s":1"#);
    let load = Load::start(&cluster, "echo", 16);
    wait_for("all eight instances are warm", || states(&function(&cluster, "echo")) == ["warm"; 8]);
    let serves = |revision: u64| {
        wait_for(&format!("revision {revision} serves"), || {
            let f = function(&cluster, "echo");
            f.serving == revision && f.instances.iter().all(|i| i.revision == revision)
        });
    };
    for revision in 2..=6 {
        let out = verb(&cluster, &["redeploy", "echo"]);
        assert!(out.starts_with(&format!("redeployed echo as revision {revision} ")), "{out}");
        serves(revision);
    }
    let out = verb(&cluster, &["rollback", "echo", "--to", "1"]);
    assert!(out.starts_with("rolled back echo as revision 7 "), "{out}");
    serves(7);
    cluster.deploy("echo", &fixture::manifest("exits-at-start"), &[]);
    wait_for("its failure is shown", || function(&cluster, "echo").revisions[0].status == "failed");
    assert_eq!(function(&cluster, "echo").serving, 7);
    cluster.client.drain("w1").expect("drained");
    let w1 = cluster.client.node("w1").expect("a node").id;
    wait_for("nothing is left there", || function(&cluster, "echo").instances.iter().all(|i| i.node != w1));
    cluster.workers[0].signal("TERM");
    cluster.workers[0].wait();
    let done = load.done();
    wait_for("calls go on", || load.done() > (done + 50).max(3_000));
    load.end();
    wait_for("all are gone", || function(&cluster, "echo").instances.is_empty());
}

#[test]
fn a_revision_that_fails_to_start_leaves_the_old_one_serving() {
    let mut cluster = Cluster::start(1);
    cluster.deploy("f", &fixture::manifest("pid"), &[]);
    let (status, first) = cluster.call("f", "");
    assert_eq!(status, 200);
    let load = Load::start(&cluster, "f", 2);
    let folder = cluster.folder("f", &fixture::manifest("exits-at-start"), &[]);
    let out = verb(&cluster, &["deploy", folder.to_str().expect("UTF-8"), "--name", "f"]);
    assert!(out.starts_with("deployed f revision 2, which takes over once it answers\n"), "{out}");
    wait_for("its failure is shown", || function(&cluster, "f").last_error.is_some());
    assert!(verb(&cluster, &["list"]).contains(" 2(serving:1) "));
    let check = |cluster: &Cluster| {
        let f = function(cluster, "f");
        assert_eq!((f.revision, f.serving), (2, 1));
        assert!(f.last_error.as_deref().is_some_and(|why| why.contains("no configuration found")), "{f:?}");
        let status: Vec<&str> = f.revisions.iter().map(|r| r.status.as_str()).collect();
        assert_eq!(status, ["failed", "serving"]);
    };
    check(&cluster);
    assert_eq!(cluster.call("f", ""), (200, first.clone()));
    load.end();
    let text = verb(&cluster, &["describe", "f"]);
    assert!(text.contains("2 (calls run 1)") && text.contains("no configuration found"), "{text}");
    assert!(text.contains("it did not start") && text.contains("cares rollback f"), "{text}");
    // also over a restart
    cluster.restart_head();
    cluster.wait_linked("w1");
    check(&cluster);
    assert_eq!(cluster.call("f", "").0, 200);
    let f = cluster.client.rollback("f", None).expect("rolled back");
    assert_eq!(f.revision, 3, "to what serves");
    wait_for("it serves", || function(&cluster, "f").serving == 3);
    assert_eq!(function(&cluster, "f").last_error, None);
    assert_eq!(cluster.call("f", "").0, 200);
}

#[test]
fn an_idle_instance_is_frozen_and_the_next_call_wakes_it() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &fixture::manifest_with("pid", r#","freeze_s":0.2"#), &[]);
    let pid = cluster.call("f", "").1;
    let process: u32 = pid.parse().expect("a process");
    for _ in 0..3 {
        wait_for("it is shown as frozen", || states(&function(&cluster, "f")) == ["frozen"]);
        wait_for("it is", || process_state(process) == Some('T'));
        assert_eq!(function(&cluster, "f").status, "running");
        assert_eq!(cluster.call("f", ""), (200, pid.clone()));
        assert_ne!(process_state(process), Some('T'));
    }
    wait_for("it is frozen again", || process_state(process) == Some('T'));
    let text = verb(&cluster, &["describe", "f"]);
    assert!(text.contains(" frozen in flight 0"), "{text}");
    let text = verb(&cluster, &["node", "describe", "w1"]);
    assert!(text.contains(" of f revision 1 frozen in flight 0"), "{text}");
    assert_eq!(cluster.client.node("w1").expect("w1").running, 0);
    // what is frozen ends like any other
    cluster.client.delete_function("f").expect("deleted");
    processes::wait_none(&cluster);
}

#[test]
fn a_function_under_way_is_not_frozen() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &fixture::manifest_with("by-path", r#","freeze_s":0"#), &[]);
    let mut events = crate::wire::connect(cluster.head.http());
    use std::io::Write;
    write!(events, "GET /invoke/f/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut got = [0; 4_096];
    let mut text = String::new();
    while text.matches("data: more").count() < 20 {
        let n = events.read_some(&mut got).expect("an event");
        assert_ne!(n, 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&got[..n]));
    }
    assert_eq!(states(&function(&cluster, "f")), ["warm"]);
    drop(events);
    wait_for("it is frozen once nobody listens", || states(&function(&cluster, "f")) == ["frozen"]);
}

#[test]
fn bounds_are_changed_without_a_revision_and_kept() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo(r#","freeze_s":0.2,"idle_s":0.5"#);
    let out = verb(&cluster, &["scale", "echo", "--min", "1", "--ready", "3", "--max", "5"]);
    assert!(out.starts_with("scaled echo: min 1, ready 3, max 5. "), "{out}");
    let settled = |cluster: &Cluster| {
        wait_for("one is awake and two are frozen", || {
            states(&function(cluster, "echo")) == ["frozen", "frozen", "warm"]
        });
        let f = function(cluster, "echo");
        assert_eq!((f.revision, f.min, f.ready, f.max), (1, 1, 3, 5));
    };
    settled(&cluster);
    let before: Vec<u32> = processes::of(&cluster);
    cluster.restart_head();
    cluster.wait_linked("w1");
    settled(&cluster);
    assert_eq!(processes::of(&cluster), before, "the same three");
    let error = cluster.client.scale("echo", &Scale { min: Some(9), ..Scale::default() }).expect_err("too many");
    assert_eq!(error.code(), "invalid_field");
    assert!(error.to_string().contains("min: must be at most max, which is 5"), "{error}");
    verb(&cluster, &["scale", "echo", "--min", "0", "--ready", "0"]);
    processes::wait_none(&cluster);
    let (status, _, err) = run(cares().args(["scale", "echo", "--url", &cluster.head.url()]));
    assert_eq!(status.code(), Some(2), "{err}");
    cluster.deploy_script("once", "true");
    let error = cluster.client.scale("once", &Scale { min: Some(1), ..Scale::default() }).expect_err("a job");
    assert!(error.code() == "invalid_field" && error.to_string().starts_with("mode: 'once' is a job"), "{error}");
    let unknown = cluster.client.scale("nobody", &Scale { min: Some(1), ..Scale::default() });
    assert_eq!(unknown.expect_err("unknown").code(), "function_not_found");
}

#[test]
fn going_back_needs_a_revision_that_is_kept() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let refused = |to| cluster.client.rollback("echo", to).expect_err("refused");
    assert_eq!(refused(None).code(), "revision_not_found");
    let error = refused(Some(7));
    assert!(error.to_string().contains("the only one kept is 1"), "{error}");
    let (status, _, err) = run(cares().args(["rollback", "nobody", "--url", &cluster.head.url()]));
    assert_eq!(status.code(), Some(4), "{err}");
}

#[test]
fn a_hundred_functions_cold_at_once_all_answer() {
    let cluster = Cluster::start(2);
    cluster.deploy_echo("");
    let image = function(&cluster, "echo").image;
    let names: Vec<String> = (0..100).map(|n| format!("cold-{n}")).collect();
    for name in &names {
        let spec = FunctionSpec { name: name.clone(), image: image.clone(), ..FunctionSpec::default() };
        cluster.client.register(&spec).expect("registered");
    }
    let calls: Vec<_> = names.iter().map(|name| cluster.call_aside(name, name)).collect();
    for (call, name) in calls.into_iter().zip(&names) {
        let (status, text, _) = call.join().expect("an answer");
        assert_eq!((status, &text), (200, name));
    }
}
