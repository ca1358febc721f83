//! All tasks of this worker in memory. Must never wait for anything: it stands behind one lock.

use super::TaskError;
use super::record::Record;
use crate::rt::{Receiver, Sender};
use crate::types::TaskRequest;
use crate::wire::proto;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All of them.
#[derive(Default)]
pub struct Book {
    pub tasks: BTreeMap<String, Entry>,
    /// Of those submitted here: ids by idempotency key.
    pub keys: HashMap<String, String>,
    pub version: u64,
    /// Those that changed since they were told of in a beat.
    pub unreported: BTreeSet<String>,
    /// Each is told that there is something new; closed ones are removed then.
    pub watchers: Vec<Sender<()>>,
}

/// One of them.
pub struct Entry {
    pub record: Record,
    pub health: &'static str,
    /// When it last changed, counted over all.
    pub version: u64,
    /// Its supervisor, while there is one: dropping the first tells it to stop the task, the second closes at its end.
    pub supervisor: Option<(Sender<()>, Receiver<()>)>,
}

impl Book {
    /// The task with that key, if its request was the same.
    pub fn same(&self, key: &str, request: &TaskRequest) -> Result<Option<String>, TaskError> {
        let Some(entry) = self.keys.get(key).and_then(|id| self.tasks.get(id)) else { return Ok(None) };
        match serde_json::from_str::<TaskRequest>(&entry.record.request) {
            Ok(before) if before == *request => Ok(Some(entry.record.task.id.clone())),
            _ => Err(TaskError::KeyReused),
        }
    }

    /// Which of its ports another task here has.
    pub fn taken(&self, task: &proto::Task) -> Option<String> {
        let wanted = |port: &proto::TaskPort| {
            task.ports.iter().any(|other| {
                other.host > 0 && (other.host, other.protocol == "udp") == (port.host, port.protocol == "udp")
            })
        };
        let live = self.tasks.values().filter(|e| !e.record.state().ended() && e.record.task.id != task.id);
        let mut ports = live.flat_map(|e| e.record.ports.iter().map(move |port| (e, port)));
        let (entry, port) = ports.find(|(_, port)| wanted(port))?;
        Some(format!("port {} of this node is task {}'s", port.host, entry.record.task.id))
    }

    pub fn remove(&mut self, id: &str) {
        let Some(entry) = self.tasks.remove(id) else { return };
        self.keys.remove(&entry.record.idempotency_key);
        self.version += 1;
    }
}
