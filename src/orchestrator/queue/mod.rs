//! Asynchronous calls: the backlog behind its own lock, so that synchronous calls never wait for it, and what follows
//! from its events: records written, attempts run, ends told. An end is shown only once it is on disk.

pub mod attempt;
pub mod bodies;
mod callback;
pub mod records;

use super::Orchestrator;
use super::changes::Changes;
use super::durable;
use super::store::{CallWrite, LaterWrite, Part, Store, StoreError, Write, Written};
use crate::body::Body;
use crate::clock;
use crate::cluster::Cluster;
use crate::cluster::backlog::{
    AttemptEnd, Backlog, Call, CallKey, CallStatus, Command, Event, Pool, Refusal, Room, Submission,
};
use crate::lock::lock;
use crate::rt::{self, Receiver, Scoped, Sender};
use bodies::{Bodies, Which};
use futures_lite::future;
use hyper::Response;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub use bodies::{BODY_BYTES, NotTaken, Taken};
pub use callback::check_url;
pub use records::{Headers, Request, json as records_json};

/// Attempts at once over all nodes: each may hold a small body.
const AT_ONCE: u32 = 1_000;

struct Behind {
    backlog: Backlog,
    /// Attempts under way; dropping one ends what runs of it.
    running: HashMap<CallKey, (u64, Scoped)>,
    /// Calls whose end is not on disk yet, with what is shown until then.
    unsaved: HashMap<CallKey, CallStatus>,
}

/// All asynchronous calls, shared.
pub struct Queue {
    inner: Mutex<Behind>,
    store: Arc<Store>,
    bodies: Bodies,
    wake: Sender<()>,
    /// Told when a call or its end has come to the disk, and when one is dropped.
    on_disk: Changes,
    /// How long an ended call is kept.
    pub retention_ms: u64,
}

/// What a start needs to go on.
pub struct Starting {
    woken: Receiver<()>,
    /// Changed by the restart itself, to be written.
    changed: Vec<Event>,
}

/// Why a call was not accepted.
#[derive(Debug)]
pub enum Rejected {
    Refused(Refusal),
    Body(NotTaken),
    Store(StoreError),
}

impl From<NotTaken> for Rejected {
    fn from(why: NotTaken) -> Self {
        Rejected::Body(why)
    }
}

/// How an attempt ended, and what it left.
pub struct Ended {
    pub end: AttemptEnd,
    pub outcome: Option<(records::Outcome, Option<Taken>)>,
}

impl Queue {
    /// Takes back what was kept. `Err` says which record cannot be read.
    pub fn open(
        dir: &Path,
        store: Arc<Store>,
        limits: crate::cluster::backlog::Limits,
        first_key: u64,
        kept: &[(String, Vec<u8>)],
    ) -> Result<(Self, Starting), String> {
        let retention_ms = limits.retention_ms;
        let mut backlog = Backlog::new(limits, first_key);
        let (mut changed, mut wanted) = (Vec::new(), BTreeMap::new());
        let now = clock::steady_unix_ms();
        for (id, record) in kept {
            let call = records::decode(id, record)?;
            wanted.insert(call.key, !call.status.is_final());
            changed.extend(backlog.restore(now, call));
        }
        let wanted = |id: &str, which| {
            let open = CallKey::parse(id).and_then(|key| wanted.get(&key));
            open.is_some_and(|open: &bool| *open == (which == Which::Request))
        };
        let bodies = Bodies::open(dir.join("calls"), wanted).map_err(|e| format!("the folder of calls: {e}"))?;
        let (wake, woken) = rt::bounded(1);
        let inner = Behind { backlog, running: HashMap::new(), unsaved: HashMap::new() };
        let inner = Mutex::new(inner);
        let queue = Queue { inner, store, bodies, wake, on_disk: Changes::default(), retention_ms };
        Ok((queue, Starting { woken, changed }))
    }

    /// Whether a call of this function would be taken now.
    pub fn admits(&self, function: &str) -> Result<(), Refusal> {
        self.lock().backlog.admits(function)
    }

