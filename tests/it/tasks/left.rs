//! Callers who leave in the middle, and stops that come as a task begins or ends, on a disk that stands still meanwhile: what
//! was taken in is run, and everything ends. Needs the right to mount; without it this says so and passes.

use super::TASKS;
use crate::harness::{Cluster, wait_for};
use crate::processes;
use crate::wire::ReadSome;
use crate::wire::{ask, get, post};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const HERE: &str = "/api/v1/worker/tasks";

/// A file system of its own that can be made to stand still; as it was, and gone, when dropped.
struct Still(TempDir);

impl Still {
    fn new() -> Option<Still> {
        let dir = tempfile::tempdir().expect("a folder");
        let (image, at) = (dir.path().join("image"), dir.path().join("at"));
        std::fs::File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("an image");
        std::fs::create_dir(&at).expect("a folder");
        let run =
            |name: &str, args: &[&str]| Command::new(name).args(args).output().is_ok_and(|out| out.status.success());
        let [image, mount] = [&image, &at].map(|path| path.to_str().expect("UTF-8"));
        if run("mkfs.ext4", &["-q", image]) && run("mount", &["-o", "loop", image, mount]) {
            return Some(Still(dir));
        }
        eprintln!("skipped: this test needs the right to mount a file system, and mkfs.ext4");
        None
    }

    fn at(&self) -> PathBuf {
        self.0.path().join("at")
    }

    /// Nothing is written to it until what is returned is dropped.
    fn freeze(&self) -> Frozen {
        let frozen = Frozen(self.at());
        assert!(Command::new("fsfreeze").arg("-f").arg(&frozen.0).status().expect("fsfreeze runs").success());
        frozen
    }
}

struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status(); // else nothing ends, which is noticed
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.at()).status();
    }
}

/// Sends a request that is not answered for now, and leaves once it was taken in.
fn ask_and_leave(to: SocketAddr, path: &str, body: &str) {
    let mut stream = TcpStream::connect(to).expect("it listens");
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {to}\r\nIdempotency-Key: k\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes()).expect("sent");
    wait_for(&format!("it was taken in: {path}"), || states(to, path).len() == 1);
    stream.shutdown(Shutdown::Write).expect("closed");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit");
    let _ = stream.read_some(&mut [0]); // closed there too, once that was seen
}

fn states(to: SocketAddr, path: &str) -> Vec<String> {
    let rows = get(to, &format!("{path}?limit=1000")).json();
    let state = |row: &Value| row["state"].as_str().or(row["status"].as_str()).expect("a state").to_string();
    rows.as_array().expect("a list").iter().map(state).collect()
}

fn all_ended(states: &[String]) -> bool {
    states.iter().all(|state| ["Completed", "Failed", "Stopped"].contains(&state.as_str()))
}

#[test]
fn what_a_caller_who_left_asked_for_is_done_and_a_stop_in_between_is_heard() {
    let Some(disk) = Still::new() else { return };
    let cluster = Cluster::start_in(tempfile::tempdir_in(disk.at()).expect("a folder"), 1);
    let task = serde_json::to_string(&cluster.scripted("f", "echo done")).expect("JSON");
    let long = serde_json::to_string(&cluster.scripted("long", "sleep 600")).expect("JSON");
    let short = serde_json::to_string(&cluster.scripted("short", "sleep 1")).expect("JSON");
    let (worker, head) = (cluster.workers[0].http(), cluster.head.http());
    let pipeline = json!({"modules": [{"name": "m", "function": "f"}]}).to_string();
    let frozen = disk.freeze();
    ask_and_leave(worker, HERE, &task);
    ask_and_leave(head, "/api/pipelines", &pipeline);
    drop(frozen);
    let again = ask(head, "POST", "/api/pipelines", &[("idempotency-key", "k")], pipeline.as_bytes());
    assert_eq!(again.status, 201, "the same, asked for again: {}", again.text());
    wait_for("the task has run", || states(worker, HERE) == ["Completed"]);
    wait_for("the pipeline has run", || states(head, "/api/pipelines") == ["succeeded"]);

    // Told to stop before it has begun to run; and while what it printed is being kept.
    let one = |state: &str| {
        let rows = get(worker, HERE).json();
        let row = rows.as_array().expect("a list").iter().find(|row| row["state"] == state).cloned();
        row.map(|row| row["id"].as_str().expect("an id").to_string())
    };
    let stop = move |id: &str| post(worker, &format!("{HERE}/{id}/stop"), "").status;
    thread::scope(|scope| {
        let _frozen = disk.freeze();
        scope.spawn(|| assert_eq!(post(worker, HERE, &long).status, 201));
        wait_for("it was taken in", || one("Scheduled").is_some());
        let id = one("Scheduled").expect("just seen");
        scope.spawn(move || assert_eq!(stop(&id), 202));
        wait_for("it was told to stop", || one("Stopping").is_some());
    });
    wait_for("it has ended", || all_ended(&states(worker, HERE)));
    assert_eq!(post(worker, HERE, &short).status, 201);
    wait_for("it runs", || one("Running").is_some());
    thread::scope(|scope| {
        let _frozen = disk.freeze();
        processes::wait_none(&cluster);
        let id = one("Running").expect("its end is not on disk");
        scope.spawn(move || assert_eq!(stop(&id), 202));
        wait_for("it was told to stop", || one("Stopping").is_some());
    });
    wait_for("all have ended", || all_ended(&states(worker, HERE)));
    wait_for("the orchestrator knows", || all_ended(&states(head, TASKS)));
}
