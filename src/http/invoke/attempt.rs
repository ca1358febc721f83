//! One attempt of an asynchronous call, on the way of every other call. Keeps nothing.

use super::{Call, Guard, Story, candidates, header_of, own_headers};
use crate::body::Body;
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

/// One attempt of an asynchronous call of this id, on the way of every other call. `head`: as it was accepted, its path
/// the function's own.
pub async fn attempt(
    app: &Arc<Orchestrator>,
    function: &str,
    mut head: Parts,
    body: Body,
    id: &str,
) -> Result<Response<Body>, NotAnswered> {
    let not_started = |problem| NotAnswered { problem, started: false };
    let accepted = clock::now();
    let timeout_ms = app.state.read(|c| c.function(function).map(|f| f.current().timeout_ms));
    let idle = Duration::from_millis(timeout_ms.ok_or_else(|| not_started(Problem::no_function(function)))?);
    let candidates = app.stories.tell().then(|| candidates(app, function));
    let taken = app.state.invoke(function).map_err(|refusal| not_started(Problem::of_call(function, refusal)));
    let (invocation, place) = taken?;
    let story = candidates.map(|candidates| Story::begin(candidates, invocation, function, &head));
    let guard = Guard { app: app.clone(), invocation, success: None, story, accepted };
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    head.headers.insert(wire::HEADER_CALL, header_of(&invocation.to_string()));
    own_headers(&mut head, header_of(id), guard.story.is_some());
    let (app, function) = (app.clone(), function.into());
    let mut call = Call { app, function, head, path, guard, placed: false, started: false };
    match call.run(place, body, accepted + idle).await {
        Ok(answer) => Ok(call.answer(answer, idle)),
        Err(problem) => Err(NotAnswered { problem, started: call.started }),
    }
}
