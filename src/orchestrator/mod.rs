//! The orchestrator: the shell around the core. Wires the parts together, and takes them down in order.

pub mod backups;
pub mod bundles;
pub mod changes;
mod cron;
pub mod dispatch;
mod effects;
pub mod events;
mod garbage;
mod grpc;
pub mod isolation;
mod members;
pub mod queue;
mod schedule;
pub mod spec;
pub mod state;
pub mod store;
mod stories;
#[cfg(test)]
mod tests;
mod ticker;
pub mod tokens;

use crate::auth::{Gate, Secret};
use crate::clock;
use crate::cluster::{Cluster, Limits, Millis, backlog};
use crate::config::{ConfigError, OrchestratorConfig};
use crate::data_dir::{DataDir, DataDirError};
use crate::garbage::Rules;
use crate::http::api::Watches;
use crate::http::front;
use crate::http::rest::Rest;
use crate::rt::{self, Receiver, Sender};
use async_io::Async;
use backups::Backups;
use bundles::Bundles;
use cron::Schedules;
use dispatch::first_generation::FirstGeneration;
use dispatch::link::Links;
use events::EventLog;
use members::Members;
use queue::Queue;
use state::State;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::{Store, StoreError};
use stories::Stories;
use tokens::Tokens;

/// Each start has ids of its own: the start's number above, a counter below. 2^40 calls last a year at 30,000 a second.
const EPOCH_SHIFT: u32 = 40;
/// Event ids stay below 2^53, so that JavaScript can count them.
const EVENT_EPOCH_SHIFT: u32 = 32;

/// How long a stopping orchestrator waits for its calls to end; a worker does as much.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
const DRAIN_EVERY: Duration = Duration::from_millis(20);

/// The orchestrator, as its parts share it.
pub struct Orchestrator {
    pub cluster_id: String,
    pub lease_ms: Millis,
    pub open: bool,
    pub state: Arc<State>,
    pub links: Arc<Links>,
    pub first_generation: FirstGeneration,
    pub members: Members,
    pub events: Arc<EventLog>,
    pub tokens: Tokens,
    pub bundles: Bundles,
    pub store: Arc<Store>,
    pub backups: Backups,
    pub queue: Queue,
    pub schedules: Schedules,
    pub stories: Stories,
    pub watches: Watches,
    /// Where REST and gRPC listen.
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub started_unix_ms: u64,
    /// Ids of calls that were not taken in: their answers have one too.
    refused: AtomicU64,
    /// When an event last told of a worker that was refused, by `clock::now_ms`.
    refused_told: AtomicU64,
    /// It takes no new calls.
    stopping: AtomicBool,
}

