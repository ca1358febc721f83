//! The port that workers dial: TLS or plain, a link or gRPC, told by their first bytes; and what a connection shows of who
//! is at its other end.

use super::Orchestrator;
use super::dispatch::link::{Changed, Session};
use super::grpc::Serving;
use super::strangers::{STRANGERS, Stranger};
use crate::cluster::{Cluster, Command, NodeStatus, Reach};
use crate::lock::lock;
use crate::net::{self, Socket};
use crate::rt::{self, Receiver};
use crate::wire::proto;
use crate::{clock, rpc, tls, wire};
use async_io::Async;
use futures_lite::future;
use hyper::HeaderMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::Status;

/// A connection must say what it is within this.
pub const FIRST_BYTES: Duration = Duration::from_secs(10);
/// Of one message: that many instances are less.
const MESSAGE_BYTES: usize = 1 << 20;

/// Said to who comes from another machine without TLS; the screen that joins asks for a join token when it reads this.
pub const TLS_ONLY: &str = "from another machine nodes join over TLS: make a join token with `cares token join` where the \
    orchestrator runs, and start the worker with it: --join-token-file FILE, or CARES_JOIN_TOKEN";

/// Accepts workers until `stop` closes.
pub async fn listen(app: Arc<Orchestrator>, listener: Async<TcpListener>, stop: Receiver<()>) {
    while let Some((stream, peer)) = net::accept(&listener, &stop).await {
        match app.strangers.enter() {
            Some(stranger) => rt::spawn(connection(app.clone(), stream, peer, stranger, stop.clone())),
            None => log::debug!("a connection of {peer} is not taken: {STRANGERS} others have not said what they are"),
        }
    }
}

async fn connection(
    app: Arc<Orchestrator>,
    stream: TcpStream,
    peer: SocketAddr,
    stranger: Stranger,
    stop: Receiver<()>,
) {
    let Ok(mut socket) = Socket::over(stream) else { return };
    let Some(Ok(Some(first))) = clock::timeout(FIRST_BYTES, socket.peek_first()).await else { return };
    if first != tls::FIRST_BYTE {
        let over = match app.open || peer.ip().to_canonical().is_loopback() {
            true => Over::Plain,
            false => Over::PlainFromAfar,
        };
        return serve(app, socket, first, Service::new(over, peer, stranger), stop).await;
    }
    let shaken = async {
        let connection = app.identities.port.connection().map_err(|e| e.to_string())?;
        let mut socket = socket.secure(connection).await.map_err(|e| e.to_string())?;
        let first = socket.peek_first().await.map_err(|e| e.to_string())?.ok_or("it said nothing")?;
        Ok::<_, String>((socket, first))
    };
    let (socket, first) = match clock::timeout(FIRST_BYTES, shaken).await {
        Some(Ok(shaken)) => shaken,
        Some(Err(why)) => return log::debug!("a TLS connection of {peer} was refused: {why}"),
        None => return log::debug!("a TLS connection of {peer} was refused: it said too little in time"),
    };
    let certified = socket.peer_certificate().map(|certificate| app.identities.of(certificate));
    match certified {
        None => serve(app, socket, first, Service::new(Over::Tls, peer, stranger), stop).await,
        Some(Ok((node, revoked))) => {
            let over = Over::Node(node.into());
            let ended = async {
                let _ = revoked.recv().await; // closed
            };
            future::or(serve(app, socket, first, Service::new(over, peer, stranger), stop), ended).await;
        }
        Some(Err(why)) => {
            let over = Over::Stranger(why.to_string().into());
            serve(app, socket, first, Service::new(over, peer, stranger), stop).await;
        }
    }
}

