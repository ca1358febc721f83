//! Figures, for people: how long anybody waits for the core's lock while lists of a large cluster are asked for.
//! `cargo test --release --lib -- --ignored --nocapture orchestrator::tests::figures`.

use crate::auth::Caller;
use crate::cluster::{Command, NodeSpec, Put, Reach};
use crate::hidden::Hidden;
use crate::http::api::{functions, health, logs, manager, nodes, recent, secrets};
use crate::http::route::Call;
use crate::orchestrator::{self, Orchestrator, images, spec};
use crate::{clock, rt, types};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const FUNCTIONS: usize = 10_000;
const NODES: usize = 1_000;
const SECRETS: usize = 100;
/// The best of so many: others use this machine too.
const RUNS: usize = 5;

fn fill(app: &Arc<Orchestrator>) {
    let by = Caller::default();
    for n in 0..SECRETS {
        app.secrets.set(&app.state, &format!("s{n}"), &Hidden::new(b"value".to_vec()), &by).unwrap();
    }
    for n in 0..FUNCTIONS {
        let uses = types::Secrets { env: [("KEY".into(), format!("s{}", n % SECRETS))].into(), ..Default::default() };
        let settings = types::FunctionSpec {
            name: format!("f{n:05}"),
            image: format!("registry.example/somebody/f{n}:1"),
            secrets: Some(uses),
            ..Default::default()
        };
        let revision = Box::new(spec::revision(settings, clock::unix_ms()).unwrap());
        drop(app.state.apply(Command::PutFunction { revision, put: Put::Create }).unwrap());
    }
    for n in 0..NODES {
        let (id, name) = (format!("n{n:04}"), format!("a-node-{n}"));
        let spec = NodeSpec { id, name, slots: 8, engines: ["docker".into()].into(), ..NodeSpec::default() };
        let joined = app.state.apply(Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }).unwrap();
        let (node, session) = joined.joined().unwrap();
        drop(app.state.apply(Command::SetReach { node, session, reach: Reach::Links }).unwrap());
    }
}

/// How long it took, and how long somebody else waited for the lock at most meanwhile.
fn measured(app: &Arc<Orchestrator>, work: &dyn Fn()) -> (Duration, Duration) {
    let (state, over) = (app.state.clone(), Arc::new(AtomicBool::new(false)));
    let ended = over.clone();
    let waiting = thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !ended.load(Ordering::Relaxed) {
            let begun = clock::now();
            state.read(|_| ());
            longest = longest.max(begun.elapsed());
            thread::sleep(Duration::from_micros(20)); // a lock that is always asked for would slow down the work
        }
        longest
    });
    let begun = clock::now();
    work();
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    (took, waiting.join().unwrap())
}

#[test]
#[ignore = "prints figures; for release mode"]
fn figures() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let app = running.app.clone();
    fill(&app);
    let call = |query: &[(&str, &str)]| {
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Call { params: Vec::new(), query, body: Vec::new(), path: "/x".into(), by: Caller::default() }
    };
    let (last, most) = (call(&[("after", "f09000"), ("limit", "10")]), call(&[("limit", "1000")]));
    let kinds: [(&str, &dyn Fn()); 9] = [
        ("nothing", &|| thread::sleep(Duration::from_millis(2))),
        ("GET /functions, the last ten", &|| drop(functions::list(&app, &last).unwrap())),
        ("GET /functions, a thousand", &|| drop(functions::list(&app, &most).unwrap())),
        ("GET /nodes, all", &|| drop(nodes::list(&app, &most).unwrap())),
        ("GET /secrets", &|| drop(secrets::list(&app, &most).unwrap())),
        ("GET /calls", &|| drop(recent::newest(&app, &most, 100, None, None))),
        ("manager metrics", &|| drop(manager::workers::metrics(&app).unwrap())),
        ("health, and a log's nodes", &|| {
            drop((health::orchestrator_ready(&app).unwrap(), logs::nodes(&app, |_| true)))
        }),
        ("images in use", &|| drop(rt::block_on(images::in_use(&app)))),
    ];
    for (name, work) in kinds {
        let runs: Vec<_> = (0..RUNS).map(|_| measured(&app, work)).collect();
        let (took, waited) = (runs.iter().map(|r| r.0).min().unwrap(), runs.iter().map(|r| r.1).min().unwrap());
        println!("{name:32} took {:9.3} ms, others waited {:9.3} ms", ms(took), ms(waited));
    }
    running.stop();
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
