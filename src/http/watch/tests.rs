//! Watchers of a cluster that the test changes, without a network.

use super::*;
use crate::cluster::{Command, Limits, Put};
use crate::http::places::WATCHERS;
use crate::orchestrator::events::EventLog;
use crate::orchestrator::spec;
use crate::orchestrator::store::Store;
use crate::types::{Function, FunctionSpec};
use futures_lite::future::{block_on, poll_once};
use tempfile::TempDir;

/// Far longer than anything takes: only a fault reaches it.
const LIMIT: Duration = Duration::from_secs(20);

struct Bench {
    state: Arc<State>,
    feed: Arc<Feed<Function>>,
    places: Places,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let dir = TempDir::new().unwrap();
        let (store, ..) = Store::open(dir.path()).unwrap();
        let store = Arc::new(store);
        let events = Arc::new(EventLog::new(0, Vec::new(), store.clone()));
        let (outbox, _) = rt::unbounded();
        let (earlier, _) = rt::bounded(1);
        let cluster = Cluster::new(Limits::default(), 0);
        let state = Arc::new(State::new(cluster, store, events, outbox, earlier));
        Bench { state, feed: crate::http::api::functions::feed(), places: Places::default(), _dir: dir }
    }

    fn put(&self, name: &str, image: &str) {
        let spec = FunctionSpec { name: name.into(), image: image.into(), ..Default::default() };
        let revision = Box::new(spec::revision(spec, 0).unwrap());
        self.state.apply(Command::PutFunction { revision, put: Put::Any }).map(drop).unwrap();
    }

    fn delete(&self, name: &str) {
        self.state.apply(Command::DeleteFunction { name: name.into() }).map(drop).unwrap();
    }

    fn watch(&self) -> Watcher<Function> {
        self.feed.watch(&self.state, self.places.take().unwrap())
    }
}

/// What the next piece says: `+NAME IMAGE`, `-NAME`, `synced`.
fn next(watcher: &mut Watcher<Function>) -> Vec<String> {
    let piece = block_on(clock::timeout(LIMIT, watcher.piece())).expect("a piece");
    let text = str::from_utf8(&piece).unwrap();
    let event = |event: &str| {
        let (kind, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        match kind {
            "put" => format!("+{} {}", data["name"].as_str().unwrap(), data["image"].as_str().unwrap()),
            "gone" => format!("-{}", data["id"].as_str().unwrap()),
            other => other.to_string(),
        }
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[test]
fn a_watcher_is_sent_all_and_then_what_changed() {
    let bench = Bench::new();
    bench.put("b", "1");
    bench.put("a", "1");
    let mut watcher = bench.watch();
    assert_eq!(next(&mut watcher), ["+a 1", "+b 1", "synced"]);
    assert!(block_on(poll_once(watcher.piece())).is_none());
    bench.put("b", "2");
    bench.put("c", "1");
    bench.delete("a");
    let mut told = next(&mut watcher);
    while told.len() < 3 {
        told.extend(next(&mut watcher)); // it may have looked in between
    }
    told.sort();
    assert_eq!(told, ["+b 2", "+c 1", "-a"]);
    let mut late = bench.watch();
    assert_eq!(next(&mut late), ["+b 2", "+c 1", "synced"]);
}

#[test]
fn what_happened_before_it_came_is_in_the_first_rows_even_just_after_a_look() {
    let bench = Bench::new();
    let mut first = bench.watch();
    assert_eq!(next(&mut first), ["synced"]);
    for n in 0..20 {
        let name = format!("f{n:02}");
        bench.put(&name, "1");
        let mut late = bench.watch();
        let rows = next(&mut late);
        assert_eq!((rows.len(), rows.last().map(String::as_str)), (n + 2, Some("synced")));
    }
}

#[test]
fn one_who_did_not_listen_is_sent_the_newest_of_each_row_once() {
    let bench = Bench::new();
    (0..1_000).for_each(|n| bench.put(&format!("f{n:03}"), "0")); // several pieces
    let mut slow = bench.watch();
    let first = next(&mut slow);
    assert!(first.len() < 500 && first[0] == "+f000 0", "{}", first.len());
    let mut quick = bench.watch();
    for image in ["1", "2", "3"] {
        (0..1_000).for_each(|n| bench.put(&format!("f{n:03}"), image));
        let last = format!("+f999 {image}");
        while !next(&mut quick).contains(&last) {}
    }
    bench.delete("f999");
    bench.delete("f000"); // looks go from the first on: one that misses this has missed the other
    while !next(&mut quick).contains(&"-f000".to_string()) {}
    let (mut rest, last_sent) = (Vec::new(), format!("+f{:03} 3", first.len() - 1));
    while !rest.contains(&last_sent) {
        rest.extend(next(&mut slow));
    }
    let synced = rest.iter().position(|event| event == "synced").expect("it is told when it has all");
    assert_eq!(synced, 999 - first.len(), "the rest of the rows as they are now");
    rest.sort();
    let mut wanted: Vec<String> = (1..999).map(|n| format!("+f{n:03} 3")).collect(); // those sent as they were come again
    wanted.extend(["-f000".into(), "synced".into()]);
    assert_eq!(rest, wanted);
    assert!(!rest.contains(&"-f999".to_string()), "it never heard of it");
}

#[test]
fn nothing_is_left_when_all_have_gone_and_there_are_places_again() {
    let bench = Bench::new();
    bench.put("a", "1");
    for _ in 0..3 {
        let mut watchers: Vec<_> = (0..WATCHERS).map(|_| bench.watch()).collect();
        assert_eq!(bench.places.take().err().map(|p| (p.status, p.code)), Some((503, "too_many_watchers")));
        for watcher in &mut watchers {
            assert_eq!(next(watcher), ["+a 1", "synced"]);
        }
        drop(watchers);
        let rows = bench.feed.lock();
        assert!(rows.rows.is_empty() && rows.waiting.is_empty() && rows.task.is_none() && rows.watchers == 0);
    }
}
