//! `/healthz`, `/readyz`, `/version`: for whoever watches the program.

use crate::cluster::NodeStatus;
use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::orchestrator::Orchestrator;
use crate::types::{Health, Version};
use crate::version::{COMMIT, VERSION};
use crate::worker::Worker;

/// What the document says of this.
pub const ALIVE: Operation = Operation {
    id: "getHealth",
    tag: "program",
    summary: "It answers",
    answers: &[Answer::of(200, "It does.").with(&[Content::json::<Health>()])],
    ..Operation::NONE
};

/// `GET /healthz`: it answers.
pub fn alive() -> Result<Reply, Problem> {
    Ok(Reply::json(200, &Health { status: "ok".into(), active_nodes: None }))
}

/// What the document says of this.
pub const READY: Operation = Operation {
    id: "getReadiness",
    tag: "program",
    summary: "An orchestrator takes calls; a worker is a member of its cluster",
    answers: &[Answer::of(200, "It is ready.").with(&[Content::json::<Health>()])],
    errors: &["stopping", "not_joined"],
    ..Operation::NONE
};

/// `GET /readyz` of an orchestrator: it takes calls. Whether any node can run them is told beside it.
pub fn orchestrator_ready(app: &Orchestrator) -> Result<Reply, Problem> {
    if app.stopping() {
        return Err(Problem::stopping());
    }
    let active = app.state.read(|c| c.nodes().filter(|n| n.status == NodeStatus::Active).count());
    Ok(Reply::json(200, &Health { status: "ok".into(), active_nodes: Some(active as u64) }))
}

/// What the document says of this.
pub const VERSION_OF: Operation = Operation {
    id: "getVersion",
    tag: "program",
    summary: "Version, commit and role",
    answers: &[Answer::of(200, "These.").with(&[Content::json::<Version>()])],
    ..Operation::NONE
};

/// `GET /version` of an orchestrator.
pub fn orchestrator_version(app: &Orchestrator) -> Result<Reply, Problem> {
    Ok(version("orchestrator", Some(app.cluster_id.clone()), None))
}

/// `GET /readyz` of a worker: it is a member of its cluster.
pub fn worker_ready(worker: &Worker) -> Result<Reply, Problem> {
    match worker.membership.joined() {
        true => Ok(Reply::json(200, &Health { status: "ok".into(), active_nodes: None })),
        false => {
            let detail = format!("this worker is not connected to its orchestrator, {}", worker.orchestrator);
            Err(Problem::new(503, "not_joined", detail).retry_after(2))
        }
    }
}

/// `GET /version` of a worker.
pub fn worker_version(worker: &Worker) -> Result<Reply, Problem> {
    Ok(version("worker", None, Some(worker.id.clone())))
}

fn version(role: &str, cluster: Option<String>, node: Option<String>) -> Reply {
    Reply::json(200, &Version { version: VERSION.into(), commit: COMMIT.into(), role: role.into(), cluster, node })
}
