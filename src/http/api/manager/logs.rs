//! `/api/v1/manager/tasks/ID/logs`: what a task printed, as the node that has it tells; followed from node to node.

use super::super::logs::{LINES, Lines, NODE_LIMIT, Wanted, pass_on, since};
use super::tasks::unknown;
use crate::body::Body;
use crate::clock;
use crate::cluster::{Cluster, NodeKey, NodeStatus, TaskState};
use crate::http::openapi::{Answer, Content, FOLLOW, FORMAT, Operation, SINCE, TAIL_OF_A_LOG};
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::orchestrator::Orchestrator;
use crate::rt::{self, Sender};
use crate::types::LogLine;
use hyper::Response;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries to reach the node of a task that is followed.
const AGAIN: Duration = Duration::from_millis(500);

/// What the document says of this.
pub const LOGS: Operation = Operation {
    id: "getTaskLogs",
    tag: "tasks",
    summary: "What a task printed; followed until it ends",
    parameters: &[TAIL_OF_A_LOG, SINCE, FOLLOW, FORMAT],
    answers: &[
        Answer::of(200, "Lines, in the order they were printed.").with(&[Content::Text, Content::lines::<LogLine>()])
    ],
    errors: &["task_not_found", "node_disconnected"],
    ..Operation::NONE
};

/// Where a task is, as far as its log goes.
struct Place {
    state: TaskState,
    attempt: u64,
    /// With its name, and whether it is there.
    node: Option<(NodeKey, String, bool)>,
}

/// `GET /api/v1/manager/tasks/ID/logs?tail=N&since=T&follow=true&format=text|json`
pub async fn of_task(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.into_iter().next().unwrap_or_default();
    let wanted = Wanted::of(&asked.query)?;
    let since_ms = since(&asked.query)?;
    let place = app.state.read(|c| place(c, &id)).ok_or_else(|| unknown(&id))?;
    let ends = !wanted.follow || place.state.is_end(); // nothing more will come of it until then
    if let Some((_, name, false)) = place.node.filter(|_| ends) {
        let detail = format!("node '{name}', which has the log of task {id}, is disconnected: ask when it is back");
        return Err(Problem::new(409, "node_disconnected", detail));
    }
    let (lines, received) = rt::bounded(LINES);
    Ok(wanted.answer_from(received, gather(app, id, since_ms, wanted, lines)))
}

fn place(cluster: &Cluster, id: &str) -> Option<Place> {
    let task = cluster.find_task(id)?;
    let node = task.node.and_then(|node| cluster.node(node));
    let node = node.map(|n| (n.key, n.spec.name.clone(), n.status != NodeStatus::Disconnected));
    Some(Place { state: task.state, attempt: task.attempt, node })
}

/// The lines of the current attempt, then of those that follow, until the task has ended.
async fn gather(app: Arc<Orchestrator>, id: String, since_ms: u64, wanted: Wanted, to: Sender<LogLine>) {
    let Wanted { tail, follow, .. } = wanted;
    let mut told = None;
    loop {
        let armed = app.state.changes.arm();
        let Some(Place { state, attempt, node }) = app.state.read(|c| place(c, &id)) else { return };
        let reachable = node.filter(|(.., there)| *there && (told != Some(attempt) || !state.is_end()));
        if let Some((node, name, _)) = reachable {
            let tail = match told {
                None => tail,
                Some(before) if before == attempt => 0, // it broke off
                Some(_) => usize::MAX,
            };
            let path = format!("/tasks/{id}/logs?tail={tail}&since={since_ms}&follow={follow}");
            let asked = clock::timeout(NODE_LIMIT, app.links.ask(node, &path)).await;
            if let Some(Ok(answer)) = asked.filter(|a| a.as_ref().is_ok_and(|a| a.status().is_success())) {
                told = Some(attempt);
                let mut lines = Lines::new(answer.into_body(), name);
                if pass_on(&mut lines, &to).await.is_none() {
                    return;
                }
            }
            if follow && !state.is_end() {
                clock::after(AGAIN).await; // its start may not have got there yet, or its end not here
                continue;
            }
        }
        if !follow || state.is_end() {
            return;
        }
        app.state.changes.changed(armed).await;
    }
}
