//! `/api/v1/worker/tasks`: the tasks of this worker, with or without an orchestrator. What they are is `worker::tasks`'.

pub mod watch;

use super::logs::{Wanted, since};
use super::page::{Page, limit};
use super::{encode, taken};
use crate::body::Body;
use crate::http::openapi::{
    AFTER, Answer, Content, FOLLOW, FORMAT, Kind, LIMIT, Operation, Parameter, SINCE, TAIL_OF_A_LOG,
};
use crate::http::problem::Problem;
use crate::http::route::{Call, Face, Reply, Streamed, value};
use crate::names;
use crate::rt;
use crate::types::{LogLine, NodeInfo, TaskPhase, TaskRequest, TaskStatus, TaskSummary, WorkerMetrics, WorkerStatus};
use crate::worker::Worker;
use crate::worker::tasks::{self as here, TaskError};
use hyper::Response;
use std::sync::Arc;

const PATH: &str = "/api/v1/worker/tasks";

/// What the document says of what follows from a task's state.
const ACTED: Operation = Operation {
    tag: "tasks",
    answers: &[Answer::of(202, "It ends.").with(TASK)],
    errors: &["task_not_found", "illegal_transition", "task_refused", "store_failed"],
    ..Operation::NONE
};
const TASK: &[Content] = &[Content::json::<TaskStatus>()];

/// What the document says of this.
pub const SUBMIT: Operation = Operation {
    id: "submitWorkerTask",
    tag: "tasks",
    summary: "Runs a task on this worker",
    parameters: &[Parameter::header(
        "Idempotency-Key",
        Kind::Text,
        "The same key with the same task is the same task.",
    )],
    body: &[Content::json::<TaskRequest>()],
    answers: &[
        Answer::of(201, "It is on disk, and started.").with(TASK).headers(&["Location"]),
        Answer::of(200, "It was submitted before.").with(TASK).headers(&["Location"]),
    ],
    errors: &[
        "too_large",
        "body_timeout",
        "port_in_use",
        "task_key_reused",
        "illegal_transition",
        "task_refused",
        "task_not_found",
        "too_many_tasks",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `POST /api/v1/worker/tasks`
pub async fn submit(worker: Arc<Worker>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let request = taken::task(asked.request, worker.limits(), &asked.by).await?;
    let pool = worker.pool().clone();
    let (id, new) = rt::to_its_end(async move { pool.tasks.submit(&pool, &request).await }).await?;
    let taken_in = Reply::json(if new { 201 } else { 200 }, &shown(&worker, &id)?);
    Ok(taken_in.with("Location", format!("{PATH}/{}", encode(&id))).into())
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listWorkerTasks",
    tag: "tasks",
    summary: "All tasks of this worker, by id",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<TaskSummary>>()])],
    ..Operation::NONE
};

/// `GET /api/v1/worker/tasks?limit=&after=`
pub fn list(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    let limit = limit(call)?;
    let after = value(&call.query, "after").unwrap_or("");
    let rows = worker.pool().tasks.list(after, limit + 1, &worker.id);
    Ok(Page::first(call, limit, rows, |task| task.id.clone()).reply())
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getWorkerTask",
    tag: "tasks",
    summary: "One task of this worker",
    answers: &[Answer::of(200, "The task.").with(TASK)],
    errors: &["task_not_found"],
    ..Operation::NONE
};

/// `GET /api/v1/worker/tasks/ID`
pub fn get(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &shown(worker, call.param(0))?))
}

/// What the document says of this.
pub const DELETE: Operation = Operation {
    id: "deleteWorkerTask",
    summary: "Stops a task that runs, removes one that has ended",
    answers: &[Answer::of(202, "It ends; its record stays.").with(TASK), Answer::of(204, "It is gone.")],
    ..ACTED
};

/// `DELETE /api/v1/worker/tasks/ID`: one that runs is stopped, and its record kept; of one that has ended it is removed.
pub fn delete(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    let (id, tasks) = (call.param(0), &worker.pool().tasks);
    if shown(worker, id)?.state.ended() {
        rt::block_on(tasks.remove(id))?;
        return Ok(Reply::nothing());
    }
    match rt::block_on(tasks.stop(id, None)) {
        Ok(()) | Err(TaskError::Illegal(_)) => Ok(Reply::json(202, &shown(worker, id)?)), // or it has just ended
        Err(error) => Err(error.into()),
    }
}

