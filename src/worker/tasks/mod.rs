//! The tasks of this worker: what it was told to run, kept on disk, each looked after by a supervisor. Where a task runs is
//! decided elsewhere; once here it goes on whether or not an orchestrator is there.

mod book;
mod found;
mod health;
mod intake;
mod logs;
mod policy;
mod record;
mod run;
mod shelf;
mod views;

use super::logs::LogBook;
use super::pool::{Notice, Pool};
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use book::{Book, Entry};
use found::Found;
pub use logs::{Wanted, json, shown};
use record::{Record, State};
use shelf::Shelf;
#[cfg(any(test, feature = "fuzz"))]
pub use shelf::fuzz;

/// Tasks at most, ended ones too: each costs some KiB of memory and a file.
const TASKS: usize = 20_000;
/// Ended ones that were submitted here and that the orchestrator, if there is one, knows of: then the oldest are removed.
const HISTORY: usize = 10_000;
/// Started at once: engines set up what they start one after the other, and the last of many would wait too long.
const STARTS: usize = 16;
/// Files of different tasks are written at once, up to so many; those of one never.
const WRITERS: usize = 16;

/// Why something cannot be done.
#[derive(Debug, PartialEq, Eq)]
pub enum TaskError {
    /// No such task here.
    Unknown,
    /// Not in the state it is in.
    Illegal(String),
    PortInUse(String),
    /// The key was used for another task.
    KeyReused,
    /// No more fit.
    Full,
    /// It is its orchestrator's, or another attempt than the one here, or nothing this worker can run.
    Refused(String),
    Disk(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Unknown => f.write_str("there is no such task here"),
            TaskError::KeyReused => f.write_str("that idempotency key was used for another task"),
            TaskError::Full => write!(f, "this node has {TASKS} tasks, as many as may be: remove ended ones"),
            TaskError::Illegal(why) | TaskError::PortInUse(why) | TaskError::Refused(why) | TaskError::Disk(why) => {
                f.write_str(why)
            }
        }
    }
}

/// All of them.
pub struct Tasks {
    shelf: Arc<Shelf>,
    book: Arc<Mutex<Book>>,
    writers: Arc<[Mutex<()>; WRITERS]>,
    found: Found,
    logs: Arc<LogBook>,
    notices: Sender<Notice>,
    /// Where their ports are listened on.
    listen: IpAddr,
    /// Has an entry for each that is being started.
    starting: (Sender<()>, Receiver<()>),
    /// Closed when this worker ends.
    ending: (Sender<()>, Receiver<()>),
}

impl Tasks {
    /// Reads what is there. Blocks.
    pub fn open(dir: &Path, listen: IpAddr, logs: Arc<LogBook>, notices: Sender<Notice>) -> io::Result<Tasks> {
        let (shelf, records) = Shelf::open(dir.join("tasks"))?;
        let mut book = Book::default();
        for record in records {
            if !record.idempotency_key.is_empty() {
                book.keys.insert(record.idempotency_key.clone(), record.task.id.clone());
            }
            let entry = Entry { record, health: "", version: 0, supervisor: None };
            book.tasks.insert(entry.record.task.id.clone(), entry);
        }
        Ok(Tasks {
            shelf: Arc::new(shelf),
            book: Arc::new(Mutex::new(book)),
            writers: Arc::default(),
            found: Found::default(),
            logs,
            notices,
            listen,
            starting: rt::bounded(STARTS),
            ending: rt::bounded(1),
        })
    }

    /// Goes on with those that an earlier worker left.
    pub fn resume(&self, pool: &Arc<Pool>) {
        let mut book = self.book();
        for entry in book.tasks.values_mut().filter(|entry| !entry.record.state().ended()) {
            supervise(pool, entry, true);
        }
    }

    /// What was left running by an earlier worker.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// All of it was told of.
    pub fn found_all(&self) {
        let wanted: Vec<String> = {
            let book = self.book();
            let live = book.tasks.values().filter(|entry| !entry.record.state().ended());
            live.map(|entry| entry.record.runs()).collect()
        };
        self.found.is_all(&wanted);
    }

