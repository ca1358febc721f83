//! The cluster behind its lock: the only lock of the orchestrator that more than a map entry waits for, and its guard
//! never leaves this file. Held for a lookup and a counter; bytes, disk and peers are waited for outside.

use super::changes::Changes;
use super::events::{EventLog, Told, describe};
use super::store::{Before, Kept, Owner, Store, StoreError, Subject, Write, Written};
use crate::auth::Caller;
use crate::clock;
use crate::cluster::{
    Assigned, Cluster, Command, Constraints, Event, Failure, Function, InvocationKey, Lasting, Millis, NodeKey, Origin,
    Refusal, Revision,
};
use crate::lock::lock;
use crate::rt::{self, Sender};
use futures_channel::oneshot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Rows of a list that are looked at before others may have the lock: some 100 µs.
pub const PIECE: usize = 128;
/// Between two such pieces: a thread that takes the lock again at once has it before all that wait for it.
const GIVE_WAY: Duration = Duration::from_micros(50);

/// What a waiting call gets in the end.
pub type Placed = Result<Assigned, Failure>;

struct Inner {
    cluster: Cluster,
    waiters: HashMap<InvocationKey, oneshot::Sender<Placed>>,
    /// What the ticker sleeps to.
    armed: Option<Millis>,
}

/// The cluster, shared.
pub struct State {
    inner: Mutex<Inner>,
    store: Arc<Store>,
    events: Arc<EventLog>,
    /// Facts for the effects, in order. Unbounded, as a full one would have to block under the lock; what goes in is
    /// bounded by nodes, instances and writes, never by calls.
    outbox: Sender<Event>,
    earlier: Sender<()>,
    /// Told after every command.
    pub changes: Changes,
}

/// Where an accepted call is.
pub enum Place {
    Assigned(Assigned),
    /// Goes to the server that this revision names.
    Elsewhere(Arc<Revision>),
    Waiting(oneshot::Receiver<Placed>),
}

/// A command carried out; some of it may still be on its way to the disk.
pub struct Applied {
    pub events: Vec<Event>,
    written: Vec<Written>,
    /// It was not carried out, for it could not have been kept.
    refused: Option<StoreError>,
    store: Arc<Store>,
}

impl Applied {
    /// The session of a join.
    pub fn joined(&self) -> Option<(NodeKey, u64)> {
        self.events.iter().find_map(|event| match event {
            Event::NodeJoined { node, session, .. } => Some((*node, *session)),
            _ => None,
        })
    }

    /// Waits until what must last is on disk. `Err`: nothing has changed.
    pub async fn kept(self) -> Result<Vec<Event>, StoreError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        for written in self.written {
            self.store.kept(written).await?;
        }
        Ok(self.events)
    }
}

impl State {
    /// `outbox` gets every fact that is not about one call; `earlier` is told when the next deadline moved forward.
    pub fn new(
        cluster: Cluster,
        store: Arc<Store>,
        events: Arc<EventLog>,
        outbox: Sender<Event>,
        earlier: Sender<()>,
    ) -> Self {
        let inner = Mutex::new(Inner { cluster, waiters: HashMap::new(), armed: None });
        State { inner, store, events, outbox, earlier, changes: Changes::default() }
    }

    /// Carries a command out. A write is acknowledged only after `Applied::kept`.
    pub fn apply(&self, command: Command) -> Result<Applied, Refusal> {
        self.apply_by(command, &Caller::default())
    }

    /// The same for somebody.
    pub fn apply_by(&self, command: Command, by: &Caller) -> Result<Applied, Refusal> {
        let mut inner = self.lock();
        if command.must_last()
            && let Some(error) = self.store.trouble()
        {
            return Ok(self.refused(error));
        }
        let before = command.changes_function().map(|name| before(&inner.cluster, name)).into_iter().collect();
        let events = inner.cluster.apply(clock::now_ms(), command)?;
        let writes = to_write(&inner.cluster, &events);
        Ok(self.follow_up(inner, events, writes, before, by))
    }

    /// Makes the functions those of a backup, and adds its nodes and bundles: all of it or nothing.
    pub fn restore(&self, mut kept: Kept) -> Result<Applied, Refusal> {
        let mut inner = self.lock();
        if let Some(error) = self.store.trouble() {
            return Ok(self.refused(error));
        }
        let named = |kept: &Lasting| Some((kept.name()?.clone(), kept.clone()));
        let mut functions: BTreeMap<Arc<str>, Lasting> =
            inner.cluster.functions().map(|f| (f.name.clone(), Lasting::default())).collect();
        functions.extend(kept.functions.iter().filter_map(named));
        let before = functions.keys().map(|name| before(&inner.cluster, name)).collect();
        let functions = functions.into_iter().collect();
        let events = inner.cluster.apply(clock::now_ms(), Command::SetFunctions { functions })?;
        kept.nodes.retain(|(spec, _)| inner.cluster.find_node(&spec.id).is_none());
        kept.nodes.retain(|(spec, _)| inner.cluster.find_node(&spec.name).is_none());
        kept.nodes.iter().for_each(|(spec, cordoned)| inner.cluster.restore_node(spec.clone(), *cordoned));
        kept.functions = inner.cluster.functions().map(Function::lasting).collect(); // whose instances are whose is new
        Ok(self.follow_up(inner, events, vec![Write::Restore(Box::new(kept))], before, &Caller::default()))
    }

