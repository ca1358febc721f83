//! One call, from its place to the beginning of its answer. Knows nothing of how it came in.

use super::answer::{Answer, Guard};
use super::attempt::{Attempt, Extras};
use super::story::{Story, candidates};
use crate::body::{self, Body, CollectError};
use crate::clock;
use crate::cluster::{Assigned, Cluster, Command, Function, Mode, NodeKey, Origin, Reach, Revision};
use crate::http::access::Ran;
use crate::http::headers::{self, X_CALL_ID};
use crate::http::problem::Problem;
use crate::http::trace;
use crate::http::upgrade::{Begin, Later, Tunnel};
use crate::link::Unanswered;
use crate::modules::PAYLOAD_BYTES;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::dispatch::NoOutput;
use crate::orchestrator::dispatch::elsewhere;
use crate::orchestrator::dispatch::link::{self, Session, Unmet};
use crate::orchestrator::state::{Place, Placed};
use crate::rt;
use crate::wire::{self, Outcome, proto};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Version};
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One call, until its answer begins.
pub struct Call {
    app: Arc<Orchestrator>,
    function: String,
    pub head: Parts,
    path: PathAndQuery,
    /// It is one of an asynchronous call or of a pipeline's module.
    attempt: Option<Box<Attempt>>,
    pub guard: Guard,
    /// Where it had its last place.
    at: Option<NodeKey>,
    /// It was sent to a node that did not refuse it.
    pub started: bool,
    /// The node that had it last did not take it for a reason that may pass.
    pub passing: bool,
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
        attempt: Option<Attempt>,
    ) -> Result<(Self, Place), Problem> {
        // Before it is placed: then the call itself counts as load.
        let candidates = app.stories.tell().then(|| candidates(app, &function));
        let wants = attempt.as_ref().and_then(|attempt| attempt.module.as_ref()?.wants.clone());
        let origin = attempt.as_ref().map_or(Origin::Caller, Attempt::origin);
        let taken = app.state.invoke(&function, origin, wants);
        let (invocation, place) = taken.map_err(|refusal| Problem::of_call(&function, refusal))?;
        let story = candidates.map(|candidates| Story::begin(candidates, invocation, &function, &head));
        let app = app.clone();
        let guard = Guard { app: app.clone(), invocation, success: None, story, accepted };
        let call = Call {
            app,
            function,
            head,
            path,
            attempt: attempt.map(Box::new),
            guard,
            at: None,
            started: false,
            passing: false,
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

    /// Whose call it is and where it runs or ran, by name.
    pub fn told(&self) -> Ran {
        let node = self.at.and_then(|at| self.app.state.read(|c| c.node(at).map(|node| node.spec.name.clone())));
        Ran { function: self.function.clone(), node }
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
        if self.at.is_none() && self.app.state.read(full) {
            let detail = format!(
                "function '{0}': no room for the call within its timeout_s, {seconds}: raise its max or concurrency \
                 (`cares scale {0} --max N`)",
                self.function
            );
            return Problem::new(503, "queue_timeout", detail).retry_after(1);
        }
        let job = |c: &Cluster| c.function(&self.function).is_some_and(|f| f.current().mode == Mode::Job);
        let must = match self.app.state.read(job) {
            true => "a job must end by then",
            false => "an http function must listen on $PORT",
        };
        let detail = format!(
            "function '{0}': no answer within its timeout_s, which is {seconds}: raise it if the function takes longer; \
             {must}; 'cares describe {0}' and 'cares logs {0}' say more",
            self.function
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
            Place::Elsewhere(revision) => {
                return Box::pin(self.send_elsewhere(&revision, body.unwrap_or_default())).await;
            }
            Place::Waiting(waiting) => self.wait(waiting).await?,
        };
        loop {
            let assigned = placed.map_err(|failure| Problem::of_failure(&self.function, failure))?;
            self.at = Some(assigned.node);
            if let Some(story) = &mut self.guard.story {
                story.assigned(&self.app, &assigned);
            }
            if let Some(attempt) = &self.attempt {
                let node = self.app.state.read(|c| c.node(assigned.node).map(|n| n.spec.id.as_str().into()));
                node.into_iter().for_each(|node| (attempt.placed)(node));
            }
            let Some(sent) = body.take().or_else(|| Self::again(&copy)) else {
                let detail = format!(
                    "function '{}': its node would not start it, and the body is too large to be kept for another: send \
                     the call again",
                    self.function
                );
                return Err(Problem::new(502, "function_not_started", detail));
            };
            self.started = true;
            let sent = self.send(&assigned, sent).await;
            self.started = !matches!(sent, Sent::Refused(..) | Sent::NotNow(..) | Sent::Unprepared);
            self.passing = matches!(sent, Sent::NotNow(..));
            let refused = match sent {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Failed(problem) => return Err(problem),
                Sent::Unprepared if !prepared_again => {
                    prepared_again = true;
                    placed = Ok(assigned);
                    continue;
                }
                Sent::Unprepared => "its node does not keep what it is sent to run".into(),
                Sent::Refused(why, unsent) | Sent::NotNow(why, unsent) => {
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

    /// Waits for a place, however long that takes; what follows is counted from then on.
    pub async fn seat(&mut self, place: Place) -> Result<Place, Problem> {
        let assigned = match place {
            Place::Elsewhere(_) => return Ok(place), // it waits for nothing
            Place::Assigned(assigned) => assigned,
            Place::Waiting(waiting) => {
                self.wait(waiting).await?.map_err(|failure| Problem::of_failure(&self.function, failure))?
            }
        };
        self.guard.accepted = clock::now();
        Ok(Place::Assigned(assigned))
    }

    fn extras(&self) -> Option<&Extras> {
        self.attempt.as_ref()?.module.as_ref()
    }

    async fn wait(&self, waiting: futures_channel::oneshot::Receiver<Placed>) -> Result<Placed, Problem> {
        waiting.await.map_err(|_| Problem::stopping())
    }

    /// To the server the function was registered as, which no node runs.
    async fn send_elsewhere(&mut self, revision: &Revision, body: Body) -> Result<Response<Body>, Problem> {
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.head.headers.clone();
        let endpoints = self.app.http_workers.endpoints();
        let sent = elsewhere::send(endpoints, &revision.image, request, &mut self.started).await;
        sent.map_err(|why| {
            let detail = format!(
                "function '{}' is the server at {}: {why}; see that it runs there",
                self.function, revision.image
            );
            Problem::new(502, "endpoint_unreachable", detail)
        })
    }

    /// By the way that leads to the node. Instances are only where links are.
    async fn send(&mut self, to: &Assigned, body: Body) -> Sent {
        let reach = |c: &Cluster| c.node(to.node).map(|n| n.reach);
        match to.instance.is_none().then(|| self.app.state.read(reach)).flatten() {
            // boxed: the rare ways must not make every call's future large
            Some(Reach::FirstGeneration) => Box::pin(self.run_there(to, body)).await,
            Some(Reach::Http) => Box::pin(self.run_as_module(to, body)).await,
            _ => self.send_on_link(to, body).await,
        }
    }

    /// On a worker of the first CARES, which takes no body and answers when all is done.
    async fn run_there(&self, to: &Assigned, body: Body) -> Sent {
        let ran = self.app.first_generation.run(&self.app.state, to.node, &to.revision).await;
        self.ran(ran.map(String::into_bytes), body)
    }

    /// On a worker that joined over HTTP: input and output are held whole.
    async fn run_as_module(&self, to: &Assigned, body: Body) -> Sent {
        let input = match body::collect(body, PAYLOAD_BYTES).await {
            Ok(input) => input,
            Err(CollectError::TooLarge(limit)) => {
                let what = "the body of a call that a worker joined over HTTP runs";
                return Sent::Failed(Problem::too_large(what, limit as u64));
            }
            Err(CollectError::Broken(error)) => return Sent::Failed(Problem::broken_off("the body", error)),
        };
        let id = self.head.headers.get(X_CALL_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let told = [
            ("CARES_CALL_ID", id.to_string()),
            ("CARES_METHOD", self.head.method.to_string()),
            ("CARES_PATH", self.path.path().to_string()),
            ("CARES_QUERY", self.path.query().unwrap_or("").to_string()),
        ];
        let told = told.into_iter().chain(trace::variables(&self.head.headers));
        let ran = self.app.http_workers.run(to, &input, told, self.extras()).await;
        self.ran(ran, Body::full(input))
    }

    /// The output of a run at a node's own address as an answer.
    fn ran(&self, output: Result<Vec<u8>, NoOutput>, body: Body) -> Sent {
        match output {
            Ok(output) => {
                let kind = match str::from_utf8(&output) {
                    Ok(_) => "text/plain; charset=utf-8",
                    Err(_) => "application/octet-stream",
                };
                let mut answer = Response::new(Body::full(output));
                answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                Sent::Answered(answer)
            }
            Err(NoOutput::NotSent(why)) => Sent::Refused(why, Some(body)),
            Err(NoOutput::NotNow(why)) => Sent::NotNow(why, Some(body)),
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
                Err(Unmet::Unheard(why)) => return Sent::NotNow(why, Some(body)),
                Err(unmet) => return Sent::Refused(unmet.why(), Some(body)),
            };
            if let (Mode::Auto, Some(mode)) = (to.revision.mode, mode)
                && Box::pin(self.resolved(to, mode)).await == Mode::Http
            {
                return Sent::Refused("it is an http function, and has no instance yet".into(), Some(body));
            }
        }
        let mut secrets = match to.instance {
            Some(_) => None,
            None => match self.app.secrets.of(&to.revision) {
                Ok(secrets) => secrets,
                Err(why) => return Sent::Refused(why, Some(body)),
            },
        };
        if let (None, Some(extras)) = (to.instance, self.extras()) {
            let plain =
                extras.variables().into_iter().map(|(name, value)| proto::Secret { name, value: value.into_bytes() });
            secrets.get_or_insert_default().plain = plain.collect();
        }
        let Some(mut request) = self.request(to, body) else {
            return Sent::Failed(Problem::invalid("the path is none that can be passed on: percent-encode it"));
        };
        if let Some(secrets) = &secrets {
            let first = secrets.encode_to_vec();
            request.headers_mut().remove(header::CONTENT_LENGTH);
            request.headers_mut().insert(wire::HEADER_SECRETS, HeaderValue::from(first.len()));
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = Body::after(first.into(), body);
        }
        let answer = match self.app.links.send(to.node, request).await {
            Ok(answer) => answer,
            // With secrets it is not the body that came: one that is small is sent again from its copy.
            Err(Unanswered::NotSent(body, why)) => return Sent::NotNow(why, secrets.is_none().then_some(body)),
            Err(Unanswered::Broken(why)) => return Sent::Failed(Problem::node_lost(&self.function, &why)),
        };
        match link::outcome(&answer) {
            None => Sent::Answered(answer),
            Some(Outcome::Failed) => {
                let detail = format!("function '{}': {}", self.function, Box::pin(link::why(answer)).await);
                Sent::Failed(Problem::new(502, "function_failed", detail))
            }
            Some(Outcome::Refused) => {
                let passing = answer.headers().contains_key(wire::HEADER_PASSING);
                let why = Box::pin(link::why(answer)).await;
                if passing { Sent::NotNow(why, None) } else { Sent::Refused(why, None) }
            }
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
    /// The same for a reason that may pass.
    NotNow(String, Option<Body>),
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
