//! What is kept of functions, nodes and bundles, as JSON, and back. Must never be changed in place once released: a
//! field may be added with a default, all else is a new version of the schema.

use super::schema::{self, Unfit};
use super::{BuildRecord, Bundle, EVENTS_KEPT, Identity, Later, Secret, Token, Write, calls};
use crate::cluster::{Lasting, LastingTask, NodeSpec, Revision};
use crate::orchestrator::{spec, tasks};
use crate::types::{Event, FunctionSpec};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All records, as the core and the shell know them.
#[derive(Debug, Default)]
pub struct Kept {
    pub functions: Vec<Lasting>,
    pub nodes: Vec<(NodeSpec, bool)>,
    pub bundles: Vec<(String, Bundle)>,
    pub later: Later,
    /// By id. Never in a backup: it would bring back what was revoked.
    pub tokens: Vec<(String, Token)>,
    /// Never in a backup: what was restored would run again.
    pub tasks: Vec<LastingTask>,
    /// By their numbers.
    pub builds: Vec<(u64, BuildRecord)>,
    /// By the node's id. Never in a backup, as tokens.
    pub identities: Vec<(String, Identity)>,
    /// By name.
    pub secrets: Vec<(String, Secret)>,
    /// The last ones, oldest first.
    pub events: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
struct FunctionRecord {
    created_unix_ms: u64,
    revisions: Vec<RevisionRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

#[derive(Serialize, Deserialize)]
struct RevisionRecord {
    number: u64,
    updated_unix_ms: u64,
    spec: FunctionSpec,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(default)]
    born: u64,
}

#[derive(Serialize, Deserialize)]
struct NodeRecord {
    name: String,
    cordoned: bool,
    /// Of its secret; empty: it has shown none.
    #[serde(default)]
    digest: String,
}

/// Makes a change in a transaction.
pub fn put(transaction: &WriteTransaction, write: &Write) -> Result<(), redb::Error> {
    match write {
        Write::Nothing => return Ok(()),
        Write::Later(write) => return calls::put(transaction, write),
        Write::Task(task) => {
            let record = encode(&tasks::Record::of(task));
            return transaction.open_table(schema::TASKS)?.insert(&*task.id, &*record).map(drop).map_err(Into::into);
        }
        Write::TaskGone(id) => {
            return transaction.open_table(schema::TASKS)?.remove(&**id).map(drop).map_err(Into::into);
        }
        Write::Build(number, build) => {
            let mut builds = transaction.open_table(schema::BUILDS)?;
            return builds.insert(&*number.to_string(), &*encode(build)).map(drop).map_err(Into::into);
        }
        Write::BuildGone(number) => {
            let mut builds = transaction.open_table(schema::BUILDS)?;
            return builds.remove(&*number.to_string()).map(drop).map_err(Into::into);
        }
        _ => {}
    }
    let mut functions = transaction.open_table(schema::FUNCTIONS)?;
    let mut nodes = transaction.open_table(schema::NODES)?;
    let mut bundles = transaction.open_table(schema::BUNDLES)?;
    match write {
        Write::Function(kept) => {
            let Some(name) = kept.name() else { return Ok(()) };
            functions.insert(&**name, &*encode(&function_record(kept)))?;
        }
        Write::FunctionGone(name) => drop(functions.remove(&**name)?),
        Write::Node(spec, cordoned) => drop(nodes.insert(&*spec.id, &*encode(&node_record(spec, *cordoned)))?),
        Write::NodeGone(id) => drop(nodes.remove(&**id)?),
        Write::Bundle(digest, bundle) => drop(bundles.insert(&**digest, &*encode(bundle))?),
        Write::BundleGone(digest) => drop(bundles.remove(&**digest)?),
        Write::Later(_)
        | Write::Task(_)
        | Write::TaskGone(_)
        | Write::Build(..)
        | Write::BuildGone(_)
        | Write::Nothing => {} // above
        Write::Token(id, token) => {
            drop(transaction.open_table(schema::TOKENS)?.insert(&**id, &*encode(token))?);
        }
        Write::Identity(id, identity) => {
            drop(transaction.open_table(schema::IDENTITIES)?.insert(&**id, &*encode(identity))?);
        }
        Write::IdentityGone(id) => drop(transaction.open_table(schema::IDENTITIES)?.remove(&**id)?),
        Write::Revoked(id, unix_ms) => {
            let mut identities = transaction.open_table(schema::IDENTITIES)?;
            let known = identities.get(&**id)?.and_then(|record| serde_json::from_slice(record.value()).ok());
            let mut identity: Identity = known.unwrap_or_default();
            identity.revoked_unix_ms.get_or_insert(*unix_ms);
            identities.insert(&**id, &*encode(&identity))?;
        }
        Write::TokenGone(id) => drop(transaction.open_table(schema::TOKENS)?.remove(&**id)?),
        Write::Secret(name, secret) => put_secrets(transaction, [(name, secret)])?,
        Write::SecretGone(name) => drop(transaction.open_table(schema::SECRETS)?.remove(&**name)?),
        Write::Secrets(secrets) => put_secrets(transaction, secrets.iter().map(|(name, secret)| (name, secret)))?,
        Write::Restore(kept) => {
            functions.retain(|_, _| false)?;
            for function in &kept.functions {
                let Some(name) = function.name() else { continue };
                functions.insert(&**name, &*encode(&function_record(function)))?;
            }
            for (spec, cordoned) in &kept.nodes {
                nodes.insert(&*spec.id, &*encode(&node_record(spec, *cordoned)))?;
            }
            for (digest, bundle) in &kept.bundles {
                bundles.insert(&**digest, &*encode(bundle))?;
            }
            put_secrets(transaction, kept.secrets.iter().map(|(name, secret)| (name, secret)))?;
            let mut builds = transaction.open_table(schema::BUILDS)?;
            for (number, build) in &kept.builds {
                builds.insert(&*number.to_string(), &*encode(build))?;
            }
        }
    }
    Ok(())
}

fn put_secrets<'a>(
    transaction: &WriteTransaction,
    secrets: impl IntoIterator<Item = (&'a String, &'a Secret)>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(schema::SECRETS)?;
    for (name, secret) in secrets {
        table.insert(&**name, &*encode(secret))?;
    }
    Ok(())
}

