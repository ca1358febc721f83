//! One request and its answer over ureq: resolver, time limits, the one retry, errors. Must never know an endpoint.

use super::url::Base;
use crate::errors::Error;
use crate::types::Problem;
use serde::de::DeserializeOwned;
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{AsSendBody, Body, SendBody, Timeout};

/// How long making a connection may take; a machine that is up answers within a round trip or two.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// What is read of an answer that is held in memory; a page of 1,000 functions with every field full is below it.
const MAX_ANSWER_BYTES: u64 = 256 << 20;
/// A body from here on asks first (`Expect: 100-continue`), so that a refusal arrives instead of a broken pipe.
const ASK_FIRST_FROM_BYTES: u64 = 64 << 10;

/// What is said of a connection that ended early.
const CLOSED: &str = "it closed the connection before the answer was complete";

/// What bounds a request.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// From the start to the last byte of the answer; zero for none.
    Whole(Duration),
    /// Each read: an answer that pauses this long has ended.
    Quiet(Duration),
    /// Each write and the wait for the answer's head; its body may take for ever. Zero for none.
    Steps(Duration),
    /// Each read and write: the server says at least that it is still there, so longer silence is a failure.
    Alive(Duration),
}

/// What is sent along.
pub(super) enum Sent<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// With its length, where it is known.
    Stream(&'a mut dyn Read, Option<u64>),
}

/// A request; headers in the order they are sent.
pub(super) struct Ask<'a> {
    pub method: &'a str,
    /// Complete, with query.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Sent<'a>,
    pub limit: Limit,
}

/// Connections to one orchestrator, kept alive and shared by clones.
#[derive(Clone)]
pub(super) struct Http {
    agent: ureq::Agent,
    pub base: Base,
    pub token: Option<String>,
}

impl Http {
    pub(super) fn new(base: Base) -> Http {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0) // the API has none, and a function's own redirect is its caller's business
            .max_redirects_will_error(false)
            .proxy(None) // an orchestrator is on one's own network; a proxy for the web breaks 127.0.0.1
            .allow_non_standard_methods(true)
            .timeout_connect(Some(CONNECT_LIMIT))
            .user_agent(concat!("cares/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .build();
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Direct);
        Http { agent, base, token: None }
    }

    /// Sends and waits for the answer's head, whatever its status.
    pub(super) fn send(&self, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let Ask { method, url, headers, body, limit } = ask;
        let retry = method == "GET" && matches!(body, Sent::Nothing);
        let mut body = body;
        let first = self.send_once(method, &url, &headers, &mut body, limit);
        let answer = match first {
            // A kept-alive connection may have been closed while the request was on its way; asking again is safe.
            Err(Failure::Transport(ureq::Error::Io(e))) if retry && was_closed(&e) => {
                self.send_once(method, &url, &headers, &mut body, limit)
            }
            other => other,
        };
        answer.map_err(|failure| self.told(failure, limit))
    }

    /// The same for a call of a function, and never twice: it may have run although no answer came.
    pub(super) fn call(&self, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let Ask { method, url, headers, mut body, limit } = ask;
        self.send_once(method, &url, &headers, &mut body, limit).map_err(|failure| match self.told(failure, limit) {
            Error::Unreachable { url, why } if why == CLOSED => {
                Error::Unreachable { url, why: format!("{why}, and the call may have run") }
            }
            other => other,
        })
    }

    fn told(&self, failure: Failure, limit: Limit) -> Error {
        match failure {
            Failure::Transport(error) => self.explain(error, limit),
            Failure::Refused(error) => error,
        }
    }

    fn send_once(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &mut Sent<'_>,
        limit: Limit,
    ) -> Result<Response<Body>, Failure> {
        let bad = |what: String| Failure::Refused(Error::BadRequest(what));
        let name = Method::from_bytes(method.as_bytes()).map_err(|_| bad(format!("'{method}' is no HTTP method")))?;
        let mut request = Request::builder().method(name).uri(url);
        for (key, value) in headers {
            request = request.header(key, value);
        }
        let names_auth = headers.iter().any(|(key, _)| key.eq_ignore_ascii_case("authorization"));
        if let Some(token) = self.token.as_ref().filter(|_| !names_auth) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match body {
            Sent::Nothing => self.run(request, SendBody::none(), limit),
            Sent::Bytes(bytes) => self.run(request, *bytes, limit),
            Sent::Stream(reader, len) => {
                if let Some(len) = len {
                    request = request.header("content-length", *len);
                }
                if len.is_none_or(|len| len >= ASK_FIRST_FROM_BYTES) {
                    request = request.header("expect", "100-continue");
                }
                self.run(request, SendBody::from_reader(&mut Source(reader)), limit)
            }
        }
    }

