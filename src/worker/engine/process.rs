//! Runs functions as plain processes: each in a session of its own, with a clean environment, limits and a private
//! folder, held by whatever means the host has, and nothing of it left when it ends. Must never block an executor
//! thread; a network of its own is the docker engine's.

mod command;
mod confine;
mod group;
mod host;
mod leftovers;
mod ports;
mod spawner;
mod stdio;
mod task;
mod vfork;

use super::{Adopted, Availability, Engine, EngineError, ImageFacts, Kind, Launch, Running};
use crate::rt;
use crate::worker::logs::LogBook;
use spawner::Spawner;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs functions as processes of this machine. Where the host gives no control groups `Launch::cpu` is not enforced, and
/// `memory_bytes` limits the data of each single process.
pub struct ProcessEngine {
    spawner: Spawner,
    told: AtomicBool,
}

impl ProcessEngine {
    /// An engine that keeps its launches' folders in `data_dir/run`. First ends what an earlier engine there left
    /// running, so `data_dir` must be this worker's alone. Blocks.
    pub fn new(data_dir: &Path, logs: Arc<LogBook>) -> Result<ProcessEngine, EngineError> {
        Ok(ProcessEngine { spawner: Spawner::new(data_dir, logs)?, told: AtomicBool::new(false) })
    }
}

#[async_trait::async_trait]
impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn prepare(&self, image: &str) -> Result<ImageFacts, EngineError> {
        Err(no_images(image))
    }

    async fn start(&self, mut launch: Launch) -> Result<Running, EngineError> {
        let needs = match launch.kind {
            Kind::Task => {
                task::prepare(&mut launch)?;
                Some(launch.needs.clone())
            }
            Kind::Http | Kind::Job => None,
        };
        let (reply, answer) = rt::bounded(1);
        self.spawner.order(launch, reply)?;
        // When this future is dropped here, the answer is dropped with it, which kills what was started.
        let running = answer.recv().await.unwrap_or_else(|_| Err(spawner::gone()))?;
        Ok(match needs {
            Some(needs) => task::with_ports(running, needs),
            None => running,
        })
    }

    /// Processes end with their worker: what was left is ended when the engine is made.
    async fn adopt(&self) -> Result<Vec<Adopted>, EngineError> {
        Ok(Vec::new())
    }

    async fn changed(&self) -> Availability {
        if self.told.swap(true, Ordering::Relaxed) {
            return std::future::pending().await;
        }
        Availability::Up { version: "processes".into() }
    }
}

/// It has nothing to run images with.
fn no_images(image: &str) -> EngineError {
    EngineError::Image(format!(
        "the image {image} needs a container engine and this node runs processes; start Docker there, or deploy a bundle"
    ))
}

#[cfg(test)]
mod tests;
