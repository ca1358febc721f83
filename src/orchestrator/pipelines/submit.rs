//! Taking a pipeline in: looked through, allowed, and on disk before anybody is told. And the functions that modules of
//! images are for as long as it runs.

use super::plan::{Plan, plan};
use super::{Event, PipelineKey, Pipelines, records};
use crate::auth::{Caller, Scope};
use crate::clock;
use crate::cluster::backlog::Idempotency;
use crate::cluster::pipeline::{Command, Refusal, Submission};
use crate::cluster::{self, Put};
use crate::orchestrator::state::Applied;
use crate::orchestrator::store::{LaterWrite, Part, PipelineWrite, StoreError, Write, Written};
use crate::orchestrator::{Orchestrator, durable, spec};
use crate::rt;
use crate::types::PipelineSpec;
use std::sync::Arc;

/// Why a pipeline was not taken.
pub enum NotTaken {
    /// The field first.
    Invalid(String),
    NoFunction {
        module: String,
        function: String,
    },
    /// The scope that is missing.
    Denied(String),
    Refused(Refusal),
    Store(StoreError),
}

enum Entered {
    New(PipelineKey, Written),
    /// It was asked for before.
    Known(PipelineKey),
}

/// What whoever asks may do; `None`: everything.
pub type Who = Option<Vec<Scope>>;

/// Whether they may run all modules of a plan.
fn allowed(plan: &Plan, who: &Who) -> Result<(), NotTaken> {
    let Some(scopes) = who else { return Ok(()) };
    let has = |wanted: &dyn Fn(&Scope) -> bool| scopes.iter().any(|scope| *scope == Scope::Admin || wanted(scope));
    for module in &plan.spec.modules {
        let (may, lacking) = match &module.function {
            Some(function) => {
                let wanted = |scope: &Scope| match scope {
                    Scope::Invoke => true,
                    Scope::InvokeOnly(only) => only == function,
                    _ => false,
                };
                (has(&wanted), format!("invoke (or invoke:{function}), which module '{}' needs", module.name))
            }
            None => {
                let wanted = |scope: &Scope| *scope == Scope::Deploy;
                (has(&wanted), format!("deploy, which module '{}' needs, as it runs an image", module.name))
            }
        };
        if !may {
            return Err(NotTaken::Denied(lacking));
        }
    }
    Ok(())
}

impl Pipelines {
    /// Whether they may cancel or retry a pipeline.
    pub fn allows(&self, key: PipelineKey, who: &Who) -> Result<(), NotTaken> {
        let plan = self.lock().plans.get(&key).cloned();
        plan.map_or(Err(NotTaken::Refused(Refusal::Unknown)), |plan| allowed(&plan, who))
    }

    /// Accepts a pipeline: when this returns it is on disk. The same one when it was asked for before under its name.
    pub async fn submit(
        &self,
        app: &Arc<Orchestrator>,
        spec: PipelineSpec,
        idempotency: Option<Idempotency>,
        who: &Who,
        by: &Caller,
    ) -> Result<PipelineKey, NotTaken> {
        let bytes = serde_json::to_vec(&spec).map_or(0, |text| text.len()) as u64;
        let plan = Arc::new(plan(spec).map_err(NotTaken::Invalid)?);
        allowed(&plan, who)?;
        check_functions(app, &plan)?;
        let asked = Submission { graph: plan.graph.clone(), stop: plan.stop, bytes, idempotency };
        let (key, written) = match self.enter(app, &plan, asked)? {
            Entered::New(key, written) => (key, written),
            Entered::Known(key) => return self.known(key).await,
        };
        let kept = self.store.kept(written).await.map_err(NotTaken::Store);
        let command = match &kept {
            Ok(()) => {
                self.tell(app, key, "pipeline.submitted", "was submitted", by);
                make_functions(app, key, &plan).await;
                Command::Kept { pipeline: key }
            }
            Err(_) => Command::Forget { pipeline: key },
        };
        self.entered(command, key, &plan, kept.is_err());
        self.tidy(app, key); // it may have been cancelled meanwhile
        kept.map(|()| key)
    }

