//! What survives a restart. Writes are queued in order and committed in groups, one fsync for many; a write is
//! acknowledged when it is on disk. Never read on the way of a call.

use super::spec;
use crate::cluster::{NodeSpec, Revision};
use crate::types::FunctionSpec;
use futures_channel::oneshot;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, thread};

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const FUNCTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("functions");
const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");
const BUNDLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bundles");
const CALLS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("calls");
const REQUESTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("requests");
const RESULTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("results");
const SCHEDULES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("schedules");

/// Of the records below; a store of a newer one is not touched.
const SCHEMA: u64 = 1;
/// Writes in one commit at most: bounds how long the first of them waits.
const GROUP: usize = 1_000;
/// redb's cache: a control plane's state is small, and so are the machines it runs on.
const CACHE_BYTES: usize = 2 << 20;

/// Why the store could not be opened, read or written.
#[derive(Clone, Debug)]
pub struct StoreError {
    pub path: PathBuf,
    pub why: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for StoreError {}

/// A change to keep.
#[derive(Debug)]
pub enum Write {
    /// All kept revisions, oldest first.
    Function(Vec<Arc<Revision>>),
    FunctionGone(Arc<str>),
    Node(NodeSpec, bool),
    NodeGone(String),
    Bundle(String, Bundle),
    /// An asynchronous call as it is now.
    Call(CallWrite),
    /// Nothing of the call is kept any more.
    CallGone(String),
    /// When a function's schedule was last looked at, by name.
    Schedule(String, Vec<u8>),
    ScheduleGone(String),
}

/// What changes of an asynchronous call's records; all of it or nothing.
#[derive(Clone, Debug)]
pub struct CallWrite {
    pub id: String,
    pub record: Vec<u8>,
    pub request: Part,
    pub result: Part,
}

/// A record beside a call's own.
#[derive(Clone, Debug)]
pub enum Part {
    AsItIs,
    Put(Vec<u8>),
    Gone,
}

/// What is known of a stored bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    pub size_bytes: u64,
    pub unix_ms: u64,
    pub manifest: FunctionSpec,
}

/// What a start finds.
pub struct Kept {
    pub cluster_id: String,
    /// Counts starts; this one included.
    pub epoch: u64,
    pub functions: Vec<Vec<Arc<Revision>>>,
    pub nodes: Vec<(NodeSpec, bool)>,
    pub bundles: Vec<(String, Bundle)>,
    /// Asynchronous calls, by id, without what they carry.
    pub calls: Vec<(String, Vec<u8>)>,
    pub schedules: Vec<(String, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
struct FunctionRecord {
    created_unix_ms: u64,
    revisions: Vec<RevisionRecord>,
}

#[derive(Serialize, Deserialize)]
struct RevisionRecord {
    number: u64,
    updated_unix_ms: u64,
    spec: FunctionSpec,
}

#[derive(Serialize, Deserialize)]
struct NodeRecord {
    name: String,
    cordoned: bool,
}

struct Queued {
    write: Write,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Resolves when the write is on disk.
pub type Written = oneshot::Receiver<Result<(), StoreError>>;

/// A handle on the store's own thread.
pub struct Store {
    queue: Mutex<Option<Sender<Queued>>>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
    database: Arc<Database>,
    path: PathBuf,
}

impl Store {
    /// Opens or makes the store in `dir`, counts this start, and reads everything.
    pub fn open(dir: &Path) -> Result<(Self, Kept), StoreError> {
        let path = dir.join("cluster.redb");
        let failed = |why: &dyn fmt::Display| StoreError { path: path.clone(), why: why.to_string() };
        if std::fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
            let why = "is an empty file. Restore it from a backup, or move it away to start an empty cluster";
            return Err(failed(&why)); // redb would make a new one of it without a word
        }
        let mut options = Database::builder();
        options.set_cache_size(CACHE_BYTES);
        let database = options.create(&path).map_err(|e| {
            failed(&format!(
                "cannot be opened: {e}. Restore it from a backup, or move it away to start an empty cluster"
            ))
        })?;
        let kept = read_all(&database).map_err(|e| failed(&e))?;
        let (queue, writes) = mpsc::channel();
        let database = Arc::new(database);
        let (at, own) = (path.clone(), database.clone());
        let writer = thread::Builder::new()
            .name("store".into())
            .spawn(move || write_in_groups(&own, &writes, &at))
            .map_err(|e| failed(&e))?;
        Ok((Store { queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)), database, path }, kept))
    }

