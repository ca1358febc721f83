//! The orchestrator's gRPC service: proto to commands and back. Decides nothing itself.

use super::Orchestrator;
use super::dispatch::{cut, link};
use super::events::Told;
use super::identities::{REVOKED, Stranger};
use super::images;
use super::members::Outgoing;
use super::port::{FIRST_BYTES, Over, Service, TLS_ONLY};
use super::tasks;
use crate::auth::{self, Caller, Needs, Who};
use crate::clock;
use crate::cluster::{Cluster, Command, InstanceKey, Node, NodeKey, NodeSpec, Pull, Refusal, Reported, TaskReport};
use crate::lanes;
use crate::rt;
use crate::wire::proto::{self, cluster_service_server::ClusterService};
use crate::{names, wire};
use futures_lite::{Stream, StreamExt};
use hyper::HeaderMap;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// How often a node tells its metrics: fast enough for a live dashboard, and ten chances within a lease.
const HEARTBEAT_MS: u32 = 1_000;
/// Links of all nodes together, beyond one each: a link takes some 30 KB at either end.
const LINKS_IN_ALL: usize = 128;
/// A peer's words are bounded: they end up in listings.
pub(super) const TEXT_MAX: usize = 256;
pub(super) const ENTRIES_MAX: usize = 64;
const TROUBLE_MAX: usize = 1_024;
const IMAGE_MAX: usize = 1_024;
const SLOTS_MAX: u32 = 65_536;
const REPORTED_MAX: usize = 10_000;
/// Jobs at once on a worker of the first CARES, which does not say: what it can take is unknown, so few.
const FIRST_GENERATION_SLOTS: u32 = 4;
/// And what it runs them with: images were all it knew.
const FIRST_GENERATION_ENGINE: &str = "docker";

