//! Lists that are watched: what changes is told within two seconds, and one who does not read costs next to nothing.

use crate::harness::{Cluster, PATIENCE, cares, raw, wait_for};
use crate::wire::ReadSome;
use crate::wire::Reply;
use cares::client::{Orchestrator, Watch};
use cares::errors::Error;
use cares::types::{Change, Function, FunctionSpec, Node};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What a change may take to be told, as people are promised.
const SOON: Duration = Duration::from_secs(2);

/// Reads along on a thread of its own.
struct Reader<T>(Receiver<Change<T>>);

impl<T: DeserializeOwned + Debug + Send + 'static> Reader<T> {
    fn new(watch: Result<Watch<T>, Error>) -> Reader<T> {
        let (tell, told) = channel();
        let mut watch = watch.expect("a watch");
        thread::spawn(move || watch.all(|change| change.is_ok_and(|change| tell.send(change).is_ok())));
        Reader(told)
    }

    /// All rows there were.
    fn synced(&self) -> Vec<T> {
        let mut rows = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE).expect("the rows there were") {
                Change::Put(row) => rows.push(row),
                Change::Synced => return rows,
                Change::Gone(id) => panic!("{id} is gone before all was told"),
            }
        }
    }

    /// Does something and waits until a change like this is told, which must be soon.
    fn after<D>(&self, what: &str, act: impl FnOnce() -> D, is_it: impl Fn(&Change<T>) -> bool) -> D {
        let done = act();
        let since = Instant::now();
        loop {
            let change = self.0.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{what} is not told: {e}"));
            if is_it(&change) {
                assert!(since.elapsed() <= SOON, "{what} was told after {:?}", since.elapsed());
                return done;
            }
        }
    }

    fn put<D>(&self, what: &str, act: impl FnOnce() -> D, like: impl Fn(&T) -> bool) -> D {
        self.after(what, act, |change| matches!(change, Change::Put(row) if like(row)))
    }

    fn gone<D>(&self, what: &str, act: impl FnOnce() -> D, id: &str) -> D {
        self.after(what, act, |change| matches!(change, Change::Gone(gone) if gone == id))
    }
}

fn register(client: &Orchestrator, name: &str) {
    let spec = FunctionSpec { name: name.into(), image: "hello-world".into(), ..Default::default() };
    client.register(&spec).expect("registered");
}

/// A watch by hand, that reads its head and nothing else.
fn stands_still(to: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(to).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_some(&mut byte).expect("a head") == 1 {
        head.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&head).into_owned())
}

#[test]
fn nodes_are_told_as_they_come_change_and_go() {
    let mut cluster = Cluster::start(1);
    let client = cluster.client.clone();
    let nodes: Reader<Node> = Reader::new(client.watch_nodes());
    let first = nodes.synced();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].name, "w1");
    nodes.put("a join", || cluster.add_worker("w2", &[]).pid(), |n| n.name == "w2" && n.reach == "links");
    let id = client.node("w2").expect("w2").id;
    let seen = client.node("w2").expect("w2").last_seen;
    nodes.put("a beat", || {}, |n| n.name == "w2" && n.last_seen > seen && n.cpu_percent.is_some());
    nodes.put("a cordon", || client.cordon("w2").expect("cordoned"), |n| n.name == "w2" && n.cordoned);
    nodes.put("an uncordon", || client.uncordon("w2").expect("back"), |n| n.name == "w2" && !n.cordoned);
    nodes.put("a kill", || cluster.workers[1].kill(), |n| n.name == "w2" && n.status == "disconnected");
    nodes.gone("a removal", || client.remove_node("w2").expect("removed"), &id);
}

