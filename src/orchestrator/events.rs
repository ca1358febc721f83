//! The cluster's recent history: a bounded ring that anyone may follow. A slow follower misses lines, never holds any up.

use crate::clock;
use crate::cluster::{Cluster, Event as Fact, InstanceKey, NodeKey, Revision};
use crate::rt::{self, Receiver, Sender};
use crate::types::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events kept: enough for a dashboard's scrollback.
const KEPT: usize = 10_000;

/// The ring.
pub struct EventLog {
    inner: Mutex<Inner>,
}

struct Inner {
    ring: VecDeque<Arc<Event>>,
    next_id: u64,
    followers: Vec<Sender<()>>,
}

/// Reads the ring from a place on, waiting at its end.
pub struct Follower {
    log: Arc<EventLog>,
    after: u64,
    told: Receiver<()>,
}

/// What a follower finds.
pub enum Next {
    Events(Vec<Arc<Event>>),
    /// So many events that should come next are no longer kept.
    Missed(u64),
}

impl EventLog {
    /// Ids count up from `first_id`, which must be above those of earlier starts.
    pub fn new(first_id: u64) -> Self {
        EventLog { inner: Mutex::new(Inner { ring: VecDeque::new(), next_id: first_id, followers: Vec::new() }) }
    }

    /// Adds one and writes it to the program's log.
    pub fn tell(&self, told: Told) {
        let level = match told.level {
            "error" => log::Level::Error,
            "warn" => log::Level::Warn,
            _ => log::Level::Info,
        };
        log::log!(level, "{}", told.message);
        let mut inner = self.lock();
        inner.next_id += 1;
        let event = Event {
            id: inner.next_id,
            time: clock::rfc3339(clock::unix_ms()),
            kind: told.kind.into(),
            level: told.level.into(),
            message: told.message,
            node: told.node,
            function: told.function,
        };
        inner.ring.push_back(Arc::new(event));
        while inner.ring.len() > KEPT {
            inner.ring.pop_front();
        }
        inner.followers.retain(|follower| !matches!(follower.try_send(()), Err(e) if e.is_closed()));
    }

    /// Follows from after an id; without one, from now on.
    pub fn follow(self: &Arc<Self>, after: Option<u64>) -> Follower {
        let (tell, told) = rt::bounded(1);
        let mut inner = self.lock();
        inner.followers.push(tell);
        let after = after.map_or(inner.next_id, |id| id.min(inner.next_id)); // an id that was never given is now
        Follower { log: self.clone(), after, told }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// The next events, at most 256 at once; waits when there are none.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.ready() {
                return next;
            }
            if self.told.recv().await.is_err() {
                std::future::pending::<()>().await; // the log lives as long as the program
            }
        }
    }

    fn ready(&mut self) -> Option<Next> {
        let inner = self.log.lock();
        let oldest = inner.ring.front()?.id;
        let missed = oldest.saturating_sub(self.after + 1);
        if missed > 0 && self.after != 0 && inner.ring.len() >= KEPT {
            self.after = oldest - 1;
            return Some(Next::Missed(missed));
        }
        let from = inner.ring.partition_point(|event| event.id <= self.after);
        let events: Vec<_> = inner.ring.range(from..).take(256).cloned().collect();
        self.after = events.last()?.id;
        Some(Next::Events(events))
    }
}

/// An event before it has an id and a time.
pub struct Told {
    pub kind: &'static str,
    pub level: &'static str,
    pub message: String,
    pub node: Option<String>,
    pub function: Option<String>,
}

