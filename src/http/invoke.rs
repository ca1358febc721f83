//! The invocation path: a caller's request becomes a call, gets a place, goes there and its answer comes back. Holds no
//! body beyond what may be sent again.

use super::headers::{self, X_CALL_ID};
use super::problem::Problem;
use super::route::Streamed;
use super::upgrade::{self, Begin, Later, Tunnel};
use crate::body::{self, Body, BoxError, CollectError};
use crate::clock::{self, Deadline};
use crate::cluster::{Assigned, Cluster, Command, InvocationKey, Mode, Reach};
use crate::link::Unanswered;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::dispatch::first_generation::NoOutput;
use crate::orchestrator::dispatch::link::{self, Session};
use crate::orchestrator::state::{Place, Placed};
use crate::rt;
use crate::wire::{self, Outcome};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Version};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A body up to this size is taken in before the call gets a slot: it can be sent again, and a slow sender holds nothing.
const REPLAYABLE_BYTES: u64 = 64 * 1024;

/// Answers any method on `/invoke/NAME[/rest]`.
pub async fn invoke(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let (id, mut answer) = match admit(&app, asked).await {
        Ok((id, answered)) => (id, answered.unwrap_or_else(Response::from)),
        Err(problem) => (header_of(&app.refused_id()), problem.into()),
    };
    answer.headers_mut().insert(X_CALL_ID, id);
    Ok(answer)
}

/// An id as a header: letters and digits.
fn header_of(id: &str) -> HeaderValue {
    let mut id = HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    id.set_sensitive(true); // no two are the same: nothing on the way should remember it to save bytes
    id
}

type Answered = Result<Response<Body>, Problem>;

/// Takes a call in and brings it to its answer; `Err` when it is not taken in.
async fn admit(app: &Arc<Orchestrator>, asked: Streamed) -> Result<(HeaderValue, Answered), Problem> {
    let function = asked.params.into_iter().next().unwrap_or_default();
    let accepted = clock::now();
    if app.stopping() {
        return Err(Problem::stopping());
    }
    let (mut head, incoming) = asked.request.into_parts();
    let timeout_ms = app
        .state
        .read(|c| c.function(&function).map(|f| f.current().timeout_ms))
        .ok_or_else(|| Problem::no_function(&function))?;
    let idle = Duration::from_millis(timeout_ms);
    let deadline = accepted + idle;
    let body = replayable(incoming, &function, deadline).await?;
    let (invocation, place) = app.state.invoke(&function).map_err(|refusal| Problem::of_call(&function, refusal))?;
    let story = app.stories.tell().then(|| Story::begin(app, invocation, &function, &head));
    let guard = Guard { app: app.clone(), invocation, success: None, story, accepted };
    let path = function_path(&head);
    let id = header_of(&invocation.to_string());
    let wanted = upgrade::wanted(&head, &body);
    prepare_headers(&mut head, id.clone(), asked.peer, guard.story.is_some());
    let call = Call { app: app.clone(), function, head, path, guard, wanted, begin: None };
    let answered = call.run(place, body, deadline).await.map(|(answer, guard, begin)| {
        let (mut head, body) = answer.into_parts();
        if let (Some(begin), Some(protocol)) = (begin, head.headers.remove(wire::HEADER_UPGRADE)) {
            headers::strip(&mut head.headers);
            return upgraded(begin, body, guard).answer(head.headers, protocol);
        }
        headers::strip(&mut head.headers);
        head.version = Version::HTTP_11;
        let answer = Answer::new(head.status, body, guard, idle);
        Response::from_parts(head, Body::stream(answer))
    });
    Ok((id, answered))
}

/// Of a function that switched protocols: no limit of time any more, and the slot is held until both sides have ended.
fn upgraded(begin: Begin, from: Body, mut guard: Guard) -> Tunnel {
    if let Some(story) = &mut guard.story {
        story.status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    }
    Tunnel { begin, from, ended: Box::new(move |well| guard.end(well)) }
}

/// Takes a small body in; leaves a large one where it is.
async fn replayable(incoming: Incoming, function: &str, deadline: Instant) -> Result<Body, Problem> {
    match incoming.size_hint().exact() {
        Some(0) => Ok(Body::Empty),
        Some(n) if n <= REPLAYABLE_BYTES => {
            match clock::timeout_at(deadline, body::collect(incoming, n as usize)).await {
                Some(Ok(bytes)) => Ok(Body::full(bytes)),
                Some(Err(CollectError::TooLarge(limit))) => Err(Problem::too_large("the body", limit as u64)),
                Some(Err(CollectError::Broken(error))) => Err(Problem::invalid(format!("the body broke off: {error}"))),
                None => {
                    let detail = format!("the body did not come within function '{function}'s timeout_s");
                    Err(Problem::new(408, "body_timeout", detail))
                }
            }
        }
        _ => Ok(Body::Incoming(incoming)),
    }
}

