//! What a role is started with: flags > environment > default. Validated once, here; the roles trust it.

mod endpoints;
mod env;
mod error;
mod registry;

use crate::auth::{Issuer, Secret};
use crate::cli::{self, OrchestratorOptions};
use crate::data_dir::{DataDir, DataDirError};
use crate::http::origin::Origins;
use crate::limits::{Limits, Of};
use crate::names::check_name;
use crate::tls::{BadPair, Pair};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::cli::{Engine, LogFormat, LogLevel};
pub use endpoints::Allowed;
#[cfg(any(test, feature = "fuzz"))]
pub use endpoints::EndpointRule;
pub use env::Env;
pub use error::ConfigError;
pub use registry::RegistryConfig;

/// Where REST listens when nothing else is said.
pub const DEFAULT_HTTP_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where workers join when nothing else is said.
pub const DEFAULT_GRPC_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
/// Where a worker's own REST listens when nothing else is said and the port is free.
pub const DEFAULT_WORKER_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);
/// Calls at once on one worker when nothing else is said.
pub const DEFAULT_SLOTS: u32 = 256;
/// The most a worker may offer.
pub const MAX_SLOTS: u32 = 65_536;
/// The most tags a worker may have: they travel in every join.
pub const MAX_TAGS: usize = 64;
/// The longest key or value of a tag, in bytes.
pub const MAX_TAG_LEN: usize = 256;

/// Of a node's certificate when nothing else is said: thirty days; and the bounds of what may be said.
const CERTIFICATE_S: (u64, RangeInclusive<u64>) = (30 * 86_400, 3..=365 * 86_400);

/// How and what is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LogLevel,
    /// Each request has a line.
    pub access: bool,
}

/// What an orchestrator is started with.
#[derive(Clone, Debug)]
pub struct OrchestratorConfig {
    pub http_addr: SocketAddr,
    pub grpc_addr: SocketAddr,
    /// `None`: `orchestrator` in `data_base`.
    pub data_dir: Option<PathBuf>,
    /// Where the default places are.
    pub data_base: PathBuf,
    /// May listen beyond loopback without tokens.
    pub open: bool,
    /// One that may do everything.
    pub token: Option<Secret>,
    /// Where workers that join over HTTP may be; none: each at the address that it registers from.
    pub worker_endpoints: Allowed,
    /// Where results of asynchronous calls may be sent; none: wherever the orchestrator gets, but for its own machine.
    pub callbacks: Allowed,
    pub limits: Limits,
    /// Sites whose pages may use the API, beside those of localhost.
    pub origins: Origins,
    /// Whose tokens open the door too.
    pub jwt: Option<Issuer>,
    /// For HTTPS.
    pub tls: Option<TlsFiles>,
    /// Authorities that callbacks may be signed by, beside those of the web: a file.
    pub ca: Option<PathBuf>,
    /// Of the certificates that nodes get.
    pub certificate_life: Duration,
    /// What secrets are sealed with; `None`: `secrets.key` in its data folder.
    pub secret_key_file: Option<PathBuf>,
    /// What they were sealed with before.
    pub secret_key_was: Option<PathBuf>,
    pub registry: RegistryConfig,
    /// A folder of runtimes, beside that in its data folder.
    pub runtimes: Option<PathBuf>,
    /// Images that builds begin with, by runtime.
    pub bases: BTreeMap<String, String>,
    /// No dashboard, even on a terminal.
    pub headless: bool,
    pub log: LogConfig,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Both, or neither.
    pub fn new(certificate: Option<&String>, key: Option<&String>) -> Result<Option<Self>, ConfigError> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::HalfPair { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => Err(ConfigError::HalfPair { given: "--tls-key", missing: "--tls-cert" }),
        }
    }

    /// Reads them.
    pub fn open(this: Option<&Self>) -> Result<Option<Arc<Pair>>, BadPair> {
        this.map(|files| Pair::open(files.certificate.clone(), files.key.clone()).map(Arc::new)).transpose()
    }
}

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Of the orchestrator's gRPC port, `HOST:PORT`.
    pub orchestrator: String,
    /// `None`: HOST-xxxx, from the node's id.
    pub name: Option<String>,
    /// `None`: 127.0.0.1:9000, else a free port there.
    pub worker_addr: Option<SocketAddr>,
    /// Where an orchestrator of the first CARES has images run; `None`: nowhere.
    pub legacy_grpc_addr: Option<SocketAddr>,
    /// `None`: the first default place no other worker uses.
    pub data_dir: Option<PathBuf>,
    /// Where the default places are.
    pub data_base: PathBuf,
    pub tags: BTreeMap<String, String>,
    /// Calls at once, 1 to 65,536.
    pub slots: u32,
    pub engine: Engine,
    /// May listen beyond loopback without tokens.
    pub open: bool,
    /// For its own REST.
    pub token: Option<Secret>,
    pub limits: Limits,
    /// For HTTPS there.
    pub tls: Option<TlsFiles>,
    /// What it joins with.
    pub join_token: Option<Secret>,
    /// Its orchestrator is in this very process: without a certificate it needs no TLS.
    pub plain: bool,
    /// No dashboard, even on a terminal.
    pub headless: bool,
    pub log: LogConfig,
}

