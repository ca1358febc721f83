//! One attempt of an asynchronous call: the way every call goes, and its answer taken in. Must never begin before it is
//! on disk that it did.

use super::bodies::{NotTaken, Taken, Which};
use super::records::{self, Headers, Outcome, Stored};
use super::{BODY_BYTES, Ended};
use crate::body::Body;
use crate::cluster::backlog::{AttemptEnd, CallKey};
use crate::http::invoke::{self, NotAnswered};
use crate::http::problem::{CONTENT_TYPE, Problem};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::store::Written;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Between two pieces of an answer; the function's own limit is on the way before it.
const STALL: Duration = Duration::from_secs(86_400);
/// Of an attempt's number, for functions that want to know.
const X_CARES_ATTEMPT: &str = "x-cares-attempt";

/// Runs it and says how it ended.
pub async fn run(app: Arc<Orchestrator>, key: CallKey, attempt: u64, written: Option<Written>) {
    let kept = match written {
        Some(written) => app.queue.store.kept(written).await.map_err(|e| e.to_string()),
        None => Err("it is no longer known".into()),
    };
    let ended = match kept {
        Ok(()) => attempted(&app, key).await,
        Err(why) => Ended { end: AttemptEnd::NotStarted { why }, outcome: None },
    };
    app.queue.attempted(&app, key, attempt, ended).await;
}

async fn attempted(app: &Arc<Orchestrator>, key: CallKey) -> Ended {
    let Some(call) = app.queue.call(key) else {
        return failed("it is no longer known".into(), false);
    };
    let (head, body) = match request(app, key, call.attempts).await {
        Ok(request) => request,
        Err(Unread::Now(why)) => return Ended { end: AttemptEnd::NotStarted { why }, outcome: None },
        Err(Unread::Lost(why)) => return failed(format!("its request cannot be read: {why}"), false),
    };
    match invoke::attempt(app, &call.function, head, body, key).await {
        Ok(answer) => answered(app, answer).await,
        Err(NotAnswered { problem, started }) => not_answered(problem, started),
    }
}

fn failed(why: String, again: bool) -> Ended {
    ended_with(Problem::new(502, "call_failed", why), again)
}

/// Ended without an answer of the function's: the problem is what is left.
fn ended_with(problem: Problem, again: bool) -> Ended {
    let body = problem.body();
    let mut headers = header::HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    let outcome = Outcome { status: problem.status, headers: Headers::from(&headers), body: Stored::inline(&body) };
    let end = AttemptEnd::Failed { why: problem.detail, bytes: records::json(&outcome).len() as u64, again };
    Ended { end, outcome: Some((outcome, None)) }
}

/// Why a request is not here.
enum Unread {
    /// The disk fails, and may recover.
    Now(String),
    Lost(String),
}

async fn request(app: &Arc<Orchestrator>, key: CallKey, attempt: u32) -> Result<(Parts, Body), Unread> {
    let record = app.queue.store.request(&key.to_string()).await.map_err(|e| Unread::Now(e.to_string()))?;
    let record = record.ok_or_else(|| Unread::Lost("it is not there".into()))?;
    revived(app, key, attempt, &record).await.map_err(Unread::Lost)
}

async fn revived(app: &Arc<Orchestrator>, key: CallKey, attempt: u32, record: &[u8]) -> Result<(Parts, Body), String> {
    let record: records::Request = serde_json::from_slice(record).map_err(|e| e.to_string())?;
    let body = app.queue.bodies.give(&record.body, key, Which::Request).await?;
    let (mut head, ()) = Request::builder()
        .method(record.method.as_str())
        .uri(record.path.as_str())
        .body(())
        .map_err(|e| e.to_string())?
        .into_parts();
    head.headers = record.headers.to_map();
    head.headers.insert(X_CARES_ATTEMPT, HeaderValue::from(attempt));
    head.headers.remove(header::CONTENT_LENGTH);
    let length = match &record.body {
        Stored::Inline(text) => records::bytes_of(text).map(|bytes| bytes.len() as u64)?,
        Stored::File(bytes) => *bytes,
    };
    if length > 0 {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok((head, body))
}

async fn answered(app: &Arc<Orchestrator>, answer: Response<Body>) -> Ended {
    let (head, body) = answer.into_parts();
    let taken = match app.queue.bodies.take(body, STALL, &mut Sha256::new()).await {
        Ok(taken) => taken,
        Err(NotTaken::TooLarge) => {
            return failed(format!("its answer is larger than {BODY_BYTES} bytes, which is all that is kept"), false);
        }
        Err(NotTaken::Broken(why)) => return failed(format!("its answer broke off: {why}"), true),
        Err(NotTaken::Stalled) => return failed("its answer did not end".into(), true),
        Err(NotTaken::Disk(why)) => return Ended { end: AttemptEnd::Interrupted { why }, outcome: None },
    };
    let mut headers = head.headers;
    headers.remove(header::CONTENT_LENGTH); // told anew with the body
    let outcome =
        Outcome { status: head.status.as_u16(), headers: Headers::from(&headers), body: taken.stored().clone() };
    let bytes = records::json(&outcome).len() as u64 + taken.file_bytes();
    let end = match head.status.is_server_error() {
        false => AttemptEnd::Answered { bytes },
        true => {
            let why = format!("the function answered with status {}", head.status.as_u16());
            AttemptEnd::Failed { why, bytes, again: true }
        }
    };
    Ended { end, outcome: Some((outcome, Some(taken))) }
}

/// What a call without an answer means for the next attempt.
fn not_answered(problem: Problem, started: bool) -> Ended {
    match (problem.code, started) {
        ("node_lost" | "stopping", true) => {
            Ended { end: AttemptEnd::Interrupted { why: problem.detail }, outcome: None }
        }
        ("function_not_found" | "invalid_request", _) => ended_with(problem, false),
        (_, true) | ("function_not_started", false) => ended_with(problem, true),
        (_, false) => Ended { end: AttemptEnd::NotStarted { why: problem.detail }, outcome: None },
    }
}

impl Taken {
    /// What it takes on disk beside its record.
    pub fn file_bytes(&self) -> u64 {
        if self.is_file() { self.stored().len() } else { 0 }
    }

    pub fn is_file(&self) -> bool {
        matches!(self.stored(), Stored::File(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_start_costs_nothing_and_what_failed_is_tried_again() {
        let end = |code, started| not_answered(Problem::new(500, code, "why"), started).end;
        for code in ["no_node", "queue_full", "node_lost", "stopping", "function_timeout"] {
            assert!(matches!(end(code, false), AttemptEnd::NotStarted { .. }), "{code}");
        }
        for code in ["node_lost", "stopping"] {
            assert!(matches!(end(code, true), AttemptEnd::Interrupted { .. }), "{code}");
        }
        for (code, started) in [("function_failed", true), ("function_timeout", true), ("function_not_started", false)]
        {
            assert!(matches!(end(code, started), AttemptEnd::Failed { again: true, .. }), "{code}");
        }
        for started in [true, false] {
            assert!(matches!(end("function_not_found", started), AttemptEnd::Failed { again: false, .. }));
        }
    }
}
