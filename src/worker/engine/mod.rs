//! What a worker can run things with. An engine starts a revision and hands back something to talk to and to end;
//! it knows nothing of the cluster, of calls or of warm and cold.

pub mod process;

use futures_lite::io::{AsyncRead, AsyncWrite};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Unique on this node: the instance's or the call's id. Also the name logs are kept under.
    pub id: String,
    pub function: String,
    /// Where the bundle was unpacked. Read-only to the function by convention; its working directory.
    pub bundle: PathBuf,
    /// Program and arguments; a program `cares` is this very binary.
    pub command: Vec<String>,
    /// Complete, but for what only the engine knows (`PORT`, `HOME`, `TMPDIR`, `PATH`).
    pub env: Vec<(String, String)>,
    /// `None`: no limit of its own.
    pub memory_bytes: Option<u64>,
    pub kind: Kind,
}

/// The two ways to run a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Serves HTTP on `$PORT`; stdout and stderr go to the log.
    Http,
    /// stdin and stdout are the caller's; stderr goes to the log.
    Job,
}

/// A started thing. Dropping it kills it, with everything it started.
pub struct Running {
    /// Where it will serve HTTP; `None` for a job.
    pub address: Option<SocketAddr>,
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub control: Box<dyn Control>,
}

/// How to wait for a started thing and to end it.
#[async_trait::async_trait]
pub trait Control: Send + Sync {
    /// Waits for its end; may be called again, and answers the same.
    async fn ended(&self) -> Exit;
    /// Asks it to end (SIGTERM to the whole group), and kills the group after `grace`. Returns when it is gone.
    async fn stop(&self, grace: Duration) -> Exit;
    /// The last lines it wrote to stderr (for http: or stdout), newest last; at most 4 KiB.
    fn last_words(&self) -> String;
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended as programs do when all went well.
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// Why something could not be started. The text says what to do.
#[derive(Debug)]
pub enum EngineError {
    /// The command does not exist or may not be run.
    Command(String),
    /// The node is out of something: ports, processes, disk.
    Resources(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::Command(text) | EngineError::Resources(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EngineError {}

/// Something that can start revisions.
#[async_trait::async_trait]
pub trait Engine: Send + Sync {
    /// As nodes report it: `process`, `docker`.
    fn name(&self) -> &'static str;
    /// Starts it. An http function is not yet listening when this returns.
    async fn start(&self, launch: Launch) -> Result<Running, EngineError>;
}
