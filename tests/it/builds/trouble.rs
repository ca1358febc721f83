//! Builds that fail on an engine, and engines' nodes that do: each says why, and leaves nothing that runs.

use super::{build, built, dockerfile};
use crate::docker::{Docked, docker};
use crate::harness::wait_for;
use crate::wire::get;
use std::thread;

#[test]
fn what_an_engine_cannot_build_says_where_and_why() {
    let Some(site) = Docked::start_told(1, &["--limit", "build-log-bytes=65536"]) else { return };
    let to = site.cluster.head.http();
    let failed = |lines: &[&str]| {
        build(to, "/build", &[("name", "b-bad")], &dockerfile(lines, &[])).problem(422, "build_failed")
    };
    let said = failed(&["FROM cares-test/cat:1", "RUN [\"/p\", \"fails\"]"]);
    for part in ["step 2/3", "RUN", "code: 3", "the step failed: this is why it failed", "deploy again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (lines, parts) in [
        (&["FORM scratch"][..], &["Dockerfile", "FORM", "correct"][..]),
        (&["FROM scratch", "RUN ls"], &["/bin/sh"]),
        (&["FROM scratch", "COPY missing /x"], &["COPY missing /x", "folder does not have"]),
        (
            &["FROM cares-test/cat:1", "RUN --mount=type=cache,target=/x [\"/p\"]"],
            &["step 2/3", "BuildKit", "leave it out"],
        ),
        (&["FROM 127.0.0.1:1/none/such:1"], &["127.0.0.1:1/none/such:1", "check the network"]),
    ] {
        let said = failed(lines);
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    }
    // A hundred MiB of log: its end is kept.
    let zip = dockerfile(&["FROM cares-test/cat:1", "RUN [\"/p\", \"prints\"]", "RUN [\"/p\", \"fails\"]"], &[]);
    build(to, "/build", &[("name", "b-bad")], &zip).problem(422, "build_failed");
    let newest = site.client().builds().expect("builds").remove(0);
    let log = get(to, &format!("/builds/{}/log", newest.id)).text();
    assert!(log.len() <= 65_536 && log.contains("this is why it failed"), "{} bytes", log.len());
    let events = site.client().past_events().expect("events");
    assert!(events.map_while(Result::ok).any(|event| event.kind == "build.failed"));
}

#[test]
fn a_step_that_takes_more_memory_than_it_may_is_killed_and_the_limit_is_named() {
    let Some(site) = Docked::start_told(1, &["--limit", "build-memory-bytes=67108864"]) else { return };
    let zip = dockerfile(&["FROM cares-test/cat:1", "RUN [\"/p\", \"eats\"]"], &[]);
    let said = build(site.cluster.head.http(), "/build", &[("name", "b-eats")], &zip).problem(422, "build_failed");
    assert!(said.contains("step 2/") && said.contains("build-memory-bytes"), "{said}");
}

#[test]
fn a_build_has_its_time_and_is_tried_elsewhere_when_its_node_dies() {
    let Some(mut site) = Docked::start_told(2, &["--limit", "build-s=25"]) else { return };
    let to = site.cluster.head.http();
    let sleeps = |seconds: &str| {
        dockerfile(&["FROM cares-test/cat:1", &format!("RUN [\"/p\", \"sleeper\", \"{seconds}\"]")], &[])
    };
    let running = |seconds: &str| {
        docker(&["ps", "--no-trunc", "--format", "{{.Command}}"]).contains(&format!("/p sleeper {seconds}"))
    };
    // Its node is killed: the other one does it.
    let zip = sleeps("4");
    let asking = thread::spawn(move || build(to, "/build", &[("name", "b-moved"), ("anew", "true")], &zip));
    wait_for("its step runs", || running("4"));
    let first = site.client().builds().expect("builds")[0].node.clone().expect("a node");
    let at = if first == "w1" { 0 } else { 1 };
    site.cluster.workers[at].kill();
    let done = built(&asking.join().expect("an answer"));
    assert!(done.node.as_ref().is_some_and(|node| *node != first), "{done:?}");
    let log = get(to, &format!("/builds/{}/log", done.id)).text();
    assert!(log.contains("went away"), "{log}");
    // It takes too long.
    let said = build(to, "/build", &[("name", "b-long")], &sleeps("3011")).problem(422, "build_failed");
    assert!(said.contains("25 s") && said.contains("build-s"), "{said}");
    wait_for("its container is gone", || !running("3011"));
    // The orchestrator is killed: it has failed.
    let accepted = build(to, "/build?detach=true", &[("name", "b-cut")], &sleeps("3012"));
    let id = accepted.json()["id"].as_str().expect("an id").to_string();
    wait_for("its step runs", || running("3012"));
    site.cluster.restart_head();
    let cut = site.client().build_by_id(&id).expect("it is kept");
    assert!(cut.status == "failed" && cut.error.is_some_and(|why| why.contains("restarted")));
    wait_for("its container is gone", || !running("3012"));
    // And the one before it is still known, with its log.
    assert!(get(to, &format!("/builds/{}/log", done.id)).text().contains("RUN"));
    let _ = docker(&["rmi", "--force", done.image.as_deref().expect("an image")]);
}
