//! What runs on this worker: instances by id, revisions it knows, and how many calls are under way. Does as it is told;
//! where something runs is decided elsewhere.

use super::bundle::{BundleCache, Unpacked};
use super::engine::process::ProcessEngine;
use super::engine::{Engine, EngineError, Kind, Launch, Program, Running};
use super::instance::Instance;
use super::logs::LogBook;
use crate::net::Socket;
use crate::rpc::Channel;
use crate::rt::{self, Sender};
use crate::wire::proto::{self, Revision, cluster_service_client::ClusterServiceClient};
use crate::{bundle, clock, config};
use futures_lite::{StreamExt, future};
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an instance may take to end by itself after SIGTERM; Cloud Run's figure.
pub const GRACE: Duration = Duration::from_secs(10);
/// Between two tries whether an instance listens: short at first, as most are quick.
const KNOCK_FIRST: Duration = Duration::from_millis(1);
const KNOCK_LAST: Duration = Duration::from_millis(25);
/// Revisions remembered; a forgotten one is sent again.
const REVISIONS: usize = 10_000;

type Client = ClusterServiceClient<Channel>;

/// The pool.
pub struct Pool {
    engine: Arc<dyn Engine>,
    bundles: BundleCache,
    pub logs: Arc<LogBook>,
    slots: u32,
    /// The way to fetch bundles, while there is one.
    orchestrator: Mutex<Option<Client>>,
    instances: Mutex<HashMap<String, Entry>>,
    revisions: Mutex<HashMap<(String, u64), Arc<Revision>>>,
    in_flight: AtomicU32,
    ended: Sender<proto::InstanceState>,
}

