//! `/nodes`: look, cordon, uncordon, drain, remove.

use crate::body::Body;
use crate::clock;
use crate::cluster::{Command, Node, NodeKey, NodeStatus, Refusal};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed};
use crate::http::watch::Feed;
use crate::orchestrator::Orchestrator;
use crate::types;
use hyper::Response;
use std::sync::Arc;

/// `GET /nodes`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let (page, next) = app.state.read(|cluster| {
        let (page, next) = super::page(call, cluster.nodes_behind(""), |n| n.spec.id.clone())?;
        Ok::<_, Problem>((page.into_iter().map(view).collect::<Vec<_>>(), next))
    })?;
    let mut reply = Reply::json(200, &page);
    reply.headers.extend(next.map(|link| ("Link", link)));
    Ok(reply)
}

/// `GET /nodes?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    app.watches.nodes.answer(&app.state, &app.watches.places, &asked)
}

/// All nodes as they change.
pub fn feed() -> Arc<Feed<types::Node>> {
    Feed::new(|cluster, behind, most| cluster.nodes_behind(behind).take(most).map(view).collect(), |node| &node.id)
}

/// `GET /nodes/ID`, by id or name
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    shown(app, call.param(0))
}

/// `DELETE /nodes/ID`
pub fn remove(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::RemoveNode { node })?;
    Ok(Reply::nothing())
}

/// `POST /nodes/ID/cordon`
pub fn cordon(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Cordon { node })?;
    shown(app, call.param(0))
}

/// `POST /nodes/ID/uncordon`
pub fn uncordon(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Uncordon { node })?;
    shown(app, call.param(0))
}

/// `POST /nodes/ID/drain`
pub fn drain(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Drain { node })?;
    shown(app, call.param(0))
}

fn command(app: &Orchestrator, call: &Call, command: impl Fn(NodeKey) -> Command) -> Result<(), Problem> {
    let id = call.param(0);
    let node = app.state.read(|c| c.find_node(id).map(|n| n.key)).ok_or_else(|| Problem::no_node_named(id))?;
    match app.state.apply_kept(command(node), call.by()) {
        Ok(kept) => kept.map(drop).map_err(Problem::from),
        Err(Refusal::NodeConnected) => {
            let detail =
                format!("node '{id}' is connected: stop its worker first; it can be removed once it is disconnected");
            Err(Problem::new(409, "node_connected", detail))
        }
        Err(Refusal::NodeDisconnected) => {
            Err(Problem::new(409, "node_disconnected", format!("node '{id}' is disconnected: nothing runs there")))
        }
        Err(_) => Err(Problem::no_node_named(id)),
    }
}

fn shown(app: &Orchestrator, id: &str) -> Result<Reply, Problem> {
    let node = app.state.read(|c| c.find_node(id).map(view));
    node.map(|node| Reply::json(200, &node)).ok_or_else(|| Problem::no_node_named(id))
}

fn view(node: &Node) -> types::Node {
    let spec = &node.spec;
    let there = node.status != NodeStatus::Disconnected;
    types::Node {
        id: spec.id.clone(),
        name: spec.name.clone(),
        status: node.status.word().into(),
        cordoned: node.cordoned,
        address: spec.address.clone(),
        hostname: spec.hostname.clone(),
        os: spec.os.clone(),
        arch: spec.arch.clone(),
        cpus: spec.cpus,
        memory_bytes: spec.memory_bytes,
        tools: spec.tools.iter().cloned().collect(),
        tags: spec.tags.clone(),
        engines: spec.engines.iter().cloned().collect(),
        engine_trouble: spec.engine_trouble.clone(),
        version: spec.version.clone(),
        cpu_percent: node.cpu_percent.filter(|_| there),
        memory_percent: node.memory_percent.filter(|_| there),
        slots: spec.slots,
        job_slots: spec.job_slots,
        running: node.running,
        succeeded: node.succeeded,
        failed: node.failed,
        last_seen: clock::rfc3339(clock::unix_ms_at(node.last_seen)),
        reach: node.reach.word().into(),
    }
}
