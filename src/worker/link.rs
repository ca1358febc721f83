//! Links, the worker's end: connections it dials and serves calls on.

use super::Worker;
use super::engine::ImageFacts;
use super::instance::CallError;
use super::job::{self, JobError};
use super::logs::Line;
use super::pool::Pool;
use crate::body::{self, Body};
use crate::clock;
use crate::http::{headers, upgrade};
use crate::link;
use crate::net::Socket;
use crate::rt;
use crate::types::LogLine;
use crate::wire::{self, Outcome, proto};
use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// To connect, or to be told that it is not possible.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries of a link that broke while its session goes on.
const AGAIN: Duration = Duration::from_millis(500);
/// A revision as it is sent: its settings are limited to less.
const REVISION_BYTES: usize = 1 << 20;

/// Keeps one link open for as long as this future is polled.
pub async fn keep(worker: Arc<Worker>, ticket: String) {
    loop {
        if let Err(error) = serve(worker.clone(), &ticket).await {
            log::debug!("a link broke: {error}");
        }
        clock::after(AGAIN).await;
    }
}

async fn serve(worker: Arc<Worker>, ticket: &str) -> Result<(), body::BoxError> {
    let mut socket = Socket::connect(&worker.orchestrator, CONNECT_LIMIT).await?;
    let mut hello = wire::LINK_PREFACE.to_vec();
    hello.extend_from_slice(ticket.as_bytes());
    socket.write_all(&hello).await?;
    link::serve(socket, |request| answer(worker.pool.clone(), request)).await
}

async fn answer(pool: Arc<Pool>, request: Request<Body>) -> Response<Body> {
    match request.uri().authority().map(|a| a.as_str()) {
        Some(wire::INSTANCE) => to_instance(pool, request).await,
        // off this lane: these start processes, unpack files and wait for engines
        Some(wire::JOB) => rt::spawn_scoped(to_job(pool, request)).await,
        _ => rt::spawn_scoped(control(pool, request)).await,
    }
}

async fn to_instance(pool: Arc<Pool>, request: Request<Body>) -> Response<Body> {
    let id = request.headers().get(wire::HEADER_INSTANCE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Some(instance) = pool.instance(id) else {
        return other(Outcome::Gone, format!("instance {id} is not there"));
    };
    let Some(slot) = pool.take_slot() else {
        return other(Outcome::Refused, "all slots of this node are taken".into());
    };
    let story = Story::of(request.headers(), &instance.function);
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    head.uri = head.uri.path_and_query().map_or_else(Default::default, |p| p.clone().into());
    let wanted = head.headers.remove(wire::HEADER_UPGRADE);
    headers::strip(&mut head.headers);
    let host = headers::original_host(&head.headers).unwrap_or(HeaderValue::from_static("localhost"));
    head.headers.insert(header::HOST, host);
    let (body, afterwards) = match &wanted {
        Some(protocol) => {
            upgrade::ask(&mut head.headers, protocol.clone());
            (Body::Empty, Some(body))
        }
        None => (body, None),
    };
    match instance.call(slot, Request::from_parts(head, body), afterwards).await {
        Ok(mut answer) => {
            story.end(answer.status().as_str());
            let switched = upgrade::switched(&answer).or(wanted);
            headers::strip(answer.headers_mut());
            *answer.version_mut() = Version::HTTP_2;
            if let (StatusCode::SWITCHING_PROTOCOLS, Some(protocol)) = (answer.status(), switched) {
                upgrade::over_link(&mut answer, protocol);
            }
            answer
        }
        Err(CallError::NotTaken(why)) => {
            story.end(&why);
            other(Outcome::Gone, why)
        }
        Err(CallError::Failed(why)) => {
            story.end(&why);
            other(Outcome::Failed, why)
        }
    }
}

async fn to_job(pool: Arc<Pool>, request: Request<Body>) -> Response<Body> {
    let function = text(request.headers(), wire::HEADER_FUNCTION);
    let number = text(request.headers(), wire::HEADER_REVISION).parse().unwrap_or(0);
    let Some(revision) = pool.revision(&function, number) else {
        return other(Outcome::UnknownRevision, format!("revision {number} of '{function}' is not known here"));
    };
    let Some(slot) = pool.take_slot() else {
        return other(Outcome::Refused, "all slots of this node are taken".into());
    };
    let story = Story::of(request.headers(), &function);
    let name = HeaderName::from_static(wire::HEADER_CALL);
    let name = if request.headers().contains_key(&name) { name } else { headers::X_CALL_ID };
    let call = text(request.headers(), name.as_str());
    match job::run(pool, slot, call, revision, request).await {
        Ok(answer) => {
            story.end("200");
            answer
        }
        Err(JobError::NotStarted(why)) => {
            story.end(&why);
            other(Outcome::Refused, why)
        }
        Err(JobError::Failed(why)) => {
            story.end(&why);
            other(Outcome::Failed, why)
        }
    }
}

/// What the orchestrator wants of the worker itself.
async fn control(pool: Arc<Pool>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_string();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::POST, ["instances", id, "start"]) => {
            let id = id.to_string();
            let started = |revision| async { pool.start(id, revision).await.map(|()| Response::new(Body::Empty)) };
            with_revision(request, started).await
        }
        (&Method::POST, ["instances", id, "stop"]) => {
            pool.stop(id);
            Response::new(Body::Empty)
        }
        (&Method::POST, ["instances", id, "freeze"]) => frozen(match pool.instance(id) {
            Some(instance) => instance.freeze().await,
            None => Ok(()), // it is gone, and the orchestrator is told
        }),
        (&Method::POST, ["instances", id, "thaw"]) => frozen(match pool.instance(id) {
            Some(instance) => instance.thaw().await,
            None => Ok(()),
        }),
        (&Method::POST, ["revisions"]) => {
            with_revision(request, |revision| async move { pool.prepare(revision).await.map(prepared) }).await
        }
        (&Method::GET, ["logs", function]) => logs(&pool, function, request.uri().query().unwrap_or("")),
        _ => status(
            StatusCode::NOT_FOUND,
            "this worker does not know that request; is it older than its orchestrator?".into(),
        ),
    }
}

