//! Pipelines: the core's machine behind its own lock, and what follows from its events: records written, modules run. An
//! attempt begins, and an end is shown, only once that is on disk.

mod attempt;
mod plan;
mod records;
pub mod results;
mod story;
mod submit;
mod view;

use super::Orchestrator;
use super::changes::Changes;
use super::durable;
use super::queue::attempt::failed;
use super::queue::bodies::{Bodies, Which};
use super::queue::{Ended, records as outcomes};
use super::store::{Later, LaterWrite, Part, PipelineWrite, Store, Write, Written};
use crate::auth::Caller;
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::AttemptEnd;
use crate::cluster::pipeline::{
    self, Command, Event, Limits, ModuleState, PipelineKey, PipelineStatus, Pipelines as Core, Refusal,
};
use crate::lock::lock;
use crate::rt::{self, Receiver, Scoped, Sender};
use futures_channel::oneshot;
use futures_lite::future;
use hyper::Response;
use plan::Plan;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub use attempt::source;
pub use submit::{NotTaken, Who};

struct Behind {
    core: Core,
    plans: HashMap<PipelineKey, Arc<Plan>>,
    /// Attempts under way; dropping one ends what runs of it.
    running: HashMap<(PipelineKey, usize), (u64, Scoped)>,
    /// Modules whose end is not on disk yet, and pipelines.
    unsaved: BTreeSet<(PipelineKey, Option<usize>)>,
}

/// All pipelines, shared.
pub struct Pipelines {
    inner: Mutex<Behind>,
    store: Arc<Store>,
    bodies: Bodies,
    wake: Sender<()>,
    /// For who watches.
    pub changes: Changes,
}

/// What a start needs to go on.
pub struct Starting {
    woken: Receiver<()>,
    /// Changed by the restart itself, to be written.
    changed: Vec<Event>,
}

/// What is to be written of one pipeline, and who waits for that.
#[derive(Default)]
struct Batch {
    record: bool,
    modules: BTreeMap<usize, Part>,
    go: Vec<oneshot::Sender<()>>,
}

impl Pipelines {
    /// Takes back what was kept. `Err` says which record cannot be read.
    pub fn open(
        dir: &Path,
        store: Arc<Store>,
        limits: Limits,
        first_key: u64,
        kept: &Later,
    ) -> Result<(Self, Starting), String> {
        let (mut core, mut plans, mut changed) = (Core::new(limits, first_key), HashMap::new(), Vec::new());
        let mut modules: HashMap<&str, Vec<(usize, &[u8])>> = HashMap::new();
        for (key, record) in &kept.modules {
            let parts = key.split_once('/').and_then(|(id, index)| Some((id, index.parse().ok()?)));
            let (id, index) = parts.ok_or_else(|| format!("the record of the module '{key}' has no valid key"))?;
            modules.entry(id).or_default().push((index, record));
        }
        let mut wanted = BTreeSet::new();
        let now = clock::steady_unix_ms();
        for (id, record) in &kept.pipelines {
            let of = modules.remove(id.as_str()).unwrap_or_default();
            let (pipeline, plan) = records::decode(id, record, of.into_iter())?;
            let ended = |index: &usize| pipeline.modules[*index].state.is_final();
            wanted.extend((0..pipeline.modules.len()).filter(ended).map(|index| file(pipeline.key, index)));
            plans.insert(pipeline.key, Arc::new(plan));
            changed.extend(core.restore(now, pipeline));
        }
        let wanted = |id: &str, which| which == Which::Result && wanted.contains(id);
        let bodies =
            Bodies::open(dir.join("pipelines"), wanted).map_err(|e| format!("the folder of pipelines: {e}"))?;
        let (wake, woken) = rt::bounded(1);
        let inner = Behind { core, plans, running: HashMap::new(), unsaved: BTreeSet::new() };
        let all = Pipelines { inner: Mutex::new(inner), store, bodies, wake, changes: Changes::default() };
        Ok((all, Starting { woken, changed }))
    }

