//! Bad networks between workers and their orchestrator: what is under way is settled, and all heals by itself.

use crate::gate::Gate;
use crate::harness::{Cluster, Role, invoke, wait_for};
use crate::processes;
use crate::weather::{Sky, Weather};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Loss is found within this; it is the promise to users.
const LOSS_FOUND: Duration = Duration::from_secs(15);

/// A cluster each of whose workers has a network of its own.
fn clouded(workers: usize) -> (Cluster, Vec<Weather>) {
    let mut cluster = Cluster::start(0);
    let mut skies = Vec::new();
    for n in 1..=workers {
        let weather = Weather::before(cluster.head.ready("grpc").parse().expect("an address"));
        let name = format!("w{n}");
        let dir = cluster.dir.path().join(&name);
        let args = ["--name", &name, "--worker-addr", "127.0.0.1:0", "--data-dir", dir.to_str().expect("UTF-8")];
        cluster.workers.push(Role::start(&[&["worker", &*weather.address()], &args[..]].concat()));
        cluster.wait_linked(&name);
        skies.push(weather);
    }
    (cluster, skies)
}

fn code(text: &str) -> String {
    serde_json::from_str::<cares::types::Problem>(text).unwrap_or_else(|_| panic!("no problem: {text}")).code
}

#[test]
fn a_half_open_connection_is_found_out_at_both_ends() {
    let (cluster, skies) = clouded(1);
    let before = cluster.client.node("w1").expect("w1").id;
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":60"#);
    let call = cluster.call_aside("gate", "");
    let pid = gate.wait_started(1)[0];
    let cut = Instant::now();
    skies[0].becomes(Sky::Still);
    let (status, text, at) = call.join().expect("an answer");
    assert_eq!((status, code(&text).as_str()), (502, "node_lost"), "{text}");
    assert!(at - cut < LOSS_FOUND, "told after {:?}", at - cut);
    cluster.wait_status("w1", "disconnected");
    assert!(cut.elapsed() < LOSS_FOUND, "disconnected after {:?}", cut.elapsed());
    assert_eq!(cluster.problem("echo", "").code, "no_node");
    wait_for("its worker ends the job nobody waits for", || !processes::of(&cluster).contains(&pid));
    assert!(cut.elapsed() < LOSS_FOUND, "ended after {:?}", cut.elapsed());
    wait_for("its worker knows", || cluster.workers[0].log().contains("trying again in"));

    skies[0].becomes(Sky::Clear);
    cluster.wait_linked("w1");
    assert_eq!(cluster.client.node("w1").expect("w1").id, before);
    assert_eq!(cluster.call("echo", "again"), (200, "again".into()));
    wait_for("no call is held", || cluster.client.node("w1").expect("w1").running == 0);
    assert_eq!(gate.started(), [pid], "the call did not run twice");
}

#[test]
fn a_slow_network_that_loses_pieces_costs_time_and_nothing_else() {
    let (cluster, skies) = clouded(1);
    cluster.deploy_echo("");
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    skies[0].becomes(Sky::Slow(Duration::from_millis(300)));
    let long = "0123456789".repeat(100_000);
    thread::scope(|scope| {
        for name in ["echo", "cat"] {
            let (cluster, long) = (&cluster, &long);
            scope.spawn(move || {
                for body in ["a", "short", long, "short again"] {
                    let asked = Instant::now();
                    let (status, text) = cluster.call(name, body);
                    assert!(status == 200 && text == *body, "{name}: {status}, {} bytes of {}", text.len(), body.len());
                    assert!(asked.elapsed() >= Duration::from_millis(600), "there and back is slow");
                }
            });
        }
    });
    assert!(!cluster.head.log().contains("is disconnected"), "{}", cluster.head.log());
}

#[test]
fn partitions_heal_without_a_human_and_every_call_is_answered() {
    let (cluster, skies) = clouded(2);
    cluster.deploy_echo("");
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for name in ["echo", "cat", "echo", "cat"] {
            let (client, over, answered) = (&cluster.client, &over, &answered);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let (answer, text) = invoke(client, name, "x");
                    match answer.status {
                        200 => assert_eq!(text, "x"),
                        502..=504 => thread::sleep(Duration::from_millis(10)), // as a caller would
                        other => panic!("{name}: {other} {text}"),
                    }
                    assert!(asked.elapsed() < LOSS_FOUND, "{name}: answered after {:?}", asked.elapsed());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let status = |at: usize, status: &str| cluster.wait_status(["w1", "w2"][at], status);
        for cut in [&[0][..], &[1], &[0, 1]] {
            cut.iter().for_each(|at| skies[*at].becomes(Sky::Torn));
            cut.iter().for_each(|at| status(*at, "disconnected"));
            let so_far = answered.load(Ordering::Relaxed);
            wait_for("callers are still answered", || answered.load(Ordering::Relaxed) >= so_far + 20);
            cut.iter().for_each(|at| skies[*at].becomes(Sky::Clear));
            ["w1", "w2"].iter().for_each(|name| cluster.wait_linked(name));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(cluster.call("echo", "whole"), (200, "whole".into()));
    assert_eq!(cluster.call("cat", "whole"), (200, "whole".into()));
    let told = || cluster.client.function("echo").expect("echo").instances.len();
    wait_for("nothing runs that is not told", || processes::of(&cluster).len() == told());
}

#[test]
fn a_herd_of_workers_is_back_soon_after_its_orchestrator_and_not_all_at_once() {
    const HERD: usize = 40;
    let mut cluster = Cluster::start(0);
    let names: Vec<String> = (0..HERD).map(|n| format!("w{n}")).collect();
    let start = |name: &String| cluster.start_worker(name, &["--engine", "process"]);
    let workers: Vec<Role> = thread::scope(|scope| {
        let starting: Vec<_> = names.iter().map(|name| scope.spawn(|| start(name))).collect();
        starting.into_iter().map(|starting| starting.join().expect("it joins")).collect()
    });
    cluster.workers = workers;
    cluster.restart_head();
    let back = Instant::now();
    names.iter().for_each(|name| cluster.wait_linked(name));
    assert!(back.elapsed() < LOSS_FOUND, "after {:?}", back.elapsed());
    let waits: std::collections::BTreeSet<String> = cluster
        .workers
        .iter()
        .filter_map(|w| {
            w.log().lines().find_map(|l| l.split_once("trying again in ").map(|(_, wait)| wait.to_string()))
        })
        .collect();
    assert!(waits.len() > 1, "they all waited equally long: {waits:?}");
}
