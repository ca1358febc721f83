//! Taking an asynchronous call in: 202 once it is on disk, and not before.

use crate::auth::Denied;
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::{CallKey, Idempotency, Refusal, Submission};
use crate::http::headers::X_CALL_ID;
use crate::http::invoke;
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::queue::{self, BODY_BYTES, Headers, NotTaken, Rejected, Request, Taken};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Makes any call an asynchronous one.
pub const X_CARES_ASYNC: HeaderName = HeaderName::from_static("x-cares-async");
const X_CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_SCHEDULED_FOR: HeaderName = HeaderName::from_static("x-cares-scheduled-for");
/// A caller's own name for a call.
const KEY_BYTES: usize = 255;
/// Names that schedules give begin with this, and callers' must not.
const OWN_KEYS: &str = "cares:";
/// Between two pieces of a request's body.
const STALL: Duration = Duration::from_secs(30);

/// Whether a call's headers make it an asynchronous one.
pub fn later(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(X_CARES_ASYNC).map(HeaderValue::as_bytes) {
        None | Some(b"false" | b"0") => Ok(false),
        Some(b"true" | b"1") => Ok(true),
        Some(_) => Err(field(&X_CARES_ASYNC, "must be true or false")),
    }
}

/// Answers any method on `/async-function/NAME[/rest]`, and calls with `X-Cares-Async: true`.
pub async fn submit(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let function = asked.params.into_iter().next().unwrap_or_default();
    let (mut head, incoming) = asked.request.into_parts();
    let max_attempts = app.state.read(|c| c.function(&function).map(|f| f.current().attempts));
    let max_attempts = max_attempts.ok_or_else(|| Problem::no_function(&function))?;
    let callback = text(&head.headers, &X_CALLBACK_URL)?;
    if let Some(url) = &callback {
        queue::check_url(url).map_err(|why| field(&X_CALLBACK_URL, &why))?;
        if asked.by.is_none() && app.tokens.gate().closed() {
            return Err(Denied::Missing.into()); // anybody may call a public function, but not have us call others
        }
    }
    let key = text(&head.headers, &IDEMPOTENCY_KEY)?;
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES || key.starts_with(OWN_KEYS)) {
        return Err(field(&IDEMPOTENCY_KEY, &format!("1 to {KEY_BYTES} bytes, not beginning with {OWN_KEYS}")));
    }
    app.queue.admits(&function).map_err(|refusal| refused(&function, refusal))?;
    let path = invoke::function_path(&head).to_string();
    let mut digest = Sha256::new();
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    for part in [head.method.as_str().as_bytes(), path.as_bytes(), kind] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let body = app.queue.bodies().take(incoming, STALL, &mut digest).await.map_err(not_taken)?;
    invoke::pass_on(&mut head, asked.peer);
    for name in [&X_CARES_ASYNC, &X_CALLBACK_URL, &X_SCHEDULED_FOR] {
        head.headers.remove(name);
    }
    let submission = Submission {
        function: function.as_str().into(),
        bytes: 0, // known to the queue
        max_attempts,
        idempotency: key.map(|key| Idempotency { key: key.into(), digest: hex(&digest.finalize()).into() }),
        callback: callback.map(Into::into),
        scheduled_for: None,
    };
    let request = Request {
        method: head.method.to_string(),
        path,
        headers: Headers::from(&head.headers),
        body: body.stored().clone(),
    };
    let accepted = app.queue.submit(submission, request, body).await;
    let call = accepted.map_err(|rejected| rejection(&function, rejected))?;
    accepted_as(&app, call)
}

fn accepted_as(app: &Orchestrator, call: CallKey) -> Result<Response<Body>, Problem> {
    let shown = app.queue.call(call).ok_or_else(|| Problem::no_call(&call.to_string()))?; // it ended long ago
    let mut response = super::calls::json(202, &super::calls::view(app, &shown));
    let headers = response.headers_mut();
    for (name, value) in [(LOCATION, format!("/calls/{call}")), (X_CALL_ID, call.to_string())] {
        headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
    }
    Ok(response)
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
    app.queue.submit(submission, request, body).await.map_err(|rejected| rejection(function, rejected))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim().into())),
        _ => Err(field(name, "once, in ASCII")),
    }
}

fn field(name: &HeaderName, why: &str) -> Problem {
    Problem::new(400, "invalid_field", format!("{name}: {why}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rejection(function: &str, rejected: Rejected) -> Problem {
    match rejected {
        Rejected::Refused(refusal) => refused(function, refusal),
        Rejected::Body(why) => not_taken(why),
        Rejected::Store(error) => error.into(),
    }
}

fn refused(function: &str, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::QueueFull { limit } => {
            let detail = format!("function '{function}': as many asynchronous calls wait as may ({limit})");
            Problem::new(429, "queue_full", detail + "; try again later").retry_after(5)
        }
        Refusal::NoSpace { limit } => {
            let detail = format!("asynchronous calls that wait take the {limit} bytes they may; try again later");
            Problem::new(503, "queue_space_full", detail).retry_after(30)
        }
        Refusal::KeyReused { call } => {
            let detail = format!(
                "Idempotency-Key: call {call} was made under this key with another method, path, Content-Type or body; \
                 use another key for another call"
            );
            Problem::new(422, "idempotency_key_reused", detail)
        }
        _ => {
            let detail = format!("function '{function}': the call could not be kept; try again");
            Problem::new(503, "call_not_kept", detail).retry_after(1)
        }
    }
}

fn not_taken(why: NotTaken) -> Problem {
    match why {
        NotTaken::TooLarge => Problem::too_large("an asynchronous call's body", BODY_BYTES),
        NotTaken::Stalled => {
            Problem::new(408, "body_timeout", format!("no more of the body came for {} s", STALL.as_secs()))
        }
        NotTaken::Broken(why) => Problem::invalid(format!("the body broke off: {why}")),
        NotTaken::Disk(why) => Problem::new(507, "store_failed", why),
    }
}
