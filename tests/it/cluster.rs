//! A cluster's calls: they find a node, their answers come back, and nothing runs more often or longer than it should.

use crate::gate::Gate;
use crate::harness::{Cluster, Role, wait_for, wait_for_some};
use crate::processes;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn a_job_and_an_http_function_answer() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("upper", "tr a-z A-Z");
    cluster.deploy_echo("");
    assert_eq!(cluster.call("upper", "hello"), (200, "HELLO".into()));
    assert_eq!(cluster.call("echo", "ping"), (200, "ping".into()));
    let function = cluster.client.function("echo").expect("echo");
    assert_eq!((function.status.as_str(), function.calls, function.failures), ("running", 1, 0));
    assert_eq!(function.instances.len(), 1);
}

#[test]
fn a_burst_is_answered_whole_and_spread_over_the_nodes() {
    let cluster = Cluster::start(2);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= 500 {
                        return;
                    }
                    assert_eq!(cluster.call("cat", &format!("call {n}")), (200, format!("call {n}")));
                }
            });
        }
    });
    let done = || cluster.client.nodes().expect("nodes").iter().map(|n| (n.succeeded, n.failed)).collect::<Vec<_>>();
    wait_for("all calls are counted", || done().iter().map(|(succeeded, _)| succeeded).sum::<u64>() == 500);
    assert!(done().iter().all(|(succeeded, failed)| *succeeded >= 25 && *failed == 0), "{:?}", done());
}

#[test]
fn every_answer_to_a_call_has_an_id_of_its_own() {
    let mut cluster = Cluster::start(0);
    cluster.deploy_script("fine", "cat");
    cluster.deploy_script("fails", "exit 3");
    let mut ids = BTreeSet::new();
    let mut call = |cluster: &Cluster, name: &str| {
        let (answer, _) = cluster.invoke(name, "");
        assert!(ids.insert(answer.call_id.clone().expect("X-Call-Id")), "{:?} again", answer.call_id);
        answer
    };
    assert_eq!(call(&cluster, "nothing").status, 404);
    assert_eq!(call(&cluster, "fine").status, 503);
    cluster.add_worker("w1", &[]);
    assert_eq!(call(&cluster, "fine").status, 200);
    assert_eq!(call(&cluster, "fine").status, 200);
    assert_eq!(call(&cluster, "fails").status, 502);
    assert_eq!(call(&cluster, "nothing").status, 404);
}

#[test]
fn without_a_worker_a_call_is_refused_and_told_when_to_come_again() {
    let cluster = Cluster::start(0);
    cluster.deploy_echo("");
    let (answer, text) = cluster.invoke("echo", "");
    assert_eq!(answer.status, 503, "{text}");
    assert!(answer.header("retry-after").expect("Retry-After").parse::<u32>().expect("seconds") > 0);
    let problem: cares::types::Problem = serde_json::from_str(&text).expect("a problem");
    assert_eq!(problem.code, "no_node");
    assert!(problem.detail.contains("cares worker"), "{}", problem.detail);
}

#[test]
fn both_logs_tell_the_story_of_a_call() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("greet", "echo hi");
    cluster.deploy_script("fails", "exit 3");
    let (answer, _) = cluster.invoke("greet", "");
    let id = answer.call_id.expect("X-Call-Id");
    let told = story(&cluster.head, &id, 3);
    let [received, chosen, finished] = &told[..] else { panic!("{told:?}") };
    assert!(
        received.contains("of 'greet': received POST /invoke/greet") && received.ends_with(", 1 candidate"),
        "{told:?}"
    );
    assert!(chosen.contains("node 'w1' chosen (score") && chosen.contains("dispatched"), "{told:?}");
    assert!(finished.contains("finished with status 200 after") && finished.ends_with("ms"), "{told:?}");
    let told = story(&cluster.workers[0], &id, 2);
    let [received, finished] = &told[..] else { panic!("{told:?}") };
    assert!(received.ends_with("of 'greet': received, starting process"), "{told:?}");
    assert!(finished.contains("finished after") && finished.ends_with("200"), "{told:?}");

    let (answer, _) = cluster.invoke("fails", "");
    let id = answer.call_id.expect("X-Call-Id");
    let told = story(&cluster.head, &id, 3);
    assert!(told[2].contains("failed with status 502 after"), "{told:?}");

    // One that is given up has an end there too.
    cluster.deploy("slow", r#"{"mode":"job","command":["sleep","600"],"timeout_s":0.5}"#, &[]);
    let (answer, _) = cluster.invoke("slow", "");
    assert_eq!(answer.status, 504);
    let told = story(&cluster.workers[0], &answer.call_id.expect("X-Call-Id"), 2);
    assert!(
        told[1].contains("finished after") && told[1].ends_with("its time was over or its caller left"),
        "{told:?}"
    );
    let told = story(&cluster.workers[0], &id, 2);
    assert!(told[1].contains("exited with code 3"), "{told:?}");
}

/// The lines a log has of a call, once there are so many.
fn story(role: &Role, id: &str, lines: usize) -> Vec<String> {
    let mark = format!("Call {id} of");
    wait_for_some("the call's end is in the log", || {
        let told: Vec<String> = role.log().lines().filter(|l| l.contains(&mark)).map(str::to_string).collect();
        (told.len() >= lines).then_some(told)
    })
}

