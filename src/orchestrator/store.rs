//! What survives a restart. Writes are queued in order and committed in groups, one commit for many; a write is
//! acknowledged when it is on disk. Never read on the way of a call.
//!
//! When the disk fails, what was not written is refused and undone in the cluster, so that a refusal means that nothing
//! changed; further changes that people ask for are refused at once, what nodes do goes on and is written later, and as
//! soon as the disk works again so does the store.
//!
//! A new kind of record: its table in `schema.rs`, its shape and its `Write` in `records.rs`.

mod calls;
mod medium;
mod overlay;
mod queue;
mod records;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use crate::cluster::{Lasting, LastingTask, NodeSpec};
use crate::lock::lock;
use crate::types::{Event, FunctionSpec};
use futures_channel::oneshot;
use medium::{Medium, OnDisk};
use queue::{Job, Queued, Shared};
use schema::Unfit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use writer::Writer;

pub use calls::{CallWrite, Later, LaterWrite, Part, PipelineWrite};
pub use queue::{Meter, Refused};
pub use records::Kept;
pub use schema::{Start, VERSION};

/// Events kept, here and in memory: enough for a dashboard's scrollback.
pub const EVENTS_KEPT: usize = 10_000;

/// Why the store could not be opened, read or written.
#[derive(Clone, Debug)]
pub struct StoreError {
    pub path: PathBuf,
    pub why: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {} {}", self.path.display(), self.why)
    }
}

impl std::error::Error for StoreError {}

/// A change to keep.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // few wait, and each is gone with its commit
pub enum Write {
    Function(Lasting),
    FunctionGone(Arc<str>),
    Node(NodeSpec, bool),
    NodeGone(String),
    Bundle(String, Box<Bundle>),
    BundleGone(String),
    Token(String, Token),
    TokenGone(String),
    Task(Box<LastingTask>),
    TaskGone(Arc<str>),
    /// On disk when all that was queued before it is.
    Nothing,
    Identity(String, Identity),
    IdentityGone(String),
    /// A node is not let in again, since that time.
    Revoked(String, u64),
    Secret(String, Secret),
    SecretGone(String),
    /// All of them at once.
    Secrets(Vec<(String, Secret)>),
    /// The functions become these and no others; nodes, bundles, secrets and builds are added.
    Restore(Box<Kept>),
    /// By its number.
    Build(u64, Box<BuildRecord>),
    BuildGone(u64),
    /// Of asynchronous calls and schedules.
    Later(LaterWrite),
}

/// What is known of a stored bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    pub size_bytes: u64,
    pub unix_ms: u64,
    pub manifest: FunctionSpec,
    /// It is the source of a build: nothing that runs, and without a manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source: bool,
}

/// What is kept of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRecord {
    /// The function's name.
    pub name: String,
    /// Digest of the folder's zip.
    pub source: String,
    /// What an image of it is called.
    pub wanted: String,
    pub runtime: Option<RuntimeUsed>,
    /// queued, running, succeeded, failed, cancelled
    pub status: String,
    /// What came of it.
    pub image: Option<String>,
    pub node: Option<String>,
    pub error: Option<String>,
    /// Of the log of one that failed.
    pub last_lines: String,
    pub created_unix_ms: u64,
    pub started_unix_ms: Option<u64>,
    pub finished_unix_ms: Option<u64>,
}

/// The runtime of a build, as it was then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeUsed {
    pub name: String,
    /// The image it began with, where it has one of its own to say.
    pub base: Option<String>,
}

/// What is kept of a token: nothing that it could be made from again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    pub name: String,
    pub scopes: Vec<String>,
    pub digest: String,
    pub created_unix_ms: u64,
    pub created_by: Option<String>,
    pub expires_unix_ms: Option<u64>,
    /// Requests a second, where it has a rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
}

/// What is kept of a node that has, or had, a certificate, or is not let in again. Outlives the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Of the secret it enrolled with; empty: it never did.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_unix_ms: Option<u64>,
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub version: u64,
    pub created_unix_ms: u64,
    pub updated_unix_ms: u64,
    pub updated_by: Option<String>,
    /// Its value, sealed for its name and version.
    pub sealed: String,
}

/// A function as it was before a write; without a revision when there was no such function.
pub type Before = (Arc<str>, Lasting);

/// What a write is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Function(Arc<str>),
    Node(String),
    /// By its id.
    Task(Arc<str>),
}

/// Whose state the store keeps. Called on the store's thread.
pub trait Owner: Send + Sync {
    /// There are refused writes: what they tell of is to be undone, and they are to be dropped, which answers them.
    fn undo(&self);
    /// What of these is to be kept, as it is now.
    fn as_they_are_now(&self, changed: &BTreeSet<Subject>) -> Vec<Write>;
}

