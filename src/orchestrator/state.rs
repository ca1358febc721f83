//! The cluster behind its lock: the only lock of the orchestrator that more than a map entry waits for, and its guard
//! never leaves this file. Held for a lookup and a counter; bytes, disk and peers are waited for outside.

use super::changes::Changes;
use super::events::{EventLog, Told, describe};
use super::store::{Before, Kept, Owner, Store, StoreError, Subject, Write, Written};
use crate::clock;
use crate::cluster::{Assigned, Cluster, Command, Event, Failure, Function, InvocationKey, Lasting, Millis, Refusal};
use crate::rt::{self, Sender};
use futures_channel::oneshot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
        self.apply_by(command, None)
    }

    /// The same for somebody: the name of their token.
    pub fn apply_by(&self, command: Command, by: Option<&str>) -> Result<Applied, Refusal> {
        let mut inner = self.lock();
        if command.must_last()
            && let Some(error) = self.store.trouble()
        {
            return Ok(self.refused(error));
        }
        let before = command.changes_function().map(|name| before(&inner.cluster, name)).into_iter().collect();
        let events = inner.cluster.apply(clock::now_ms(), command)?;
        let writes = events.iter().filter_map(|event| to_write(&inner.cluster, event)).collect();
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
        Ok(self.follow_up(inner, events, vec![Write::Restore(Box::new(kept))], before, None))
    }

    fn refused(&self, error: StoreError) -> Applied {
        Applied { events: Vec::new(), written: Vec::new(), refused: Some(error), store: self.store.clone() }
    }

    /// `apply_by` for code that may block, such as REST handlers.
    pub fn apply_kept(&self, command: Command, by: Option<&str>) -> Result<Result<Vec<Event>, StoreError>, Refusal> {
        self.apply_by(command, by).map(|applied| rt::block_on(applied.kept()))
    }

    /// Takes a call in, or an attempt of an asynchronous one.
    pub fn invoke(&self, function: &str, attempt: bool) -> Result<(InvocationKey, Place), Refusal> {
        let mut inner = self.lock();
        let asked = Command::Invoke { function: function.into(), attempt };
        let events = inner.cluster.apply(clock::now_ms(), asked)?;
        let admitted = events.iter().find_map(|event| match event {
            Event::InvocationAssigned(assigned) => Some((assigned.invocation, Place::Assigned(assigned.clone()))),
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
            self.follow_up_unkept(inner, events);
            inner = self.lock();
        }
        inner.armed = inner.cluster.next_deadline();
        inner.armed
    }

    /// Looks at the cluster. `look` must be quick: calls wait for it.
    pub fn read<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.lock().cluster)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(inner: &mut Inner, invocation: InvocationKey) -> oneshot::Receiver<Placed> {
        let (tell, waiting) = oneshot::channel();
        inner.waiters.insert(invocation, tell);
        waiting
    }

    fn follow_up_unkept(&self, inner: MutexGuard<'_, Inner>, events: Vec<Event>) {
        drop(self.follow_up(inner, events, Vec::new(), Vec::new(), None));
    }

    /// What follows from facts: writes are queued and facts passed on in the order they happened, waiting calls woken.
    fn follow_up(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        events: Vec<Event>,
        writes: Vec<Write>,
        mut before: Vec<Before>,
        by: Option<&str>,
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
                Event::InvocationQueued { .. } => continue,
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
        };
        changed.iter().map(write).collect()
    }
}

fn before(cluster: &Cluster, name: &Arc<str>) -> Before {
    (name.clone(), cluster.function(name).map(Function::lasting).unwrap_or_default())
}

/// What of a fact must survive a restart.
fn to_write(cluster: &Cluster, event: &Event) -> Option<Write> {
    let node = |key| cluster.node(key).map(|n| Write::Node(n.spec.clone(), n.cordoned));
    match event {
        Event::FunctionPut { revision, .. }
        | Event::FunctionScaled { revision }
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
        _ => None,
    }
}
