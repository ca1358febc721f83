//! A worker's own address beside a cluster that asks for tokens: functions of its machine reach it too.

use super::{ADMIN, guarded, make, text};
use crate::harness::Role;
use crate::wire::{ask, get};
use cares::client::Orchestrator;
use std::net::SocketAddr;

const TASK: &[u8] = br#"{"image":"x"}"#;

#[test]
fn one_program_asks_for_the_same_tokens_at_both_its_addresses() {
    let dir = tempfile::tempdir().expect("a folder");
    let up = ["up", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", text(dir.path())];
    let up = Role::start(&up);
    let client = Orchestrator::new(&up.url()).expect("a URL");
    let worker: SocketAddr = client.nodes().expect("nodes")[0].address.parse().expect("an address");
    assert_eq!(get(worker, "/status").status, 200, "nobody is asked yet");
    let boss = make(&client, "boss", &["admin"], None).secret;
    let looks = make(&client.token(&boss), "looks", &["read"], None).secret;
    for path in ["/status", "/instances", "/api/v1/worker/tasks", "/log"] {
        get(worker, path).problem(401, "unauthenticated");
    }
    ask(worker, "POST", "/api/v1/worker/tasks", &[], TASK).problem(401, "unauthenticated");
    assert_eq!(ask(worker, "GET", "/status", &[("X-API-Key", &looks)], b"").status, 200);
    ask(worker, "POST", "/api/v1/worker/tasks", &[("X-API-Key", &looks)], TASK).problem(403, "forbidden");
    ask(worker, "GET", "/api/v1/worker/tasks/none", &[("X-API-Key", &boss)], b"").problem(404, "task_not_found");
}

#[test]
fn its_workers_address_may_be_chosen_and_is_guarded_as_the_other_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let up = ["up", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", text(dir.path())];
    let with = |at| [&up[..], &["--worker-addr", at]].concat();
    let (status, told) = Role::try_start_with(&with("0.0.0.0:0"), |_| {}).err().expect("it is refused");
    assert_eq!(status.code(), Some(2), "{told}");
    assert!(told.contains("--worker-addr") && told.contains("--open"), "{told}");
    let chosen = Role::start(&with("127.0.0.3:0"));
    let client = Orchestrator::new(&chosen.url()).expect("a URL");
    assert!(client.nodes().expect("nodes")[0].address.starts_with("127.0.0.3:"));
    drop((client, chosen));
    let guarded = Role::start_with(&with("0.0.0.0:0"), super::admin);
    let client = Orchestrator::new(&guarded.url()).expect("a URL").token(ADMIN);
    let at: SocketAddr = client.nodes().expect("nodes")[0].address.parse().expect("an address");
    get(([127, 0, 0, 1], at.port()).into(), "/status").problem(401, "unauthenticated");
}

#[test]
fn a_worker_that_joined_with_a_token_and_asks_for_none_only_shows() {
    let cluster = guarded(1);
    let worker = cluster.workers[0].http();
    for path in ["/status", "/instances", "/api/v1/worker/tasks", "/healthz"] {
        assert_eq!(get(worker, path).status, 200, "{path}");
    }
    for (method, path) in [
        ("POST", "/api/v1/worker/tasks"),
        ("DELETE", "/api/v1/worker/tasks/any"),
        ("POST", "/api/v1/worker/tasks/any/stop"),
        ("POST", "/api/execution/execute"),
    ] {
        let told = ask(worker, method, path, &[], TASK).problem(403, "forbidden");
        assert!(told.contains("--token-file"), "{told}");
    }
    let mut cluster = guarded(0);
    let file = cluster.dir.path().join("join-token");
    cluster.add_worker("w1", &["--token-file", text(&file)]);
    let worker = cluster.workers[0].http();
    ask(worker, "POST", "/api/v1/worker/tasks", &[], TASK).problem(401, "unauthenticated");
    ask(worker, "DELETE", "/api/v1/worker/tasks/any", &[("X-API-Key", ADMIN)], b"").problem(404, "task_not_found");
}