/// Adds events, and drops the oldest beyond `EVENTS_KEPT`.
pub fn add_events(transaction: &WriteTransaction, events: &[Arc<Event>]) -> Result<(), redb::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(schema::EVENTS)?;
    for event in events {
        table.insert(event.id, &*encode(&**event))?;
    }
    while table.len()? > EVENTS_KEPT as u64 {
        table.pop_first()?;
    }
    Ok(())
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default() // maps with string keys only: cannot fail
}

fn node_record(spec: &NodeSpec, cordoned: bool) -> NodeRecord {
    NodeRecord { name: spec.name.clone(), cordoned, digest: spec.digest.clone() }
}

fn function_record(kept: &Lasting) -> FunctionRecord {
    let record = |r: &Arc<Revision>| RevisionRecord {
        number: r.number,
        updated_unix_ms: r.updated_unix_ms,
        spec: spec::settings(r),
        fresh: r.fresh,
        by: r.by.clone(),
        born: r.born,
    };
    FunctionRecord {
        created_unix_ms: kept.revisions.first().map_or(0, |r| r.created_unix_ms),
        revisions: kept.revisions.iter().map(record).collect(),
        serving: kept.serving,
        failed: kept.failed.clone(),
        stopped: kept.stopped,
    }
}

/// Reads all records; the first that cannot be is named.
pub fn read_all(database: &Database) -> Result<Kept, Unfit> {
    let transaction = database.begin_read()?;
    let mut kept = Kept { later: calls::read_all(&transaction)?, ..Kept::default() };
    for entry in transaction.open_table(schema::FUNCTIONS)?.iter()? {
        let (name, record) = entry?;
        kept.functions.push(lasting(name.value(), decode(schema::FUNCTIONS, name.value(), record.value())?)?);
    }
    for entry in transaction.open_table(schema::NODES)?.iter()? {
        let (id, record) = entry?;
        let record: NodeRecord = decode(schema::NODES, id.value(), record.value())?;
        let spec = NodeSpec { id: id.value().into(), name: record.name, digest: record.digest, ..NodeSpec::default() };
        kept.nodes.push((spec, record.cordoned));
    }
    for entry in transaction.open_table(schema::BUNDLES)?.iter()? {
        let (digest, record) = entry?;
        kept.bundles.push((digest.value().into(), decode(schema::BUNDLES, digest.value(), record.value())?));
    }
    for entry in transaction.open_table(schema::TOKENS)?.iter()? {
        let (id, record) = entry?;
        kept.tokens.push((id.value().into(), decode(schema::TOKENS, id.value(), record.value())?));
    }
    for entry in transaction.open_table(schema::TASKS)?.iter()? {
        let (id, record) = entry?;
        let (id, record): (&str, tasks::Record) = (id.value(), decode(schema::TASKS, id.value(), record.value())?);
        let task = record.into_task(id);
        kept.tasks.push(task.map_err(|why| Unfit::Damaged(format!("the record of task '{id}': {why}")))?);
    }
    kept.tasks.sort_by_key(|task| task.progress.ended_unix_ms); // those that ended first go first
    for entry in transaction.open_table(schema::BUILDS)?.iter()? {
        let (number, record) = entry?;
        let unread = |_| Unfit::Damaged(format!("a build's number is '{}'", number.value()));
        let parsed = number.value().parse().map_err(unread)?;
        kept.builds.push((parsed, decode(schema::BUILDS, number.value(), record.value())?));
    }
    for entry in transaction.open_table(schema::IDENTITIES)?.iter()? {
        let (id, record) = entry?;
        kept.identities.push((id.value().into(), decode(schema::IDENTITIES, id.value(), record.value())?));
    }
    for entry in transaction.open_table(schema::SECRETS)?.iter()? {
        let (name, record) = entry?;
        kept.secrets.push((name.value().into(), decode(schema::SECRETS, name.value(), record.value())?));
    }
    for entry in transaction.open_table(schema::EVENTS)?.iter()? {
        let (id, record) = entry?;
        let unread = |e| Unfit::Damaged(format!("event {} cannot be read: {e}", id.value()));
        kept.events.push(serde_json::from_slice(record.value()).map_err(unread)?);
    }
    Ok(kept)
}