    /// Where requests' bodies go.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Accepts a call: when this returns it is on disk. The same call when it was asked for before under its name.
    pub async fn submit(
        &self,
        mut asked: Submission,
        mut request: Request,
        mut body: Taken,
    ) -> Result<CallKey, Rejected> {
        request.body = body.stored().clone();
        let record = records::json(&request);
        asked.bytes = record.len() as u64 + if body.is_file() { request.body.len() } else { 0 };
        let (key, known) = {
            let mut inner = self.lock();
            let submit = Command::Submit(asked);
            let events = inner.backlog.apply(clock::steady_unix_ms(), submit).map_err(Rejected::Refused)?;
            let found = events.iter().find_map(|event| match event {
                Event::Accepted { call } => Some((*call, false)),
                Event::Known { call } => Some((*call, true)),
                _ => None,
            });
            self.forget_dropped(&events);
            found.ok_or(Rejected::Refused(Refusal::UnknownCall))?
        };
        if known {
            return self.known(key).await;
        }
        let kept = match self.bodies.keep(&mut body, key, Which::Request).await {
            Ok(()) => {
                let written = self.write(&self.lock(), key, Part::Put(record), Part::AsItIs);
                match written {
                    Some(written) => self.store.kept(written).await.map_err(Rejected::Store),
                    None => Err(Rejected::Refused(Refusal::UnknownCall)),
                }
            }
            Err(why) => Err(Rejected::Body(NotTaken::Disk(why))),
        };
        let command = match &kept {
            Ok(()) => Command::Kept { call: key },
            Err(_) => Command::Forget { call: key },
        };
        if self.lock().backlog.apply(clock::steady_unix_ms(), command).is_err() {
            log::debug!("call {key} ended while it was being kept");
        }
        let _ = self.wake.try_send(()); // full: it has been told already
        self.on_disk.tell();
        if kept.is_err() {
            self.erase(key); // it may be on disk all the same
        }
        kept.map(|()| key)
    }

    /// A call that was asked for before may not be on disk yet, and may not get there.
    async fn known(&self, key: CallKey) -> Result<CallKey, Rejected> {
        match durable::on_disk(&self.on_disk, || self.lock().backlog.is_kept(key)).await {
            true => Ok(key),
            false => Err(Rejected::Refused(Refusal::UnknownCall)),
        }
    }

    /// Cancels a call; when this returns that is on disk, or the disk fails and it is kept as soon as it works.
    pub async fn cancel(&self, app: &Arc<Orchestrator>, key: CallKey) -> Result<(), Refusal> {
        let saving = {
            let mut inner = self.lock();
            let events = inner.backlog.apply(clock::steady_unix_ms(), Command::Cancel { call: key })?;
            self.follow(app, &mut inner, events, None)
        };
        let _ = self.wake.try_send(());
        durable::all(saving).await;
        Ok(())
    }

    /// One call, as it may be shown.
    pub fn call(&self, key: CallKey) -> Option<Call> {
        let inner = self.lock();
        inner.backlog.call(key).map(|call| shown(&inner, call))
    }

    /// Calls that wait and that run now, then those that ended since the start, by status.
    pub fn count(&self) -> [(&'static str, u64); 5] {
        self.lock().backlog.count().map(|(status, count)| (status.word(), count))
    }

    /// Newest first, from before a key on, those that are wanted, at most so many.
    pub fn newest(&self, before: Option<CallKey>, most: usize, wanted: impl Fn(&Call) -> bool) -> Vec<Call> {
        let inner = self.lock();
        let unsaved = |call: &Call| inner.unsaved.contains_key(&call.key);
        let calls = inner.backlog.newest(before).filter(|call| unsaved(call) || wanted(call)); // most need no copy
        calls.map(|call| shown(&inner, call)).filter(|call| wanted(call)).take(most).collect()
    }

    /// Waits until a call's end is on disk, or it is no longer known.
    async fn ended(&self, key: CallKey) {
        durable::on_disk(&self.on_disk, || self.call(key).map(|call| call.status.is_final())).await;
    }

    /// What an ended call ended with; `None` when nothing was left.
    pub async fn result(&self, key: CallKey) -> Result<Option<Response<Body>>, String> {
        let record = self.store.result(&key.to_string()).await.map_err(|e| e.to_string())?;
        let Some(record) = record else { return Ok(None) };
        let outcome: records::Outcome = serde_json::from_slice(&record).map_err(|e| e.to_string())?;
        let body = self.bodies.give(&outcome.body, key, Which::Result).await?;
        durable::answer(outcome, body).map(Some)
    }

    /// Where its attempt goes. Kept with what is kept of it next.
    pub fn placed(&self, call: CallKey, node: Arc<str>) {
        let _ = self.lock().backlog.apply(clock::steady_unix_ms(), Command::Placed { call, node }); // or it is over
    }

    fn lock(&self) -> MutexGuard<'_, Behind> {
        lock(&self.inner)
    }

