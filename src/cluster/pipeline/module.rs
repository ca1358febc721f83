//! A module of a pipeline that runs: where it is, and what may become of it. Never knows what it runs.

use super::super::Millis;
use super::super::step::step;
use super::super::words::worded;
use std::sync::Arc;

worded! {
    /// Where a module is.
    #[derive(Default)]
    pub enum ModuleState {
        /// What it depends on has not ended.
        #[default]
        Pending = "pending",
        /// It may run: it waits for room, or to be tried again.
        Ready = "ready",
        Running = "running",
        Succeeded = "succeeded",
        /// Given up, as often as it was tried.
        Failed = "failed",
        /// Its condition was not met, or the pipeline stopped before it.
        Skipped = "skipped",
        /// Somebody cancelled the pipeline.
        Cancelled = "cancelled",
    }
}

impl ModuleState {
    /// The one table of what may follow what. From an end only a retry leads on.
    pub fn may_become(self, next: ModuleState) -> bool {
        use ModuleState::*;
        matches!(
            (self, next),
            (Pending, Ready)
                | (Pending, Skipped)
                | (Pending, Cancelled)
                | (Ready, Running)
                | (Ready, Succeeded)
                | (Ready, Failed)
                | (Ready, Skipped)
                | (Ready, Cancelled)
                | (Running, Ready)
                | (Running, Succeeded)
                | (Running, Failed)
                | (Running, Cancelled)
        )
    }

    /// Nothing follows, but for a retry.
    pub fn is_final(self) -> bool {
        !matches!(self, ModuleState::Pending | ModuleState::Ready | ModuleState::Running)
    }
}

/// One module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub state: ModuleState,
    /// An attempt is under way: on a node, or on its way there.
    pub begun: bool,
    /// Times it was sent to a node, over all runs of the pipeline.
    pub attempts: u32,
    /// Of these, failed by its own fault, in this run of the pipeline.
    pub failures: u32,
    /// Cut short by the loss of a node or of the orchestrator, in this run.
    pub interruptions: u32,
    /// Where it went last.
    pub node: Option<Arc<str>>,
    pub started: Option<Millis>,
    pub ended: Option<Millis>,
    /// Of a ready one: not tried before this.
    pub next_try: Millis,
    pub last_error: Option<String>,
    /// On disk.
    pub result_bytes: u64,
    /// It failed, or something that it depends on did.
    pub(super) tainted: bool,
}

impl Module {
    pub(super) fn transition(&mut self, next: ModuleState) -> bool {
        step(&mut self.state, next, ModuleState::may_become)
    }

    /// As at the beginning, but for what was counted: a retry is to run it again.
    pub(super) fn again(&self) -> Module {
        Module { attempts: self.attempts, ..Module::default() }
    }
}
