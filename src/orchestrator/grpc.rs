//! The orchestrator's gRPC port: proto to commands and back, and links on the same port. Decides nothing itself.

use super::Orchestrator;
use super::dispatch::link::Changed;
use super::events::Told;
use super::members::Outgoing;
use crate::auth::{self, Needs};
use crate::clock;
use crate::cluster::{Command, Event, InstanceKey, Node, NodeKey, NodeSpec, Reach, Refusal, Reported};
use crate::lanes;
use crate::net::{self, Socket};
use crate::rt::{self, Receiver};
use crate::wire::proto::{self, cluster_service_server::ClusterService};
use crate::{names, rpc, wire};
use async_io::Async;
use futures_lite::{Stream, StreamExt};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// How often a node tells its metrics: fast enough for a live dashboard, and ten chances within a lease.
const HEARTBEAT_MS: u32 = 1_000;
/// Links of all nodes together, beyond one each: a link takes some 30 KB at either end.
const LINKS_IN_ALL: usize = 128;
/// A connection must say what it is within this.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// A peer's words are bounded: they end up in listings.
const TEXT_MAX: usize = 256;
const ENTRIES_MAX: usize = 64;
const TROUBLE_MAX: usize = 1_024;
const SLOTS_MAX: u32 = 65_536;
const REPORTED_MAX: usize = 10_000;
/// Jobs at once on a worker of the first CARES, which does not say: what it can take is unknown, so few.
const FIRST_GENERATION_SLOTS: u32 = 4;
/// And what it runs them with: images were all it knew.
const FIRST_GENERATION_ENGINE: &str = "docker";

/// Between two events about workers that were refused.
const REFUSED_EVERY_MS: u64 = 1_000;

/// Accepts workers until `stop` closes.
pub async fn listen(app: Arc<Orchestrator>, listener: Async<TcpListener>, stop: Receiver<()>) {
    while let Some((stream, peer)) = net::accept(&listener, &stop).await {
        rt::spawn(connection(app.clone(), stream, peer, stop.clone()));
    }
}

async fn connection(app: Arc<Orchestrator>, stream: TcpStream, peer: SocketAddr, stop: Receiver<()>) {
    let Ok(socket) = Socket::over(stream) else { return };
    let Some(Ok(Some(first))) = clock::timeout(FIRST_BYTES, socket.peek_first()).await else { return };
    if first == wire::LINK_PREFACE[0] {
        let changed = {
            let app = app.clone();
            move |changed: Changed| {
                let reach = if changed.linked { Reach::Links } else { Reach::None };
                let command = Command::SetReach { node: changed.node, session: changed.session, reach };
                let _ = app.state.apply(command); // of an older session: nothing to set
            }
        };
        match clock::timeout(FIRST_BYTES, app.links.accept(socket, changed)).await {
            Some(Ok(())) => {}
            Some(Err(why)) => log::debug!("a link was refused: {why}"),
            None => log::debug!("a link was refused: its ticket did not come in time"),
        }
        return;
    }
    let service = proto::cluster_service_server::ClusterServiceServer::new(Service { app, peer })
        .max_decoding_message_size(1 << 20);
    let stopped = async move {
        let _ = stop.recv().await; // closed
    };
    if let Err(error) = rpc::serve(socket, service, stopped).await {
        log::debug!("a gRPC connection ended: {error}");
    }
}

#[derive(Clone)]
struct Service {
    app: Arc<Orchestrator>,
    peer: SocketAddr,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ClusterService for Service {
    async fn join_cluster(
        &self,
        request: Request<proto::NodeInfo>,
    ) -> Result<Response<proto::Acknowledgement>, Status> {
        let by = self.admit(&request).inspect_err(|status| self.tell_refused(status.message()))?;
        let info = request.into_inner();
        let refused = |message: String| {
            self.tell_refused(&message);
            Ok(Response::new(proto::Acknowledgement {
                success: false,
                message,
                cluster_id: self.app.cluster_id.clone(),
                ..Default::default()
            }))
        };
        let (spec, instances) = match read_join(info) {
            Ok(read) => read,
            Err(why) => return refused(why),
        };
        let name = spec.name.clone();
        let applied = match self.app.state.apply_by(Command::Join { spec, instances }, by.as_deref()) {
            Ok(applied) => applied,
            Err(refusal) => return refused(join_refused(&refusal)),
        };
        let joined = applied.events.iter().find_map(|e| match e {
            Event::NodeJoined { node, session, .. } => Some((*node, *session)),
            _ => None,
        });
        let Some((node, session)) = joined else { return Err(Status::internal("the join was not recorded")) };
        let link_ticket = self.app.links.open(node, session);
        if let Err(error) = applied.kept().await {
            log::warn!("Node '{name}' has joined, which is not on disk yet: {error}"); // a full disk keeps no node out
        }
        Ok(Response::new(proto::Acknowledgement {
            success: true,
            message: format!("welcome, {name}"),
            cluster_id: self.app.cluster_id.clone(),
            link_ticket,
            heartbeat_ms: HEARTBEAT_MS,
            lease_ms: self.app.lease_ms as u32,
            links: links(self.app.state.read(|c| c.nodes().count())),
            session,
        }))
    }

    type HeartbeatStream = Messages<proto::OrchestratorCommand>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<proto::NodeMetrics>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        self.admit(&request)?;
        let ticket = request.metadata().get(wire::HEADER_TICKET).and_then(|t| t.to_str().ok()).map(str::to_string);
        let mut beats = request.into_inner();
        let first = clock::timeout(FIRST_BYTES, beats.next())
            .await
            .flatten()
            .ok_or_else(|| Status::deadline_exceeded("no first heartbeat"))??;
        let (node, session) = self.membership(&first, ticket.as_deref().unwrap_or_default())?;
        let commands = self.app.members.listen(node, session);
        self.beat(node, session, first)?;
        let service = self.clone();
        rt::spawn(async move {
            let why = service.follow(node, session, beats).await;
            service.app.members.forget(node, session);
            let _ = service.app.state.apply(Command::Disconnect { node, session, why }); // a newer session has its own
        });
        let commands = commands.map(|Outgoing { kind, payload }| {
            Ok(proto::OrchestratorCommand { command_type: kind.into(), payload, timestamp: clock::unix_ms() as i64 })
        });
        Ok(Response::new(Box::pin(commands)))
    }

