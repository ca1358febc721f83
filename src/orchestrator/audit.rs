//! Changes that are told as events with who made them, and count when they are on disk.

use super::events::{EventLog, Told};
use super::store::{Store, StoreError, Write};
use crate::auth::Caller;
use crate::rt;
use std::sync::Arc;

/// Keeps changes and tells of them.
pub struct Audit {
    pub store: Arc<Store>,
    pub events: Arc<EventLog>,
}

/// What an event says of a change.
pub struct Change {
    pub kind: &'static str,
    /// The kind of the event that takes it back, should it not be kept.
    pub unchanged: &'static str,
    pub message: String,
}

impl Audit {
    /// Blocks until it is on disk. Where it is, so is the event that tells of it: it is told first, and a failure after
    /// it.
    pub fn keep(&self, write: Write, change: Change, by: &Caller) -> Result<(), StoreError> {
        if let Some(error) = self.store.trouble() {
            return Err(error);
        }
        let tell = |kind, level, message| {
            let told = Told { kind, level, message, ..Told::default() };
            self.events.tell(&told.by(by));
        };
        let Change { kind, unchanged, message } = change;
        tell(kind, "info", message.clone());
        let kept = rt::block_on(self.store.kept(self.store.write(write, Vec::new())));
        kept.inspect_err(|error| tell(unchanged, "error", format!("{message}: not so, for {error}")))
    }
}
