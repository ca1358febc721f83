//! `/api/v1/manager/tasks`: submit, look, start, stop, forget.

use super::super::page::{self, Page, Piece, ROWS};
use super::super::{encode, taken};
use crate::body::Body;
use crate::bundle;
use crate::cluster::{Command, Event, NodeKey, Refusal, Task, TaskKey, TaskState};
use crate::http::openapi::{AFTER, Answer, Content, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Call, Face, Reply, Streamed, value};
use crate::http::watch::Feed;
use crate::names;
use crate::orchestrator::{Orchestrator, tasks};
use crate::types::{TaskRequest, TaskStatus, TaskSummary};
use hyper::Response;
use std::sync::Arc;

/// What the document says of this.
pub const SUBMIT: Operation = Operation {
    id: "submitTask",
    tag: "tasks",
    summary: "Has a task run somewhere; it is on disk when this is answered",
    parameters: &[Parameter::header(
        "Idempotency-Key",
        Kind::Text,
        "As `idempotency_key`: the same key and the same task once more is answered with the one there is.",
    )],
    body: &[Content::json::<TaskRequest>()],
    answers: &[
        Answer::of(201, "It is taken in.").with(&[Content::json::<TaskStatus>()]).headers(&["Location"]),
        Answer::of(200, "It had been, with the same key.")
            .with(&[Content::json::<TaskStatus>()])
            .headers(&["Location"]),
    ],
    errors: &[
        "too_large",
        "body_timeout",
        "task_not_found",
        "unknown_bundle",
        "task_key_reused",
        "too_many_tasks",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `POST /api/v1/manager/tasks`
pub async fn submit(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let request = taken::task(asked.request, app.limits(), &asked.by).await?;
    if let Some(digest) = bundle::digest_in(&request.image).filter(|digest| app.bundles.manifest(digest).is_none()) {
        let detail = format!("image: no bundle {digest} is stored: upload it with PUT /functions/NAME/bundle");
        return Err(Problem::new(400, "unknown_bundle", detail));
    }
    let spec = Box::new(tasks::spec(&request));
    let applied = app.state.apply_by(Command::SubmitTask { spec }, &asked.by).map_err(|why| refused("", why))?;
    let made = applied.events.iter().find_map(|event| match event {
        Event::TaskSubmitted { task, again } => Some((*task, *again)),
        _ => None,
    });
    if let Err(error) = applied.kept().await {
        if let Some((task, false)) = made {
            let _ = app.state.apply(Command::WithdrawTask { task }); // nobody was told of it
        }
        return Err(error.into());
    }
    let (task, again) = made.ok_or_else(|| Problem::new(500, "internal", "the task was not recorded"))?;
    let id = task.to_string();
    let taken_in = Reply::json(if again { 200 } else { 201 }, &shown(&app, &id)?);
    Ok(taken_in.with("Location", format!("{}/tasks/{}", super::PATH, encode(&id))).into())
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listTasks",
    tag: "tasks",
    summary: "All tasks, by id",
    parameters: &[
        LIMIT,
        AFTER,
        Parameter::query(
            "state",
            Kind::OneOf(&["Pending", "Scheduled", "Running", "Stopping", "Completed", "Failed", "Stopped"]),
            "Only those in it.",
        ),
        Parameter::query("node", Kind::Text, "Only those of this node, by id or name."),
        Parameter::query("name", Kind::Text, "Only those of this name."),
        Parameter::query("label", Kind::Text, "Only those with this label, `K=V`, or any of that key, `K`."),
    ],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<TaskSummary>>()])],
    errors: &["node_not_found"],
    ..Operation::NONE
};

/// `GET /api/v1/manager/tasks?state=&node=&name=&label=`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let filter = Filter::of(app, &call.query)?;
    let id = |task: &TaskSummary| task.id.clone();
    let page = Page::of_cluster(call, ROWS, &app.state, id, |cluster, behind, most| {
        let shown = |task| filter.takes(task).then(|| tasks::summary(task, cluster));
        Piece::of(cluster.tasks_behind(behind), most, |task| &task.id, shown)
    });
    Ok(page?.reply())
}

/// Which tasks are listed.
struct Filter<'a> {
    state: Option<TaskState>,
    node: Option<NodeKey>,
    name: Option<&'a str>,
    label: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> Filter<'a> {
    fn of(app: &Orchestrator, query: &'a [(String, String)]) -> Result<Filter<'a>, Problem> {
        let state = page::one_of(query, "state", TaskState::ALL, |state| tasks::phase(state).as_str())?;
        let node = match value(query, "node") {
            None => None,
            Some(name) => {
                let found = app.state.read(|c| c.find_node(name).map(|n| n.key));
                Some(found.ok_or_else(|| Problem::no_node_named(name))?)
            }
        };
        let label = value(query, "label").map(|label| match label.split_once('=') {
            Some((key, wanted)) => (key, Some(wanted)),
            None => (label, None),
        });
        Ok(Filter { state, node, name: value(query, "name"), label })
    }

    fn takes(&self, task: &Task) -> bool {
        let labelled = |(key, wanted): (&str, Option<&str>)| {
            task.spec.labels.get(key).is_some_and(|value| wanted.is_none_or(|wanted| wanted == value))
        };
        self.state.is_none_or(|state| state == task.state)
            && self.node.is_none_or(|node| task.node == Some(node))
            && self.name.is_none_or(|name| name == task.name())
            && self.label.is_none_or(labelled)
    }
}

