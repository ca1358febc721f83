//! What facts about tasks read like in the cluster's history.

use crate::cluster::{Cluster, Event as Fact, NodeKey, Task, TaskKey, TaskState};
use crate::orchestrator::events::Told;

/// What a fact reads like, if it is one about a task that people are told.
pub fn describe(fact: &Fact, cluster: &Cluster) -> Option<Told> {
    let (kind, level, key, text) = match fact {
        Fact::TaskSubmitted { task, again: false } => {
            let of = cluster.task(*task)?;
            let by_node = if of.local { " at its node" } else { "" };
            ("task.submitted", "info", *task, format!("was submitted{by_node} ({})", of.spec.image))
        }
        Fact::TaskPlace { task, node, attempt } => {
            let text = format!("goes to node '{}' (attempt {attempt})", node_name(cluster, *node));
            ("task.scheduled", "info", *task, text)
        }
        Fact::TaskChanged { task, from, to } => {
            let (kind, level, text) = changed(cluster, *task, *from, *to)?;
            (kind, level, *task, text)
        }
        Fact::TaskGone { id, local: false, .. } => {
            let message = format!("Task '{id}' is forgotten");
            let task = Some(id.to_string());
            return Some(Told { kind: "task.deleted", level: "info", message, task, ..Told::default() });
        }
        _ => return None,
    };
    let task = cluster.task(key)?;
    let node = task.node.and_then(|node| Some(cluster.node(node)?.spec.id.clone()));
    let message = format!("Task {} {text}", shown(task));
    Some(Told { kind, level, message, node, task: Some(task.id.to_string()), ..Told::default() })
}

fn changed(
    cluster: &Cluster,
    key: TaskKey,
    from: TaskState,
    to: TaskState,
) -> Option<(&'static str, &'static str, String)> {
    let task = cluster.task(key)?;
    let why = task.progress.reason.as_str();
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    let on = task.node.map(|node| format!(" on node '{}'", node_name(cluster, node))).unwrap_or_default();
    Some(match to {
        TaskState::Running => ("task.running", "info", format!("runs{on}")),
        TaskState::Completed => ("task.completed", "info", format!("is completed{on}")),
        TaskState::Failed => ("task.failed", "error", format!("has failed{on}{because}")),
        TaskState::Stopped => ("task.stopped", "info", format!("is stopped{on}")),
        TaskState::Stopping => ("task.stopping", "info", format!("is being stopped{on}")),
        TaskState::Pending if from.is_end() => ("task.started", "info", "is started again".into()),
        TaskState::Pending => ("task.pending", "warn", format!("is to be placed again{because}")),
        TaskState::Scheduled => return None, // `TaskPlace` says where
    })
}

fn shown(task: &Task) -> String {
    match task.name() == &*task.id {
        true => format!("'{}'", task.id),
        false => format!("'{}' ({})", task.name(), task.id),
    }
}

fn node_name(cluster: &Cluster, node: NodeKey) -> &str {
    cluster.node(node).map_or("?", |node| node.spec.name.as_str())
}
