//! How this worker stands with its orchestrator, for whoever asks or waits for a change. Never acts on it.

use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard};

/// Where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Connecting,
    Joined,
    /// Not joined; tries again at a time of `clock::now_ms`.
    Waiting {
        why: String,
        until_ms: u64,
    },
    /// Finishes what it has.
    Leaving,
    /// Will never try again; `why` when it was refused.
    Ended {
        why: Option<String>,
    },
}

/// The standing, and those who wait for it to change.
#[derive(Default)]
pub struct Membership(Mutex<Now>);

#[derive(Default)]
struct Now {
    standing: Standing,
    cluster: Option<String>,
    /// How the first attempt ended.
    first: Option<Result<(), String>>,
    ever_joined: bool,
    /// Closed ones are removed at the next change.
    watchers: Vec<Sender<()>>,
}

impl Membership {
    pub fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// The cluster it last joined.
    pub fn cluster(&self) -> Option<String> {
        self.lock().cluster.clone()
    }

    /// Whether it is a member now.
    pub fn joined(&self) -> bool {
        matches!(self.lock().standing, Standing::Joined | Standing::Leaving)
    }

    /// Whether it is over.
    pub fn ended(&self) -> bool {
        matches!(self.lock().standing, Standing::Ended { .. })
    }

    pub fn ever_joined(&self) -> bool {
        self.lock().ever_joined
    }

    pub fn join(&self, cluster: &str) {
        let mut inner = self.lock();
        inner.cluster = Some(cluster.to_string());
        inner.ever_joined = true;
        drop(inner); // release first: `set` takes the same lock
        self.set(Standing::Joined);
    }

    /// A new standing, told to all who wait.
    pub fn set(&self, standing: Standing) {
        let mut inner = self.lock();
        if inner.first.is_none() {
            inner.first = match &standing {
                Standing::Connecting | Standing::Leaving => None,
                Standing::Joined => Some(Ok(())),
                Standing::Waiting { why, .. } | Standing::Ended { why: Some(why) } => Some(Err(why.clone())),
                Standing::Ended { why: None } => Some(Err("the worker has ended".into())),
            };
        }
        inner.standing = standing;
        inner.watchers.retain(|watcher| {
            let _ = watcher.try_send(()); // full: it will look anyway
            !watcher.is_closed()
        });
    }

    /// Gets a message at each change; several may become one.
    pub fn changes(&self) -> Receiver<()> {
        let (tell, told) = rt::bounded(1);
        self.lock().watchers.push(tell);
        told
    }

    /// Waits until the first attempt to join has ended.
    ///
    /// # Errors
    /// Why it failed; further attempts may follow.
    pub async fn first_attempt(&self) -> Result<(), String> {
        let changes = self.changes();
        loop {
            if let Some(first) = self.lock().first.clone() {
                return first;
            }
            let _ = changes.recv().await; // `self` keeps the other end
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        lock(&self.0)
    }
}

impl Standing {
    /// As the API names it.
    pub fn word(&self) -> &'static str {
        match self {
            Standing::Connecting => "connecting",
            Standing::Joined => "joined",
            Standing::Waiting { .. } => "waiting",
            Standing::Leaving => "leaving",
            Standing::Ended { .. } => "ended",
        }
    }

    /// Why it is not joined.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Standing::Waiting { why, .. } => Some(why.clone()),
            Standing::Ended { why } => why.clone(),
            _ => None,
        }
    }

    /// Milliseconds until it tries again.
    pub fn retry_in_ms(&self) -> Option<u64> {
        match self {
            Standing::Waiting { until_ms, .. } => Some(until_ms.saturating_sub(clock::now_ms())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_remembered_and_changes_are_told() {
        let membership = Membership::default();
        let changes = membership.changes();
        membership.set(Standing::Waiting { why: "no".into(), until_ms: 0 });
        membership.set(Standing::Connecting);
        assert_eq!(rt::block_on(membership.first_attempt()), Err("no".into()));
        assert!(changes.try_recv().is_ok() && changes.try_recv().is_err());
        membership.join("c");
        assert!(membership.joined() && membership.ever_joined());
        assert_eq!(rt::block_on(membership.first_attempt()), Err("no".into()));
        drop(changes);
        membership.set(Standing::Leaving);
        assert!(membership.lock().watchers.is_empty());
    }
}