    /// Queues a write; those queued first are on disk first.
    pub fn write(&self, write: Write) -> Written {
        let (done, written) = oneshot::channel();
        if let Some(queue) = &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = queue.send(Queued { write, done }); // not taken: `done` is dropped, and `kept` says so
        }
        written
    }

    /// What became of a write. A writer that went away has not written.
    pub async fn kept(&self, written: Written) -> Result<(), StoreError> {
        let gone = StoreError { path: self.path.clone(), why: "is closed".into() };
        written.await.unwrap_or(Err(gone))
    }

    /// The request of an asynchronous call, as it was written.
    pub async fn request(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(REQUESTS, id).await
    }

    /// And its result.
    pub async fn result(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(RESULTS, id).await
    }

    async fn read(
        &self,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (database, key) = (self.database.clone(), key.to_string());
        let read = crate::rt::unblock(move || -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(table)?;
            Ok(table.get(&*key)?.map(|value| value.value().to_vec()))
        });
        read.await.map_err(|e| StoreError { path: self.path.clone(), why: format!("cannot be read: {e}") })
    }

    /// Waits until all that was queued is on disk, and closes it.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

fn write_in_groups(database: &Database, writes: &Receiver<Queued>, path: &Path) {
    while let Ok(first) = writes.recv() {
        let mut group = vec![first];
        group.extend(writes.try_iter().take(GROUP - 1));
        let result = commit(database, group.iter().map(|q| &q.write))
            .map_err(|e| StoreError { path: path.to_path_buf(), why: format!("cannot be written: {e}") });
        if let Err(error) = &result {
            log::error!("{error}");
        }
        for queued in group {
            let _ = queued.done.send(result.clone()); // a caller that left does not mind
        }
    }
}

