//! A worker: joins a cluster and runs what it is given. Never names the orchestrator's parts or the core; they meet in
//! `proto/`.

mod agent;
mod build;
mod bundle;
mod devices;
mod engine;
mod engines;
mod freezer;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod identity;
mod images;
mod instance;
mod job;
mod jobs;
mod knock;
mod legacy;
mod link;
mod logs;
mod membership;
mod modules;
mod passport;
mod plain;
mod pool;
mod runnable;
mod status;
pub mod tasks;
#[cfg(test)]
mod tests;
mod upstream;
mod vitals;

use crate::auth::{Gate, Secret};
use crate::config::{TlsFiles, WorkerConfig};
use crate::data_dir::{DataDir, DataDirError};
use crate::http::front;
use crate::http::origin::Origins;
use crate::http::places::Places;
use crate::http::rest::Rest;
use crate::http::tally::Tally;
use crate::limits::{Limit, Limits};
use crate::lock::lock;
use crate::rt::{self, Receiver, Scoped, Sender};
use crate::tls::{BadJoinToken, BadPair};
use crate::types::RunningInstance;
use async_io::Async;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity::Identity;
use membership::Membership;
use modules::Modules;
pub use modules::NotTaken;
use passport::Passport;
use pool::Pool;

/// How long a leaving worker waits for its calls to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How long one that is to end at once takes to kill what runs.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A worker, as its parts share it.
pub struct Worker {
    /// Kept on disk; the same for ever.
    pub id: String,
    pub name: String,
    /// Of the orchestrator's gRPC port.
    pub orchestrator: String,
    pub open: bool,
    /// Who may ask its own REST.
    pub gate: Arc<Gate>,
    pub limits: Limits,
    /// What its front door counts.
    pub tally: Tally,
    /// None beside those of localhost.
    pub origins: Origins,
    /// What it joins with.
    pub passport: Passport,
    /// Runs images for an orchestrator of the first CARES.
    legacy: bool,
    identity: Identity,
    pool: Arc<Pool>,
    pub membership: Membership,
    modules: Modules,
    /// Who watches lists here.
    pub watches: Places,
    vitals: vitals::Shared,
    dir: PathBuf,
}

