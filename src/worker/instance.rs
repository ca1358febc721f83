//! One running http instance: connections to it, kept while they are good, and calls over them.

use super::engine::{Control, Usage};
use super::pool::Slot;
use crate::body::{Body, BoxError};
use crate::net::Socket;
use crate::rt;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Idle connections kept to one instance.
const IDLE: usize = 256;

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
    idle: Mutex<Vec<SendRequest<Body>>>,
    in_flight: AtomicU32,
}

/// A call under way for as long as this lives.
struct Busy(Arc<Instance>);

impl Busy {
    fn new(instance: &Arc<Instance>) -> Self {
        instance.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(instance.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Instance {
    pub fn new(id: String, function: String, revision: u64, address: SocketAddr, control: Box<dyn Control>) -> Self {
        Instance { id, function, revision, address, control, idle: Mutex::default(), in_flight: AtomicU32::new(0) }
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Waits for its end; says how, with its last words.
    pub async fn ended(&self) -> String {
        let exit = self.control.ended().await;
        let words = self.control.last_words();
        match words.trim() {
            "" => exit.to_string(),
            words => format!("{exit}; it last said:\n{words}"),
        }
    }

    /// What it uses now, where its engine can tell.
    pub async fn usage(&self) -> Option<Usage> {
        self.control.usage().await
    }

    /// Asks it to end, and sees to it.
    pub async fn stop(&self, grace: Duration) {
        self.lock().clear();
        self.control.stop(grace).await;
    }

    /// Passes a request on. `Err` says why there is no valid answer.
    /// The slot is held until the answer has ended.
    pub async fn call(self: &Arc<Self>, slot: Slot, mut request: Request<Body>) -> Result<Response<Body>, CallError> {
        let busy = Busy::new(self);
        loop {
            let (mut connection, reused) = self.connection().await.map_err(CallError::NotTaken)?;
            match connection.try_send_request(request).await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    let body = Reused { body, connection: Some(connection), busy, _slot: slot };
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
            let Some(mut idle) = self.lock().pop() else { break };
            if idle.ready().await.is_ok() {
                return Ok((idle, true));
            }
        }
        let socket =
            Socket::connect_to(self.address).await.map_err(|e| format!("it does not take connections: {e}"))?;
        let socket = socket.forgive_broken_writes();
        let (requests, connection) = http1::handshake(socket).await.map_err(|e| describe(&e))?;
        rt::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("a connection to an instance ended: {error}");
            }
        });
        Ok((requests, false))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SendRequest<Body>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    busy: Busy,
    _slot: Slot,
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
        let mut idle = self.busy.0.lock();
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
