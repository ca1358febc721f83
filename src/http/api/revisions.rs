//! `/functions/NAME/scale`, `/redeploy` and `/rollback`: what changes of a function without its settings being sent again.

use super::functions::{put_newest, put_over, shown};
use crate::cluster::{Command, Kept, Mode, Refusal};
use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::spec::INSTANCES_MAX;
use crate::types::{self, Rollback, Scale};
use crate::{clock, rt};
use std::sync::Arc;

/// What the document says of this.
pub const SCALE: Operation = Operation {
    id: "scaleFunction",
    tag: "functions",
    summary: "Other bounds for instances, without a new revision; not of a job",
    body: &[Content::json::<Scale>()],
    answers: &[Answer::of(200, "The function.").with(&[Content::json::<types::Function>()])],
    errors: &["function_not_found", "store_failed"],
    ..Operation::NONE
};

/// `POST /functions/NAME/scale`
pub fn scale(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let Scale { min, max, ready } = call.json()?;
    for (field, value, low) in [("min", min, 0), ("ready", ready, 0), ("max", max, 1)] {
        if value.is_some_and(|value| !(low..=INSTANCES_MAX).contains(&value)) {
            return Err(Problem::new(400, "invalid_field", format!("{field}: must be {low} to {INSTANCES_MAX}")));
        }
    }
    if min.or(max).or(ready).is_none() {
        return Err(Problem::new(400, "invalid_field", "min: give min, max or ready, or several of them"));
    }
    let name = call.param(0);
    if app.state.read(|c| c.function(name).is_some_and(|f| f.current().mode == Mode::Job)) {
        let detail =
            format!("mode: '{name}' is a job, of which each call starts its own: only http functions are scaled");
        return Err(Problem::new(400, "invalid_field", detail));
    }
    let function = name.into();
    change(app, call, Command::Scale { function, min, max, ready })
}

/// What the document says of this.
pub const REDEPLOY: Operation = Operation {
    id: "redeployFunction",
    tag: "functions",
    summary: "The same once more as a new revision, for a tag that has moved; or with what is to be otherwise",
    body: &[Content::json::<types::FunctionSpec>()],
    body_optional: true,
    answers: &[Answer::of(200, "The function.").with(&[Content::json::<types::Function>()])],
    errors: &["function_not_found", "unknown_bundle", "unknown_secret", "store_failed"],
    ..Operation::NONE
};

/// `POST /functions/NAME/redeploy`
pub fn redeploy(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    if !call.body.is_empty() {
        put_over(app, call.param(0), call.json()?, call.by())?;
        return Ok(Reply::json(200, &shown(app, call.param(0))?));
    }
    if put_newest(app, call.param(0), call.by())? {
        return Ok(Reply::json(200, &shown(app, call.param(0))?));
    }
    let (function, which) = (call.param(0).into(), Kept::Newest);
    change(app, call, again(call, function, which))
}

/// What the document says of this.
pub const ROLLBACK: Operation = Operation {
    id: "rollbackFunction",
    tag: "functions",
    summary: "An earlier revision once more as a new one",
    body: &[Content::json::<Rollback>()],
    body_optional: true,
    answers: &[Answer::of(200, "The function.").with(&[Content::json::<types::Function>()])],
    errors: &["function_not_found", "revision_not_found", "unknown_secret", "store_failed"],
    ..Operation::NONE
};

/// `POST /functions/NAME/rollback`
pub fn rollback(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let Rollback { revision } = if call.body.is_empty() { Rollback::default() } else { call.json()? };
    let which = revision.map_or(Kept::Before, Kept::Number);
    let function = call.param(0).into();
    change(app, call, again(call, function, which))
}

fn again(call: &Call, function: Arc<str>, which: Kept) -> Command {
    Command::PutAgain { function, which, unix_ms: clock::unix_ms(), by: call.by().text() }
}

pub(super) fn change(app: &Orchestrator, call: &Call, command: Command) -> Result<Reply, Problem> {
    let name = call.param(0);
    let which = match &command {
        Command::PutAgain { which, .. } => Some(*which),
        _ => None,
    };
    // One that is gone back to may use a secret that has been deleted since.
    let again = which.and_then(|which| app.state.read(|c| c.function(name)?.kept(which).cloned()));
    let uses = again.map(|revision| revision.secrets.clone()).unwrap_or_default();
    match app.secrets.with(&uses, || app.state.apply_by(command, call.by()))? {
        Ok(applied) => rt::block_on(applied.kept()).map(drop)?,
        Err(refusal) => return Err(refused(name, refusal)),
    }
    Ok(Reply::json(200, &shown(app, name)?))
}

fn refused(name: &str, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownRevision { kept } => {
            let there = match &kept[..] {
                [] => "there is no other".into(),
                [one] => format!("the only one kept is {one}"),
                more => format!("those kept are {}", more.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
            };
            let detail = format!("function '{name}' has no such revision to go back to; {there}");
            Problem::new(404, "revision_not_found", detail)
        }
        Refusal::BadScale { field, max } => {
            Problem::new(400, "invalid_field", format!("{field}: must be at most max, which is {max}"))
        }
        _ => Problem::no_function(name),
    }
}
