//! `/api/execution` and `/api/health` of a worker: whoever may do everything there has functions run as modules. The paths,
//! the names and the statuses are the specification's.

use crate::body::Body;
use crate::http::front;
use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::{self, Call, Face, Reply, Streamed};
use crate::modules::MESSAGE_BYTES;
use crate::rt;
use crate::types::{Done, ModuleCancellation, ModuleExecution, ModuleResult, WorkerHealth};
use crate::worker::{NotTaken, Worker};
use hyper::Response;
use std::sync::Arc;

/// What the document says of this.
pub const EXECUTE: Operation = Operation {
    id: "executeModule",
    tag: "execution",
    summary: "Runs a function as a module, to its end",
    body: &[Content::json::<ModuleExecution>()],
    answers: &[
        Answer::of(200, "It succeeded.").with(&[Content::json::<ModuleResult>()]),
        Answer::of(500, "It failed.").with(&[Content::json::<ModuleResult>()]),
    ],
    errors: &["too_large", "body_timeout", "execution_running", "worker_full", "stopping"],
    ..Operation::NONE
};

/// `POST /api/execution/execute`: answers when it has ended.
pub async fn run(worker: Arc<Worker>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let body = front::body_of(asked.request.into_body(), worker.limits(), "the body", MESSAGE_BYTES).await?;
    let request = route::object(&body)?;
    drop(body);
    // Off this lane: it starts a process, and may unpack files and wait for an engine.
    let result = rt::spawn_scoped(worker.execute(request)).await.map_err(not_taken)?;
    Ok(Reply::json(if result.success { 200 } else { 500 }, &result).into())
}

/// What the document says of this.
pub const CANCEL: Operation = Operation {
    id: "cancelModule",
    tag: "execution",
    summary: "Ends a module that runs",
    body: &[Content::json::<ModuleCancellation>()],
    answers: &[Answer::of(200, "It ends.").with(&[Content::json::<Done>()])],
    errors: &["execution_not_found"],
    ..Operation::NONE
};

/// `POST /api/execution/cancel`
pub fn cancel(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    let ModuleCancellation { execution_id, reason, .. } = call.json()?;
    match worker.cancel_module(&execution_id, &reason) {
        true => Ok(Reply::json(200, &Done { success: true })),
        false => Err(Problem::new(404, "execution_not_found", "Execution not found")),
    }
}

/// What the document says of this.
pub const HEALTH: Operation = Operation {
    id: "getModuleHealth",
    tag: "execution",
    summary: "It answers, with how many jobs run and how many may",
    answers: &[Answer::of(200, "It answers.").with(&[Content::json::<WorkerHealth>()])],
    ..Operation::NONE
};

/// `GET /api/health`
pub fn health(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &worker.module_health()))
}

fn not_taken(why: NotTaken) -> Problem {
    match why {
        NotTaken::Field { field, why } => Problem::new(400, "invalid_field", format!("{field}: {why}")),
        NotTaken::TooLarge { field, limit } => Problem::too_large(field, limit as u64),
        NotTaken::Twice => Problem::new(
            409,
            "execution_running",
            "executionId: an execution of that id runs: choose another, or wait for its end",
        ),
        NotTaken::Full { limit } => {
            let detail = format!("this worker runs as many jobs at once as it may, {limit}");
            Problem::new(429, "worker_full", detail).retry_after(1)
        }
        NotTaken::Leaving => {
            Problem::new(503, "stopping", "this worker is leaving: it finishes what it has").retry_after(2)
        }
    }
}