/// Serves a link or gRPC, which the first byte tells.
async fn serve(app: Arc<Orchestrator>, socket: Socket, first: u8, service: Service, stop: Receiver<()>) {
    if first == wire::LINK_PREFACE[0] {
        let changed = {
            let app = app.clone();
            move |changed: Changed| {
                let reach = if changed.linked { Reach::Links } else { Reach::None };
                let command = Command::SetReach { node: changed.node, session: changed.session, reach };
                let _ = app.state.apply(command); // of an older session: nothing to set
            }
        };
        let may = |node| {
            let id = app.state.read(|c| c.node(node).map(|n| n.spec.id.clone())).ok_or("its node is gone")?;
            service.speaks_for(&app, &id).map_err(|status| status.message().to_string())
        };
        match clock::timeout(FIRST_BYTES, app.links.accept(socket, may, changed)).await {
            Some(Ok(())) => {}
            Some(Err(why)) => log::debug!("a link was refused: {why}"),
            None => log::debug!("a link was refused: its ticket did not come in time"),
        }
        return;
    }
    let serving = Serving { app, service };
    let (gate, stranger) = (serving.clone(), serving.service.stranger.clone());
    let service =
        proto::cluster_service_server::ClusterServiceServer::new(serving).max_decoding_message_size(MESSAGE_BYTES);
    let admit =
        move |headers: &HeaderMap| gate.may_ask(headers).inspect_err(|status| gate.tell_refused(status.message()));
    let stopped = async move {
        let _ = stop.recv().await; // closed
    };
    if let Err(error) = rpc::serve(socket, service, admit, move || stranger.known(), stopped).await {
        log::debug!("a gRPC connection ended: {error}");
    }
}

/// What a connection shows of who is at its other end.
#[derive(Clone)]
pub enum Over {
    /// Nothing; from this machine, or where everybody may.
    Plain,
    /// Nothing, over a network that others may listen to.
    PlainFromAfar,
    /// Nothing yet, over TLS.
    Tls,
    /// That it is this node.
    Node(Arc<str>),
    /// That it is one that is not let in, and why.
    Stranger(Arc<str>),
}

/// Who asks.
#[derive(Clone)]
pub struct Service {
    pub over: Over,
    pub peer: SocketAddr,
    pub stranger: Stranger,
    /// The stay that was begun over this very connection; clones share it.
    stay: Arc<Mutex<Option<Session>>>,
}

impl Service {
    fn new(over: Over, peer: SocketAddr, stranger: Stranger) -> Self {
        Service { over, peer, stranger, stay: Arc::default() }
    }

    /// A node has joined over this connection.
    pub fn begin(&self, stay: Session) {
        *lock(&self.stay) = Some(stay);
    }

    /// Whether that node is still here by that join: it was let in then, whatever has become of its token.
    pub fn stays(&self, app: &Orchestrator) -> bool {
        let Some(Session { node, session }) = *lock(&self.stay) else {
            return false;
        };
        let here = |c: &Cluster| {
            c.node(node).is_some_and(|n| n.session == session && n.status != NodeStatus::Disconnected && !n.revoked)
        };
        app.state.read(here)
    }

    /// Whether nobody else can listen.
    pub fn secured(&self) -> bool {
        match &self.over {
            Over::Node(_) | Over::Tls => true,
            Over::Plain => self.peer.ip().to_canonical().is_loopback(),
            Over::PlainFromAfar | Over::Stranger(_) => false,
        }
    }

    /// Whether whoever asks may speak for a node.
    pub fn speaks_for(&self, app: &Orchestrator, node: &str) -> Result<(), Status> {
        let certified = match &self.over {
            Over::Node(certified) => Some(&**certified),
            Over::Plain => None,
            Over::Tls => return Err(Status::permission_denied("over TLS a node shows its certificate: enroll first")),
            Over::PlainFromAfar => return Err(Status::permission_denied(TLS_ONLY)),
            Over::Stranger(why) => return Err(Status::permission_denied(&**why)),
        };
        app.identities.check(node, certified).map_err(|stranger| Status::permission_denied(stranger.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_told_where_nobody_listens() {
        let strangers = super::super::strangers::Strangers::default();
        let secured = |over: Over, peer: &str| {
            let stranger = strangers.enter().expect("room");
            Service::new(over, SocketAddr::new(peer.parse().expect("an address"), 1), stranger).secured()
        };
        assert!(secured(Over::Plain, "127.0.0.1") && secured(Over::Plain, "::1"));
        assert!(!secured(Over::Plain, "10.0.0.7") && !secured(Over::PlainFromAfar, "10.0.0.7"));
        assert!(secured(Over::Tls, "10.0.0.7") && secured(Over::Node("n".into()), "10.0.0.7"));
        assert!(!secured(Over::Stranger("no".into()), "10.0.0.7"));
    }
}
