//! The paths of a small serverless platform, on the same functions as every other face: `/register`, `/list`, `/start`,
//! `/stop`, `/delete`. `/function`, `/logs` and `/health` are those of the other faces.

use super::functions::{LABEL, checked_any, put_checked, shown};
use super::revisions::change;
use crate::auth::Caller;
use crate::bundle;
use crate::cluster::{Command, Put, Revision, Runs};
use crate::http::openapi::{AFTER, Answer, Content, LIMIT, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::endpoints::Endpoint;
use crate::orchestrator::spec;
use crate::rt;
use crate::types::{Deleted, Function, FunctionSpec, Mode, PlatformFunction, Registration};
use std::collections::BTreeMap;

/// What the document says of this.
pub const REGISTER: Operation = Operation {
    id: "registerPlatformFunction",
    tag: "platform",
    summary: "Makes a function, or a new revision of it with what is said; unknown fields are ignored",
    body: &[Content::json::<Registration>()],
    answers: &[Answer::of(200, "It is on disk.").with(&[Content::json::<PlatformFunction>()])],
    errors: &[
        "function_not_found",
        "endpoint_not_allowed",
        "unknown_bundle",
        "unknown_secret",
        "too_many_functions",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `POST /register`
pub fn register(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let said: Registration = call.json()?;
    let name = said.name.clone();
    let known = app.state.read(|c| c.function(&name).map(|f| spec::settings(f.newest())));
    let settings = settings(app, known.unwrap_or_default(), said, call.by())?;
    let again = app.state.read(|c| c.function(&name).is_some_and(|f| f.newest().image == settings.image));
    let revision = checked_any(app, settings, call.by())?;
    // The same name once more: it may mean another image by now.
    put_checked(app, Revision { fresh: again, ..revision }, Put::Any, call.by())?;
    Ok(Reply::json(200, &row(&shown(app, &name)?)))
}

/// What was known with what is said put over it.
fn settings(app: &Orchestrator, known: FunctionSpec, said: Registration, by: &Caller) -> Result<FunctionSpec, Problem> {
    let invalid = |detail: &str| Err(Problem::new(400, "invalid_field", detail));
    let image = said.image.filter(|image| !image.is_empty());
    let endpoint = said.endpoint.filter(|endpoint| !endpoint.is_empty());
    let mut settings = FunctionSpec { name: said.name, ..known.clone() };
    match (image, endpoint) {
        (Some(_), Some(_)) => return invalid("endpoint: stands in place of an image: give one of them"),
        (Some(image), None) if Runs::of(&image) == Runs::Elsewhere => {
            return invalid("image: is an address: give it as endpoint");
        }
        (Some(image), None) => settings.image = image,
        (None, Some(endpoint)) => settings.image = allowed(app, &endpoint, by)?,
        (None, None) => {}
    }
    let runs = Runs::of(&settings.image);
    if settings.image != known.image {
        // Another image has a command and a mode of its own.
        (settings.command, settings.mode) = (None, (runs == Runs::Elsewhere).then_some(Mode::Http));
    }
    match said.port {
        None => {}
        Some(_) if runs == Runs::Elsewhere => return invalid("port: is an image's; an endpoint names its own"),
        Some(port) if !(1..=65_535).contains(&port) => return invalid("port: must be 1 to 65535"),
        Some(port) => {
            settings.env.get_or_insert_default().insert(PORT.into(), port.to_string());
            settings.mode = bundle::digest_in(&settings.image).is_none().then_some(Mode::Http).or(settings.mode);
        }
    }
    Ok(settings)
}

/// What an image listens at.
const PORT: &str = "PORT";

/// The address as it is kept, if calls may go there.
fn allowed(app: &Orchestrator, endpoint: &str, by: &Caller) -> Result<String, Problem> {
    let read =
        Endpoint::read(endpoint).map_err(|why| Problem::new(400, "invalid_field", format!("endpoint: {why}")))?;
    let looked = rt::block_on(app.http_workers.endpoints().look_up_function(&read, by.from));
    looked.map_err(|why| Problem::new(400, "endpoint_not_allowed", format!("endpoint: {why}")))?;
    Ok(read.to_string())
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listPlatformFunctions",
    tag: "platform",
    summary: "All functions, an object by name",
    parameters: &[LIMIT, AFTER, LABEL],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<BTreeMap<String, PlatformFunction>>()])],
    ..Operation::NONE
};

/// `GET /list`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let by_name = |page: Vec<Function>| page.iter().map(|f| (f.name.clone(), row(f))).collect::<BTreeMap<_, _>>();
    Ok(super::functions::page(app, call)?.reply_as(|page| Reply::json(200, &by_name(page))))
}

/// What the document says of this.
pub const START: Operation = Operation {
    id: "startFunction",
    tag: "platform",
    summary: "Starts a function: it takes calls, and an http function has an instance",
    answers: &[Answer::of(200, "It is on disk, and starts.").with(&[Content::json::<PlatformFunction>()])],
    errors: &["function_not_found", "store_failed"],
    ..Operation::NONE
};

/// `POST /start/NAME`
pub fn start(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    set_stopped(app, call, false)
}

/// What the document says of this.
pub const STOP: Operation = Operation {
    id: "stopFunction",
    tag: "platform",
    summary: "Stops a function until it is started: what runs ends, what waits and comes is refused",
    answers: &[Answer::of(200, "It is on disk.").with(&[Content::json::<PlatformFunction>()])],
    errors: &["function_not_found", "store_failed"],
    ..Operation::NONE
};

/// `POST /stop/NAME`
pub fn stop(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    set_stopped(app, call, true)
}

fn set_stopped(app: &Orchestrator, call: &Call, stopped: bool) -> Result<Reply, Problem> {
    let name = call.param(0);
    change(app, call, Command::SetStopped { function: name.into(), stopped })?;
    Ok(Reply::json(200, &row(&shown(app, name)?)))
}

/// What the document says of this.
pub const DELETE: Operation = Operation {
    id: "deletePlatformFunction",
    tag: "platform",
    summary: "Deletes a function, its revisions and its instances",
    answers: &[Answer::of(200, "It is gone.").with(&[Content::json::<Deleted>()])],
    errors: &["function_not_found", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /delete/NAME`
pub fn delete(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    super::functions::delete(app, call)?;
    Ok(Reply::json(200, &Deleted { name: call.param(0).into(), status: "deleted".into() }))
}

fn row(f: &Function) -> PlatformFunction {
    let is = |runs| Some(f.image.clone()).filter(|image| Runs::of(image) == runs);
    PlatformFunction {
        name: f.name.clone(),
        image: is(Runs::OnNodes),
        endpoint: is(Runs::Elsewhere),
        port: f.env.get(PORT).and_then(|port| port.parse().ok()),
        status: f.status.clone(),
        running: f.status == "running",
        instances: u32::try_from(f.instances.len()).unwrap_or(u32::MAX),
        revision: f.revision,
        path: format!("/function/{}", f.name),
        created_at: f.created_at.clone(),
        updated_at: f.updated_at.clone(),
        last_error: f.last_error.clone(),
    }
}