    fn refused(&self, error: StoreError) -> Applied {
        Applied { events: Vec::new(), written: Vec::new(), refused: Some(error), store: self.store.clone() }
    }

    /// `apply_by` for code that may block, such as REST handlers.
    pub fn apply_kept(&self, command: Command, by: &Caller) -> Result<Result<Vec<Event>, StoreError>, Refusal> {
        self.apply_by(command, by).map(|applied| rt::block_on(applied.kept()))
    }

    /// Takes a call in, or an attempt of one.
    pub fn invoke(
        &self,
        function: &str,
        origin: Origin,
        wants: Option<Arc<Constraints>>,
    ) -> Result<(InvocationKey, Place), Refusal> {
        let asked = Command::Invoke { function: function.into(), origin, wants };
        let mut inner = self.lock();
        let events = inner.cluster.apply(clock::now_ms(), asked)?;
        let admitted = events.iter().find_map(|event| match event {
            Event::InvocationAssigned(assigned) => Some((assigned.invocation, Place::Assigned(assigned.clone()))),
            Event::InvocationElsewhere { invocation, revision } => {
                Some((*invocation, Place::Elsewhere(revision.clone())))
            }
            Event::InvocationQueued { invocation } => {
                Some((*invocation, Place::Waiting(Self::wait(&mut inner, *invocation))))
            }
            _ => None,
        });
        self.follow_up_unkept(inner, events); // nothing about a call is kept on disk
        admitted.ok_or(Refusal::UnknownInvocation)
    }

    /// Says that a node would not start a call; `Err` when the call is over.
    pub fn refuse(&self, invocation: InvocationKey, why: String) -> Result<oneshot::Receiver<Placed>, Refusal> {
        let mut inner = self.lock();
        let waiting = Self::wait(&mut inner, invocation);
        match inner.cluster.apply(clock::now_ms(), Command::Refuse { invocation, why }) {
            Ok(events) => {
                self.follow_up_unkept(inner, events);
                Ok(waiting)
            }
            Err(refusal) => {
                inner.waiters.remove(&invocation);
                Err(refusal)
            }
        }
    }

    /// Says that a call is over; telling it twice is harmless.
    pub fn finish(&self, invocation: InvocationKey, success: bool, took: Duration) {
        let took_us = took.as_micros() as u64;
        let mut inner = self.lock();
        inner.waiters.remove(&invocation);
        if let Ok(events) = inner.cluster.apply(clock::now_ms(), Command::Finish { invocation, success, took_us }) {
            self.follow_up_unkept(inner, events);
        }
    }

    /// Does what is due; answers when to come again.
    pub fn tick(&self) -> Option<Millis> {
        let mut inner = self.lock();
        let now = clock::now_ms();
        if inner.cluster.next_deadline().is_some_and(|due| due <= now) {
            let events = inner.cluster.tick(now);
            let writes = to_write(&inner.cluster, &events);
            drop(self.follow_up(inner, events, writes, Vec::new(), &Caller::default()));
            inner = self.lock();
        }
        inner.armed = inner.cluster.next_deadline();
        inner.armed
    }

