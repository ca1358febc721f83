//! `/functions`: register, look, replace, delete, and the upload of bundles.

use super::page::{Page, Piece, ROWS};
use crate::auth::Caller;
use crate::bundle::{self, BundleError};
use crate::clock;
use crate::cluster::{Cluster, Command, Event, Function, InstanceState, Put, Refusal, Revision, Runs};
use crate::http::openapi::{AFTER, Answer, Content, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed};
use crate::http::watch::Feed;
use crate::limits::Limit;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::bundles::Rejected;
use crate::orchestrator::{images, spec};
use crate::types;
use crate::{body::Body, names, rt};
use hyper::Response;
use std::sync::Arc;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listFunctions",
    tag: "functions",
    summary: "All functions, by name",
    parameters: &[LIMIT, AFTER, LABEL],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<types::Function>>()])],
    ..Operation::NONE
};

/// `GET /functions`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(page(app, call)?.reply())
}

/// `?label=` of a list.
pub(super) const LABEL: Parameter =
    Parameter::query("label", Kind::Text, "Only those with this label, KEY=VALUE or KEY; several must all be there.");

/// The page of functions that was asked for.
pub(super) fn page(app: &Orchestrator, call: &Call) -> Result<Page<types::Function>, Problem> {
    let labels = call.query.iter().filter(|(key, _)| key == "label").map(|(_, label)| match label.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (&**label, None),
    });
    let labels: Vec<(&str, Option<&str>)> = labels.collect();
    if labels.iter().any(|(key, _)| key.is_empty()) {
        return Err(Problem::new(400, "invalid_field", "label: must look like KEY=VALUE, or KEY"));
    }
    let has = |f: &Function, (key, value): &(&str, Option<&str>)| {
        f.newest().labels.get(*key).is_some_and(|known| value.is_none_or(|value| known == value))
    };
    let wanted = |f: &Function| labels.iter().all(|label| has(f, label));
    let id = |shown: &types::Function| shown.name.clone();
    let page = Page::of_cluster(call, ROWS, &app.state, id, |cluster, behind, most| {
        let shown = |f| wanted(f).then(|| view(f, cluster));
        Piece::of(cluster.functions_behind(behind), most, |f| &f.name, shown)
    })?;
    Ok(page.map(|shown| with_runs(app, shown)))
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

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getFunction",
    tag: "functions",
    summary: "One function",
    answers: &[Answer::of(200, "The function.").with(&[Content::json::<types::Function>()])],
    errors: &["function_not_found"],
    ..Operation::NONE
};

/// `GET /functions/NAME`
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &shown(app, call.param(0))?))
}

/// What the document says of this.
pub const REGISTER: Operation = Operation {
    id: "registerFunction",
    tag: "functions",
    summary: "Registers a new function; `name` and `image` must be given",
    body: &[Content::json::<types::FunctionSpec>()],
    answers: &[Answer::of(201, "It is on disk.").with(&[Content::json::<types::Registered>()]).headers(&["Location"])],
    errors: &["name_taken", "unknown_bundle", "unknown_secret", "too_many_functions", "store_failed"],
    ..Operation::NONE
};

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
    Ok(Reply::json(201, &registered).with("Location", format!("/functions/{}", revision.function)))
}

/// What the document says of this.
pub const REPLACE: Operation = Operation {
    id: "replaceFunction",
    tag: "functions",
    summary: "A new revision of a function, or a new function; `image` must be given",
    body: &[Content::json::<types::FunctionSpec>()],
    answers: &[Answer::of(200, "It is on disk.").with(&[Content::json::<types::Function>()])],
    errors: &["function_not_found", "unknown_bundle", "unknown_secret", "too_many_functions", "store_failed"],
    ..Operation::NONE
};

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

