//! Taking an asynchronous call in: 202 once it is on disk, and not before.

use crate::auth::Denied;
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::{CallKey, Callback, Idempotency, Refusal, Submission};
use crate::hex::hex;
use crate::http::headers::{IDEMPOTENCY_KEY, KEY_BYTES, invalid, text};
use crate::http::invoke;
use crate::http::openapi::{Answer, Content, Kind, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Reply, Streamed};
use crate::limits::Limit;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::queue::{self, BODY_BYTES, Headers, NotTaken, Rejected, Request, Taken};
use crate::rt;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Makes any call an asynchronous one.
pub const X_CARES_ASYNC: HeaderName = HeaderName::from_static("x-cares-async");
const X_CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");
const X_SCHEDULED_FOR: HeaderName = HeaderName::from_static("x-cares-scheduled-for");
/// Names that schedules give begin with this, and callers' must not.
pub const OWN_KEYS: &str = "cares:";

/// Whether a call's headers make it an asynchronous one.
pub fn later(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(X_CARES_ASYNC).map(HeaderValue::as_bytes) {
        None | Some(b"false" | b"0") => Ok(false),
        Some(b"true" | b"1") => Ok(true),
        Some(_) => Err(invalid(&X_CARES_ASYNC, "must be true or false")),
    }
}

/// Where its result goes.
pub const CALLBACK: Parameter =
    Parameter::header("X-Callback-Url", Kind::Text, "Gets the result of an asynchronous call, as a POST.");
/// Its caller's own name for it.
pub const KEY: Parameter = Parameter::header(
    "Idempotency-Key",
    Kind::Text,
    "Of an asynchronous call: the same key is the same call. 1 to 255 bytes.",
);

/// What the document says of this.
pub const SUBMIT: Operation = Operation {
    id: "submitCall",
    tag: "calls",
    summary: "Calls a function later, at least once; any method",
    parameters: &[CALLBACK, KEY],
    body: &[Content::Bytes("*/*")],
    body_optional: true,
    answers: &[Answer::of(202, "It is on disk.")
        .with(&[Content::json::<crate::types::Call>()])
        .headers(&["Location", "X-Call-Id"])],
    errors: &[
        "function_not_found",
        "queue_full",
        "body_timeout",
        "too_large",
        "idempotency_key_reused",
        "queue_space_full",
        "call_not_kept",
        "call_not_found",
        "store_failed",
    ],
};

/// Answers any method on `/async-function/NAME[/rest]`, and calls with `X-Cares-Async: true`.
pub async fn submit(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let function = asked.params.into_iter().next().unwrap_or_default();
    let (mut head, incoming) = asked.request.into_parts();
    let known = app.state.read(|c| c.function(&function).map(|f| (f.current().attempts, f.current().rate_per_s)));
    let (max_attempts, rate_per_s) = known.ok_or_else(|| Problem::no_function(&function))?;
    app.pace(&function, rate_per_s)?;
    let callback = text(&head.headers, &X_CALLBACK_URL)?.map(str::to_string);
    if let Some(url) = &callback {
        queue::check_url(url, &app.callbacks).map_err(|why| invalid(&X_CALLBACK_URL, &why))?;
        if asked.by.name.is_none() && app.tokens.gate().closed() {
            return Err(Denied::Missing.into()); // anybody may call a public function, but not have us call others
        }
    }
    let key = text(&head.headers, &IDEMPOTENCY_KEY)?.map(str::to_string);
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES || key.starts_with(OWN_KEYS)) {
        return Err(invalid(&IDEMPOTENCY_KEY, &format!("1 to {KEY_BYTES} bytes, not beginning with {OWN_KEYS}")));
    }
    app.queue.admits(&function).map_err(|refusal| refused(&app, &function, refusal))?;
    let path = invoke::function_path(&head).to_string();
    let mut digest = Sha256::new();
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    for part in [head.method.as_str().as_bytes(), path.as_bytes(), kind] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let stall = app.limits.time(Limit::BodyS);
    let body = app.queue.bodies().take(incoming, stall, &mut digest).await.map_err(|why| not_taken(&app, why))?;
    invoke::pass_on(&mut head, asked.peer);
    for name in [&X_CARES_ASYNC, &X_CALLBACK_URL, &X_SCHEDULED_FOR] {
        head.headers.remove(name);
    }
    let submission = Submission {
        function: function.as_str().into(),
        bytes: 0, // known to the queue
        max_attempts,
        idempotency: key.map(|key| Idempotency { key: key.into(), digest: hex(digest.finalize()).into() }),
        callback: callback
            .map(|url| Callback { from: Some(asked.peer.ip().to_string().into()), ..Callback::to(url.into()) }),
        scheduled_for: None,
    };
    let request = Request {
        method: head.method.to_string(),
        path,
        headers: Headers::from(&head.headers),
        body: body.stored().clone(),
    };
    let queue = app.clone();
    let accepted = rt::to_its_end(async move { queue.queue.submit(submission, request, body).await }).await;
    let call = accepted.map_err(|rejected| rejection(&app, &function, rejected))?;
    accepted_as(&app, call)
}

