//! Workers that join over HTTP alone, between their JSON and the core's nodes; and whose they are. An id is bound to the
//! token that first registered it, and as long as its worker is connected to the endpoint it registered.

use super::grpc::{ENTRIES_MAX, TEXT_MAX};
use super::spec::{Invalid, invalid};
use crate::auth::Caller;
use crate::clock;
use crate::cluster::{Node, NodeSpec, NodeStatus};
use crate::names;
use crate::types::{WorkerCapabilities, WorkerNode};

/// Between two heartbeats.
pub const HEARTBEAT_S: u32 = 5;
/// Modules at once on one worker: each may hold some MiB here.
pub const MODULES_MAX: u32 = 1_024;
/// What they are taken to run.
const ENGINE: &str = "docker";
/// The value of a tag that has none.
const TAGGED: &str = "true";
/// Before a token's name, where other nodes have the digest of their secret: no digest looks like it.
const OWNER: &str = "token:";

/// What a worker said of itself as a node, not yet anybody's.
pub fn node(said: &WorkerNode) -> Result<NodeSpec, Invalid> {
    let WorkerCapabilities { os, installed_tools, max_parallel_modules, tags } = &said.capabilities;
    if said.id.is_empty() || said.id.len() > TEXT_MAX || !said.id.bytes().all(|b| b.is_ascii_graphic()) {
        return invalid("workerNode.id", format!("must be 1 to {TEXT_MAX} printable characters"));
    }
    let Some(name) = names::suggest_name(&said.id) else {
        return invalid("workerNode.id", "must have a letter or a digit in it");
    };
    if !(1..=MODULES_MAX).contains(max_parallel_modules) {
        return invalid("workerNode.capabilities.maxParallelModules", format!("must be 1 to {MODULES_MAX}"));
    }
    let plain = |text: &String| text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
    for (field, texts) in [
        ("workerNode.capabilities.os", std::slice::from_ref(os)),
        ("workerNode.capabilities.installedTools", installed_tools),
        ("workerNode.capabilities.tags", tags),
    ] {
        if texts.len() > ENTRIES_MAX || !texts.iter().all(plain) {
            let why = format!("at most {ENTRIES_MAX} texts of at most {TEXT_MAX} bytes, without control characters");
            return invalid(field, why);
        }
    }
    let tag = |tag: &String| match tag.split_once('=') {
        Some((key, value)) => (key.to_string(), value.to_string()),
        None => (tag.clone(), TAGGED.to_string()),
    };
    Ok(NodeSpec {
        id: said.id.clone(),
        name,
        address: said.endpoint.clone(),
        os: os.to_lowercase(),
        tools: installed_tools.iter().cloned().collect(),
        tags: tags.iter().map(tag).collect(),
        engines: [ENGINE.to_string()].into(),
        slots: *max_parallel_modules,
        job_slots: *max_parallel_modules,
        cpus: *max_parallel_modules, // unsaid: as many as it runs at once
        http: true,
        ..NodeSpec::default()
    })
}

/// Any node as such a worker tells of itself; `said`: its load, in its own words, which counts what others have it do too.
pub fn view(node: &Node, said: u32) -> WorkerNode {
    let spec = &node.spec;
    let connected = node.status != NodeStatus::Disconnected;
    let load = if connected { node.running.max(said) } else { node.running };
    let tag = |(key, value): (&String, &String)| match value.as_str() {
        TAGGED => key.clone(),
        value => format!("{key}={value}"),
    };
    WorkerNode {
        id: spec.id.clone(),
        endpoint: spec.address.clone(),
        capabilities: WorkerCapabilities {
            os: spec.os.clone(),
            installed_tools: spec.tools.iter().cloned().collect(),
            max_parallel_modules: spec.job_slots,
            tags: spec.tags.iter().map(tag).collect(),
        },
        last_heartbeat: Some(clock::rfc3339(clock::unix_ms_at(node.last_seen))),
        current_load: load,
        status: match node.status {
            NodeStatus::Disconnected => "Disconnected",
            NodeStatus::Draining => "Draining",
            NodeStatus::Active if node.cordoned => "Draining",
            NodeStatus::Active if load > 0 => "Busy",
            NodeStatus::Active => "Available",
        }
        .into(),
    }
}

/// Why somebody may not speak for a node.
#[derive(Debug, PartialEq, Eq)]
pub enum NotYours {
    /// It joined over gRPC, and proves itself there.
    JoinedOtherwise,
    /// Another token registered it.
    OtherToken,
}

/// Whether whoever came with a token of that name may speak for a node: everybody where nobody is asked, who registered
/// it, and an admin.
pub fn may_speak(node: &Node, by: &Caller) -> Result<(), NotYours> {
    let digest = &node.spec.digest;
    let owner = digest.strip_prefix(OWNER);
    if owner.is_none() && !(digest.is_empty() && (node.spec.http || node.status == NodeStatus::Disconnected)) {
        return Err(NotYours::JoinedOtherwise);
    }
    let name = by.name.as_deref();
    let may = name.is_none() || owner.is_none() || owner == name || is_admin(by);
    if may { Ok(()) } else { Err(NotYours::OtherToken) }
}

/// Comes with a token, and that may do everything.
pub fn is_admin(by: &Caller) -> bool {
    by.name.is_some() && by.admin
}

/// What binds a node to a token; one that is bound already stays so.
pub fn bind(known: Option<&Node>, by: &Caller) -> String {
    let bound = known.map(|node| node.spec.digest.clone()).filter(|digest| !digest.is_empty());
    bound.unwrap_or_else(|| by.name.as_deref().map(|name| format!("{OWNER}{name}")).unwrap_or_default())
}
