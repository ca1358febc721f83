//! The `echo` example: an http function that answers with what it was sent, also over a WebSocket and, for who asks for
//! the protocol `echo`, byte by byte.

use super::demo_websocket as websocket;
use crate::body::Body;
use crate::http::upgrade::{self, Later};
use crate::lanes;
use crate::net::{self, Socket, Timers};
use crate::{output, rt, tunnel};
use async_io::Async;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use std::convert::Infallible;
use std::net::TcpListener;
use std::process::ExitCode;

/// Serves on $PORT (8080 when unset) until it is ended.
pub fn run() -> ExitCode {
    let port = std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(8080);
    let listener = match TcpListener::bind(("127.0.0.1", port)).and_then(Async::new) {
        Ok(listener) => listener,
        Err(error) => {
            output::note(&format!("cares: echo cannot listen on port {port}: {error}."));
            return ExitCode::FAILURE;
        }
    };
    rt::block_on(async {
        let (_never, stop) = rt::bounded(1);
        while let Some((stream, _)) = net::accept(&listener, &stop).await {
            lanes::seat(serve(stream));
        }
        ExitCode::SUCCESS
    })
}

async fn serve(stream: std::net::TcpStream) {
    if let Ok(socket) = Socket::over(stream) {
        let connection = http1::Builder::new().timer(Timers).serve_connection(socket, service_fn(answer));
        let _ = connection.with_upgrades().await; // whoever called has gone
    }
}

/// The body as it comes; without one, what was asked.
async fn answer(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (asked, key) = (request.headers().get(UPGRADE), request.headers().get(SEC_WEBSOCKET_KEY));
    match (asked.map(HeaderValue::as_bytes), key) {
        (Some(b"echo"), _) => {
            lanes::spawn_here(talk(hyper::upgrade::on(&mut request), |said| said));
            return Ok(switch(HeaderValue::from_static("echo")));
        }
        (Some(protocol), Some(key)) if protocol.eq_ignore_ascii_case(b"websocket") => {
            let mut answer = switch(HeaderValue::from_static("websocket"));
            answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, websocket::accept(key));
            lanes::spawn_here(talk(hyper::upgrade::on(&mut request), websocket::echo));
            return Ok(answer);
        }
        _ => {}
    }
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let body = match hyper::body::Body::is_end_stream(request.body()) {
        true => Body::from(format!("{} {}\n", request.method(), request.uri())),
        false => Body::Incoming(request.into_body()),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, kind.unwrap_or(plain));
    Ok(response)
}

fn switch(protocol: HeaderValue) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    upgrade::ask(answer.headers_mut(), protocol);
    answer
}

/// Answers what is said on the connection, once it is upgraded.
async fn talk(upgraded: OnUpgrade, answer: fn(Body) -> Body) {
    let Ok(upgraded) = upgraded.await else { return };
    let Ok(parts) = upgraded.downcast::<Socket>() else { return };
    let (begin, said) = Later::body();
    let begin = |body| drop(begin.send(body)); // both ends of it are here
    let _ = tunnel::carry(parts.io, parts.read_buf, begin, answer(said)).await; // whoever called has gone
}