    async fn execute_function(
        &self,
        _: Request<proto::FunctionRequest>,
    ) -> Result<Response<proto::FunctionResult>, Status> {
        Err(Status::unimplemented("an orchestrator runs no functions: ask it over HTTP, at /invoke/NAME"))
    }

    type FetchBundleStream = Messages<proto::BundleChunk>;

    async fn fetch_bundle(
        &self,
        request: Request<proto::BundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        self.admit(&request)?;
        let digest = request.into_inner().digest;
        let chunks = self.app.bundles.read(&digest).await.ok_or_else(|| Status::not_found("no such bundle"))?;
        let chunks = chunks.map(|chunk| match chunk {
            Ok(data) => Ok(proto::BundleChunk { data }),
            Err(error) => Err(Status::data_loss(error.to_string())),
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}

impl Service {
    /// Who sends a request, if they may work here.
    fn admit<T>(&self, request: &Request<T>) -> Result<Option<Arc<str>>, Status> {
        let who = self.app.tokens.gate().check(request.metadata().as_ref(), Needs::Worker);
        who.map(|who| who.map(|who| who.name.clone())).map_err(|denied| match denied.known() {
            true => Status::permission_denied(denied.to_string()),
            false => Status::unauthenticated(denied.to_string()),
        })
    }

    fn tell_refused(&self, why: &str) {
        let now = clock::now_ms();
        let last = self.app.refused_told.swap(now, Ordering::Relaxed);
        let message = format!("A worker at {} was refused: {why}", self.peer);
        if now.saturating_sub(last) < REFUSED_EVERY_MS && last > 0 {
            return log::debug!("{message}"); // whoever tries on and on must not push out what else happened
        }
        let (kind, level) = ("node.refused", "warn");
        self.app.events.tell(&Told { kind, level, message, node: None, function: None, actor: None });
    }

    fn membership(&self, beat: &proto::NodeMetrics, ticket: &str) -> Result<(NodeKey, u64), Status> {
        let current = |n: &Node| {
            let sessionless = beat.session == 0 && n.spec.first_generation(); // it knows no sessions: the current one is meant
            (n.key, n.session, sessionless || beat.session == n.session, !n.spec.digest.is_empty())
        };
        match self.app.state.read(|c| c.find_node(&beat.node_id).map(current)) {
            Some((node, session, true, proven)) if proven && !self.app.links.is_ticket(node, session, ticket) => {
                Err(Status::permission_denied("this is not the ticket of that node's session: join first"))
            }
            Some((node, session, true, _)) => Ok((node, session)),
            Some(_) => Err(Status::aborted("another join of this node is current: join again")),
            None => Err(Status::not_found("unknown node: join first")),
        }
    }

    fn beat(&self, node: NodeKey, session: u64, beat: proto::NodeMetrics) -> Result<(), Status> {
        let known = |percent: f64| (percent >= 0.0).then_some(percent);
        let (cpu_percent, memory_percent) = (known(beat.cpu_usage), known(beat.memory_usage));
        let stale = |_: Refusal| Status::aborted("another join of this node is current: join again");
        self.app.state.apply(Command::Beat { node, session, cpu_percent, memory_percent }).map_err(stale)?;
        if beat.status == "leaving" {
            self.app.state.apply(Command::Leave { node, session }).map_err(stale)?;
        }
        if let Some(proto::Engines { names, trouble }) = beat.engines {
            let engines = names.into_iter().take(ENTRIES_MAX).map(|name| cut(name, TEXT_MAX)).collect();
            let trouble = cut(trouble, TROUBLE_MAX);
            self.app.state.apply(Command::SetEngines { node, session, engines, trouble }).map_err(stale)?;
        }
        let (ended, found): (Vec<_>, Vec<_>) = beat.instances.into_iter().take(REPORTED_MAX).partition(|i| i.gone);
        if !found.is_empty() {
            let instances = found.into_iter().filter_map(reported).collect();
            self.app.state.apply(Command::Report { node, session, instances }).map_err(stale)?;
        }
        for ended in ended {
            let Ok(instance) = ended.id.parse::<InstanceKey>() else { continue };
            let on_it = self.app.state.read(|c| c.instance(instance).is_some_and(|i| i.node == node));
            if on_it {
                let why = cut(ended.reason, 4 * 1024);
                let _ = self.app.state.apply(Command::InstanceEnded { instance, why }); // ended meanwhile
            }
        }
        Ok(())
    }

    /// Takes heartbeats until they end; answers why.
    async fn follow(&self, node: NodeKey, session: u64, mut beats: Streaming<proto::NodeMetrics>) -> String {
        loop {
            match beats.next().await {
                Some(Ok(beat)) => {
                    if let Err(status) = self.beat(node, session, beat) {
                        return status.message().into();
                    }
                }
                Some(Err(status)) => return format!("its connection broke: {}", status.message()),
                None => return "it closed its connection".into(),
            }
        }
    }
}

/// How many links each node of so many is asked for: one a lane, so that calls need not change lanes, unless all nodes'
/// links together would cost more than that is worth.
fn links(nodes: usize) -> u32 {
    (LINKS_IN_ALL / nodes.max(1)).clamp(1, lanes::count().max(1)) as u32
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate((0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    }
    text
}

fn read_join(info: proto::NodeInfo) -> Result<(NodeSpec, Vec<Reported>), String> {
    if info.node_id.is_empty() || info.node_id.len() > TEXT_MAX || !info.node_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("node_id: must be 1 to {TEXT_MAX} printable characters"));
    }
    let name = match info.name.is_empty() {
        true => names::suggest_name(&info.node_id).unwrap_or_else(|| "node".into()), // the first CARES had ids alone
        false => info.name,
    };
    if let Err(why) = names::check_name(&name) {
        return Err(format!("name '{}': {why}", cut(name, 80)));
    }
    let texts = [&info.node_secret, &info.address, &info.hostname, &info.os, &info.arch, &info.version];
    let entries = [info.tools.len(), info.tags.len(), info.engines.len()];
    let words = info.tools.iter().chain(&info.engines).chain(info.tags.iter().flat_map(|(k, v)| [k, v]));
    if texts.into_iter().chain(words).any(|t| t.len() > TEXT_MAX) || entries.iter().any(|n| *n > ENTRIES_MAX) {
        return Err(format!("texts may have {TEXT_MAX} bytes, tools, tags and engines {ENTRIES_MAX} entries"));
    }
    if info.slots > SLOTS_MAX || info.instances.len() > REPORTED_MAX {
        return Err(format!("a node may offer {SLOTS_MAX} slots and report {REPORTED_MAX} instances"));
    }
    let instances = info.instances.into_iter().filter_map(reported).collect();
    let mut spec = NodeSpec {
        id: info.node_id,
        name,
        address: info.address,
        hostname: info.hostname,
        os: info.os,
        arch: info.arch,
        tools: info.tools.into_iter().collect(),
        tags: info.tags.into_iter().collect(),
        engines: info.engines.into_iter().collect(),
        engine_trouble: cut(info.engine_trouble, TROUBLE_MAX),
        slots: info.slots,
        job_slots: info.job_slots.min(info.slots),
        cpus: info.cpus,
        memory_bytes: info.memory_bytes,
        digest: if info.node_secret.is_empty() { String::new() } else { auth::hash(info.node_secret.as_bytes()) },
        version: info.version,
    };
    if spec.first_generation() && spec.slots == 0 {
        (spec.slots, spec.job_slots) = (FIRST_GENERATION_SLOTS, FIRST_GENERATION_SLOTS);
    }
    if spec.first_generation() && spec.engines.is_empty() {
        spec.engines.insert(FIRST_GENERATION_ENGINE.into());
    }
    Ok((spec, instances))
}

fn reported(found: proto::InstanceState) -> Option<Reported> {
    let instance = found.id.parse().ok()?;
    Some(Reported { instance, function: found.function, revision: found.revision, frozen: found.frozen })
}

fn join_refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NodeNameTaken { name, by } => {
            format!("the name '{name}' is in use by node {by}: give this worker another with --name")
        }
        Refusal::NotThatNode => {
            "a node of this id has joined before, and this worker does not have its secret (node-secret in \
            its data folder): remove that node with `cares node remove`, or give this worker another data folder"
                .to_string()
        }
        Refusal::TooManyNodes { limit } => {
            format!("this cluster has its {limit} nodes: remove one that is gone with `cares node remove`")
        }
        other => format!("the join was refused: {other:?}"),
    }
}
