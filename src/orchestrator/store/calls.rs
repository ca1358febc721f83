//! What is kept of asynchronous calls and schedules: records whose insides only their owners know. Backups hold none of
//! them: a call that was restored would run again.

use super::schema::{self, Records, Unfit};
use super::{Snapshot, Store, StoreError};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

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

/// What changes of a pipeline's records; all of it or nothing.
#[derive(Clone, Debug)]
pub struct PipelineWrite {
    pub id: String,
    /// `None`: as it is.
    pub record: Option<Vec<u8>>,
    /// By number, each with its result.
    pub modules: Vec<(usize, Vec<u8>, Part)>,
}

/// A change of these records.
#[derive(Debug)]
pub enum LaterWrite {
    /// An asynchronous call as it is now.
    Call(CallWrite),
    /// Nothing of the call is kept any more.
    CallGone(String),
    Pipeline(PipelineWrite),
    /// Nothing of the pipeline, which had so many modules, is kept any more.
    PipelineGone(String, usize),
    /// How far a function's schedule has been seen to, by the function's name.
    Schedule(String, Vec<u8>),
    ScheduleGone(String),
}

/// What a start finds: keys and records.
#[derive(Debug, Default)]
pub struct Later {
    pub calls: Vec<(String, Vec<u8>)>,
    pub schedules: Vec<(String, Vec<u8>)>,
    pub pipelines: Vec<(String, Vec<u8>)>,
    /// By `ID/NUMBER`.
    pub modules: Vec<(String, Vec<u8>)>,
}

/// The key of a module's records.
pub fn module_key(id: &str, index: usize) -> String {
    format!("{id}/{index}")
}

pub(super) fn put(transaction: &WriteTransaction, write: &LaterWrite) -> Result<(), redb::Error> {
    match write {
        LaterWrite::Call(CallWrite { id, record, request, result }) => {
            transaction.open_table(schema::CALLS)?.insert(&**id, &**record)?;
            put_part(transaction, schema::REQUESTS, id, request)?;
            put_part(transaction, schema::RESULTS, id, result)?;
        }
        LaterWrite::CallGone(id) => {
            for table in [schema::CALLS, schema::REQUESTS, schema::RESULTS] {
                transaction.open_table(table)?.remove(&**id)?;
            }
        }
        LaterWrite::Pipeline(PipelineWrite { id, record, modules }) => {
            if let Some(record) = record {
                transaction.open_table(schema::PIPELINES)?.insert(&**id, &**record)?;
            }
            let mut rows = transaction.open_table(schema::MODULES)?;
            for (index, record, result) in modules {
                let key = module_key(id, *index);
                rows.insert(&*key, &**record)?;
                put_part(transaction, schema::MODULE_RESULTS, &key, result)?;
            }
        }
        LaterWrite::PipelineGone(id, modules) => {
            transaction.open_table(schema::PIPELINES)?.remove(&**id)?;
            let mut rows = transaction.open_table(schema::MODULES)?;
            let mut results = transaction.open_table(schema::MODULE_RESULTS)?;
            for index in 0..*modules {
                let key = module_key(id, index);
                rows.remove(&*key)?;
                results.remove(&*key)?;
            }
        }
        LaterWrite::Schedule(name, record) => {
            drop(transaction.open_table(schema::SCHEDULES)?.insert(&**name, &**record)?);
        }
        LaterWrite::ScheduleGone(name) => drop(transaction.open_table(schema::SCHEDULES)?.remove(&**name)?),
    }
    Ok(())
}

fn put_part(transaction: &WriteTransaction, table: Records, id: &str, part: &Part) -> Result<(), redb::Error> {
    match part {
        Part::AsItIs => {}
        Part::Put(record) => drop(transaction.open_table(table)?.insert(id, &**record)?),
        Part::Gone => drop(transaction.open_table(table)?.remove(id)?),
    }
    Ok(())
}

pub(super) fn read_all(transaction: &ReadTransaction) -> Result<Later, Unfit> {
    let rows = |table: Records| {
        let mut rows = Vec::new();
        for entry in transaction.open_table(table)?.iter()? {
            let (key, record) = entry?;
            rows.push((key.value().to_string(), record.value().to_vec()));
        }
        Ok::<_, Unfit>(rows)
    };
    Ok(Later {
        calls: rows(schema::CALLS)?,
        schedules: rows(schema::SCHEDULES)?,
        pipelines: rows(schema::PIPELINES)?,
        modules: rows(schema::MODULES)?,
    })
}

impl Store {
    /// The request of an asynchronous call, as it was written.
    pub async fn request(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot().await?.one(schema::REQUESTS, id).await
    }

    /// And its result.
    pub async fn result(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot().await?.one(schema::RESULTS, id).await
    }

    /// The result of a pipeline's module.
    pub async fn module_result(&self, id: &str, index: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot().await?.one(schema::MODULE_RESULTS, &module_key(id, index)).await
    }
}

impl Snapshot {
    async fn one(self, table: Records, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_string();
        let read = crate::rt::unblock(move || {
            let found = self.transaction.open_table(table).map_err(Unfit::from);
            let found = found.and_then(|rows| Ok(rows.get(&*key)?.map(|value| value.value().to_vec())));
            found.map_err(|unfit| self.shared.error(&unfit))
        });
        read.await
    }
}
