//! Errors as everybody outside sees them: RFC 9457, with a stable code. The README lists the codes.

use crate::auth::Denied;
use crate::body::Body;
use crate::cluster::{Failure, Refusal};
use crate::orchestrator::spec::Invalid;
use crate::orchestrator::store::StoreError;
use crate::types;
use hyper::Response;
use hyper::http::{HeaderValue, StatusCode, header};

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error with its status, its code, and what to do about it.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub code: &'static str,
    pub detail: String,
    /// Seconds.
    pub retry_after_s: Option<u32>,
    /// Methods, for 405.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, code, detail: detail.into(), retry_after_s: None, allow: None }
    }

    /// 400: the request does not say what it must.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Problem::new(400, "invalid_request", detail)
    }

    /// 404 for a function.
    pub fn no_function(name: &str) -> Self {
        Problem::new(
            404,
            "function_not_found",
            format!("no function '{name}' is registered: GET /functions lists them"),
        )
    }

    /// 404 for a node.
    pub fn no_node_named(id: &str) -> Self {
        Problem::new(404, "node_not_found", format!("no node '{id}' is known: GET /nodes lists them"))
    }

    /// 404 for an asynchronous call.
    pub fn no_call(id: &str) -> Self {
        let detail = format!("no asynchronous call '{id}' is known, or no longer: GET /calls lists them");
        Problem::new(404, "call_not_found", detail)
    }

    /// 413, naming the limit.
    pub fn too_large(what: &str, limit: u64) -> Self {
        Problem::new(413, "too_large", format!("{what} may have at most {limit} bytes"))
    }

    /// May be tried again after so many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What a refused call's caller is told.
    pub fn of_call(function: &str, refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownFunction => Problem::no_function(function),
            Refusal::NoNode { why } => Problem::no_node(function, &why),
            Refusal::QueueFull { limit } => Problem::queue_full(function, limit),
            other => Problem::new(500, "internal", format!("function '{function}': {other:?}")),
        }
    }

    /// What the caller of a call that failed without an answer is told.
    pub fn of_failure(function: &str, failure: Failure) -> Self {
        match failure {
            Failure::NoNode { why } => Problem::no_node(function, &why),
            Failure::Crowded { limit } => Problem::queue_full(function, limit),
            Failure::NodeLost { node } => Problem::node_lost(function, &format!("node '{node}' is gone")),
            Failure::NotStarted { why } => {
                Problem::new(502, "function_not_started", format!("function '{function}' could not be started: {why}"))
            }
            Failure::FunctionDeleted => Problem::new(
                404,
                "function_not_found",
                format!("function '{function}' was deleted while the call waited"),
            ),
        }
    }

    fn queue_full(function: &str, limit: usize) -> Self {
        let detail = format!("function '{function}': as many calls wait as may ({limit}); try again later");
        Problem::new(429, "queue_full", detail).retry_after(1)
    }

    fn no_node(function: &str, why: &str) -> Self {
        Problem::new(503, "no_node", format!("no node can run function '{function}' now: {why}")).retry_after(2)
    }

    /// 503: it has been told to stop, and may be back soon.
    pub fn stopping() -> Self {
        Problem::new(503, "stopping", "the orchestrator is stopping: it takes no new calls").retry_after(2)
    }

    /// The call's node went away while it ran; it may have done something.
    pub fn node_lost(function: &str, why: &str) -> Self {
        let detail = format!("function '{function}' gave no answer, and may have run in part: {why}");
        Problem::new(502, "node_lost", detail)
    }

    fn to_json(&self) -> types::Problem {
        let title = StatusCode::from_u16(self.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        types::Problem {
            kind: "about:blank".into(),
            title: title.into(),
            status: self.status,
            detail: self.detail.clone(),
            code: self.code.into(),
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.to_json()).unwrap_or_default()
    }

    /// The headers of the answer, beside its type.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let retry = self.retry_after_s.map(|s| ("Retry-After", s.to_string()));
        let authenticate = (self.status == 401).then(|| ("WWW-Authenticate", "Bearer realm=\"cares\"".to_string()));
        retry.into_iter().chain(self.allow.clone().map(|methods| ("Allow", methods))).chain(authenticate).collect()
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Problem::new(400, "invalid_field", format!("{}: {}", invalid.field, invalid.why))
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied.known() {
            true => Problem::new(403, "forbidden", denied.to_string()),
            false => Problem::new(401, "unauthenticated", denied.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::new(
            507,
            "store_failed",
            format!("{error}. Nothing was changed; calls go on. Changes are taken again as soon as the disk works"),
        )
        .retry_after(5)
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        let mut response = Response::new(Body::full(problem.body()));
        *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        for (name, value) in problem.headers() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
