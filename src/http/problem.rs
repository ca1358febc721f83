//! Errors as everybody outside sees them: RFC 9457, with a stable code. `codes` lists them.

use super::codes;
use super::tally::Why;
use crate::auth::Denied;
use crate::body::Body;
use crate::cluster::{Failure, Refusal};
use crate::limits::Limit;
use crate::names;
use crate::orchestrator::spec::Invalid;
use crate::orchestrator::store::StoreError;
use crate::types;
use crate::worker::tasks::TaskError;
use hyper::Response;
use hyper::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error with its status, its code, and what to do about it.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub code: &'static str,
    /// What happened, to what, and what to do about it; where that is to try again, the answer says so by itself.
    pub detail: String,
    /// Seconds.
    pub retry_after_s: Option<u32>,
    /// It was refused for this.
    pub limit: Option<Limit>,
    /// Methods, for 405.
    pub allow: Option<String>,
    /// Said in the words of the modules' API too.
    pub modules: bool,
}

/// As a document.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    problem: types::Problem,
    #[serde(flatten)]
    modules: Option<Failed>,
}

/// What the modules' API says of a failure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    success: bool,
    error_message: String,
}

/// Whether a path is of the modules' API.
pub fn of_modules(path: &str) -> bool {
    path.starts_with("/api/workers") || path.starts_with("/api/execution")
}

