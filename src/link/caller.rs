//! The asking end of a link.

use super::body::{self, Received};
use super::pipe::Pipe;
use crate::body::Body;
use crate::lanes;
use crate::net::Socket;
use crate::wire;
use bytes::Bytes;
use futures_lite::future;
use h2::client::SendRequest;
use hyper::body::Body as _;
use hyper::{Request, Response};

/// A body up to this size, when it is here whole, is handed over with its head, to go out in one write.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// Asks over a link; clones share it.
#[derive(Clone)]
pub struct Caller(SendRequest<Bytes>);

/// Why a request has no answer.
pub enum Unanswered {
    /// It never left; here is its body.
    NotSent(Body, String),
    /// It may have been taken.
    Broken(String),
}

/// Speaks over a connected socket. The future is the connection, and ends with it.
pub async fn call_over(socket: Socket) -> Result<(Caller, impl Future<Output = String> + Send), h2::Error> {
    let pipe = Pipe::over(socket);
    let mut builder = h2::client::Builder::new();
    let handshake = builder
        .enable_push(false)
        .initial_window_size(wire::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(wire::CONNECTION_WINDOW_BYTES)
        .max_frame_size(wire::FRAME_BYTES)
        .max_header_list_size(super::HEADERS_BYTES)
        .max_send_buffer_size(super::SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(super::GIVEN_UP)
        .max_local_error_reset_streams(None) // a stream that breaks the protocol must not end the others
        .handshake(pipe.clone());
    let (requests, mut connection) = pipe.turns(handshake).await?;
    let pings = connection.ping_pong();
    let connection = Box::new(connection); // large, and moved into each future around it
    let connection = async move {
        let ended = async {
            match pipe.turns(connection).await {
                Ok(()) => "it was closed".to_string(),
                Err(error) => error.to_string(),
            }
        };
        let lost = async {
            super::lost(pings).await;
            "the other end does not answer".to_string()
        };
        future::or(ended, lost).await
    };
    Ok((Caller(requests), connection))
}

impl Caller {
    /// Sends a request and waits for its answer, whose body streams. Dropped before its end, the call is given up.
    pub async fn send(self, request: Request<Body>) -> Result<Response<Body>, Unanswered> {
        let Caller(mut requests) = self;
        let (mut head, body) = request.into_parts();
        body::say_length(&mut head.headers, &body);
        let empty = body.is_end_stream();
        let (answer, mut stream) = match requests.send_request(Request::from_parts(head, ()), empty) {
            Ok(sent) => sent,
            Err(error) => return Err(Unanswered::NotSent(body, error.to_string())),
        };
        drop(requests);
        let sending = match body {
            _ if empty => None,
            Body::Full(bytes) if bytes.len() <= AT_ONCE_BYTES => {
                let _ = stream.send_data(bytes, true); // the answer says why not
                None
            }
            body => Some(lanes::beside(body::send(body, stream))),
        };
        let answer = answer.await.map_err(|error| Unanswered::Broken(error.to_string()))?;
        let (head, stream) = answer.into_parts();
        let body = Received::body(stream, &head.headers, sending);
        Ok(Response::from_parts(head, body))
    }
}
