//! A worker as it sees itself: `GET /status` on its own address, once and watched, joined or not; and `cares node status`.

use crate::gate::Gate;
use crate::harness::{Cluster, PATIENCE, Starting, cares, free_address, run, wait_for, wait_for_some};
use cares::client::Orchestrator;
use cares::types::{Change, Member};
use std::time::{Duration, Instant};

fn client(worker: &crate::harness::Role) -> Orchestrator {
    Orchestrator::new(&worker.url()).expect("a URL")
}

#[test]
fn a_worker_tells_what_it_is_and_what_runs() {
    let cluster = Cluster::start(1);
    let worker = client(&cluster.workers[0]);
    let member = worker.member().expect("its status");
    assert_eq!((member.name.as_str(), member.status.as_str()), ("w1", "joined"));
    assert_eq!(member.id, cluster.workers[0].ready("node"));
    assert_eq!(member.orchestrator, cluster.head.ready("grpc"));
    assert!(member.cluster.is_some() && member.trouble.is_none() && member.retry_in_ms.is_none(), "{member:?}");
    assert!(member.memory_percent.is_some_and(|p| (0.0..=100.0).contains(&p)), "{member:?}");
    assert_eq!((member.slots, member.running, member.jobs), (256, 0, 0));
    assert!(member.job_slots >= 1 && member.engines.contains(&"process".to_string()), "{member:?}");

    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let gate = Gate::deploy(&cluster, "gate", "");
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    let member = worker.member().expect("its status");
    assert_eq!((member.running, member.jobs, member.work.len()), (1, 1, 2), "{member:?}");
    let row = |kind: &str| member.work.iter().find(|w| w.kind == kind).expect("a row");
    assert_eq!((row("instance").function.as_str(), row("instance").status.as_str()), ("echo", "warm"));
    assert_eq!((row("instance").in_flight, row("job").function.as_str()), (0, "gate"));

    let url = cluster.workers[0].url();
    let (status, out, err) = run(cares().args(["node", "status", "--url", &url]));
    assert!(status.success() && out.contains("w1") && out.contains("joined") && out.contains("gate"), "{out}{err}");
    let (status, out, _) = run(cares().args(["node", "status", "-o", "json", "--url", &url]));
    assert!(status.success() && serde_json::from_str::<Member>(&out).is_ok_and(|m| m.name == "w1"), "{out}");
    let (status, _, err) = run(cares().args(["node", "status", "--url", &cluster.head.url()]));
    assert!(status.code() == Some(2) && err.contains("no worker's address"), "{err}");
    gate.open();
    assert_eq!(call.join().expect("an answer").0, 200);
    wait_for("nothing is in flight", || worker.member().is_ok_and(|m| m.running == 0 && m.jobs == 0));
}

#[test]
fn a_watch_goes_on_once_a_second_and_tells_a_lost_orchestrator_at_once() {
    let mut cluster = Cluster::start(1);
    let worker = client(&cluster.workers[0]);
    let mut watch = worker.watch_member().expect("a stream").map(|change| change.expect("a change"));
    assert!(matches!(watch.next(), Some(Change::Put(member)) if member.status == "joined"));
    assert_eq!(watch.next(), Some(Change::Synced));
    let begun = Instant::now();
    for _ in 0..2 {
        assert!(matches!(watch.next(), Some(Change::Put(_))));
    }
    let took = begun.elapsed();
    assert!((Duration::from_millis(1_500)..Duration::from_secs(10)).contains(&took), "{took:?}");

    cluster.head.kill();
    let until = Instant::now() + PATIENCE;
    let waiting = wait_for_some("it waits", || match watch.next() {
        Some(Change::Put(member)) if member.status == "waiting" => Some(member),
        _ => None,
    });
    assert!(Instant::now() < until);
    assert!(waiting.trouble.is_some() && waiting.retry_in_ms.is_some() && waiting.cluster.is_none(), "{waiting:?}");
    assert!(waiting.memory_percent.is_some(), "the machine is still read");
    cluster.restart_head();
    wait_for("it is back", || matches!(watch.next(), Some(Change::Put(member)) if member.status == "joined"));
    cluster.workers[0].signal("TERM");
    let last = watch.filter_map(|change| if let Change::Put(member) = change { Some(member) } else { None }).last();
    assert_eq!(last.expect("a last word").status, "ended", "the stream ends with the worker");
}

#[test]
fn a_worker_that_never_joined_answers_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let (nobody, own) = (free_address().to_string(), free_address().to_string());
    let data = dir.path().to_str().expect("UTF-8").to_string();
    let args = ["worker", &nobody, "--name", "alone", "--worker-addr", &own, "--data-dir", &data];
    let _worker = Starting::with(&args, |_| {});
    let client = Orchestrator::new(&format!("http://{own}")).expect("a URL");
    let member = wait_for_some("it waits", || client.member().ok().filter(|member| member.status == "waiting"));
    assert!(member.trouble.is_some_and(|why| why.contains(&nobody)));
    wait_for("CPU is read", || client.member().is_ok_and(|m| m.cpu_percent.is_some() && m.memory_percent.is_some()));
}
