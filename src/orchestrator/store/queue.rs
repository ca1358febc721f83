//! What waits to be written, and what was refused: shared by the store's handle and its thread. Its lock is held for a
//! push or a take, and taken last.

use super::schema::Unfit;
use super::{Before, EVENTS_KEPT, Owner, Snapshot, StoreError, Subject, Write};
use crate::cluster::Histogram;
use crate::lock::lock;
use crate::types::Event;
use futures_channel::oneshot;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

/// A write on its way.
pub struct Queued {
    pub write: Write,
    pub before: Vec<Before>,
    pub done: oneshot::Sender<Result<(), StoreError>>,
}

impl Queued {
    pub fn tell(self, result: Result<(), StoreError>) {
        let _ = self.done.send(result); // a caller that left does not mind
    }
}

/// What the thread is asked for.
#[allow(clippy::large_enum_variant)] // nearly all are writes
pub enum Job {
    Write(Queued),
    Snapshot(oneshot::Sender<Result<Snapshot, StoreError>>),
    /// There are events to be written some time soon.
    Events,
}

/// What the handle and the thread share.
pub struct Shared {
    path: PathBuf,
    queue: Mutex<Queue>,
    meter: Mutex<Meter>,
    owner: OnceLock<Weak<dyn Owner>>,
}

/// What was written so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// Commits that are on disk, fsync included.
    pub commits: Histogram,
    /// Writes in them.
    pub writes: u64,
    /// Commits that failed.
    pub failures: u64,
}

struct Queue {
    /// `None`: closed.
    jobs: Option<Sender<Job>>,
    /// Why nothing can be written now.
    trouble: Option<StoreError>,
    /// Not undone yet, in order.
    refused: Vec<Queued>,
    /// What differs, or may differ, between memory and disk.
    changed: BTreeSet<Subject>,
    /// Events that go with the next commit, whatever it is of.
    events: Vec<Arc<Event>>,
}

impl Queue {
    fn refuse(&mut self, queued: Queued, error: &StoreError) {
        self.changed.extend(subjects(&queued));
        match queued.before.is_empty() {
            true => queued.tell(Err(error.clone())), // it stands in memory, and is written later
            false => self.refused.push(queued),
        }
    }
}

/// After a failed write it may be on disk or not: either way these are written again.
fn subjects(queued: &Queued) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = queued.before.iter().map(|(name, _)| Subject::Function(name.clone())).collect();
    match &queued.write {
        Write::Function(kept) => subjects.extend(kept.name().cloned().map(Subject::Function)),
        Write::FunctionGone(name) => subjects.push(Subject::Function(name.clone())),
        Write::Node(spec, _) => subjects.push(Subject::Node(spec.id.clone())),
        Write::NodeGone(id) => subjects.push(Subject::Node(id.clone())),
        Write::Bundle(..) | Write::BundleGone(_) => {} // a record more than needed does no harm
        Write::Later(_) => {}                          // its owner hears of it, and tries again
        Write::Build(..) | Write::BuildGone(_) => {}   // one whose end is not kept has failed at the next start
        Write::Task(task) => subjects.push(Subject::Task(task.id.clone())),
        Write::TaskGone(id) => subjects.push(Subject::Task(id.clone())),
        Write::Nothing => {}
        Write::Token(..) | Write::TokenGone(_) => {} // in memory only once they are on disk
        Write::Identity(..) | Write::IdentityGone(_) | Write::Revoked(..) => {} // refused, it counts until the end
        Write::Secret(..) | Write::SecretGone(_) | Write::Secrets(_) => {} // so are these
        Write::Restore(kept) => subjects.extend(kept.nodes.iter().map(|(spec, _)| Subject::Node(spec.id.clone()))),
    }
    subjects
}

