//! Programs that are killed, frozen, cut off or told to stop: callers are told at once, nothing runs on unseen, and what
//! can come back does so by itself.

use crate::gate::Gate;
use crate::harness::{Cluster, Role, Starting, free_address, invoke, wait_for, wait_for_some};
use crate::head::Head;
use crate::processes;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The code of a problem.
fn code(text: &str) -> String {
    serde_json::from_str::<cares::types::Problem>(text).unwrap_or_else(|_| panic!("no problem: {text}")).code
}

/// What the worker is and who it is: `(id, status)` of each node.
fn nodes(cluster: &Cluster) -> Vec<(String, String)> {
    cluster.client.nodes().expect("nodes").into_iter().map(|n| (n.id, n.status)).collect()
}

#[test]
fn the_caller_of_a_killed_worker_is_told_within_a_second() {
    let mut cluster = Cluster::start(1);
    let before = nodes(&cluster);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let gate = Gate::deploy(&cluster, "gate", "");
    let calls: Vec<_> = (0..2).map(|_| cluster.call_aside("gate", "")).collect();
    gate.wait_started(2);
    let killed = Instant::now();
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    assert!(killed.elapsed() < Duration::from_secs(1), "disconnected after {:?}", killed.elapsed());
    for call in calls {
        let (status, text, at) = call.join().expect("an answer");
        assert_eq!((status, code(&text).as_str()), (502, "node_lost"), "{text}");
        assert!(at - killed < Duration::from_secs(1), "told after {:?}", at - killed);
    }
    processes::wait_none(&cluster);
    assert_eq!(cluster.problem("gate", "").code, "no_node");

    cluster.restart_worker(0, "w1", &[]);
    assert_eq!(nodes(&cluster), before, "the same row");
    assert_eq!(cluster.call("echo", "again"), (200, "again".into()));
}

#[test]
fn what_functions_of_a_killed_worker_started_is_gone_when_it_is_back() {
    let mut cluster = Cluster::start(1);
    let pids = cluster.dir.path().join("pids");
    let at = pids.display();
    // A child, one that left the group, and one that nobody waits for.
    cluster
        .deploy_open_script("family", &format!("sleep 1000 & setsid sleep 1000 & (sleep 1000 &) ; : > '{at}'; wait"));
    let call = cluster.call_aside("family", "");
    wait_for("they have started", || pids.exists() && processes::of(&cluster).len() >= 4);
    cluster.restart_worker(0, "w1", &[]);
    assert_eq!(call.join().expect("an answer").0, 502);
    assert_eq!(processes::of(&cluster), [0; 0], "the new worker ended them before it joined");
}

#[test]
fn a_frozen_worker_is_disconnected_and_comes_back_by_itself() {
    let cluster = Cluster::start(1);
    let before = nodes(&cluster);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":60"#);
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    let frozen = Instant::now();
    cluster.workers[0].signal("STOP");
    let (status, text, at) = call.join().expect("an answer");
    assert_eq!((status, code(&text).as_str()), (502, "node_lost"), "{text}");
    assert!(at - frozen < Duration::from_secs(15), "told after {:?}", at - frozen);
    cluster.wait_status("w1", "disconnected");
    assert!(frozen.elapsed() < Duration::from_secs(15), "disconnected after {:?}", frozen.elapsed());
    cluster.workers[0].signal("CONT");
    cluster.wait_linked("w1");
    assert_eq!(nodes(&cluster), before);
    processes::wait_none(&cluster); // the call's job ended with the call
    gate.open();
    assert_eq!(cluster.call("gate", ""), (200, "through\n".into()));
}

#[test]
fn a_call_ends_as_soon_as_its_node_is_lost() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":60"#);
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    cluster.workers[0].signal("STOP");
    cluster.head.signal("STOP");
    thread::sleep(Duration::from_secs(11)); // the lease of 10 s runs out, and nobody can be asked
    let woken = Instant::now();
    cluster.head.signal("CONT");
    let (status, text, at) = call.join().expect("an answer");
    assert_eq!((status, code(&text).as_str()), (502, "node_lost"), "{text}");
    assert!(at - woken < Duration::from_secs(1), "told after {:?}", at - woken);
    wait_for("its lease ran out", || cluster.head.log().contains("is disconnected: no heartbeat for 1"));
    cluster.workers[0].signal("CONT");
    cluster.wait_linked("w1");
    processes::wait_none(&cluster);
}

