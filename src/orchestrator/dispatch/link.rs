//! Links: HTTP/2 connections that a worker dialled and serves. This side is the client on them.

use super::super::changes::Changes;
use super::WHY_BYTES;
use crate::body::{self, Body};
use crate::cluster::{InstanceKey, Mode, NodeKey, Revision};
use crate::lanes::{self, Task};
use crate::link::{Caller, Unanswered, call_over};
use crate::lock::{self, lock};
use crate::net::{Moving, Socket};
use crate::wire::{self, Outcome, proto};
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::{Method, Request, Response};
use prost::Message;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, RwLock};

/// Links one node may hold: far more than any number of threads it would need them for.
const LINKS_PER_NODE: usize = 64;

/// The links of all nodes.
#[derive(Default)]
pub struct Links {
    nodes: RwLock<HashMap<NodeKey, Arc<NodeLinks>>>,
    tickets: Mutex<HashMap<String, NodeKey>>,
    /// Told when a link has come or gone, and the cluster knows of it.
    pub changes: Arc<Changes>,
}

/// A function's name and a revision's number.
type RevisionId = (Arc<str>, u64);

/// Those of one session of one node.
struct NodeLinks {
    session: u64,
    ticket: String,
    links: Mutex<Vec<Link>>,
    /// How many of them each lane serves.
    berths: Arc<Mutex<Vec<usize>>>,
    next: AtomicUsize,
    /// Revisions the worker has been sent, and what it says of them. A number may come again with another content, when
    /// a function is deleted and made anew or comes back from a backup.
    known: Mutex<HashMap<RevisionId, Known>>,
}

/// What a worker was sent, and what it says of it.
struct Known {
    sent: Arc<Revision>,
    mode: Option<Mode>,
}

struct Link {
    id: u64,
    berth: Berth,
    caller: Caller,
    /// Dropped, it ends all calls on it.
    _connection: Task<()>,
}

/// The lane that serves a link: calls from there need not change threads.
struct Berth {
    lane: usize,
    berths: Arc<Mutex<Vec<usize>>>,
}

/// One stay of a node in the cluster, from its join on.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub node: NodeKey,
    pub session: u64,
}

/// Why an order was not carried out.
#[derive(Debug)]
pub enum Unmet {
    /// The node says why it would not.
    Refused(String),
    /// It has no such task, or knows no tasks at all.
    Unknown(String),
    /// It may have heard, or not.
    Unheard(String),
}

impl Unmet {
    /// What was said.
    pub fn why(self) -> String {
        match self {
            Unmet::Refused(why) | Unmet::Unknown(why) | Unmet::Unheard(why) => why,
        }
    }
}

/// What became of the number of a node's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    pub node: NodeKey,
    pub session: u64,
    /// Whether there are any now.
    pub linked: bool,
}

impl Links {
    /// Makes room for a session's links; those of an earlier one end. The ticket opens links.
    pub fn open(&self, node: NodeKey, session: u64) -> String {
        self.close(node, session);
        let ticket = crate::ids::random_hex(wire::TICKET_BYTES / 2);
        lock(&self.tickets).insert(ticket.clone(), node);
        let links = NodeLinks {
            session,
            ticket: ticket.clone(),
            links: Mutex::default(),
            berths: Arc::default(),
            next: AtomicUsize::new(0),
            known: Mutex::default(),
        };
        self.write().insert(node, Arc::new(links));
        ticket
    }

    /// Whether this is the ticket of a node's session.
    pub fn is_ticket(&self, node: NodeKey, session: u64, ticket: &str) -> bool {
        let digest = |text: &str| crate::auth::hash(text.as_bytes());
        self.of(node).is_some_and(|links| links.session == session && digest(&links.ticket) == digest(ticket))
    }

    /// Ends the links of a node's session, and of those before it, and the calls on them.
    pub fn close(&self, node: NodeKey, session: u64) {
        let mut all = self.write();
        if all.get(&node).is_none_or(|links| links.session > session) {
            return;
        }
        let Some(links) = all.remove(&node) else { return };
        drop(all);
        lock(&self.tickets).remove(&links.ticket);
        let ended = std::mem::take(&mut *lock(&links.links));
        drop(ended);
    }

    /// Takes a connection over whose first bytes were the preface, if it `may` be the node's whose ticket it has.
    /// `changed` is told of the first and the last link.
    pub async fn accept(
        self: &Arc<Self>,
        mut socket: Socket,
        may: impl Fn(NodeKey) -> Result<(), String>,
        changed: impl Fn(Changed) + Send + Sync + 'static,
    ) -> Result<(), String> {
        let mut preface = [0; wire::LINK_PREFACE.len()];
        let mut ticket = [0; wire::TICKET_BYTES];
        socket.read_exact(&mut preface).await.map_err(|e| e.to_string())?;
        socket.read_exact(&mut ticket).await.map_err(|e| e.to_string())?;
        let links = (preface == *wire::LINK_PREFACE)
            .then(|| str::from_utf8(&ticket).ok())
            .flatten()
            .and_then(|ticket| Some((*lock(&self.tickets).get(ticket)?, ticket)))
            .and_then(|(node, ticket)| self.of(node).filter(|l| l.ticket == ticket).map(|l| (node, l)));
        let Some((node, links)) = links else { return Err("no such ticket".into()) };
        may(node)?;
        if lock(&links.links).len() >= LINKS_PER_NODE {
            return Err(format!("a node may open {LINKS_PER_NODE} links"));
        }
        let socket = socket.into_moving().ok_or("its socket cannot be handed over")?;
        let berth = Berth::take(&links.berths);
        lanes::on(berth.lane, links.serve(node, socket, berth, changed, self.changes.clone())).await
    }

