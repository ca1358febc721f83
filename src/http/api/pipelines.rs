//! `/api/pipelines`: submitting, looking, results, cancel and retry.

pub mod logs;
pub mod watch;

use super::page::{self, Page};
use crate::auth::Denied;
use crate::body::Body;
use crate::cluster::backlog::Idempotency;
use crate::cluster::pipeline::{ModuleState, PipelineKey, PipelineStatus, Refusal};
use crate::hex::hex;
use crate::http::front::body_of;
use crate::http::headers::{self, IDEMPOTENCY_KEY, KEY_BYTES};
use crate::http::openapi::{Answer, Content, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{self, Reply, Streamed, value};
use crate::names;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::pipelines::{NotTaken, Who};
use crate::rt;
use crate::types::{Pipeline, PipelineAccepted, PipelineSpec};
use hyper::Response;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Of a document: as of every request to the API.
const DOCUMENT_BYTES: usize = 1 << 20;

/// What the document says of this.
pub const SUBMIT: Operation = Operation {
    id: "submitPipeline",
    tag: "pipelines",
    summary: "Runs modules that depend on each other, each at least once; needs invoke of each function, deploy for images",
    parameters: &[Parameter::header(
        "Idempotency-Key",
        Kind::Text,
        "The same key is the same pipeline. 1 to 255 bytes.",
    )],
    body: &[Content::json::<PipelineSpec>()],
    answers: &[Answer::of(201, "It is on disk.").with(&[Content::json::<PipelineAccepted>()]).headers(&["Location"])],
    errors: &[
        "function_not_found",
        "too_many_pipelines",
        "idempotency_key_reused",
        "too_large",
        "body_timeout",
        "pipeline_not_found",
        "store_failed",
        "stopping",
    ],
    ..Operation::NONE
};

/// `POST /api/pipelines`
pub async fn submit(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    if app.stopping() {
        return Err(Problem::stopping());
    }
    let who = who(&asked);
    let (head, incoming) = asked.request.into_parts();
    let key = headers::text(&head.headers, &IDEMPOTENCY_KEY)?;
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES) {
        return Err(headers::invalid(&IDEMPOTENCY_KEY, &format!("1 to {KEY_BYTES} bytes")));
    }
    let text = body_of(incoming, &app.limits, "a pipeline's document", DOCUMENT_BYTES).await?;
    let spec: PipelineSpec = route::object(&text)?;
    let idempotency = key.map(|key| Idempotency { key: key.into(), digest: hex(Sha256::digest(&text)).into() });
    let by = asked.by.clone();
    let taken = async move { app.pipelines.submit(&app, spec, idempotency, &who, &by).await };
    let id = rt::to_its_end(taken).await.map_err(|why| not_taken("", &asked.by, why))?;
    let accepted = Reply::json(201, &PipelineAccepted { id: id.to_string() });
    Ok(accepted.with("Location", format!("/api/pipelines/{id}")).into())
}

fn who(asked: &Streamed) -> Who {
    match asked.by.admin {
        true => None,
        false => Some(asked.by.who.as_ref().map(|who| who.scopes.clone()).unwrap_or_default()),
    }
}

fn not_taken(id: &str, by: &crate::auth::Caller, why: NotTaken) -> Problem {
    match why {
        NotTaken::Invalid(why) => Problem::new(400, "invalid_field", why),
        NotTaken::NoFunction { module, function } => {
            let problem = Problem::no_function(&function);
            Problem { detail: format!("modules: '{module}': function: {}", problem.detail), ..problem }
        }
        NotTaken::Denied(scope) => match by.name.clone() {
            Some(name) => Denied::Lacks { name, scope }.into(),
            None => Denied::Missing.into(),
        },
        NotTaken::Store(error) => error.into(),
        NotTaken::Refused(refusal) => refused(id, refusal),
    }
}

