//! What is kept of functions, nodes and bundles, as JSON, and back. Must never be changed in place once released: a
//! field may be added with a default, all else is a new version of the schema.

use super::schema::{self, Unfit};
use super::{Bundle, EVENTS_KEPT, Later, Token, Write, calls};
use crate::cluster::{Lasting, NodeSpec, Revision};
use crate::orchestrator::spec;
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
}

#[derive(Serialize, Deserialize)]
struct RevisionRecord {
    number: u64,
    updated_unix_ms: u64,
    spec: FunctionSpec,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
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
    if let Write::Later(write) = write {
        return calls::put(transaction, write);
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
        Write::Later(_) => {}
        Write::Token(id, token) => {
            drop(transaction.open_table(schema::TOKENS)?.insert(&**id, &*encode(token))?);
        }
        Write::TokenGone(id) => drop(transaction.open_table(schema::TOKENS)?.remove(&**id)?),
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
        }
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
    };
    FunctionRecord {
        created_unix_ms: kept.revisions.first().map_or(0, |r| r.created_unix_ms),
        revisions: kept.revisions.iter().map(record).collect(),
        serving: kept.serving,
        failed: kept.failed.clone(),
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
            spec::revision(r.spec, r.updated_unix_ms).map_err(|e| unfit(format!("{}: {}", e.field, e.why)))?;
        (revision.number, revision.created_unix_ms, revision.fresh) = (r.number, created, r.fresh);
        match &*revision.function == name {
            true => Ok(Arc::new(revision)),
            false => Err(unfit(format!("it is of '{}'", revision.function))),
        }
    };
    let revisions: Vec<_> = record.revisions.into_iter().map(revive).collect::<Result<_, _>>()?;
    let rising = revisions.windows(2).all(|pair| pair[0].number < pair[1].number);
    match rising && !revisions.is_empty() {
        true => Ok(Lasting { revisions, serving: record.serving, failed: record.failed }),
        false => Err(unfit("its revisions are none, or not in order".into())),
    }
}