async fn with_revision<F, Fut>(request: Request<Body>, then: F) -> Response<Body>
where
    F: FnOnce(proto::Revision) -> Fut,
    Fut: Future<Output = Result<Response<Body>, String>>,
{
    let Ok(bytes) = body::collect(request.into_body(), REVISION_BYTES).await else {
        return status(StatusCode::BAD_REQUEST, "the revision did not come whole".into());
    };
    let Ok(revision) = proto::Revision::decode(bytes) else {
        return status(StatusCode::BAD_REQUEST, "the revision cannot be read".into());
    };
    match then(revision).await {
        Ok(answer) => answer,
        Err(why) => status(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

fn frozen(done: Result<(), String>) -> Response<Body> {
    match done {
        Ok(()) => Response::new(Body::Empty),
        Err(why) => status(StatusCode::CONFLICT, why),
    }
}

/// Ready to run; what an image says of itself is told.
fn prepared(facts: Option<ImageFacts>) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    if let Some(facts) = facts {
        let mode = if facts.http { wire::MODE_HTTP } else { wire::MODE_JOB };
        response.headers_mut().insert(wire::HEADER_MODE, HeaderValue::from_static(mode));
    }
    response
}

/// What a function printed: the past, an empty line, and then, if asked for, what comes.
fn logs(pool: &Arc<Pool>, function: &str, query: &str) -> Response<Body> {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let tail = value("tail").and_then(|n| n.parse().ok()).unwrap_or(100);
    let (past, following) = pool.logs.follow(function, tail);
    let mut text: Vec<u8> = past.iter().flat_map(written).collect();
    text.push(b'\n');
    if value("follow") != Some("true") {
        return Response::new(Body::full(text));
    }
    let body = Body::unfold((Some(Bytes::from(text)), following), |(past, following)| async move {
        let text = match past {
            Some(past) => past,
            None => written(&following.next().await).into(),
        };
        Some((Ok(text), (None, following)))
    });
    Response::new(body)
}

fn written(line: &Line) -> Vec<u8> {
    let line = LogLine {
        time: clock::rfc3339(line.at_ms),
        node: String::new(), // its orchestrator knows who it asked
        source: line.source.to_string(),
        stream: line.stream.as_str().into(),
        line: line.text.to_string(),
    };
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string()
}

fn status(status: StatusCode, why: String) -> Response<Body> {
    let mut response = Response::new(Body::from(why));
    *response.status_mut() = status;
    response
}

/// An answer that is not the function's own.
fn other(outcome: Outcome, why: String) -> Response<Body> {
    let mut response = status(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(wire::HEADER_OUTCOME, HeaderValue::from_static(outcome.word()));
    response
}

/// Tells this worker's log what becomes of a call, if its orchestrator tells it too.
struct Story(Option<(String, std::time::Instant)>);

impl Story {
    fn of(headers: &HeaderMap, function: &str) -> Self {
        if !headers.contains_key(wire::HEADER_STORY) {
            return Story(None);
        }
        let name = format!("Call {} of '{function}'", text(headers, headers::X_CALL_ID.as_str()));
        log::info!("{name}: received, running");
        Story(Some((name, clock::now())))
    }

    fn end(self, status: &str) {
        if let Some((name, since)) = self.0 {
            log::info!("{name}: finished after {:.1} ms: {status}", since.elapsed().as_secs_f64() * 1e3);
        }
    }
}
