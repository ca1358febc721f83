//! What a worker can run things with. An engine starts a revision and hands back something to talk to and to end;
//! it knows nothing of the cluster, of calls or of warm and cold.

pub mod docker;
mod hint;
mod listening;
mod mask;
mod memory;
mod output;
pub mod process;

#[cfg(any(test, feature = "fuzz"))]
pub use output::fuzz as fuzz_lines;

pub use hint::{Start, at_start, hint, listens_elsewhere};
pub use listening::Listening;
pub use output::Lines;

use crate::rt::Sender;
use crate::wire::proto::{ImagePull, Secrets};
use bytes::Bytes;
use futures_lite::Stream;
use futures_lite::io::{AsyncRead, AsyncWrite};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Unique on this node: the instance's or the call's id. Also the name logs are kept under.
    pub id: String,
    pub function: String,
    pub revision: u64,
    pub program: Program,
    /// Program and arguments; a bundle's program `cares` is this very binary. For an image, what `docker run IMAGE`
    /// takes after the image: empty means the image's own.
    pub command: Vec<String>,
    /// Complete, but for what only the engine knows (`PORT`, `HOME`, `TMPDIR`, `PATH`).
    pub env: Vec<(String, String)>,
    /// Variables and files that are to be seen by nobody else. Its debug form shows their names.
    pub secrets: Secrets,
    /// `None`: no limit of its own.
    pub memory_bytes: Option<u64>,
    /// Cores, such as 0.5. `None`: no limit of its own.
    pub cpu: Option<f64>,
    pub isolation: Isolation,
    pub kind: Kind,
    /// What only a task can ask for.
    pub needs: Needs,
}

/// What a task needs beside its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub ports: Vec<Port>,
    /// Where this node listens for them; `None`: everywhere.
    pub listen: Option<IpAddr>,
    pub volumes: Vec<Volume>,
    /// `gpu`, or device files.
    pub devices: Vec<String>,
    /// What it may write to its root, if it may.
    pub disk_bytes: Option<u64>,
}

/// A task's port and the node's that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub inside: u16,
    /// 0: a free one.
    pub host: u16,
    pub udp: bool,
}

/// A named volume of this node, where a task sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub path: String,
    pub read_only: bool,
}

/// Names the folder its secret files are in.
const SECRETS_DIR: &str = "CARES_SECRETS_DIR";

impl Launch {
    /// One that asks for nothing more, for tests.
    #[cfg(test)]
    pub fn plain(id: &str, program: Program, kind: Kind) -> Launch {
        Launch {
            id: id.into(),
            function: "f".into(),
            revision: 1,
            program,
            command: vec![],
            env: vec![],
            memory_bytes: None,
            cpu: None,
            isolation: Default::default(),
            secrets: Default::default(),
            needs: Default::default(),
            kind,
        }
    }

    /// Its whole environment: the variables that are secret stand before the facts the worker adds.
    fn variables(&self) -> Result<impl Iterator<Item = (&str, &str)>, EngineError> {
        let mut secret = Vec::with_capacity(self.secrets.env.len());
        for one in &self.secrets.env {
            let value = str::from_utf8(&one.value).ok().filter(|value| !value.contains('\0'));
            let text =
                || format!("the secret of the variable {:?} is no text without NUL; give it as a file", one.name);
            secret.push((one.name.as_str(), value.ok_or_else(|| EngineError::Command(text()))?));
        }
        Ok(secret.into_iter().chain(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
    }
}

/// How far a launch is kept apart from its node and from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Sees the node's files as the worker's user does; a container may write to its own root.
    pub open_files: bool,
    /// May make every system call its user may make.
    pub all_syscalls: bool,
    /// Processes and threads at once.
    pub pids: u32,
    pub tmp_bytes: u64,
}

impl Isolation {
    /// Plenty for a runtime with a pool of threads, too few for a fork bomb.
    const PIDS: u32 = 2048;
    const TMP_BYTES: u64 = 512 << 20;