    /// Cancels a pipeline; when this returns that is on disk, or the disk fails and it is kept as soon as it works.
    pub async fn cancel(&self, app: &Arc<Orchestrator>, key: PipelineKey, by: &Caller) -> Result<(), Refusal> {
        let saving = {
            let mut inner = self.lock();
            let events = inner.core.apply(clock::steady_unix_ms(), Command::Cancel { pipeline: key })?;
            self.follow(app, &mut inner, events, None)
        };
        self.told();
        self.tell(app, key, "pipeline.cancelled", "is cancelled", by);
        durable::all(saving).await;
        Ok(())
    }

    /// Runs again what did not succeed, and what depends on it.
    pub async fn retry(&self, app: &Arc<Orchestrator>, key: PipelineKey, by: &Caller) -> Result<(), Refusal> {
        let (saving, functions) = {
            let mut inner = self.lock();
            let events = inner.core.apply(clock::steady_unix_ms(), Command::Retry { pipeline: key })?;
            // Before anybody can start a module; those of its last run may just be going.
            let functions = inner.plans.get(&key).map(|plan| submit::put_functions(app, key, plan));
            (self.follow(app, &mut inner, events, None), functions.unwrap_or_default())
        };
        self.tell(app, key, "pipeline.retried", "runs again", by);
        self.told();
        submit::kept(key, functions).await;
        durable::all(saving).await;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Behind> {
        lock(&self.inner)
    }

    /// Something changed: whoever starts modules and whoever watches looks again.
    fn told(&self) {
        let _ = self.wake.try_send(()); // full: it has been told already
        self.changes.tell();
    }

    /// Something happened to a module; `result` is kept if that ended it.
    fn apply(&self, app: &Arc<Orchestrator>, command: Command, result: Option<(usize, Vec<u8>)>) {
        let mut inner = self.lock();
        if let Command::Attempted { pipeline, module, attempt, .. } = &command
            && inner.running.get(&(*pipeline, *module)).is_some_and(|(current, _)| current == attempt)
            && let Some((_, task)) = inner.running.remove(&(*pipeline, *module))
        {
            task.detach(); // it is this very task that says so
        }
        let saving = match inner.core.apply(clock::steady_unix_ms(), command) {
            Ok(events) => self.follow(app, &mut inner, events, result),
            Err(refusal) => return log::debug!("a module's end came late: {refusal:?}"), // cancelled meanwhile
        };
        drop(inner);
        saving.into_iter().for_each(rt::spawn);
        self.told();
    }

    /// An attempt is over.
    async fn attempted(
        &self,
        app: &Arc<Orchestrator>,
        (key, module): (PipelineKey, usize),
        attempt: u64,
        ended: Ended,
    ) {
        let Ended { mut end, mut outcome } = ended;
        if let Some((_, Some(taken))) = &mut outcome
            && let Err(why) = self.bodies.keep(taken, file(key, module), Which::Result).await
        {
            (end, outcome) = (AttemptEnd::Interrupted { why }, None); // its answer is lost, and it may have run
        }
        let result = outcome.as_ref().map(|(outcome, _)| (module, outcomes::json(outcome)));
        self.apply(app, Command::Attempted { pipeline: key, module, attempt, end }, result);
    }

    /// What follows from events. The answers resolve when what changed is on disk.
    fn follow(
        &self,
        app: &Arc<Orchestrator>,
        inner: &mut Behind,
        events: Vec<Event>,
        mut result: Option<(usize, Vec<u8>)>,
    ) -> Vec<future::Boxed<()>> {
        let mut batches: BTreeMap<PipelineKey, Batch> = BTreeMap::new();
        let mut dropped = false;
        for event in events {
            match event {
                Event::Accepted { .. } | Event::Known { .. } => {}
                Event::Starting { pipeline, module, attempt } => {
                    let (go, start) = oneshot::channel();
                    let batch = batches.entry(pipeline).or_default();
                    batch.modules.entry(module).or_insert(Part::AsItIs);
                    batch.go.push(go);
                    let task = rt::spawn_scoped(attempt::run(app.clone(), pipeline, module, attempt, start));
                    inner.running.insert((pipeline, module), (attempt, task));
                }
                Event::Stopping { pipeline, module, .. } => drop(inner.running.remove(&(pipeline, module))),
                Event::Module { pipeline, module } => {
                    let state = inner.core.pipeline(pipeline).map(|p| p.modules[module].state);
                    let own = result.take_if(|(of, _)| *of == module).map(|(_, record)| record);
                    let part = match (state.is_some_and(ModuleState::is_final), own) {
                        (true, Some(record)) => Part::Put(record),
                        (true, None) => Part::AsItIs,
                        (false, _) => Part::Gone, // what an earlier run left
                    };
                    if state.is_some_and(ModuleState::is_final) {
                        inner.unsaved.insert((pipeline, Some(module)));
                    }
                    batches.entry(pipeline).or_default().modules.insert(module, part);
                }
                Event::Pipeline { pipeline } => {
                    let ended = inner.core.pipeline(pipeline).is_some_and(|p| p.status.is_final());
                    if ended {
                        inner.unsaved.insert((pipeline, None));
                    }
                    batches.entry(pipeline).or_default().record = true;
                }
                Event::Dropped { pipeline, modules } => {
                    batches.remove(&pipeline);
                    inner.unsaved.retain(|(key, _)| *key != pipeline);
                    let plan = inner.plans.remove(&pipeline);
                    submit::remove_functions(app, pipeline, plan.as_deref());
                    self.erase(pipeline, modules);
                    dropped = true;
                }
            }
        }
        if dropped {
            self.changes.tell();
        }
        batches.into_iter().map(|(key, batch)| self.save(app, inner, key, batch)).collect()
    }

    /// Queues a pipeline's records as they are now; with the lock held, so that a later state never comes before an earlier
    /// one.
    fn write(&self, inner: &Behind, key: PipelineKey, batch: &Batch) -> Option<Written> {
        let (pipeline, plan) = (inner.core.pipeline(key)?, inner.plans.get(&key)?);
        let module =
            |(index, part): (&usize, &Part)| (*index, records::encode_module(&pipeline.modules[*index]), part.clone());
        let write = PipelineWrite {
            id: key.to_string(),
            record: batch.record.then(|| records::encode(pipeline, plan)),
            modules: batch.modules.iter().map(module).collect(),
        };
        Some(self.store.write(Write::Later(LaterWrite::Pipeline(write)), Vec::new()))
    }

    /// Writes until it is on disk; then what waits for that goes on.
    fn save(&self, app: &Arc<Orchestrator>, inner: &Behind, key: PipelineKey, batch: Batch) -> future::Boxed<()> {
        let written = self.write(inner, key, &batch);
        let app = app.clone();
        Box::pin(async move {
            let all = &app.pipelines;
            let again = || all.write(&all.lock(), key, &batch);
            durable::kept(&all.store, "pipeline", key, written, again).await;
            let over = {
                let mut inner = all.lock();
                for index in batch.modules.keys() {
                    inner.unsaved.remove(&(key, Some(*index)));
                }
                batch.record && inner.unsaved.remove(&(key, None))
            };
            for go in batch.go {
                let _ = go.send(()); // one that was stopped does not wait
            }
            if over {
                all.tell_end(&app, key);
                all.tidy(&app, key);
            }
            all.changes.tell();
        })
    }

    /// Functions that were there for a pipeline go with its end.
    fn tidy(&self, app: &Arc<Orchestrator>, key: PipelineKey) {
        let inner = self.lock();
        if inner.core.pipeline(key).is_some_and(|pipeline| pipeline.status.is_final()) {
            submit::remove_functions(app, key, inner.plans.get(&key).map(|plan| &**plan));
        }
    }

    /// Sees that nothing is kept of a pipeline.
    fn erase(&self, key: PipelineKey, modules: usize) {
        (0..modules).for_each(|index| self.bodies.remove(file(key, index), Which::Result));
        durable::erase(&self.store, move || LaterWrite::PipelineGone(key.to_string(), modules));
    }

    /// What an ended module ended with; `None` when nothing was left.
    pub async fn result(&self, key: PipelineKey, module: usize) -> Result<Option<Response<Body>>, String> {
        let record = self.store.module_result(&key.to_string(), module).await.map_err(|e| e.to_string())?;
        let Some(record) = record else { return Ok(None) };
        let outcome: outcomes::Outcome = serde_json::from_slice(&record).map_err(|e| e.to_string())?;
        let body = self.bodies.give(&outcome.body, file(key, module), Which::Result).await?;
        durable::answer(outcome, body).map(Some)
    }

    /// How many attempts of a group may be under way: what the nodes can run, and no more. One that waited for a slot would
    /// have it before another with more behind it that becomes ready meanwhile.
    fn room(app: &Orchestrator, plans: &HashMap<PipelineKey, Arc<Plan>>, key: PipelineKey, group: u32) -> u32 {
        let Some(plan) = plans.get(&key) else { return 0 };
        let Some(module) = plan.groups.get(group as usize) else { return 0 };
        let function = plan.function(key, *module);
        app.state.read(|cluster| {
            let Some(function) = cluster.function(&function) else { return 1 };
            cluster.room(function, &plan.wants(*module, function.current().is_job()))
        })
    }
}

/// The name of a module's result on disk.
fn file(key: PipelineKey, module: usize) -> String {
    format!("{key}-{module}")
}

/// Starts what is due, and does what else is, for as long as the program runs.
pub async fn run(app: Arc<Orchestrator>, starting: Starting) {
    let Starting { woken, changed } = starting;
    let all = &app.pipelines;
    let (saving, open) = {
        let mut inner = all.lock();
        let running =
            |key: &PipelineKey| inner.core.pipeline(*key).is_some_and(|p| p.status == PipelineStatus::Running);
        let plans = inner.plans.iter().map(|(key, plan)| (*key, plan.clone()));
        let open: Vec<(PipelineKey, bool, Arc<Plan>)> = plans.map(|(key, plan)| (key, running(&key), plan)).collect();
        (all.follow(&app, &mut inner, changed, None), open)
    };
    saving.into_iter().for_each(rt::spawn);
    for (key, open, plan) in open {
        match open {
            true => submit::make_functions(&app, key, &plan).await, // a crash may have come between
            false => submit::remove_functions(&app, key, Some(&plan)),
        }
    }
    loop {
        let changes = &app.state.changes; // of nodes and functions; of the pipelines themselves `woken` tells
        let (since, now, next, waits) = {
            let mut inner = all.lock();
            let since = changes.arm();
            let now = clock::steady_unix_ms();
            let mut events = inner.core.tick(now);
            let Behind { core, plans, .. } = &mut *inner;
            events.extend(core.start_due(now, |key, group| Pipelines::room(&app, plans, key, group)));
            let saving = all.follow(&app, &mut inner, events, None);
            saving.into_iter().for_each(rt::spawn);
            (since, now, inner.core.next_deadline(now), inner.core.waits_for_room(now))
        };
        if !durable::sleep(&woken, now, next, waits.then_some((changes, since))).await {
            return;
        }
    }
}

/// A pipeline's limits of size and number, as the README names them.
pub fn limits() -> Limits {
    pipeline::Limits::default()
}

/// Ended for that reason.
fn ended(why: String) -> Ended {
    failed(why, false)
}
