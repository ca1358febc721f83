//! What was acknowledged lasts: the orchestrator is killed right after its answer and started again on the same folder,
//! and its workers come back by themselves with what they run.

use crate::gate::Gate;
use crate::harness::{Cluster, Role, wait_for};
use crate::processes;
use cares::types::{Event, FunctionSpec};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

fn spec(name: &str, description: &str) -> FunctionSpec {
    let (name, image) = (name.to_string(), "hello-world".to_string());
    FunctionSpec { name, image, description: Some(description.into()), ..Default::default() }
}

/// Writes until the orchestrator is gone; what was acknowledged goes into the book: a description, or `None` when
/// deleted last. What was asked for last but not acknowledged may be there or not, and is taken out.
fn write(client: &cares::client::Orchestrator, writer: &str, book: &Mutex<BTreeMap<String, Option<String>>>) {
    for n in 0.. {
        let name = format!("{writer}-{n}");
        let keep = |text: Option<String>| drop(book.lock().unwrap().insert(name.clone(), text));
        let forget = || drop(book.lock().unwrap().remove(&name));
        if client.register(&spec(&name, "first")).is_err() {
            return forget();
        }
        keep(Some("first".into()));
        if n % 3 == 1 {
            if client.replace(&name, &spec(&name, "second")).is_err() {
                return forget();
            }
            keep(Some("second".into()));
        }
        if n % 3 == 2 {
            if client.delete_function(&name).is_err() {
                return forget();
            }
            keep(None);
        }
    }
}

#[test]
fn what_was_acknowledged_to_concurrent_writers_is_there_after_a_kill() {
    let mut cluster = Cluster::start(0);
    let book = Mutex::new(BTreeMap::new());
    for round in 0..4 {
        let before = book.lock().unwrap().len();
        thread::scope(|scope| {
            for writer in 0..4 {
                let client = cares::client::Orchestrator::new(&cluster.head.url()).expect("a URL");
                let book = &book;
                scope.spawn(move || write(&client, &format!("r{round}w{writer}"), book));
            }
            wait_for("some writes are acknowledged", || book.lock().unwrap().len() >= before + 30);
            cluster.head.kill();
        });
        cluster.restart_head();
        let there: BTreeMap<String, String> =
            cluster.client.functions().expect("functions").into_iter().map(|f| (f.name, f.description)).collect();
        for (name, description) in book.lock().unwrap().iter() {
            assert_eq!(there.get(name), description.as_ref(), "{name} in round {round}");
        }
    }
}

#[test]
fn each_write_is_on_disk_when_it_is_answered() {
    let mut cluster = Cluster::start(0);
    let identity = cluster.client.version().expect("version").cluster.expect("a cluster id");
    cluster.client.register(&spec("one", "first")).expect("registered");
    cluster.restart_head();
    assert_eq!(cluster.client.function("one").expect("one").description, "first");
    assert_eq!(cluster.client.replace("one", &spec("one", "second")).expect("replaced").revision, 2);
    cluster.restart_head();
    let function = cluster.client.function("one").expect("one");
    assert_eq!((function.description.as_str(), function.revision, function.revisions.len()), ("second", 2, 2));
    cluster.client.delete_function("one").expect("deleted");
    cluster.restart_head();
    assert_eq!(cluster.client.function("one").expect_err("gone").status(), Some(404));
    cluster.deploy_script("two", "cat");
    cluster.restart_head();
    cluster.add_worker("w1", &[]); // it has never seen the bundle
    assert_eq!(cluster.call("two", "kept"), (200, "kept".into()));
    cluster.deploy_script("two", "cat; echo again");
    cluster.restart_head();
    cluster.wait_linked("w1");
    assert_eq!(cluster.call("two", ""), (200, "again\n".into()));
    assert_eq!(cluster.client.version().expect("version").cluster, Some(identity));
}

#[test]
fn events_are_there_after_a_kill_and_their_ids_go_on_increasing() {
    let mut cluster = Cluster::start(0);
    let mut before: Vec<Event> = Vec::new();
    for round in 0..3 {
        cluster.client.register(&spec(&format!("f{round}"), "")).expect("registered");
        let events = cluster.client.past_events().expect("events");
        let events: Vec<Event> = events.map(|event| event.expect("an event")).collect();
        assert!(events.starts_with(&before), "some are lost: {before:?} {events:?}");
        let last = before.last().map_or(0, |event| event.id);
        let ids: Vec<u64> = events[before.len()..].iter().map(|event| event.id).collect();
        assert!(!ids.is_empty() && ids[0] > last && ids.is_sorted(), "after {last}: {ids:?}");
        let last = ids[ids.len() - 1];
        assert!(last < 1 << 53, "JavaScript counts them too");
        // What tells of an acknowledged write is on disk with it: the kill comes at once.
        cluster.client.delete_function(&format!("f{round}")).expect("deleted");
        cluster.restart_head();
        let mut again = cluster.client.events(Some(last)).expect("a stream");
        let next = again.next().expect("it goes on").expect("an event");
        assert_eq!((next.kind.as_str(), next.function.clone()), ("function.deleted", Some(format!("f{round}"))));
        assert!(next.id > last);
        before = events;
        before.push(next);
    }
}