    /// The strictest, with these limits; 0 is the default of each.
    pub fn limits(pids: u32, tmp_bytes: u64) -> Self {
        Isolation {
            open_files: false,
            all_syscalls: false,
            pids: if pids == 0 { Self::PIDS } else { pids },
            tmp_bytes: if tmp_bytes == 0 { Self::TMP_BYTES } else { tmp_bytes },
        }
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Isolation::limits(0, 0)
    }
}

/// What a function's code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Where the bundle was unpacked. Read-only to the function by convention; its working directory.
    Bundle(PathBuf),
    /// A container image, as people write it: `hello-world`, `registry:5000/team/app:1`.
    Image(String),
}

/// The ways to run something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Serves HTTP on `$PORT`; stdout and stderr go to the log.
    Http,
    /// stdin and stdout are the caller's; stderr goes to the log.
    Job,
    /// Nobody's call: stdout and stderr go to the log.
    Task,
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
    /// Takes the processor from it; what it holds in memory stays.
    async fn freeze(&self) -> Result<(), String> {
        Err("its engine cannot freeze what it runs".into())
    }
    /// Undoes that. No failure when it was not frozen.
    async fn thaw(&self) -> Result<(), String> {
        Ok(())
    }
    /// Of a task: its ports, as this node listens for them.
    fn ports(&self) -> Vec<Port> {
        Vec::new()
    }
    /// Of a task: where this node reaches what it listens on there.
    fn address(&self, _inside: u16) -> Option<SocketAddr> {
        None
    }
    /// Of a task: runs a command inside it and tells its exit code; `None`: its engine starts a new one beside it instead.
    async fn run_inside(&self, _command: &[String]) -> Option<Result<i64, String>> {
        None
    }
    /// Of an http function that is not reached: what it listens on instead, where that can be seen.
    async fn listening(&self) -> Vec<Listening> {
        Vec::new()
    }
    /// What it uses now, where its engine can tell.
    async fn usage(&self) -> Option<Usage> {
        None
    }
}

/// What something that runs uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub memory_bytes: u64,
    /// Of all cores together, since its start.
    pub cpu_time: Duration,
}

/// How something ended, or why it is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It used more memory than it may.
    OutOfMemory,
    /// Someone else stopped or killed it, with the engine's own tools.
    Stopped,
    /// Someone else paused it: it is there, but answers nothing.
    Paused,
    /// Its image's health check fails.
    Unhealthy,
    /// Someone else removed it.
    Removed,
    /// Its engine is gone: nothing is known of it.
    EngineLost,
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
            // A shell's and an engine's word for SIGKILL; nobody said who sent it.
            Exit::Code(137) => f.write_str("exited with code 137 (killed; if it needs more memory, raise memory_mb)"),
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Exit::OutOfMemory => f.write_str("was killed because it used more memory than it may (raise memory_mb)"),
            Exit::Stopped => f.write_str("was stopped by hand on its node"),
            Exit::Paused => f.write_str("was paused by hand on its node"),
            Exit::Unhealthy => f.write_str("failed the health check of its image"),
            Exit::Removed => f.write_str("was removed by hand on its node"),
            Exit::EngineLost => f.write_str("was lost: its node's container engine has stopped"),
        }
    }
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// It exposes a port, so it serves HTTP unless the function says otherwise.
    pub http: bool,
    /// What `$PORT` will be, unless the function's environment says otherwise.
    pub port: u16,
    /// Its programs begin as root.
    pub root: bool,
}

/// Something an earlier worker of this node left running, and that goes on.
pub struct Adopted {
    pub id: String,
    pub function: String,
    pub revision: u64,
    /// An http instance's or a task's; this one may have ended meanwhile.
    pub kind: Kind,
    pub running: Running,
}

/// An image that is to be made of a source folder.
#[derive(Clone, Debug)]
pub struct ImageBuild {
    pub function: String,
    /// What it is to be called.
    pub image: String,
    pub folder: PathBuf,
    /// A runtime's; `None`: the folder's own is used.
    pub dockerfile: Option<String>,
    /// Its name; empty: the folder has a Dockerfile.
    pub runtime: String,
    /// The image a runtime's begins with.
    pub base: Option<String>,
    /// Of each step.
    pub memory_bytes: Option<u64>,
    /// Even if there is one of that name, and without what is left of earlier builds.
    pub anew: bool,
}