/// What the document says of this.
pub const START: Operation = Operation {
    id: "startWorkerTask",
    summary: "Runs an ended task once more",
    answers: &[Answer::of(200, "It is started.").with(TASK)],
    errors: &["task_not_found", "illegal_transition", "task_refused", "port_in_use", "store_failed"],
    ..ACTED
};

/// `POST /api/v1/worker/tasks/ID/start`: once more, after its end.
pub fn start(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    rt::block_on(worker.pool().tasks.again(worker.pool(), call.param(0)))?;
    Ok(Reply::json(200, &shown(worker, call.param(0))?))
}

/// What the document says of this.
pub const STOP: Operation = Operation { id: "stopWorkerTask", summary: "Stops a task", ..ACTED };

/// `POST /api/v1/worker/tasks/ID/stop`
pub fn stop(worker: &Worker, call: &Call) -> Result<Reply, Problem> {
    rt::block_on(worker.pool().tasks.stop(call.param(0), None))?;
    Ok(Reply::json(202, &shown(worker, call.param(0))?))
}

/// What the document says of this.
pub const LOGS: Operation = Operation {
    id: "getWorkerTaskLogs",
    tag: "tasks",
    summary: "What a task printed",
    parameters: &[TAIL_OF_A_LOG, FOLLOW, FORMAT, SINCE],
    answers: &[
        Answer::of(200, "Lines; followed, they end with the task.").with(&[Content::Text, Content::lines::<LogLine>()])
    ],
    errors: &["task_not_found"],
    ..Operation::NONE
};

/// `GET /api/v1/worker/tasks/ID/logs?tail=N&since=RFC3339&follow=true&format=text|json`
pub async fn logs(worker: Arc<Worker>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let wanted = Wanted::of(&asked.query)?;
    let since_ms = since(&asked.query)?;
    let id = asked.params.first().map_or("", String::as_str);
    let part = here::Wanted { tail: wanted.tail, since_ms, follow: wanted.follow, marked: false };
    let node = worker.name.clone();
    let write = move |line: &LogLine| match wanted.json {
        true => here::json(&LogLine { node: node.clone(), ..line.clone() }),
        false => format!("{} {} {}\n", line.time, line.stream, line.line).into_bytes(),
    };
    let lines = worker.pool().tasks.log(id, part, write).await.ok_or(TaskError::Unknown)?;
    Ok(wanted.answer(lines))
}

/// What the document says of this.
pub const METRICS: Operation = Operation {
    id: "getWorkerMetrics",
    tag: "worker",
    summary: "What this worker uses",
    answers: &[Answer::of(200, "Now.").with(&[Content::json::<WorkerMetrics>()])],
    ..Operation::NONE
};

/// `GET /api/v1/worker/metrics`
pub fn metrics(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &worker.metrics()))
}

/// What the document says of this.
pub const STATUS: Operation = Operation {
    id: "getWorkerStatus",
    tag: "worker",
    summary: "This worker, what it uses and its first 1,000 tasks",
    answers: &[Answer::of(200, "Now.").with(&[Content::json::<WorkerStatus>()])],
    ..Operation::NONE
};

/// `GET /api/v1/worker/status`
pub fn status(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &worker.worker_status()))
}

/// What the document says of this.
pub const INFO: Operation = Operation {
    id: "getWorkerInfo",
    tag: "worker",
    summary: "This worker's machine",
    answers: &[Answer::of(200, "As it joined.").with(&[Content::json::<NodeInfo>()])],
    ..Operation::NONE
};

/// `GET /api/v1/worker/info`
pub fn info(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &worker.node()))
}

fn shown(worker: &Worker, id: &str) -> Result<TaskStatus, Problem> {
    let task = worker.pool().tasks.get(id, (&worker.id, &worker.name));
    let mut task = task.ok_or_else(|| {
        let id = names::shown(id);
        Problem::new(404, "task_not_found", format!("no task '{id}' is here: GET {PATH} lists them"))
    })?;
    if task.state == TaskPhase::Scheduled {
        task.pull = worker.pool().engines.pull_of(&task.request.image);
    }
    Ok(task)
}
