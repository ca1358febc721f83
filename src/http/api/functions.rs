//! `/functions`: register, look, replace, delete, and the upload of bundles.

use crate::auth::Needs;
use crate::bundle::{self, BundleError};
use crate::clock;
use crate::cluster::{Cluster, Command, Event, Function, InstanceState, Put, Refusal, Revision};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed};
use crate::http::watch::Feed;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::bundles::Rejected;
use crate::orchestrator::{isolation, spec};
use crate::types;
use crate::{body::Body, names};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

/// `GET /functions`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let (page, next) = app.state.read(|cluster| {
        let (page, next) = super::page(call, cluster.functions(), |f| f.name.to_string())?;
        Ok::<_, Problem>((page.into_iter().map(|f| view(f, cluster)).collect::<Vec<_>>(), next))
    })?;
    let page: Vec<types::Function> = page.into_iter().map(|shown| with_runs(app, shown)).collect();
    let mut reply = Reply::json(200, &page);
    reply.headers.extend(next.map(|link| ("Link", link)));
    Ok(reply)
}

/// `GET /functions?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    app.watches.functions.answer(&app.state, &app.watches.places, &asked)
}

/// All functions as they change.
pub fn feed() -> Arc<Feed<types::Function>> {
    Feed::new(
        |cluster, behind, most| cluster.functions_behind(behind).take(most).map(|f| view(f, cluster)).collect(),
        |function| &function.name,
    )
}

/// `GET /functions/NAME`
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &shown(app, call.param(0))?))
}

/// `POST /functions`
pub fn register(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let spec: types::FunctionSpec = call.json()?;
    for (field, value) in [("name", &spec.name), ("image", &spec.image)] {
        if value.is_empty() {
            return Err(Problem::new(400, "invalid_field", format!("{field}: is missing or empty")));
        }
    }
    let revision = put(app, spec, Put::Create, call.by())?;
    let registered = types::Registered {
        status: "success".into(),
        invoke_path: format!("/invoke/{}", revision.function),
        name: revision.function.to_string(),
        revision: revision.number,
    };
    let mut reply = Reply::json(201, &registered);
    reply.headers.push(("Location", format!("/functions/{}", revision.function)));
    Ok(reply)
}

/// `PUT /functions/NAME`
pub fn replace(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let name = call.param(0);
    let mut spec: types::FunctionSpec = call.json()?;
    if spec.name.is_empty() {
        spec.name = name.into();
    }
    if spec.name != name {
        let detail = format!("name: is '{}', but the path says '{name}'; a function's name cannot change", spec.name);
        return Err(Problem::new(400, "invalid_field", detail));
    }
    put(app, spec, Put::Replace, call.by())?;
    Ok(Reply::json(200, &shown(app, name)?))
}

/// `DELETE /functions/NAME`
pub fn delete(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let name = call.param(0);
    match app.state.apply_kept(Command::DeleteFunction { name: name.into() }, call.by()) {
        Ok(kept) => kept.map(|_| Reply::nothing()).map_err(Problem::from),
        Err(_) => Err(Problem::no_function(name)),
    }
}

