//! An instance: one running copy of an http function on one node.

use super::key::written_key;
use super::step::step;
use super::{FunctionKey, Millis, NodeKey, Revision};
use std::sync::Arc;

written_key! {
    /// An instance's id, unique over restarts of the orchestrator.
    pub struct InstanceKey, "i{:x}"
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Asked for; takes no calls yet.
    Starting,
    /// Takes calls.
    Warm,
    /// Uses no processor; a call wakes it.
    Frozen,
    /// Finishes its calls, then goes.
    Draining,
    /// No more.
    Gone,
}

impl InstanceState {
    /// The one table of what may follow what.
    pub fn may_become(self, next: InstanceState) -> bool {
        use InstanceState::*;
        matches!(
            (self, next),
            (Starting, Warm | Gone) | (Warm, Frozen | Draining | Gone) | (Frozen, Warm | Gone) | (Draining, Gone)
        )
    }

    /// The word people and programs see.
    pub fn word(self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Warm => "warm",
            InstanceState::Frozen => "frozen",
            InstanceState::Draining => "draining",
            InstanceState::Gone => "gone",
        }
    }
}

/// One running copy.
#[derive(Clone, Debug)]
pub struct Instance {
    pub key: InstanceKey,
    pub function: FunctionKey,
    pub revision: Arc<Revision>,
    pub node: NodeKey,
    pub state: InstanceState,
    pub in_flight: u32,
    /// When its last call ended, or it got warm.
    pub idle_since: Millis,
    /// Its node could not freeze it, and no call came since.
    pub(super) wakeful: bool,
    /// When it is looked at next.
    pub(super) look_at: Millis,
}

impl Instance {
    pub(super) fn transition(&mut self, next: InstanceState) -> bool {
        step(&mut self.state, next, InstanceState::may_become)
    }

    /// Started and takes no call now.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, InstanceState::Warm | InstanceState::Frozen) && self.in_flight == 0
    }

    pub(super) fn has_room(&self) -> bool {
        matches!(self.state, InstanceState::Warm | InstanceState::Frozen) && self.in_flight < self.revision.concurrency
    }
}