    /// Queues a call's record as it is now; with the lock held, so that a later state never comes before an earlier one.
    fn write(&self, inner: &Behind, key: CallKey, request: Part, result: Part) -> Option<Written> {
        let record = records::encode(inner.backlog.call(key)?);
        let write = LaterWrite::Call(CallWrite { id: key.to_string(), record, request, result });
        Some(self.store.write(Write::Later(write), Vec::new()))
    }

    /// An attempt is over.
    async fn attempted(&self, app: &Arc<Orchestrator>, key: CallKey, attempt: u64, ended: Ended) {
        let Ended { end, mut outcome } = ended;
        if let Some((_, Some(taken))) = &mut outcome
            && let Err(why) = self.bodies.keep(taken, key, Which::Result).await
        {
            // Its answer is lost, and it may have run: as if its node had been.
            return self.apply(
                app,
                Command::Attempted { call: key, attempt, end: AttemptEnd::Interrupted { why } },
                None,
            );
        }
        let record = outcome.as_ref().map(|(outcome, _)| records::json(outcome));
        self.apply(app, Command::Attempted { call: key, attempt, end }, record);
    }

    /// Something happened to a call; `result` is kept if that ended it.
    fn apply(&self, app: &Arc<Orchestrator>, command: Command, result: Option<Vec<u8>>) {
        let mut inner = self.lock();
        if let Command::Attempted { call, attempt, .. } = &command
            && inner.running.get(call).is_some_and(|(current, _)| current == attempt)
            && let Some((_, task)) = inner.running.remove(call)
        {
            task.detach(); // it is this very task that says so
        }
        let saving = match inner.backlog.apply(clock::steady_unix_ms(), command) {
            Ok(events) => self.follow(app, &mut inner, events, result),
            Err(refusal) => return log::debug!("an end came late: {refusal:?}"), // cancelled meanwhile
        };
        drop(inner);
        saving.into_iter().for_each(rt::spawn);
        let _ = self.wake.try_send(());
    }

    /// What follows from events. The answers resolve when what changed is on disk.
    fn follow(
        &self,
        app: &Arc<Orchestrator>,
        inner: &mut Behind,
        events: Vec<Event>,
        mut result: Option<Vec<u8>>,
    ) -> Vec<future::Boxed<()>> {
        let mut saving = Vec::new();
        self.forget_dropped(&events);
        for event in events {
            match event {
                Event::Accepted { .. } | Event::Known { .. } | Event::Dropped { .. } => {}
                Event::Starting { call, attempt } => {
                    let written = self.write(inner, call, Part::AsItIs, Part::AsItIs);
                    let task = rt::spawn_scoped(attempt::run(app.clone(), call, attempt, written));
                    inner.running.insert(call, (attempt, task));
                }
                Event::Stopping { call, .. } => drop(inner.running.remove(&call)),
                Event::Changed { call } => saving.push(self.save(app, inner, call, Part::AsItIs, Part::AsItIs)),
                Event::Ended { call } => {
                    let before = match inner.backlog.call(call).is_some_and(|c| c.started.is_some()) {
                        true => CallStatus::Running,
                        false => CallStatus::Queued,
                    };
                    inner.unsaved.insert(call, before);
                    let result = result.take().map_or(Part::AsItIs, Part::Put);
                    saving.push(self.save(app, inner, call, Part::Gone, result));
                }
                Event::CallBack { call } => rt::spawn(callback::run(app.clone(), call)),
            }
        }
        saving
    }

