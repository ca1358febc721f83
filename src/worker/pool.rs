//! What runs on this worker: instances by id, revisions it knows, and how many calls are under way. Does as it is told;
//! where something runs is decided elsewhere.

use super::build::Caches;
use super::bundle::{BundleCache, Unpacked};
use super::engine::{Adopted, EngineError, ImageFacts, Isolation, Kind, Launch, Needs, Running};
use super::engines::{self, Change, Engines};
use super::instance::Instance;
use super::jobs::Jobs;
use super::knock;
use super::logs::LogBook;
use super::runnable::Runnable;
use super::tasks::Tasks;
use super::upstream::Upstream;
use crate::config::WorkerConfig;
use crate::limits::Limit;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::types::Work;
use crate::wire::proto::{self, Revision};
use crate::{bundle, clock};
use futures_lite::future;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How long an instance may take to end by itself after SIGTERM; Cloud Run's figure.
pub const GRACE: Duration = Duration::from_secs(10);
/// Between two looks whether the last killed job is gone.
const KILLED_EVERY: Duration = Duration::from_millis(10);
/// Revisions remembered; a forgotten one is sent again.
const REVISIONS: usize = 10_000;
/// Tasks told of with what runs; all of them are listed elsewhere.
const WORK: usize = 1_000;

/// The pool.
pub struct Pool {
    pub engines: Arc<Engines>,
    bundles: BundleCache,
    /// Where builds work, each in a folder of its own.
    pub builds: PathBuf,
    /// What they leave for the next one.
    pub caches: Arc<Caches>,
    pub logs: Arc<LogBook>,
    pub jobs: Arc<Jobs>,
    pub tasks: Tasks,
    slots: u32,
    /// A job's output held back until its end tells whether it failed; beyond it the answer streams.
    pub output_bytes: usize,
    pub upstream: Arc<Upstream>,
    instances: Mutex<HashMap<String, Entry>>,
    revisions: Mutex<HashMap<(String, u64), Arc<Revision>>>,
    /// Revisions whose image was asked for at its registry because its name may mean another by now.
    refreshed: Arc<Mutex<HashSet<(String, u64, u64)>>>,
    in_flight: AtomicU32,
    /// Instances that were to be started, and those that did not come up or ended by themselves.
    pub starts: AtomicU64,
    pub crashes: AtomicU64,
    notices: Sender<Notice>,
    /// Each instance being ended holds a clone of the first; the second closes when the last is gone.
    ending: (Mutex<Option<Sender<()>>>, Receiver<()>),
    /// Those being ended, which may take their grace.
    leaving: Mutex<Vec<Weak<Instance>>>,
    /// Closed when all that runs is to be killed.
    killing: (Sender<()>, Receiver<()>),
}

/// What the orchestrator is to be told before the next beat is due.
pub enum Notice {
    /// It ended by itself, or was found running.
    Instance(proto::InstanceState),
    /// What this worker can run things with has changed.
    Engines,
    /// Tasks changed.
    Tasks,
}

