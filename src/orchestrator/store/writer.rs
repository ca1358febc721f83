//! The store's own thread: commits what is queued in groups, one fsync for many. When the disk fails it takes nothing
//! more, has undone what was refused, and tries until it works again. Must never acknowledge what is not on disk.

use super::medium::{self, Medium, Opened};
use super::queue::{Job, Queued, Shared};
use super::schema::{self, Unfit};
use super::{Snapshot, StoreError, Write, records};
use crate::clock;
use crate::types::Event;
use redb::{Database, ReadableDatabase};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Writes in one commit at most: bounds how long the first of them waits.
const GROUP: usize = 1_000;
/// Between two looks whether a failed disk works again.
const AGAIN: Duration = Duration::from_millis(500);

/// An event that no write comes after is on disk within this.
const EVENTS_WITHIN: Duration = Duration::from_millis(500);

/// What the thread owns.
pub struct Writer {
    pub shared: Arc<Shared>,
    pub jobs: Receiver<Job>,
    pub medium: Box<dyn Medium>,
    /// `None` while the disk fails.
    database: Option<Database>,
    sync_failed: Arc<AtomicBool>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, jobs: Receiver<Job>, medium: Box<dyn Medium>, opened: Opened) -> Self {
        Writer { shared, jobs, medium, database: Some(opened.database), sync_failed: opened.sync_failed }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        let mut held = None; // taken while a group was gathered, and not a write
        let mut events_due: Option<Instant> = None;
        loop {
            let job = match (held.take(), &self.database, events_due) {
                (Some(job), ..) => Ok(job),
                (None, None, _) => self.jobs.recv_timeout(AGAIN),
                (None, Some(_), Some(due)) => self.jobs.recv_timeout(due.saturating_duration_since(clock::now())),
                (None, Some(_), None) => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Events) => events_due = Some(clock::now() + EVENTS_WITHIN),
                Ok(Job::Snapshot(tell)) => drop(tell.send(self.snapshot())), // nobody waits for it any more
                Ok(Job::Write(first)) => {
                    let mut group = vec![first];
                    while group.len() < GROUP {
                        match self.jobs.try_recv() {
                            Ok(Job::Write(next)) => group.push(next),
                            Ok(other) => {
                                held = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.write(group);
                    events_due = None; // they went along
                }
                Err(RecvTimeoutError::Timeout) if self.database.is_none() => self.recover(),
                Err(RecvTimeoutError::Timeout) => {
                    self.write(Vec::new());
                    events_due = None;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.database {
            Some(_) => self.write(Vec::new()), // events
            None => self.recover(),            // a last try to keep what changed meanwhile
        }
    }

    fn write(&mut self, group: Vec<Queued>) {
        let Some(database) = &self.database else {
            return self.refuse(self.shared.trouble_or_closed(), group); // queued before it was known that the disk fails
        };
        let events = self.shared.take_events(); // told before the writes they tell of were queued
        if group.is_empty() && events.is_empty() {
            return;
        }
        let writes = group.iter().map(|queued| &queued.write);
        match counted(&self.shared, group.len(), || commit(database, writes, &events, false)) {
            Ok(()) => group.into_iter().for_each(|queued| queued.tell(Ok(()))),
            Err(why) => {
                self.shared.give_events_back(events);
                self.database = None; // redb takes nothing more after a failure: it is opened again
                let error = self.shared.error(&why);
                log::error!("{error}. Changes are refused until it can be written again");
                self.refuse(error, group);
            }
        }
    }

    /// From here on every write is refused, beginning with these.
    fn refuse(&self, error: StoreError, group: Vec<Queued>) {
        self.shared.refuse_from_now_on(error, group);
        self.shared.have_refused_undone();
    }

    fn recover(&mut self) {
        self.shared.have_refused_undone(); // what came in between
        let renew = self.sync_failed.load(Ordering::Acquire);
        match medium::reopen(&*self.medium, renew) {
            Ok((database, sync_failed)) => (self.database, self.sync_failed) = (Some(database), sync_failed),
            Err(why) => {
                log::debug!("{}", self.shared.error(&why));
                return;
            }
        }
        loop {
            let changed = self.shared.take_changed();
            let writes = self.shared.as_they_are_now(&changed);
            let events = self.shared.take_events();
            let Some(database) = &self.database else { return };
            if let Err(why) = counted(&self.shared, writes.len(), || commit(database, writes.iter(), &events, true)) {
                self.shared.give_events_back(events);
                log::debug!("{}", self.shared.error(&why));
                self.shared.give_changed_back(changed);
                self.database = None;
                return;
            }
            if self.shared.accept_if_all_is_kept() {
                log::info!("The store can be written again");
                return;
            }
        }
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let Some(database) = &self.database else { return Err(self.shared.trouble_or_closed()) };
        let transaction = database.begin_read().map_err(|e| self.shared.error(&Unfit::from(e)))?;
        Ok(Snapshot { transaction, shared: self.shared.clone() })
    }
}

/// Notes how long a commit took, or that it failed.
fn counted(shared: &Shared, writes: usize, commit: impl FnOnce() -> Result<(), Unfit>) -> Result<(), Unfit> {
    let begun = clock::now();
    let result = commit();
    let mut meter = shared.meter();
    match &result {
        Ok(()) => {
            meter.commits.add(begun.elapsed().as_micros() as u64);
            meter.writes += writes as u64;
        }
        Err(_) => meter.failures += 1,
    }
    result
}

/// `even_if_nothing`: whether the disk takes it is to be found out.
fn commit<'a>(
    database: &Database,
    writes: impl Iterator<Item = &'a Write>,
    events: &[Arc<Event>],
    even_if_nothing: bool,
) -> Result<(), Unfit> {
    let transaction = schema::begin(database)?;
    if even_if_nothing {
        schema::touch(&transaction)?;
    }
    for write in writes {
        records::put(&transaction, write)?;
    }
    records::add_events(&transaction, events)?;
    transaction.commit()?;
    Ok(())
}
