//! Asynchronous calls under limits that are too large to reach with the real ones. There are no nodes: calls end by being
//! cancelled.

use crate::client::{self, Body, Calls, Invoke, Later};
use crate::clock;
use crate::cluster::backlog::Limits;
use crate::errors::Error;
use crate::garbage::Rules;
use crate::orchestrator::{self, Running};
use crate::types::{Call, FunctionSpec};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Far longer than anything takes: only a fault reaches it.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Bench {
    running: Option<Running>,
    pub client: client::Orchestrator,
}

impl Bench {
    fn start(dir: &Path, change: impl FnOnce(&mut Limits)) -> Bench {
        Bench::start_with(dir, change, orchestrator::garbage::RULES)
    }

    pub fn start_with(dir: &Path, change: impl FnOnce(&mut Limits), rules: Rules) -> Bench {
        let mut limits = Limits::default();
        change(&mut limits);
        let running = orchestrator::start_with(&super::config(dir), limits, rules).unwrap();
        let client = client::Orchestrator::new(&format!("http://{}", running.http)).unwrap();
        for name in ["f", "g"] {
            let spec = FunctionSpec { name: name.into(), image: "hello-world".into(), ..Default::default() };
            let _ = client.register(&spec); // there since the last start
        }
        Bench { running: Some(running), client }
    }

    fn later(&self, function: &str, bytes: usize) -> Result<Call, Error> {
        let body = Body::Bytes(vec![b'x'; bytes]);
        self.client.invoke_later(function, Invoke { body, ..Default::default() }, Later::default())
    }

    fn ids(&self) -> BTreeSet<String> {
        let which = Calls { asynchronous: Some(true), ..Calls::default() };
        self.client.find_calls(&which).unwrap().into_iter().map(|c| c.id).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

fn files(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir.join("calls")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(super) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let end = clock::now() + LIMIT;
    while !is_so() {
        assert!(clock::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn beyond_the_bounds_callers_are_told_to_come_again() {
    let dir = TempDir::new().unwrap();
    let bench = Bench::start(dir.path(), |l| (l.open_per_function, l.open_total, l.bytes) = (2, 3, 100_000));
    let code = |error: Error| (error.status().unwrap_or(0), error.code().to_string());
    let kept = [bench.later("f", 1).unwrap(), bench.later("f", 1).unwrap()];
    assert_eq!(code(bench.later("f", 1).unwrap_err()), (429, "queue_full".into()));
    assert_eq!(code(bench.later("g", 120_000).unwrap_err()), (503, "queue_space_full".into()));
    assert_eq!(files(dir.path()).iter().filter(|name| !name.ends_with(".part")).count(), 0);
    bench.later("g", 1).unwrap();
    assert_eq!(code(bench.later("g", 1).unwrap_err()), (429, "queue_full".into()));
    bench.client.cancel_call(&kept[0].id).unwrap();
    bench.later("g", 1).unwrap();
    let body = Invoke { body: Body::Empty, ..Default::default() };
    let answer = bench.client.invoke("f", Invoke { headers: vec![("x-cares-async".into(), "1".into())], ..body });
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")));
}

#[test]
fn what_is_kept_goes_with_its_time() {
    let dir = TempDir::new().unwrap();
    let bench = Bench::start(dir.path(), |l| l.retention_ms = 300);
    let (small, large) = (bench.later("f", 10).unwrap(), bench.later("f", 50_000).unwrap());
    assert_eq!(files(dir.path()), BTreeSet::from([format!("{}.request", large.id)]));
    for call in [&small, &large] {
        let cancelled = bench.client.cancel_call(&call.id).unwrap();
        assert!(cancelled.expires_at.is_some() && cancelled.ended_at.is_some(), "{cancelled:?}");
    }
    wait_for("both are dropped", || bench.ids().is_empty());
    assert_eq!(bench.client.call(&small.id).unwrap_err().code(), "call_not_found");
    wait_for("the file is gone", || files(dir.path()).is_empty());
    drop(bench);
    let again = Bench::start(dir.path(), |_| {});
    assert!(again.ids().is_empty(), "also from the store");
}

#[test]
fn beyond_their_number_and_space_the_oldest_ended_go_first() {
    let dir = TempDir::new().unwrap();
    let bench = Bench::start(dir.path(), |l| l.ended_kept = 3);
    let calls: Vec<Call> = (0..5).map(|_| bench.later("f", 30_000).unwrap()).collect();
    for call in &calls {
        bench.client.cancel_call(&call.id).unwrap();
    }
    assert_eq!(bench.ids(), calls[2..].iter().map(|call| call.id.clone()).collect());
    wait_for("their files are gone", || files(dir.path()).is_empty());
    drop(bench);
    let again = Bench::start(dir.path(), |l| l.ended_kept = 2);
    wait_for("a smaller limit holds after a restart", || again.ids().len() == 2);
    assert_eq!(again.ids(), calls[3..].iter().map(|call| call.id.clone()).collect());
}

#[test]
fn a_restart_finds_all_that_was_accepted_and_no_more() {
    let dir = TempDir::new().unwrap();
    let bench = Bench::start(dir.path(), |_| {});
    let large = bench.later("f", 50_000).unwrap();
    let accepted: BTreeSet<String> = (0..20).map(|n| bench.later("g", n).unwrap().id).collect();
    bench.client.cancel_call(accepted.first().unwrap()).unwrap();
    drop(bench);
    let strays = ["a1.request", "junk", "0a.part", "af00.result"];
    for stray in strays {
        std::fs::write(dir.path().join("calls").join(stray), "left by a crash").unwrap();
    }
    let again = Bench::start(dir.path(), |_| {});
    assert_eq!(again.ids(), accepted.iter().chain([&large.id]).cloned().collect());
    assert_eq!(again.client.call(accepted.first().unwrap()).unwrap().status, "cancelled");
    assert_eq!(files(dir.path()), BTreeSet::from([format!("{}.request", large.id)]));
}