#[test]
fn a_worker_comes_back_by_itself_as_the_same_node_and_keeps_its_instances() {
    let mut cluster = Cluster::start(2);
    cluster.client.cordon("w2").expect("cordoned"); // or the minimum might be started there before w1 is back
    cluster.deploy_echo(r#","min":1"#);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    assert_eq!(cluster.call("echo", "x").0, 200);
    let ids = |c: &Cluster| c.client.nodes().expect("nodes").into_iter().map(|n| (n.name, n.id)).collect::<Vec<_>>();
    let before = (ids(&cluster), processes::of(&cluster));
    let instances = |c: &Cluster| c.client.function("echo").expect("echo").instances;
    let instance = instances(&cluster).remove(0);
    assert_eq!(before.1.len(), 1);
    for round in 0..3 {
        cluster.restart_head();
        cluster.wait_linked("w1");
        cluster.wait_linked("w2");
        assert_eq!(cluster.call("echo", "x"), (200, "x".into()), "round {round}");
        assert_eq!(cluster.call("cat", "x"), (200, "x".into()));
        assert_eq!((ids(&cluster), processes::of(&cluster)), before, "round {round}");
        assert_eq!(instances(&cluster).iter().map(|i| &i.id).collect::<Vec<_>>(), [&instance.id]);
    }
}

#[test]
fn an_instance_whose_function_was_deleted_meanwhile_is_stopped() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x").0, 200);
    assert_eq!(processes::of(&cluster).len(), 1);
    cluster.workers[0].signal("STOP");
    cluster.wait_status("w1", "disconnected");
    cluster.client.delete_function("echo").expect("deleted");
    cluster.restart_head();
    cluster.workers[0].signal("CONT");
    processes::wait_none(&cluster);
    cluster.wait_linked("w1");
}

#[test]
fn a_job_whose_orchestrator_is_killed_does_not_run_on() {
    let mut cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", "");
    let client = cluster.client.clone();
    let caller = thread::spawn(move || client.invoke("gate", Default::default()).is_err());
    gate.wait_started(1);
    cluster.head.kill();
    assert!(caller.join().expect("it ends"), "its caller is not left waiting");
    processes::wait_none(&cluster);
}

/// What a role says that ends at once instead of being ready.
fn ends(args: &[&str]) -> String {
    let Err((status, log)) = Role::try_start_with(args, |_| {}) else { panic!("{args:?} is ready") };
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cares: ") && !log.contains("panicked"), "{log}");
    log
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const FREE: [&str; 4] = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];

#[test]
fn a_data_folder_has_one_owner() {
    let cluster = Cluster::start(1);
    let dir = cluster.dir.path().join("orchestrator");
    let log = ends(&[&["orchestrator", "--data-dir", text(&dir)], &FREE[..]].concat());
    let owner = format!("(pid {})", cluster.head.pid());
    assert!(log.contains(text(&dir)) && log.contains("is in use") && log.contains(&owner), "{log}");
    let dir = cluster.dir.path().join("w1");
    let grpc = cluster.head.ready("grpc");
    let log = ends(&["worker", grpc, "--data-dir", text(&dir), "--worker-addr", "127.0.0.1:0"]);
    assert!(log.contains(text(&dir)) && log.contains("is in use") && log.contains("--data-dir"), "{log}");
    assert_eq!(cluster.client.node("w1").expect("w1").status, "active");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = file.join("data"); // root may write anywhere, but not below a file
    let log = ends(&[&["orchestrator", "--data-dir", text(&below)], &FREE[..]].concat());
    assert!(log.contains(text(&below)) && log.contains("--data-dir"), "{log}");
    let log = ends(&["worker", "127.0.0.1:1", "--data-dir", text(&below)]);
    assert!(log.contains(text(&below)) && log.contains("--data-dir"), "{log}");
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let log = ends(&["orchestrator", "--http-addr", &taken, "--grpc-addr", "127.0.0.1:0", "--data-dir", text(&data)]);
    assert!(log.contains(&taken) && log.contains("--http-addr"), "{log}");
    let log = ends(&["orchestrator", "--http-addr", "127.0.0.1:0", "--grpc-addr", &taken, "--data-dir", text(&data)]);
    assert!(log.contains(&taken) && log.contains("--grpc-addr"), "{log}");
    let log = ends(&["worker", "127.0.0.1:1", "--worker-addr", &taken, "--data-dir", text(&data)]);
    assert!(log.contains(&taken) && log.contains("--worker-addr"), "{log}");
}

/// The store's library may note in the head what it found.
const HEAD: usize = 512;

#[test]
fn a_store_that_cannot_be_read_is_named_and_left_as_it_is() {
    let mut cluster = Cluster::start(0);
    cluster.client.register(&spec("one", "")).expect("registered");
    cluster.head.kill();
    let dir = cluster.dir.path().join("orchestrator");
    let file = dir.join("cluster.redb");
    let good = std::fs::read(&file).expect("the store");
    let scribbled = |from: usize| {
        let mut bytes = good.clone();
        bytes[from..].fill(0xa5);
        bytes
    };
    for bad in
        [b"this is no store".to_vec(), scribbled(0), scribbled(4096), good[..good.len() / 2].to_vec(), Vec::new()]
    {
        std::fs::write(&file, &bad).expect("written");
        let log = ends(&[&["orchestrator", "--data-dir", text(&dir)], &FREE[..]].concat());
        assert!(log.contains(text(&file)) && log.contains("backup"), "{log}");
        let left = std::fs::read(&file).expect("the store");
        assert_eq!(left.len(), bad.len());
        assert!(left.iter().skip(HEAD).eq(bad.iter().skip(HEAD)), "it was changed");
    }
    std::fs::write(&file, good).expect("written");
    cluster.restart_head();
    assert_eq!(cluster.client.function("one").expect("one").revision, 1);
}