    /// Takes it into memory, and queues its records.
    fn enter(&self, app: &Arc<Orchestrator>, plan: &Arc<Plan>, asked: Submission) -> Result<Entered, NotTaken> {
        let mut inner = self.lock();
        let events = inner.core.apply(clock::steady_unix_ms(), Command::Submit(asked)).map_err(NotTaken::Refused)?;
        let known = events.iter().find_map(|event| match event {
            Event::Known { pipeline } => Some(*pipeline),
            _ => None,
        });
        let accepted = events.iter().find_map(|event| match event {
            Event::Accepted { pipeline } => Some(*pipeline),
            _ => None,
        });
        if let Some(key) = accepted {
            inner.plans.insert(key, plan.clone());
        }
        let saving = self.follow(app, &mut inner, events, None); // others may have been dropped
        saving.into_iter().for_each(rt::spawn);
        if let Some(known) = known {
            return Ok(Entered::Known(known));
        }
        let pipeline = accepted.and_then(|key| inner.core.pipeline(key));
        let Some(pipeline) = pipeline else { return Err(NotTaken::Refused(Refusal::Unknown)) };
        let modules = pipeline.modules.iter().enumerate();
        let write = PipelineWrite {
            id: pipeline.key.to_string(),
            record: Some(records::encode(pipeline, plan)),
            modules: modules.map(|(index, module)| (index, records::encode_module(module), Part::AsItIs)).collect(),
        };
        let written = self.store.write(Write::Later(LaterWrite::Pipeline(write)), Vec::new());
        Ok(Entered::New(pipeline.key, written))
    }

    /// It is on disk, or could not be put there.
    fn entered(&self, command: Command, key: PipelineKey, plan: &Plan, failed: bool) {
        let mut inner = self.lock();
        let _ = inner.core.apply(clock::steady_unix_ms(), command); // or it was cancelled meanwhile
        if failed {
            inner.plans.remove(&key);
            self.erase(key, plan.spec.modules.len()); // it may be on disk all the same
        }
        drop(inner);
        self.told();
    }

    /// One that was asked for before may not be on disk yet, and may not get there.
    async fn known(&self, key: PipelineKey) -> Result<PipelineKey, NotTaken> {
        match durable::on_disk(&self.changes, || self.lock().core.is_kept(key)).await {
            true => Ok(key),
            false => Err(NotTaken::Refused(Refusal::Unknown)),
        }
    }
}

fn check_functions(app: &Orchestrator, plan: &Plan) -> Result<(), NotTaken> {
    for module in &plan.spec.modules {
        let Some(name) = &module.function else { continue };
        let http = app.state.read(|c| c.function(name).map(|f| f.current().mode == cluster::Mode::Http));
        let http = http.ok_or_else(|| NotTaken::NoFunction { module: module.name.clone(), function: name.clone() })?;
        let requires = module.requirements.as_ref().is_some_and(|asked| *asked != Default::default());
        let of_jobs = [("requirements", requires), ("env", !module.env.is_empty())];
        if let Some((field, _)) = of_jobs.iter().find(|(_, given)| *given && http) {
            let why = format!("'{name}' serves HTTP, and its instances are started before it is called: leave it out");
            return Err(NotTaken::Invalid(format!("modules: '{}': {field}: {why}", module.name)));
        }
    }
    Ok(())
}

/// Registers what is to be there for this pipeline alone; what is there already stays.
pub async fn make_functions(app: &Arc<Orchestrator>, key: PipelineKey, plan: &Plan) {
    kept(key, put_functions(app, key, plan)).await;
}

/// The same, on its way to the disk.
pub fn put_functions(app: &Orchestrator, key: PipelineKey, plan: &Plan) -> Vec<Applied> {
    let own = plan.own_functions(key).into_iter();
    let revisions = own.filter_map(|asked| spec::revision(asked, clock::unix_ms()).ok()); // looked through before
    let put = |revision| cluster::Command::PutFunction { revision: Box::new(revision), put: Put::Create };
    revisions.filter_map(|revision| app.state.apply(put(revision)).ok()).collect()
}

/// Once they are on disk.
pub async fn kept(key: PipelineKey, functions: Vec<Applied>) {
    for applied in functions {
        if let Err(error) = applied.kept().await {
            log::warn!("pipeline {key}: {error}"); // its modules say that there is no such function
        }
    }
}

/// They go with the pipeline, unless it runs again: that is looked at with its lock held, as it is made to.
pub fn remove_functions(app: &Arc<Orchestrator>, key: PipelineKey, plan: Option<&Plan>) {
    let names: Vec<String> =
        plan.map(|plan| plan.own_functions(key)).unwrap_or_default().into_iter().map(|f| f.name).collect();
    if names.is_empty() {
        return;
    }
    let app = app.clone();
    rt::spawn(async move {
        for name in names {
            let applied = {
                let inner = app.pipelines.lock();
                if inner.core.pipeline(key).is_some_and(|pipeline| !pipeline.status.is_final()) {
                    return;
                }
                app.state.apply(cluster::Command::DeleteFunction { name: name.as_str().into() })
            };
            if let Ok(applied) = applied {
                let _ = applied.kept().await; // the next start removes it otherwise
            }
        }
    });
}
