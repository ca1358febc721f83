//! What runs an image or a bundle, and which. Knows nothing of what it is run for.

use super::bundle::Unpacked;
use super::engine::{Engine, EngineError, Launch, Program, Running};
use std::sync::Arc;

/// What runs a revision or a task, and what it runs.
pub struct Runnable {
    engine: Arc<dyn Engine>,
    program: Program,
    /// Keeps the bundle on disk.
    _bundle: Option<Arc<Unpacked>>,
}

impl Runnable {
    pub fn image(engine: Arc<dyn Engine>, image: &str) -> Runnable {
        Runnable { engine, program: Program::Image(image.into()), _bundle: None }
    }

    pub fn bundle(engine: Arc<dyn Engine>, bundle: Arc<Unpacked>) -> Runnable {
        Runnable { engine, program: Program::Bundle(bundle.path.clone()), _bundle: Some(bundle) }
    }

    pub fn program(&self) -> Program {
        self.program.clone()
    }

    /// Starts it in some way.
    pub async fn start(&self, launch: Launch) -> Result<Running, EngineError> {
        self.engine.start(launch).await
    }
}
