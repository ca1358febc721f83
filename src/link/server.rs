//! The answering end of a link.

use super::body::{self, Received};
use super::pipe::Pipe;
use crate::body::{Body, BoxError};
use crate::lanes;
use crate::net::Socket;
use crate::wire;
use bytes::Bytes;
use futures_lite::future;
use h2::server::SendResponse;
use hyper::body::Body as _;
use hyper::{Request, Response};
use std::future::poll_fn;

/// Serves a connected socket until the connection ends; each request is answered beside the others.
pub async fn serve<A, F>(socket: Socket, answer: A) -> Result<(), BoxError>
where
    A: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let pipe = Pipe::over(socket);
    let mut builder = h2::server::Builder::new();
    let handshake = builder
        .initial_window_size(wire::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(wire::CONNECTION_WINDOW_BYTES)
        .max_frame_size(wire::FRAME_BYTES)
        .max_concurrent_streams(wire::STREAMS_PER_LINK)
        .max_header_list_size(super::HEADERS_BYTES)
        .max_send_buffer_size(super::SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(super::GIVEN_UP)
        .max_local_error_reset_streams(None) // a stream that breaks the protocol must not end the others
        .max_pending_accept_reset_streams(super::GIVEN_UP)
        .handshake(pipe.clone());
    let mut connection = pipe.turns(handshake).await?;
    let pings = connection.ping_pong();
    let ended = async {
        while let Some(asked) = connection.accept().await {
            let (request, respond) = asked?;
            let (head, stream) = request.into_parts();
            let body = Received::body(stream, &head.headers, None);
            lanes::spawn_here(respond_with(answer(Request::from_parts(head, body)), respond));
        }
        Ok(())
    };
    let lost = async {
        super::lost(pings).await;
        Err("the other end does not answer".into())
    };
    future::or(pipe.turns(ended), lost).await
}

async fn respond_with(answer: impl Future<Output = Response<Body>>, mut respond: SendResponse<Bytes>) {
    let given_up = async {
        let _ = poll_fn(|cx| respond.poll_reset(cx)).await; // by a reset, or with the connection
        None
    };
    let Some(answer) = future::or(async { Some(answer.await) }, given_up).await else { return };
    let (mut head, body) = answer.into_parts();
    body::say_length(&mut head.headers, &body);
    let ends = body.is_end_stream();
    match respond.send_response(Response::from_parts(head, ()), ends) {
        Ok(stream) if !ends => body::send(body, stream).await,
        Ok(_) => {}
        Err(error) => log::debug!("an answer could not be sent: {error}"), // it was given up
    }
}
