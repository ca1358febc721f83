use super::*;
use crate::worker::logs::LogBook;
use std::path::Path;
use std::sync::Arc;
pub struct ProcessEngine;
impl ProcessEngine {
    pub fn new(_: &Path, _: Arc<LogBook>) -> Result<Self, EngineError> {
        todo!()
    }
}
#[async_trait::async_trait]
impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        "process"
    }
    async fn start(&self, _: Launch) -> Result<Running, EngineError> {
        todo!()
    }
}
