//! `/nodes`: look, cordon, uncordon, drain, revoke, remove.

use super::page::{Page, Piece, ROWS};
use crate::body::Body;
use crate::clock;
use crate::cluster::{Command, Node, NodeKey, NodeStatus, Refusal};
use crate::http::openapi::{AFTER, Answer, Content, LIMIT, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed};
use crate::http::watch::Feed;
use crate::orchestrator::Orchestrator;
use crate::types;
use hyper::Response;
use std::sync::Arc;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listNodes",
    tag: "nodes",
    summary: "All nodes, by id",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<types::Node>>()])],
    ..Operation::NONE
};

/// `GET /nodes`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = |node: &types::Node| node.id.clone();
    let page = Page::of_cluster(call, ROWS, &app.state, id, |cluster, behind, most| {
        Piece::of(cluster.nodes_behind(behind), most, |n| &n.spec.id, |node| Some(view(node)))
    });
    Ok(page?.reply())
}

/// `GET /nodes?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    app.watches.nodes.answer(&app.state, &app.watches.places, &asked)
}

/// All nodes as they change.
pub fn feed() -> Arc<Feed<types::Node>> {
    Feed::new(|cluster, behind, most| cluster.nodes_behind(behind).take(most).map(view).collect(), |node| &node.id)
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getNode",
    tag: "nodes",
    summary: "One node, by id or name",
    answers: &[Answer::of(200, "The node.").with(&[Content::json::<types::Node>()])],
    errors: &["node_not_found"],
    ..Operation::NONE
};

/// `GET /nodes/ID`, by id or name
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    shown(app, call.param(0))
}

/// What the document says of this.
pub const REMOVE: Operation = Operation {
    id: "removeNode",
    tag: "nodes",
    summary: "Forgets a node that is disconnected",
    answers: &[Answer::of(204, "It is gone.")],
    errors: &["node_not_found", "node_connected", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /nodes/ID`
pub fn remove(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::RemoveNode { node })?;
    Ok(Reply::nothing())
}

/// What the document says of this.
pub const CORDON: Operation = Operation {
    id: "cordonNode",
    tag: "nodes",
    summary: "It gets nothing new; what runs goes on",
    answers: &[Answer::of(200, "The node.").with(&[Content::json::<types::Node>()])],
    errors: &["node_not_found", "node_disconnected", "store_failed"],
    ..Operation::NONE
};

/// `POST /nodes/ID/cordon`
pub fn cordon(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Cordon { node })?;
    shown(app, call.param(0))
}

/// What the document says of this.
pub const UNCORDON: Operation = Operation {
    id: "uncordonNode",
    tag: "nodes",
    summary: "It gets work again",
    answers: &[Answer::of(200, "The node.").with(&[Content::json::<types::Node>()])],
    errors: &["node_not_found", "node_disconnected", "store_failed"],
    ..Operation::NONE
};

/// `POST /nodes/ID/uncordon`
pub fn uncordon(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Uncordon { node })?;
    shown(app, call.param(0))
}

/// What the document says of this.
pub const DRAIN: Operation = Operation {
    id: "drainNode",
    tag: "nodes",
    summary: "It gets nothing new and finishes what it has",
    answers: &[Answer::of(200, "The node.").with(&[Content::json::<types::Node>()])],
    errors: &["node_not_found", "node_disconnected", "store_failed"],
    ..Operation::NONE
};

/// `POST /nodes/ID/drain`
pub fn drain(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |node| Command::Drain { node })?;
    shown(app, call.param(0))
}

/// What the document says of this.
pub const REVOKE: Operation = Operation {
    id: "revokeNode",
    tag: "nodes",
    summary: "Ends its connections and what runs there, and does not let it in again",
    answers: &[Answer::of(200, "The node.").with(&[Content::json::<types::Node>()])],
    errors: &["node_not_found", "store_failed"],
    ..Operation::NONE
};

/// `POST /nodes/ID/revoke`: on disk, and its connections ended, when it is answered
pub fn revoke(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = call.param(0);
    let (node, session, name) = app
        .state
        .read(|c| c.find_node(id).map(|n| (n.key, n.session, n.spec.id.clone())))
        .ok_or_else(|| Problem::no_node_named(id))?;
    let applied = app.state.apply_by(Command::Revoke { node }, call.by()).map_err(|_| Problem::no_node_named(id))?;
    if app.state.read(|c| c.node(node).is_some_and(|n| n.revoked)) {
        app.identities.cut(&name, clock::unix_ms());
        app.links.close(node, session);
        app.members.forget(node, session);
    }
    crate::rt::block_on(applied.kept())?;
    shown(app, id)
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
        status: if node.revoked { "revoked" } else { node.status.word() }.into(),
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
