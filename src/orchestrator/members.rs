//! The open heartbeat streams: how a node is told something between beats. A command that finds no stream is dropped;
//! what matters is said again when the node joins.

use crate::cluster::NodeKey;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Commands that wait for a slow node; one that takes none is as good as gone. Few, as a queue takes its room at once.
const QUEUE: usize = 16;

/// A command on its way.
pub struct Outgoing {
    pub kind: &'static str,
    pub payload: String,
}

/// Who listens for commands.
#[derive(Default)]
pub struct Members {
    listening: Mutex<HashMap<NodeKey, (u64, Sender<Outgoing>)>>,
}

impl Members {
    /// Commands for this session from now on; an earlier session's end.
    pub fn listen(&self, node: NodeKey, session: u64) -> Receiver<Outgoing> {
        let (tx, rx) = rt::bounded(QUEUE);
        self.lock().insert(node, (session, tx));
        rx
    }

    /// Tells a node something, if it listens.
    pub fn command(&self, node: NodeKey, kind: &'static str, payload: &str) {
        if let Some((session, tx)) = self.lock().get(&node)
            && tx.try_send(Outgoing { kind, payload: payload.into() }).is_err()
        {
            log::debug!("session {session} takes no commands: {kind} is dropped");
        }
    }

    /// That session's stream has ended.
    pub fn forget(&self, node: NodeKey, session: u64) {
        let mut listening = self.lock();
        if listening.get(&node).is_some_and(|(current, _)| *current == session) {
            listening.remove(&node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeKey, (u64, Sender<Outgoing>)>> {
        lock(&self.listening)
    }
}
