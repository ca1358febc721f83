//! How far the pull of a task's image is: a registry behind a line that gets stuck, the real engine, and everybody who may
//! ask. Without an engine and Debian's docker-registry this says so and passes, unless CARES_REQUIRE_DOCKER=1.

use super::docker::Swept;
use crate::browser::{Browser, browser_is_there};
use crate::docker::{docker, engine_is_there};
use crate::harness::{Cluster, PATIENCE, cares, run, wait_for};
use crate::moving::noise;
use crate::registry::Registry;
use crate::weather::{Sky, Weather};
use crate::wire::get;
use cares::types::{Change, FunctionSpec, Mode, TaskPhase, TaskStatus};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Of each of the image's two layers of its own.
const LAYER_BYTES: usize = 8 << 20;

/// An image that is removed again.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

/// In the registry, and not on this machine any more.
fn push(registry: &Registry, dir: &std::path::Path) {
    let dockerfile = "FROM cares-test/echo:1\nCOPY one /one\nCOPY two /two\n";
    std::fs::write(dir.join("Dockerfile"), dockerfile).expect("a file");
    ["one", "two"].iter().for_each(|file| std::fs::write(dir.join(file), noise(LAYER_BYTES)).expect("a file"));
    let there = Image(format!("{}/big:1", registry.at));
    docker(&["build", "--quiet", "--tag", &there.0, dir.to_str().expect("UTF-8")]);
    docker(&["push", "--quiet", &there.0]);
}

#[test]
fn how_far_the_pull_of_its_image_is_stands_with_the_task_until_it_runs() {
    if !engine_is_there() {
        return;
    }
    let Some(registry) = Registry::open() else { return };
    let source = tempfile::tempdir().expect("a folder");
    push(&registry, source.path());
    let line = Weather::at(Ipv4Addr::LOCALHOST.into(), registry.at);
    line.becomes(Sky::Stuck(LAYER_BYTES as u64 / 2));
    let image = Image(format!("{}/big:1", line.address()));
    let mut swept = Swept::default();
    let mut cluster = Cluster::start(0);
    swept.join(&mut cluster, 1);

    let mut waiting = cares();
    waiting.args(["task", "run", "--wait", "--restart", "always", "--url", &cluster.head.url(), &image.0]);
    let mut waiting = waiting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs");
    let said = BufReader::new(waiting.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || said.for_each(|line| drop(tell.send(line))));
    let mut first = None;
    while !first.as_ref().is_some_and(|line: &String| line.contains("pulling its image: ")) {
        first = Some(told.recv_timeout(2 * PATIENCE).expect("it says how far the pull is"));
    }
    let first = first.expect("just found");

    let id = cluster.client.tasks(&Default::default()).expect("a list").remove(0).id;
    let known =
        |task: &TaskStatus| task.pull.as_ref().is_some_and(|p| p.bytes > LAYER_BYTES as u64 && p.bytes_done > 0);
    let task = cluster.wait_task(&id, "its image is being pulled", known);
    let pull = task.pull.expect("just seen");
    assert_eq!(task.state, TaskPhase::Scheduled);
    assert!(pull.bytes_done < pull.bytes && pull.layers_done < pull.layers && pull.layers >= 3, "{pull:?}");
    assert!(first.contains(" MB, ") && first.contains(&format!("Task '{id}' is ")), "{first}");
    let row = cluster.client.tasks(&Default::default()).expect("a list").remove(0);
    assert_eq!(row.pull.expect("in lists too").layers, pull.layers);
    let here = get(cluster.workers[0].http(), &format!("/api/v1/worker/tasks/{id}")).json();
    assert_eq!(here["pull"]["layers"], pull.layers, "its node knows it too: {here}");
    let (status, text, _) = run(cares().args(["task", "get", "--url", &cluster.head.url(), &id]));
    assert!(status.success() && text.contains("pulling its image: "), "{text}");

    let browser = browser_is_there().then(|| Browser::open(&format!("{}/#/tasks/{id}", cluster.head.url())));
    browser.iter().for_each(|browser| browser.shows(", being pulled: "));

    // An instance that starts there waits for the same pull.
    let serves =
        FunctionSpec { name: "f".into(), image: image.0.clone(), mode: Some(Mode::Http), ..Default::default() };
    let serves = FunctionSpec { min: Some(1), ..serves };
    cluster.client.register(&serves).expect("registered");
    wait_for("its instance shows how far the pull is", || {
        let function = cluster.client.function("f").expect("it");
        function.instances.iter().any(|i| i.pull.as_ref().is_some_and(|p| p.layers == pull.layers))
    });
    let (status, text, _) = run(cares().args(["describe", "--url", &cluster.head.url(), "f"]));
    assert!(status.success() && text.contains("starting in flight 0, pulling its image: "), "{text}");

    let watch = cluster.client.watch_task(&id).expect("a watch");
    line.becomes(Sky::Clear);
    let mut shown = watch.filter_map(|change| match change.expect("a stream") {
        Change::Put(task) => Some(task),
        Change::Synced | Change::Gone(_) => None,
    });
    assert!(shown.next().expect("as it is").pull.is_some());
    let runs = shown.find(|task| task.state == TaskPhase::Running).expect("it runs in the end");
    assert_eq!(runs.pull, None);
    browser.iter().for_each(|browser| browser.hides(", being pulled: "));
    assert!(waiting.wait().expect("it ends").success());
    cluster.client.stop_task(&id).expect("stopping");
    let stopped = cluster.wait_phase(&id, TaskPhase::Stopped);
    assert_eq!(stopped.pull, None);
}