    /// Looks at the cluster. `look` must be quick: calls wait for it.
    pub fn read<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.lock().cluster)
    }

    /// Looks at a list, by its ids, a piece at a time, until a look answers nothing; it is told from where to go on, and
    /// answers that. What changes meanwhile is seen or is not. Blocks for longer than a lock is held.
    pub fn each_piece(&self, from: String, mut look: impl FnMut(&Cluster, &str) -> Option<String>) {
        let mut behind = from;
        while let Some(next) = self.read(|cluster| look(cluster, &behind)) {
            behind = next;
            thread::sleep(GIVE_WAY);
        }
    }

    /// Looks at all functions so, by name.
    pub fn each_function(&self, mut look: impl FnMut(&Function)) {
        self.each_piece(String::new(), |cluster, behind| {
            let piece = cluster.functions_behind(behind).take(PIECE).inspect(|f| look(f));
            let (count, last) = piece.fold((0, None), |(count, _), f| (count + 1, Some(&f.name)));
            last.filter(|_| count == PIECE).map(|name| name.to_string())
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn wait(inner: &mut Inner, invocation: InvocationKey) -> oneshot::Receiver<Placed> {
        let (tell, waiting) = oneshot::channel();
        inner.waiters.insert(invocation, tell);
        waiting
    }

    fn follow_up_unkept(&self, inner: MutexGuard<'_, Inner>, events: Vec<Event>) {
        drop(self.follow_up(inner, events, Vec::new(), Vec::new(), &Caller::default()));
    }

    /// What follows from facts: writes are queued and facts passed on in the order they happened, waiting calls woken.
    fn follow_up(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        events: Vec<Event>,
        writes: Vec<Write>,
        mut before: Vec<Before>,
        by: &Caller,
    ) -> Applied {
        // An event is told before the write it tells of is queued: where that is on disk, so is the event.
        let told = events.iter().filter_map(|event| describe(event, &inner.cluster)).map(|told| told.by(by));
        let told: Vec<Told> = told.collect();
        told.iter().for_each(|told| self.events.add(told));
        let mut written = Vec::new();
        for write in writes {
            written.push(self.store.write(write, std::mem::take(&mut before))); // of one command at most one is undone
        }
        let mut wakes = Vec::new();
        for event in &events {
            let (invocation, placed) = match event {
                Event::InvocationAssigned(assigned) => (assigned.invocation, Ok(assigned.clone())),
                Event::InvocationFailed { invocation, failure } => (*invocation, Err(failure.clone())),
                Event::InvocationQueued { .. } | Event::InvocationElsewhere { .. } => continue,
                lasting => {
                    let _ = self.outbox.try_send(lasting.clone()); // closed only when all ends
                    continue;
                }
            };
            wakes.extend(inner.waiters.remove(&invocation).map(|waiter| (waiter, placed)));
        }
        let due = inner.cluster.next_deadline();
        let earlier = due.is_some_and(|due| inner.armed.is_none_or(|armed| due < armed));
        if earlier {
            inner.armed = due;
        }
        drop(inner); // release before waking: the woken take the same lock
        told.iter().for_each(Told::log);
        self.changes.tell();
        if earlier {
            let _ = self.earlier.try_send(()); // full: it has been told already
        }
        for (waiter, placed) in wakes {
            let _ = waiter.send(placed); // a caller that left finishes its call itself
        }
        Applied { events, written, refused: None, store: self.store.clone() }
    }
}

impl Owner for State {
    fn undo(&self) {
        let mut inner = self.lock();
        let refused = self.store.refused();
        let functions = refused.before();
        match inner.cluster.apply(clock::now_ms(), Command::SetFunctions { functions }) {
            Ok(events) => self.follow_up_unkept(inner, events),
            Err(refusal) => log::error!("what was refused could not be undone: {refusal:?}"),
        }
        drop(refused); // not before it is undone: who hears of it may try again at once
    }

    fn as_they_are_now(&self, changed: &BTreeSet<Subject>) -> Vec<Write> {
        let inner = self.lock();
        let cluster = &inner.cluster;
        let write = |subject: &Subject| match subject {
            Subject::Function(name) => match cluster.function(name) {
                Some(f) => Write::Function(f.lasting()),
                None => Write::FunctionGone(name.clone()),
            },
            Subject::Node(id) => match cluster.nodes().find(|n| n.spec.id == *id) {
                Some(n) => Write::Node(n.spec.clone(), n.cordoned),
                None => Write::NodeGone(id.clone()),
            },
            Subject::Task(id) => match cluster.find_task(id).and_then(|t| cluster.lasting_task(t.key)) {
                Some(task) => Write::Task(Box::new(task)),
                None => Write::TaskGone(id.clone()),
            },
        };
        changed.iter().map(write).collect()
    }
}

fn before(cluster: &Cluster, name: &Arc<str>) -> Before {
    (name.clone(), cluster.function(name).map(Function::lasting).unwrap_or_default())
}

/// What of these facts must survive a restart; a task that changed more than once is written as it is now.
fn to_write(cluster: &Cluster, events: &[Event]) -> Vec<Write> {
    let mut tasks = BTreeSet::new();
    let writes = events.iter().filter_map(|event| write_of(cluster, event));
    writes.filter(|write| if let Write::Task(task) = write { tasks.insert(task.id.clone()) } else { true }).collect()
}

fn write_of(cluster: &Cluster, event: &Event) -> Option<Write> {
    let node = |key| cluster.node(key).map(|n| Write::Node(n.spec.clone(), n.cordoned));
    match event {
        Event::FunctionPut { revision, .. }
        | Event::FunctionScaled { revision }
        | Event::FunctionStopped { revision, .. }
        | Event::RevisionServing { revision, .. }
        | Event::RevisionFailed { revision, .. }
        | Event::ModeResolved { revision } => {
            cluster.function(&revision.function).map(|f| Write::Function(f.lasting()))
        }
        Event::FunctionDeleted { name } => Some(Write::FunctionGone(name.clone())),
        Event::NodeJoined { node: key, .. }
        | Event::NodeCordoned { node: key }
        | Event::NodeUncordoned { node: key }
        | Event::NodeDraining { node: key } => node(*key),
        Event::NodeRemoved { id, .. } => Some(Write::NodeGone(id.clone())),
        Event::TaskSubmitted { task, .. }
        | Event::TaskChanged { task, .. }
        | Event::TaskNoted { task }
        | Event::TaskPlace { task, .. } => cluster.lasting_task(*task).map(|task| Write::Task(Box::new(task))),
        Event::TaskGone { id, local: false, .. } => Some(Write::TaskGone(id.clone())),
        Event::NodeRevoked { node } => cluster.node(*node).map(|n| Write::Revoked(n.spec.id.clone(), clock::unix_ms())),
        _ => None,
    }
}