fn commit<'a>(database: &Database, writes: impl Iterator<Item = &'a Write>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut functions = transaction.open_table(FUNCTIONS)?;
        let mut nodes = transaction.open_table(NODES)?;
        let mut bundles = transaction.open_table(BUNDLES)?;
        let mut calls = transaction.open_table(CALLS)?;
        let mut requests = transaction.open_table(REQUESTS)?;
        let mut results = transaction.open_table(RESULTS)?;
        let mut schedules = transaction.open_table(SCHEDULES)?;
        for write in writes {
            match write {
                Write::Function(revisions) => {
                    let Some(first) = revisions.first() else { continue };
                    functions.insert(&*first.function, &*encode(&function_record(revisions)))?;
                }
                Write::FunctionGone(name) => drop(functions.remove(&**name)?),
                Write::Node(spec, cordoned) => {
                    let record = NodeRecord { name: spec.name.clone(), cordoned: *cordoned };
                    nodes.insert(&*spec.id, &*encode(&record))?;
                }
                Write::NodeGone(id) => drop(nodes.remove(&**id)?),
                Write::Bundle(digest, bundle) => drop(bundles.insert(&**digest, &*encode(bundle))?),
                Write::Call(CallWrite { id, record, request, result }) => {
                    calls.insert(&**id, &**record)?;
                    put_part(&mut requests, id, request)?;
                    put_part(&mut results, id, result)?;
                }
                Write::CallGone(id) => {
                    calls.remove(&**id)?;
                    requests.remove(&**id)?;
                    results.remove(&**id)?;
                }
                Write::Schedule(name, record) => drop(schedules.insert(&**name, &**record)?),
                Write::ScheduleGone(name) => drop(schedules.remove(&**name)?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn put_part(table: &mut redb::Table<'_, &str, &[u8]>, id: &str, part: &Part) -> Result<(), redb::Error> {
    match part {
        Part::AsItIs => {}
        Part::Put(record) => drop(table.insert(id, &**record)?),
        Part::Gone => drop(table.remove(id)?),
    }
    Ok(())
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default() // maps with string keys only: cannot fail
}

fn function_record(revisions: &[Arc<Revision>]) -> FunctionRecord {
    FunctionRecord {
        created_unix_ms: revisions.first().map_or(0, |r| r.created_unix_ms),
        revisions: revisions
            .iter()
            .map(|r| RevisionRecord { number: r.number, updated_unix_ms: r.updated_unix_ms, spec: spec::settings(r) })
            .collect(),
    }
}

fn revisions(record: FunctionRecord) -> Result<Vec<Arc<Revision>>, String> {
    let created = record.created_unix_ms;
    let revive = |r: RevisionRecord| {
        let mut revision = spec::revision(r.spec, r.updated_unix_ms)
            .map_err(|e| format!("a stored function: {}: {}", e.field, e.why))?;
        (revision.number, revision.created_unix_ms) = (r.number, created);
        Ok(Arc::new(revision))
    };
    record.revisions.into_iter().map(revive).collect()
}

fn read_all(database: &Database) -> Result<Kept, Box<dyn std::error::Error>> {
    let (cluster_id, epoch) = start_epoch(database)?;
    let transaction = database.begin_read()?;
    let mut kept = Kept {
        cluster_id,
        epoch,
        functions: Vec::new(),
        nodes: Vec::new(),
        bundles: Vec::new(),
        calls: Vec::new(),
        schedules: Vec::new(),
    };
    for (table, records) in [(CALLS, &mut kept.calls), (SCHEDULES, &mut kept.schedules)] {
        for entry in transaction.open_table(table)?.iter()? {
            let (key, record) = entry?;
            records.push((key.value().into(), record.value().to_vec()));
        }
    }
    for entry in transaction.open_table(FUNCTIONS)?.iter()? {
        kept.functions.push(revisions(serde_json::from_slice(entry?.1.value())?)?);
    }
    for entry in transaction.open_table(NODES)?.iter()? {
        let (id, record) = entry?;
        let record: NodeRecord = serde_json::from_slice(record.value())?;
        let spec = NodeSpec { id: id.value().into(), name: record.name, ..NodeSpec::default() };
        kept.nodes.push((spec, record.cordoned));
    }
    for entry in transaction.open_table(BUNDLES)?.iter()? {
        let (digest, record) = entry?;
        kept.bundles.push((digest.value().into(), serde_json::from_slice(record.value())?));
    }
    Ok(kept)
}

fn start_epoch(database: &Database) -> Result<(String, u64), Box<dyn std::error::Error>> {
    let transaction = database.begin_write()?;
    let started = {
        transaction.open_table(FUNCTIONS)?;
        transaction.open_table(NODES)?;
        for table in [BUNDLES, CALLS, REQUESTS, RESULTS, SCHEDULES] {
            transaction.open_table(table)?;
        }
        let mut meta = transaction.open_table(META)?;
        let number = |meta: &redb::Table<'_, &str, &str>, key| -> Result<Option<u64>, Box<dyn std::error::Error>> {
            Ok(meta.get(key)?.map(|v| v.value().parse()).transpose()?)
        };
        match number(&meta, "schema")? {
            Some(found) if found > SCHEMA => {
                let text =
                    format!("was written by a newer CARES (schema {found}, this one knows {SCHEMA}): use that version");
                return Err(text.into());
            }
            _ => meta.insert("schema", &*SCHEMA.to_string())?,
        };
        let epoch = number(&meta, "epoch")?.unwrap_or(0) + 1;
        meta.insert("epoch", &*epoch.to_string())?;
        let known = meta.get("cluster_id")?.map(|v| v.value().to_string());
        let cluster_id = match known {
            Some(id) => id,
            None => {
                let id = crate::ids::random_hex(6);
                meta.insert("cluster_id", &*id)?;
                id
            }
        };
        (cluster_id, epoch)
    };
    transaction.commit()?;
    Ok(started)
}
