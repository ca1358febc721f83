//! One attempt of an asynchronous call: the way every call goes, and its answer taken in. Must never begin before it is
//! on disk that it did.

use super::bodies::{Bodies, NotTaken, Taken, Which};
use super::records::{self, Headers, Outcome, Stored};
use super::{BODY_BYTES, Ended};
use crate::body::Body;
use crate::cluster::backlog::{AttemptEnd, CallKey};
use crate::http::invoke::{self, Attempt, NotAnswered};
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
    let (queue, placed) = (app.clone(), key);
    let placed = Box::new(move |node| queue.queue.placed(placed, node));
    let of = Attempt { id: key.to_string(), placed, module: None };
    match invoke::attempt(app, &call.function, head, body, of).await {
        Ok(answer) => answered(&app.queue.bodies, answer).await,
        Err(why) => not_answered(why),
    }
}

/// Ended for that reason, which is what is left of it.
pub fn failed(why: String, again: bool) -> Ended {
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

/// An answer, taken in.
pub async fn answered(bodies: &Bodies, answer: Response<Body>) -> Ended {
    let (head, body) = answer.into_parts();
    let taken = match bodies.take(body, STALL, &mut Sha256::new()).await {
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
pub fn not_answered(NotAnswered { problem, started, passing }: NotAnswered) -> Ended {
    match (problem.code, started) {
        ("node_lost" | "stopping", true) => {
            Ended { end: AttemptEnd::Interrupted { why: problem.detail }, outcome: None }
        }
        ("function_not_found" | "invalid_request", _) => ended_with(problem, false),
        (_, true) => ended_with(problem, true),
        ("function_not_started", false) if !passing => ended_with(problem, true),
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
    use crate::http::codes::CODES;

    #[test]
    fn what_did_not_start_costs_nothing_and_what_failed_is_tried_again() {
        let status = |code| CODES.iter().find(|known| known.code == code).unwrap().status;
        let not_answered =
            |code, started, passing| NotAnswered { problem: Problem::new(status(code), code, "why"), started, passing };
        let end = |code, started| super::not_answered(not_answered(code, started, false)).end;
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
        let not_now = not_answered("function_not_started", false, true);
        assert!(
            matches!(super::not_answered(not_now).end, AttemptEnd::NotStarted { .. }),
            "it was not reached, or full"
        );
        for started in [true, false] {
            assert!(matches!(end("function_not_found", started), AttemptEnd::Failed { again: false, .. }));
        }
    }
}
