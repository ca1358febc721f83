//! One attempt of an asynchronous call, on the way of every other call. Keeps nothing.

use super::call::Call;
use super::header_of;
use crate::body::Body;
use crate::cluster::{Constraints, Origin};
use crate::http::problem::Problem;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::pipelines::results::{self, Named, Results};
use crate::{clock, wire};
use hyper::Response;
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use std::sync::Arc;
use std::time::Duration;

/// In the environment of a job: what it depends on answered, and which of that is not given as plain text.
const RESULTS: &str = "CARES_DEPENDENCY_RESULTS";
const FORMS: &str = "CARES_DEPENDENCY_FORMS";

/// Whose attempt a call is.
pub struct Attempt {
    /// What the function is told to be called with: the same at each attempt.
    pub id: String,
    /// Hears which node it goes to.
    pub placed: Box<dyn Fn(Arc<str>) + Send + Sync>,
    /// Of a pipeline's module.
    pub module: Option<Extras>,
}

impl Attempt {
    pub fn origin(&self) -> Origin {
        self.module.as_ref().map_or(Origin::Later, |module| Origin::Module(module.module.clone()))
    }
}

/// What a pipeline's module is given beside its input, and asks for beside what its function does.
pub struct Extras {
    /// Which it is: `PIPELINE/MODULE`.
    pub module: Arc<str>,
    /// How its attempt is called on its node and in its log there.
    pub source: String,
    pub wants: Option<Arc<Constraints>>,
    /// To the answer's first byte, from when it has its place; `None`: the function's own.
    pub timeout_ms: Option<u64>,
    pub env: Named,
    pub results: Results,
}

impl Extras {
    /// What of the results is given, and what its environment says beside that.
    pub fn given(&self) -> (Named, Named) {
        let (results, forms) = self.results.within(results::BYTES).unwrap_or_default(); // looked at before
        let forms = (!forms.is_empty()).then(|| (FORMS.to_string(), json(&forms)));
        (results, self.env.clone().into_iter().chain(forms).collect())
    }

    /// All that is in the environment of its job.
    pub fn variables(&self) -> Named {
        let (results, mut env) = self.given();
        env.extend((!results.is_empty()).then(|| (RESULTS.to_string(), json(&results))));
        env
    }
}

fn json(named: &Named) -> String {
    serde_json::to_string(named).unwrap_or_default() // keys are text: cannot fail
}

/// Why an attempt has no answer.
pub struct NotAnswered {
    pub problem: Problem,
    /// Whether any of it was started.
    pub started: bool,
    /// Of one that was not: whether what kept it from that may pass, as a node that is not reached or full.
    pub passing: bool,
}

/// One attempt of an asynchronous call, on the way of every other call. `head`: as it was accepted, its path
/// the function's own.
pub async fn attempt(
    app: &Arc<Orchestrator>,
    function: &str,
    head: Parts,
    body: Body,
    attempt: Attempt,
) -> Result<Response<Body>, NotAnswered> {
    let not_started = |problem| NotAnswered { problem, started: false, passing: false };
    let accepted = clock::now();
    let timeout_ms = app.state.read(|c| c.function(function).map(|f| f.current().timeout_ms));
    let timeout_ms = timeout_ms.ok_or_else(|| not_started(Problem::no_function(function)))?;
    let of_module = attempt.module.as_ref().map(|module| module.timeout_ms.unwrap_or(timeout_ms));
    let idle = Duration::from_millis(of_module.unwrap_or(timeout_ms));
    let (id, source) = (attempt.id.clone(), attempt.module.as_ref().map(|module| module.source.clone()));
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let taken = Call::take(app, function.into(), head, path, accepted, Some(attempt));
    let (mut call, mut place) = taken.map_err(not_started)?;
    if of_module.is_some() {
        place = call.seat(place).await.map_err(not_started)?; // its time begins with its place
    }
    let invocation = call.guard.invocation.to_string();
    let attempt = source.map_or(invocation.clone(), |source| format!("{source}-{invocation}"));
    call.head.headers.insert(wire::HEADER_CALL, header_of(&attempt));
    call.own_headers(header_of(&id));
    let deadline = call.guard.accepted + idle;
    match call.run(place, body, deadline).await {
        Ok(answer) => Ok(call.answer(answer, idle)),
        Err(problem) => Err(NotAnswered { problem, started: call.started, passing: call.passing }),
    }
}
