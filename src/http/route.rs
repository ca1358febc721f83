//! Which path leads where: one table per role, from which matching, 404 and 405 follow.

use super::openapi::Operation;
use super::origin::Origins;
use super::parameters::WATCH;
use super::problem::Problem;
use super::tally::Tally;
use crate::auth::{Caller, Denied, Gate, Needs};
use crate::body::Body;
use crate::json::{self, JsonError};
use crate::limits::Limits;
use crate::names;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// One path and method.
pub struct Route<S> {
    /// `*`: any.
    pub method: &'static str,
    /// Segments; `{name}` takes one, a last `*` takes the rest and may be empty.
    pub path: &'static str,
    /// What whoever asks must be allowed.
    pub needs: Needs,
    pub handler: Handler<S>,
    /// What `/openapi.json` says of it; given with `says`.
    pub operation: Operation,
}

impl<S> Route<S> {
    /// Told in the document as `operation`: every route must be (a test fails otherwise).
    pub const fn says(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }

    /// Whether what is answered is what a function said, as it said it: a page of its own, perhaps.
    pub fn told_by_function(&self) -> bool {
        self.needs == Needs::Invoke || self.path.ends_with("/result")
    }
}

/// What answers a route.
pub enum Handler<S> {
    /// Plain blocking code on tiny_http's threads: the body is whole and small.
    Rest(fn(&S, &Call) -> Result<Reply, Problem>),
    /// Answered by the front door itself: bodies that stream.
    Stream(ToStream<S>),
    /// A list, and with `?watch=true` the same as it changes.
    Watched(fn(&S, &Call) -> Result<Reply, Problem>, ToStream<S>),
}

impl<S> Handler<S> {
    /// What the front door answers itself, given the query.
    pub fn streamed(&self, query: &[(String, String)]) -> Result<Option<ToStream<S>>, Problem> {
        match self {
            Handler::Rest(_) => Ok(None),
            Handler::Stream(handler) => Ok(Some(*handler)),
            Handler::Watched(_, watch) => Ok(flag(query, WATCH.name)?.unwrap_or(false).then_some(*watch)),
        }
    }
}

/// An answer on its way.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + Send>>;

/// What the front door itself answers with.
pub type ToStream<S> = fn(Arc<S>, Streamed) -> Answer;

/// A role that can be asked over HTTP.
pub trait Face: Sized + Send + Sync + 'static {
    const ROUTES: &'static [Route<Self>];
    /// What it is, for the document's title.
    const ROLE: &'static str;
    /// May be asked under any host name and from any site: the operator said so.
    fn open(&self) -> bool;
    /// Who may ask.
    fn gate(&self) -> &Gate;
    /// What it was told of how much there may be.
    fn limits(&self) -> &Limits;
    /// What its front door counts.
    fn tally(&self) -> &Tally;
    /// Sites whose pages may ask.
    fn origins(&self) -> &Origins;
    /// Told of whom the gate refused, for whoever looks into it later.
    fn refused(&self, _from: IpAddr, _asked: &str, _why: &Denied) {}
    /// Whether anybody may call that function.
    fn public(&self, _function: &str) -> bool {
        false
    }
    /// The function of a call that was submitted.
    fn function_of(&self, _call: &str) -> Option<String> {
        None
    }
    /// An id for a call that is refused.
    fn refused_call(&self) -> Option<HeaderValue> {
        None
    }
}

/// A small request.
pub struct Call {
    pub params: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Path and query, for links to what follows.
    pub path: String,
    pub by: Caller,
}

/// A request whose body streams.
pub struct Streamed {
    pub params: Vec<String>,
    pub query: Vec<(String, String)>,
    pub request: Request<Incoming>,
    pub peer: SocketAddr,
    pub by: Caller,
}

/// A small answer.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let mut body = serde_json::to_vec(value).unwrap_or_default();
        body.push(b'\n');
        Reply { status, body, headers: vec![("Content-Type", "application/json".into())] }
    }

    /// 204.
    pub fn nothing() -> Self {
        Reply { status: 204, body: Vec::new(), headers: Vec::new() }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Call {
    /// Who asks.
    pub fn by(&self) -> &Caller {
        &self.by
    }

    /// A part of the path; the table says how many there are.
    pub fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// The body as JSON, whatever its content type says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        object(&self.body)
    }
}

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        let mut response = Response::new(Body::full(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in reply.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A body as JSON.
pub fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    json::object(body).map_err(|error| match error {
        JsonError::Syntax(why) => Problem::new(400, "invalid_json", format!("the body is no valid JSON object: {why}")),
        JsonError::Field(why) => Problem::new(400, "invalid_field", why),
    })
}

/// A value of a query.
pub fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A value that is `true` or `false`.
pub fn flag(query: &[(String, String)], name: &str) -> Result<Option<bool>, Problem> {
    match value(query, name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Problem::new(400, "invalid_field", format!("{name}: must be true or false"))),
    }
}

