//! `/calls`: what became of asynchronous calls, their results, and cancelling them.

use super::page::{self, Page};
use super::recent;
use super::submit::OWN_KEYS;
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::{Call, CallKey, CallStatus, CallbackStatus, Refusal};
use crate::http::headers::X_CALL_ID;
use crate::http::openapi::{Answer, Content, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{self, Reply, Streamed, flag, value};
use crate::orchestrator::Orchestrator;
use crate::types;
use hyper::Response;
use hyper::header::HeaderValue;
use std::sync::Arc;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listCalls",
    tag: "calls",
    summary: "Calls of late and asynchronous ones that are kept, newest first",
    parameters: &[
        LIMIT,
        Parameter::query("after", Kind::Text, "Rows behind this asynchronous call; only with `async=true`."),
        Parameter::query("function", Kind::Text, "Of this function."),
        Parameter::query("node", Kind::Text, "Of the node of this id or name."),
        Parameter::query(
            "status",
            Kind::OneOf(&["queued", "running", "succeeded", "failed", "cancelled"]),
            "Of this status.",
        ),
        Parameter::query("async", Kind::Flag, "Only asynchronous ones, or only the others."),
    ],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<types::CallRecord>>()])],
    errors: &["function_not_found", "node_not_found"],
    ..Operation::NONE
};

/// `GET /calls`, newest first: `?async=`, `?status=`, `?function=`, `?node=`
pub fn list(app: &Orchestrator, call: &route::Call) -> Result<Reply, Problem> {
    let limit = page::limit(call)?;
    let status = page::one_of(&call.query, "status", CallStatus::ALL, CallStatus::word)?.map(CallStatus::word);
    let function = value(&call.query, "function");
    let asynchronous = flag(&call.query, "async")?;
    let after = match value(&call.query, "after").map(CallKey::parse) {
        None => None,
        Some(Some(key)) if asynchronous == Some(true) => Some(key),
        Some(_) => {
            let detail = "after: must be the id of an asynchronous call, with async=true";
            return Err(Problem::new(400, "invalid_field", detail));
        }
    };
    let node = match value(&call.query, "node") {
        None => None,
        Some(name) => {
            let found = app.state.read(|c| c.find_node(name).map(|n| (n.key, n.spec.id.clone())));
            Some(found.ok_or_else(|| Problem::no_node_named(name))?)
        }
    };
    let mut found = match asynchronous {
        Some(true) => Some(Vec::new()),
        _ => recent::newest(app, call, limit, status, node.as_ref().map(|(key, _)| *key)),
    };
    let wanted = |c: &Call| {
        status.is_none_or(|s| s == c.status.word())
            && function.is_none_or(|f| f == &*c.function)
            && node.as_ref().is_none_or(|(_, id)| c.node.as_deref() == Some(id))
    };
    let mut next = None;
    if asynchronous != Some(false) {
        let mut calls = app.queue.newest(after, limit + 1, wanted);
        let more = calls.len() > limit;
        calls.truncate(limit);
        let last = calls.last().filter(|_| more && asynchronous == Some(true));
        next = last.map(|last| page::next_link(call, &last.key.to_string()));
        if found.is_some() || !calls.is_empty() {
            found.get_or_insert_default().extend(calls.iter().map(record));
        }
    }
    let mut found = found.ok_or_else(|| Problem::no_function(function.unwrap_or_default()))?;
    found.sort_by(|a, b| b.started_at.cmp(&a.started_at)); // stable: what is of one moment keeps its order
    found.truncate(limit);
    Ok(Page { rows: found, next }.reply())
}

/// A call as the list shows it: from its submission on.
fn record(call: &Call) -> types::CallRecord {
    let until = call.ended.unwrap_or_else(clock::steady_unix_ms);
    types::CallRecord {
        id: call.key.to_string(),
        function: call.function.to_string(),
        node: call.node.as_deref().map(str::to_string),
        status: call.status.word().into(),
        started_at: clock::rfc3339(call.submitted),
        duration_ms: until.saturating_sub(call.submitted) as f64,
        asynchronous: true,
        attempts: call.attempts,
        last_error: call.last_error.clone(),
        module: None,
    }
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getCall",
    tag: "calls",
    summary: "One asynchronous call",
    answers: &[Answer::of(200, "The call.").with(&[Content::json::<types::Call>()])],
    errors: &["call_not_found"],
    ..Operation::NONE
};