/// Resolves when the write is on disk.
pub type Written = oneshot::Receiver<Result<(), StoreError>>;

/// A handle on the store's own thread.
pub struct Store {
    shared: Arc<Shared>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

/// The store as it was at one moment, whatever is written meanwhile.
pub struct Snapshot {
    transaction: redb::ReadTransaction,
    shared: Arc<Shared>,
}

impl Snapshot {
    /// Shows each record: table, key, value.
    pub fn each<E: From<StoreError>>(&self, mut show: impl FnMut(&str, &str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        enum Broken<E> {
            Here(Unfit),
            There(E),
        }
        impl<E> From<Unfit> for Broken<E> {
            fn from(unfit: Unfit) -> Self {
                Broken::Here(unfit)
            }
        }
        let shown =
            records::each(&self.transaction, |table, key, value| show(table, key, value).map_err(Broken::There));
        shown.map_err(|broken| match broken {
            Broken::Here(unfit) => self.shared.error(&unfit).into(),
            Broken::There(error) => error,
        })
    }
}

/// What a backup's records say, looked through as a store's are when it is opened. `Err` says what is wrong with them.
pub fn read_records<'a>(
    version: u64,
    records: impl Iterator<Item = (&'a str, &'a str, &'a [u8])>,
) -> Result<Kept, String> {
    let read = || {
        let database = redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())?;
        schema::fill(&database, version, records)?;
        schema::start(&database)?;
        records::read_all(&database)
    };
    read().map_err(|unfit: Unfit| unfit.to_string())
}

impl Store {
    /// Opens or makes the store in `dir`, counts this start, and reads everything.
    pub fn open(dir: &Path) -> Result<(Self, Start, Kept), StoreError> {
        let path = dir.join("cluster.redb");
        Store::on(Box::new(OnDisk(path.clone())), path)
    }

    fn on(medium: Box<dyn Medium>, path: PathBuf) -> Result<(Self, Start, Kept), StoreError> {
        let failed = |why: String| StoreError { path: path.clone(), why };
        let mut opened = medium::open(&*medium).map_err(|unfit| failed(format!("{unfit}. {}", unfit.advice())))?;
        let (start, kept) = (opened.start.clone(), std::mem::take(&mut opened.kept));
        let (jobs, received) = mpsc::channel();
        let shared = Arc::new(Shared::new(path.clone(), jobs));
        let writer = Writer::new(shared.clone(), received, medium, opened);
        let writer = thread::Builder::new().name("store".into()).spawn(move || writer.run());
        let writer = writer.map_err(|e| failed(format!("has no thread: {e}")))?;
        Ok((Store { shared, writer: Mutex::new(Some(writer)) }, start, kept))
    }

    /// Who is told when writes are refused.
    pub fn belongs_to(&self, owner: Weak<dyn Owner>) {
        self.shared.belongs_to(owner);
    }

    /// Queues a write; those queued first are on disk first. `before`: what is to be again if it is refused.
    pub fn write(&self, write: Write, before: Vec<Before>) -> Written {
        let (done, written) = oneshot::channel();
        self.shared.push(Queued { write, before, done });
        written
    }

    /// Has an event written: at the latest in the commit of the next write that is queued, else soon.
    pub fn note(&self, event: Arc<Event>) {
        self.shared.note(event);
    }

    /// Waits until all that was queued so far is on disk.
    pub async fn all_kept(&self) -> Result<(), StoreError> {
        self.kept(self.write(Write::Nothing, Vec::new())).await
    }

    /// What became of a write. A writer that went away has not written.
    pub async fn kept(&self, written: Written) -> Result<(), StoreError> {
        written.await.unwrap_or_else(|_| Err(self.shared.trouble_or_closed()))
    }

    /// What was written so far.
    pub fn meter(&self) -> Meter {
        *self.shared.meter()
    }

    /// Why nothing can be written now, if so.
    pub fn trouble(&self) -> Option<StoreError> {
        self.shared.trouble()
    }

    /// Writes that were refused and are not undone yet.
    pub fn refused(&self) -> Refused {
        self.shared.refused()
    }

    /// All that was queued so far, as it is on disk.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (tell, told) = oneshot::channel();
        self.shared.ask(Job::Snapshot(tell));
        told.await.unwrap_or_else(|_| Err(self.shared.trouble_or_closed()))
    }

    /// Waits until all that was queued is on disk, and closes it.
    pub fn close(&self) {
        self.shared.close();
        if let Some(writer) = lock(&self.writer).take() {
            let _ = writer.join();
        }
    }
}