    /// Sends a request on one of the node's links; an answer's body streams.
    pub async fn send(&self, node: NodeKey, request: Request<Body>) -> Result<Response<Body>, Unanswered> {
        let Some(links) = self.of(node) else {
            return Err(Unanswered::NotSent(request.into_body(), "its node is not connected".into()));
        };
        let Some(caller) = links.pick() else {
            return Err(Unanswered::NotSent(request.into_body(), "its node has no link".into()));
        };
        drop(links); // a call must not keep a closed session's links open
        caller.send(request).await
    }

    /// Has an instance started; returns when it answers on its port. `Err` says why it does not.
    pub async fn start(
        &self,
        to: Session,
        instance: InstanceKey,
        revision: &Revision,
        secrets: Option<proto::Secrets>,
    ) -> Result<(), String> {
        let body = Body::full(proto::Revision { secrets, ..to_proto(revision) }.encode_to_vec());
        self.in_session(to)?;
        self.control(to.node, Method::POST, &format!("/instances/{instance}/start"), body).await.map(drop)
    }

    /// Has an instance stopped; returns at once.
    pub async fn stop(&self, to: Session, instance: InstanceKey) -> Result<(), String> {
        self.in_session(to)?;
        self.control(to.node, Method::POST, &format!("/instances/{instance}/stop"), Body::Empty).await.map(drop)
    }

    /// Has an idle instance frozen; `Err` when it cannot be. One that is busy is left as it is.
    pub async fn freeze(&self, to: Session, instance: InstanceKey) -> Result<(), String> {
        self.in_session(to)?;
        self.control(to.node, Method::POST, &format!("/instances/{instance}/freeze"), Body::Empty).await.map(drop)
    }

    /// Has a frozen instance woken.
    pub async fn thaw(&self, to: Session, instance: InstanceKey) -> Result<(), String> {
        self.in_session(to)?;
        self.control(to.node, Method::POST, &format!("/instances/{instance}/thaw"), Body::Empty).await.map(drop)
    }

    /// Sees that the worker knows a revision, so that jobs of it may be sent; for an image, how it is run.
    pub async fn prepare(&self, node: NodeKey, revision: &Arc<Revision>) -> Result<Option<Mode>, Unmet> {
        let links = self.of(node).ok_or_else(|| Unmet::Unheard("its node is not connected".into()))?;
        let key = (revision.function.clone(), revision.number);
        if let Some(Known { sent, mode }) = lock(&links.known).get(&key)
            && (Arc::ptr_eq(sent, revision) || **sent == **revision)
        {
            return Ok(*mode);
        }
        let body = Body::full(to_proto(revision).encode_to_vec());
        let answer = self.asked(node, Method::POST, "/revisions", body).await?;
        let mode = match answer.headers().get(wire::HEADER_MODE).and_then(|v| v.to_str().ok()) {
            Some(wire::MODE_HTTP) => Some(Mode::Http),
            Some(wire::MODE_JOB) => Some(Mode::Job),
            _ => None,
        };
        lock(&links.known).insert(key, Known { sent: revision.clone(), mode });
        Ok(mode)
    }

    /// The worker has forgotten a revision.
    pub fn forget_prepared(&self, node: NodeKey, revision: &Revision) {
        if let Some(links) = self.of(node) {
            lock(&links.known).remove(&(revision.function.clone(), revision.number));
        }
    }

    /// The worker's answer about itself, streamed.
    pub async fn ask(&self, node: NodeKey, path: &str) -> Result<Response<Body>, String> {
        let request = control_request(Method::GET, path, Body::Empty)?;
        self.send(node, request).await.map_err(|e| match e {
            Unanswered::NotSent(_, why) | Unanswered::Broken(why) => why,
        })
    }

    /// An image's archive, streamed.
    pub async fn save_image(&self, node: NodeKey, request: &proto::ImageRequest) -> Result<Body, String> {
        let body = Body::full(request.encode_to_vec());
        Ok(self.control(node, Method::POST, "/images/save", body).await?.into_body())
    }

    /// An order for an earlier session must not reach a later one: a stop would end what that one adopted.
    pub(super) fn in_session(&self, to: Session) -> Result<(), String> {
        match self.of(to.node).filter(|links| links.session == to.session) {
            Some(_) => Ok(()),
            None => Err("its node is not connected".into()),
        }
    }

    async fn control(&self, node: NodeKey, method: Method, path: &str, body: Body) -> Result<Response<Body>, String> {
        self.asked(node, method, path, body).await.map_err(Unmet::why)
    }