/// `GET /api/v1/manager/tasks?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    for name in ["state", "node", "name", "label"] {
        if value(&asked.query, name).is_some() {
            let detail = format!("{name}: a watch gives all tasks; leave it out, or ask without watch=true");
            return Err(Problem::new(400, "invalid_field", detail));
        }
    }
    app.watches.tasks.answer(&app.state, &app.watches.places, &asked)
}

/// All tasks as they change.
pub fn feed() -> Arc<Feed<TaskSummary>> {
    Feed::new(
        |cluster, behind, most| {
            cluster.tasks_behind(behind).take(most).map(|task| tasks::summary(task, cluster)).collect()
        },
        |task| &task.id,
    )
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getTask",
    tag: "tasks",
    summary: "One task, whole; of one that waits, why",
    answers: &[Answer::of(200, "The task.").with(&[Content::json::<TaskStatus>()])],
    errors: &["task_not_found"],
    ..Operation::NONE
};

/// `GET /api/v1/manager/tasks/ID`
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &shown(app, call.param(0))?))
}

/// What the document says of this.
pub const DELETE: Operation = Operation {
    id: "deleteTask",
    tag: "tasks",
    summary: "Stops a task that has not ended and keeps its record; forgets one that has",
    answers: &[
        Answer::of(202, "It is being stopped.").with(&[Content::json::<TaskStatus>()]),
        Answer::of(204, "It is forgotten."),
    ],
    errors: &["task_not_found", "task_refused", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /api/v1/manager/tasks/ID`
pub fn delete(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let id = call.param(0);
    command(app, call, |task| Command::DeleteTask { task })?;
    match shown(app, id) {
        Ok(task) => Ok(Reply::json(202, &task)),
        Err(_) => Ok(Reply::nothing()),
    }
}

/// What the document says of this.
pub const START: Operation = Operation {
    id: "startTask",
    tag: "tasks",
    summary: "A task that has ended, once more from the beginning",
    answers: &[Answer::of(200, "It is to be placed.").with(&[Content::json::<TaskStatus>()])],
    errors: &["task_not_found", "illegal_transition", "task_refused", "too_many_tasks", "store_failed"],
    ..Operation::NONE
};

/// `POST /api/v1/manager/tasks/ID/start`
pub fn start(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |task| Command::StartTask { task })?;
    Ok(Reply::json(200, &shown(app, call.param(0))?))
}

/// What the document says of this.
pub const STOP: Operation = Operation {
    id: "stopTask",
    tag: "tasks",
    summary: "Ends a task; its record is kept",
    answers: &[
        Answer::of(202, "It is being stopped, or was before it had begun.").with(&[Content::json::<TaskStatus>()])
    ],
    errors: &["task_not_found", "illegal_transition", "store_failed"],
    ..Operation::NONE
};

/// `POST /api/v1/manager/tasks/ID/stop`
pub fn stop(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    command(app, call, |task| Command::StopTask { task })?;
    Ok(Reply::json(202, &shown(app, call.param(0))?))
}

fn command(app: &Orchestrator, call: &Call, command: impl Fn(TaskKey) -> Command) -> Result<(), Problem> {
    let id = call.param(0);
    let key = app.state.read(|c| c.find_task(id).map(|t| t.key)).ok_or_else(|| unknown(id))?;
    let kept = app.state.apply_kept(command(key), call.by()).map_err(|why| refused(id, why))?;
    kept.map(drop).map_err(Problem::from)
}

fn shown(app: &Orchestrator, id: &str) -> Result<TaskStatus, Problem> {
    app.state.read(|c| c.find_task(id).map(|task| tasks::status(task, c))).ok_or_else(|| unknown(id))
}

/// 404 for a task.
pub fn unknown(id: &str) -> Problem {
    let id = names::shown(id);
    let detail =
        format!("no task '{id}' is known, or no longer: 'cares task list' and GET {}/tasks show them", super::PATH);
    Problem::new(404, "task_not_found", detail)
}

fn refused(id: &str, refusal: Refusal) -> Problem {
    let illegal = |detail: String| Problem::new(409, "illegal_transition", detail);
    let full = |detail: String| Problem::new(429, "too_many_tasks", detail).retry_after(5);
    match refusal {
        Refusal::TaskEnded { state } => illegal(format!("task {id} is {}: there is nothing to stop", state.word())),
        Refusal::TaskNotEnded { state } => {
            illegal(format!("task {id} is {}: only one that has ended can be started again", state.word()))
        }
        Refusal::TaskOfNode => {
            let detail = format!("task {id} was submitted to its worker: ask there, at the worker's own address");
            Problem::new(409, "task_refused", detail)
        }
        Refusal::TaskKeyTaken { task } => {
            let detail = format!(
                "Idempotency-Key: task {task} was submitted under this key with other settings; use another key for another task"
            );
            Problem::new(409, "task_key_reused", detail)
        }
        Refusal::TooManyPending { limit } => {
            full(format!("{limit} tasks wait for a node, as many as may: add a worker, or stop some"))
        }
        Refusal::TooManyTasks { limit } => {
            full(format!("{limit} tasks have not ended, as many as there may be: stop some"))
        }
        Refusal::TasksTooBig { limit_bytes } => full(format!(
            "tasks that have not ended may take {limit_bytes} bytes in all, with their settings: stop some"
        )),
        _ => unknown(id),
    }
}
