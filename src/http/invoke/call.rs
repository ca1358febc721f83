//! One call, from its place to the beginning of its answer. Knows nothing of how it came in.

use super::answer::{Answer, Guard};
use super::story::{Story, candidates};
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::CallKey;
use crate::cluster::{Assigned, Cluster, Command, Function, Mode, Reach};
use crate::http::headers::{self, X_CALL_ID};
use crate::http::problem::Problem;
use crate::http::upgrade::{Begin, Later, Tunnel};
use crate::link::Unanswered;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::dispatch::first_generation::NoOutput;
use crate::orchestrator::dispatch::link::{self, Session};
use crate::orchestrator::state::{Place, Placed};
use crate::rt;
use crate::wire::{self, Outcome};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One call, until its answer begins.
pub struct Call {
    app: Arc<Orchestrator>,
    function: String,
    pub head: Parts,
    path: PathAndQuery,
    /// The asynchronous call that this is an attempt of.
    attempt_of: Option<CallKey>,
    pub guard: Guard,
    /// It has had a place.
    placed: bool,
    /// It was sent to a node that did not refuse it.
    pub started: bool,
    /// The protocol its caller wants to go on with, and what begins it.
    pub wanted: Option<HeaderValue>,
    begin: Option<Begin>,
}

impl Call {
    /// Takes a call in, with its place or a place in its queue.
    pub fn take(
        app: &Arc<Orchestrator>,
        function: String,
        head: Parts,
        path: PathAndQuery,
        accepted: Instant,
        attempt_of: Option<CallKey>,
    ) -> Result<(Self, Place), Problem> {
        // Before it is placed: then the call itself counts as load.
        let candidates = app.stories.tell().then(|| candidates(app, &function));
        let taken = app.state.invoke(&function, attempt_of.is_some());
        let (invocation, place) = taken.map_err(|refusal| Problem::of_call(&function, refusal))?;
        let story = candidates.map(|candidates| Story::begin(candidates, invocation, &function, &head));
        let app = app.clone();
        let guard = Guard { app: app.clone(), invocation, success: None, story, accepted };
        let call = Call {
            app,
            function,
            head,
            path,
            attempt_of,
            guard,
            placed: false,
            started: false,
            wanted: None,
            begin: None,
        };
        Ok((call, place))
    }

    /// `id`: what the function is told to be called with; an asynchronous call's is the same at each attempt.
    pub fn own_headers(&mut self, id: HeaderValue) {
        self.head.headers.insert(X_CALL_ID, id);
        if self.guard.story.is_some() {
            self.head.headers.insert(wire::HEADER_STORY, HeaderValue::from_static("1"));
        }
    }

    pub async fn run(&mut self, place: Place, body: Body, deadline: Instant) -> Result<Response<Body>, Problem> {
        let answered = clock::timeout_at(deadline, self.answered(place, body)).await;
        let answered = answered.unwrap_or_else(|| Err(self.timed_out(deadline)));
        answered.inspect_err(|problem| self.guard.failed(problem.status))
    }

    /// What the caller gets of the function's answer; the call ends with it.
    pub fn answer(self, answer: Response<Body>, idle: Duration) -> Response<Body> {
        let (mut head, body) = answer.into_parts();
        let upgraded = self.begin.zip(head.headers.remove(wire::HEADER_UPGRADE));
        headers::strip(&mut head.headers);
        if let Some((begin, protocol)) = upgraded {
            return tunnel(begin, body, self.guard).answer(head.headers, protocol);
        }
        head.version = Version::HTTP_11;
        let answer = Answer::new(head.status, body, self.guard, idle);
        Response::from_parts(head, Body::stream(answer))
    }

    fn timed_out(&self, deadline: Instant) -> Problem {
        let seconds = (deadline - self.guard.accepted).as_secs_f64();
        let full = |c: &Cluster| c.function(&self.function).is_some_and(Function::is_full);
        if !self.placed && self.app.state.read(full) {
            let detail = format!("function '{}': no room for the call within its timeout_s, {seconds}", self.function);
            return Problem::new(503, "queue_timeout", detail).retry_after(1);
        }
        let detail = format!(
            "no answer within the function's timeout_s, which is {seconds}; an http function must listen on $PORT"
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
            self.placed = true;
            if let Some(story) = &mut self.guard.story {
                story.assigned(&self.app, &assigned);
            }
            if let Some(call) = self.attempt_of {
                let node = self.app.state.read(|c| c.node(assigned.node).map(|n| n.spec.id.as_str().into()));
                node.into_iter().for_each(|node| self.app.queue.placed(call, node));
            }
            let Some(sent) = body.take().or_else(|| Self::again(&copy)) else {
                let detail = "its node would not start it, and the body is too large to be sent again";
                return Err(Problem::new(502, "function_not_started", detail));
            };
            self.started = true;
            let sent = self.send(&assigned, sent).await;
            self.started = !matches!(sent, Sent::Refused(..) | Sent::Unprepared);
            let refused = match sent {
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

/// Of a function that switched protocols: no limit of time any more, and the slot is held until both sides have ended.
fn tunnel(begin: Begin, from: Body, mut guard: Guard) -> Tunnel {
    if let Some(story) = &mut guard.story {
        story.status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    }
    Tunnel { begin, from, ended: Box::new(move |well| guard.end(well)) }
}
