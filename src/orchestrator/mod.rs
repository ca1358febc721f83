//! The orchestrator: the shell around the core. Wires the parts together, and takes them down in order.

mod addresses;
pub mod audit;
pub mod backups;
pub mod builds;
pub mod bundles;
pub mod changes;
mod cron;
pub mod dispatch;
mod durable;
mod effects;
pub mod endpoints;
pub mod events;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod garbage;
mod grpc;
pub mod http_nodes;
pub mod identities;
pub mod images;
pub mod isolation;
mod join_command;
mod members;
pub mod pipelines;
mod port;
pub mod queue;
pub mod registry;
mod schedule;
pub mod secrets;
pub mod spec;
pub mod state;
pub mod store;
mod stories;
mod strangers;
pub mod tasks;
#[cfg(test)]
mod tests;
mod ticker;
pub mod tokens;

use crate::auth::rate::{Buckets, Rate};
use crate::auth::{Caller, Denied, Gate, Secret};
use crate::clock;
use crate::cluster::{self, Cluster, Millis, backlog};
use crate::config::{Allowed, ConfigError, OrchestratorConfig, TlsFiles};
use crate::data_dir::{DataDir, DataDirError};
use crate::garbage::Rules;
use crate::http::api::Watches;
use crate::http::front;
use crate::http::origin::Origins;
use crate::http::problem::Problem;
use crate::http::rest::Rest;
use crate::http::tally::Tally;
use crate::limits::{Limit, Limits};
use crate::rt::{self, Receiver, Sender};
use crate::runtimes::{self, Catalog, CatalogError};
use crate::tls::{self, Authority, AuthorityError, BadPair, JoinToken, Pair};
use async_io::Async;
use audit::Audit;
use backups::Backups;
use builds::Builds;
use bundles::Bundles;
use cron::Schedules;
use dispatch::first_generation::FirstGeneration;
use dispatch::http_worker::HttpWorkers;
use dispatch::link::Links;
use endpoints::Endpoints;
use events::{EventLog, Told};
pub use grpc::join_refused;
use identities::Identities;
use images::Images;
use members::Members;
use pipelines::Pipelines;
use queue::Queue;
use registry::Registry;
use secrets::{Secrets, key::KeyError};
use state::State;
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::{Store, StoreError};
use stories::Stories;
use strangers::Strangers;
use tokens::Tokens;

/// Each start has ids of its own: the start's number above, a counter below. 2^40 calls last a year at 30,000 a second.
const EPOCH_SHIFT: u32 = 40;
/// Event ids stay below 2^53, so that JavaScript can count them.
const EVENT_EPOCH_SHIFT: u32 = 32;

/// How long a stopping orchestrator waits for its calls to end; a worker does as much.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Between two events about workers that were refused.
const REFUSED_EVERY_MS: u64 = 1_000;

/// The orchestrator, as its parts share it.
pub struct Orchestrator {
    pub cluster_id: String,
    pub lease_ms: Millis,
    pub open: bool,
    pub limits: Limits,
    /// What its front door counts.
    pub tally: Tally,
    pub origins: Origins,
    /// Calls of functions that have a rate.
    pub rates: Buckets<String>,
    pub state: Arc<State>,
    pub links: Arc<Links>,
    pub first_generation: FirstGeneration,
    pub http_workers: HttpWorkers,
    pub members: Members,
    pub events: Arc<EventLog>,
    pub tokens: Tokens,
    pub identities: Identities,
    pub secrets: Secrets,
    pub bundles: Bundles,
    images: Images,
    pub registry: Registry,
    pub builds: Builds,
    pub store: Arc<Store>,
    pub backups: Backups,
    pub queue: Queue,
    pub pipelines: Pipelines,
    pub schedules: Schedules,
    pub stories: Stories,
    pub watches: Watches,
    /// Where REST and gRPC listen.
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    /// Where callbacks may go.
    pub callbacks: Allowed,
    /// Whom callbacks over HTTPS believe.
    pub trusted: Arc<rustls::ClientConfig>,
    /// With what REST speaks HTTPS.
    pub pair: Option<Arc<Pair>>,
    pub started_unix_ms: u64,
    strangers: Strangers,
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

