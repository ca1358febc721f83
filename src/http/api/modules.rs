//! `/api/workers`, `/api/health`: how workers in any language join over HTTP alone. The paths, the names and the statuses
//! are the specification's.

use super::page::{Page, Piece, ROWS_MAX};
use crate::auth::Caller;
use crate::body::Body;
use crate::clock;
use crate::cluster::{Command, Node, NodeStatus, Reach};
use crate::http::front;
use crate::http::openapi::{AFTER, Answer, Content, Kind, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{self, Call, Reply, Streamed};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::endpoints::Endpoint;
use crate::orchestrator::http_nodes::{self, HEARTBEAT_S, NotYours};
use crate::orchestrator::identities::Stranger;
use crate::orchestrator::join_refused;
use crate::types::{
    Done, OrchestratorHealth, WorkerAcknowledged, WorkerHeartbeat, WorkerNode, WorkerRegistered, WorkerRegistration,
};
use hyper::Response;
use std::sync::Arc;
use std::time::Duration;

/// For a registration's host to be looked up.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// What the document says of this.
pub const REGISTER: Operation = Operation {
    id: "registerWorker",
    tag: "workers",
    summary: "A worker that is called over HTTP joins, or joins again",
    body: &[Content::json::<WorkerRegistration>()],
    answers: &[Answer::of(200, "It is a member.").with(&[Content::json::<WorkerRegistered>()])],
    errors: &[
        "too_large",
        "body_timeout",
        "endpoint_not_allowed",
        "worker_not_yours",
        "worker_id_taken",
        "worker_refused",
    ],
    ..Operation::NONE
};

/// `POST /api/workers/register`
pub async fn register(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let Streamed { request, peer, by, .. } = asked;
    let body = front::whole_body(request.into_body(), &app.limits).await?;
    let registered = join(&app, route::object(&body)?, peer.ip(), &by).await;
    registered
        .inspect_err(|problem| app.tell_worker_refused(peer, &problem.detail))
        .map(|told| Reply::json(200, &told).into())
}

async fn join(
    app: &Orchestrator,
    registration: WorkerRegistration,
    peer: std::net::IpAddr,
    by: &Caller,
) -> Result<WorkerRegistered, Problem> {
    let mut spec = http_nodes::node(&registration.worker_node)?;
    let load = registration.worker_node.current_load;
    let not_allowed = |why: String| Problem::new(400, "endpoint_not_allowed", format!("workerNode.endpoint: {why}"));
    let bad = |why: String| Problem::new(400, "invalid_field", format!("workerNode.endpoint: {why}"));
    let endpoint = Endpoint::read(&spec.address).map_err(bad)?;
    let looked_up = clock::timeout(LOOK_UP_LIMIT, app.http_workers.endpoints().look_up(&endpoint, peer)).await;
    looked_up.unwrap_or_else(|| Err("its host could not be looked up in time".into())).map_err(not_allowed)?;
    let known = worker(app, &spec.id);
    if let Some(node) = &known {
        speak(node, by)?;
        let moves = node.status != NodeStatus::Disconnected && node.spec.address != spec.address;
        if moves && !http_nodes::is_admin(by) {
            let detail = format!(
                "workerNode.id: a worker '{}' is connected, at another endpoint: choose another id, or unregister it first",
                spec.id
            );
            return Err(Problem::new(409, "worker_id_taken", detail));
        }
    }
    if let Err(stranger @ Stranger::Plain) = app.identities.check(&spec.id, None) {
        let detail = format!("workerNode.id: '{}' is a node's that proves itself: {stranger}", spec.id);
        return Err(Problem::new(403, "worker_not_yours", detail));
    }
    spec.digest = http_nodes::bind(known.as_ref(), by);
    let id = spec.id.clone();
    let applied = app.state.apply_by(Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }, by);
    let applied = applied.map_err(|refusal| Problem::new(409, "worker_refused", join_refused(&refusal)))?;
    let (node, session) =
        applied.joined().ok_or_else(|| Problem::new(500, "internal", "the registration was not recorded"))?;
    app.http_workers.open(node, session, endpoint, peer, load);
    let _ = app.state.apply(Command::SetReach { node, session, reach: Reach::Http }); // replaced meanwhile
    if let Err(error) = applied.kept().await {
        log::warn!("Worker '{id}' has registered, which is not on disk yet: {error}"); // a full disk keeps no node out
    }
    Ok(WorkerRegistered { success: true, worker_id: id, heartbeat_interval_seconds: HEARTBEAT_S })
}