    /// Has one end; returns once that is on disk. `attempt`: only that one.
    pub async fn stop(&self, id: &str, attempt: Option<u64>) -> Result<(), TaskError> {
        {
            let mut book = self.book();
            let entry = book.tasks.get_mut(id).ok_or(TaskError::Unknown)?;
            let here = entry.record.task.attempt;
            if attempt.is_some_and(|attempt| attempt != here) {
                return Err(TaskError::Refused(format!("attempt {here} of task {id} is here, not that one")));
            }
            match entry.record.state() {
                state if state.ended() => return Err(illegal(&entry.record, "stopped")),
                State::Stopping => return Ok(()),
                _ => entry.record.become_state(State::Stopping),
            }
        }
        let kept = self.keep(id, true).await;
        if let Some((stop, _)) = self.book().tasks.get(id).and_then(|entry| entry.supervisor.as_ref()) {
            stop.close();
        }
        self.changed(id);
        kept
    }

    /// Removes an ended one; of the orchestrator's, only the orchestrator may.
    pub async fn remove(&self, id: &str) -> Result<(), TaskError> {
        {
            let book = self.book();
            let record = &book.tasks.get(id).ok_or(TaskError::Unknown)?.record;
            if !record.state().ended() {
                return Err(illegal(record, "removed"));
            }
            if !record.is_local() {
                let why = format!(
                    "task {id} is its orchestrator's, which has not yet taken note of its end: remove it there"
                );
                return Err(TaskError::Refused(why));
            }
        }
        self.drop_task(id).await
    }

    /// The orchestrator has its end on disk, or wants to know no more of it: what still runs is stopped first.
    pub async fn forget(&self, id: &str, attempt: u64) -> Result<(), TaskError> {
        let local = {
            let mut book = self.book();
            let Some(entry) = book.tasks.get_mut(id) else { return Ok(()) };
            if entry.record.task.attempt != attempt {
                return Err(TaskError::Refused(format!("attempt {} of task {id} is here", entry.record.task.attempt)));
            }
            entry.record.known |= entry.record.is_local() && entry.record.state().ended();
            entry.record.is_local()
        };
        if local {
            return self.keep(id, false).await;
        }
        self.end(id).await;
        self.drop_task(id).await
    }

    /// Stops it without further ado, and returns when it has ended.
    async fn end(&self, id: &str) {
        let _ = self.stop(id, None).await; // it may have ended already
        let over = self.book().tasks.get(id).and_then(|entry| entry.supervisor.as_ref().map(|(_, over)| over.clone()));
        if let Some(over) = over {
            let _ = over.recv().await; // closed
        }
    }

    /// One that has ended, and has not been started again meanwhile.
    async fn drop_task(&self, id: &str) -> Result<(), TaskError> {
        {
            let mut book = self.book();
            if let Some(entry) = book.tasks.get(id).filter(|entry| !entry.record.state().ended()) {
                return Err(illegal(&entry.record, "removed"));
            }
            book.remove(id);
        }
        self.logs.forget(&logs::name(id));
        self.keep(id, true).await?;
        self.tell();
        Ok(())
    }