fn refused(id: &str, refusal: Refusal) -> Problem {
    let full =
        |what: String| Problem::new(429, "too_many_pipelines", format!("{what}: cancel one, or wait")).retry_after(10);
    match refusal {
        Refusal::TooMany { limit } => full(format!("as many pipelines run as may ({limit})")),
        Refusal::TooManyModules { limit } => {
            full(format!("the pipelines that run have as many modules as they may ({limit})"))
        }
        Refusal::NoSpace { limit } => {
            full(format!("the documents of pipelines that run take the {limit} bytes they may"))
        }
        Refusal::KeyReused { pipeline } => {
            let detail = format!(
                "Idempotency-Key: pipeline {pipeline} was submitted under this key with another document; \
                 use another key for another pipeline"
            );
            Problem::new(422, "idempotency_key_reused", detail)
        }
        Refusal::Wrong { status: PipelineStatus::Running } => {
            Problem::new(409, "pipeline_not_failed", format!("pipeline {id} runs: cancel it, or wait for its end"))
        }
        Refusal::Wrong { status } => {
            let (code, what) = match status {
                PipelineStatus::Succeeded => {
                    ("pipeline_not_failed", "there is nothing to run again; submit it anew with POST /api/pipelines")
                }
                _ => ("pipeline_ended", "there is nothing to cancel"),
            };
            Problem::new(409, code, format!("pipeline {id} has {}: {what}", status.word()))
        }
        Refusal::Unknown | Refusal::StaleAttempt => none(id),
    }
}

fn none(id: &str) -> Problem {
    let id = names::shown(id);
    let detail =
        format!("no pipeline '{id}' is known, or no longer: 'cares pipeline list' and GET /api/pipelines show them");
    Problem::new(404, "pipeline_not_found", detail)
}

fn key(id: &str) -> Result<PipelineKey, Problem> {
    PipelineKey::parse(id).ok_or_else(|| none(id))
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listPipelines",
    tag: "pipelines",
    summary: "Pipelines that run and those that are kept, newest first",
    parameters: &[
        LIMIT,
        Parameter::query("after", Kind::Text, "Rows behind this pipeline."),
        Parameter::query("status", Kind::OneOf(&["running", "succeeded", "failed", "cancelled"]), "Of this status."),
    ],
    answers: &[
        Answer::of(200, "A page of them.").with(&[Content::json::<Vec<Pipeline>>(), Content::events::<Pipeline>()])
    ],
    ..Operation::NONE
};

/// `GET /api/pipelines`
pub fn list(app: &Orchestrator, call: &route::Call) -> Result<Reply, Problem> {
    let limit = page::limit(call)?;
    let status = page::one_of(&call.query, "status", PipelineStatus::ALL, PipelineStatus::word)?;
    let after = match value(&call.query, "after").map(PipelineKey::parse) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => return Err(Problem::new(400, "invalid_field", "after: must be the id of a pipeline")),
    };
    let found = app.pipelines.newest(after, status.map(PipelineStatus::word), limit + 1);
    Ok(Page::first(call, limit, found, |pipeline| pipeline.id.clone()).reply())
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getPipeline",
    tag: "pipelines",
    summary: "One pipeline, with its modules",
    answers: &[Answer::of(200, "The pipeline.").with(&[Content::json::<Pipeline>(), Content::events::<Pipeline>()])],
    errors: &["pipeline_not_found"],
    ..Operation::NONE
};

/// `GET /api/pipelines/ID`
pub fn get(app: &Orchestrator, call: &route::Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &view(app, call.param(0))?))
}

fn view(app: &Orchestrator, id: &str) -> Result<Pipeline, Problem> {
    whole(app, key(id)?).ok_or_else(|| none(id))
}

/// One with its modules, and where these are.
fn whole(app: &Orchestrator, key: PipelineKey) -> Option<Pipeline> {
    let mut pipeline = app.pipelines.one(key)?;
    app.state.read(|cluster| {
        for module in &mut pipeline.modules {
            let node = module.node.as_deref().and_then(|id| cluster.find_node(id));
            module.node_name = node.map(|node| node.spec.name.clone());
        }
    });
    Some(pipeline)
}