/// What both roles in one process are started with. `worker.orchestrator` is the gRPC address as given: with port 0,
/// the port that was found replaces it.
#[derive(Clone, Debug)]
pub struct UpConfig {
    pub orchestrator: OrchestratorConfig,
    pub worker: WorkerConfig,
    /// Deploy and invoke the examples.
    pub demo: bool,
}

fn listen_address(flag: &'static str, value: &str) -> Result<SocketAddr, ConfigError> {
    let text = match value.trim().strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => value.trim().to_string(),
    };
    text.parse().map_err(|_| ConfigError::Address { flag, value: value.to_string() })
}

fn check_loopback(flag: &'static str, address: SocketAddr) -> Result<(), ConfigError> {
    match address.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(ConfigError::Exposed { flag, address }),
    }
}

/// `HOST` or `HOST:PORT` made `HOST:PORT`.
fn join_address(value: &str) -> Result<String, ConfigError> {
    let bad = |why| ConfigError::Join { value: value.to_string(), why };
    let text = value.trim();
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if text.contains("://") || text.contains('/') {
        return Err(bad("it must not be a URL"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("it has a space in it"));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(format!("[{text}]:{}", DEFAULT_GRPC_ADDR.port()));
    }
    match text.rsplit_once(':') {
        Some((_, tail)) if tail.ends_with(']') => Ok(format!("{text}:{}", DEFAULT_GRPC_ADDR.port())),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_string())
        }
        Some(("", _)) => Err(bad("it has no host")),
        Some(_) => Err(bad("its port must be 1 to 65535")),
        None => Ok(format!("{text}:{}", DEFAULT_GRPC_ADDR.port())),
    }
}

fn tags(given: &[(String, String)]) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        let bad = |why| Err(ConfigError::Tag { key: key.clone(), why });
        if key.len() > MAX_TAG_LEN || value.len() > MAX_TAG_LEN {
            return bad("a key or value has at most 256 bytes");
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return bad("it has a control character in it");
        }
        if tags.insert(key.clone(), value.clone()).is_some() {
            return bad("it is given twice");
        }
        if tags.len() > MAX_TAGS {
            return bad("a node has at most 64 tags");
        }
    }
    Ok(tags)
}

impl OrchestratorConfig {
    /// Reads flags and environment.
    pub fn new(flags: &OrchestratorOptions, env: &Env<'_>) -> Result<OrchestratorConfig, ConfigError> {
        OrchestratorConfig::with(flags, env, Of::Orchestrator)
    }