#[test]
fn a_worker_told_to_stop_finishes_its_calls_first() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let gate = Gate::deploy(&cluster, "gate", "");
    let call = cluster.call_aside("gate", "");
    gate.wait_started(1);
    cluster.workers[0].signal("TERM");
    cluster.wait_status("w1", "draining");
    assert_eq!(cluster.problem("gate", "").code, "no_node");
    gate.open();
    let (status, text, _) = call.join().expect("an answer");
    assert_eq!((status, text.as_str()), (200, "through\n"));
    assert_eq!(cluster.workers[0].wait().code(), Some(0));
    cluster.wait_status("w1", "disconnected");
    wait_for("it is said to have left", || cluster.head.log().contains("Node 'w1' has left the cluster"));
    assert!(!cluster.head.log().contains("is disconnected:"), "{}", cluster.head.log());
    assert_eq!(processes::of(&cluster), [0; 0]);
}

#[test]
fn a_worker_told_to_stop_sends_all_of_a_long_answer() {
    let mut cluster = Cluster::start(1);
    cluster.deploy("zeros", r#"{"mode":"job","command":["head","-c","8000000","/dev/zero"]}"#, &[]);
    let mut answer = cluster.client.invoke("zeros", Default::default()).expect("an answer");
    assert_eq!(answer.status, 200);
    let mut first = [1; 1000];
    answer.reader.read_exact(&mut first).expect("the first of it");
    cluster.workers[0].signal("TERM");
    cluster.wait_status("w1", "draining");
    let mut rest = Vec::new();
    answer.reader.read_to_end(&mut rest).expect("the rest of it");
    assert_eq!(rest.len(), 7_999_000);
    assert_eq!(cluster.workers[0].wait().code(), Some(0));
}

#[test]
fn a_worker_told_to_stop_sends_all_of_an_http_function_s_answer() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let sent = vec![7; 8_000_000];
    let body = cares::client::Body::Bytes(sent.clone());
    let invoke = cares::client::Invoke { method: "POST".into(), body, ..Default::default() };
    let mut answer = cluster.client.invoke("echo", invoke).expect("an answer");
    let mut got = vec![0; 1000];
    answer.reader.read_exact(&mut got).expect("the first of it");
    cluster.workers[0].signal("TERM");
    cluster.wait_status("w1", "draining");
    answer.reader.read_to_end(&mut got).expect("the rest of it");
    assert!(got == sent, "{} bytes", got.len());
    assert_eq!(cluster.workers[0].wait().code(), Some(0));
}