/// `PUT /functions/NAME/bundle`
pub async fn upload(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let name = asked.params.into_iter().next().unwrap_or_default();
    names::check_name(&name).map_err(|why| Problem::new(400, "invalid_field", format!("name: {why}")))?;
    let (digest, manifest) = app.bundles.receive(asked.request.into_body()).await.map_err(rejected)?;
    let image = format!("bundle:{digest}");
    let known = app.state.read(|c| c.function(&name).map(|f| spec::settings(f.newest())));
    let base = known.unwrap_or_default();
    let settings = types::FunctionSpec { name: name.clone(), image: image.clone(), ..spec::merged(base, manifest) };
    let revision = checked(&app, settings, asked.by.as_deref())?;
    let applied = app
        .state
        .apply_by(Command::PutFunction { revision: Box::new(revision), put: Put::Any }, asked.by.as_deref())
        .map_err(|refusal| refused(&name, &refusal))?;
    let events = applied.kept().await?;
    let revision = made(&events).ok_or_else(|| Problem::new(500, "internal", "the revision was not recorded"))?;
    let stored = types::BundleStored { invoke_path: format!("/invoke/{name}"), name, revision: revision.number, image };
    let reply = Reply::json(if revision.number == 1 { 201 } else { 200 }, &stored);
    let mut response = Response::new(Body::full(reply.body));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn put(app: &Orchestrator, spec: types::FunctionSpec, put: Put, by: Option<&str>) -> Result<Arc<Revision>, Problem> {
    let name = spec.name.clone();
    let spec = with_manifest(app, spec)?;
    let revision = Box::new(checked(app, spec, by)?);
    let events = match app.state.apply_kept(Command::PutFunction { revision, put }, by) {
        Ok(kept) => kept?,
        Err(refusal) => return Err(refused(&name, &refusal)),
    };
    made(&events).ok_or_else(|| Problem::new(500, "internal", "the revision was not recorded"))
}

/// The revision that settings make, however they came. The one place to ask whether who sent them may open what is
/// shut by default.
fn checked(app: &Orchestrator, settings: types::FunctionSpec, by: Option<&str>) -> Result<Revision, Problem> {
    if let Some(field) = settings.isolation.as_ref().and_then(isolation::opens) {
        app.tokens.gate().check_name(by, Needs::Admin).map_err(|denied| {
            let problem = Problem::from(denied);
            Problem { detail: format!("{field}: opens what is shut by default: {}", problem.detail), ..problem }
        })?;
        log::warn!("Function '{}': {field} opens what is shut by default", settings.name);
    }
    Ok(spec::revision(settings, clock::unix_ms())?)
}

/// A stored bundle says how it is run; the settings given stand over it.
fn with_manifest(app: &Orchestrator, settings: types::FunctionSpec) -> Result<types::FunctionSpec, Problem> {
    let Some(digest) = bundle::digest_in(&settings.image) else { return Ok(settings) };
    match app.bundles.manifest(digest) {
        Some(manifest) => {
            let base = types::FunctionSpec { name: settings.name.clone(), image: settings.image.clone(), ..manifest };
            Ok(spec::merged(base, settings))
        }
        None => {
            let detail = format!("image: no bundle {digest} is stored: upload it with PUT /functions/NAME/bundle");
            Err(Problem::new(400, "unknown_bundle", detail))
        }
    }
}

fn made(events: &[Event]) -> Option<Arc<Revision>> {
    events.iter().find_map(|e| match e {
        Event::FunctionPut { revision, .. } => Some(revision.clone()),
        _ => None,
    })
}

fn refused(name: &str, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::FunctionNameTaken => {
            let detail =
                format!("a function '{name}' exists already: PUT /functions/{name} makes a new revision of it");
            Problem::new(409, "name_taken", detail)
        }
        Refusal::TooManyFunctions { limit } => Problem::new(
            409,
            "too_many_functions",
            format!("this cluster has its {limit} functions: delete some first"),
        ),
        _ => Problem::no_function(name),
    }
}

pub(super) fn rejected(rejected: Rejected) -> Problem {
    match rejected {
        Rejected::TooLarge { limit } => Problem::too_large("a bundle", limit),
        Rejected::Stalled => Problem::new(408, "body_timeout", "the upload stood still"),
        Rejected::BrokenOff(why) => Problem::invalid(format!("the upload broke off: {why}")),
        Rejected::Bundle(error @ BundleError::Limit { .. }) => Problem::new(413, "too_large", error.to_string()),
        Rejected::Bundle(error) => Problem::new(400, "invalid_bundle", error.to_string()),
        Rejected::Disk { path, why } => {
            Problem::new(507, "store_failed", format!("cannot write {}: {why}", path.display()))
        }
        Rejected::Store(error) => error.into(),
    }
}

