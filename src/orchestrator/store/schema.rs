//! The store's tables, their version, and how an older one becomes this one. Must never know what a record means.
//!
//! To add a table: define it here, add it to `RECORDS` if a backup is to hold it, open it in `make_tables`, raise
//! `VERSION`, and add a step to `STEPS` (for a table that starts empty, one that does nothing). What is kept in it is
//! said in `records.rs`.

use redb::{Database, ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use std::fmt;
use std::io::ErrorKind;

/// A table of records: JSON under a name.
pub type Records = TableDefinition<'static, &'static str, &'static [u8]>;

pub const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
pub const FUNCTIONS: Records = Records::new("functions");
pub const NODES: Records = Records::new("nodes");
pub const BUNDLES: Records = Records::new("bundles");
pub const CALLS: Records = Records::new("calls");
pub const REQUESTS: Records = Records::new("requests");
pub const RESULTS: Records = Records::new("results");
pub const SCHEDULES: Records = Records::new("schedules");
/// Of each pipeline; of its modules and their results, by `ID/NUMBER`.
pub const PIPELINES: Records = Records::new("pipelines");
pub const MODULES: Records = Records::new("pipeline_modules");
pub const MODULE_RESULTS: Records = Records::new("pipeline_results");
pub const TOKENS: Records = Records::new("tokens");
pub const IDENTITIES: Records = Records::new("identities");
pub const SECRETS: Records = Records::new("secrets");
pub const TASKS: Records = Records::new("tasks");
/// By their numbers, as text.
pub const BUILDS: Records = Records::new("builds");

/// By id, which increases.
pub const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// Those a backup holds.
pub const RECORDS: [Records; 5] = [FUNCTIONS, NODES, BUNDLES, SECRETS, BUILDS];

/// Of the tables above and the records in them.
pub const VERSION: u64 = 10;

/// Makes one version of the one before it.
pub type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The first makes version 2 of version 1.
const STEPS: [Step; VERSION as usize - 1] = [
    |_| Ok(()), // 2: events, none at first
    |_| Ok(()), // 3: which revision serves, `ready`, `freeze_s`: what was not kept has its default
    |_| Ok(()), // 4: calls and schedules, none at first
    |_| Ok(()), // 5: tokens, none at first
    |_| Ok(()), // 6: identities of nodes, none at first
    |_| Ok(()), // 7: secrets, none at first
    |_| Ok(()), // 8: tasks, none at first
    |_| Ok(()), // 9: pipelines, none at first
    |_| Ok(()), // 10: builds, none at first
];

/// Why a database is not, or cannot be made, this version's store.
#[derive(Debug)]
pub enum Unfit {
    /// A later version's, which may hold what this one would lose.
    Newer { found: u64 },
    /// A database of another program.
    Foreign,
    /// The library's word.
    Database(redb::Error),
    /// What is in it makes no sense.
    Damaged(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Newer { found } => {
                write!(f, "was written by a newer CARES (schema {found}, this one knows up to {VERSION})")
            }
            Unfit::Foreign => f.write_str("is a database, but not one of CARES"),
            Unfit::Database(redb::Error::Io(error)) => match error.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => write!(f, "is damaged: {error}"),
                _ => write!(f, "cannot be read or written: {error}"),
            },
            Unfit::Database(error) => write!(f, "is damaged: {error}"),
            Unfit::Damaged(why) => write!(f, "is damaged: {why}"),
        }
    }
}

impl Unfit {
    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        use ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Unfit::Database(redb::Error::Io(error)) => match error.kind() {
                StorageFull | QuotaExceeded => "Free some space on its disk and start again",
                PermissionDenied | ReadOnlyFilesystem => {
                    "Make it and its folder writable for this user and start again"
                }
                _ => RESTORE,
            },
            Unfit::Database(redb::Error::DatabaseAlreadyOpen) => "End the program that has it open",
            Unfit::Newer { .. } => {
                "Start that version, or give this one another --data-dir and, if you have a backup that is not newer, \
                 `cares restore` it there"
            }
            _ => RESTORE,
        }
    }
}