    fn forget_dropped(&self, events: &[Event]) {
        for event in events {
            if let Event::Dropped { call } = event {
                self.erase(*call);
                self.on_disk.tell();
            }
        }
    }

    /// Sees that nothing is kept of a call.
    fn erase(&self, call: CallKey) {
        self.bodies.remove(call, Which::Request);
        self.bodies.remove(call, Which::Result);
        durable::erase(&self.store, move || LaterWrite::CallGone(call.to_string()));
    }

    /// Writes a call's record until it is on disk.
    fn save(
        &self,
        app: &Arc<Orchestrator>,
        inner: &Behind,
        key: CallKey,
        request: Part,
        result: Part,
    ) -> future::Boxed<()> {
        let written = self.write(inner, key, request.clone(), result.clone());
        let app = app.clone();
        Box::pin(async move {
            let queue = &app.queue;
            let again = || queue.write(&queue.lock(), key, request.clone(), result.clone());
            durable::kept(&queue.store, "call", key, written, again).await;
            if matches!(request, Part::Gone) {
                queue.lock().unsaved.remove(&key);
                queue.on_disk.tell();
                queue.bodies.remove(key, Which::Request);
            }
        })
    }
}

/// An end is shown only once it is on disk.
fn shown(inner: &Behind, call: &Call) -> Call {
    match inner.unsaved.get(&call.key) {
        Some(before) => Call { status: *before, ended: None, ..call.clone() },
        None => call.clone(),
    }
}

/// Starts what is due, and does what else is, for as long as the program runs.
pub async fn run(app: Arc<Orchestrator>, starting: Starting) {
    let Starting { woken, changed } = starting;
    let saving = {
        let mut inner = app.queue.lock();
        app.queue.follow(&app, &mut inner, changed, None)
    };
    saving.into_iter().for_each(rt::spawn);
    loop {
        let changes = &app.state.changes; // of nodes and functions; of the queue itself `woken` tells
        let (since, now, next, waits) = {
            let mut inner = app.queue.lock();
            let since = changes.arm();
            let now = clock::steady_unix_ms();
            let mut events = inner.backlog.tick(now);
            let room = Rooms::of(&app);
            events.extend(inner.backlog.start_due(now, |function| room.of_function(function)));
            let saving = app.queue.follow(&app, &mut inner, events, None);
            saving.into_iter().for_each(rt::spawn);
            (since, now, inner.backlog.next_deadline(now), inner.backlog.waits_for_room(now))
        };
        if !durable::sleep(&woken, now, next, waits.then_some((changes, since))).await {
            return;
        }
    }
}

/// How much of the cluster asynchronous calls may take: half, so that there is always room for the others.
struct Rooms<'a> {
    app: &'a Orchestrator,
    /// Of jobs and of http calls, once somebody asks.
    pools: OnceCell<(u32, u32)>,
}

impl<'a> Rooms<'a> {
    fn of(app: &'a Orchestrator) -> Self {
        Rooms { app, pools: OnceCell::new() }
    }

    fn pools(&self) -> (u32, u32) {
        let slots = |c: &Cluster| {
            let there = c.nodes().filter(|n| n.status == crate::cluster::NodeStatus::Active && !n.cordoned);
            there.fold((0u32, 0u32), |(jobs, all), n| {
                (jobs.saturating_add(n.spec.job_slots), all.saturating_add(n.spec.slots))
            })
        };
        *self.pools.get_or_init(|| {
            let (jobs, all) = self.app.state.read(slots);
            (half(jobs), half(all))
        })
    }

    fn of_function(&self, function: &str) -> Room {
        let current = self.app.state.read(|c| c.function(function).map(|f| f.current().clone()));
        let (jobs, http) = self.pools();
        match current {
            Some(revision) if !revision.is_job() => {
                let at_once = half(revision.max.saturating_mul(revision.concurrency));
                Room { pool: Pool::Http, pool_at_once: http, at_once }
            }
            _ => Room { pool: Pool::Jobs, pool_at_once: jobs, at_once: jobs },
        }
    }
}

fn half(count: u32) -> u32 {
    (count / 2).clamp(1, AT_ONCE)
}