/// What the document says of this.
pub const DELETE: Operation = Operation {
    id: "deleteFunction",
    tag: "functions",
    summary: "Deletes a function, its revisions and its instances",
    answers: &[Answer::of(204, "It is gone.")],
    errors: &["function_not_found", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /functions/NAME`
pub fn delete(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let name = call.param(0);
    match app.state.apply_kept(Command::DeleteFunction { name: name.into() }, call.by()) {
        Ok(kept) => kept.map(|_| Reply::nothing()).map_err(Problem::from),
        Err(_) => Err(Problem::no_function(name)),
    }
}

/// What the document says of this.
pub const UPLOAD: Operation = Operation {
    id: "uploadBundle",
    tag: "functions",
    summary: "A zip with `function.json` as a new revision, or a new function",
    body: &[Content::Bytes("application/zip")],
    answers: &[
        Answer::of(200, "A new revision.").with(&[Content::json::<types::BundleStored>()]),
        Answer::of(201, "A new function.").with(&[Content::json::<types::BundleStored>()]),
    ],
    errors: &[
        "unknown_secret",
        "invalid_field",
        "invalid_bundle",
        "too_large",
        "body_timeout",
        "too_many_functions",
        "function_not_found",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `PUT /functions/NAME/bundle`
pub async fn upload(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let name = asked.params.into_iter().next().unwrap_or_default();
    names::check_name(&name).map_err(|why| Problem::new(400, "invalid_field", format!("name: {why}")))?;
    let (digest, manifest) = app.bundles.receive(asked.request.into_body(), &app.limits).await.map_err(rejected)?;
    spec::check_job(&manifest)?;
    let image = format!("bundle:{digest}");
    let known = app.state.read(|c| c.function(&name).map(|f| spec::settings(f.newest())));
    let mut base: types::FunctionSpec = known.unwrap_or_default();
    if bundle::digest_in(&base.image).is_none() {
        (base.mode, base.command) = (None, None); // they were of what it is no more
    }
    let settings = types::FunctionSpec { name: name.clone(), image: image.clone(), ..spec::merged(base, manifest) };
    let revision = checked(settings, &asked.by)?;
    let uses = revision.secrets.clone();
    let command = Command::PutFunction { revision: Box::new(revision), put: Put::Any };
    let applied = app
        .secrets
        .with(&uses, || app.state.apply_by(command, &asked.by))?
        .map_err(|refusal| refused(&name, &refusal))?;
    let events = applied.kept().await?;
    let revision = made(&events).ok_or_else(|| Problem::new(500, "internal", "the revision was not recorded"))?;
    let stored = types::BundleStored { invoke_path: format!("/invoke/{name}"), name, revision: revision.number, image };
    Ok(Reply::json(if revision.number == 1 { 201 } else { 200 }, &stored).into())
}

fn put(app: &Orchestrator, spec: types::FunctionSpec, put: Put, by: &Caller) -> Result<Arc<Revision>, Problem> {
    spec::check_job(&spec)?;
    put_checked(app, checked(with_manifest(app, spec)?, by)?, put, by)
}

/// The same with what nodes need not run, as `checked_any` makes it.
pub(super) fn put_checked(
    app: &Orchestrator,
    revision: Revision,
    put: Put,
    by: &Caller,
) -> Result<Arc<Revision>, Problem> {
    let name = revision.function.clone();
    let revision = Box::new(revision);
    let uses = revision.secrets.clone();
    let put = || app.state.apply_by(Command::PutFunction { revision, put }, by);
    let events = match app.secrets.with(&uses, put)? {
        Ok(applied) => rt::block_on(applied.kept())?,
        Err(refusal) => return Err(refused(&name, &refusal)),
    };
    made(&events).ok_or_else(|| Problem::new(500, "internal", "the revision was not recorded"))
}

/// The same once more with what its image's tag means now. `false`: it was not registered by a tag that is asked for, or
/// the registry does not say.
pub(super) fn put_newest(app: &Orchestrator, name: &str, by: &Caller) -> Result<bool, Problem> {
    let known = app.state.read(|c| c.function(name).map(|f| spec::settings(f.newest())));
    let Some((tag, known)) = known.and_then(|known| Some((images::unpinned(app, &known.image)?, known))) else {
        return Ok(false);
    };
    let image = rt::block_on(images::pinned(app, tag));
    if !image.contains('@') {
        return Ok(false); // as it was, it is at least the same everywhere
    }
    let revision = checked(types::FunctionSpec { image, ..known }, by)?;
    put_checked(app, revision, Put::Replace, by).map(|_| true)
}

/// A new revision of a function: what it has, with these settings over it. What another image runs and how is asked of
/// that one.
pub(super) fn put_over(app: &Orchestrator, name: &str, over: types::FunctionSpec, by: &Caller) -> Result<(), Problem> {
    let known = app.state.read(|c| c.function(name).map(|f| spec::settings(f.newest())));
    let mut base = known.ok_or_else(|| Problem::no_function(name))?;
    if !over.name.is_empty() && over.name != name {
        let detail = format!("name: is '{}', but the path says '{name}'; a function's name cannot change", over.name);
        return Err(Problem::new(400, "invalid_field", detail));
    }
    let image = if over.image.is_empty() { base.image.clone() } else { over.image.clone() };
    if image != base.image {
        base.mode = None;
        let is_bundle = |image: &str| bundle::digest_in(image).is_some();
        if is_bundle(&image) || is_bundle(&base.image) {
            (base.command, base.env) = (None, None); // a bundle's function.json says these
        }
    }
    // Of what is said now: a job that was once http has bounds that mean nothing.
    spec::check_job(&types::FunctionSpec { mode: over.mode.or(base.mode), ..over.clone() })?;
    let same = image == base.image;
    let spec = types::FunctionSpec { image, ..spec::merged(base, over) };
    let revision = match same {
        true => checked_any(app, spec, by)?,
        false => checked(with_manifest(app, spec)?, by)?,
    };
    put_checked(app, revision, Put::Replace, by).map(drop)
}

/// The revision that settings make, however they came. The one place to ask whether who sent them may open what is
/// shut by default.
fn checked(settings: types::FunctionSpec, by: &Caller) -> Result<Revision, Problem> {
    check_opens(&settings, by)?;
    Ok(Revision { by: by.text(), ..spec::revision(settings, clock::unix_ms())? })
}

/// The same of a function without an image, or one that is a server elsewhere, where calls may go.
pub(super) fn checked_any(app: &Orchestrator, settings: types::FunctionSpec, by: &Caller) -> Result<Revision, Problem> {
    check_opens(&settings, by)?;
    let settings = with_manifest(app, settings)?;
    Ok(Revision { by: by.text(), ..spec::any_revision(settings, clock::unix_ms())? })
}

fn check_opens(settings: &types::FunctionSpec, by: &Caller) -> Result<(), Problem> {
    if let Some(field) = settings.isolation.as_ref().and_then(types::Isolation::opens) {
        super::taken::may_open(field, by)?;
        log::warn!("Function '{}': {field} opens what is shut by default", settings.name);
    }
    Ok(())
}

/// With what the registry says its image's tag means now. A stored bundle says how it is run; the settings given stand
/// over it.
fn with_manifest(app: &Orchestrator, settings: types::FunctionSpec) -> Result<types::FunctionSpec, Problem> {
    let image = rt::block_on(images::pinned(app, settings.image));
    let settings = types::FunctionSpec { image, ..settings };
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
        Rejected::TooLarge { limit } => Problem::too_large("a bundle", limit).of_limit(Limit::BundleBytes),
        Rejected::Stalled => Problem::new(408, "body_timeout", "the upload stood still for too long: send it again")
            .of_limit(Limit::BodyS),
        Rejected::BrokenOff(why) => Problem::broken_off("the upload", why),
        Rejected::Bundle(error @ BundleError::Limit { .. }) => Problem::new(413, "too_large", error.to_string()),
        Rejected::Bundle(error) => Problem::new(400, "invalid_bundle", error.to_string()),
        Rejected::Disk { path, why } => {
            let detail = format!("cannot write {}: {why}. Nothing was changed; make room on that disk", path.display());
            Problem::new(507, "store_failed", detail)
        }
        Rejected::Store(error) => error.into(),
    }
}

pub(super) fn shown(app: &Orchestrator, name: &str) -> Result<types::Function, Problem> {
    let shown = app.state.read(|cluster| cluster.function(name).map(|f| view(f, cluster)));
    let last = app.events.last_of(name);
    let last_event =
        last.map(|e| types::LastEvent { time: e.time.clone(), kind: e.kind.clone(), message: e.message.clone() });
    let shown = shown.map(|shown| types::Function { last_event, ..with_runs(app, shown) });
    shown.ok_or_else(|| Problem::no_function(name))
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
            pull: (i.state == InstanceState::Starting)
                .then(|| cluster.node(i.node)?.pull_of(&i.revision.image))
                .flatten()
                .map(Into::into),
        })
        .collect();
    let any = |state: InstanceState| instances.iter().any(|i| i.status == state.word());
    let status = match () {
        () if function.stopped => "stopped",
        () if current.runs() == Runs::Nowhere => "no-image",
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
        secrets: settings.secrets.unwrap_or_default(),
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
        rate_per_s: settings.rate_per_s,
        calls_at_once: settings.calls_at_once,
        created_at: clock::rfc3339(current.created_unix_ms),
        updated_at: clock::rfc3339(current.updated_unix_ms),
        instances,
        in_flight: function.running + function.queue.len() as u64,
        calls: function.meter.took.count(),
        failures: function.meter.failures,
        p50_ms: function.recent.median_us().map(|us| us as f64 / 1e3),
        last_error: function.last_error.clone(),
        last_event: None,
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
        by: revision.by.clone(),
    }
}