/// Shows each record of the tables that backups hold, as it is stored.
pub fn each<E: From<Unfit>>(
    transaction: &ReadTransaction,
    mut show: impl FnMut(&str, &str, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for table in schema::RECORDS {
        let rows = transaction.open_table(table).map_err(Unfit::from)?;
        for entry in rows.iter().map_err(Unfit::from)? {
            let (key, value) = entry.map_err(Unfit::from)?;
            show(table.name(), key.value(), value.value())?;
        }
    }
    Ok(())
}

fn decode<T: for<'a> Deserialize<'a>>(table: schema::Records, key: &str, record: &[u8]) -> Result<T, Unfit> {
    let unread = |e| Unfit::Damaged(format!("the record of '{key}' in '{}' cannot be read: {e}", table.name()));
    serde_json::from_slice(record).map_err(unread)
}

fn lasting(name: &str, record: FunctionRecord) -> Result<Lasting, Unfit> {
    let created = record.created_unix_ms;
    let unfit = |why: String| Unfit::Damaged(format!("the record of function '{name}': {why}"));
    let revive = |r: RevisionRecord| {
        let mut revision =
            spec::any_revision(r.spec, r.updated_unix_ms).map_err(|e| unfit(format!("{}: {}", e.field, e.why)))?;
        (revision.number, revision.created_unix_ms, revision.fresh) = (r.number, created, r.fresh);
        (revision.by, revision.born) = (r.by, r.born);
        match &*revision.function == name {
            true => Ok(Arc::new(revision)),
            false => Err(unfit(format!("it is of '{}'", revision.function))),
        }
    };
    let revisions: Vec<_> = record.revisions.into_iter().map(revive).collect::<Result<_, _>>()?;
    let rising = revisions.windows(2).all(|pair| pair[0].number < pair[1].number);
    match rising && !revisions.is_empty() {
        true => Ok(Lasting { revisions, serving: record.serving, failed: record.failed, stopped: record.stopped }),
        false => Err(unfit("its revisions are none, or not in order".into())),
    }
}