    /// Has an event tell of a worker that may not join, unless one just did.
    pub fn tell_worker_refused(&self, peer: SocketAddr, why: &str) {
        let now = clock::now_ms();
        let due = |last: u64| (last == 0 || now.saturating_sub(last) >= REFUSED_EVERY_MS).then_some(now);
        let told = self.refused_told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due);
        let message = format!("A worker at {peer} was refused: {why}");
        if told.is_err() {
            return log::debug!("{message}"); // whoever tries on and on must not push out what else happened
        }
        let (kind, level) = ("node.refused", "warn");
        let from = Some(peer.ip().to_canonical().to_string());
        self.events.tell(&Told { kind, level, message, from, ..Default::default() });
    }

    /// Counts one more call of a function, whose own rate this is if it has one. Where there is none it costs a
    /// comparison.
    pub fn pace(&self, function: &str, of_its_own: u32) -> Result<(), Problem> {
        let usual = self.limits.of(Limit::RequestsPerSFunction);
        let most = if of_its_own > 0 { of_its_own.into() } else { usual };
        let Some(rate) = Rate::per_second(most) else { return Ok(()) };
        self.rates.take(function, rate, clock::now_ns()).map_err(|wait| {
            let detail = format!("function '{function}' may be called {most} times a second");
            let problem = Problem::rate_limited(detail, wait);
            if of_its_own > 0 { problem } else { problem.of_limit(Limit::RequestsPerSFunction) }
        })
    }

    /// Tells of somebody whose token was refused.
    pub fn tell_refused(&self, from: IpAddr, asked: &str, why: &Denied) {
        let message = format!("{asked} from {from} was refused: {why}");
        let (kind, level) = ("auth.refused", "warn");
        let told = Told { kind, level, message, ..Told::default() };
        self.events.tell(&told.by(&Caller { from: Some(from), ..Caller::default() }));
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
    Pair(BadPair),
    Authority(AuthorityError),
    Secrets(KeyError),
    Runtimes(CatalogError),
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
            StartError::Pair(error) => error.fmt(f),
            StartError::Authority(error) => error.fmt(f),
            StartError::Secrets(error) => error.fmt(f),
            StartError::Runtimes(error) => error.fmt(f),
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
    start_with(config, backlog_limits(&config.limits), garbage::RULES)
}

fn cluster_limits(limits: &Limits) -> cluster::Limits {
    cluster::Limits {
        calls: limits.count_or_any(Limit::Calls),
        calls_per_function: limits.count_or_any(Limit::CallsPerFunction),
        queue_per_function: limits.count(Limit::WaitingCallsPerFunction),
        queue_total: limits.count(Limit::WaitingCalls),
        ..Default::default()
    }
}

fn backlog_limits(limits: &Limits) -> backlog::Limits {
    backlog::Limits {
        open_per_function: limits.count(Limit::AsyncCallsPerFunction),
        open_total: limits.count(Limit::AsyncCalls),
        bytes: limits.of(Limit::AsyncBytes),
        ..Default::default()
    }
}