/// What a fact reads like. Kinds are stable; the README lists them.
pub fn describe(fact: &Fact, cluster: &Cluster) -> Option<Told> {
    let name = |key: NodeKey| cluster.node(key).map_or_else(|| "?".to_string(), |n| n.spec.name.clone());
    let id = |key: NodeKey| cluster.node(key).map(|n| n.spec.id.clone());
    let node = |kind, level, key, message| Told { kind, level, message, node: id(key), function: None };
    let function = |kind, level, revision: &Revision, message| {
        let function = Some(revision.function.to_string());
        Told { kind, level, message, node: None, function }
    };
    let on_node = |kind, level, key, revision: &Revision, instance: &InstanceKey, what: &str| Told {
        function: Some(revision.function.to_string()),
        ..node(kind, level, key, format!("Function '{}': instance {instance} {what}", revision.function))
    };
    let told = match fact {
        Fact::NodeJoined { node: key, again, .. } => {
            let verb = if *again { "has rejoined" } else { "has joined" };
            node("node.joined", "info", *key, format!("Node '{}' {verb} the cluster", name(*key)))
        }
        Fact::NodeLost { node: key, name, why } => {
            node("node.lost", "warn", *key, format!("Node '{name}' is disconnected: {why}"))
        }
        Fact::NodeLeft { node: key, name } => {
            node("node.left", "info", *key, format!("Node '{name}' has left the cluster"))
        }
        Fact::NodeCordoned { node: key } => {
            node("node.cordoned", "info", *key, format!("Node '{}' is cordoned: it gets nothing new", name(*key)))
        }
        Fact::NodeUncordoned { node: key } => {
            node("node.uncordoned", "info", *key, format!("Node '{}' takes work again", name(*key)))
        }
        Fact::NodeDraining { node: key } => {
            node("node.draining", "info", *key, format!("Node '{}' is draining: it finishes what it has", name(*key)))
        }
        Fact::NodeDrained { node: key } => {
            node("node.drained", "info", *key, format!("Node '{}' is drained: nothing runs there", name(*key)))
        }
        Fact::NodeEngines { node: key } => {
            let spec = cluster.node(*key).map(|n| n.spec.clone()).unwrap_or_default();
            let engines: Vec<&str> = spec.engines.iter().map(String::as_str).collect();
            let text = format!("Node '{}' can run functions with: {}", spec.name, engines.join(", "));
            match spec.engine_trouble.as_str() {
                "" => node("node.engines", "info", *key, text),
                trouble => node("node.engines", "warn", *key, format!("{text} ({trouble})")),
            }
        }
        Fact::NodeRemoved { id, name, .. } => Told {
            kind: "node.removed",
            level: "info",
            message: format!("Node '{name}' was removed"),
            node: Some(id.clone()),
            function: None,
        },
        Fact::FunctionPut { revision, first } => Told {
            kind: if *first { "function.registered" } else { "function.updated" },
            level: "info",
            message: match first {
                true => format!("Function '{}' is registered ({})", revision.function, revision.image),
                false => {
                    format!("Function '{}' has revision {} ({})", revision.function, revision.number, revision.image)
                }
            },
            node: None,
            function: Some(revision.function.to_string()),
        },
        Fact::FunctionScaled { revision: r } => function(
            "function.scaled",
            "info",
            r,
            format!("Function '{}' has min {}, ready {}, max {}", r.function, r.min, r.ready, r.max),
        ),
        Fact::RevisionServing { before: None, .. } => return None,
        Fact::RevisionServing { revision: r, before: Some(before) } => {
            let text = format!("Function '{}': revision {} serves in place of {before}", r.function, r.number);
            function("function.serving", "info", r, text)
        }
        Fact::RevisionFailed { revision: r, serving, why } => {
            let text = format!("Function '{}': revision {} failed, {serving} serves on: {why}", r.function, r.number);
            function("function.failed", "error", r, text)
        }
        Fact::ModeResolved { revision } => Told {
            kind: "function.resolved",
            level: "info",
            message: match revision.is_job() {
                true => format!("Function '{}' is a job: its image exposes no port", revision.function),
                false => format!("Function '{}' is an http function: its image exposes a port", revision.function),
            },
            node: None,
            function: Some(revision.function.to_string()),
        },
        Fact::FunctionDeleted { name } => Told {
            kind: "function.deleted",
            level: "info",
            message: format!("Function '{name}' is deleted"),
            node: None,
            function: Some(name.to_string()),
        },
        Fact::InstanceStarting { instance, node: key, revision } => Told {
            function: Some(revision.function.to_string()),
            ..node(
                "instance.starting",
                "info",
                *key,
                format!("Function '{}': starting instance {instance} on node '{}'", revision.function, name(*key)),
            )
        },
        Fact::InstanceWarm { instance, node: key, revision } => Told {
            function: Some(revision.function.to_string()),
            ..node(
                "instance.warm",
                "info",
                *key,
                format!("Function '{}': instance {instance} on node '{}' is warm", revision.function, name(*key)),
            )
        },
        Fact::InstanceStopping { instance, node: key } => {
            node("instance.stopping", "info", *key, format!("Stopping instance {instance} on node '{}'", name(*key)))
        }
        Fact::InstanceFrozen { instance, node: key, revision } => {
            on_node("instance.frozen", "info", *key, revision, instance, "is idle and frozen: the next call wakes it")
        }
        Fact::InstanceEvicted { instance, node: key, revision } => {
            let what = format!("goes, for its node '{}' is short of memory", name(*key));
            on_node("instance.evicted", "warn", *key, revision, instance, &what)
        }
        Fact::InstanceEnded { instance, node: key, revision, started, why } => Told {
            function: Some(revision.function.to_string()),
            ..node(
                if *started { "instance.ended" } else { "instance.failed" },
                "warn",
                *key,
                format!("Function '{}': instance {instance} on node '{}': {why}", revision.function, name(*key)),
            )
        },
        Fact::ModeWanted { .. } | Fact::InstanceThawing { .. } => return None,
        Fact::InvocationAssigned(_) | Fact::InvocationQueued { .. } | Fact::InvocationFailed { .. } => return None,
    };
    Some(told)
}