#[test]
fn a_function_runs_only_where_its_constraints_hold() {
    let mut cluster = Cluster::start(1);
    let manifest = r#"{"mode":"job","command":["cat"],"constraints":{"tags":{"zone":"edge"}}}"#;
    cluster.deploy("edge", manifest, &[]);
    let problem = cluster.problem("edge", "");
    assert_eq!((problem.status, problem.code.as_str()), (503, "no_node"));
    assert!(problem.detail.contains("constraints"), "{}", problem.detail);
    cluster.add_worker("w2", &["--tag", "zone=edge", "--tag", "disk=ssd"]);
    for _ in 0..10 {
        assert_eq!(cluster.call("edge", "here"), (200, "here".into()));
    }
    let succeeded = |name| cluster.client.node(name).expect("a node").succeeded;
    wait_for("all calls are counted", || succeeded("w2") == 10);
    assert_eq!(succeeded("w1"), 0);
}

#[test]
fn a_worker_never_runs_more_jobs_than_it_offered_and_the_rest_wait() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("w1", &["--slots", "2"]);
    let node = cluster.client.node("w1").expect("w1");
    assert_eq!(node.slots, 2);
    let dir = cluster.dir.path().join("running");
    std::fs::create_dir(&dir).expect("a folder");
    let at = dir.display();
    // Each says how many there are while it is there.
    cluster.deploy_open_script("count", &format!(": > '{at}'/$$; ls '{at}' | wc -l; sleep 0.1; rm '{at}'/$$"));
    let calls: Vec<_> = (0..8).map(|_| cluster.call_aside("count", "")).collect();
    for call in calls {
        let (status, text, _) = call.join().expect("an answer");
        let running: u32 = text.trim().parse().unwrap_or_else(|_| panic!("{status} {text}"));
        assert!(status == 200 && running <= node.job_slots, "{running} at once");
    }
    wait_for("no slot is held", || cluster.client.node("w1").expect("w1").running == 0);
}

#[test]
fn waiting_jobs_start_as_soon_as_there_is_room() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("w1", &["--slots", "1"]);
    let gate = Gate::deploy(&cluster, "gate", "");
    let calls: Vec<_> = (0..3).map(|_| cluster.call_aside("gate", "")).collect();
    wait_for("three calls are in flight", || cluster.client.function("gate").expect("gate").in_flight == 3);
    gate.wait_started(1);
    assert_eq!(cluster.client.node("w1").expect("w1").running, 1);
    cluster.add_worker("w2", &["--slots", "1"]);
    gate.wait_started(2);
    gate.open();
    for call in calls {
        assert_eq!(call.join().expect("an answer").0, 200);
    }
}

#[test]
fn an_idle_function_goes_to_zero_and_starts_again() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo(r#","idle_s":0.2"#);
    for round in 0..3 {
        assert_eq!(cluster.call("echo", "ping"), (200, "ping".into()), "round {round}");
        let instances = || cluster.client.function("echo").expect("echo").instances;
        wait_for("it has no instance", || instances().is_empty());
        processes::wait_none(&cluster);
    }
    assert_eq!(cluster.client.function("echo").expect("echo").status, "idle");
}

#[test]
fn one_cold_start_serves_all_who_wait_for_it() {
    let cluster = Cluster::start(1); // with more, a better node may take over at once
    cluster.deploy_echo("");
    let calls: Vec<_> = (0..16).map(|n| (n, cluster.call_aside("echo", &n.to_string()))).collect();
    for (n, call) in calls {
        let (status, text, _) = call.join().expect("an answer");
        assert_eq!((status, text), (200, n.to_string()));
    }
    assert_eq!(cluster.client.function("echo").expect("echo").instances.len(), 1);
    assert_eq!(processes::of(&cluster).len(), 1);
}

#[test]
fn functions_find_what_the_container_contract_promises() {
    let cluster = Cluster::start(1);
    cluster.deploy_script(
        "job",
        r#"test -d "$HOME" && test -w "$HOME" && echo "$K_SERVICE $K_REVISION $GREETING ${PORT-none}""#,
    );
    let manifest = r#"{"mode":"job","command":["./run.sh"],"env":{"GREETING":"hi"}}"#;
    cluster.deploy("job", manifest, &[]);
    assert_eq!(cluster.call("job", ""), (200, "job job-00002 hi none\n".into()));

    cluster.deploy_echo(r#","env":{"GREETING":"hi"}"#);
    assert_eq!(cluster.call("echo", "x").0, 200);
    let [pid] = processes::of(&cluster)[..] else { panic!("{:?}", processes::of(&cluster)) };
    let env = processes::environment(pid);
    assert_eq!((env["K_SERVICE"].as_str(), env["K_REVISION"].as_str()), ("echo", "echo-00001"));
    assert_eq!(env["GREETING"], "hi");
    assert!(env["PORT"].parse::<u16>().is_ok_and(|port| port > 0), "{}", env["PORT"]);
    assert!(std::path::Path::new(&env["HOME"]).is_dir(), "{}", env["HOME"]);
}
