//! The engines of this worker: which there are, which can be used now, and which runs what. Starts nothing itself.

use super::engine::docker::DockerEngine;
use super::engine::process::ProcessEngine;
use super::engine::{Adopted, Availability, Engine};
use super::logs::LogBook;
use super::upstream::Upstream;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::types::ImagePull;
use crate::wire::proto;
use crate::{clock, config};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A container whose creation was under way when an earlier worker was killed may appear after the first look. Its engine
/// tells of it; should that word be lost, this look finds it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// For a container engine to say whether it is there, before the worker joins without it.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// For the container engine to remove what was being removed when the worker ends.
const EMPTIED: Duration = Duration::from_secs(15);

/// The engines.
pub struct Engines {
    process: Option<Arc<dyn Engine>>,
    docker: Option<Arc<dyn Engine>>,
    docker_now: Mutex<Now>,
    /// Closed once the container engine's state is known.
    known: (Sender<()>, Receiver<()>),
}

enum Now {
    Unknown,
    Up,
    Down(String),
}

/// What happened to an engine.
pub enum Change {
    /// Whether it can be used.
    Availability,
    /// An earlier worker's instance, which goes on, or task.
    Found(Box<Adopted>),
    /// That was all there is now.
    FoundAll,
}

impl Engines {
    /// Cleans up what a worker before this one left in `dir`. Blocks.
    pub fn start(
        dir: &Path,
        node: &str,
        which: config::Engine,
        logs: &Arc<LogBook>,
        supply: &Arc<Upstream>,
    ) -> Result<Self, String> {
        // Also where it is not wanted now: it ends what it left when it was.
        let process = ProcessEngine::new(dir, logs.clone()).map_err(|e| e.to_string())?;
        let process = (which != config::Engine::Docker).then(|| Arc::new(process) as Arc<dyn Engine>);
        let (docker, now) = match which {
            config::Engine::Process => (None, Now::Unknown),
            config::Engine::Auto | config::Engine::Docker => {
                match DockerEngine::new(node, logs.clone(), supply.clone()) {
                    Ok(engine) => {
                        (Some(Arc::new(engine.remembering(dir.join("pulled.json"))) as Arc<dyn Engine>), Now::Unknown)
                    }
                    Err(error) => (None, Now::Down(error.to_string())),
                }
            }
        };
        let known = rt::bounded(1);
        if docker.is_none() {
            known.0.close();
        }
        Ok(Engines { process, docker, docker_now: Mutex::new(now), known })
    }

    /// Those that can be used now, and why others cannot, as nodes report it.
    pub fn state(&self) -> proto::Engines {
        let mut names: Vec<String> = self.process.iter().map(|engine| engine.name().to_string()).collect();
        let mut trouble = String::new();
        match &*self.now() {
            Now::Up => names.extend(self.docker.as_ref().map(|engine| engine.name().to_string())),
            Now::Down(why) => trouble = why.clone(),
            Now::Unknown => {}
        }
        proto::Engines { names, trouble }
    }

    /// Waits until it is known which can be used, but not for long.
    pub async fn known(&self) {
        let _ = clock::timeout(FIRST_WORD, self.known.1.recv()).await; // later it is told in a beat
    }

    /// The one for bundles; `Err` says why there is none.
    pub fn processes(&self) -> Result<&Arc<dyn Engine>, String> {
        self.process.as_ref().ok_or_else(|| "this node was started with --engine docker".to_string())
    }

    /// The one for images; `Err` says why there is none.
    pub fn containers(&self) -> Result<&Arc<dyn Engine>, String> {
        let none = || "this node has no container engine".to_string();
        let engine = self.docker.as_ref().ok_or_else(none)?;
        match &*self.now() {
            Now::Up => Ok(engine),
            Now::Down(why) => Err(why.clone()),
            Now::Unknown => Err("this node's container engine has not answered yet".into()),
        }
    }

    /// The pulls of images that go on now.
    pub fn pulls(&self) -> Vec<proto::ImagePull> {
        self.docker.as_ref().map(|engine| engine.pulls()).unwrap_or_default()
    }

    /// That of an image.
    pub fn pull_of(&self, image: &str) -> Option<ImagePull> {
        let pull = self.pulls().into_iter().find(|pull| pull.image == image)?;
        let proto::ImagePull { layers, layers_done, bytes, bytes_done, .. } = pull;
        Some(ImagePull { layers, layers_done, bytes, bytes_done })
    }

    /// Watches the container engine for as long as this future is polled; ends at once when there is none to watch.
    pub async fn watch(&self, tell: impl Fn(Change)) {
        let Some(engine) = &self.docker else { return };
        loop {
            match engine.changed().await {
                Availability::Up { version } => {
                    log::info!("Container engine: {version}");
                    self.adopt(engine, &tell).await;
                    *self.now() = Now::Up;
                }
                down => {
                    log::warn!("Container engine: {down}");
                    *self.now() = Now::Down(down.to_string());
                }
            }
            self.known.0.close();
            tell(Change::Availability);
        }
    }

    /// Looks once more for what an earlier worker left.
    pub async fn look_again(&self, tell: impl Fn(Change)) {
        clock::after(LOOK_AGAIN).await;
        if let Ok(engine) = self.containers() {
            self.adopt(engine, &tell).await;
        }
    }

    /// Looks whenever the engine tells of something that nobody here started.
    pub async fn look_when_told(&self, tell: impl Fn(Change)) {
        let Some(engine) = &self.docker else { return };
        loop {
            engine.appeared().await;
            self.adopt(engine, &tell).await; // also before it counts as up: the first look may just have missed it
        }
    }

    /// Waits until what is being removed is gone, but not for ever; for the worker's end.
    pub async fn emptied(&self) {
        if let Ok(engine) = self.containers()
            && clock::timeout(EMPTIED, engine.emptied()).await.is_none()
        {
            log::warn!("containers are left; this node's next worker removes them");
        }
    }

    async fn adopt(&self, engine: &Arc<dyn Engine>, tell: &impl Fn(Change)) {
        match engine.adopt().await {
            Ok(found) => {
                found.into_iter().for_each(|adopted| tell(Change::Found(Box::new(adopted))));
                tell(Change::FoundAll);
            }
            Err(error) => log::warn!("cannot look for what an earlier worker left: {error}"),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.docker_now)
    }
}

/// Keeps watching, on a task of its own.
pub fn keep_watching(engines: Arc<Engines>, tell: impl Fn(Change) + Clone + Send + Sync + 'static) {
    let (watched, told) = (engines.clone(), tell.clone());
    rt::spawn(async move { watched.watch(told).await });
    let (again, told) = (engines.clone(), tell.clone());
    rt::spawn(async move { again.look_again(told).await });
    rt::spawn(async move { engines.look_when_told(tell).await });
}