    /// `of`: whose limits there may be.
    fn with(flags: &OrchestratorOptions, env: &Env<'_>, of: Of) -> Result<OrchestratorConfig, ConfigError> {
        let http = flags.http_addr.as_ref();
        let grpc = flags.grpc_addr.as_ref();
        let data_dir = env.data_dir(flags.data_dir.as_ref());
        Ok(OrchestratorConfig {
            http_addr: env.listen("--http-addr", http, "CARES_HTTP_ADDR", DEFAULT_HTTP_ADDR)?,
            grpc_addr: env.listen("--grpc-addr", grpc, "CARES_GRPC_ADDR", DEFAULT_GRPC_ADDR)?,
            data_base: base_of(data_dir.as_ref(), env)?,
            data_dir,
            open: flags.open,
            token: env.token("--token-file", flags.token_file.as_ref(), "AUTH_TOKEN")?,
            worker_endpoints: Allowed::by("--worker-endpoints", &flags.worker_endpoints)?,
            callbacks: Allowed::by("--callbacks", &flags.callbacks)?,
            limits: env.limits(of, &flags.limit)?,
            origins: Origins::read(&flags.allow_origin)
                .map_err(ConfigError::Origin)?
                .with_functions(&flags.function_host)
                .map_err(ConfigError::FunctionHost)?,
            jwt: issuer(flags)?,
            tls: TlsFiles::new(flags.tls_cert.as_ref(), flags.tls_key.as_ref())?,
            ca: env.get("CARES_CA").map(PathBuf::from),
            certificate_life: env.seconds("CARES_CERTIFICATE_S", CERTIFICATE_S)?,
            secret_key_file: flags.secret_key_file.as_ref().map(PathBuf::from),
            secret_key_was: flags.secret_key_was.as_ref().map(PathBuf::from),
            registry: RegistryConfig::read(flags, env)?,
            runtimes: flags.runtimes.as_ref().map(PathBuf::from),
            bases: flags.base.iter().cloned().collect(),
            headless: flags.headless,
            log: LogConfig { format: flags.log_format, level: flags.log_level, access: flags.access_log },
        })
    }

    /// Refuses addresses that others can reach while nobody would be asked for a token. `made`: there are tokens in its
    /// store.
    pub fn check_exposed(&self, made: bool) -> Result<(), ConfigError> {
        if self.open || made || self.token.is_some() || self.jwt.is_some() {
            return Ok(());
        }
        check_loopback("--http-addr", self.http_addr)?;
        check_loopback("--grpc-addr", self.grpc_addr)
    }

    /// Whether there is a store, which may have tokens in it.
    pub fn has_store(&self) -> bool {
        self.dir().join("cluster.redb").exists()
    }

    fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.data_base.join("orchestrator"))
    }

    /// The file with the key that secrets are sealed with.
    pub fn secret_key_file(&self, data_dir: &std::path::Path) -> PathBuf {
        self.secret_key_file.clone().unwrap_or_else(|| data_dir.join("secrets.key"))
    }

    /// Opens and locks its data folder.
    pub fn open_data_dir(&self) -> Result<DataDir, DataDirError> {
        DataDir::open(&self.dir())
    }
}

