//! What is kept of pipelines, as JSON, and back. A field may be added with a default; all else is a new version of the
//! store's schema.

use super::plan::{Plan, plan};
use crate::cluster::backlog::Idempotency;
use crate::cluster::pipeline::{Module, ModuleState, Pipeline, PipelineKey, PipelineStatus};
use crate::orchestrator::queue::records::json;
use crate::types::PipelineSpec;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

#[derive(Serialize, Deserialize)]
struct PipelineRecord {
    spec: PipelineSpec,
    status: String,
    submitted: u64,
    ended: Option<u64>,
    runs: u32,
    idempotency: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct ModuleRecord {
    state: String,
    begun: bool,
    attempts: u32,
    failures: u32,
    interruptions: u32,
    node: Option<String>,
    started: Option<u64>,
    ended: Option<u64>,
    next_try: u64,
    last_error: Option<String>,
    result_bytes: u64,
}

/// A pipeline, but for its modules.
pub fn encode(pipeline: &Pipeline, plan: &Plan) -> Vec<u8> {
    json(&PipelineRecord {
        spec: plan.spec.clone(),
        status: pipeline.status.word().into(),
        submitted: pipeline.submitted,
        ended: pipeline.ended,
        runs: pipeline.runs,
        idempotency: pipeline.idempotency.as_ref().map(|i| (i.key.to_string(), i.digest.to_string())),
    })
}

/// One of its modules.
pub fn encode_module(module: &Module) -> Vec<u8> {
    json(&ModuleRecord {
        state: module.state.word().into(),
        begun: module.begun,
        attempts: module.attempts,
        failures: module.failures,
        interruptions: module.interruptions,
        node: module.node.as_deref().map(str::to_string),
        started: module.started,
        ended: module.ended,
        next_try: module.next_try,
        last_error: module.last_error.clone(),
        result_bytes: module.result_bytes,
    })
}

/// `Err` says what cannot be read.
pub fn decode<'a>(
    id: &str,
    record: &[u8],
    modules: impl Iterator<Item = (usize, &'a [u8])>,
) -> Result<(Pipeline, Plan), String> {
    let unread = |why: &dyn Display| format!("the record of the pipeline '{id}' cannot be read: {why}");
    let read: PipelineRecord = serde_json::from_slice(record).map_err(|e| unread(&e))?;
    let key = PipelineKey::parse(id).ok_or_else(|| unread(&"its id"))?;
    let plan = plan(read.spec).map_err(|why| unread(&why))?;
    let mut pipeline = Pipeline::new(key, plan.graph.clone(), plan.stop, read.submitted, record.len() as u64);
    pipeline.status = PipelineStatus::of(&read.status).ok_or_else(|| unread(&"its status"))?;
    pipeline.ended = read.ended;
    pipeline.runs = read.runs;
    pipeline.idempotency = read.idempotency.map(|(key, digest)| Idempotency { key: key.into(), digest: digest.into() });
    if pipeline.ended.is_some() != pipeline.status.is_final() {
        return Err(unread(&"its end does not fit its status"));
    }
    for (index, record) in modules {
        let read: ModuleRecord = serde_json::from_slice(record).map_err(|e| unread(&e))?;
        let state = ModuleState::of(&read.state).ok_or_else(|| unread(&"a module's state"))?;
        let module = pipeline.modules.get_mut(index).ok_or_else(|| unread(&"a module's number"))?;
        module.state = state;
        module.begun = read.begun;
        module.attempts = read.attempts;
        module.failures = read.failures;
        module.interruptions = read.interruptions;
        module.node = read.node.map(Into::into);
        module.started = read.started;
        module.ended = read.ended;
        module.next_try = read.next_try;
        module.last_error = read.last_error;
        module.result_bytes = read.result_bytes;
    }
    Ok((pipeline, plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ModuleSpec;

    #[test]
    fn a_pipeline_comes_back_as_it_was() {
        let module = |name: &str| ModuleSpec { name: name.into(), function: Some("f".into()), ..Default::default() };
        let spec = PipelineSpec { modules: vec![module("a"), module("b")], ..Default::default() };
        let plan = plan(spec).expect("a plan");
        let mut pipeline = Pipeline::new(PipelineKey(7), plan.graph.clone(), true, 5, 0);
        (pipeline.runs, pipeline.modules[1].state, pipeline.modules[1].attempts) = (3, ModuleState::Ready, 2);
        (pipeline.modules[1].begun, pipeline.modules[1].last_error) = (true, Some("why".into()));
        pipeline.idempotency = Some(Idempotency { key: "k".into(), digest: "d".into() });
        let (record, of_b) = (encode(&pipeline, &plan), encode_module(&pipeline.modules[1]));
        let (back, again) = decode("p7", &record, [(1, &of_b[..])].into_iter()).expect("it is read");
        assert_eq!((back.modules, back.runs, back.submitted), (pipeline.modules.clone(), 3, 5));
        assert_eq!((back.idempotency, again.spec), (pipeline.idempotency.clone(), plan.spec));
        assert!(decode("c7", &record, [].into_iter()).is_err_and(|why| why.contains("its id")));
        assert!(decode("p7", &record, [(2, &of_b[..])].into_iter()).is_err());
        assert!(decode("p7", b"{}", [].into_iter()).is_err());
    }
}