enum Entry {
    /// Dropping it gives the start up.
    Starting(#[allow(dead_code)] Sender<()>, String),
    Warm(Arc<Instance>),
}

/// Holds a slot of this worker.
pub struct Slot(Arc<Pool>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pool {
    /// Cleans up what a worker of this node before this one left in `dir`. Blocks.
    pub fn new(
        dir: &Path,
        node: &str,
        config: &WorkerConfig,
        listen: IpAddr,
        notices: Sender<Notice>,
    ) -> Result<Self, String> {
        let logs = Arc::new(LogBook::new(clock::unix_ms, &config.limits));
        let _ = std::fs::remove_dir_all(dir.join("builds")); // of builds that ended with an earlier worker
        let upstream = Arc::new(Upstream::of(node));
        let engines = Arc::new(Engines::start(dir, node, config.engine, &logs, &upstream)?);
        let bundles = rt::block_on(BundleCache::open(dir.join("bundles"))).map_err(|e| e.to_string())?;
        let tasks = Tasks::open(dir, listen, logs.clone(), notices.clone()).map_err(|e| format!("the tasks: {e}"))?;
        let caches = Caches::open(dir.join("caches"), config.limits.of(Limit::BuildCacheBytes));
        let caches = Arc::new(caches.map_err(|e| format!("what builds have left: {e}"))?);
        let (hold, ended) = rt::bounded(1);
        Ok(Pool {
            engines,
            bundles,
            builds: dir.join("builds"),
            caches,
            logs,
            jobs: Arc::default(),
            tasks,
            slots: config.slots,
            output_bytes: config.limits.count(Limit::OutputBytes),
            upstream,
            instances: Mutex::default(),
            revisions: Mutex::default(),
            refreshed: Arc::default(),
            in_flight: AtomicU32::new(0),
            starts: AtomicU64::new(0),
            crashes: AtomicU64::new(0),
            notices,
            ending: (Mutex::new(Some(hold)), ended),
            leaving: Mutex::default(),
            killing: rt::bounded(1),
        })
    }

    /// Keeps an eye on the container engine, and takes over what an earlier worker left running there.
    pub fn watch_engines(self: &Arc<Self>) {
        self.tasks.resume(self);
        let pool = self.clone();
        engines::keep_watching(self.engines.clone(), move |change| match change {
            Change::Availability => drop(pool.notices.try_send(Notice::Engines)), // closed when the worker ends
            Change::Found(adopted) => pool.take_over(*adopted),
            Change::FoundAll => pool.tasks.found_all(),
        });
    }

    fn take_over(self: &Arc<Self>, found: Adopted) {
        let Adopted { id, function, revision, kind, running } = found;
        if kind == Kind::Task {
            return self.tasks.found().add(id, running);
        }
        let Some(address) = running.address else { return };
        log::info!(function = function, instance = id; "Function '{function}': instance {id} still runs");
        let state = proto::InstanceState { id: id.clone(), function: function.clone(), revision, ..Default::default() };
        let instance = Arc::new(Instance::new(id.clone(), function, revision, address, running.control));
        lock(&self.instances).insert(id, Entry::Warm(instance.clone()));
        rt::spawn(self.clone().watch(instance, None));
        let _ = self.notices.try_send(Notice::Instance(state)); // closed when the worker ends
    }

    /// A slot, if one is free: the orchestrator counts too, but a worker never trusts it with more than it has.
    pub fn take_slot(self: &Arc<Self>) -> Option<Slot> {
        let free = |n: u32| (n < self.slots).then_some(n + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        Some(Slot(self.clone()))
    }

    /// Calls at once.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// A warm instance.
    pub fn instance(&self, id: &str) -> Option<Arc<Instance>> {
        match lock(&self.instances).get(id) {
            Some(Entry::Warm(instance)) => Some(instance.clone()),
            _ => None,
        }
    }

    /// All warm instances.
    pub fn warm(&self) -> Vec<Arc<Instance>> {
        let warm = |entry: &Entry| match entry {
            Entry::Warm(instance) => Some(instance.clone()),
            Entry::Starting(..) => None,
        };
        lock(&self.instances).values().filter_map(warm).collect()
    }

    /// What runs here: instances by function, then jobs, the oldest first.
    pub fn work(&self) -> Vec<Work> {
        let instance = |(id, entry): (&String, &Entry)| {
            let (function, status, in_flight) = match entry {
                Entry::Starting(_, function) => (function.clone(), "starting", 0),
                Entry::Warm(instance) => {
                    let status = if instance.is_frozen() { "frozen" } else { "warm" };
                    (instance.function.clone(), status, instance.in_flight())
                }
            };
            Work { id: id.clone(), function, module: None, kind: "instance".into(), status: status.into(), in_flight }
        };
        let mut work: Vec<Work> = lock(&self.instances).iter().map(instance).collect();
        work.sort_by(|a, b| (&a.function, &a.id).cmp(&(&b.function, &b.id)));
        work.extend(self.jobs.running());
        work.extend(self.tasks.work(WORK));
        work
    }

    /// What runs here, for a join.
    pub fn report(&self) -> Vec<proto::InstanceState> {
        let state = |i: Arc<Instance>| proto::InstanceState {
            id: i.id.clone(),
            function: i.function.clone(),
            revision: i.revision,
            frozen: i.is_frozen(),
            ..Default::default()
        };
        self.warm().into_iter().map(state).collect()
    }

    /// A revision it was sent.
    pub fn revision(&self, function: &str, number: u64) -> Option<Arc<Revision>> {
        lock(&self.revisions).get(&(function.to_string(), number)).cloned()
    }

    /// Takes a revision in and gets what it needs; for an image, what it says of itself.
    pub async fn prepare(&self, revision: Revision) -> Result<Option<ImageFacts>, String> {
        let facts = match bundle::digest_in(&revision.image) {
            Some(_) => {
                drop(self.runnable(&revision).await?);
                None
            }
            None => Some(self.pulled(&revision).await?),
        };
        let mut known = lock(&self.revisions);
        if known.len() >= REVISIONS {
            known.clear();
        }
        known.insert((revision.function.clone(), revision.number), Arc::new(Revision { secrets: None, ..revision }));
        Ok(facts)
    }

    /// Sees that an image is here. Goes on when the caller gives up, so that a long pull ends some time.
    async fn pulled(&self, revision: &Revision) -> Result<ImageFacts, String> {
        let engine = self.engines.containers()?.clone();
        let (tell, told) = rt::bounded(1);
        let (image, refreshed) = (revision.image.clone(), self.refreshed.clone());
        let id = (revision.function.clone(), revision.number, revision.born); // a deleted one may have had its number
        let fresh = revision.fresh && !lock(&refreshed).contains(&id);
        rt::spawn(async move {
            let facts = if fresh { engine.refresh(&image).await } else { engine.prepare(&image).await };
            if fresh && facts.is_ok() {
                let mut refreshed = lock(&refreshed);
                if refreshed.len() >= REVISIONS {
                    refreshed.clear();
                }
                refreshed.insert(id);
            }
            let facts = facts.map_err(|e| e.to_string());
            let _ = tell.send(facts).await; // given up
        });
        told.recv().await.unwrap_or_else(|_| Err("the pull was given up".into()))
    }

    /// Starts an instance and waits until it listens.
    pub async fn start(self: Arc<Self>, id: String, revision: Revision) -> Result<(), String> {
        let (starting, given_up) = rt::bounded::<()>(1);
        match lock(&self.instances).entry(id.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => return Err(format!("instance {id} is there already")),
            std::collections::hash_map::Entry::Vacant(room) => {
                room.insert(Entry::Starting(starting, revision.function.clone()));
            }
        }
        let mark = Mark { pool: &self, id: &id };
        self.starts.fetch_add(1, Ordering::Relaxed);
        log::info!(function = revision.function, instance = id; "Function '{}': starting instance {id}", revision.function);
        let stopped = async {
            let _ = given_up.recv().await;
            Err("it was stopped while it started".to_string())
        };
        let started = future::or(stopped, self.listening(&id, &revision)).await;
        let (address, running, runnable) = match started {
            Ok(started) => started,
            Err(why) => {
                self.crashes.fetch_add(1, Ordering::Relaxed);
                log::warn!(function = revision.function, instance = id; "Function '{}': instance {id} did not start: {why}", revision.function);
                return Err(why);
            }
        };
        let instance = Instance::new(id.clone(), revision.function.clone(), revision.number, address, running.control);
        let instance = Arc::new(instance);
        let starting = lock(&self.instances).get_mut(&id).map(|entry| *entry = Entry::Warm(instance.clone()));
        starting.ok_or("it was stopped while it started")?; // at the last moment: dropping it ends it
        std::mem::forget(mark); // it is warm now: there is no mark to remove
        log::info!(function = revision.function, instance = id; "Function '{}': instance {id} is warm", revision.function);
        rt::spawn(self.clone().watch(instance, Some(runnable)));
        Ok(())
    }

    async fn listening(&self, id: &str, revision: &Revision) -> Result<(SocketAddr, Running, Runnable), String> {
        let runnable = self.runnable(revision).await?;
        let running = self
            .launch(id, revision, &runnable, Kind::Http, &[], revision.secrets.clone())
            .await
            .map_err(|e| e.to_string())?;
        let address = running.address.ok_or("its engine gave it no address")?;
        knock::until_it_listens(address, &*running.control).await?;
        Ok((address, running, runnable))
    }

    /// Starts the process of an instance or a job.
    pub async fn launch(
        &self,
        id: &str,
        revision: &Revision,
        runnable: &Runnable,
        kind: Kind,
        env: &[(&str, String)],
        secrets: Option<proto::Secrets>,
    ) -> Result<Running, EngineError> {
        let own = [
            ("K_SERVICE", revision.function.clone()),
            ("K_CONFIGURATION", revision.function.clone()),
            ("K_REVISION", format!("{}-{:05}", revision.function, revision.number)),
        ];
        let given = revision.env.iter().map(|(k, v)| (k.clone(), v.clone()));
        let ours = own.into_iter().chain(env.iter().map(|(k, v)| (*k, v.clone()))).map(|(k, v)| (k.to_string(), v));
        runnable
            .start(Launch {
                id: id.to_string(),
                function: revision.function.clone(),
                revision: revision.number,
                program: runnable.program(),
                command: revision.command.clone(),
                env: given.chain(ours).collect(),
                secrets: secrets.unwrap_or_default(),
                memory_bytes: (revision.memory_bytes > 0).then_some(revision.memory_bytes),
                cpu: (revision.cpu > 0.0).then_some(revision.cpu),
                isolation: Isolation {
                    open_files: revision.open_files,
                    all_syscalls: revision.all_syscalls,
                    ..Isolation::limits(revision.pids, revision.tmp_bytes)
                },
                kind,
                needs: Needs::default(),
            })
            .await
    }

    /// What runs a revision, fetched or pulled if need be.
    pub async fn runnable(&self, revision: &Revision) -> Result<Runnable, String> {
        let Some(digest) = bundle::digest_in(&revision.image) else {
            self.pulled(revision).await?;
            let engine = self.engines.containers()?.clone();
            return Ok(Runnable::image(engine, &revision.image));
        };
        let engine = self.engines.processes()?.clone();
        Ok(Runnable::bundle(engine, self.unpacked(digest).await?))
    }

    /// A bundle or a source folder, fetched if it is not here.
    pub async fn unpacked(&self, digest: &str) -> Result<Arc<Unpacked>, String> {
        self.bundles.get(digest, |into| self.upstream.fetch(digest, into)).await.map_err(|e| e.to_string())
    }

    /// Ends an instance, or gives its start up; returns at once.
    pub fn stop(self: &Arc<Self>, id: &str) {
        if let Some(Entry::Warm(instance)) = lock(&self.instances).remove(id) {
            log::info!(function = instance.function, instance = id; "Function '{}': stopping instance {id}", instance.function);
            self.end(instance);
        }
    }

    fn end(&self, instance: Arc<Instance>) {
        let mut leaving = lock(&self.leaving);
        leaving.retain(|other| other.strong_count() > 0);
        leaving.push(Arc::downgrade(&instance));
        drop(leaving);
        let hold = lock(&self.ending.0).clone();
        rt::spawn(async move {
            instance.stop(GRACE).await;
            drop(hold);
        });
    }

    /// Ends everything, and returns when it has ended, also what was being stopped already. For the worker's end.
    pub async fn stop_all(&self) {
        let tasks = self.tasks.end_all();
        let instances = self.stop_instances();
        future::zip(tasks, instances).await;
        self.engines.emptied().await;
    }

    async fn stop_instances(&self) {
        let all: Vec<Entry> = lock(&self.instances).drain().map(|(_, entry)| entry).collect();
        for entry in all {
            if let Entry::Warm(instance) = entry {
                self.end(instance);
            }
        }
        lock(&self.ending.0).take();
        let _ = self.ending.1.recv().await; // closed when the last has ended
    }

    /// Waits until everything is to be killed.
    pub async fn killed(&self) {
        let _ = self.killing.1.recv().await; // closed
    }

    /// Kills everything without grace, also what is being stopped, and returns when it is gone.
    pub async fn kill_all(&self) {
        self.killing.0.close();
        let entries: Vec<Entry> = lock(&self.instances).drain().map(|(_, entry)| entry).collect();
        let warm = |entry| match entry {
            Entry::Warm(instance) => Some(instance),
            Entry::Starting(..) => None, // dropped: given up
        };
        let mut all: Vec<Arc<Instance>> = entries.into_iter().filter_map(warm).collect();
        all.extend(lock(&self.leaving).iter().filter_map(Weak::upgrade));
        let (hold, killed) = rt::bounded::<()>(1);
        for instance in all {
            let hold = hold.clone();
            rt::spawn(async move {
                instance.stop(Duration::ZERO).await;
                drop(hold);
            });
        }
        drop(hold);
        let _ = killed.recv().await; // closed when the last is gone
        self.tasks.end_all().await;
        while self.in_flight() > 0 {
            clock::after(KILLED_EVERY).await; // jobs end with their links
        }
        self.engines.emptied().await;
    }

    async fn watch(self: Arc<Self>, instance: Arc<Instance>, runnable: Option<Runnable>) {
        let reason = instance.ended().await;
        drop(runnable);
        if lock(&self.instances).remove(&instance.id).is_none() {
            return; // it was stopped
        }
        self.crashes.fetch_add(1, Ordering::Relaxed);
        log::warn!(function = instance.function, instance = instance.id; "Function '{}': instance {} {reason}", instance.function, instance.id);
        let state = proto::InstanceState {
            id: instance.id.clone(),
            function: instance.function.clone(),
            revision: instance.revision,
            gone: true,
            reason,
            ..Default::default()
        };
        let _ = self.notices.send(Notice::Instance(state)).await; // nobody listens when the worker ends
    }
}

/// Takes a start off the books, should it not come to its end.
struct Mark<'a> {
    pool: &'a Pool,
    id: &'a str,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let mut instances = lock(&self.pool.instances);
        if let Some(Entry::Starting(..)) = instances.get(self.id) {
            instances.remove(self.id);
        }
    }
}
