//! Images as functions: the real `cares` and the real Docker engine. Without an engine these say so and pass, unless
//! CARES_REQUIRE_DOCKER=1. Each looks only at containers of its own workers, and removes them at its end, whatever it is.

use crate::harness::{Cluster, Role, wait_for, wait_for_some};
use crate::wire::{Reply, post};
use cares::client::Orchestrator;
use cares::types::{Function, FunctionSpec, Mode, Problem};
use std::process::Command;
use std::time::Duration;

mod byhand;
mod freezing;
mod images;
mod killed;
mod secrets;
mod shared;
mod trouble;

#[path = "../../src/worker/engine/docker/tests/images.rs"]
mod test_images;

pub use test_images::engine_is_there;

/// Within which what happens to a container by hand is told.
const SOON: Duration = Duration::from_secs(2);

/// Runs `docker`, which must do as told; what it printed.
pub fn docker(arguments: &[&str]) -> String {
    let out = Command::new("docker").args(arguments).output().expect("docker runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "docker {arguments:?}: {said}");
    String::from_utf8_lossy(&out.stdout).trim().to_string()
}

/// A node's containers in any state, by id, the oldest last.
pub fn containers_of(node: &str) -> Vec<String> {
    let filter = format!("label=io.cares.node={node}");
    let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
    listed.lines().map(str::to_string).collect()
}

/// Leaves nothing of a node at the engine, which may not be there.
pub fn remove_containers_of(node: &str) {
    let filter = format!("label=io.cares.node={node}");
    let listed = Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output();
    let listed = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    for id in listed.lines() {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", id]).output();
    }
}

/// A cluster whose workers use the engine.
pub struct Docked {
    pub cluster: Cluster,
    /// The ids of all nodes there were.
    nodes: Vec<String>,
}

impl Docked {
    /// `None` when there is no engine: the test is skipped.
    fn start(workers: usize) -> Option<Docked> {
        Docked::start_told(workers, &[])
    }

    /// The same, with more flags of the orchestrator.
    pub fn start_told(workers: usize, flags: &[&str]) -> Option<Docked> {
        if !engine_is_there() {
            return None;
        }
        let cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, flags);
        let mut docked = Docked { cluster, nodes: Vec::new() };
        for n in 1..=workers {
            docked.add_worker(&format!("w{n}"));
        }
        Some(docked)
    }

    pub fn add_worker(&mut self, name: &str) {
        let worker = self.cluster.start_worker(name, &["--tag", &format!("name={name}")]);
        self.nodes.push(worker.ready("node").to_string());
        self.cluster.workers.push(worker);
        self.wait_docked(name);
    }

    /// Waits until a node takes calls of images.
    pub fn wait_docked(&self, name: &str) {
        self.cluster.wait_linked(name);
        let docked = || self.client().node(name).is_ok_and(|n| n.engines.iter().any(|e| e == "docker"));
        wait_for("the node has the docker engine", docked);
    }

    /// Starts a worker that was killed again, with the same folder.
    pub fn start_again(&mut self, at: usize) {
        let name = format!("w{}", at + 1);
        self.cluster.workers[at] = self.cluster.start_worker(&name, &["--tag", &format!("name={name}")]);
        assert_eq!(self.cluster.workers[at].ready("node"), self.nodes[at], "it is the same node");
        self.wait_docked(&name);
    }

    pub fn client(&self) -> &Orchestrator {
        &self.cluster.client
    }

    /// Makes a function of a test image.
    fn register(&self, name: &str, image: &str) {
        self.register_as(name, image, FunctionSpec::default());
    }

    /// The same, with settings.
    fn register_as(&self, name: &str, image: &str, settings: FunctionSpec) {
        let spec = FunctionSpec { name: name.into(), image: format!("cares-test/{image}:1"), ..settings };
        self.client().register(&spec).expect("registered");
    }

    fn function(&self, name: &str) -> Function {
        self.client().function(name).expect("the function")
    }

    /// Calls it; the answer must be a 200.
    fn call(&self, name: &str, body: &str) -> String {
        let (status, text) = self.cluster.call(name, body);
        assert_eq!(status, 200, "{name}: {text}");
        text
    }

    /// A call of a path below it.
    fn post(&self, target: &str, body: &str) -> Reply {
        post(self.cluster.head.http(), &format!("/invoke/{target}"), body)
    }

    fn problem(&self, name: &str) -> Problem {
        self.cluster.problem(name, "")
    }

    /// The containers of a worker.
    fn containers(&self, worker: usize) -> Vec<String> {
        containers_of(&self.nodes[worker])
    }

    /// Its one container.
    fn container(&self, worker: usize) -> String {
        // A job's is removed once its call has been answered.
        wait_for_some("just one container is there", || match &self.containers(worker)[..] {
            [one] => Some(one.clone()),
            _ => None,
        })
    }

    /// Waits until a worker has no containers.
    fn wait_none(&self, worker: usize) {
        wait_for(&format!("no container of w{} is left", worker + 1), || self.containers(worker).is_empty());
    }

    /// Waits until its one container is another.
    fn wait_replaced(&self, worker: usize, before: &str) {
        wait_for("only the new one is there", || {
            let all = self.containers(worker);
            all.len() == 1 && all[0] != before
        });
    }

    /// Tells a worker to end: it ends well and leaves no container.
    fn leaves_none(&mut self, worker: usize) {
        self.cluster.workers[worker].signal("TERM");
        assert!(self.cluster.workers[worker].wait().success());
        assert!(self.containers(worker).is_empty());
    }

    /// Waits until there is a running container of this worker, and gives its id.
    fn wait_running(&self, worker: usize) -> String {
        let filter = format!("label=io.cares.node={}", self.nodes[worker]);
        wait_for_some("a container runs", || {
            let ids = docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter, "--filter", "status=running"]);
            ids.lines().next().map(str::to_string)
        })
    }
}

impl Drop for Docked {
    fn drop(&mut self) {
        // First those that would start more; their logs are shown as they drop.
        self.cluster.workers.iter_mut().for_each(Role::kill);
        self.nodes.iter().for_each(|node| remove_containers_of(node));
    }
}

fn settings_of_mode(mode: Mode) -> FunctionSpec {
    FunctionSpec { mode: Some(mode), ..FunctionSpec::default() }
}
