//! The cluster's recent history, and what each fact reads like. Never holds up who tells it.

use super::store::{EVENTS_KEPT, Store};
use super::tasks;
use crate::auth::Caller;
use crate::clock;
use crate::cluster::{Cluster, Event as Fact, InstanceKey, NodeKey, Revision};
use crate::logging;
use crate::ring::{Follower, Ring};
use crate::types::Event;
use std::sync::Arc;

/// Bytes in all of those that are held: reasons come from nodes, and may be long.
const KEPT_BYTES: usize = 16 << 20;

/// The history.
pub struct EventLog {
    ring: Arc<Ring<Event>>,
    store: Arc<Store>,
}

impl EventLog {
    /// Goes on from what an earlier life told. Ids count up from `first_id`, which must be above those of earlier lives.
    pub fn new(first_id: u64, earlier: Vec<Event>, store: Arc<Store>) -> Self {
        let ring = Ring::new(EVENTS_KEPT, KEPT_BYTES, first_id);
        earlier.into_iter().for_each(|event| ring.put_back(event.id, bytes(&event.message), event));
        EventLog { ring: Arc::new(ring), store }
    }

    /// Adds one. On disk it is no later than any write queued after this.
    pub fn add(&self, told: &Told) {
        let time = clock::rfc3339(clock::unix_ms());
        let event = self.ring.push(bytes(&told.message), |id| Event {
            id,
            time,
            kind: told.kind.into(),
            level: told.level.into(),
            message: told.message.clone(),
            node: told.node.clone(),
            function: told.function.clone(),
            task: told.task.clone(),
            actor: told.actor.clone(),
            from: told.from.clone(),
        });
        self.store.note(event);
    }

    /// Adds one and writes it to the program's log.
    pub fn tell(&self, told: &Told) {
        self.add(told);
        told.log();
    }

    /// Follows from after an id; without one, from now on.
    pub fn follow(&self, after: Option<u64>) -> Follower<Event> {
        self.ring.follow(after)
    }

    /// The last of those kept that tells of a function.
    pub fn last_of(&self, function: &str) -> Option<Arc<Event>> {
        self.ring.last(|event| event.function.as_deref() == Some(function))
    }

    /// The id of the last one that is kept; 0 when none is.
    pub fn newest(&self) -> u64 {
        self.ring.newest()
    }
}

/// An event before it has an id and a time.
#[derive(Default)]
pub struct Told {
    pub kind: &'static str,
    pub level: &'static str,
    pub message: String,
    pub node: Option<String>,
    pub function: Option<String>,
    /// A task's id.
    pub task: Option<String>,
    /// The name of the token it was done with.
    pub actor: Option<String>,
    /// The address that came from.
    pub from: Option<String>,
}

impl Told {
    /// Says who did it, and from where.
    pub fn by(mut self, caller: &Caller) -> Self {
        if let Some(actor) = &caller.name {
            self.message = format!("{} (by {actor})", self.message);
            self.actor = Some(actor.to_string());
        }
        self.from = caller.from.map(|address| address.to_canonical().to_string());
        self
    }

    /// Writes it to the program's log.
    pub fn log(&self) {
        let level = match self.level {
            "error" => log::Level::Error,
            "warn" => log::Level::Warn,
            _ => log::Level::Info,
        };
        let named = [
            ("kind", Some(self.kind)),
            ("node", self.node.as_deref()),
            ("function", self.function.as_deref()),
            ("task", self.task.as_deref()),
            ("token", self.actor.as_deref()),
            ("from", self.from.as_deref()),
        ];
        let about = named.iter().filter_map(|(name, value)| value.map(|value| (*name, value.into())));
        logging::about(level, &about.collect::<Vec<_>>(), format_args!("{}", self.message));
    }
}

fn bytes(message: &str) -> usize {
    size_of::<Event>() + message.len()
}

/// What a fact reads like. Kinds are stable; the README lists them.
pub fn describe(fact: &Fact, cluster: &Cluster) -> Option<Told> {
    let name = |key: NodeKey| cluster.node(key).map_or_else(|| "?".to_string(), |n| n.spec.name.clone());
    let id = |key: NodeKey| cluster.node(key).map(|n| n.spec.id.clone());
    let node = |kind, level, key, message| Told { kind, level, message, node: id(key), ..Told::default() };
    let function = |kind, level, revision: &Revision, message| {
        let function = Some(revision.function.to_string());
        Told { kind, level, message, function, ..Told::default() }
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
        Fact::NodeRevoked { node: key } => {
            let text = format!("Node '{}' is revoked: it is not let in again", name(*key));
            node("node.revoked", "warn", *key, text)
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
            ..Told::default()
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
            function: Some(revision.function.to_string()),
            ..Told::default()
        },
        Fact::FunctionScaled { revision: r } => function(
            "function.scaled",
            "info",
            r,
            format!("Function '{}' has min {}, ready {}, max {}", r.function, r.min, r.ready, r.max),
        ),
        Fact::FunctionStopped { revision: r, stopped: true } => {
            function("function.stopped", "info", r, format!("Function '{}' is stopped", r.function))
        }
        Fact::FunctionStopped { revision: r, stopped: false } => {
            function("function.started", "info", r, format!("Function '{}' is started", r.function))
        }
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
            function: Some(revision.function.to_string()),
            ..Told::default()
        },
        Fact::FunctionDeleted { name } => Told {
            kind: "function.deleted",
            level: "info",
            message: format!("Function '{name}' is deleted"),
            function: Some(name.to_string()),
            ..Told::default()
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
        Fact::InstancesUnwanted { node: key, instances } => {
            let message =
                format!("Stopping what is not wanted on node '{}': {} instances", name(*key), instances.len());
            node("instance.unwanted", "info", *key, message)
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
        Fact::TaskSubmitted { .. }
        | Fact::TaskChanged { .. }
        | Fact::TaskNoted { .. }
        | Fact::TaskPlace { .. }
        | Fact::TaskStop { .. }
        | Fact::TaskForget { .. }
        | Fact::TaskGone { .. } => return tasks::describe(fact, cluster),
        Fact::InvocationAssigned(_) | Fact::InvocationElsewhere { .. } => return None,
        Fact::InvocationQueued { .. } | Fact::InvocationFailed { .. } => return None,
    };
    Some(told)
}