/// The same with other limits for asynchronous calls and for what is of no use any more.
fn start_with(config: &OrchestratorConfig, calls: backlog::Limits, rules: Rules) -> Result<Running, StartError> {
    config.check_exposed(config.has_store()).map_err(StartError::Config)?; // before anything is touched
    let pair = TlsFiles::open(config.tls.as_ref()).map_err(StartError::Pair)?;
    let trusted = trusted(config)?;
    let http = listen("--http-addr", config.http_addr)?;
    let grpc = listen("--grpc-addr", config.grpc_addr)?;
    let io = |doing| move |e: std::io::Error| StartError::Io { doing, why: e.to_string() };
    let address = |l: &Async<TcpListener>| l.get_ref().local_addr().map_err(io("tell an address"));
    let (http_at, grpc_at) = (address(&http)?, address(&grpc)?);
    let dir = config.open_data_dir().map_err(StartError::DataDir)?;
    let (store, start, kept) = Store::open(dir.path()).map_err(StartError::Store)?;
    config.check_exposed(!kept.tokens.is_empty()).map_err(StartError::Config)?;
    let store = Arc::new(store);
    let authority = Authority::open(dir.path(), &start.cluster_id, config.certificate_life);
    let authority = authority.map_err(StartError::Authority)?;
    let revoked: Vec<String> =
        kept.identities.iter().filter(|(_, i)| i.revoked_unix_ms.is_some()).map(|(id, _)| id.clone()).collect();
    let identities = Identities::new(&start.cluster_id, authority, store.clone(), kept.identities);
    let identities = identities.map_err(|why| StartError::Io { doing: "take nodes over TLS", why })?;
    let limits = cluster_limits(&config.limits);
    let lease_ms = limits.lease_ms;
    let first_key = start.epoch << EPOCH_SHIFT;
    let current = kept.functions.iter().filter_map(|function| function.revisions.last());
    let pipelines = Pipelines::open(dir.path(), store.clone(), pipelines::limits(), first_key, &kept.later);
    let (pipelines, beginning) =
        pipelines.map_err(|why| StartError::Io { doing: "take the pipelines up again", why })?;
    let (schedules, woken) = Schedules::open(store.clone(), current, kept.later.schedules);
    let queue = Queue::open(dir.path(), store.clone(), calls, first_key, &kept.later.calls);
    let (queue, starting) =
        queue.map_err(|why| StartError::Io { doing: "take the asynchronous calls up again", why })?;
    let mut cluster = Cluster::new(limits.clone(), first_key);
    kept.nodes.into_iter().for_each(|(spec, cordoned)| cluster.restore_node(spec, cordoned));
    revoked.iter().for_each(|id| cluster.restore_revoked(id));
    kept.functions.into_iter().for_each(|function| cluster.restore_function(function));
    cluster.set_wall_clock(clock::steady_unix_ms().saturating_sub(clock::now_ms()));
    kept.tasks.into_iter().for_each(|task| cluster.restore_task(clock::now_ms(), task));
    let bundles = Bundles::open(dir.path().join("bundles"), store.clone(), kept.bundles).map_err(io("open bundles"))?;
    let runtimes: Vec<_> =
        [dir.path().join(runtimes::IN_DATA_DIR)].into_iter().chain(config.runtimes.clone()).collect();
    let catalog = Catalog::load(&runtimes).map_err(StartError::Runtimes)?;
    if let Some(name) = config.bases.keys().find(|name| catalog.get(name).is_none()) {
        let known: Vec<&str> = catalog.names().collect();
        let why = format!("there is no runtime '{}'; there are {}", name.escape_debug(), known.join(", "));
        return Err(StartError::Io { doing: "begin a runtime's builds with another image (--base)", why });
    }
    let builds =
        Builds::open(dir.path().join("builds"), store.clone(), first_key, kept.builds, catalog, config.bases.clone());
    let builds = builds.map_err(io("open the folder of builds"))?;
    let (outbox, facts) = rt::unbounded();
    let (earlier, moved) = rt::bounded(1);
    let events = Arc::new(EventLog::new(start.epoch << EVENT_EPOCH_SHIFT, kept.events, store.clone()));
    let gate = Gate::new(config.token.as_ref())
        .guessed_at_most(config.limits.of(Limit::WrongTokensPerS))
        .with_issuer(config.jwt.as_ref());
    let gate = gate.map_err(|why| StartError::Config(ConfigError::Keys(why)))?;
    let audit = Arc::new(Audit { store: store.clone(), events: events.clone() });
    let tokens = Tokens::new(gate, audit.clone(), kept.tokens);
    let (key, key_was) = (config.secret_key_file(dir.path()), config.secret_key_was.as_deref());
    let secrets = Secrets::open(&key, key_was, audit, kept.secrets).map_err(StartError::Secrets)?;
    let state = Arc::new(State::new(cluster, store.clone(), events.clone(), outbox, earlier));
    let owner: Weak<State> = Arc::downgrade(&state);
    store.belongs_to(owner);
    let endpoints = Endpoints::new(config.worker_endpoints.clone(), [http_at.port(), grpc_at.port()], trusted.clone());
    let app = Arc::new(Orchestrator {
        cluster_id: start.cluster_id,
        lease_ms,
        open: config.open,
        limits: config.limits.clone(),
        tally: Tally::default(),
        origins: config.origins.clone(),
        callbacks: config.callbacks.clone(),
        rates: Buckets::new(limits.max_functions),
        state,
        links: Arc::default(),
        first_generation: FirstGeneration::default(),
        http_workers: HttpWorkers::new(endpoints),
        members: Members::default(),
        events,
        tokens,
        identities,
        secrets,
        bundles,
        images: Images::default(),
        registry: Registry::new(config.registry.clone()),
        builds,
        store: store.clone(),
        backups: Backups::default(),
        queue,
        pipelines,
        schedules,
        stories: Stories::default(),
        watches: Watches::default(),
        http: http_at,
        grpc: grpc_at,
        trusted,
        pair: pair.clone(),
        started_unix_ms: clock::unix_ms(),
        refused: AtomicU64::new(first_key),
        strangers: Strangers::default(),
        refused_told: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
    });
    let rest = Rest::start(app.clone(), dir.path()).map_err(io("start the REST handlers"))?;
    rt::spawn(effects::run(app.clone(), facts));
    rt::spawn(queue::run(app.clone(), starting));
    rt::spawn(pipelines::run(app.clone(), beginning));
    rt::spawn(cron::run(app.clone(), woken));
    rt::spawn(ticker::run(app.state.clone(), moved));
    let (stop_http, http_stopped) = rt::bounded(1);
    let (stop_grpc, grpc_stopped) = rt::bounded(1);
    let connected = front::start(app.clone(), rest.clone(), http, pair, http_stopped);
    rt::spawn(port::listen(app.clone(), grpc, grpc_stopped));
    let (stop_garbage, garbage_stopped) = rt::bounded(1);
    rt::spawn(garbage::run(app.clone(), rules, garbage_stopped));
    let stop = vec![stop_http, stop_grpc, stop_garbage];
    Ok(Running { http: http_at, grpc: grpc_at, app, stop, connected, rest, store, _dir: dir })
}