/// Whether an engine can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    Up {
        /// Its name and version, for people.
        version: String,
    },
    Down {
        /// What is wrong with what.
        reason: String,
        /// What to do about it.
        fix: String,
    },
}

impl std::fmt::Display for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Availability::Up { version } => write!(f, "{version} answers"),
            Availability::Down { reason, fix } => write!(f, "{reason}; {fix}"),
        }
    }
}

/// Why something could not be started. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The command does not exist or may not be run.
    Command(String),
    /// The node is out of something: ports, processes, disk.
    Resources(String),
    /// The image cannot be had, or does not fit this node.
    Image(String),
    /// It ended before it could be reached.
    Exited(String),
    /// The engine does not answer, or not as it should. Worth a try elsewhere.
    Unavailable(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::Command(text)
            | EngineError::Resources(text)
            | EngineError::Image(text)
            | EngineError::Exited(text)
            | EngineError::Unavailable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EngineError {}

/// Bytes as they come; an error means that what came is not whole.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

/// Where an engine gets what this node does not have.
#[async_trait::async_trait]
pub trait Supply: Send + Sync {
    /// What to log in to a registry with, as `X-Registry-Auth` has it; `None`: nothing is known.
    async fn login(&self, registry: &str) -> Option<String>;
    /// The archive of an image that another node has, without the layers that `has` names together with all they stand
    /// on. `None`: no node has it, or none may give it away. `Err` says why it cannot be asked for.
    async fn image(&self, image: &str, has: Vec<String>) -> Result<Option<Pieces>, String>;
}

/// Something that can start revisions.
#[async_trait::async_trait]
pub trait Engine: Send + Sync {
    /// As nodes report it: `process`, `docker`.
    fn name(&self) -> &'static str;
    /// Sees that the image is on this node, pulling it if need be, and tells what it says of itself.
    async fn prepare(&self, image: &str) -> Result<ImageFacts, EngineError>;
    /// The same, with what the image's registry has now; without a registry, what is here.
    async fn refresh(&self, image: &str) -> Result<ImageFacts, EngineError> {
        self.prepare(image).await
    }
    /// Whether an image is on this node; nothing is pulled.
    async fn holds(&self, _image: &str) -> Result<bool, EngineError> {
        Ok(false)
    }
    /// The pulls that go on now.
    fn pulls(&self) -> Vec<ImagePull> {
        Vec::new()
    }
    /// An image's archive for another node, as `Supply::image` gives it there.
    async fn save(&self, image: &str, _has: Vec<String>) -> Result<Pieces, EngineError> {
        Err(EngineError::Image(format!("{} keeps no images such as {image}", self.name())))
    }
    /// The digest that its registry says an image's name means now.
    async fn digest(&self, image: &str) -> Result<String, EngineError> {
        Err(EngineError::Image(format!("{} knows no images such as {image}", self.name())))
    }
    /// Has an image's registry take it; what happens meanwhile is said line by line. Answers its digest there.
    async fn push(&self, image: &str, _say: &Sender<String>) -> Result<String, EngineError> {
        Err(EngineError::Image(format!("{} pushes no images such as {image}", self.name())))
    }
    /// Makes an image, or sees that it is there; what is printed meanwhile is said line by line. Given up when dropped.
    async fn build(&self, order: &ImageBuild, _say: &Sender<String>) -> Result<(), EngineError> {
        Err(EngineError::Image(format!("{} makes no images, such as {}", self.name(), order.image)))
    }
    /// Starts it. An http function may not yet be listening when this returns. Given up when dropped.
    async fn start(&self, launch: Launch) -> Result<Running, EngineError>;
    /// Whatever earlier workers of this node left and this one does not hold: http instances that serve and tasks are handed over,
    /// all else is removed. For a worker's start, and whenever the engine comes back.
    async fn adopt(&self) -> Result<Vec<Adopted>, EngineError>;
    /// Waits until it can be used or cannot any more; the first call answers as soon as that is known. For one waiter.
    async fn changed(&self) -> Availability;
    /// Waits until something of this node's appears that `adopt` would see to: what the engine was still making when an
    /// earlier worker ended. For one waiter.
    async fn appeared(&self) {
        std::future::pending().await
    }
    /// Waits until nothing of it runs or is being started or removed any more.
    async fn emptied(&self) {}
}
