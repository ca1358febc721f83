//! `/tokens`: make, list, revoke.

use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::tokens::{Refused, TOKENS_MAX};

/// `GET /tokens`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let (page, next) = super::page(call, app.tokens.list().into_iter(), |token| token.id.clone())?;
    let mut reply = Reply::json(200, &page);
    reply.headers.extend(next.map(|link| ("Link", link)));
    Ok(reply)
}

/// `POST /tokens`
pub fn create(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let made = app.tokens.create(call.json()?, call.by()).map_err(refused)?;
    let mut reply = Reply::json(201, &made);
    reply.headers.push(("Cache-Control", "no-store".into()));
    Ok(reply)
}

/// `DELETE /tokens/ID`, by id or name
pub fn revoke(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    app.tokens.revoke(call.param(0), call.by()).map_err(refused)?;
    Ok(Reply::nothing())
}

fn refused(refused: Refused) -> Problem {
    let conflict = |code, detail: &str| Problem::new(409, code, detail);
    match refused {
        Refused::Field { field, why } => Problem::new(400, "invalid_field", format!("{field}: {why}")),
        Refused::NameTaken { name } => {
            conflict("name_taken", &format!("a token '{name}' exists already: revoke it, or choose another name"))
        }
        Refused::TooMany => {
            conflict("too_many_tokens", &format!("this cluster has its {TOKENS_MAX} tokens: revoke some first"))
        }
        Refused::NotFound { id } => {
            Problem::new(404, "token_not_found", format!("no token '{id}' is known: GET /tokens lists them"))
        }
        Refused::NoAdmin => conflict(
            "no_admin_token",
            "from the first token on everybody needs one: make one with the scope admin that does not expire first",
        ),
        Refused::LastAdmin => conflict(
            "last_admin_token",
            "nobody could make tokens any more: make another with the scope admin that does not expire first",
        ),
        Refused::Store(error) => error.into(),
    }
}
