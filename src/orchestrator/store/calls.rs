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

/// A change of these records.
#[derive(Debug)]
pub enum LaterWrite {
    /// An asynchronous call as it is now.
    Call(CallWrite),
    /// Nothing of the call is kept any more.
    CallGone(String),
    /// How far a function's schedule has been seen to, by the function's name.
    Schedule(String, Vec<u8>),
    ScheduleGone(String),
}

/// What a start finds: keys and records.
#[derive(Debug, Default)]
pub struct Later {
    pub calls: Vec<(String, Vec<u8>)>,
    pub schedules: Vec<(String, Vec<u8>)>,
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
    Ok(Later { calls: rows(schema::CALLS)?, schedules: rows(schema::SCHEDULES)? })
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
