//! Tasks as everybody sees them.

use super::spec::request;
use crate::clock;
use crate::cluster::{Cluster, Node, Pull, Task, TaskPort, TaskState};
use crate::types::{self, TaskPhase, TaskStatus, TaskSummary};

/// One task, whole.
pub fn status(task: &Task, cluster: &Cluster) -> TaskStatus {
    let (progress, node) = (&task.progress, node_of(task, cluster));
    let mut request = request(&task.spec);
    request.name = task.name().into();
    if !progress.ports.is_empty() {
        request.ports = progress.ports.iter().map(port).collect();
    }
    let waits = (task.state == TaskState::Pending).then(|| cluster.why_pending(task));
    TaskStatus {
        id: task.id.to_string(),
        state: phase(task.state),
        node: node.map(|node| node.spec.id.clone()),
        node_name: node.map(|node| node.spec.name.clone()),
        attempt: task.attempt,
        restarts: progress.restarts,
        exit_code: progress.exit_code,
        reason: waits.or_else(|| text(&progress.reason)),
        last_lines: text(&progress.last_lines),
        health: text(&progress.health),
        pull: pull(task, node),
        created_at: clock::rfc3339(task.created_unix_ms),
        scheduled_at: time(task.scheduled_unix_ms),
        started_at: time(progress.started_unix_ms),
        ended_at: time(progress.ended_unix_ms).filter(|_| task.state.is_end()),
        request,
    }
}

/// A row of a list.
pub fn summary(task: &Task, cluster: &Cluster) -> TaskSummary {
    let (progress, node) = (&task.progress, node_of(task, cluster));
    TaskSummary {
        id: task.id.to_string(),
        name: task.name().into(),
        image: task.spec.image.clone(),
        state: phase(task.state),
        node: node.map(|node| node.spec.id.clone()),
        node_name: node.map(|node| node.spec.name.clone()),
        attempt: task.attempt,
        restarts: progress.restarts,
        exit_code: progress.exit_code,
        reason: text(&progress.reason),
        health: text(&progress.health),
        pull: pull(task, node),
        created_at: clock::rfc3339(task.created_unix_ms),
        started_at: time(progress.started_unix_ms),
        ended_at: time(progress.ended_unix_ms).filter(|_| task.state.is_end()),
    }
}

/// Once it runs, its image is there: what else is pulled is not for it.
fn pull(task: &Task, node: Option<&Node>) -> Option<types::ImagePull> {
    node.filter(|_| task.state == TaskState::Scheduled)?.pull_of(&task.spec.image).map(Into::into)
}

impl From<&Pull> for types::ImagePull {
    fn from(pull: &Pull) -> Self {
        let Pull { layers, layers_done, bytes, bytes_done, .. } = *pull;
        types::ImagePull { layers, layers_done, bytes, bytes_done }
    }
}

fn node_of<'a>(task: &Task, cluster: &'a Cluster) -> Option<&'a Node> {
    cluster.node(task.node?)
}

/// The JSON word for a state.
pub fn phase(state: TaskState) -> TaskPhase {
    match state {
        TaskState::Pending => TaskPhase::Pending,
        TaskState::Scheduled => TaskPhase::Scheduled,
        TaskState::Running => TaskPhase::Running,
        TaskState::Stopping => TaskPhase::Stopping,
        TaskState::Completed => TaskPhase::Completed,
        TaskState::Failed => TaskPhase::Failed,
        TaskState::Stopped => TaskPhase::Stopped,
    }
}

fn port(port: &TaskPort) -> types::TaskPort {
    types::TaskPort {
        container: port.container,
        host: (port.host > 0).then_some(port.host),
        protocol: Some(if port.udp { "udp" } else { "tcp" }.into()),
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.into())
}

fn time(unix_ms: u64) -> Option<String> {
    (unix_ms > 0).then(|| clock::rfc3339(unix_ms))
}