const RESTORE: &str = "Move it away, start again, and bring a backup back with `cares restore FILE`; without a backup \
    that starts an empty cluster";

impl<E: Into<redb::Error>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Unfit::Database(error.into())
    }
}

/// What a start is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub cluster_id: String,
    /// Counts starts; this one included.
    pub epoch: u64,
}

/// A write that is on disk, whole, when its commit returns; of a crash in between nothing is seen. Two fsyncs: with one
/// redb could not tell a commit that a crash tore from an acknowledged one that the disk lost, and would drop either.
pub fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Makes the tables this version has, from those that are there, and counts a start: all of it or nothing.
pub fn start(database: &Database) -> Result<Start, Unfit> {
    let transaction = begin(database)?;
    match version(&transaction)? {
        None => make_tables(&transaction)?,
        Some(found) if found > VERSION => return Err(Unfit::Newer { found }),
        Some(found) => migrate(&transaction, found, &STEPS)?,
    }
    let started = {
        let mut meta = transaction.open_table(META)?;
        meta.insert("schema", &*VERSION.to_string())?;
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
        Start { cluster_id, epoch }
    };
    transaction.commit()?;
    Ok(started)
}

/// Changes a page without changing what it says.
pub fn touch(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert("schema", &*VERSION.to_string())?;
    Ok(())
}

/// Fills an empty database with a backup's records, as they were at `version`, for `start` to migrate.
pub fn fill<'a>(
    database: &Database,
    version: u64,
    records: impl Iterator<Item = (&'a str, &'a str, &'a [u8])>,
) -> Result<(), Unfit> {
    let transaction = begin(database)?;
    make_tables(&transaction)?;
    transaction.open_table(META)?.insert("schema", &*version.to_string())?;
    for (table, key, value) in records {
        let known = RECORDS.iter().find(|known| known.name() == table);
        let known = known.ok_or_else(|| Unfit::Damaged(format!("there is no table '{table}'")))?;
        transaction.open_table(*known)?.insert(key, value)?;
    }
    transaction.commit()?;
    Ok(())
}

/// `None`: there is nothing in it.
fn version(transaction: &WriteTransaction) -> Result<Option<u64>, Unfit> {
    let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_string()).collect();
    if tables.is_empty() {
        return Ok(None);
    }
    if !tables.iter().any(|name| name == META.name()) {
        return Err(Unfit::Foreign);
    }
    let meta = transaction.open_table(META)?;
    match number(&meta, "schema")? {
        Some(found) if found > 0 => Ok(Some(found)),
        _ => Err(Unfit::Foreign),
    }
}

pub fn migrate(transaction: &WriteTransaction, found: u64, steps: &[Step]) -> Result<(), redb::Error> {
    for (step, from) in steps.iter().zip(1..).filter(|(_, from)| *from >= found) {
        log::info!("The store becomes version {} of version {from}", from + 1);
        step(transaction)?;
    }
    make_tables(transaction)
}

/// Opening makes what is missing, so that reading finds it.
fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?;
    transaction.open_table(EVENTS)?;
    let of_pipelines = [PIPELINES, MODULES, MODULE_RESULTS];
    let others = [CALLS, REQUESTS, RESULTS, SCHEDULES, TOKENS, IDENTITIES, TASKS];
    for table in RECORDS.into_iter().chain(others).chain(of_pipelines) {
        transaction.open_table(table)?;
    }
    Ok(())
}

fn number(meta: &redb::Table<'_, &str, &str>, key: &str) -> Result<Option<u64>, Unfit> {
    let Some(text) = meta.get(key)? else { return Ok(None) };
    let parsed = text.value().parse();
    parsed.map(Some).map_err(|_| Unfit::Damaged(format!("{key} is no number")))
}