/// What the document says of this.
pub const HEARTBEAT: Operation = Operation {
    id: "beatForWorker",
    tag: "workers",
    summary: "Such a worker is still there",
    body: &[Content::json::<WorkerHeartbeat>()],
    answers: &[
        Answer::of(200, "Whether it is known; else it registers again.").with(&[Content::json::<WorkerAcknowledged>()])
    ],
    errors: &["worker_not_yours"],
    ..Operation::NONE
};

/// `POST /api/workers/heartbeat`
pub fn heartbeat(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let heartbeat: WorkerHeartbeat = call.json()?;
    let node = worker(app, &heartbeat.worker_id).filter(|n| n.spec.http && n.status != NodeStatus::Disconnected);
    let told = match node {
        Some(node) => {
            speak(&node, call.by())?;
            let (key, session) = (node.key, node.session);
            let beat = Command::Beat { node: key, session, cpu_percent: None, memory_percent: None };
            let acknowledged = app.state.apply(beat).is_ok();
            app.http_workers.says_load(key, session, heartbeat.current_load);
            WorkerAcknowledged { acknowledged, should_drain: node.status == NodeStatus::Draining }
        }
        None => WorkerAcknowledged { acknowledged: false, should_drain: false },
    };
    Ok(Reply::json(200, &told))
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listWorkers",
    tag: "workers",
    summary: "All nodes, in the words of the modules' API",
    parameters: &[
        Parameter::query("limit", Kind::Number(1, ROWS_MAX as u64), "Rows at most; 1,000 when left out."),
        AFTER,
    ],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<WorkerNode>>()])],
    ..Operation::NONE
};

/// `GET /api/workers`: all nodes, however they joined.
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = |worker: &WorkerNode| worker.id.clone();
    let said = app.http_workers.loads();
    let row = |node: &Node| Some(http_nodes::view(node, said.get(&node.key).copied().unwrap_or(0)));
    let page = Page::of_cluster(call, ROWS_MAX, &app.state, id, |cluster, behind, most| {
        Piece::of(cluster.nodes_behind(behind), most, |n| &n.spec.id, row)
    });
    Ok(page?.reply())
}

/// What the document says of this.
pub const UNREGISTER: Operation = Operation {
    id: "unregisterWorker",
    tag: "workers",
    summary: "Ends the calls that run on such a worker, and forgets it",
    answers: &[Answer::of(200, "It is gone.").with(&[Content::json::<Done>()])],
    errors: &["node_not_found", "node_connected", "worker_not_yours", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /api/workers/ID`: calls that run there end.
pub fn unregister(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = call.param(0);
    let node = worker(app, id).ok_or_else(|| Problem::no_node_named(id))?;
    match http_nodes::may_speak(&node, call.by()) {
        Err(NotYours::JoinedOtherwise) if call.by().admin => {}
        may => may.map_err(|why| not_yours(&node, why))?,
    }
    if node.spec.http {
        let (key, session) = (node.key, node.session);
        let _ = app.state.apply(Command::Leave { node: key, session }); // it may have gone by itself
        let why = "it was unregistered".to_string();
        let _ = app.state.apply(Command::Disconnect { node: key, session, why });
    }
    super::nodes::remove(app, call)?;
    Ok(Reply::json(200, &Done { success: true }))
}

/// What the document says of this.
pub const HEALTH: Operation = Operation {
    id: "getClusterHealth",
    tag: "workers",
    summary: "It answers, and so many nodes take work",
    answers: &[Answer::of(200, "It answers.").with(&[Content::json::<OrchestratorHealth>()])],
    ..Operation::NONE
};

/// `GET /api/health`
pub fn health(app: &Orchestrator) -> Result<Reply, Problem> {
    let available = |n: &&Node| n.status == NodeStatus::Active && !n.cordoned;
    let available_workers = app.state.read(|c| c.nodes().filter(available).count());
    let timestamp = clock::rfc3339(clock::unix_ms());
    Ok(Reply::json(200, &OrchestratorHealth { status: "healthy".into(), available_workers, timestamp }))
}

fn worker(app: &Orchestrator, id: &str) -> Option<Node> {
    app.state.read(|c| c.find_node(id).filter(|n| n.spec.id == id).cloned())
}

fn speak(node: &Node, by: &Caller) -> Result<(), Problem> {
    http_nodes::may_speak(node, by).map_err(|why| not_yours(node, why))
}

fn not_yours(node: &Node, why: NotYours) -> Problem {
    let detail = match why {
        NotYours::JoinedOtherwise => format!("the node '{}' joined over gRPC: choose another id", node.spec.id),
        NotYours::OtherToken => {
            format!("the worker '{}' was registered with another token: use that one, or another id", node.spec.id)
        }
    };
    Problem::new(403, "worker_not_yours", detail)
}
