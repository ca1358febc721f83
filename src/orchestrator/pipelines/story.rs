//! What is told of pipelines as events: who had one run, cancelled or run again, and how it ended. Changes nothing.

use super::{Behind, Pipelines};
use crate::auth::Caller;
use crate::cluster::pipeline::{ModuleState, PipelineKey, PipelineStatus};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::events::Told;

/// Of modules that failed, by name.
const NAMED: usize = 5;

impl Pipelines {
    /// Somebody did something with it.
    pub(super) fn tell(&self, app: &Orchestrator, key: PipelineKey, kind: &'static str, what: &str, by: &Caller) {
        let inner = self.lock();
        let message = format!("Pipeline {} {what}: {}", called(&inner, key), modules(&inner, key));
        drop(inner);
        app.events.tell(&Told { kind, level: "info", message, ..Told::default() }.by(by));
    }

    /// It has ended, and that is on disk. Who cancelled it has been told of.
    pub(super) fn tell_end(&self, app: &Orchestrator, key: PipelineKey) {
        let inner = self.lock();
        let Some(pipeline) = inner.core.pipeline(key) else { return };
        let told = match pipeline.status {
            PipelineStatus::Running | PipelineStatus::Cancelled => return,
            PipelineStatus::Succeeded => {
                let message = format!("Pipeline {} has succeeded: {}", called(&inner, key), modules(&inner, key));
                Told { kind: "pipeline.succeeded", level: "info", message, ..Told::default() }
            }
            PipelineStatus::Failed => {
                let message = format!("Pipeline {} has failed: {}", called(&inner, key), failed(&inner, key));
                Told { kind: "pipeline.failed", level: "error", message, ..Told::default() }
            }
        };
        drop(inner);
        app.events.tell(&told);
    }
}

/// `'release' (p1)`, or its id alone.
fn called(inner: &Behind, key: PipelineKey) -> String {
    let name = inner.plans.get(&key).and_then(|plan| plan.spec.name.as_deref()).filter(|name| !name.is_empty());
    name.map_or_else(|| key.to_string(), |name| format!("'{name}' ({key})"))
}

fn modules(inner: &Behind, key: PipelineKey) -> String {
    match inner.plans.get(&key).map_or(0, |plan| plan.spec.modules.len()) {
        1 => "1 module".into(),
        count => format!("{count} modules"),
    }
}

fn failed(inner: &Behind, key: PipelineKey) -> String {
    let (Some(pipeline), Some(plan)) = (inner.core.pipeline(key), inner.plans.get(&key)) else { return String::new() };
    let all = pipeline.modules.iter().zip(&plan.spec.modules);
    let names: Vec<&str> = all.filter(|(m, _)| m.state == ModuleState::Failed).map(|(_, m)| m.name.as_str()).collect();
    let named = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("module {named}"),
        count if count > NAMED => format!("modules {named} and {} more", count - NAMED),
        _ => format!("modules {named}"),
    }
}