impl Worker {
    /// What runs things here.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What runs here, and what it uses.
    pub async fn instances(&self) -> Vec<RunningInstance> {
        let mut all = Vec::new();
        for instance in self.pool.warm() {
            let usage = instance.usage().await;
            all.push(RunningInstance {
                id: instance.id.clone(),
                function: instance.function.clone(),
                revision: instance.revision,
                memory_bytes: usage.map(|u| u.memory_bytes),
                cpu_seconds: usage.map(|u| u.cpu_time.as_secs_f64()),
                frozen: instance.is_frozen(),
            });
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

/// A started worker.
pub struct Running {
    worker: Arc<Worker>,
    /// Where its own HTTP is served.
    pub http: SocketAddr,
    /// Whether that is HTTPS.
    pub https: bool,
    /// Told once: it has joined, or why it never will.
    first_join: Receiver<Result<(), String>>,
    leave: Sender<()>,
    left: Receiver<()>,
    /// Its links, and so the jobs on them, end when this does.
    agent: Arc<Mutex<Option<Scoped>>>,
    /// Closed when the last HTTP connection has ended.
    connected: Receiver<()>,
    stop_http: Sender<()>,
    rest: Arc<Rest>,
    _dir: DataDir,
}

/// Why a worker could not be started.
#[derive(Debug)]
pub enum StartError {
    DataDir(DataDirError),
    Pair(BadPair),
    JoinToken(BadJoinToken),
    Listen { flag: &'static str, address: SocketAddr, why: String },
    Engine(String),
    Io { doing: &'static str, why: String },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::DataDir(error) => error.fmt(f),
            StartError::Pair(error) => error.fmt(f),
            StartError::JoinToken(why) => write!(f, "the join token: {why}"),
            StartError::Listen { flag, address, why } => {
                write!(f, "cannot listen on {address}: {why}. Stop what uses it, or give another address with {flag}")
            }
            StartError::Engine(why) => write!(f, "cannot run functions here: {why}"),
            StartError::Io { doing, why } => write!(f, "cannot {doing}: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts a worker; it joins by itself, and again when it must.
pub fn start(config: &WorkerConfig) -> Result<Running, StartError> {
    start_behind(config, None)
}

/// The same; who may ask its own REST is for this gate to say, where there is one.
pub fn start_behind(config: &WorkerConfig, gate: Option<Arc<Gate>>) -> Result<Running, StartError> {
    let io = |doing| move |e: std::io::Error| StartError::Io { doing, why: e.to_string() };
    let pair = TlsFiles::open(config.tls.as_ref()).map_err(StartError::Pair)?;
    let dir = config.open_data_dir().map_err(StartError::DataDir)?;
    let listener = listen(config.worker_addr)?;
    let http = listener.local_addr().map_err(io("tell the worker's address"))?;
    let legacy = config.legacy_grpc_addr.map(legacy::bind).transpose()?;
    let called_at = legacy.as_ref().map_or(http, |(_, at)| *at);
    let identity = Identity::read(dir.path(), config, called_at).map_err(io("keep the node's identity"))?;
    let passport = Passport::read(dir.path(), config.join_token.as_ref(), config.plain);
    let passport = passport.map_err(io("read the certificate"))?.map_err(StartError::JoinToken)?;
    let gate = gate.unwrap_or_else(|| Arc::new(own_gate(config, passport.joins_by_secret())));
    let (notices, noticed) = rt::unbounded(); // an entry an instance or a change of an engine: few
    let listen = tasks::listen_at(http.ip());
    let pool = Pool::new(dir.path(), &identity.id, config, listen, notices);
    let pool = Arc::new(pool.map_err(StartError::Engine)?);
    pool.watch_engines();
    let worker = Arc::new(Worker {
        id: identity.id.clone(),
        name: identity.name.clone(),
        orchestrator: config.orchestrator.clone(),
        open: config.open,
        gate,
        limits: config.limits.clone(),
        tally: Tally::default(),
        origins: Origins::default(),
        passport,
        legacy: legacy.is_some(),
        identity,
        pool,
        membership: Membership::default(),
        modules: Modules::default(),
        watches: Places::default(),
        vitals: vitals::Shared::new(),
        dir: dir.path().to_path_buf(),
    });
    let https = pair.is_some();
    let rest = Rest::start(worker.clone(), dir.path()).map_err(io("start the REST handlers"))?;
    let (stop_http, stopped) = rt::bounded(1);
    let listener = Async::new(listener).map_err(io("listen"))?;
    if let Some((listener, _)) = legacy {
        rt::spawn(legacy::listen(worker.pool.clone(), listener, stopped.clone()));
    }
    let connected = front::start(worker.clone(), rest.clone(), listener, pair, stopped);
    let (leave, leaving) = rt::bounded(1);
    let (told_left, left) = rt::bounded::<()>(1);
    let (tell_joined, first_join) = rt::bounded(1);
    let member = worker.clone();
    let agent = rt::spawn_scoped(async move {
        agent::run(member, noticed, leaving, tell_joined).await;
        drop(told_left);
    });
    let agent = Arc::new(Mutex::new(Some(agent)));
    Ok(Running { worker, http, https, first_join, leave, left, agent, connected, stop_http, rest, _dir: dir })
}

impl Running {
    /// For the screen in this process.
    pub fn own_token(&self) -> Secret {
        self.worker.gate.own().clone()
    }

    pub fn id(&self) -> &str {
        &self.worker.id
    }

    /// Waits until it is a member. `Err`: its orchestrator will not have it, and says why.
    pub async fn joined(&self) -> Result<(), String> {
        self.joining().await
    }

    /// The same, for a task of its own; only one can be told.
    pub fn joining(&self) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let first_join = self.first_join.clone();
        async move { first_join.recv().await.unwrap_or_else(|_| Err("the worker has ended".into())) }
    }

    /// Waits until the first attempt to join has ended. `Err`: why it failed; it goes on trying unless it was refused.
    pub async fn first_attempt(&self) -> Result<(), String> {
        self.worker.membership.first_attempt().await
    }

    /// Kills what runs here, so that nothing outlives a program that is about to end at once.
    pub fn end_at_once(&self) -> impl Future<Output = ()> + Send + use<> {
        let (pool, agent) = (self.worker.pool.clone(), self.agent.clone());
        async move {
            cut(&agent);
            if crate::clock::timeout(KILL_LIMIT, pool.kill_all()).await.is_none() {
                log::warn!("something may still run here: this node's next worker ends it");
            }
        }
    }

    /// Finishes what it has, says goodbye, and ends everything it started.
    pub async fn stop(self) {
        self.leave.close();
        if crate::clock::timeout(DRAIN_LIMIT, self.left.recv()).await.is_none() {
            log::warn!("calls still run after {} s: they are ended", DRAIN_LIMIT.as_secs());
        }
        cut(&self.agent);
        self.worker.pool.stop_all().await;
        self.stop_http.close();
        crate::clock::timeout(front::LAST_BYTES_LIMIT, self.connected.recv()).await; // who watches is told the end
        self.rest.stop();
    }
}

/// Functions reach what listens on their machine. So where its cluster asks for tokens, a worker that asks for none must
/// not run things for whoever comes: they would run beside all that isolates a function.
fn own_gate(config: &WorkerConfig, joins_by_secret: bool) -> Gate {
    let gate = Gate::new(config.token.as_ref()).guessed_at_most(config.limits.of(Limit::WrongTokensPerS));
    match joins_by_secret && !config.open {
        true => gate.that_shows_only(),
        false => gate,
    }
}

/// Ends the membership and its links, and with them the jobs that run for callers.
fn cut(agent: &Mutex<Option<Scoped>>) {
    drop(lock(agent).take());
}

fn listen(address: Option<SocketAddr>) -> Result<TcpListener, StartError> {
    let failed = |address, e: std::io::Error| StartError::Listen { flag: "--worker-addr", address, why: e.to_string() };
    if let Some(address) = address {
        return TcpListener::bind(address).map_err(|e| failed(address, e));
    }
    let usual = crate::config::DEFAULT_WORKER_ADDR;
    TcpListener::bind(usual).or_else(|_| TcpListener::bind((usual.ip(), 0))).map_err(|e| failed(usual, e))
}
