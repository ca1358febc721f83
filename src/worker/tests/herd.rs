//! Many light workers in one process, for `scripts/bench/nodes`: each joins, beats, opens its links and comes back as any
//! worker does, by the same code; they share one pool, in which nothing is ever started.

use crate::auth::Gate;
use crate::config::{Engine, Env, WorkerConfig};
use crate::worker::identity::Identity;
use crate::worker::membership::Membership;
use crate::worker::passport::Passport;
use crate::worker::pool::Pool;
use crate::worker::{Worker, agent, vitals};
use crate::{cli, rt};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Between two looks at who is a member.
const LOOK: Duration = Duration::from_millis(5);
/// The promise to users, and a moment.
const ALL_BACK: Duration = Duration::from_secs(60);

fn config(orchestrator: &str, name: &str) -> WorkerConfig {
    let flags = cli::Worker { address: orchestrator.into(), name: Some(name.into()), ..Default::default() };
    WorkerConfig::new(&flags, &Env(&|_| None)).unwrap()
}

/// One worker's membership; it lives for as long as the process.
fn join(orchestrator: &str, number: usize, dir: &Path, pool: &Arc<Pool>) -> Arc<Worker> {
    let config = config(orchestrator, &format!("light-{number}"));
    std::fs::write(dir.join("node-id"), format!("light-{number}")).unwrap(); // the same after a restart of the herd
    let identity = Identity::read(dir, &config, ([127, 0, 0, 1], 1).into()).unwrap();
    let passport = Passport::read(dir, None, false).unwrap().unwrap();
    let worker = Arc::new(Worker {
        id: identity.id.clone(),
        name: identity.name.clone(),
        orchestrator: orchestrator.into(),
        open: false,
        gate: Arc::new(Gate::new(None)),
        limits: config.limits,
        tally: Default::default(),
        origins: Default::default(),
        passport,
        legacy: false,
        identity,
        pool: pool.clone(),
        membership: Membership::default(),
        modules: Default::default(),
        watches: Default::default(),
        vitals: vitals::Shared::new(),
        dir: dir.to_path_buf(),
    });
    let (hold, noticed) = rt::unbounded();
    let (leave, leaving) = rt::bounded(1);
    let (first, _joined) = rt::bounded(1);
    let member = worker.clone();
    rt::spawn(async move {
        agent::run(member, noticed, leaving, first).await;
        drop((hold, leave));
    });
    worker
}

/// When each was a member again, and how often most were within a tenth of a second; waits for all.
fn all_are_members(herd: &[Arc<Worker>], since: Instant) -> (Duration, Duration, Duration, usize) {
    let mut at: Vec<Option<Duration>> = vec![None; herd.len()];
    while at.iter().any(Option::is_none) {
        assert!(since.elapsed() < ALL_BACK, "{} have not joined", at.iter().filter(|at| at.is_none()).count());
        for (at, worker) in at.iter_mut().zip(herd) {
            if at.is_none() && worker.membership.joined() {
                *at = Some(since.elapsed());
            }
        }
        std::thread::sleep(LOOK);
    }
    let mut at: Vec<Duration> = at.into_iter().flatten().collect();
    at.sort();
    let within =
        |from: &Duration| at.iter().filter(|at| *at >= from && **at < *from + Duration::from_millis(100)).count();
    let most = at.iter().map(within).max().unwrap_or(0);
    (at[0], at[at.len() / 2], at[at.len() - 1], most)
}

/// `CARES_HERD_AT`: the orchestrator's gRPC address; `CARES_HERD`: how many. After that each line on stdin says that the
/// orchestrator has just been killed: answered with how they came back. Ends with stdin.
#[test]
#[ignore = "driven by scripts/bench/nodes"]
fn herd() {
    let said = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (orchestrator, count) = (said("CARES_HERD_AT"), said("CARES_HERD").parse::<usize>().unwrap());
    let dir = TempDir::new().unwrap();
    let (notices, _noticed) = rt::unbounded();
    let config = WorkerConfig { slots: 0, engine: Engine::Process, ..config(&orchestrator, "light") };
    let pool = Arc::new(Pool::new(dir.path(), "light", &config, [127, 0, 0, 1].into(), notices).unwrap());
    let began = Instant::now();
    let herd: Vec<Arc<Worker>> = (0..count).map(|n| join(&orchestrator, n, dir.path(), &pool)).collect();
    let mut since = began;
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let (first, median, last, most) = all_are_members(&herd, since);
        let s = |d: Duration| d.as_secs_f64();
        // Not through the test's capture: a script reads it.
        let told =
            format!("HERD {count} first {:.2} median {:.2} last {:.2} most {most}\n", s(first), s(median), s(last));
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        if lines.next().is_none() {
            return;
        }
        since = Instant::now();
        // They notice a closed connection on their own; that they have is the start.
        while herd.iter().any(|worker| worker.membership.joined()) && since.elapsed() < ALL_BACK {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