    fn run(&self, request: Builder, body: impl AsSendBody, limit: Limit) -> Result<Response<Body>, Failure> {
        let request = request.body(body).map_err(|error| {
            let what = format!("the request cannot be sent: {error}. Check the headers, the path and AUTH_TOKEN");
            Failure::Refused(Error::BadRequest(what))
        })?;
        let config = self.agent.configure_request(request);
        let config = match limit {
            Limit::Whole(time) => config.timeout_global(some(time)),
            Limit::Quiet(time) => config.timeout_per_read(some(time)),
            Limit::Steps(time) => config.timeout_per_write(some(time)).timeout_recv_response(some(time)),
            Limit::Alive(time) => config.timeout_per_read(some(time)).timeout_per_write(some(time)),
        };
        self.agent.run(config.build()).map_err(Failure::Transport)
    }

    /// Sends, refuses a status of 400 or more, and reads the whole answer.
    pub(super) fn bytes(&self, ask: Ask<'_>) -> Result<(Response<()>, Vec<u8>), Error> {
        let limit = ask.limit;
        let (head, body) = self.accepted(ask)?.into_parts();
        let bytes = self.read(body, limit)?;
        Ok((Response::from_parts(head, ()), bytes))
    }

    /// Sends and refuses a status of 400 or more.
    pub(super) fn accepted(&self, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let limit = ask.limit;
        let answer = self.send(ask)?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(answer),
            400.. => Err(Error::Api(self.problem(status, &self.read(answer.into_body(), limit)?))),
            _ => Err(self.not_understood(format!("it answered with status {status}"))),
        }
    }

    /// Reads JSON, saying whose answer it was when it is none.
    pub(super) fn json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(bytes).map_err(|error| self.not_understood(error.to_string()))
    }

    /// The error in an answer's body; one made up where another server's page came instead.
    pub(super) fn problem(&self, status: u16, bytes: &[u8]) -> Problem {
        match serde_json::from_slice::<Problem>(bytes) {
            Ok(problem) => Problem { status, ..problem },
            Err(_) => {
                let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let detail =
                    format!("{} answered with status {status} and no CARES error: '{text}'", self.base.as_str());
                Problem { kind: String::new(), title: String::new(), status, detail, code: String::new() }
            }
        }
    }

    /// Reads a whole body, if it is not too long.
    pub(super) fn read(&self, body: Body, limit: Limit) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = body.into_reader().take(MAX_ANSWER_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.explain(error.into(), limit))?;
        match bytes.len() as u64 > MAX_ANSWER_BYTES {
            true => Err(self.not_understood(format!("it is longer than {MAX_ANSWER_BYTES} bytes"))),
            false => Ok(bytes),
        }
    }

    pub(super) fn not_understood(&self, why: String) -> Error {
        Error::Protocol { url: self.base.as_str().to_string(), why }
    }

    pub(super) fn explain(&self, error: ureq::Error, limit: Limit) -> Error {
        let url = self.base.as_str().to_string();
        let (Limit::Whole(after) | Limit::Quiet(after) | Limit::Steps(after) | Limit::Alive(after)) = limit;
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                Error::Unreachable { url, why: format!("no connection within {} s", CONNECT_LIMIT.as_secs()) }
            }
            ureq::Error::Timeout(_) => Error::Timeout { url, after },
            ureq::Error::HostNotFound => Error::Unreachable { url, why: "no such host".to_string() },
            ureq::Error::ConnectionFailed => Error::Unreachable { url, why: "no connection".to_string() },
            ureq::Error::Io(error) => match error.downcast::<SourceFailed>() {
                Ok(SourceFailed(error)) => Error::Io(error),
                Err(error) if was_closed(&error) => Error::Unreachable { url, why: CLOSED.to_string() },
                Err(error) => Error::Unreachable { url, why: reason(&error) },
            },
            other => Error::Protocol { url, why: other.to_string() },
        }
    }
}

enum Failure {
    Transport(ureq::Error),
    Refused(Error),
}

fn some(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof | ConnectionAborted)
}

/// `connection refused` rather than `Connection refused (os error 111)`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// Marks a failure to read what is to be sent, which must not be blamed on the orchestrator.
struct Source<R>(R);

#[derive(Debug)]
struct SourceFailed(io::Error);

impl std::fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceFailed {}

impl<R: Read> Read for Source<R> {
    /// Reads a whole body.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(SourceFailed(error)),
        })
    }
}

/// Looks names up on the calling thread: ureq's own resolver starts a thread for each request that has a time limit.
#[derive(Debug)]
struct Direct;

impl Resolver for Direct {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        const MOST: usize = 16; // the array's capacity; one more would panic
        let authority = uri.authority().ok_or(ureq::Error::HostNotFound)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let mut found = self.empty();
        match host.parse::<IpAddr>() {
            Ok(ip) => found.push((ip, port).into()),
            Err(_) => (host, port).to_socket_addrs()?.take(MOST).for_each(|address| found.push(address)),
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}