    /// Waits for its turn to start something, which lasts until what it returns is dropped.
    async fn turn(&self) -> Turn<'_> {
        let _ = self.starting.0.send(()).await; // both ends are here
        Turn(&self.starting.1)
    }

    /// Ends all supervisors and what they run; what is on disk says that it was running.
    pub async fn end_all(&self) {
        self.ending.0.close();
        let all: Vec<_> =
            self.book().tasks.values().filter_map(|e| e.supervisor.as_ref().map(|(_, over)| over.clone())).collect();
        for over in all {
            let _ = over.recv().await; // closed
        }
    }

    /// Makes the disk say what is known now, or nothing when it is gone.
    async fn keep(&self, id: &str, sure: bool) -> Result<(), TaskError> {
        let (shelf, book, writers, id) = (self.shelf.clone(), self.book.clone(), self.writers.clone(), id.to_string());
        let kept = rt::unblock(move || {
            let writer = BuildHasherDefault::<DefaultHasher>::default().hash_one(&id) as usize % WRITERS;
            let _writing = lock(&writers[writer]); // whoever is last writes what is newest
            let record = lock(&book).tasks.get(&id).map(|entry| entry.record.clone());
            match record {
                Some(record) => shelf.put(&record, sure),
                None => shelf.remove(&id),
            }
        });
        kept.await.map_err(|error| TaskError::Disk(format!("could not write to the data folder: {error}")))
    }

    /// Changes what is known of one.
    fn edit<T>(&self, id: &str, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.book().tasks.get_mut(id).map(|entry| change(&mut entry.record))
    }

    fn set_health(&self, id: &str, health: &'static str) {
        if let Some(entry) = self.book().tasks.get_mut(id) {
            entry.health = health;
        }
    }

    /// It has changed: tells the orchestrator and who watches.
    fn changed(&self, id: &str) {
        let mut book = self.book();
        book.version += 1;
        let version = book.version;
        if let Some(entry) = book.tasks.get_mut(id) {
            entry.version = version;
        }
        let first = book.unreported.is_empty();
        book.unreported.insert(id.to_string());
        drop(book);
        if first {
            let _ = self.notices.try_send(Notice::Tasks); // closed when the worker ends
        }
        self.tell();
    }

    fn tell(&self) {
        self.book().watchers.retain(|watcher| {
            let _ = watcher.try_send(()); // full: it will look anyway
            !watcher.is_closed()
        });
    }

    /// Removes the oldest ended ones of those submitted here, where there are too many.
    async fn trim(&self) {
        let oldest = {
            let book = self.book();
            let ended = book.tasks.values().filter(|e| e.record.is_local() && e.record.state().ended());
            let mut ended: Vec<(u64, &str)> = ended.map(|e| (e.record.ended_ms, e.record.task.id.as_str())).collect();
            if ended.len() <= HISTORY {
                return;
            }
            ended.sort_unstable();
            ended.truncate(ended.len() - HISTORY);
            ended.into_iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>()
        };
        for id in oldest {
            if let Err(error) = self.drop_task(&id).await {
                log::warn!("task {id}: {error:?}");
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }
}

/// One of those being started.
struct Turn<'a>(&'a Receiver<()>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_recv(); // its own entry, or one as good
    }
}

fn illegal(record: &Record, what: &str) -> TaskError {
    let (id, state) = (&record.task.id, record.state().word());
    TaskError::Illegal(format!("task {id} is {state}: it cannot be {what} now"))
}

/// Starts one's supervisor. One that was told to stop before it had one is stopped at once.
fn supervise(pool: &Arc<Pool>, entry: &mut Entry, resumed: bool) {
    let (stop, stopped) = rt::bounded(1);
    let (hold, over) = rt::bounded::<()>(1);
    let (pool, id) = (pool.clone(), entry.record.task.id.clone());
    rt::spawn(async move {
        run::supervise(&pool, &id, stopped, resumed).await;
        drop(hold);
        pool.tasks.trim().await;
    });
    if entry.record.state() == State::Stopping {
        stop.close();
    }
    entry.supervisor = Some((stop, over));
}

/// Where tasks' ports are listened on: where this worker itself listens, so that what is loopback's stays there.
pub fn listen_at(worker: IpAddr) -> IpAddr {
    match worker {
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::wire::proto;

    #[test]
    fn the_oldest_ended_ones_submitted_here_go_beyond_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Arc::new(LogBook::new(|| 0, &Limits::default()));
        let (notices, _told) = rt::unbounded();
        let tasks = Tasks::open(dir.path(), Ipv4Addr::LOCALHOST.into(), logs, notices).unwrap();
        let enter = |id: String, ended_ms: u64, state: State, request: &str| {
            let task = proto::Task { id: id.clone(), ..proto::Task::default() };
            let record =
                Record { ended_ms, state: state.into(), request: request.into(), ..Record::new(task, None, 0) };
            tasks.book().tasks.insert(id, Entry { record, health: "", version: 0, supervisor: None });
        };
        (0..HISTORY).for_each(|n| enter(format!("t-{n}"), 10 + n as u64, State::Completed, "{}"));
        enter("runs".into(), 0, State::Running, "{}");
        enter("its-orchestrators".into(), 0, State::Completed, "");
        rt::block_on(tasks.trim());
        assert_eq!(tasks.book().tasks.len(), HISTORY + 2, "as many as may be");
        enter("newest".into(), u64::MAX, State::Failed, "{}");
        enter("oldest".into(), 1, State::Stopped, "{}");
        rt::block_on(tasks.trim());
        let book = tasks.book();
        let gone = ["oldest", "t-0"].map(|id| !book.tasks.contains_key(id));
        let stay = ["t-1", "runs", "its-orchestrators", "newest"].map(|id| book.tasks.contains_key(id));
        assert_eq!((book.tasks.len(), gone, stay), (HISTORY + 2, [true; 2], [true; 4]));
    }
}
