//! How tasks come to this worker: from its orchestrator, from whoever asks it itself, and once more after their end. When
//! one is said to be taken it is on disk, and looked after. Must be let run to its end, whoever waits for it.

use super::book::Book;
use super::record::{Record, State};
use super::{Entry, TASKS, TaskError, Tasks, illegal, supervise};
use crate::types::TaskRequest;
use crate::wire::proto;
use crate::worker::pool::Pool;
use crate::{clock, ids, names, tasks};
use std::cmp::Ordering;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

impl Tasks {
    /// Takes in what an orchestrator sends. It is on disk when this returns.
    pub async fn take(&self, pool: &Arc<Pool>, task: proto::Task) -> Result<(), TaskError> {
        let refused = |why: String| Err(TaskError::Refused(why));
        if let Err(why) = names::check_name(&task.id) {
            return refused(format!("the task's id: {why}"));
        }
        if let Err(bad) = tasks::check(&tasks::shown(&task)) {
            return refused(format!("{}: {}", bad.field, bad.why));
        }
        let id = task.id.clone();
        let before = self.book().tasks.get(&id).map(|e| (e.record.task.attempt, e.record.is_local()));
        match before {
            Some((_, true)) => return refused(format!("task {id} was submitted to this worker itself")),
            Some((attempt, _)) if attempt > task.attempt => {
                return refused(format!(
                    "attempt {attempt} of task {id} is here, which is newer than {}",
                    task.attempt
                ));
            }
            Some((attempt, _)) if attempt == task.attempt => return self.keep(&id, true).await,
            Some(_) => self.end(&id).await, // a higher attempt fences it
            None => {}
        }
        self.begin(pool, Record::new(task, None, clock::unix_ms())).await
    }

    /// Takes in what was submitted here. `true`: it is new; else one with the same key and the same request.
    pub async fn submit(&self, pool: &Arc<Pool>, request: &TaskRequest) -> Result<(String, bool), TaskError> {
        if let Some(key) = &request.idempotency_key {
            let known = self.book().same(key, request)?;
            if let Some(id) = known {
                self.keep(&id, true).await?;
                return Ok((id, false));
            }
        }
        let id = format!("t-{}", ids::random_hex(8));
        let record = Record::new(tasks::to_wire(&id, 1, request), Some(request), clock::unix_ms());
        self.begin(pool, record).await?;
        Ok((id, true))
    }

    async fn begin(&self, pool: &Arc<Pool>, record: Record) -> Result<(), TaskError> {
        let id = record.task.id.clone();
        let plain = record.task.volumes.is_empty() && record.task.devices.is_empty();
        if !plain && !record.is_container() {
            let why = "volumes and devices are for images: a bundle runs as a process, which is given none".to_string();
            return Err(TaskError::Refused(why));
        }
        self.free(&record.task)?;
        let known = {
            let mut book = self.book();
            let here = book.tasks.get(&id).map_or(0, |entry| entry.record.task.attempt);
            match here.cmp(&record.task.attempt) {
                Ordering::Greater => {
                    return Err(TaskError::Refused(format!("attempt {here} of task {id} is here, which is newer")));
                }
                Ordering::Equal => true, // sent twice, and come twice at once
                Ordering::Less => {
                    book.enter(record)?;
                    false
                }
            }
        };
        if known {
            return self.keep(&id, true).await;
        }
        if let Err(error) = self.keep(&id, true).await {
            self.book().remove(&id);
            let _ = self.keep(&id, false).await; // it may be there all the same, and the next worker would run it
            return Err(error);
        }
        if let Some(entry) = self.book().tasks.get_mut(&id) {
            supervise(pool, entry, false);
        }
        self.changed(&id);
        Ok(())
    }

    /// Starts one again that was submitted here and has ended.
    pub async fn again(&self, pool: &Arc<Pool>, id: &str) -> Result<(), TaskError> {
        let task = {
            let book = self.book();
            let record = &book.tasks.get(id).ok_or(TaskError::Unknown)?.record;
            if !record.is_local() {
                return Err(TaskError::Refused(format!("task {id} is its orchestrator's: start it there")));
            }
            if !record.state().may_become(State::Starting) || !record.state().ended() {
                return Err(illegal(record, "started"));
            }
            if let Some(taken) = book.taken(&record.task) {
                return Err(TaskError::PortInUse(taken));
            }
            record.task.clone()
        };
        self.free(&task)?;
        let ended = {
            let mut book = self.book();
            let record = &mut book.tasks.get_mut(id).ok_or(TaskError::Unknown)?.record;
            if !record.state().ended() {
                return Err(illegal(record, "started"));
            }
            let mut fresh = Record::new(proto::Task { attempt: task.attempt + 1, ..task }, None, record.created_ms);
            (fresh.request, fresh.idempotency_key) = (record.request.clone(), record.idempotency_key.clone());
            std::mem::replace(record, fresh)
        };
        if let Err(error) = self.keep(id, true).await {
            self.edit(id, |record| *record = ended); // nobody would look after it
            return Err(error);
        }
        if let Some(entry) = self.book().tasks.get_mut(id) {
            supervise(pool, entry, false);
        }
        self.changed(id);
        Ok(())
    }

    /// Whether nobody on this node listens on the ports that it asks for by number.
    fn free(&self, task: &proto::Task) -> Result<(), TaskError> {
        for port in task.ports.iter().filter(|port| port.host > 0) {
            let at = (self.listen, u16::try_from(port.host).unwrap_or(0));
            let bound = match port.protocol.as_str() {
                "udp" => UdpSocket::bind(at).map(drop),
                _ => TcpListener::bind(at).map(drop),
            };
            match bound {
                // Low ones may be the engine's to give, though not this worker's.
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                    return Err(TaskError::PortInUse(format!("port {} of this node: {error}", port.host)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Book {
    fn enter(&mut self, record: Record) -> Result<(), TaskError> {
        if self.tasks.len() >= TASKS {
            return Err(TaskError::Full);
        }
        if let Some(taken) = self.taken(&record.task) {
            return Err(TaskError::PortInUse(taken));
        }
        let id = record.task.id.clone();
        if !record.idempotency_key.is_empty() {
            if self.keys.contains_key(&record.idempotency_key) {
                return Err(TaskError::Illegal("the same is being submitted just now; ask again".into()));
            }
            self.keys.insert(record.idempotency_key.clone(), id.clone());
        }
        self.tasks.insert(id, Entry { record, health: "", version: 0, supervisor: None });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> Record {
        Record::new(proto::Task { id: format!("t-{n}"), ..proto::Task::default() }, None, 0)
    }

    #[test]
    fn a_worker_has_so_many_tasks() {
        let mut book = Book::default();
        for n in 1..TASKS {
            let entry = Entry { record: record(n), health: "", version: 0, supervisor: None };
            book.tasks.insert(entry.record.task.id.clone(), entry);
        }
        book.enter(record(0)).expect("the last there is room for");
        assert!(matches!(book.enter(record(TASKS)), Err(TaskError::Full)));
        book.remove("t-7");
        book.enter(record(TASKS)).expect("room again");
    }
}
