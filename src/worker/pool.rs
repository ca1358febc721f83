//! What runs on this worker: instances by id, revisions it knows, and how many calls are under way. Does as it is told;
//! where something runs is decided elsewhere.

use super::bundle::{BundleCache, Unpacked};
use super::engine::{Adopted, Engine, EngineError, ImageFacts, Isolation, Kind, Launch, Program, Running, hint};
use super::engines::{self, Change, Engines};
use super::instance::Instance;
use super::jobs::Jobs;
use super::logs::LogBook;
use crate::net::Socket;
use crate::rpc::Channel;
use crate::rt::{self, Receiver, Sender};
use crate::types::Work;
use crate::wire::proto::{self, Revision, cluster_service_client::ClusterServiceClient};
use crate::{bundle, clock, config};
use futures_lite::{StreamExt, future};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long an instance may take to end by itself after SIGTERM; Cloud Run's figure.
pub const GRACE: Duration = Duration::from_secs(10);
/// Between two tries whether an instance listens: short at first, as most are quick.
const KNOCK_FIRST: Duration = Duration::from_millis(1);
const KNOCK_LAST: Duration = Duration::from_millis(25);
/// Between two looks whether the last killed job is gone.
const KILLED_EVERY: Duration = Duration::from_millis(10);
/// Revisions remembered; a forgotten one is sent again.
const REVISIONS: usize = 10_000;

type Client = ClusterServiceClient<Channel>;

/// The pool.
pub struct Pool {
    pub engines: Arc<Engines>,
    bundles: BundleCache,
    pub logs: Arc<LogBook>,
    pub jobs: Arc<Jobs>,
    slots: u32,
    /// The way to fetch bundles, while there is one.
    orchestrator: Mutex<Option<Client>>,
    instances: Mutex<HashMap<String, Entry>>,
    revisions: Mutex<HashMap<(String, u64), Arc<Revision>>>,
    /// Revisions whose image was asked for at its registry because its name may mean another by now.
    refreshed: Arc<Mutex<HashSet<(String, u64)>>>,
    in_flight: AtomicU32,
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
}

