//! One running http instance: connections to it, kept while they are good, and calls over them.

use super::engine::{Control, Usage, hint};
use super::freezer::{Awake, Freezer};
use super::pool::Slot;
use crate::body::{Body, BoxError};
use crate::lanes;
use crate::lock::lock;
use crate::net::Socket;
use crate::tunnel;
use bytes::Bytes;
use futures_channel::oneshot;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// Idle connections kept to one instance, on each lane.
const IDLE: usize = 256;
/// An answer's head at most: a larger one would not pass a link, and break it for all.
const HEAD_BYTES: usize = 128 * 1024;

/// Why there is no answer.
pub enum CallError {
    /// Nothing was sent.
    NotTaken(String),
    /// It may have done something.
    Failed(String),
}

/// A running instance.
pub struct Instance {
    pub id: String,
    pub function: String,
    pub revision: u64,
    address: SocketAddr,
    control: Box<dyn Control>,
    /// By lane: a connection stays where it was made. The last is for what runs on none.
    idle: Vec<Mutex<Vec<SendRequest<Body>>>>,
    freezer: Arc<Freezer>,
}

impl Instance {
    pub fn new(id: String, function: String, revision: u64, address: SocketAddr, control: Box<dyn Control>) -> Self {
        let idle = (0..=lanes::count()).map(|_| Mutex::default()).collect();
        Instance { id, function, revision, address, control, idle, freezer: Arc::default() }
    }

    /// Waits for its end; says how, with its last words.
    pub async fn ended(&self) -> String {
        let exit = self.control.ended().await;
        let words = self.control.last_words();
        match words.trim() {
            "" => exit.to_string(),
            words => format!("{exit}; it last said:\n{words}{}", hint(words)),
        }
    }

    /// What it uses now, where its engine can tell.
    pub async fn usage(&self) -> Option<Usage> {
        self.control.usage().await
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.freezer.calls()
    }

    /// Takes the processor from it, unless calls are under way. `Err`: it cannot be.
    pub async fn freeze(&self) -> Result<(), String> {
        self.freezer.freeze(&*self.control).await
    }

    /// Wakes it, without a call.
    pub async fn thaw(&self) -> Result<(), String> {
        self.freezer.enter(&*self.control).await.map(drop)
    }

    /// Whether the next call must wake it.
    pub fn is_frozen(&self) -> bool {
        self.freezer.is_frozen()
    }

    /// Asks it to end, and sees to it.
    pub async fn stop(&self, grace: Duration) {
        self.idle.iter().for_each(|idle| lock(idle).clear());
        self.control.stop(grace).await;
    }

    /// Passes a request on. `Err` says why there is no valid answer. When it asks for another protocol, `afterwards` is
    /// what is said in that one, if the instance switches to it.
    /// The slot is held until the answer has ended.
    pub async fn call(
        self: &Arc<Self>,
        slot: Slot,
        mut request: Request<Body>,
        afterwards: Option<Body>,
    ) -> Result<Response<Body>, CallError> {
        let awake = self.freezer.enter(&*self.control).await.map_err(CallError::NotTaken)?;
        loop {
            let (mut connection, reused) = self.connection().await.map_err(CallError::NotTaken)?;
            match connection.try_send_request(request).await {
                Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    let Some(afterwards) = afterwards else {
                        return Err(CallError::Failed("it switched protocols, which nobody asked for".into()));
                    };
                    return switched(answer, afterwards, (slot, awake)).await;
                }
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    let body =
                        Reused { body, connection: Some(connection), instance: self.clone(), _held: (slot, awake) };
                    return Ok(Response::from_parts(head, body.settled()));
                }
                Err(mut failed) => match failed.take_message().filter(|_| reused) {
                    Some(unsent) => request = unsent, // closed while it was idle
                    None => return Err(CallError::Failed(describe(failed.error()))),
                },
            }
        }
    }

    async fn connection(&self) -> Result<(SendRequest<Body>, bool), String> {
        loop {
            let Some(mut idle) = lock(self.idle_here()).pop() else { break };
            if idle.ready().await.is_ok() {
                return Ok((idle, true));
            }
        }
        let socket =
            Socket::connect_to(self.address).await.map_err(|e| format!("it does not take connections: {e}"))?;
        let socket = socket.forgive_broken_writes();
        let (requests, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(socket).await.map_err(|e| describe(&e))?;
        lanes::spawn_here(async move {
            if let Err(error) = connection.with_upgrades().await {
                log::debug!("a connection to an instance ended: {error}");
            }
        });
        Ok((requests, false))
    }

    fn idle_here(&self) -> &Mutex<Vec<SendRequest<Body>>> {
        let last = self.idle.len() - 1;
        &self.idle[lanes::here().unwrap_or(last).min(last)]
    }
}

/// From here on, bytes of another protocol both ways.
async fn switched(
    mut answer: Response<Incoming>,
    afterwards: Body,
    held: (Slot, Awake),
) -> Result<Response<Body>, CallError> {
    let failed =
        |why: &dyn std::fmt::Display| CallError::Failed(format!("it broke off as it switched protocols: {why}"));
    let upgraded = hyper::upgrade::on(&mut answer).await.map_err(|e| failed(&e))?;
    let parts = upgraded.downcast::<Socket>().map_err(|_| failed(&"its socket cannot be had"))?;
    let (give, taken) = oneshot::channel();
    lanes::spawn_here(async move {
        let take = |body| drop(give.send(body)); // the call has been given up
        if let Err(error) = tunnel::carry(parts.io.mind_broken_writes(), parts.read_buf, take, afterwards).await {
            log::debug!("an upgraded connection broke off: {error}");
        }
        drop(held);
    });
    let body = taken.await.map_err(|e| failed(&e))?;
    Ok(answer.map(|_| body))
}

fn describe(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("its answer is no valid HTTP: {error}")
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "it closed the connection without an answer".into()
    } else {
        format!("it gave no valid answer: {error}")
    }
}

/// An answer's body; at its end the connection is kept for the next call.
struct Reused {
    body: Incoming,
    connection: Option<SendRequest<Body>>,
    instance: Arc<Instance>,
    _held: (Slot, Awake),
}

impl Reused {
    fn settled(mut self) -> Body {
        self.give_back();
        if self.body.is_end_stream() { Body::Empty } else { Body::stream(self) }
    }

    fn give_back(&mut self) {
        if !self.body.is_end_stream() {
            return;
        }
        let mut idle = lock(self.instance.idle_here());
        if idle.len() < IDLE {
            idle.extend(self.connection.take().filter(|c| !c.is_closed()));
        }
    }
}

impl HttpBody for Reused {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Ok(_))) = polled {
            self.give_back();
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
