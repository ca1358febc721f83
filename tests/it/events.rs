//! The cluster's events: what happened is told in its order, and a reader that comes back misses nothing and reads
//! nothing twice.

use crate::harness::{Cluster, raw, wait_for};
use cares::client::Orchestrator;
use cares::types::{Event, FunctionSpec};
use std::sync::{Arc, Mutex};
use std::thread;

/// Reads along on a thread of its own, which ends with the orchestrator.
struct Reader(Arc<Mutex<Vec<Event>>>);

impl Reader {
    fn after(client: &Orchestrator, last: Option<u64>) -> Reader {
        let events = client.events(last).expect("a stream");
        let read = Arc::new(Mutex::new(Vec::new()));
        let into = read.clone();
        thread::spawn(move || events.map_while(Result::ok).for_each(|event| into.lock().unwrap().push(event)));
        Reader(read)
    }

    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.all().into_iter().map(|event| event.kind).collect()
    }

    /// Waits until these were the last kinds told, in this order.
    fn wait_kinds(&self, kinds: &[&str]) {
        wait_for(&format!("{kinds:?} is told after {:?}", self.kinds()), || self.kinds().ends_with(&owned(kinds)));
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn register(client: &Orchestrator, name: &str) {
    let spec = FunctionSpec { name: name.into(), image: "hello-world".into(), ..Default::default() };
    client.register(&spec).expect("registered");
}

#[test]
fn what_was_is_told_to_its_end() {
    let mut cluster = Cluster::start(0);
    let http = cluster.head.http();
    let past = || -> Vec<String> {
        let request = "GET /events?follow=false HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = raw(http, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_string).collect()
    };
    assert_eq!(past(), Vec::<String>::new());
    cluster.add_worker("w1", &[]);
    cluster.client.cordon("w1").expect("cordoned");
    assert_eq!(past(), ["node.joined", "node.cordoned"]);
}

#[test]
fn what_happens_is_told_in_its_order() {
    let mut cluster = Cluster::start(0);
    let reader = Reader::after(&cluster.client, None);
    cluster.add_worker("w1", &[]);
    reader.wait_kinds(&["node.joined"]);
    cluster.deploy_echo("");
    reader.wait_kinds(&["node.joined", "function.registered"]);
    assert_eq!(cluster.call("echo", "x").0, 200);
    reader.wait_kinds(&["function.registered", "instance.starting", "instance.warm"]);
    cluster.deploy_echo(r#","idle_s":60"#);
    let taking_over =
        ["function.updated", "instance.starting", "instance.warm", "function.serving", "instance.stopping"];
    reader.wait_kinds(&taking_over);
    cluster.client.cordon("w1").expect("cordoned");
    cluster.client.cordon("w1").expect("cordoned"); // again is no event
    cluster.client.uncordon("w1").expect("uncordoned");
    reader.wait_kinds(&["instance.stopping", "node.cordoned", "node.uncordoned"]);
    assert_eq!(cluster.call("echo", "x").0, 200);
    cluster.client.drain("w1").expect("draining");
    reader.wait_kinds(&["node.uncordoned", "node.draining", "instance.stopping", "node.drained"]);
    cluster.client.uncordon("w1").expect("uncordoned");
    cluster.client.delete_function("echo").expect("deleted");
    reader.wait_kinds(&["node.drained", "node.uncordoned", "function.deleted"]);
    cluster.workers[0].kill();
    reader.wait_kinds(&["function.deleted", "node.lost"]);
    cluster.client.remove_node("w1").expect("removed");
    reader.wait_kinds(&["node.lost", "node.removed"]);

    let events = reader.all();
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id), "ids increase");
    let joined = &events[0];
    assert_eq!((joined.message.as_str(), joined.level.as_str()), ("Node 'w1' has joined the cluster", "info"));
    assert!(events.iter().all(|e| e.kind.starts_with("function.") || e.node == joined.node), "each names its node");
    assert!(
        events.iter().all(|e| e.kind.starts_with("node.") || e.kind == "instance.stopping" || e.function.is_some())
    );
    assert!(events.iter().all(|e| (e.kind == "node.lost") == (e.level == "warn")));
}

#[test]
fn a_node_that_leaves_or_comes_back_is_told_as_such() {
    let mut cluster = Cluster::start(1);
    let reader = Reader::after(&cluster.client, None);
    cluster.restart_worker(0, "w1", &[]);
    wait_for("it has rejoined", || reader.all().iter().any(|e| e.message == "Node 'w1' has rejoined the cluster"));
    assert!(reader.kinds().contains(&"node.lost".into()), "{:?}", reader.kinds());
    cluster.workers[0].signal("TERM");
    assert_eq!(cluster.workers[0].wait().code(), Some(0));
    reader.wait_kinds(&["node.draining", "node.drained", "node.left"]);
}

#[test]
fn an_instance_that_ends_by_itself_is_told_with_its_reason() {
    let cluster = Cluster::start(1);
    let reader = Reader::after(&cluster.client, None);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    let [pid] = crate::processes::of(&cluster)[..] else { panic!("one process") };
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill runs").success());
    reader.wait_kinds(&["instance.warm", "instance.ended"]);
    let ended = reader.all().pop().expect("an event");
    assert!(ended.level == "warn" && ended.message.contains("signal 9"), "{}", ended.message);
    assert_eq!(cluster.call("echo", "again"), (200, "again".into()));
}

#[test]
fn a_reader_that_comes_back_misses_nothing_and_reads_nothing_twice() {
    let cluster = Cluster::start(0);
    let whole = Reader::after(&cluster.client, None);
    let writer = cluster.client.clone();
    let writing = thread::spawn(move || (0..200).for_each(|n| register(&writer, &format!("f{n}"))));
    // A reader that leaves after every few events, while they come.
    let mut pieced: Vec<u64> = Vec::new();
    wait_for("the first event", || !whole.all().is_empty());
    let mut last = whole.all()[0].id;
    while pieced.len() < 199 {
        let events = cluster.client.events(Some(last)).expect("a stream");
        pieced.extend(events.take(7.min(199 - pieced.len())).map(|event| event.expect("an event").id));
        last = pieced[pieced.len() - 1];
    }
    writing.join().expect("it writes");
    wait_for("all events", || whole.all().len() == 200);
    let ids: Vec<u64> = whole.all().iter().map(|event| event.id).collect();
    assert_eq!(ids[1..], pieced);
}

#[test]
fn a_reader_goes_on_over_a_restart() {
    let mut cluster = Cluster::start(0);
    let before = Reader::after(&cluster.client, None);
    register(&cluster.client, "one");
    before.wait_kinds(&["function.registered"]);
    let last = before.all()[0].id;
    cluster.restart_head();
    register(&cluster.client, "two");
    let after = Reader::after(&cluster.client, Some(last));
    wait_for("the event after the restart", || after.all().iter().any(|e| e.function.as_deref() == Some("two")));
    assert!(after.all().iter().all(|event| event.id > last && event.function.as_deref() != Some("one")));
}

#[test]
fn an_id_that_is_none_is_refused() {
    let cluster = Cluster::start(0);
    for id in ["nope", "-1", "1.5", "99999999999999999999999"] {
        let request =
            format!("GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nLast-Event-ID: {id}\r\n\r\n");
        let answer = raw(cluster.head.http(), request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Last-Event-ID"), "{id}: {answer}");
    }
    let known = Reader::after(&cluster.client, Some(u64::MAX >> 1)); // never given: from now on
    register(&cluster.client, "one");
    known.wait_kinds(&["function.registered"]);
}
