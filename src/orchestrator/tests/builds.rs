//! Builds whose askers leave, on how many nodes one is tried, and how many are remembered.

use super::later::wait_for;
use crate::auth::Caller;
use crate::cluster::{Command, NodeSpec, Reach};
use crate::orchestrator::{self, Orchestrator, builds};
use crate::rt;
use futures_lite::future;
use std::sync::Arc;
use tempfile::TempDir;

/// A node that could build, had it a link.
fn join(app: &Arc<Orchestrator>, id: &str) {
    let spec = NodeSpec { id: id.into(), name: id.into(), engines: ["docker".into()].into(), ..NodeSpec::default() };
    let joined = app.state.apply(Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }).unwrap();
    let (node, session) = joined.joined().unwrap();
    drop(app.state.apply(Command::SetReach { node, session, reach: Reach::Links }).unwrap());
}

fn order() -> builds::Order {
    builds::Order {
        name: "f".into(),
        source: "0".repeat(64),
        runtime: None,
        base: None,
        wanted: "cares/f:1".into(),
        bundle: false,
        anew: false,
    }
}

#[test]
fn one_whose_asker_leaves_before_it_is_kept_ends() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let app = running.app.clone();
    join(&app, "n");
    let by = Caller::default();
    let mut asked = Box::pin(builds::submit(&app, order(), &by));
    let _ = rt::block_on(future::poll_once(&mut asked)); // it is under way
    drop(asked);
    wait_for("it has ended", || app.builds.list().first().is_some_and(|build| build.has_ended()));
    let status = app.builds.list()[0].shown().status;
    assert!(["cancelled", "failed"].contains(&status.as_str()), "{status}"); // there is no node to be found
    running.stop();
}

#[test]
fn one_is_tried_on_three_nodes_and_two_hundred_are_remembered() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let app = running.app.clone();
    ["n1", "n2", "n3"].iter().for_each(|id| join(&app, id));
    let build = || {
        join(&app, "n4"); // or its lease ends before the last
        rt::block_on(async {
            let waiting = builds::submit(&app, order(), &Caller::default()).await.expect("taken in");
            assert_eq!(waiting.ended().await.status, "failed");
            waiting.build().clone()
        })
    };
    let first = build();
    let log = std::fs::read_to_string(app.builds.log_file(&first)).unwrap();
    assert_eq!(log.matches("could not build it").count(), 3, "{log}");
    let last: Vec<u64> = (0..200).map(|_| build().number).collect();
    let remembered = || app.builds.list().iter().map(|build| build.number).collect::<Vec<_>>();
    wait_for("the first is forgotten", || !remembered().contains(&first.number));
    let mut all = remembered();
    all.sort_unstable();
    assert_eq!(all, last);
    wait_for("its log is gone", || !app.builds.log_file(&first).exists());
    running.stop();
}