/// The service, for one connection.
#[derive(Clone)]
pub struct Serving {
    pub app: Arc<Orchestrator>,
    pub service: Service,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ClusterService for Serving {
    async fn join_cluster(
        &self,
        request: Request<proto::NodeInfo>,
    ) -> Result<Response<proto::Acknowledgement>, Status> {
        let by = self.admit(request.metadata().as_ref()).inspect_err(|status| self.tell_refused(status.message()))?;
        let mut info = request.into_inner();
        let refused = |message: String| {
            self.tell_refused(&message);
            Ok(Response::new(proto::Acknowledgement {
                success: false,
                message,
                cluster_id: self.app.cluster_id.clone(),
                ..Default::default()
            }))
        };
        let reported = std::mem::take(&mut info.tasks);
        if reported.len() > REPORTED_MAX {
            return refused(format!("a node may report {REPORTED_MAX} tasks"));
        }
        let tasks = reported.into_iter().filter_map(tasks::report).collect();
        let (spec, instances) = match read_join(info) {
            Ok(read) => read,
            Err(why) => return refused(why),
        };
        if let Err(status) = self.service.speaks_for(&self.app, &spec.id) {
            return refused(status.message().into());
        }
        let (name, digest) = (spec.name.clone(), spec.digest.clone());
        let applied = match self.app.state.apply_by(Command::Join { spec, instances, tasks }, &by) {
            Ok(applied) => applied,
            Err(refusal) => return refused(join_refused(&refusal)),
        };
        let Some((node, session)) = applied.joined() else {
            return Err(Status::internal("the join was not recorded"));
        };
        if let Over::Node(id) = &self.service.over {
            self.app.identities.come(id, &digest);
        }
        self.service.stranger.is_known();
        self.service.begin(link::Session { node, session });
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
            links: links_wanted(self.app.state.read(|c| c.nodes().count())),
            session,
        }))
    }

    type HeartbeatStream = Messages<proto::OrchestratorCommand>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<proto::NodeMetrics>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let ticket = request.metadata().get(wire::HEADER_TICKET).and_then(|t| t.to_str().ok()).map(str::to_string);
        let mut beats = request.into_inner();
        let first = clock::timeout(FIRST_BYTES, beats.next())
            .await
            .flatten()
            .ok_or_else(|| Status::deadline_exceeded("no first heartbeat"))??;
        let (node, session) = self.membership(&first, ticket.as_deref().unwrap_or_default())?;
        let id = self.app.state.read(|c| c.node(node).map(|n| n.spec.id.clone())).unwrap_or_default(); // not its name
        self.service.speaks_for(&self.app, &id)?;
        self.service.stranger.is_known();
        let commands = self.app.members.listen(node, session);
        let mut found = 0;
        self.beat(node, session, first, &mut found)?;
        let service = self.clone();
        rt::spawn(async move {
            let why = service.follow(node, session, beats, found).await;
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
        let digest = request.into_inner().digest;
        let chunks = self.app.bundles.read(&digest).await.ok_or_else(|| Status::not_found("no such bundle"))?;
        let chunks = chunks.map(|chunk| match chunk {
            Ok(data) => Ok(proto::BundleChunk { data }),
            Err(error) => Err(Status::data_loss(error.to_string())),
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    type FetchImageStream = Messages<proto::BundleChunk>;

    async fn fetch_image(
        &self,
        request: Request<proto::ImageRequest>,
    ) -> Result<Response<Self::FetchImageStream>, Status> {
        let request = request.into_inner();
        self.service.speaks_for(&self.app, &request.node_id)?;
        let pieces = images::fetch(&self.app, request).await?;
        Ok(Response::new(Box::pin(pieces.map(|piece| piece.map(|data| proto::BundleChunk { data })))))
    }

    async fn registry_login(
        &self,
        request: Request<proto::RegistryQuery>,
    ) -> Result<Response<proto::RegistryAuth>, Status> {
        let query = request.into_inner();
        self.service.speaks_for(&self.app, &query.node_id)?;
        match self.app.registry.login(&query.registry).await {
            Ok(Some(_)) if !self.service.secured() => Err(Status::permission_denied(
                "logins are told over TLS, or within one machine: join with a join token",
            )),
            Ok(Some(auth)) => Ok(Response::new(proto::RegistryAuth { auth })),
            Ok(None) => Err(Status::not_found("nothing is known of that registry")),
            Err(why) => Err(Status::internal(why)),
        }
    }

    async fn find_function(&self, request: Request<proto::FunctionQuery>) -> Result<Response<proto::Revision>, Status> {
        let name = request.into_inner().function;
        let found = self.app.state.read(|c| c.function(&name).map(|f| f.current().clone()));
        let found = found.ok_or_else(|| Status::not_found("no such function"))?;
        if !found.secrets.is_empty() {
            let why = format!("function '{name}' uses secrets, which are given to its calls alone: invoke it");
            return Err(Status::failed_precondition(why));
        }
        Ok(Response::new(link::to_proto(&found)))
    }

    async fn enroll(&self, request: Request<proto::EnrollRequest>) -> Result<Response<proto::EnrollReply>, Status> {
        let refused = |status: Status| {
            self.tell_refused(status.message());
            status
        };
        let by = self.admit(request.metadata().as_ref()).map_err(refused)?;
        if matches!(self.service.over, Over::Plain) {
            return Err(Status::failed_precondition("certificates are given over TLS: join with a join token"));
        }
        let asked = request.into_inner();
        check_node_id(&asked.node_id).map_err(|why| refused(Status::invalid_argument(why)))?;
        if asked.node_secret.is_empty() || asked.node_secret.len() > TEXT_MAX {
            return Err(Status::invalid_argument(format!("node_secret: must have 1 to {TEXT_MAX} bytes")));
        }
        let renewed = match &self.service.over {
            Over::Node(_) => {
                self.service.speaks_for(&self.app, &asked.node_id).map_err(refused)?;
                true
            }
            _ => false,
        };
        let of = |n: &Node| (n.spec.name.clone(), n.spec.digest.clone());
        let (name, joined) =
            self.app.state.read(|c| c.find_node(&asked.node_id).filter(|n| n.spec.id == asked.node_id).map(of)).unzip();
        let enrolled = self.app.identities.enroll(&asked.node_id, &asked.node_secret, &asked.public_key, joined).await;
        let (certificate, validity) = enrolled.map_err(|stranger| {
            refused(match stranger {
                Stranger::Key(why) => Status::invalid_argument(why),
                Stranger::Store(error) => Status::unavailable(error.to_string()),
                other => Status::permission_denied(other.to_string()),
            })
        })?;
        let until = clock::rfc3339(validity.expires_unix_ms());
        let name = name.unwrap_or_else(|| asked.node_id.clone());
        let (kind, verb) = if renewed { ("node.renewed", "a new") } else { ("node.enrolled", "a") };
        let message = format!("Node '{name}' has {verb} certificate, good until {until}");
        let told = Told { kind, level: "info", message, node: Some(asked.node_id), ..Told::default() };
        self.app.events.tell(&told.by(&by));
        Ok(Response::new(proto::EnrollReply { certificate }))
    }
}

impl Serving {
    /// Whether anything may be asked: by who may work here, or was let in over this connection.
    pub fn may_ask(&self, headers: &HeaderMap) -> Result<(), Status> {
        if self.service.stays(&self.app) {
            return Ok(()); // to join anew, and for certificates, it shows its token again
        }
        self.admit(headers).map(drop)
    }

    /// Who sends a request, if they may work here.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Caller, Status> {
        let from = Some(self.service.peer.ip());
        match &self.service.over {
            Over::Node(_) => return Ok(Caller { from, ..Caller::default() }), // it has shown more than a token
            Over::PlainFromAfar => return Err(Status::permission_denied(TLS_ONLY)),
            Over::Stranger(why) => return Err(Status::permission_denied(&**why)),
            Over::Plain | Over::Tls => {}
        }
        let who = self.app.tokens.gate().check(headers, Needs::Worker, from);
        let named = |who: Option<Arc<Who>>| Caller { name: who.map(|who| who.name.clone()), from, ..Caller::default() };
        who.map(named).map_err(|denied| match denied.known() {
            true => Status::permission_denied(denied.to_string()),
            false => Status::unauthenticated(denied.to_string()),
        })
    }

    pub fn tell_refused(&self, why: &str) {
        self.app.tell_worker_refused(self.service.peer, why);
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

    /// `so_far`: instances it has reported in this session. Each that is not wanted is told to stop, so lies are counted.
    fn beat(&self, node: NodeKey, session: u64, beat: proto::NodeMetrics, so_far: &mut usize) -> Result<(), Status> {
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
        let bytes = beat.disk_used_bytes;
        if self.app.state.read(|c| c.node(node).is_some_and(|n| n.disk_used != bytes)) {
            self.app.state.apply(Command::SetDiskUsed { node, session, bytes }).map_err(stale)?;
        }
        let before = |c: &Cluster| c.node(node).is_some_and(|n| !n.pulls.is_empty());
        if !beat.pulls.is_empty() || self.app.state.read(before) {
            let pulls = beat.pulls.into_iter().take(ENTRIES_MAX).map(pull).collect();
            self.app.state.apply(Command::SetPulls { node, session, pulls }).map_err(stale)?;
        }
        let tasks: Vec<TaskReport> = beat.tasks.into_iter().take(REPORTED_MAX).filter_map(tasks::report).collect();
        if !tasks.is_empty() {
            self.app.state.apply(Command::ReportTasks { node, session, tasks }).map_err(stale)?;
        }
        let (ended, found): (Vec<_>, Vec<_>) = beat.instances.into_iter().take(REPORTED_MAX).partition(|i| i.gone);
        *so_far += found.len();
        if *so_far > REPORTED_MAX {
            return Err(Status::resource_exhausted(format!("a node may report {REPORTED_MAX} instances")));
        }
        if !found.is_empty() {
            let instances = found.into_iter().filter_map(reported).collect();
            self.app.state.apply(Command::Report { node, session, instances }).map_err(stale)?;
        }
        for ended in ended {
            let Some(instance) = InstanceKey::parse(&ended.id) else { continue };
            let on_it = self.app.state.read(|c| c.instance(instance).is_some_and(|i| i.node == node));
            if on_it {
                let why = cut(ended.reason, 4 * 1024);
                let _ = self.app.state.apply(Command::InstanceEnded { instance, why }); // ended meanwhile
            }
        }
        Ok(())
    }

    /// Takes heartbeats until they end; answers why.
    async fn follow(
        &self,
        node: NodeKey,
        session: u64,
        mut beats: Streaming<proto::NodeMetrics>,
        mut found: usize,
    ) -> String {
        loop {
            match beats.next().await {
                Some(Ok(beat)) => {
                    if let Err(status) = self.beat(node, session, beat, &mut found) {
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
fn links_wanted(nodes: usize) -> u32 {
    (LINKS_IN_ALL / nodes.max(1)).clamp(1, lanes::count().max(1)) as u32
}

fn check_node_id(id: &str) -> Result<(), String> {
    match (1..=TEXT_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(format!("node_id: must be 1 to {TEXT_MAX} printable characters")),
    }
}

pub fn read_join(info: proto::NodeInfo) -> Result<(NodeSpec, Vec<Reported>), String> {
    check_node_id(&info.node_id)?;
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
        disk_bytes: info.disk_bytes,
        devices: info.devices.into_iter().collect(),
        digest: if info.node_secret.is_empty() { String::new() } else { auth::hash(info.node_secret.as_bytes()) },
        secrets: info.secrets,
        version: info.version,
        http: false,
    };
    if spec.first_generation() && spec.slots == 0 {
        (spec.slots, spec.job_slots) = (FIRST_GENERATION_SLOTS, FIRST_GENERATION_SLOTS);
    }
    if spec.first_generation() && spec.engines.is_empty() {
        spec.engines.insert(FIRST_GENERATION_ENGINE.into());
    }
    Ok((spec, instances))
}

pub fn reported(found: proto::InstanceState) -> Option<Reported> {
    let instance = InstanceKey::parse(&found.id)?;
    Some(Reported { instance, function: found.function, revision: found.revision, frozen: found.frozen })
}

fn pull(said: proto::ImagePull) -> Pull {
    let proto::ImagePull { image, layers, layers_done, bytes, bytes_done } = said;
    Pull { image: cut(image, IMAGE_MAX), layers, layers_done, bytes, bytes_done }
}

/// Why a join was refused, for its worker.
pub fn join_refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NodeNameTaken { name, by } => {
            format!(
                "the name '{name}' is in use by node {by}: give this worker another with --name, or one that joins over HTTP another id"
            )
        }
        Refusal::NotThatNode => {
            "a node of this id has joined before, and this worker does not have its secret (node-secret in \
            its data folder): remove that node with `cares node remove`, or give this worker another data folder"
                .to_string()
        }
        Refusal::NodeRevoked => REVOKED.into(),
        Refusal::TooManyNodes { limit } => {
            format!("this cluster has its {limit} nodes: remove one that is gone with `cares node remove`")
        }
        other => format!("the join was refused: {other:?}"),
    }
}
