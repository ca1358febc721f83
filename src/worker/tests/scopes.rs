//! Who may ask a worker what.

use crate::config::{Env, WorkerConfig};
use crate::http::scope_tests;
use crate::worker::{self, Worker};
use crate::{cli, rt};
use tempfile::TempDir;

#[test]
fn every_route_asks_for_its_scope() {
    let dir = TempDir::new().unwrap();
    let flags = cli::Worker {
        address: "127.0.0.1:1".into(), // nobody: it asks for tokens all the same
        worker_addr: Some("127.0.0.1:0".into()),
        engine: cli::Engine::Process,
        data_dir: Some(dir.path().display().to_string()),
        ..Default::default()
    };
    let running = worker::start(&WorkerConfig::new(&flags, &Env(&|_| None)).unwrap()).unwrap();
    scope_tests::check::<Worker>(running.http, &running.worker.gate);
    rt::block_on(running.stop());
}