/// What the function sees of the path: all behind its name.
fn function_path(head: &Parts) -> PathAndQuery {
    let all = head.uri.path();
    let rest = all.splitn(4, '/').nth(3).unwrap_or("");
    let query = head.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    if rest.is_empty() && query.is_empty() {
        return PathAndQuery::from_static("/");
    }
    format!("/{rest}{query}").parse().unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

fn prepare_headers(head: &mut Parts, id: HeaderValue, peer: SocketAddr, story: bool) {
    headers::strip(&mut head.headers);
    headers::forwarded(&mut head.headers, peer);
    head.headers.remove(header::EXPECT); // answered here
    head.headers.insert(X_CALL_ID, id);
    if story {
        head.headers.insert(wire::HEADER_STORY, HeaderValue::from_static("1"));
    }
}

/// An answer that has begun, what ends its call, and what begins another protocol if that was wanted.
type Begun = (Response<Body>, Guard, Option<Begin>);

/// One call, until its answer begins.
struct Call {
    app: Arc<Orchestrator>,
    function: String,
    head: Parts,
    path: PathAndQuery,
    guard: Guard,
    /// The protocol its caller wants to go on with, and what begins it.
    wanted: Option<HeaderValue>,
    begin: Option<Begin>,
}

impl Call {
    async fn run(mut self, place: Place, body: Body, deadline: Instant) -> Result<Begun, Problem> {
        let answered = clock::timeout_at(deadline, self.answered(place, body)).await;
        match answered.unwrap_or_else(|| Err(self.timed_out(deadline))) {
            Ok(answer) => Ok((answer, self.guard, self.begin)),
            Err(problem) => {
                self.guard.failed(problem.status);
                Err(problem)
            }
        }
    }

    fn timed_out(&self, deadline: Instant) -> Problem {
        let detail = format!(
            "no answer within the function's timeout_s, which is {}; an http function must listen on $PORT",
            (deadline - self.guard.accepted).as_secs_f64()
        );
        Problem::new(504, "function_timeout", detail)
    }

    async fn answered(&mut self, place: Place, body: Body) -> Result<Response<Body>, Problem> {
        let copy = match &body {
            Body::Empty => Some(Body::Empty),
            Body::Full(bytes) => Some(Body::Full(bytes.clone())),
            Body::Incoming(_) | Body::Received(_) | Body::Stream(_) => None,
        };
        let mut body = Some(body);
        let mut prepared_again = false;
        let mut placed = match place {
            Place::Assigned(assigned) => Ok(assigned),
            Place::Waiting(waiting) => self.wait(waiting).await?,
        };
        loop {
            let assigned = placed.map_err(|failure| Problem::of_failure(&self.function, failure))?;
            if let Some(story) = &mut self.guard.story {
                story.assigned(&self.app, &assigned);
            }
            let Some(sent) = body.take().or_else(|| Self::again(&copy)) else {
                let detail = "its node would not start it, and the body is too large to be sent again";
                return Err(Problem::new(502, "function_not_started", detail));
            };
            let refused = match self.send(&assigned, sent).await {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Failed(problem) => return Err(problem),
                Sent::Unprepared if !prepared_again => {
                    prepared_again = true;
                    placed = Ok(assigned);
                    continue;
                }
                Sent::Unprepared => "its node does not keep what it is sent to run".into(),
                Sent::Refused(why, unsent) => {
                    body = unsent;
                    why
                }
            };
            let over = || Problem::node_lost(&self.function, "its node went away");
            let waiting = self.app.state.refuse(assigned.invocation, refused).map_err(|_| over())?;
            placed = self.wait(waiting).await?;
        }
    }

    fn again(copy: &Option<Body>) -> Option<Body> {
        match copy {
            Some(Body::Empty) => Some(Body::Empty),
            Some(Body::Full(bytes)) => Some(Body::Full(bytes.clone())),
            _ => None,
        }
    }

    async fn wait(&self, waiting: futures_channel::oneshot::Receiver<Placed>) -> Result<Placed, Problem> {
        waiting.await.map_err(|_| Problem::stopping())
    }

    /// By the way that leads to the node. Instances are only where links are.
    async fn send(&mut self, to: &Assigned, body: Body) -> Sent {
        let reach = |c: &Cluster| c.node(to.node).map(|n| n.reach);
        match to.instance.is_none().then(|| self.app.state.read(reach)).flatten() {
            // boxed: the rare ways must not make every call's future large
            Some(Reach::FirstGeneration) => Box::pin(self.run_there(to, body)).await,
            _ => self.send_on_link(to, body).await,
        }
    }

    /// On a worker of the first CARES, which takes no body and answers when all is done.
    async fn run_there(&self, to: &Assigned, body: Body) -> Sent {
        match self.app.first_generation.run(&self.app.state, to.node, &to.revision).await {
            Ok(output) => {
                let mut answer = Response::new(Body::from(output));
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                answer.headers_mut().insert(header::CONTENT_TYPE, text);
                Sent::Answered(answer)
            }
            Err(NoOutput::NotSent(why)) => Sent::Refused(why, Some(body)),
            Err(NoOutput::Broken(why)) => Sent::Failed(Problem::node_lost(&self.function, &why)),
            Err(NoOutput::Failed(why)) => {
                let detail = format!("function '{}': {why}", self.function);
                Sent::Failed(Problem::new(502, "function_failed", detail))
            }
        }
    }

    async fn send_on_link(&mut self, to: &Assigned, body: Body) -> Sent {
        if to.instance.is_none() {
            let mode = match Box::pin(self.app.links.prepare(to.node, &to.revision)).await {
                Ok(mode) => mode,
                Err(why) => return Sent::Refused(why, Some(body)),
            };
            if let (Mode::Auto, Some(mode)) = (to.revision.mode, mode)
                && Box::pin(self.resolved(to, mode)).await == Mode::Http
            {
                return Sent::Refused("it is an http function, and has no instance yet".into(), Some(body));
            }
        }
        let Some(request) = self.request(to, body) else {
            return Sent::Failed(Problem::invalid("the path cannot be passed on"));
        };
        let answer = match self.app.links.send(to.node, request).await {
            Ok(answer) => answer,
            Err(Unanswered::NotSent(body, why)) => return Sent::Refused(why, Some(body)),
            Err(Unanswered::Broken(why)) => return Sent::Failed(Problem::node_lost(&self.function, &why)),
        };
        match link::outcome(&answer) {
            None => Sent::Answered(answer),
            Some(Outcome::Failed) => {
                let detail = format!("function '{}': {}", self.function, Box::pin(link::why(answer)).await);
                Sent::Failed(Problem::new(502, "function_failed", detail))
            }
            Some(Outcome::Refused) => Sent::Refused(Box::pin(link::why(answer)).await, None),
            Some(Outcome::Gone) => {
                let why = Box::pin(link::why(answer)).await;
                self.gone(to, &why);
                Sent::Refused(why, None)
            }
            Some(Outcome::UnknownRevision) => {
                self.app.links.forget_prepared(to.node, &to.revision);
                Sent::Unprepared
            }
        }
    }

    /// The image was looked at for the first time: what it is, is kept.
    async fn resolved(&self, to: &Assigned, mode: Mode) -> Mode {
        let (function, revision) = (to.revision.function.clone(), to.revision.number);
        if let Ok(applied) = self.app.state.apply(Command::ResolveMode { function, revision, mode })
            && let Err(error) = applied.kept().await
        {
            log::warn!("{error}"); // it will be looked at again after a restart
        }
        mode
    }

    /// An instance that has ended is not to be picked again, though its node has not told yet.
    fn gone(&self, to: &Assigned, why: &str) {
        let Some(instance) = to.instance else { return };
        let _ = self.app.state.apply(Command::InstanceEnded { instance, why: why.into() }); // told meanwhile
        let node = to.node;
        let Some(session) = self.app.state.read(|c| c.node(node).map(|n| n.session)) else { return };
        let app = self.app.clone();
        rt::spawn(async move { drop(app.links.stop(Session { node, session }, instance).await) }); // it may run, and only not listen
    }

    fn request(&mut self, to: &Assigned, body: Body) -> Option<Request<Body>> {
        let mut request = Request::new(body);
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.headers.clone();
        let headers = request.headers_mut();
        let authority = match to.instance {
            Some(instance) => {
                headers.insert(wire::HEADER_INSTANCE, HeaderValue::from_str(&instance.to_string()).ok()?);
                if let Some(protocol) = &self.wanted {
                    headers.insert(wire::HEADER_UPGRADE, protocol.clone());
                    let (begin, later) = Later::body();
                    (self.begin, *request.body_mut()) = (Some(begin), later);
                }
                wire::INSTANCE
            }
            None => {
                headers.insert(wire::HEADER_FUNCTION, HeaderValue::from_str(&to.revision.function).ok()?);
                headers.insert(wire::HEADER_REVISION, HeaderValue::from(to.revision.number));
                wire::JOB
            }
        };
        *request.uri_mut() = link::uri(authority, self.path.clone())?;
        Some(request)
    }
}

enum Sent {
    Answered(Response<Body>),
    Failed(Problem),
    /// Nothing was started. The body comes back when none of it was read.
    Refused(String, Option<Body>),
    /// Nor did it know the revision any more.
    Unprepared,
}

/// Ends a call when dropped, however that comes about.
struct Guard {
    app: Arc<Orchestrator>,
    invocation: InvocationKey,
    /// Whether it went well, once that is known; a call given up on its way has failed.
    success: Option<bool>,
    story: Option<Story>,
    accepted: Instant,
}

impl Guard {
    fn end(mut self, success: bool) {
        self.success = Some(success);
    }

    /// Its caller is told so, in place of an answer.
    fn failed(&mut self, status: u16) {
        self.success = Some(false);
        if let Some(story) = &mut self.story {
            story.status = status;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let took = self.accepted.elapsed();
        self.app.state.finish(self.invocation, self.success.unwrap_or(false), took);
        if let Some(story) = &self.story {
            story.end(self.success, took);
        }
    }
}

/// Tells the log what becomes of a call.
struct Story {
    name: String,
    candidates: String,
    status: u16,
}

impl Story {
    fn begin(app: &Orchestrator, invocation: InvocationKey, function: &str, head: &Parts) -> Self {
        let candidates = app.state.read(|c| c.function(function).map(|f| c.candidates(f)).unwrap_or_default());
        let named: Vec<String> = candidates.iter().take(5).map(|c| format!("{} {:.1}", c.name, c.score)).collect();
        let name = format!("Call {invocation} of '{function}'");
        log::info!("{name}: received {} {}, {} candidates", head.method, head.uri.path(), candidates.len());
        Story { name, candidates: named.join(", "), status: 0 }
    }

    fn assigned(&mut self, app: &Orchestrator, to: &Assigned) {
        let name = |c: &crate::cluster::Cluster| c.node(to.node).map(|n| (n.spec.name.clone(), n.score()));
        let (node, score) = app.state.read(name).unwrap_or_default();
        let why = match to.instance {
            Some(instance) => format!("its instance {instance} is warm"),
            None => format!("lowest score of: {}", self.candidates),
        };
        log::info!("{}: node '{node}' chosen (score {score:.1}; {why}), dispatched", self.name);
    }

    fn end(&self, success: Option<bool>, took: Duration) {
        let outcome = match success {
            Some(true) => "finished",
            Some(false) => "failed",
            None => "ended without an answer",
        };
        let status = if self.status == 0 { String::new() } else { format!(" with status {}", self.status) };
        log::info!("{}: {outcome}{status} after {:.1} ms", self.name, took.as_secs_f64() * 1e3);
    }
}

/// An answer's body on its way to the caller. Ends the call at its end, or when the caller leaves.
struct Answer {
    body: Body,
    guard: Option<Guard>,
    success: bool,
    idle: Duration,
    deadline: Option<Deadline>,
}

impl Answer {
    fn new(status: StatusCode, body: Body, mut guard: Guard, idle: Duration) -> Self {
        let success = status.as_u16() < 500;
        if let Some(story) = &mut guard.story {
            story.status = status.as_u16();
        }
        let mut this = Answer { body, guard: Some(guard), success, idle, deadline: None };
        this.settle();
        this
    }

    /// Gives the slot back as soon as nothing more will come: the caller may be slow in taking what is here.
    fn settle(&mut self) {
        if self.body.is_end_stream()
            && let Some(guard) = self.guard.take()
        {
            guard.end(self.success);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.deadline = None;
                match &frame {
                    Some(Ok(_)) => this.settle(),
                    Some(Err(_)) => drop(this.guard.take()),
                    None => {
                        if let Some(guard) = this.guard.take() {
                            guard.end(this.success);
                        }
                    }
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let idle = this.idle;
                let deadline = this.deadline.get_or_insert_with(|| clock::after(idle));
                ready!(Pin::new(deadline).poll(cx));
                drop(this.guard.take());
                Poll::Ready(Some(Err("the function stopped sending for longer than its timeout_s".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