#[test]
fn no_call_is_lost_to_workers_that_are_told_to_stop() {
    let mut cluster = Cluster::start(2);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    cluster.deploy_echo("");
    let over = AtomicBool::new(false);
    let client = cluster.client.clone();
    thread::scope(|scope| {
        let callers: Vec<_> = ["cat", "echo", "cat", "echo"]
            .map(|name| {
                let (client, over) = (&client, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let (answer, text) = invoke(client, name, "x");
                        assert_eq!((answer.status, text.as_str()), (200, "x"), "{name}");
                    }
                })
            })
            .into();
        for round in 0..4 {
            let at = round % 2;
            let name = ["w1", "w2"][at];
            cluster.workers[at].signal("TERM");
            assert_eq!(cluster.workers[at].wait().code(), Some(0));
            cluster.wait_status(name, "disconnected");
            if callers.iter().any(|caller| caller.is_finished()) {
                break; // it failed
            }
            cluster.workers[at] = cluster.start_worker(name, &[]);
            cluster.wait_linked(name);
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_drained_worker_told_to_stop_ends_at_once() {
    let mut cluster = Cluster::start(1);
    cluster.client.drain("w1").expect("draining");
    wait_for("it is drained", || cluster.head.log().contains("Node 'w1' is drained"));
    let told = Instant::now();
    cluster.workers[0].signal("TERM");
    assert_eq!(cluster.workers[0].wait().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
}

#[test]
fn an_orchestrator_told_to_stop_ends_although_clients_stay_connected() {
    let mut cluster = Cluster::start(1);
    let mut idle = TcpStream::connect(cluster.head.http()).expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let silent = TcpStream::connect(cluster.head.http()).expect("a connection");
    let mut events = TcpStream::connect(cluster.head.http()).expect("a connection");
    events.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    events.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let told = Instant::now();
    cluster.head.signal("TERM");
    assert_eq!(cluster.head.wait().code(), Some(0), "{}", cluster.head.log());
    assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
    drop((idle, silent, events));
}

/// A worker that is not expected to be ready soon.
fn worker_of(address: &str, dir: &Path) -> Starting {
    let dir = dir.join("w1");
    let args = ["worker", address, "--name", "w1", "--worker-addr", "127.0.0.1:0"];
    Starting::with(&args, |c| {
        c.arg("--data-dir").arg(&dir);
    })
}

fn orchestrator_at(grpc: &str, dir: &Path) -> Role {
    Head::of(dir).at("127.0.0.1:0", grpc).start()
}

#[test]
fn a_worker_waits_for_its_orchestrator_and_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = free_address().to_string();
    let worker = worker_of(&address, dir.path());
    let said = format!("cannot reach the orchestrator at {address}");
    wait_for("it tried twice", || worker.log().matches(&said).count() >= 2);
    assert!(worker.log().contains("Is it running?") && worker.log().contains("trying again in"), "{}", worker.log());
    let head = orchestrator_at(&address, dir.path());
    let worker = worker.ready().expect("it joins");
    wait_for("it is said to have joined", || head.log().contains("Node 'w1' has joined the cluster"));
    drop(worker);
}

#[test]
fn a_worker_says_that_an_address_is_no_orchestrator_s_and_goes_on_trying() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = TcpListener::bind(free_address()).expect("a port");
    let address = other.local_addr().expect("its address").to_string();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let server = thread::spawn(move || {
        other.set_nonblocking(true).expect("non-blocking");
        while stopped.try_recv().is_err() {
            if let Ok((mut stream, _)) = other.accept() {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); // as a web server
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let worker = worker_of(&address, dir.path());
    let said = format!("{address} does not answer as an orchestrator's gRPC port");
    wait_for("it tried twice", || worker.log().matches(&said).count() >= 2);
    assert!(worker.log().contains("50051"), "{}", worker.log());
    stop.send(()).expect("it listens");
    server.join().expect("it ends");
    let _head = orchestrator_at(&address, dir.path());
    worker.ready().expect("it joins");
}

#[test]
fn a_worker_that_waits_for_its_orchestrator_ends_when_told_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let worker = worker_of(&free_address().to_string(), dir.path());
    wait_for("it tried", || worker.log().contains("cannot reach the orchestrator"));
    worker.signal("TERM");
    let (status, log) = worker.ready().err().expect("it ends");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_worker_survives_its_orchestrator() {
    let mut cluster = Cluster::start(1);
    let before = nodes(&cluster);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    cluster.head.signal("TERM");
    assert_eq!(cluster.head.wait().code(), Some(0));
    wait_for("the worker noticed", || cluster.workers[0].log().contains("trying again in"));
    cluster.head = Head::of(cluster.dir.path()).at_those_of(&cluster.head).start();
    cluster.wait_linked("w1");
    assert_eq!(nodes(&cluster), before);
    assert_eq!(cluster.call("cat", "x"), (200, "x".into()));
}

#[test]
fn a_job_that_takes_too_long_is_ended_and_its_caller_told() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":0.3"#);
    let asked = Instant::now();
    let problem = cluster.problem("gate", "");
    assert_eq!((problem.status, problem.code.as_str()), (504, "function_timeout"));
    assert!(problem.detail.contains("0.3"), "{}", problem.detail);
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert!(gate.started().len() <= 1);
    processes::wait_none(&cluster);
    wait_for("its slot is free", || cluster.client.node("w1").expect("w1").running == 0);
}

#[test]
fn a_caller_that_leaves_ends_its_job() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", "");
    let mut caller = TcpStream::connect(cluster.head.http()).expect("a connection");
    caller.write_all(b"POST /invoke/gate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").expect("sent");
    let pids = gate.wait_started(1);
    assert!(processes::of(&cluster).contains(&pids[0]));
    drop(caller);
    processes::wait_none(&cluster);
    wait_for("its slot is free", || cluster.client.node("w1").expect("w1").running == 0);
    let log = wait_for_some("its end is in the log", || {
        let log = cluster.head.log();
        log.lines().find(|l| l.contains("ended without an answer")).map(str::to_string)
    });
    assert!(log.contains("of 'gate'"), "{log}");
}
