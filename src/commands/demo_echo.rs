//! The `echo` example: an http function that answers with what it was sent.

use crate::body::Body;
use crate::lanes;
use crate::net::{self, Socket, Timers};
use crate::{output, rt};
use async_io::Async;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
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
        let _ = connection.await; // whoever called has gone
    }
}

/// The body as it comes; without one, what was asked.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
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