impl Running {
    /// Whether REST is HTTPS.
    pub fn https(&self) -> bool {
        self.app.pair.is_some()
    }

    /// What to type on another machine so that it joins.
    pub fn join_command(&self) -> String {
        self.app.join_command()
    }

    /// For the screen and the worker in this process: it may do everything.
    pub fn own_token(&self) -> Secret {
        self.app.tokens.gate().own().clone()
    }

    /// Who may ask, for the worker in this process: one program asks for the same tokens at all its addresses.
    pub fn gate(&self) -> Arc<Gate> {
        self.app.tokens.gate().clone()
    }

    /// The same as a join token.
    pub fn own_join_token(&self) -> Secret {
        JoinToken { fingerprint: self.app.identities.fingerprint(), secret: self.own_token() }.text()
    }

    /// Takes no new calls, and waits for those under way, within a bound.
    pub fn drain(&self) {
        self.app.stopping.store(true, Ordering::Relaxed);
        let under_way = || self.app.state.read(Cluster::calls_under_way);
        let ended = async {
            loop {
                let since = self.app.state.changes.arm();
                if under_way() == 0 {
                    return;
                }
                self.app.state.changes.changed(since).await;
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

/// Believes the authorities of the web and of CARES_CA.
fn trusted(config: &OrchestratorConfig) -> Result<Arc<rustls::ClientConfig>, StartError> {
    let bad = |why| StartError::Io { doing: "read the file of CARES_CA", why };
    let more = match &config.ca {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|e| bad(format!("{}: {e}", path.display())))?;
            tls::pem_certificates(&pem).map_err(|why| bad(format!("{}: {why}", path.display())))?
        }
        None => Vec::new(),
    };
    tls::client(more).map_err(|e| bad(e.to_string()))
}

fn listen(flag: &'static str, address: SocketAddr) -> Result<Async<TcpListener>, StartError> {
    let failed = |e: std::io::Error| StartError::Listen { flag, address, why: e.to_string() };
    TcpListener::bind(address).and_then(Async::new).map_err(failed)
}