pub(super) fn shown(app: &Orchestrator, name: &str) -> Result<types::Function, Problem> {
    let shown = app.state.read(|cluster| cluster.function(name).map(|f| view(f, cluster)));
    shown.map(|shown| with_runs(app, shown)).ok_or_else(|| Problem::no_function(name))
}

/// Beside its settings, a schedule's last and next run; a schedule that has just been put may not have them yet.
fn with_runs(app: &Orchestrator, mut shown: types::Function) -> types::Function {
    let same = |a: &types::Schedule, b: &types::Schedule| a.expression == b.expression && a.zone == b.zone;
    if let Some(schedule) = &mut shown.schedule
        && let Some(known) = app.schedules.view(&shown.name).filter(|known| same(known, schedule))
    {
        *schedule = known;
    }
    shown
}

fn view(function: &Function, cluster: &Cluster) -> types::Function {
    let current = function.newest();
    let instances: Vec<types::Instance> = function
        .instances
        .iter()
        .filter_map(|key| cluster.instance(*key))
        .map(|i| types::Instance {
            id: i.key.to_string(),
            node: cluster.node(i.node).map(|n| n.spec.id.clone()).unwrap_or_default(),
            revision: i.revision.number,
            status: i.state.word().into(),
            in_flight: i.in_flight,
        })
        .collect();
    let any = |state: InstanceState| instances.iter().any(|i| i.status == state.word());
    let status = match () {
        () if any(InstanceState::Warm) || any(InstanceState::Frozen) || function.running > 0 => "running",
        () if any(InstanceState::Starting) => "starting",
        () if function.last_error.is_some() => "failing",
        () => "idle",
    };
    let settings = spec::settings(current);
    types::Function {
        name: function.name.to_string(),
        image: current.image.clone(),
        mode: spec::mode_out(current.mode),
        revision: current.number,
        serving: function.current().number,
        status: status.into(),
        invoke_path: format!("/invoke/{}", function.name),
        command: current.command.clone(),
        env: current.env.clone(),
        timeout_s: settings.timeout_s.unwrap_or_default(),
        memory_mb: settings.memory_mb,
        cpu: settings.cpu,
        isolation: settings.isolation,
        concurrency: current.concurrency,
        min: current.min,
        ready: current.ready,
        max: current.max,
        idle_s: settings.idle_s.unwrap_or_default(),
        freeze_s: settings.freeze_s.unwrap_or_default(),
        constraints: settings.constraints.unwrap_or_default(),
        labels: current.labels.clone(),
        description: current.description.clone(),
        attempts: current.attempts,
        schedule: current.schedule.as_ref().map(|s| types::Schedule {
            expression: s.expression.clone(),
            zone: s.zone.clone(),
            missed: spec::missed(s).into(),
            overlap: spec::overlap(s).into(),
            ..Default::default()
        }),
        public: current.public,
        created_at: clock::rfc3339(current.created_unix_ms),
        updated_at: clock::rfc3339(current.updated_unix_ms),
        instances,
        in_flight: function.running + function.queue.len() as u64,
        calls: function.calls,
        failures: function.failures,
        p50_ms: function.recent.median_us().map(|us| us as f64 / 1e3),
        last_error: function.last_error.clone(),
        revisions: function.revisions.iter().rev().map(|r| revision_view(r, function)).collect(),
    }
}

fn revision_view(revision: &Arc<Revision>, function: &Function) -> types::Revision {
    let newest = revision.number == function.newest().number;
    let status = match () {
        () if revision.number == function.current().number => "serving",
        () if newest && function.rolling_out() => "starting",
        () if newest && function.failed.is_some() => "failed",
        () => "kept",
    };
    types::Revision {
        revision: revision.number,
        image: revision.image.clone(),
        created_at: clock::rfc3339(revision.updated_unix_ms),
        status: status.into(),
    }
}
