//! Functions that are servers somewhere else: a call is the request itself, sent to the address somebody registered, where
//! the operator allows it. One connection a call: nothing of such a server is kept.

use crate::body::Body;
use crate::clock;
use crate::orchestrator::endpoints::{Endpoint, Endpoints};
use crate::rt;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use std::time::Duration;

/// To connect, names looked up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An answer's head, as of a function.
const HEAD_BYTES: usize = 128 * 1024;

/// Sends a call and waits for the head of its answer. `started`: it may have reached the server.
pub async fn send(
    endpoints: &Endpoints,
    url: &str,
    mut request: Request<Body>,
    started: &mut bool,
) -> Result<Response<Body>, String> {
    let endpoint = Endpoint::read(url)?;
    let host = HeaderValue::from_str(&endpoint.authority()).map_err(|e| e.to_string())?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let connecting = endpoints.connect_function(&endpoint, CONNECT_LIMIT);
    let socket = clock::timeout(CONNECT_LIMIT, connecting).await;
    let socket = socket.unwrap_or_else(|| Err(format!("no connection within {} s", CONNECT_LIMIT.as_secs())))?;
    let mut client = http1::Builder::new();
    let handshake = client.max_buf_size(HEAD_BYTES).handshake(socket).await;
    let (mut requests, driven) = handshake.map_err(|e| e.to_string())?;
    rt::spawn(async move { drop(driven.await) }); // ends with the answer, or when nobody wants that any more
    *started = true;
    let answer = requests.send_request(request).await.map_err(|e| format!("it gave no valid answer: {e}"))?;
    Ok(answer.map(Body::Incoming))
}
