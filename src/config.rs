//! What a role is started with: flags > environment > default. Validated once, here; the roles trust it.

use crate::auth::{BadSecret, Secret};
use crate::cli;
use crate::data_dir::{DataDir, DataDirError};
use crate::names::{BadName, check_name};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use crate::cli::{Engine, LogFormat, LogLevel};

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

/// How and what is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LogLevel,
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
    /// No dashboard, even on a terminal.
    pub headless: bool,
    pub log: LogConfig,
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
    /// What it joins with.
    pub join_token: Option<Secret>,
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

/// Why a role cannot be started as asked; each text names the flag.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// An address to listen on that is none.
    Address { flag: &'static str, value: String },
    /// An address to listen on that others can reach.
    Exposed { flag: &'static str, address: SocketAddr },
    /// An orchestrator's address that is none.
    Join { value: String, why: &'static str },
    /// A node's name that is none.
    Name(BadName),
    /// A tag that cannot travel.
    Tag { key: String, why: &'static str },
    /// A number of slots out of its range.
    Slots(u32),
    /// A token that is none.
    Token { from: &'static str, why: BadSecret },
    /// No place for data: HOME is not set.
    NoHome,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Address { flag, value } => {
                write!(f, "{flag} '{}' is no address to listen on: it looks like 127.0.0.1:8080", value.escape_debug())
            }
            ConfigError::Exposed { flag, address } => write!(
                f,
                "{flag} {address} can be reached from other machines, and whoever reaches it can run programs here. \
                 Listen on 127.0.0.1, set AUTH_TOKEN or --token-file so that everyone needs a token, or add --open if \
                 everyone on that network may"
            ),
            ConfigError::Join { value, why } => write!(
                f,
                "'{}' is no orchestrator's address to join: {why}. It is the gRPC address, such as 192.168.1.10:50051",
                value.escape_debug()
            ),
            ConfigError::Name(bad) => write!(f, "--name: {bad}"),
            ConfigError::Tag { key, why } => write!(f, "--tag '{}': {why}", key.escape_debug()),
            ConfigError::Slots(given) => write!(f, "--slots {given} is out of range: use 1 to {MAX_SLOTS}"),
            ConfigError::Token { from, why } => write!(f, "{from}: {why}"),
            ConfigError::NoHome => {
                f.write_str("there is no place for data, for HOME is not set. Give one with --data-dir DIR")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where settings that are no flags come from; tests give their own.
pub struct Env<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    /// The process's own. An empty variable counts as unset.
    pub fn process() -> Env<'static> {
        Env(&|key| std::env::var(key).ok())
    }

    fn get(&self, key: &str) -> Option<String> {
        (self.0)(key).filter(|value| !value.is_empty())
    }

    /// The default places for data: `$XDG_DATA_HOME/cares`, `~/.local/share/cares`, and `/var/lib/cares` for a root
    /// without a home.
    ///
    /// # Errors
    /// `NoHome` when there is none.
    pub fn data_base(&self) -> Result<PathBuf, ConfigError> {
        let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute()); // as XDG asks
        if let Some(xdg) = self.get("XDG_DATA_HOME").and_then(absolute) {
            return Ok(xdg.join("cares"));
        }
        if let Some(home) = self.get("HOME").and_then(absolute) {
            return Ok(home.join(".local/share/cares"));
        }
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/cares"));
        }
        Err(ConfigError::NoHome)
    }

    fn data_dir(&self, flag: Option<&String>) -> Option<PathBuf> {
        flag.cloned().or_else(|| self.get("CARES_DATA_DIR")).map(PathBuf::from)
    }

    fn listen(
        &self,
        flag: &'static str,
        given: Option<&String>,
        variable: &str,
        default: SocketAddr,
    ) -> Result<SocketAddr, ConfigError> {
        let Some(value) = given.cloned().or_else(|| self.get(variable)) else { return Ok(default) };
        listen_address(flag, &value)
    }

    /// From the file of a flag, else from a variable.
    pub fn token(
        &self,
        flag: &'static str,
        file: Option<&String>,
        variable: &'static str,
    ) -> Result<Option<Secret>, ConfigError> {
        let (from, secret) = match (file, self.get(variable).filter(|text| !text.trim().is_empty())) {
            (Some(file), _) => (flag, Secret::in_file(file.as_ref())),
            (None, Some(text)) => (variable, Secret::new(&text)),
            (None, None) => return Ok(None),
        };
        secret.map(Some).map_err(|why| ConfigError::Token { from, why })
    }
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
    pub fn new(flags: &cli::Orchestrator, env: &Env<'_>) -> Result<OrchestratorConfig, ConfigError> {
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
            headless: flags.headless,
            log: LogConfig { format: flags.log_format, level: flags.log_level },
        })
    }

    /// Refuses addresses that others can reach while nobody would be asked for a token. `made`: there are tokens in its
    /// store.
    pub fn check_exposed(&self, made: bool) -> Result<(), ConfigError> {
        if self.open || made || self.token.is_some() {
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
            join_token: join_token.or_else(|| token.clone()),
            token,
            headless: flags.headless,
            log: LogConfig { format: flags.log_format, level: flags.log_level },
        })
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
        let orchestrator = OrchestratorConfig::new(
            &cli::Orchestrator {
                headless: flags.headless,
                http_addr: flags.http_addr.clone(),
                grpc_addr: flags.grpc_addr.clone(),
                data_dir: flags.data_dir.clone(),
                log_format: flags.log_format,
                log_level: flags.log_level,
                open: flags.open,
                token_file: flags.token_file.clone(),
            },
            env,
        )?;
        let orchestrator = OrchestratorConfig { data_dir: None, ..orchestrator };
        let mut join = orchestrator.grpc_addr;
        if join.ip().is_unspecified() {
            join.set_ip(if join.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let worker = WorkerConfig {
            orchestrator: join.to_string(),
            name: None,
            worker_addr: None,
            legacy_grpc_addr: None,
            data_dir: None,
            data_base: orchestrator.data_base.clone(),
            tags: BTreeMap::new(),
            slots: DEFAULT_SLOTS,
            engine: Engine::Auto,
            open: flags.open,
            token: orchestrator.token.clone(),
            join_token: None, // its orchestrator's own
            headless: flags.headless,
            log: orchestrator.log,
        };
        Ok(UpConfig { orchestrator, worker, demo: flags.demo })
    }
}

/// A folder that is given needs no home.
fn base_of(data_dir: Option<&PathBuf>, env: &Env<'_>) -> Result<PathBuf, ConfigError> {
    data_dir.map_or_else(|| env.data_base(), |dir| Ok(dir.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Env<'static> = Env(&|key| (key == "HOME").then(|| "/home/me".to_string()));

    fn worker(address: &str) -> cli::Worker {
        cli::Worker { address: address.to_string(), ..Default::default() }
    }

    #[test]
    fn flags_come_before_the_environment_before_defaults() {
        let env = Env(&|key| match key {
            "CARES_HTTP_ADDR" => Some("127.0.0.1:1".to_string()),
            "CARES_GRPC_ADDR" => Some(String::new()),
            "XDG_DATA_HOME" => Some("/x".to_string()),
            _ => None,
        });
        let mut flags = cli::Orchestrator::default();
        let config = OrchestratorConfig::new(&flags, &env).unwrap();
        assert_eq!((config.http_addr.port(), config.grpc_addr), (1, DEFAULT_GRPC_ADDR));
        assert_eq!((config.data_dir, config.data_base), (None, PathBuf::from("/x/cares")));
        flags.http_addr = Some("localhost:0".to_string());
        assert_eq!(OrchestratorConfig::new(&flags, &env).unwrap().http_addr, "127.0.0.1:0".parse().unwrap());
        assert_eq!(HOME.data_base().unwrap(), PathBuf::from("/home/me/.local/share/cares"));
    }

    #[test]
    fn beyond_loopback_needs_open_and_says_so() {
        for beyond in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            let mut flags = cli::Orchestrator { grpc_addr: Some(beyond.to_string()), ..Default::default() };
            let text = OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).unwrap_err().to_string();
            assert!(text.contains("--grpc-addr") && text.contains("--open"), "{text}");
            flags.open = true;
            assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).is_ok());
            flags.open = false;
            assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(true).is_ok());
            let env = Env(&|key| (key == "AUTH_TOKEN" || key == "HOME").then(|| "/home/me".to_string()));
            assert!(OrchestratorConfig::new(&flags, &env).unwrap().check_exposed(false).is_ok());
        }
        for near in ["127.9.9.9:1", "[::1]:1"] {
            let flags = cli::Orchestrator { http_addr: Some(near.to_string()), ..Default::default() };
            assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).is_ok(), "{near}");
        }
        let flags = cli::Orchestrator { http_addr: Some("8080".to_string()), ..Default::default() };
        assert!(OrchestratorConfig::new(&flags, &HOME).unwrap_err().to_string().contains("--http-addr '8080'"));
    }

    #[test]
    fn a_worker_joins_a_grpc_address() {
        for (given, kept) in [
            ("10.0.0.1", "10.0.0.1:50051"),
            ("host:1", "host:1"),
            ("::1", "[::1]:50051"),
            ("[::1]", "[::1]:50051"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(WorkerConfig::new(&worker(given), &HOME).unwrap().orchestrator, kept);
        }
        for bad in ["", "http://h:1", "h:0", "h:x", ":1", "a b", "h:70000"] {
            assert!(WorkerConfig::new(&worker(bad), &HOME).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_name_the_flag() {
        let text = |change: fn(&mut cli::Worker)| {
            let mut flags = worker("h");
            change(&mut flags);
            WorkerConfig::new(&flags, &HOME).unwrap_err().to_string()
        };
        assert!(text(|w| w.name = Some("No".to_string())).starts_with("--name"));
        assert!(text(|w| w.slots = Some(0)).starts_with("--slots 0"));
        assert!(text(|w| w.slots = Some(65_537)).starts_with("--slots 65537"));
        assert!(text(|w| w.tag = vec![("a".into(), "1".into()), ("a".into(), "2".into())]).starts_with("--tag 'a'"));
        assert!(text(|w| w.worker_addr = Some("0.0.0.0:9".to_string())).starts_with("--worker-addr"));
        assert!(text(|w| w.legacy_grpc_addr = Some("0.0.0.0:9".to_string())).starts_with("--legacy-grpc-addr"));
        assert!(ConfigError::NoHome.to_string().contains("--data-dir"));
    }

    #[test]
    fn up_puts_both_roles_below_one_folder() {
        let flags = cli::Up {
            data_dir: Some("/d".to_string()),
            grpc_addr: Some("0.0.0.0:7".to_string()),
            open: true,
            ..Default::default()
        };
        let config = UpConfig::new(&flags, &HOME).unwrap();
        assert_eq!(config.worker.orchestrator, "127.0.0.1:7");
        assert_eq!((config.orchestrator.data_dir, config.worker.data_dir), (None, None));
        assert_eq!((config.orchestrator.data_base, config.worker.data_base), ("/d".into(), "/d".into()));
    }
}
