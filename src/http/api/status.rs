//! `/status` of a worker: what it is and does now, once or for as long as somebody watches.

use crate::body::Body;
use crate::clock;
use crate::http::openapi::{Answer, Content, Kind, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Streamed, flag};
use crate::types::Member;
use crate::worker::Worker;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Between two readings for whoever watches; a change of membership is told at once.
const EVERY: Duration = Duration::from_secs(1);

/// What the document says of this.
pub const MEMBER: Operation = Operation {
    id: "getStatus",
    tag: "program",
    summary: "A worker as it sees itself",
    parameters: &[Parameter::query("watch", Kind::Flag, "Go on, as server-sent events.")],
    answers: &[Answer::of(200, "Once, or with `watch=true` once a second and at each change.")
        .with(&[Content::json::<Member>(), Content::events::<Member>()])],
    ..Operation::NONE
};

/// `GET /status`, `GET /status?watch=true`
pub async fn member(worker: Arc<Worker>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let (kind, body) = match flag(&asked.query, "watch")? {
        None | Some(false) => ("application/json", Body::full(json(&worker) + "\n")),
        Some(true) => ("text/event-stream", watched(worker)),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn json(worker: &Worker) -> String {
    serde_json::to_string(&worker.member()).unwrap_or_default()
}

enum Next {
    First,
    Later,
    Over,
}

fn watched(worker: Arc<Worker>) -> Body {
    let changes = worker.membership.changes();
    Body::unfold((worker, changes, Next::First), |(worker, changes, next)| async move {
        let first = match next {
            Next::First => true,
            Next::Later => {
                let _ = clock::timeout(EVERY, changes.recv()).await; // either way there is news
                false
            }
            Next::Over => return None,
        };
        let synced = if first { "event: synced\ndata: {}\n\n" } else { "" };
        let text = format!("event: put\ndata: {}\n\n{synced}", json(&worker));
        // A watch must not hold up the end of the worker.
        let next = if worker.membership.ended() { Next::Over } else { Next::Later };
        Some((Ok(Bytes::from(text)), (worker, changes, next)))
    })
}
