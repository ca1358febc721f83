//! One attempt of a module: the way every call goes, with the results of what it depends on. Must never begin before it is
//! on disk that it did.

use super::Orchestrator;
use super::plan::Plan;
use super::results::{self, Results, ascii};
use crate::body::Body;
use crate::cluster::backlog::AttemptEnd;
use crate::cluster::pipeline::{Command, ModuleState, PipelineKey};
use crate::http::invoke::{self, Attempt, Extras};
use crate::orchestrator::queue::Ended;
use crate::orchestrator::queue::attempt::{answered, not_answered};
use futures_channel::oneshot;
use hyper::Request;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

/// What its environment and its request's head say beside its own variables.
const PIPELINE: &str = "CARES_PIPELINE";
const MODULE: &str = "CARES_MODULE";

/// How the names of all attempts of a module begin, on their nodes and in their logs.
pub fn source(key: PipelineKey, module: &str) -> String {
    format!("{key}-{module}.")
}

/// Runs it, once it may go, and says how it ended.
pub async fn run(app: Arc<Orchestrator>, key: PipelineKey, module: usize, attempt: u64, go: oneshot::Receiver<()>) {
    if go.await.is_err() {
        return; // nothing of the pipeline is kept any more
    }
    let ended = attempted(&app, key, module, attempt).await;
    app.pipelines.attempted(&app, (key, module), attempt, ended).await;
}

async fn attempted(app: &Arc<Orchestrator>, key: PipelineKey, module: usize, attempt: u64) -> Ended {
    let found = {
        let inner = app.pipelines.lock();
        let pipeline = inner.core.pipeline(key);
        let found = pipeline.zip(inner.plans.get(&key));
        found.map(|(pipeline, plan)| {
            let after = &pipeline.graph.place(module).after;
            let succeeded = |index: &usize| pipeline.modules[*index].state == ModuleState::Succeeded;
            (
                plan.clone(),
                pipeline.modules[module].attempts,
                after.iter().copied().filter(succeeded).collect::<Vec<_>>(),
            )
        })
    };
    let Some((plan, attempts, after)) = found else { return super::ended("it is no longer known".into()) };
    let asked = &plan.spec.modules[module];
    let results = match Results::read(app, key, &plan, &after).await {
        Ok(results) => results,
        Err(why) => return Ended { end: AttemptEnd::NotStarted { why }, outcome: None },
    };
    if results.within(results::BYTES).is_none() {
        let why = format!(
            "dependsOn: where the results of {} modules are is more than {} bytes",
            after.len(),
            results::BYTES
        );
        return super::ended(why);
    }
    let function = plan.function(key, module);
    let Some(job) = app.state.read(|c| c.function(&function).map(|f| f.current().is_job())) else {
        return super::ended(format!("no function '{function}' is registered"));
    };
    let Some(request) = request(&plan, key, module, attempts, &results) else {
        return super::ended("its inputs cannot be sent".into());
    };
    let mut env = asked.env.clone();
    env.insert(PIPELINE.into(), key.to_string());
    env.insert(MODULE.into(), asked.name.clone());
    let extras = Extras {
        module: format!("{key}/{}", asked.name).into(),
        source: format!("{}{attempts}", source(key, &asked.name)),
        wants: job.then(|| plan.wants(module, job)),
        timeout_ms: asked.timeout_s.map(|seconds| (seconds * 1_000.0).round().max(1.0) as u64),
        env,
        results,
    };
    let (head, body) = request.into_parts();
    let told = app.clone();
    let placed = Box::new(move |node| {
        told.pipelines.apply(&told, Command::Placed { pipeline: key, module, attempt, node }, None);
    });
    let of = Attempt { id: format!("{key}-{}", asked.name), placed, module: Some(extras) };
    match invoke::attempt(app, &function, head, body, of).await {
        Ok(answer) => answered(&app.pipelines.bodies, answer).await,
        Err(why) => not_answered(why),
    }
}

/// Its inputs as a request, whose head tells a function that serves HTTP what a job finds in its environment.
fn request(plan: &Plan, key: PipelineKey, module: usize, attempts: u32, results: &Results) -> Option<Request<Body>> {
    let asked = &plan.spec.modules[module];
    let (kind, body) = match &asked.inputs {
        None => (None, Vec::new()),
        Some(serde_json::Value::String(text)) => (Some("text/plain; charset=utf-8"), text.clone().into_bytes()),
        Some(json) => (Some("application/json"), serde_json::to_vec(json).ok()?),
    };
    let mut request = Request::builder().method("POST").uri("/").header("x-cares-attempt", attempts);
    request = request.header("x-cares-pipeline", key.to_string()).header("x-cares-module", &asked.name);
    if let Some((results, forms)) = results.within(results::HEADER_BYTES).filter(|_| !results.is_empty()) {
        request = request.header("x-cares-dependency-results", ascii(&results));
        if !forms.is_empty() {
            request = request.header("x-cares-dependency-forms", ascii(&forms));
        }
    }
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    request.body(if body.is_empty() { Body::Empty } else { Body::full(body) }).ok()
}