enum Entry {
    /// Dropping it gives the start up.
    Starting(#[allow(dead_code)] Sender<()>),
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
    /// Cleans up what a worker before this one left in `dir`. Instances that end by themselves are told to `ended`.
    pub fn new(
        dir: &Path,
        slots: u32,
        engine: config::Engine,
        ended: Sender<proto::InstanceState>,
    ) -> Result<Self, String> {
        let logs = Arc::new(LogBook::new(clock::unix_ms));
        let engine = match engine {
            config::Engine::Process | config::Engine::Auto => ProcessEngine::new(dir, logs.clone()),
        };
        let engine = engine.map_err(|e| e.to_string())?;
        let bundles = rt::block_on(BundleCache::open(dir.join("bundles"))).map_err(|e| e.to_string())?;
        Ok(Pool {
            engine: Arc::new(engine),
            bundles,
            logs,
            slots,
            orchestrator: Mutex::default(),
            instances: Mutex::default(),
            revisions: Mutex::default(),
            in_flight: AtomicU32::new(0),
            ended,
        })
    }

    /// What it can run things with, as nodes report it.
    pub fn engines(&self) -> Vec<String> {
        vec![self.engine.name().into()]
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

    /// What runs here, for a join.
    pub fn report(&self) -> Vec<proto::InstanceState> {
        let running = lock(&self.instances);
        let warm = running.values().filter_map(|entry| match entry {
            Entry::Warm(i) => Some(i.clone()),
            Entry::Starting(_) => None,
        });
        warm.map(|i| proto::InstanceState {
            id: i.id.clone(),
            function: i.function.clone(),
            revision: i.revision,
            ..Default::default()
        })
        .collect()
    }

    /// A revision it was sent.
    pub fn revision(&self, function: &str, number: u64) -> Option<Arc<Revision>> {
        lock(&self.revisions).get(&(function.to_string(), number)).cloned()
    }

    /// Takes a revision in and gets what it needs.
    pub async fn prepare(&self, revision: Revision) -> Result<(), String> {
        drop(self.unpacked(&revision).await?);
        let mut known = lock(&self.revisions);
        if known.len() >= REVISIONS {
            known.clear();
        }
        known.insert((revision.function.clone(), revision.number), Arc::new(revision));
        Ok(())
    }

    /// Starts an instance and waits until it listens.
    pub async fn start(self: Arc<Self>, id: String, revision: Revision) -> Result<(), String> {
        let (starting, given_up) = rt::bounded::<()>(1);
        match lock(&self.instances).entry(id.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => return Err(format!("instance {id} is there already")),
            std::collections::hash_map::Entry::Vacant(room) => drop(room.insert(Entry::Starting(starting))),
        }
        let mark = Mark { pool: &self, id: &id };
        log::info!("Function '{}': starting instance {id}", revision.function);
        let stopped = async {
            let _ = given_up.recv().await;
            Err("it was stopped while it started".to_string())
        };
        let started = future::or(stopped, self.listening(&id, &revision)).await;
        let (address, running, bundle) = match started {
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
        rt::spawn(self.clone().watch(instance, bundle));
        Ok(())
    }

    async fn listening(&self, id: &str, revision: &Revision) -> Result<(SocketAddr, Running, Arc<Unpacked>), String> {
        let bundle = self.unpacked(revision).await?;
        let running = self.launch(id, revision, &bundle, Kind::Http, &[]).await.map_err(|e| e.to_string())?;
        let address = running.address.ok_or("its engine gave it no address")?;
        let ended = async {
            let exit = running.control.ended().await;
            let words = running.control.last_words();
            Err(match words.trim() {
                "" => format!("it {exit} before it listened on port {} ($PORT)", address.port()),
                words => {
                    format!("it {exit} before it listened on port {} ($PORT); it last said:\n{words}", address.port())
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
        Ok((address, running, bundle))
    }

    /// Starts the process of an instance or a job.
    pub async fn launch(
        &self,
        id: &str,
        revision: &Revision,
        bundle: &Unpacked,
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
        self.engine
            .start(Launch {
                id: id.to_string(),
                function: revision.function.clone(),
                revision: revision.number,
                program: Program::Bundle(bundle.path.clone()),
                command: revision.command.clone(),
                env: given.chain(ours).collect(),
                memory_bytes: (revision.memory_bytes > 0).then_some(revision.memory_bytes),
                cpu: (revision.cpu > 0.0).then_some(revision.cpu),
                kind,
            })
            .await
    }

    /// Where a revision's bundle is, fetched if need be.
    pub async fn unpacked(&self, revision: &Revision) -> Result<Arc<Unpacked>, String> {
        let digest = bundle::digest_in(&revision.image)
            .ok_or_else(|| format!("this node has no engine for image '{}'", revision.image))?;
        let orchestrator = lock(&self.orchestrator).clone();
        self.bundles.get(digest, |into| fetch(orchestrator, digest.to_string(), into)).await.map_err(|e| e.to_string())
    }

    /// Ends an instance, or gives its start up; returns at once.
    pub fn stop(self: &Arc<Self>, id: &str) {
        if let Some(Entry::Warm(instance)) = lock(&self.instances).remove(id) {
            log::info!("Function '{}': stopping instance {id}", instance.function);
            rt::spawn(async move { instance.stop(GRACE).await });
        }
    }

    /// Ends everything, and returns when it has ended.
    pub async fn stop_all(&self) {
        let all: Vec<Entry> = lock(&self.instances).drain().map(|(_, entry)| entry).collect();
        let (done, ended) = rt::bounded::<()>(1);
        for entry in all {
            if let Entry::Warm(instance) = entry {
                let done = done.clone();
                rt::spawn(async move {
                    instance.stop(GRACE).await;
                    drop(done);
                });
            }
        }
        drop(done);
        let _ = ended.recv().await; // closed when the last has ended
    }

    async fn watch(self: Arc<Self>, instance: Arc<Instance>, bundle: Arc<Unpacked>) {
        let reason = instance.ended().await;
        drop(bundle);
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
        };
        let _ = self.ended.send(state).await; // nobody listens when the worker ends
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
        if let Some(Entry::Starting(_)) = instances.get(self.id) {
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