#[test]
fn functions_are_told_as_they_come_change_and_go() {
    let cluster = Cluster::start(1);
    let client = &cluster.client;
    register(client, "first");
    let functions: Reader<Function> = Reader::new(client.watch_functions());
    let names: Vec<String> = functions.synced().into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["first"]);
    functions.put("a registration", || register(client, "second"), |f| f.name == "second");
    let deploy = || cluster.deploy_echo("");
    functions.put("a deployment", deploy, |f| f.name == "echo" && f.revision == 1);
    let call = || assert_eq!(cluster.call("echo", "x").0, 200);
    let answered = |f: &Function| f.name == "echo" && f.calls == 1 && f.p50_ms.is_some() && f.instances.len() == 1;
    functions.put("a call", call, answered);
    functions.put("a revision", || cluster.deploy_echo(r#","idle_s":60"#), |f| f.revision == 2);
    let delete = || client.delete_function("second").expect("deleted");
    functions.gone("a deletion", delete, "second");
    let again: Reader<Function> = Reader::new(client.watch_functions());
    let mut names: Vec<String> = again.synced().into_iter().map(|f| f.name).collect();
    names.sort();
    assert_eq!(names, ["echo", "first"], "who comes later is told what is there then");
}

#[test]
fn what_does_not_change_is_not_told_again_and_changes_come_in_batches() {
    let cluster = Cluster::start(0);
    (0..300).for_each(|n| register(&cluster.client, &format!("f{n}"))); // more than are looked at in one go
    let functions: Reader<Function> = Reader::new(cluster.client.watch_functions());
    assert_eq!(functions.synced().len(), 300);
    let since = Instant::now();
    let writer = cluster.client.clone();
    let spec = |n: u32| FunctionSpec { image: format!("image-{n}"), ..Default::default() };
    let writing = thread::spawn(move || (0..100).for_each(|n| drop(writer.replace("f7", &spec(n)).expect("replaced"))));
    let mut told = Vec::new();
    while told.last().is_none_or(|f: &Function| f.image != "image-99") {
        match functions.0.recv_timeout(PATIENCE).expect("a change") {
            Change::Put(row) => told.push(row),
            other => panic!("{other:?}"),
        }
    }
    writing.join().expect("it writes");
    assert!(told.iter().all(|f| f.name == "f7"), "{told:?}");
    let most = 2 + since.elapsed().as_millis() / 500;
    assert!(told.len() as u128 <= most, "{} batches in {:?}", told.len(), since.elapsed());
}

#[test]
fn a_watch_is_asked_for_as_it_should_be() {
    let cluster = Cluster::start(0);
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Reply::parse(raw(cluster.head.http(), request.as_bytes()).as_bytes()).expect("an answer")
    };
    for list in ["/nodes", "/functions"] {
        assert_eq!(ask(&format!("{list}?watch=false&limit=1")).json(), serde_json::json!([]));
        for (query, field) in [
            ("watch=yes", "watch"),
            ("watch=", "watch"),
            ("watch=true&limit=5", "limit"),
            ("watch=true&after=a", "after"),
        ] {
            let detail = ask(&format!("{list}?{query}")).problem(400, "invalid_field");
            assert!(detail.starts_with(&format!("{field}: ")), "{query}: {detail}");
        }
    }
    let (_stream, head) = stands_still(cluster.head.http(), "/nodes?watch=true");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream\r\n"), "{head}");
}

#[test]
fn watchers_are_counted_and_a_place_is_free_again_when_one_leaves() {
    let cluster = Cluster::start(0);
    let open = |n: usize| {
        let list = if n.is_multiple_of(2) { "/nodes" } else { "/functions" };
        stands_still(cluster.head.http(), &format!("{list}?watch=true"))
    };
    let mut watching: Vec<_> = (0..64).map(open).collect();
    assert!(watching.iter().all(|(_, head)| head.starts_with("HTTP/1.1 200 ")));
    let error = cluster.client.watch_nodes().err().expect("a refusal");
    assert_eq!((error.status(), error.code()), (Some(503), "too_many_watchers"));
    assert!(error.to_string().contains("64"), "{error}");
    assert!(cluster.client.nodes().expect("the list").is_empty());
    watching.truncate(60);
    wait_for("there are places again", || cluster.client.watch_nodes().is_ok());
}

#[test]
fn a_watcher_that_does_not_read_costs_bounded_memory() {
    let cluster = Cluster::start(0);
    let text = "x".repeat(1_000);
    let spec = |n: usize, round: usize| FunctionSpec {
        name: format!("f{n}"),
        image: format!("image-{round}"),
        description: Some(text.clone()),
        ..Default::default()
    };
    (0..300).for_each(|n| drop(cluster.client.register(&spec(n, 0)).expect("registered")));
    let still: Vec<_> = (0..20).map(|_| stands_still(cluster.head.http(), "/functions?watch=true")).collect();
    let reads: Reader<Function> = Reader::new(cluster.client.watch_functions());
    reads.synced();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.head.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS").to_string();
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("KiB") / 1024
    };
    let mut before = memory();
    for round in 1..=12 {
        (0..300).for_each(|n| drop(cluster.client.replace(&format!("f{n}"), &spec(n, round)).expect("replaced")));
        let image = format!("image-{round}");
        reads.put("the last of them", || {}, |f| f.name == "f299" && f.image == image);
        if round == 3 {
            before = memory(); // what revisions take is kept ten times over; sockets' buffers are full by now
        }
    }
    // 20 watchers that stand still, each 9 times behind by 300 rows of 1.5 KB: 80 MB if it were kept for them.
    let grown = memory().saturating_sub(before);
    assert!(grown < 30, "{grown} MiB more");
    drop(still);
}

#[test]
fn the_command_line_prints_rows_as_they_change() {
    let mut cluster = Cluster::start(1);
    register(&cluster.client, "first");
    let mut command = cares();
    command.args(["list", "--watch", "-o", "name", "--url", &cluster.head.url()]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("cares runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("first"));
    register(&cluster.client, "second");
    assert_eq!(lines.next().as_deref(), Some("second"));
    child.kill().expect("it ends");
    child.wait().expect("it ended");

    let mut command = cares();
    command.args(["node", "list", "--watch", "--url", &cluster.head.url()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("cares runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|head| head.starts_with("NAME ")));
    assert!(lines.next().is_some_and(|row| row.starts_with("w1 ")));
    cluster.client.cordon("w1").expect("cordoned");
    assert!(lines.any(|row| row.starts_with("w1 ") && row.contains("active,cordoned")));
    // The orchestrator ends: that is said, and where it was.
    cluster.head.kill();
    drop(lines);
    let out = child.wait_with_output().expect("it ended");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains(&cluster.head.url()) && said.contains("it went away while it was watched"), "{said}");
}
