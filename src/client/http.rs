//! One request and its answer over ureq: resolver, time limits, sending again, errors. Must never know an endpoint.

use super::retry;
use super::url::Base;
use crate::errors::Error;
use crate::tls;
use crate::types::Problem;
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
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
    /// How the token is sent.
    pub key: Key,
    /// What the program calls itself; `None`: as the agent does.
    pub user_agent: Option<String>,
    /// How often a request that may be is sent again.
    pub retries: u32,
}

/// The header a token is sent in.
#[derive(Clone, Copy)]
pub(super) enum Key {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// `X-API-Key: TOKEN`.
    Header,
}

fn agent(trust: Trust) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(trust.config())
        .max_redirects(0) // the API has none, and a function's own redirect is its caller's business
        .max_redirects_will_error(false)
        .proxy(None) // an orchestrator is on one's own network; a proxy for the web breaks 127.0.0.1
        .allow_non_standard_methods(true)
        .timeout_connect(Some(CONNECT_LIMIT))
        .user_agent(concat!("cares/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), Direct)
}

/// Whom to believe.
pub(super) enum Trust {
    /// The authorities of the web.
    Web,
    These(Vec<CertificateDer<'static>>),
    /// Whoever is there: the same program.
    Own,
}

impl Trust {
    fn config(self) -> TlsConfig {
        let roots = match self {
            Trust::These(certificates) => {
                let owned = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
                return TlsConfig::builder()
                    .root_certs(RootCerts::Specific(Arc::new(certificates.iter().map(owned).collect())))
                    .build();
            }
            Trust::Web => TlsConfig::builder(),
            Trust::Own => TlsConfig::builder().disable_verification(true),
        };
        roots.root_certs(RootCerts::WebPki).build()
    }
}

impl Http {
    pub(super) fn new(base: Base) -> Http {
        Http { agent: agent(Trust::Web), base, token: None, key: Key::Bearer, user_agent: None, retries: 0 }
    }

    /// The same with other authorities.
    pub(super) fn trusting(self, trust: Trust) -> Http {
        Http { agent: agent(trust), ..self }
    }

    /// Sends and waits for the answer's head, whatever its status; again as often as is asked for and safe.
    pub(super) fn send(&self, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let may = retry::is_idempotent(ask.method) && !matches!(ask.body, Sent::Stream(..));
        self.send_up_to(if may { self.retries } else { 0 }, ask)
    }

    /// The same, though never again for an answer.
    pub(super) fn send_once_only(&self, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        self.send_up_to(0, ask)
    }

    fn send_up_to(&self, retries: u32, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let Ask { method, url, headers, mut body, limit } = ask;
        let mut stale = method == "GET" && matches!(body, Sent::Nothing);
        let mut again = 0;
        loop {
            let sent = self.send_once(method, &url, &headers, &mut body, limit);
            let pause = match &sent {
                // A kept-alive connection may have been closed while the request was on its way; asking again is safe.
                Err(Failure::Transport(ureq::Error::Io(e))) if stale && was_closed(e) => {
                    stale = false;
                    continue;
                }
                Ok(answer) => retry::pause(again, retries, Ok(answer)),
                Err(Failure::Transport(error)) => retry::pause(again, retries, Err(error)),
                Err(Failure::Refused(_)) => None,
            };
            let Some(pause) = pause else { return sent.map_err(|failure| self.told(failure, limit)) };
            std::thread::sleep(pause);
            again += 1;
        }
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
        let named = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some(token) = &self.token {
            request = match self.key {
                Key::Bearer if named("authorization") => request,
                Key::Bearer => request.header("authorization", format!("Bearer {token}")),
                Key::Header if named("x-api-key") => request,
                Key::Header => request.header("x-api-key", token),
            };
        }
        if let Some(agent) = self.user_agent.as_ref().filter(|_| !named("user-agent")) {
            request = request.header("user-agent", agent);
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
            ureq::Error::Rustls(error) => Error::Untrusted { url, why: tls::explain(&error) },
            ureq::Error::Tls(why) => Error::Untrusted { url, why: why.to_string() },
            ureq::Error::Io(error) if refused(&error).is_some() => {
                Error::Untrusted { url, why: refused(&error).map(tls::explain).unwrap_or_default() }
            }
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

/// What TLS has against it.
fn refused(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
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
        let port = authority.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        match host.parse::<IpAddr>() {
            Ok(ip) => found.push((ip, port).into()),
            Err(_) => (host, port).to_socket_addrs()?.take(MOST).for_each(|address| found.push(address)),
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}
