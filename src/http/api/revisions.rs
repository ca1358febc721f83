//! `/functions/NAME/scale`, `/redeploy` and `/rollback`: what changes of a function without its settings being sent again.

use super::functions::shown;
use crate::clock;
use crate::cluster::{Command, Kept, Mode, Refusal};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::spec::INSTANCES_MAX;
use crate::types::{Rollback, Scale};

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

/// `POST /functions/NAME/redeploy`
pub fn redeploy(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let (function, which) = (call.param(0).into(), Kept::Newest);
    change(app, call, Command::PutAgain { function, which, unix_ms: clock::unix_ms() })
}

/// `POST /functions/NAME/rollback`
pub fn rollback(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let Rollback { revision } = if call.body.is_empty() { Rollback::default() } else { call.json()? };
    let which = revision.map_or(Kept::Before, Kept::Number);
    let function = call.param(0).into();
    change(app, call, Command::PutAgain { function, which, unix_ms: clock::unix_ms() })
}

fn change(app: &Orchestrator, call: &Call, command: Command) -> Result<Reply, Problem> {
    let name = call.param(0);
    match app.state.apply_kept(command, call.by()) {
        Ok(kept) => kept.map(drop)?,
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