    async fn asked(&self, node: NodeKey, method: Method, path: &str, body: Body) -> Result<Response<Body>, Unmet> {
        let request = control_request(method, path, body).map_err(Unmet::Refused)?;
        let answer = match self.send(node, request).await {
            Ok(answer) => answer,
            Err(Unanswered::NotSent(_, why) | Unanswered::Broken(why)) => return Err(Unmet::Unheard(why)),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(Unmet::Refused(why(answer).await))
    }

    fn of(&self, node: NodeKey) -> Option<Arc<NodeLinks>> {
        lock::read(&self.nodes).get(&node).cloned()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<NodeKey, Arc<NodeLinks>>> {
        lock::write(&self.nodes)
    }
}

impl NodeLinks {
    /// Has this lane serve a link.
    async fn serve(
        self: Arc<Self>,
        node: NodeKey,
        socket: Moving,
        berth: Berth,
        changed: impl Fn(Changed) + Send + Sync + 'static,
        changes: Arc<Changes>,
    ) -> Result<(), String> {
        let socket = Socket::of_moving(socket).map_err(|e| e.to_string())?;
        let (caller, connection) = call_over(socket).await.map_err(|e| e.to_string())?;
        let id = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let session = self.session;
        let weak = Arc::downgrade(&self);
        let changed = Arc::new(changed);
        let (told, tell) = (changed.clone(), changes.clone());
        let connection = lanes::on(berth.lane, async move {
            let why = connection.await;
            log::debug!("a link ended: {why}");
            let Some(links) = weak.upgrade() else { return };
            let (gone, left) = {
                let mut all = lock(&links.links);
                let gone = all.iter().position(|l| l.id == id).map(|at| all.swap_remove(at));
                (gone, all.len())
            };
            if gone.is_some() && left == 0 {
                told(Changed { node, session, linked: false });
            }
            tell.tell();
        });
        let first = {
            let mut all = lock(&self.links);
            all.push(Link { id, berth, caller, _connection: connection });
            all.len() == 1
        };
        if first {
            changed(Changed { node, session, linked: true });
        }
        changes.tell();
        Ok(())
    }

    /// A link of this lane, else any.
    fn pick(&self) -> Option<Caller> {
        let links = lock(&self.links);
        let here = lanes::here();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let ours = || links.iter().filter(|link| Some(link.berth.lane) == here);
        let link = match turn.checked_rem(ours().count()) {
            Some(nth) => ours().nth(nth),
            None => links.get(turn.checked_rem(links.len())?),
        };
        link.map(|link| link.caller.clone())
    }
}

impl Berth {
    /// On the lane that has the fewest of a node's links.
    fn take(berths: &Arc<Mutex<Vec<usize>>>) -> Self {
        let mut taken = lock(berths);
        taken.resize(lanes::count().max(1), 0);
        let lane = (0..taken.len()).min_by_key(|lane| taken[*lane]).unwrap_or(0);
        taken[lane] += 1;
        Berth { lane, berths: berths.clone() }
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        lock(&self.berths)[self.lane] -= 1;
    }
}

/// What a worker says about a failure, cut to a sensible length.
pub async fn why(answer: Response<Body>) -> String {
    let status = answer.status();
    match body::collect(answer.into_body(), WHY_BYTES).await {
        Ok(text) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
        _ => format!("its node answered {status}"),
    }
}

/// How a worker's answer is marked when it is not the function's own.
pub fn outcome(answer: &Response<Body>) -> Option<Outcome> {
    answer.headers().get(wire::HEADER_OUTCOME).and_then(|v| v.to_str().ok()).and_then(Outcome::of)
}

/// A link's address for a path.
pub fn uri(authority: &'static str, path: PathAndQuery) -> Option<Uri> {
    static INSTANCE: LazyLock<Authority> = LazyLock::new(|| Authority::from_static(wire::INSTANCE));
    let mut parts = hyper::http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(match authority {
        wire::INSTANCE => INSTANCE.clone(), // of each warm call: parsed once
        other => Authority::from_static(other),
    });
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

pub(super) fn control_request(method: Method, path: &str, body: Body) -> Result<Request<Body>, String> {
    let path = path.parse().map_err(|_| "no valid path")?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(wire::CONTROL, path).ok_or("no valid path")?;
    Ok(request)
}

/// As a worker is told of it.
pub fn to_proto(revision: &Revision) -> proto::Revision {
    proto::Revision {
        function: revision.function.to_string(),
        number: revision.number,
        image: revision.image.clone(),
        http: !revision.is_job(),
        command: revision.command.clone(),
        env: revision.env.clone().into_iter().collect(),
        memory_bytes: revision.memory_bytes,
        cpu: revision.cpu,
        concurrency: revision.concurrency,
        timeout_ms: revision.timeout_ms,
        open_files: revision.isolation.open_files,
        all_syscalls: revision.isolation.all_syscalls,
        pids: revision.isolation.pids,
        tmp_bytes: revision.isolation.tmp_bytes,
        fresh: revision.fresh,
        born: revision.born,
        secrets: None,
    }
}