fn accepted_as(app: &Orchestrator, call: CallKey) -> Result<Response<Body>, Problem> {
    let shown = app.queue.call(call).ok_or_else(|| Problem::no_call(&call.to_string()))?; // it ended long ago
    let accepted = Reply::json(202, &super::calls::view(app, &shown));
    Ok(accepted.with("Location", format!("/calls/{call}")).with("X-Call-Id", call.to_string()).into())
}

/// Accepts the call a schedule makes; the same one when it was made before.
pub async fn scheduled(app: &Orchestrator, function: &str, due_unix_ms: u64) -> Result<CallKey, Problem> {
    let max_attempts = app.state.read(|c| c.function(function).map(|f| f.current().attempts));
    let mut headers = HeaderMap::new();
    let due = clock::rfc3339(due_unix_ms);
    headers.extend(HeaderValue::from_str(&due).ok().map(|due| (X_SCHEDULED_FOR, due)));
    let body = Taken::inline(b"");
    let submission = Submission {
        function: function.into(),
        bytes: 0,
        max_attempts: max_attempts.ok_or_else(|| Problem::no_function(function))?,
        idempotency: Some(Idempotency { key: format!("{OWN_KEYS}{due_unix_ms}").into(), digest: "".into() }),
        callback: None,
        scheduled_for: Some(due_unix_ms),
    };
    let request = Request {
        method: "POST".into(),
        path: "/".into(),
        headers: Headers::from(&headers),
        body: body.stored().clone(),
    };
    app.queue.submit(submission, request, body).await.map_err(|rejected| rejection(app, function, rejected))
}

fn rejection(app: &Orchestrator, function: &str, rejected: Rejected) -> Problem {
    match rejected {
        Rejected::Refused(refusal) => refused(app, function, refusal),
        Rejected::Body(why) => not_taken(app, why),
        Rejected::Store(error) => error.into(),
    }
}

fn refused(app: &Orchestrator, function: &str, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::QueueFull { limit } => {
            let detail = format!("function '{function}': as many asynchronous calls wait as may ({limit})");
            let by = if app.limits.count(Limit::AsyncCalls) == limit {
                Limit::AsyncCalls
            } else {
                Limit::AsyncCallsPerFunction
            };
            Problem::new(429, "queue_full", detail).of_limit(by).retry_after(5)
        }
        Refusal::NoSpace { limit } => {
            let detail = format!("asynchronous calls that wait take the {limit} bytes they may");
            Problem::new(503, "queue_space_full", detail).of_limit(Limit::AsyncBytes).retry_after(30)
        }
        Refusal::KeyReused { call } => {
            let detail = format!(
                "Idempotency-Key: call {call} was made under this key with another method, path, Content-Type or body; \
                 use another key for another call"
            );
            Problem::new(422, "idempotency_key_reused", detail)
        }
        _ => {
            let detail = format!("function '{function}': the call could not be kept");
            Problem::new(503, "call_not_kept", detail).retry_after(1)
        }
    }
}

fn not_taken(app: &Orchestrator, why: NotTaken) -> Problem {
    match why {
        NotTaken::TooLarge => Problem::too_large("an asynchronous call's body", BODY_BYTES),
        NotTaken::Stalled => {
            let detail = format!("no more of the body came for {} s: send it again", app.limits.of(Limit::BodyS));
            Problem::new(408, "body_timeout", detail).of_limit(Limit::BodyS)
        }
        NotTaken::Broken(why) => Problem::broken_off("the body", why),
        NotTaken::Disk(why) => {
            Problem::new(507, "store_failed", format!("{why}. The call was not taken; make room on that disk"))
        }
    }
}
