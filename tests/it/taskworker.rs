//! Tasks at a worker whose orchestrator is away: the real `cares`, its REST and the real Docker engine; without an engine
//! these say so and pass, unless CARES_REQUIRE_DOCKER=1. And tasks of bundles, at a worker that can fetch them.

use crate::docker::{containers_of, engine_is_there, remove_containers_of};
use crate::harness::{Starting, free_address, wait_for, wait_for_some};
use crate::wire::{Reply, ask, get, post};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

mod ends;
mod limits;
mod lives;
mod processes;

const TASKS: &str = "/api/v1/worker/tasks";

/// A worker that finds no orchestrator.
struct Alone {
    worker: Option<Starting>,
    at: SocketAddr,
    node: String,
    dir: TempDir,
}

impl Alone {
    /// `None` when there is no engine: the test is skipped.
    fn start() -> Option<Alone> {
        if !engine_is_there() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let mut alone = Alone { worker: None, at: free_address(), node: String::new(), dir };
        alone.start_again();
        alone.node = std::fs::read_to_string(alone.dir.path().join("node-id")).expect("its id").trim().into();
        Some(alone)
    }

    fn start_again(&mut self) {
        let (at, dir) = (self.at.to_string(), self.dir.path().display().to_string());
        let args = ["worker", "127.0.0.1:1", "--worker-addr", &at, "--data-dir", &dir, "--engine", "docker"];
        self.worker = Some(Starting::with(&args, |_| {}));
        wait_for("the worker listens", || TcpStream::connect(self.at).is_ok());
        assert_eq!(get(self.at, "/healthz").status, 200); // it is answered once all is read
    }

    /// kill -9.
    fn kill(&mut self) {
        drop(self.worker.take());
    }

    fn submit(&self, task: Value) -> Reply {
        post(self.at, TASKS, task.to_string())
    }

    /// Submits one that must be taken; its id.
    fn run(&self, image: &str, mut settings: Value) -> String {
        settings["image"] = json!(format!("cares-test/{image}:1"));
        let reply = self.submit(settings);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_str().expect("an id").to_string();
        assert_eq!(reply.header("location"), Some(format!("{TASKS}/{id}").as_str()));
        id
    }

    fn task(&self, id: &str) -> Value {
        let reply = get(self.at, &format!("{TASKS}/{id}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    fn wait(&self, id: &str, state: &str) -> Value {
        wait_for_some(&format!("task {id} is {state}"), || {
            let task = self.task(id);
            let over = ["Completed", "Failed", "Stopped"].iter().any(|end| task["state"] == *end);
            assert!(!over || task["state"] == state, "{task}");
            (task["state"] == state).then_some(task)
        })
    }

    fn act(&self, id: &str, what: &str) -> Reply {
        post(self.at, &format!("{TASKS}/{id}/{what}"), "")
    }

    fn delete(&self, id: &str) -> Reply {
        ask(self.at, "DELETE", &format!("{TASKS}/{id}"), &[], b"")
    }

    fn logs(&self, id: &str, query: &str) -> String {
        let reply = get(self.at, &format!("{TASKS}/{id}/logs?{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }

    fn containers(&self) -> Vec<String> {
        containers_of(&self.node)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.kill();
        remove_containers_of(&self.node);
    }
}
