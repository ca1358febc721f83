//! The invocation path: a caller's request becomes a call, gets a place, goes there and its answer comes back. Holds no
//! body beyond what may be sent again.

use super::api::submit;
use super::headers::{self, X_CALL_ID};
use super::openapi::{Answer, Content, Kind, Operation, Parameter};
use super::problem::Problem;
use super::route::Streamed;
use super::upgrade;
use crate::body::{self, Body, CollectError};
use crate::clock;
use crate::logging;
use crate::orchestrator::Orchestrator;
use call::Call;
use hyper::Response;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod answer;
mod attempt;
mod call;
mod story;

pub use attempt::{Attempt, Extras, NotAnswered, attempt};

/// A body up to this size is taken in before the call gets a slot: it can be sent again, and a slow sender holds nothing.
const REPLAYABLE_BYTES: u64 = 64 * 1024;

/// What the document says of this.
pub const INVOKE: Operation = Operation {
    id: "invoke",
    tag: "calls",
    summary: "Calls a function, at most once; any method",
    parameters: &[
        Parameter::header("X-Cares-Async", Kind::Flag, "Call it later, as /async-function does."),
        submit::CALLBACK,
        submit::KEY,
    ],
    body: &[Content::Bytes("*/*")],
    body_optional: true,
    answers: &[
        Answer::of(Answer::ANY, "The function's answer: any status, any content.").headers(&["X-Call-Id"]),
        Answer::of(202, "With `X-Cares-Async: true`: it is on disk, and is called later.")
            .with(&[Content::json::<crate::types::Call>()])
            .headers(&["Location", "X-Call-Id"]),
    ],
    errors: &[
        "function_not_found",
        "function_stopped",
        "no_image",
        "endpoint_unreachable",
        "queue_full",
        "too_many_calls",
        "no_node",
        "queue_timeout",
        "stopping",
        "body_timeout",
        "too_large",
        "function_not_started",
        "function_failed",
        "function_timeout",
        "node_lost",
        "call_not_found",
        "idempotency_key_reused",
        "queue_space_full",
        "call_not_kept",
        "store_failed",
    ],
};

/// Answers any method on `/invoke/NAME[/rest]`.
pub async fn invoke(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    if submit::later(asked.request.headers())? {
        return submit::submit(app, asked).await;
    }
    let (id, mut answer) = match admit(&app, asked).await {
        Ok((id, answered)) => (id, answered),
        Err(problem) => (header_of(&app.refused_id()), problem.into()),
    };
    answer.headers_mut().insert(X_CALL_ID, id);
    Ok(answer)
}

/// An id as a header: letters and digits.
pub fn header_of(id: &str) -> HeaderValue {
    let mut id = HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    id.set_sensitive(true); // no two are the same: nothing on the way should remember it to save bytes
    id
}

/// Takes a call in and brings it to its answer; `Err` when it is not taken in.
async fn admit(app: &Arc<Orchestrator>, asked: Streamed) -> Result<(HeaderValue, Response<Body>), Problem> {
    let function = asked.params.into_iter().next().unwrap_or_default();
    let accepted = clock::now();
    if app.stopping() {
        return Err(Problem::stopping());
    }
    let (head, incoming) = asked.request.into_parts();
    let (timeout_ms, rate_per_s) = app
        .state
        .read(|c| c.function(&function).map(|f| (f.current().timeout_ms, f.current().rate_per_s)))
        .ok_or_else(|| Problem::no_function(&function))?;
    app.pace(&function, rate_per_s)?;
    let idle = Duration::from_millis(timeout_ms);
    let deadline = accepted + idle;
    let body = replayable(incoming, &function, deadline).await?;
    let wanted = upgrade::wanted(&head, &body);
    let path = function_path(&head);
    let (mut call, place) = Call::take(app, function, head, path, accepted, None)?;
    let id = header_of(&call.guard.invocation.to_string());
    call.wanted = wanted;
    pass_on(&mut call.head, asked.peer);
    call.own_headers(id.clone());
    let answered = call.run(place, body, deadline).await;
    let ran = logging::access_wanted().then(|| call.told());
    let mut answer = match answered {
        Ok(answer) => call.answer(answer, idle),
        Err(problem) => problem.into(),
    };
    ran.and_then(|ran| answer.extensions_mut().insert(ran));
    Ok((id, answer))
}

/// Takes a small body in; leaves a large one where it is.
async fn replayable(incoming: Incoming, function: &str, deadline: Instant) -> Result<Body, Problem> {
    match incoming.size_hint().exact() {
        Some(0) => Ok(Body::Empty),
        Some(n) if n <= REPLAYABLE_BYTES => {
            match clock::timeout_at(deadline, body::collect(incoming, n as usize)).await {
                Some(Ok(bytes)) => Ok(Body::full(bytes)),
                Some(Err(CollectError::TooLarge(limit))) => Err(Problem::too_large("the body", limit as u64)),
                Some(Err(CollectError::Broken(error))) => Err(Problem::broken_off("the body", error)),
                None => {
                    let detail = format!(
                        "the body did not come within the timeout_s of function '{function}': send it faster, or raise that"
                    );
                    Err(Problem::new(408, "body_timeout", detail))
                }
            }
        }
        _ => Ok(Body::Incoming(incoming)),
    }
}

/// What the function sees of the path: all behind its name.
pub fn function_path(head: &Parts) -> PathAndQuery {
    let all = head.uri.path();
    let rest = all.splitn(4, '/').nth(3).unwrap_or("");
    let query = head.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    if rest.is_empty() && query.is_empty() {
        return PathAndQuery::from_static("/");
    }
    format!("/{rest}{query}").parse().unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// What of a caller's headers its function gets.
pub fn pass_on(head: &mut Parts, peer: SocketAddr) {
    headers::strip(&mut head.headers);
    headers::forwarded(&mut head.headers, peer);
    head.headers.remove(header::EXPECT); // answered here
}