impl Orchestrator {
    /// Whether it has been told to stop.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// An id for a call that is not taken in.
    pub fn refused_id(&self) -> String {
        format!("r{:x}", self.refused.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A started orchestrator.
pub struct Running {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    app: Arc<Orchestrator>,
    stop: Vec<Sender<()>>,
    /// Closed when the last HTTP connection has ended.
    connected: Receiver<()>,
    rest: Arc<Rest>,
    store: Arc<Store>,
    _dir: DataDir,
}

/// Why an orchestrator could not be started.
#[derive(Debug)]
pub enum StartError {
    /// What only the tokens that are kept could allow.
    Config(ConfigError),
    DataDir(DataDirError),
    Store(StoreError),
    Listen {
        flag: &'static str,
        address: SocketAddr,
        why: String,
    },
    Io {
        doing: &'static str,
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::DataDir(error) => error.fmt(f),
            StartError::Store(error) => error.fmt(f),
            StartError::Listen { flag, address, why } => {
                write!(f, "cannot listen on {address}: {why}. Stop what uses it, or give another address with {flag}")
            }
            StartError::Io { doing, why } => write!(f, "cannot {doing}: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts an orchestrator: both ports are open when this returns.
pub fn start(config: &OrchestratorConfig) -> Result<Running, StartError> {
    start_with(config, backlog::Limits::default(), garbage::RULES)
}

/// The same with other limits for asynchronous calls and for what is of no use any more.
fn start_with(config: &OrchestratorConfig, calls: backlog::Limits, rules: Rules) -> Result<Running, StartError> {
    config.check_exposed(config.has_store()).map_err(StartError::Config)?; // before anything is touched
    let http = listen("--http-addr", config.http_addr)?;
    let grpc = listen("--grpc-addr", config.grpc_addr)?;
    let io = |doing| move |e: std::io::Error| StartError::Io { doing, why: e.to_string() };
    let address = |l: &Async<TcpListener>| l.get_ref().local_addr().map_err(io("tell an address"));
    let (http_at, grpc_at) = (address(&http)?, address(&grpc)?);
    let dir = config.open_data_dir().map_err(StartError::DataDir)?;
    let (store, start, kept) = Store::open(dir.path()).map_err(StartError::Store)?;
    config.check_exposed(!kept.tokens.is_empty()).map_err(StartError::Config)?;
    let store = Arc::new(store);
    let limits = Limits::default();
    let lease_ms = limits.lease_ms;
    let first_key = start.epoch << EPOCH_SHIFT;
    let current = kept.functions.iter().filter_map(|function| function.revisions.last());
    let (schedules, woken) = Schedules::open(store.clone(), current, kept.later.schedules);
    let queue = Queue::open(dir.path(), store.clone(), calls, first_key, &kept.later.calls);
    let (queue, starting) =
        queue.map_err(|why| StartError::Io { doing: "take the asynchronous calls up again", why })?;
    let mut cluster = Cluster::new(limits, first_key);
    kept.nodes.into_iter().for_each(|(spec, cordoned)| cluster.restore_node(spec, cordoned));
    kept.functions.into_iter().for_each(|function| cluster.restore_function(function));
    let bundles = Bundles::open(dir.path().join("bundles"), store.clone(), kept.bundles).map_err(io("open bundles"))?;
    let (outbox, facts) = rt::unbounded();
    let (earlier, moved) = rt::bounded(1);
    let events = Arc::new(EventLog::new(start.epoch << EVENT_EPOCH_SHIFT, kept.events, store.clone()));
    let gate = Gate::new(config.token.as_ref());
    let tokens = Tokens::new(gate, store.clone(), events.clone(), kept.tokens);
    let state = Arc::new(State::new(cluster, store.clone(), events.clone(), outbox, earlier));
    let owner: Weak<State> = Arc::downgrade(&state);
    store.belongs_to(owner);
    let app = Arc::new(Orchestrator {
        cluster_id: start.cluster_id,
        lease_ms,
        open: config.open,
        state,
        links: Arc::default(),
        first_generation: FirstGeneration::default(),
        members: Members::default(),
        events,
        tokens,
        bundles,
        store: store.clone(),
        backups: Backups::default(),
        queue,
        schedules,
        stories: Stories::default(),
        watches: Watches::default(),
        http: http_at,
        grpc: grpc_at,
        started_unix_ms: clock::unix_ms(),
        refused: AtomicU64::new(first_key),
        refused_told: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
    });
    let rest = Rest::start(app.clone(), dir.path()).map_err(io("start the REST handlers"))?;
    rt::spawn(effects::run(app.clone(), facts));
    rt::spawn(queue::run(app.clone(), starting));
    rt::spawn(cron::run(app.clone(), woken));
    rt::spawn(ticker::run(app.state.clone(), moved));
    let (stop_http, http_stopped) = rt::bounded(1);
    let (stop_grpc, grpc_stopped) = rt::bounded(1);
    let serving = front::listen(app.clone(), rest.clone(), http, http_stopped);
    let (held, connected) = rt::bounded(1);
    rt::spawn(async move {
        serving.await;
        drop(held);
    });
    rt::spawn(grpc::listen(app.clone(), grpc, grpc_stopped));
    let (stop_garbage, garbage_stopped) = rt::bounded(1);
    rt::spawn(garbage::run(app.clone(), rules, garbage_stopped));
    let stop = vec![stop_http, stop_grpc, stop_garbage];
    Ok(Running { http: http_at, grpc: grpc_at, app, stop, connected, rest, store, _dir: dir })
}

impl Running {
    /// For the screen and the worker in this process: it may do everything.
    pub fn own_token(&self) -> Secret {
        self.app.tokens.gate().own().clone()
    }

    /// Takes no new calls, and waits for those under way, within a bound.
    pub fn drain(&self) {
        self.app.stopping.store(true, Ordering::Relaxed);
        let under_way = || self.app.state.read(Cluster::calls_under_way);
        let ended = async {
            while under_way() > 0 {
                clock::after(DRAIN_EVERY).await;
            }
        };
        let running = under_way();
        if running > 0 {
            log::info!("No new calls are taken; waiting for {running} to end");
        }
        if rt::block_on(clock::timeout(DRAIN_LIMIT, ended)).is_none() {
            log::warn!("{} calls still run after {} s: they are ended", under_way(), DRAIN_LIMIT.as_secs());
        }
    }

    /// Drains, takes no more, and keeps what was acknowledged.
    pub fn stop(self) {
        self.drain();
        for stop in &self.stop {
            stop.close();
        }
        // Streams of events and open dashboards do not end by themselves: nothing is lost when they are cut.
        let _ = rt::block_on(clock::timeout(front::LAST_BYTES_LIMIT, self.connected.recv()));
        self.rest.stop();
        self.store.close();
    }
}

fn listen(flag: &'static str, address: SocketAddr) -> Result<Async<TcpListener>, StartError> {
    let failed = |e: std::io::Error| StartError::Listen { flag, address, why: e.to_string() };
    TcpListener::bind(address).and_then(Async::new).map_err(failed)
}