impl Problem {
    /// A code of `codes::CODES`; tests end at one that is not there.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(codes::find(code).is_some_and(|known| known.status == status), "{code}: not in codes::CODES");
        Problem { status, code, detail: detail.into(), retry_after_s: None, limit: None, allow: None, modules: false }
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
            format!("no function '{}' is registered: 'cares list' and GET /functions show them", names::shown(name)),
        )
    }

    /// 404 for a node.
    pub fn no_node_named(id: &str) -> Self {
        Problem::new(
            404,
            "node_not_found",
            format!("no node '{}' is known: 'cares node list' and GET /nodes show them", names::shown(id)),
        )
    }

    /// 404 for an asynchronous call.
    pub fn no_call(id: &str) -> Self {
        let id = names::shown(id);
        let detail =
            format!("no asynchronous call '{id}' is known, or no longer: 'cares calls list' and GET /calls show them");
        Problem::new(404, "call_not_found", detail)
    }

    /// 413, naming the limit.
    pub fn too_large(what: &str, limit: u64) -> Self {
        Problem::new(413, "too_large", format!("{what} may have at most {limit} bytes"))
    }

    /// 400: what was sent ended before its end.
    pub fn broken_off(what: &str, why: impl Display) -> Self {
        Problem::invalid(format!("{what} broke off: {why}; send it again"))
    }

    /// Has it say what the modules' API says too.
    pub fn for_modules(mut self, modules: bool) -> Self {
        self.modules = modules;
        self
    }

    /// Says which limit it was, and how to set another.
    pub fn of_limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self.detail += &format!(" (start with --limit {}=N for another limit)", limit.name());
        self
    }

    /// 429: too many in a short time.
    pub fn rate_limited(detail: String, wait: Duration) -> Self {
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        Problem::new(429, "rate_limited", detail).retry_after(seconds.max(1))
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
            Refusal::Stopped => Problem::stopped(function),
            Refusal::NoImage => {
                let detail = format!(
                    "function '{function}' has no image yet: give it one with POST /register, or deploy it with \
                     'cares deploy DIR --name {function}'"
                );
                Problem::new(409, "no_image", detail)
            }
            Refusal::NoNode { why } => Problem::no_node(function, &why),
            Refusal::QueueFull { limit } => Problem::queue_full(function, limit),
            Refusal::TooManyCalls { limit } => {
                Problem::too_many_calls(format!("{limit} calls are under way, as many as may")).of_limit(Limit::Calls)
            }
            Refusal::TooManyCallsOfFunction { limit, of_its_own } => {
                let detail = format!("function '{function}': {limit} calls are under way, as many as may");
                match of_its_own {
                    true => Problem::too_many_calls(detail + " (its calls_at_once)"),
                    false => Problem::too_many_calls(detail).of_limit(Limit::CallsPerFunction),
                }
            }
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
            Failure::Stopped => Problem::stopped(function),
            Failure::FunctionDeleted => Problem::new(
                404,
                "function_not_found",
                format!("function '{function}' was deleted while the call waited: register it anew to call it"),
            ),
        }
    }

    fn stopped(function: &str) -> Self {
        let detail =
            format!("function '{function}' is stopped: 'cares start {function}' or POST /start/{function} starts it");
        Problem::new(503, "function_stopped", detail)
    }

    fn too_many_calls(detail: String) -> Self {
        Problem::new(429, "too_many_calls", detail).retry_after(1)
    }

    fn queue_full(function: &str, limit: usize) -> Self {
        let detail = format!("function '{function}': as many calls wait as may ({limit})");
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
        let detail = format!(
            "function '{function}' gave no answer, and may have run in part: {why}. Call it again if that does no harm"
        );
        Problem::new(502, "node_lost", detail)
    }

    /// The text of the answer.
    fn said(&self) -> String {
        let next = match (self.retry_after_s, self.code) {
            (Some(seconds), _) => format!("; try again in {seconds} s"),
            (None, "internal") => "; see `cares doctor`, and the program's log (`cares logs`)".into(),
            _ => String::new(),
        };
        format!("{}{next}", self.detail)
    }

    fn to_json(&self) -> types::Problem {
        let title = StatusCode::from_u16(self.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        types::Problem {
            kind: "about:blank".into(),
            title: title.into(),
            status: self.status,
            detail: self.said(),
            code: self.code.into(),
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        let failed = || Failed { success: false, error_message: self.said() };
        let document = Document { problem: self.to_json(), modules: self.modules.then(failed) };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The headers of the answer, beside its type.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let retry = self.retry_after_s.map(|s| ("Retry-After", s.to_string()));
        let authenticate = (self.status == 401).then(|| ("WWW-Authenticate", "Bearer realm=\"cares\"".to_string()));
        retry.into_iter().chain(self.allow.clone().map(|methods| ("Allow", methods))).chain(authenticate).collect()
    }
}

impl From<crate::tasks::Invalid> for Problem {
    fn from(invalid: crate::tasks::Invalid) -> Self {
        let detail = format!("{}: {}", invalid.field, invalid.why);
        match invalid.too_large {
            true => Problem::new(413, "too_large", detail),
            false => Problem::new(400, "invalid_field", detail),
        }
    }
}

impl From<TaskError> for Problem {
    fn from(error: TaskError) -> Self {
        let detail = error.to_string();
        match error {
            TaskError::Unknown => Problem::new(404, "task_not_found", detail),
            TaskError::Illegal(_) => Problem::new(409, "illegal_transition", detail),
            TaskError::PortInUse(_) => Problem::new(409, "port_in_use", detail),
            TaskError::KeyReused => Problem::new(409, "task_key_reused", detail),
            TaskError::Refused(_) => Problem::new(409, "task_refused", detail),
            TaskError::Full => Problem::new(429, "too_many_tasks", detail).retry_after(60),
            TaskError::Disk(_) => Problem::new(507, "store_failed", detail),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Problem::new(400, "invalid_field", format!("{}: {}", invalid.field, invalid.why))
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match (&denied, denied.known()) {
            (Denied::TooOften { wait }, _) => {
                Problem::rate_limited(denied.to_string(), *wait).of_limit(Limit::WrongTokensPerS)
            }
            (_, true) => Problem::new(403, "forbidden", denied.to_string()),
            (_, false) => Problem::new(401, "unauthenticated", denied.to_string()),
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
        response.extensions_mut().insert(Why::from(&problem));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(problem: Problem) -> String {
        let document: types::Problem = serde_json::from_slice(&problem.for_modules(true).body()).unwrap();
        document.detail
    }

    #[test]
    fn what_may_be_tried_again_says_when_and_a_fault_of_ours_where_to_look() {
        let busy = Problem::new(503, "api_busy", "9 requests wait").of_limit(Limit::ApiRequests).retry_after(3);
        let text = "9 requests wait (start with --limit api-requests=N for another limit); try again in 3 s";
        assert_eq!(said(busy), text);
        assert!(said(Problem::new(500, "internal", "it broke")).starts_with("it broke; see `cares doctor`"));
        assert_eq!(said(Problem::invalid("x: must be y")), "x: must be y");
    }
}