/// What a path and method lead to.
pub fn find<S: Face>(method: &Method, path: &str) -> Result<(&'static Route<S>, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    let mut names = usize::MAX; // that the path has; the table has a path's own words before names in their place
    for route in S::ROUTES {
        let Some(params) = matches(route.path, path).filter(|params| params.len() <= names) else { continue };
        names = params.len();
        if route.method == "*" || route.method == method.as_str() || (route.method == "GET" && method == Method::HEAD) {
            return Ok((route, params));
        }
        allowed.push((route.path, route.method));
    }
    // The document has a path that is said outright apart from one that only fits it, and so has this.
    if allowed.iter().any(|(pattern, _)| *pattern == path) {
        allowed.retain(|(pattern, _)| *pattern == path);
    }
    let allowed: Vec<&str> = allowed.into_iter().map(|(_, method)| method).collect();
    if allowed.is_empty() {
        return Err(Problem::new(
            404,
            "route_not_found",
            format!("there is nothing at {}: /openapi.json and /docs say what there is", names::shown(path)),
        ));
    }
    let allow = allowed.join(", ");
    let mut problem =
        Problem::new(405, "method_not_allowed", format!("{} takes {allow}, not {method}", names::shown(path)));
    problem.allow = Some(allow);
    Err(problem)
}

fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut parts = pattern.strip_prefix('/')?.split('/').peekable();
    let mut ended = false;
    while let Some(part) = parts.next() {
        if part == "*" {
            return Some(params);
        }
        if ended {
            return None;
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        if part.starts_with('{') {
            params.push(decode(segment, false).filter(|s| !s.is_empty())?);
        } else if part != segment {
            return None;
        }
        match after {
            Some(after) => {
                rest = after;
                parts.peek()?; // more path than pattern
            }
            None => ended = true,
        }
    }
    ended.then_some(params)
}

/// The pairs of a query, decoded.
pub fn query(text: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(key, true)?, decode(value, true)?))
    };
    let pairs = text.unwrap_or("").split('&').filter(|p| !p.is_empty());
    pairs.map(pair).collect::<Option<_>>().ok_or_else(|| Problem::invalid("the query: not valid percent-encoding"))
}

/// Percent-decoding; `None` when it is no valid encoding of UTF-8.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_they_say() {
        assert_eq!(matches("/nodes/{id}/drain", "/nodes/a%20b/drain"), Some(vec!["a b".into()]));
        assert_eq!(matches("/nodes/{id}", "/nodes/a/drain"), None);
        assert_eq!(matches("/nodes/{id}/drain", "/nodes/a"), None);
        assert_eq!(matches("/nodes", "/nodes/"), None);
        assert_eq!(matches("/nodes/{id}", "/nodes/"), None);
        assert_eq!(matches("/invoke/{name}/*", "/invoke/f"), Some(vec!["f".into()]));
        assert_eq!(matches("/invoke/{name}/*", "/invoke/f/a/b"), Some(vec!["f".into()]));
        assert_eq!(matches("/invoke/{name}/*", "/invoke/"), None);
        assert_eq!(matches("/", "/"), Some(vec![]));
        assert_eq!(matches("/nodes/{id}", "/nodes/%zz"), None);
    }

    #[test]
    fn a_paths_own_words_stand_before_names_in_their_place() {
        fn check<S: Face>() {
            for (at, route) in S::ROUTES.iter().enumerate() {
                let names = |pattern: &str| matches(pattern, route.path).map(|params| params.len());
                let hidden = S::ROUTES[..at].iter().find(|before| names(before.path) > names(route.path));
                assert!(hidden.is_none(), "{} stands behind {:?}", route.path, hidden.map(|r| r.path));
            }
        }
        check::<crate::orchestrator::Orchestrator>();
        check::<crate::worker::Worker>();
        let (route, _) = find::<crate::orchestrator::Orchestrator>(&Method::POST, "/tokens/join").expect("it is there");
        assert_eq!(route.path, "/tokens/join");
        let problem = find::<crate::orchestrator::Orchestrator>(&Method::OPTIONS, "/tokens/join").err().expect("none");
        assert_eq!(problem.allow.as_deref(), Some("POST"));
    }

    #[test]
    fn queries_are_decoded_or_refused() {
        assert_eq!(query(Some("a=1&b=x+y%21&c")).expect("valid").len(), 3);
        assert_eq!(value(&query(Some("b=x+y%21")).expect("valid"), "b"), Some("x y!"));
        assert!(query(Some("a=%f")).is_err());
        assert!(query(Some("a=%ff")).is_err());
    }
}