/// What the document says of this.
pub const CANCEL: Operation = Operation {
    id: "cancelPipeline",
    tag: "pipelines",
    summary: "Ends what runs of a pipeline, and starts nothing more of it",
    answers: &[Answer::of(200, "The pipeline, cancelled.").with(&[Content::json::<Pipeline>()])],
    errors: &["pipeline_not_found", "pipeline_ended", "pipeline_not_failed"],
    ..Operation::NONE
};

/// `POST /api/pipelines/ID/cancel`
pub async fn cancel(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.first().cloned().unwrap_or_default();
    let key = key(&id)?;
    app.pipelines.allows(key, &who(&asked)).map_err(|why| not_taken(&id, &asked.by, why))?;
    match app.pipelines.cancel(&app, key, &asked.by).await {
        Ok(()) => Ok(Reply::json(200, &view(&app, &id)?).into()),
        Err(Refusal::Wrong { status }) => {
            let detail = format!("pipeline {id} has {}: there is nothing to cancel", status.word());
            Err(Problem::new(409, "pipeline_ended", detail))
        }
        Err(refusal) => Err(refused(&id, refusal)),
    }
}

/// What the document says of this.
pub const RETRY: Operation = Operation {
    id: "retryPipeline",
    tag: "pipelines",
    summary: "Runs again what did not succeed, and what depends on it; other modules keep their results",
    answers: &[Answer::of(200, "The pipeline, running.").with(&[Content::json::<Pipeline>()])],
    errors: &["pipeline_not_found", "pipeline_not_failed", "pipeline_ended", "too_many_pipelines"],
    ..Operation::NONE
};

/// `POST /api/pipelines/ID/retry`
pub async fn retry(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.first().cloned().unwrap_or_default();
    let key = key(&id)?;
    app.pipelines.allows(key, &who(&asked)).map_err(|why| not_taken(&id, &asked.by, why))?;
    let (retried, by) = (app.clone(), asked.by.clone());
    let done = rt::to_its_end(async move { retried.pipelines.retry(&retried, key, &by).await }).await;
    done.map_err(|refusal| refused(&id, refusal))?;
    Ok(Reply::json(200, &view(&app, &id)?).into())
}

/// What the document says of this.
pub const RESULT: Operation = Operation {
    id: "getModuleResult",
    tag: "pipelines",
    summary: "What a module answered: its status, headers and body",
    answers: &[Answer::of(Answer::ANY, "The function's answer.")],
    errors: &["pipeline_not_found", "module_not_found", "module_not_ended"],
    ..Operation::NONE
};

/// `GET /api/pipelines/ID/modules/NAME/result`
pub async fn result(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let [id, name] = asked.params.as_slice() else { return Err(none("")) };
    let (key, index, state) = find(&app, id, name)?;
    if !state.is_final() {
        let detail =
            format!("pipeline {id}: module '{name}' is {}: its result is here once it has ended", state.word());
        return Err(Problem::new(409, "module_not_ended", detail).retry_after(1));
    }
    let found = app.pipelines.result(key, index).await;
    let found = found.map_err(|why| Problem::new(500, "internal", format!("the result of {id}/{name}: {why}")))?;
    found.ok_or_else(|| missing(id, name, &format!("it has {} and left no result", state.word())))
}

/// A module, by what it is called.
fn find(app: &Orchestrator, id: &str, name: &str) -> Result<(PipelineKey, usize, ModuleState), Problem> {
    let key = key(id)?;
    let found = app.pipelines.module(key, name).ok_or_else(|| none(id))?;
    let (index, state) = found.ok_or_else(|| missing(id, name, "there is none of that name"))?;
    Ok((key, index, state))
}

fn missing(id: &str, name: &str, why: &str) -> Problem {
    let shown: String = name.chars().take(80).collect();
    Problem::new(404, "module_not_found", format!("pipeline {id}: module '{}': {why}", shown.escape_debug()))
}