impl Shared {
    pub fn new(path: PathBuf, jobs: Sender<Job>) -> Self {
        let queue = Queue {
            jobs: Some(jobs),
            trouble: None,
            refused: Vec::new(),
            changed: BTreeSet::new(),
            events: Vec::new(),
        };
        Shared { path, queue: Mutex::new(queue), meter: Mutex::default(), owner: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// What was written so far.
    pub fn meter(&self) -> MutexGuard<'_, Meter> {
        lock(&self.meter)
    }

    pub fn belongs_to(&self, owner: Weak<dyn Owner>) {
        let _ = self.owner.set(owner); // the first stays
    }

    pub fn error(&self, unfit: &Unfit) -> StoreError {
        StoreError { path: self.path.clone(), why: unfit.to_string() }
    }

    pub fn trouble(&self) -> Option<StoreError> {
        self.lock().trouble.clone()
    }

    pub fn trouble_or_closed(&self) -> StoreError {
        self.trouble().unwrap_or_else(|| StoreError { path: self.path.clone(), why: "is closed".into() })
    }

    /// Queues a write, or refuses it.
    pub fn push(&self, queued: Queued) {
        let mut queue = self.lock();
        match queue.trouble.clone() {
            Some(error) => queue.refuse(queued, &error),
            None => queue.send(Job::Write(queued)),
        }
    }

    /// Queues anything.
    pub fn ask(&self, job: Job) {
        self.lock().send(job);
    }

    /// Has an event written: with the next write, or soon without one.
    pub fn note(&self, event: Arc<Event>) {
        let mut queue = self.lock();
        if queue.events.is_empty() {
            queue.send(Job::Events);
        }
        queue.events.push(event);
        queue.bound_events();
    }

    pub fn take_events(&self) -> Vec<Arc<Event>> {
        std::mem::take(&mut self.lock().events)
    }

    /// They were not written.
    pub fn give_events_back(&self, mut events: Vec<Arc<Event>>) {
        let mut queue = self.lock();
        events.append(&mut queue.events);
        queue.events = events;
        queue.bound_events();
    }

    /// Takes no more.
    pub fn close(&self) {
        self.lock().jobs = None;
    }

    /// Every write is refused from now on, and these are.
    pub fn refuse_from_now_on(&self, error: StoreError, group: Vec<Queued>) {
        let mut queue = self.lock();
        group.into_iter().for_each(|queued| queue.refuse(queued, &error));
        queue.trouble = Some(error);
    }

    /// Not to be called with the lock of what `Owner` guards held: it is taken.
    pub fn have_refused_undone(self: &Arc<Self>) {
        if self.lock().refused.is_empty() {
            return;
        }
        match self.owner.get().and_then(Weak::upgrade) {
            Some(owner) => owner.undo(),
            None => drop(self.refused()),
        }
    }

    pub fn refused(self: &Arc<Self>) -> Refused {
        Refused { writes: std::mem::take(&mut self.lock().refused), shared: self.clone() }
    }

    pub fn take_changed(&self) -> BTreeSet<Subject> {
        std::mem::take(&mut self.lock().changed)
    }

    pub fn give_changed_back(&self, changed: BTreeSet<Subject>) {
        self.lock().changed.extend(changed);
    }

    pub fn as_they_are_now(&self, changed: &BTreeSet<Subject>) -> Vec<Write> {
        self.owner.get().and_then(Weak::upgrade).map(|owner| owner.as_they_are_now(changed)).unwrap_or_default()
    }

    /// Takes writes again, unless something changed since it was written.
    pub fn accept_if_all_is_kept(&self) -> bool {
        let mut queue = self.lock();
        let all = queue.changed.is_empty();
        if all {
            queue.trouble = None;
        }
        all
    }
}

impl Queue {
    /// While a disk fails, no more are held than would be kept.
    fn bound_events(&mut self) {
        let beyond = self.events.len().saturating_sub(2 * EVENTS_KEPT);
        if beyond > 0 {
            self.events.drain(..beyond + EVENTS_KEPT);
        }
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job); // not taken: it is dropped, and who waits for it is told
        }
    }
}

/// Writes that were refused; told so when this is dropped, after what they tell of was undone.
pub struct Refused {
    writes: Vec<Queued>,
    shared: Arc<Shared>,
}

impl Refused {
    /// How each function was before the first of them.
    pub fn before(&self) -> Vec<Before> {
        let mut seen = BTreeSet::new();
        let all = self.writes.iter().flat_map(|queued| &queued.before);
        all.filter(|(name, _)| seen.insert(name.clone())).cloned().collect()
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let error = self.shared.trouble_or_closed();
        self.writes.drain(..).for_each(|queued| queued.tell(Err(error.clone())));
    }
}