/// `GET /calls/ID`
pub fn get(app: &Orchestrator, call: &route::Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &view(app, &known(app, call.param(0))?)))
}

/// What the document says of this.
pub const CANCEL: Operation = Operation {
    id: "cancelCall",
    tag: "calls",
    summary: "Cancels an asynchronous call",
    answers: &[Answer::of(200, "The call, cancelled.").with(&[Content::json::<types::Call>()])],
    errors: &["call_not_found", "call_ended"],
    ..Operation::NONE
};

/// `DELETE /calls/ID`
pub async fn cancel(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.into_iter().next().unwrap_or_default();
    let key = known(&app, &id)?.key;
    match app.queue.cancel(&app, key).await {
        Ok(()) => Ok(Reply::json(200, &view(&app, &known(&app, &id)?)).into()),
        Err(Refusal::Ended { status }) => {
            let detail = format!("call {id} has {}: there is nothing to cancel", status.word());
            Err(Problem::new(409, "call_ended", detail))
        }
        Err(_) => Err(Problem::no_call(&id)),
    }
}

/// What the document says of this.
pub const RESULT: Operation = Operation {
    id: "getResult",
    tag: "calls",
    summary: "What the function answered: its status, headers and body",
    answers: &[Answer::of(Answer::ANY, "The function's answer.")],
    errors: &["call_not_found", "call_not_ended", "call_cancelled", "call_failed"],
    ..Operation::NONE
};

/// `GET /calls/ID/result`
pub async fn result(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.into_iter().next().unwrap_or_default();
    let call = known(&app, &id)?;
    if call.status == CallStatus::Cancelled {
        return Err(Problem::new(409, "call_cancelled", format!("call {id} was cancelled: it has no result")));
    }
    if !call.status.is_final() {
        let detail = format!("call {id} is {}: its result is here once it has ended", call.status.word());
        return Err(Problem::new(409, "call_not_ended", detail).retry_after(1));
    }
    let found = app.queue.result(call.key).await;
    let found = found.map_err(|why| Problem::new(500, "internal", format!("the result of call {id}: {why}")))?;
    let Some(mut answer) = found else {
        let why = call.last_error.unwrap_or_default();
        return Err(Problem::new(
            502,
            "call_failed",
            format!("call {id} ended without an answer: {why}; GET /calls/{id} has its story"),
        ));
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(X_CALL_ID, id); // the function's own word for it means nothing here
    }
    Ok(answer)
}

/// Whose call it is.
pub fn function_of(app: &Orchestrator, id: &str) -> Option<String> {
    known(app, id).ok().map(|call| call.function.to_string())
}

fn known(app: &Orchestrator, id: &str) -> Result<Call, Problem> {
    CallKey::parse(id).and_then(|key| app.queue.call(key)).ok_or_else(|| Problem::no_call(id))
}

/// A call as everybody sees it.
pub fn view(app: &Orchestrator, call: &Call) -> types::Call {
    let callback = call.callback.as_ref().map(|c| types::Callback {
        url: c.url.to_string(),
        status: c.status.word().into(),
        attempts: c.attempts,
        next_try_at: (c.status == CallbackStatus::Pending).then(|| clock::rfc3339(c.next_try)),
        last_error: c.last_error.clone(),
    });
    let own_key = |key: &str| !key.starts_with(OWN_KEYS);
    types::Call {
        id: call.key.to_string(),
        function: call.function.to_string(),
        status: call.status.word().into(),
        asynchronous: true,
        attempts: call.attempts,
        failures: call.failures,
        max_attempts: call.max_attempts,
        interruptions: call.interruptions,
        submitted_at: clock::rfc3339(call.submitted),
        node: call.node.as_deref().map(str::to_string),
        started_at: call.started.map(clock::rfc3339),
        ended_at: call.ended.map(clock::rfc3339),
        next_try_at: (call.status == CallStatus::Queued).then(|| clock::rfc3339(call.next_try)),
        expires_at: call.ended.map(|at| clock::rfc3339(at + app.queue.retention_ms)),
        last_error: call.last_error.clone(),
        result: format!("/calls/{}/result", call.key),
        callback,
        idempotency_key: call.idempotency.as_ref().map(|i| i.key.to_string()).filter(|key| own_key(key)),
        scheduled_for: call.scheduled_for.map(clock::rfc3339),
    }
}
