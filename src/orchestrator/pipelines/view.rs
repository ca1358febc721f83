//! Pipelines as everybody sees them. An end is shown only once it is on disk.

use super::plan::Plan;
use super::{Behind, Pipelines};
use crate::clock;
use crate::cluster::pipeline::{ModuleState, Pipeline, PipelineKey, PipelineStatus};
use crate::types;
use std::collections::BTreeMap;

impl Pipelines {
    /// One, with its modules.
    pub fn one(&self, key: PipelineKey) -> Option<types::Pipeline> {
        let inner = self.lock();
        let (pipeline, plan) = (inner.core.pipeline(key)?, inner.plans.get(&key)?);
        let modules = (0..pipeline.modules.len()).map(|index| module(&inner, pipeline, plan, index)).collect();
        Some(types::Pipeline { modules, ..shown(&inner, pipeline, plan) })
    }

    /// How many are kept of each status.
    pub fn count(&self) -> [(&'static str, u64); PipelineStatus::ALL.len()] {
        let mut counts = PipelineStatus::ALL.map(|status| (status.word(), 0));
        for pipeline in self.lock().core.newest(None) {
            let counted = counts.iter_mut().find(|(word, _)| *word == pipeline.status.word());
            counted.into_iter().for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// Newest first, from before a key on, those of a status, at most so many; without their modules.
    pub fn newest(&self, before: Option<PipelineKey>, status: Option<&str>, most: usize) -> Vec<types::Pipeline> {
        let inner = self.lock();
        let all = inner.core.newest(before).filter_map(|p| Some(shown(&inner, p, inner.plans.get(&p.key)?)));
        all.filter(|pipeline| status.is_none_or(|status| status == pipeline.status)).take(most).collect()
    }

    /// The number of a module, and where it is.
    pub fn module(&self, key: PipelineKey, name: &str) -> Option<Option<(usize, ModuleState)>> {
        let inner = self.lock();
        let pipeline = inner.core.pipeline(key)?;
        Some(pipeline.graph.find(name).map(|index| (index, state(&inner, pipeline, index))))
    }

    /// Where a module is.
    pub fn module_state(&self, key: PipelineKey, index: usize) -> Option<ModuleState> {
        let inner = self.lock();
        inner.core.pipeline(key).map(|pipeline| state(&inner, pipeline, index))
    }

    /// From when to when it ran, in milliseconds since 1970; `None`: it has not begun.
    pub fn module_times(&self, key: PipelineKey, index: usize) -> Option<(u64, Option<u64>)> {
        let inner = self.lock();
        let module = inner.core.pipeline(key)?.modules.get(index)?;
        module.started.map(|started| (started, module.ended))
    }

    /// What runs a module.
    pub fn function(&self, key: PipelineKey, index: usize) -> Option<String> {
        self.lock().plans.get(&key).map(|plan| plan.function(key, index))
    }
}

fn state(inner: &Behind, pipeline: &Pipeline, index: usize) -> ModuleState {
    let unsaved = |what| inner.unsaved.contains(&(pipeline.key, what));
    let over = pipeline.status.is_final() && !unsaved(None); // its record comes behind all of its modules'
    match !over && unsaved(Some(index)) {
        false => pipeline.modules[index].state,
        true if pipeline.modules[index].started.is_some() => ModuleState::Running,
        true => ModuleState::Pending,
    }
}

fn shown(inner: &Behind, pipeline: &Pipeline, plan: &Plan) -> types::Pipeline {
    let unsaved = inner.unsaved.contains(&(pipeline.key, None));
    let status = if unsaved { PipelineStatus::Running } else { pipeline.status };
    let mut counts = BTreeMap::new();
    for index in 0..pipeline.modules.len() {
        *counts.entry(state(inner, pipeline, index).word().to_string()).or_default() += 1;
    }
    types::Pipeline {
        id: pipeline.key.to_string(),
        name: plan.spec.name.clone(),
        status: status.word().into(),
        failure_policy: if plan.stop { "stop" } else { "continue" }.into(),
        runs: pipeline.runs,
        submitted_at: clock::rfc3339(pipeline.submitted),
        ended_at: pipeline.ended.filter(|_| !unsaved).map(clock::rfc3339),
        counts,
        modules: Vec::new(),
    }
}

fn module(inner: &Behind, pipeline: &Pipeline, plan: &Plan, index: usize) -> types::PipelineModule {
    let (module, asked) = (&pipeline.modules[index], &plan.spec.modules[index]);
    let state = state(inner, pipeline, index);
    let ended = state.is_final();
    let result = format!("/api/pipelines/{}/modules/{}/result", pipeline.key, asked.name);
    types::PipelineModule {
        name: asked.name.clone(),
        state: state.word().into(),
        depends_on: asked.depends_on.clone(),
        function: plan.function(pipeline.key, index),
        attempts: module.attempts,
        failures: module.failures,
        interruptions: module.interruptions,
        node: module.node.as_deref().map(str::to_string),
        node_name: None, // told by who knows nodes
        started_at: module.started.map(clock::rfc3339),
        ended_at: module.ended.filter(|_| ended).map(clock::rfc3339),
        error: module.last_error.clone(),
        result: (ended && module.result_bytes > 0).then_some(result),
    }
}
