//! Links, the worker's end: connections it dials and serves calls on.

use super::Worker;
use super::build;
use super::engine::ImageFacts;
use super::images;
use super::instance::CallError;
use super::job::{self, JobError};
use super::logs::{self, Line};
use super::passport::Refused;
use super::pool::Pool;
use super::tasks::{self, TaskError};
use crate::body::{self, Body};
use crate::bundle;
use crate::clock;
use crate::http::{headers, upgrade};
use crate::link;
use crate::rt;
use crate::wire::{self, Outcome, proto};
use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries of a link that broke while its session goes on.
const AGAIN: Duration = Duration::from_millis(500);
/// A revision as it is sent: its settings are limited to less.
const REVISION_BYTES: usize = (1 << 20) + wire::SECRETS_BYTES;
/// The same of a task.
const TASK_BYTES: usize = 2 << 20;
/// And of a build: a runtime's Dockerfile comes with it.
const BUILD_BYTES: usize = 1 << 20;

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
    let mut socket = worker.passport.dial(&worker.orchestrator).await.map_err(|refused| match refused {
        Refused::Always(why) | Refused::Now(why) => why,
    })?;
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
        return full();
    };
    let mut story = Story::of(request.headers(), &instance.function, "running");
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
        return full();
    };
    let (secrets, request) = match with_secrets(request).await {
        Ok(both) => both,
        Err(why) => return other(Outcome::Refused, why),
    };
    let starts = match bundle::digest_in(&revision.image) {
        Some(_) => "starting process",
        None => "starting container",
    };
    let mut story = Story::of(request.headers(), &function, starts);
    let name = HeaderName::from_static(wire::HEADER_CALL);
    let name = if request.headers().contains_key(&name) { name } else { headers::X_CALL_ID };
    let call = text(request.headers(), name.as_str());
    match job::run(pool, slot, call, revision, secrets, request).await {
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

/// What comes before a job's body.
async fn with_secrets(request: Request<Body>) -> Result<(Option<proto::Secrets>, Request<Body>), String> {
    let Some(bytes) = request.headers().get(wire::HEADER_SECRETS) else { return Ok((None, request)) };
    let bytes = bytes.to_str().ok().and_then(|bytes| bytes.parse().ok()).filter(|n| *n <= wire::SECRETS_BYTES);
    let bytes = bytes.ok_or("its secrets are longer than they may be")?;
    let (head, body) = request.into_parts();
    let (first, body) = body::split(body, bytes).await.map_err(|_| "its secrets did not come whole")?;
    let secrets = proto::Secrets::decode(first).map_err(|_| "its secrets cannot be read")?;
    Ok((Some(secrets), Request::from_parts(head, body)))
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
        (&Method::POST, ["builds"]) => {
            let Ok(bytes) = body::collect(request.into_body(), BUILD_BYTES).await else {
                return status(StatusCode::BAD_REQUEST, "the build did not come whole".into());
            };
            match proto::Build::decode(bytes) {
                Ok(order) => build::answer(pool, order),
                Err(_) => status(StatusCode::BAD_REQUEST, "the build cannot be read".into()),
            }
        }
        (&Method::DELETE, ["builds", "caches", function]) => {
            let (caches, function) = (pool.caches.clone(), function.to_string());
            rt::unblock(move || caches.forget(&function)).await;
            Response::new(Body::Empty)
        }
        (&Method::POST, ["tasks", _, "start"]) => {
            let Ok(bytes) = body::collect(request.into_body(), TASK_BYTES).await else {
                return status(StatusCode::BAD_REQUEST, "the task did not come whole".into());
            };
            match proto::Task::decode(bytes) {
                Ok(task) => done(rt::to_its_end(async move { pool.tasks.take(&pool, task).await }).await),
                Err(_) => status(StatusCode::BAD_REQUEST, "the task cannot be read".into()),
            }
        }
        (&Method::POST, ["tasks", id, what @ ("stop" | "forget")]) => {
            let attempt = request.uri().query().and_then(|query| query.strip_prefix("attempt=")?.parse().ok());
            let (id, stop) = (id.to_string(), *what == "stop");
            let ordered = async move {
                match stop {
                    true => match pool.tasks.stop(&id, attempt).await {
                        Err(TaskError::Illegal(_)) => Ok(()), // it has ended by itself, and its end is told
                        other => other,
                    },
                    false => pool.tasks.forget(&id, attempt.unwrap_or(0)).await,
                }
            };
            done(rt::to_its_end(ordered).await)
        }
        (&Method::GET, ["tasks", id, "logs"]) => {
            let query = request.uri().query().unwrap_or("");
            let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let wanted = tasks::Wanted {
                tail: value("tail").and_then(|n| n.parse().ok()).unwrap_or(100),
                since_ms: value("since").and_then(|ms| ms.parse().ok()).unwrap_or(0),
                follow: value("follow") == Some("true"),
                marked: true,
            };
            match pool.tasks.log(id, wanted, tasks::json).await {
                Some(lines) => Response::new(lines),
                None => done(Err(TaskError::Unknown)),
            }
        }
        (&Method::GET, ["images"]) => match images::holds(&pool, request.uri().query().unwrap_or("")).await {
            Ok(true) => Response::new(Body::Empty),
            Ok(false) => status(StatusCode::NOT_FOUND, "that image is not on this node".into()),
            Err(why) => status(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        (&Method::GET, ["images", "digest"]) => {
            match images::digest(&pool, request.uri().query().unwrap_or("")).await {
                Ok(digest) => Response::new(Body::from(digest)),
                Err(why) => status(StatusCode::SERVICE_UNAVAILABLE, why),
            }
        }
        (&Method::POST, ["images", "save"]) => match images::save(&pool, request.into_body()).await {
            Ok(archive) => Response::new(archive),
            Err(why) => status(StatusCode::SERVICE_UNAVAILABLE, why),
        },
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

/// 200, or why not.
fn done(result: Result<(), TaskError>) -> Response<Body> {
    match result {
        Ok(()) => Response::new(Body::Empty),
        Err(error @ TaskError::Unknown) => status(StatusCode::NOT_FOUND, error.to_string()),
        Err(error) => status(StatusCode::CONFLICT, error.to_string()),
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

/// What a function printed: the past, an empty line, and then, if asked for, what comes. `source` is how the names of those
/// begin whose lines are wanted, `after` the number of the last line known.
fn logs(pool: &Arc<Pool>, function: &str, query: &str) -> Response<Body> {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let tail = value("tail").and_then(|n| n.parse().ok()).unwrap_or(100);
    let after = value("after").and_then(|n| n.parse().ok()).unwrap_or(0);
    let source = value("source").unwrap_or("").to_string();
    let wanted = move |line: &Line| line.source.starts_with(&source) || &*line.source == logs::OWN;
    let (mut past, following) = pool.logs.follow(function, usize::MAX);
    past.retain(|line| line.number > after && wanted(line));
    let past = past.split_off(past.len().saturating_sub(tail));
    let mut text: Vec<u8> = past.iter().flat_map(written).collect();
    text.push(b'\n');
    if value("follow") != Some("true") {
        return Response::new(Body::full(text));
    }
    let body = Body::unfold((Some(Bytes::from(text)), following, wanted), |(mut past, following, wanted)| async move {
        loop {
            if let Some(past) = past.take() {
                return Some((Ok(past), (None, following, wanted)));
            }
            let line = following.next().await;
            past = wanted(&line).then(|| written(&line).into());
        }
    });
    Response::new(body)
}

fn written(line: &Line) -> Vec<u8> {
    tasks::json(&wire::NumberedLine { number: line.number, line: tasks::shown(line) })
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

/// The orchestrator counts slots too; but it does not know of what others run here, nor when the last process is gone.
fn full() -> Response<Body> {
    let mut response = other(Outcome::Refused, "all slots of this node are taken".into());
    response.headers_mut().insert(wire::HEADER_PASSING, HeaderValue::from_static("1"));
    response
}

/// Tells this worker's log what becomes of a call, if its orchestrator tells it too.
struct Story(Option<(String, String, std::time::Instant)>);

impl Story {
    fn of(headers: &HeaderMap, function: &str, what: &str) -> Self {
        if !headers.contains_key(wire::HEADER_STORY) {
            return Story(None);
        }
        let call = text(headers, headers::X_CALL_ID.as_str());
        log::info!(call = call, function = function; "Call {call} of '{function}': received, {what}");
        Story(Some((call, function.into(), clock::now())))
    }

    fn end(&mut self, status: &str) {
        if let Some((call, function, since)) = self.0.take() {
            log::info!(call = call, function = function; "Call {call} of '{function}': finished after {:.1} ms: {status}", since.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// Given up before its end: nobody waits for it any more.
impl Drop for Story {
    fn drop(&mut self) {
        self.end("ended, as its time was over or its caller left");
    }
}
