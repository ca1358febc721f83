//! Runs functions as containers of a Docker engine on this machine, each removed when it ends. All of shiplift is behind
//! this; the socket is as good as root, so nothing of a caller's reaches it unchecked.

mod answers;
mod build;
mod container;
mod context;
mod frames;
mod freeze;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod held;
mod image;
mod moving;
mod named;
mod pulled;
mod pulling;
mod push;
mod reach;
mod request;
mod start;
mod trouble;
mod watch;
mod wire;

use super::memory::Place;
use super::{Adopted, Availability, Engine, EngineError, ImageBuild, ImageFacts, Launch, Pieces, Running, Supply};
use crate::clock;
use crate::rt::{self, Receiver, Sender};
use crate::wire::proto::ImagePull;
use crate::worker::logs::LogBook;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where engines listen, unless `DOCKER_HOST` says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// Between two looks whether all containers are gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A Docker engine, there or not: it is looked for all the time.
pub struct DockerEngine {
    shared: Arc<Shared>,
    _watching: rt::Scoped,
    _sweeping: Option<rt::Scoped>,
}

/// What the parts share.
struct Shared {
    wire: Arc<wire::Wire>,
    socket: PathBuf,
    /// Told apart by this from other workers' containers at the same engine.
    node: String,
    logs: Arc<LogBook>,
    secrets: Place,
    shelf: Arc<held::Shelf>,
    bell: watch::Bell,
    /// Rung when a container of this node appears that nobody here is starting.
    strays: (Sender<()>, Receiver<()>),
    /// The engine's kind of processor, as images name it.
    arch: Mutex<String>,
    images: image::Images,
    /// What the cluster has; none at an engine that runs by itself.
    supply: Option<Arc<dyn Supply>>,
    reach: reach::Reach,
}

impl Shared {
    /// At once, rather than by a call that waits out its limit.
    fn usable(&self) -> Result<(), EngineError> {
        self.bell.trouble().map_or(Ok(()), |why| Err(EngineError::Unavailable(why)))
    }
}

impl DockerEngine {
    /// The engine that `DOCKER_HOST` names, or the usual one. `node` is the node's id, the same after a restart; two
    /// workers at one engine have different ones.
    pub fn new(node: &str, logs: Arc<LogBook>, supply: Arc<dyn Supply>) -> Result<DockerEngine, EngineError> {
        let socket = socket(std::env::var("DOCKER_HOST").ok().as_deref())?;
        DockerEngine::at(&socket, node, logs, Some(supply))
    }

    /// The engine at this socket.
    pub fn at(
        socket: &Path,
        node: &str,
        logs: Arc<LogBook>,
        supply: Option<Arc<dyn Supply>>,
    ) -> Result<DockerEngine, EngineError> {
        request::container_name(node, "x")?; // the node's id is part of every name
        let wire = wire::Wire::new(socket)
            .map_err(|error| EngineError::Resources(format!("could not start a thread for the engine: {error}")))?;
        let shared = Arc::new(Shared {
            wire,
            socket: socket.to_owned(),
            node: node.into(),
            logs,
            secrets: Place::new(&format!("{node}-docker")),
            shelf: Arc::default(),
            bell: watch::Bell::default(),
            strays: rt::bounded(1),
            arch: Mutex::default(),
            images: image::Images::default(),
            supply,
            reach: reach::Reach::default(),
        });
        let watching = rt::spawn_scoped(watch::watch(shared.clone()));
        Ok(DockerEngine { shared, _watching: watching, _sweeping: None })
    }

    /// Images that this worker pulls are noted in this file, and removed when they have not been used for long. Blocks.
    pub fn remembering(mut self, file: PathBuf) -> DockerEngine {
        self.shared.images.pulled.remember_in(file);
        self._sweeping = Some(rt::spawn_scoped(pulled::run(self.shared.clone())));
        self
    }
}

/// The socket's path.
fn socket(docker_host: Option<&str>) -> Result<PathBuf, EngineError> {
    match docker_host.filter(|host| !host.is_empty()) {
        None => Ok(DEFAULT_SOCKET.into()),
        Some(host) => match host.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            Some(path) => Ok(path.into()),
            None => Err(EngineError::Unavailable(format!(
                "DOCKER_HOST is {host:?}, and only an engine on this machine can be used: unset it, or give a socket as \
                 unix:///PATH"
            ))),
        },
    }
}

#[async_trait::async_trait]
impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn prepare(&self, image: &str) -> Result<ImageFacts, EngineError> {
        image::prepare(&self.shared, &request::ImageName::parse(image)?).await
    }

    async fn refresh(&self, image: &str) -> Result<ImageFacts, EngineError> {
        image::refresh(&self.shared, &request::ImageName::parse(image)?).await
    }

    async fn holds(&self, image: &str) -> Result<bool, EngineError> {
        moving::holds(&self.shared, &request::ImageName::parse(image)?).await
    }

    fn pulls(&self) -> Vec<ImagePull> {
        self.shared.images.pulling.now()
    }

    async fn save(&self, image: &str, has: Vec<String>) -> Result<Pieces, EngineError> {
        moving::save(&self.shared, &request::ImageName::parse(image)?, has).await
    }

    async fn digest(&self, image: &str) -> Result<String, EngineError> {
        push::digest(&self.shared, &request::ImageName::parse(image)?).await
    }

    async fn push(&self, image: &str, say: &Sender<String>) -> Result<String, EngineError> {
        push::push(&self.shared, &request::ImageName::parse(image)?, say).await
    }

    async fn build(&self, order: &ImageBuild, say: &Sender<String>) -> Result<(), EngineError> {
        build::build(&self.shared, order, say).await
    }

    async fn start(&self, launch: Launch) -> Result<Running, EngineError> {
        let (reply, answer) = rt::bounded(1);
        let shared = self.shared.clone();
        // Goes on when this future is dropped here: what the engine has begun must be known to be removed.
        rt::spawn(async move {
            let running = start::start(&shared, &launch, || !reply.is_closed()).await;
            let _ = reply.try_send(running); // nobody waits any more: dropping it removes it
        });
        answer.recv().await.unwrap_or_else(|_| Err(EngineError::Unavailable("the start was given up".into())))
    }

    async fn adopt(&self) -> Result<Vec<Adopted>, EngineError> {
        start::adopt(&self.shared).await
    }

    async fn changed(&self) -> Availability {
        self.shared.bell.changed().await
    }

    async fn appeared(&self) {
        let _ = self.shared.strays.1.recv().await; // its other end is in here too
    }

    async fn emptied(&self) {
        while !self.shared.shelf.is_empty() {
            clock::after(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