impl WorkerConfig {
    /// Reads flags and environment.
    pub fn new(flags: &cli::Worker, env: &Env<'_>) -> Result<WorkerConfig, ConfigError> {
        if let Some(name) = &flags.name {
            check_name(name).map_err(ConfigError::Name)?;
        }
        let slots = flags.slots.unwrap_or(DEFAULT_SLOTS);
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(ConfigError::Slots(slots));
        }
        let token = env.token("--token-file", flags.token_file.as_ref(), "AUTH_TOKEN")?;
        let join_token = env.token("--join-token-file", flags.join_token_file.as_ref(), "CARES_JOIN_TOKEN")?;
        let listen = |flag, value: Option<&String>, protected: bool| {
            let Some(address) = value.map(|v| listen_address(flag, v)).transpose()? else { return Ok(None) };
            if !protected && !flags.open {
                check_loopback(flag, address)?;
            }
            Ok(Some(address))
        };
        let data_dir = env.data_dir(flags.data_dir.as_ref());
        Ok(WorkerConfig {
            orchestrator: join_address(&flags.address)?,
            name: flags.name.clone(),
            worker_addr: listen("--worker-addr", flags.worker_addr.as_ref(), token.is_some())?,
            legacy_grpc_addr: listen("--legacy-grpc-addr", flags.legacy_grpc_addr.as_ref(), false)?,
            data_base: base_of(data_dir.as_ref(), env)?,
            data_dir,
            tags: tags(&flags.tag)?,
            slots,
            engine: flags.engine,
            open: flags.open,
            limits: env.limits(Of::Worker, &flags.limit)?,
            join_token: join_token.or_else(|| token.clone()),
            plain: false,
            token,
            tls: TlsFiles::new(flags.tls_cert.as_ref(), flags.tls_key.as_ref())?,
            headless: flags.headless,
            log: LogConfig { format: flags.log_format, level: flags.log_level, access: flags.access_log },
        })
    }

    /// Refuses an address that others can reach while nobody would be asked for a token. `asked`: everybody is.
    pub fn check_exposed(&self, asked: bool) -> Result<(), ConfigError> {
        match self.worker_addr.filter(|_| !self.open && !asked) {
            Some(address) => check_loopback("--worker-addr", address),
            None => Ok(()),
        }
    }

    /// Opens and locks its data folder.
    pub fn open_data_dir(&self) -> Result<DataDir, DataDirError> {
        match &self.data_dir {
            Some(dir) => DataDir::open(dir),
            None => DataDir::first_free(&self.data_base, "worker-"),
        }
    }
}

impl UpConfig {
    /// Reads flags and environment. A data folder that is given holds both roles' folders.
    pub fn new(flags: &cli::Up, env: &Env<'_>) -> Result<UpConfig, ConfigError> {
        let orchestrator = OrchestratorConfig::with(&flags.options(), env, Of::Both)?;
        let orchestrator = OrchestratorConfig { data_dir: None, ..orchestrator };
        let mut join = orchestrator.grpc_addr;
        if join.ip().is_unspecified() {
            join.set_ip(if join.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let worker = WorkerConfig {
            orchestrator: join.to_string(),
            name: None,
            worker_addr: flags.worker_addr.as_ref().map(|v| listen_address("--worker-addr", v)).transpose()?,
            legacy_grpc_addr: None,
            data_dir: None,
            data_base: orchestrator.data_base.clone(),
            tags: BTreeMap::new(),
            slots: DEFAULT_SLOTS,
            engine: flags.engine,
            open: flags.open,
            token: orchestrator.token.clone(),
            limits: orchestrator.limits.clone(),
            tls: flags.worker_addr.is_some().then(|| orchestrator.tls.clone()).flatten(), // else it is on loopback
            join_token: None,                                                             // its orchestrator's own
            plain: join.ip().to_canonical().is_loopback(),
            headless: flags.headless,
            log: orchestrator.log,
        };
        Ok(UpConfig { orchestrator, worker, demo: flags.demo })
    }
}

/// The keys and their issuer go together.
fn issuer(flags: &OrchestratorOptions) -> Result<Option<Issuer>, ConfigError> {
    match (&flags.jwt_keys, &flags.jwt_issuer) {
        (Some(keys), Some(issuer)) => {
            let audience = flags.jwt_audience.clone();
            Ok(Some(Issuer { keys: PathBuf::from(keys), issuer: issuer.clone(), audience }))
        }
        (None, None) if flags.jwt_audience.is_none() => Ok(None),
        (Some(_), None) => Err(ConfigError::Jwt { needed: "--jwt-issuer" }),
        (None, _) => Err(ConfigError::Jwt { needed: "--jwt-keys" }),
    }
}

/// A folder that is given needs no home.
fn base_of(data_dir: Option<&PathBuf>, env: &Env<'_>) -> Result<PathBuf, ConfigError> {
    data_dir.map_or_else(|| env.data_base(), |dir| Ok(dir.clone()))
}

#[cfg(test)]
mod tests;