/// What runs a revision, and what it runs.
pub struct Runnable {
    engine: Arc<dyn Engine>,
    program: Program,
    /// Keeps the bundle on disk.
    _bundle: Option<Arc<Unpacked>>,
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
        slots: u32,
        which: config::Engine,
        notices: Sender<Notice>,
    ) -> Result<Self, String> {
        let logs = Arc::new(LogBook::new(clock::unix_ms));
        let engines = Arc::new(Engines::start(dir, node, which, &logs)?);
        let bundles = rt::block_on(BundleCache::open(dir.join("bundles"))).map_err(|e| e.to_string())?;
        let (hold, ended) = rt::bounded(1);
        Ok(Pool {
            engines,
            bundles,
            logs,
            jobs: Arc::default(),
            slots,
            orchestrator: Mutex::default(),
            instances: Mutex::default(),
            revisions: Mutex::default(),
            refreshed: Arc::default(),
            in_flight: AtomicU32::new(0),
            notices,
            ending: (Mutex::new(Some(hold)), ended),
            leaving: Mutex::default(),
            killing: rt::bounded(1),
        })
    }

    /// Keeps an eye on the container engine, and takes over what an earlier worker left running there.
    pub fn watch_engines(self: &Arc<Self>) {
        let pool = self.clone();
        engines::keep_watching(self.engines.clone(), move |change| match change {
            Change::Availability => drop(pool.notices.try_send(Notice::Engines)), // closed when the worker ends
            Change::Found(adopted) => pool.take_over(*adopted),
        });
    }

    fn take_over(self: &Arc<Self>, found: Adopted) {
        let Adopted { id, function, revision, running } = found;
        let Some(address) = running.address else { return };
        log::info!("Function '{function}': instance {id} still runs");
        let state = proto::InstanceState { id: id.clone(), function: function.clone(), revision, ..Default::default() };
        let instance = Arc::new(Instance::new(id.clone(), function, revision, address, running.control));
        lock(&self.instances).insert(id, Entry::Warm(instance.clone()));
        rt::spawn(self.clone().watch(instance, None));
        let _ = self.notices.try_send(Notice::Instance(state)); // closed when the worker ends
    }

    /// Bundles are fetched over this connection from now on.
    pub fn fetch_from(&self, orchestrator: Option<Client>) {
        *lock(&self.orchestrator) = orchestrator;
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
            Work { id: id.clone(), function, kind: "instance".into(), status: status.into(), in_flight }
        };
        let mut work: Vec<Work> = lock(&self.instances).iter().map(instance).collect();
        work.sort_by(|a, b| (&a.function, &a.id).cmp(&(&b.function, &b.id)));
        let job = |(id, function)| Work { id, function, kind: "job".into(), status: "running".into(), in_flight: 1 };
        work.extend(self.jobs.running().into_iter().map(job));
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
        known.insert((revision.function.clone(), revision.number), Arc::new(revision));
        Ok(facts)
    }

    /// Sees that an image is here. Goes on when the caller gives up, so that a long pull ends some time.
    async fn pulled(&self, revision: &Revision) -> Result<ImageFacts, String> {
        let engine = self.engines.containers()?.clone();
        let (tell, told) = rt::bounded(1);
        let (image, refreshed) = (revision.image.clone(), self.refreshed.clone());
        let id = (revision.function.clone(), revision.number);
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
        log::info!("Function '{}': starting instance {id}", revision.function);
        let stopped = async {
            let _ = given_up.recv().await;
            Err("it was stopped while it started".to_string())
        };
        let started = future::or(stopped, self.listening(&id, &revision)).await;
        let (address, running, runnable) = match started {
            Ok(started) => started,
            Err(why) => {
                log::warn!("Function '{}': instance {id} did not start: {why}", revision.function);
                return Err(why);
            }
        };
        let instance = Instance::new(id.clone(), revision.function.clone(), revision.number, address, running.control);
        let instance = Arc::new(instance);
        lock(&self.instances).insert(id.clone(), Entry::Warm(instance.clone()));
        std::mem::forget(mark); // it is warm now: there is no mark to remove
        log::info!("Function '{}': instance {id} is warm", revision.function);
        rt::spawn(self.clone().watch(instance, Some(runnable)));
        Ok(())
    }

    async fn listening(&self, id: &str, revision: &Revision) -> Result<(SocketAddr, Running, Runnable), String> {
        let runnable = self.runnable(revision).await?;
        let running = self.launch(id, revision, &runnable, Kind::Http, &[]).await.map_err(|e| e.to_string())?;
        let address = running.address.ok_or("its engine gave it no address")?;
        let ended = async {
            let exit = running.control.ended().await;
            let words = running.control.last_words();
            Err(match words.trim() {
                "" => format!("it {exit} before it listened on port {} ($PORT)", address.port()),
                words => {
                    let (port, hint) = (address.port(), hint(words));
                    format!("it {exit} before it listened on port {port} ($PORT); it last said:\n{words}{hint}")
                }
            })
        };
        let listens = async {
            let mut wait = KNOCK_FIRST;
            while Socket::connect_to(address).await.is_err() {
                clock::after(wait).await;
                wait = (wait * 2).min(KNOCK_LAST);
            }
            Ok(())
        };
        future::or(ended, listens).await?;
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
    ) -> Result<Running, EngineError> {
        let own = [
            ("K_SERVICE", revision.function.clone()),
            ("K_CONFIGURATION", revision.function.clone()),
            ("K_REVISION", format!("{}-{:05}", revision.function, revision.number)),
        ];
        let given = revision.env.iter().map(|(k, v)| (k.clone(), v.clone()));
        let ours = own.into_iter().chain(env.iter().map(|(k, v)| (*k, v.clone()))).map(|(k, v)| (k.to_string(), v));
        runnable
            .engine
            .start(Launch {
                id: id.to_string(),
                function: revision.function.clone(),
                revision: revision.number,
                program: runnable.program.clone(),
                command: revision.command.clone(),
                env: given.chain(ours).collect(),
                memory_bytes: (revision.memory_bytes > 0).then_some(revision.memory_bytes),
                cpu: (revision.cpu > 0.0).then_some(revision.cpu),
                isolation: Isolation {
                    open_files: revision.open_files,
                    all_syscalls: revision.all_syscalls,
                    ..Isolation::limits(revision.pids, revision.tmp_bytes)
                },
                kind,
            })
            .await
    }

    /// What runs a revision, fetched or pulled if need be.
    pub async fn runnable(&self, revision: &Revision) -> Result<Runnable, String> {
        let Some(digest) = bundle::digest_in(&revision.image) else {
            self.pulled(revision).await?;
            let engine = self.engines.containers()?.clone();
            return Ok(Runnable { engine, program: Program::Image(revision.image.clone()), _bundle: None });
        };
        let engine = self.engines.processes()?.clone();
        let orchestrator = lock(&self.orchestrator).clone();
        let fetched = self.bundles.get(digest, |into| fetch(orchestrator, digest.to_string(), into)).await;
        let bundle = fetched.map_err(|e| e.to_string())?;
        Ok(Runnable { engine, program: Program::Bundle(bundle.path.clone()), _bundle: Some(bundle) })
    }

    /// Ends an instance, or gives its start up; returns at once.
    pub fn stop(self: &Arc<Self>, id: &str) {
        if let Some(Entry::Warm(instance)) = lock(&self.instances).remove(id) {
            log::info!("Function '{}': stopping instance {id}", instance.function);
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
        let all: Vec<Entry> = lock(&self.instances).drain().map(|(_, entry)| entry).collect();
        for entry in all {
            if let Entry::Warm(instance) = entry {
                self.end(instance);
            }
        }
        lock(&self.ending.0).take();
        let _ = self.ending.1.recv().await; // closed when the last has ended
        self.engines.emptied().await;
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
        log::warn!("Function '{}': instance {} {reason}", instance.function, instance.id);
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

async fn fetch(orchestrator: Option<Client>, digest: String, into: PathBuf) -> Result<(), String> {
    let mut client = orchestrator.ok_or("this worker is not connected to its orchestrator")?;
    let request = proto::BundleRequest { digest };
    let mut chunks = client.fetch_bundle(request).await.map_err(|s| s.message().to_string())?.into_inner();
    let mut file = rt::unblock(move || std::fs::File::create(into)).await.map_err(|e| e.to_string())?;
    while let Some(chunk) = chunks.next().await {
        let data = chunk.map_err(|s| s.message().to_string())?.data;
        file = rt::unblock(move || file.write_all(&data).map(|()| file)).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
