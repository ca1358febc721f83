//! One attempt of an asynchronous call, on the way of every other call. Keeps nothing.

use super::call::Call;
use super::header_of;
use crate::body::Body;
use crate::cluster::backlog::CallKey;
use crate::http::problem::Problem;
use crate::orchestrator::Orchestrator;
use crate::{clock, wire};
use hyper::Response;
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use std::sync::Arc;
use std::time::Duration;

/// Why an attempt has no answer, and whether any of it was started.
pub struct NotAnswered {
    pub problem: Problem,
    pub started: bool,
}

/// One attempt of an asynchronous call, on the way of every other call. `head`: as it was accepted, its path
/// the function's own.
pub async fn attempt(
    app: &Arc<Orchestrator>,
    function: &str,
    head: Parts,
    body: Body,
    key: CallKey,
) -> Result<Response<Body>, NotAnswered> {
    let not_started = |problem| NotAnswered { problem, started: false };
    let accepted = clock::now();
    let timeout_ms = app.state.read(|c| c.function(function).map(|f| f.current().timeout_ms));
    let idle = Duration::from_millis(timeout_ms.ok_or_else(|| not_started(Problem::no_function(function)))?);
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let taken = Call::take(app, function.into(), head, path, accepted, Some(key));
    let (mut call, place) = taken.map_err(not_started)?;
    let attempt = header_of(&call.guard.invocation.to_string());
    call.head.headers.insert(wire::HEADER_CALL, attempt);
    call.own_headers(header_of(&key.to_string()));
    match call.run(place, body, accepted + idle).await {
        Ok(answer) => Ok(call.answer(answer, idle)),
        Err(problem) => Err(NotAnswered { problem, started: call.started }),
    }
}
