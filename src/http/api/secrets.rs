//! `/secrets`: set, list, delete. Nothing here answers with a value.

use super::page::Page;
use crate::hidden::Hidden;
use crate::http::openapi::{AFTER, Answer, Content, LIMIT, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::names;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::secrets::{Refused, SECRETS_MAX};
use crate::types::Secret;
use crate::wire::SECRET_BYTES;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listSecrets",
    tag: "secrets",
    summary: "All secrets and the functions that are given them, without their values",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<Secret>>()])],
    ..Operation::NONE
};

/// `GET /secrets`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Page::of(call, app.secrets.list(&app.state), |secret| secret.name.clone())?.reply())
}

/// What the document says of this.
pub const SET: Operation = Operation {
    id: "setSecret",
    tag: "secrets",
    summary: "Sets a secret: the body is its value; http functions that are given it have a new revision for it",
    body: &[Content::Bytes("application/octet-stream")],
    answers: &[
        Answer::of(200, "It has a new value.").with(&[Content::json::<Secret>()]),
        Answer::of(201, "It is new.").with(&[Content::json::<Secret>()]),
    ],
    errors: &["invalid_field", "too_large", "too_many_secrets", "store_failed"],
    ..Operation::NONE
};

/// `PUT /secrets/NAME`: the body is the value
pub fn set(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let value = Hidden::new(call.body.clone());
    let secret = app.secrets.set(&app.state, call.param(0), &value, call.by())?;
    Ok(Reply::json(if secret.version == 1 { 201 } else { 200 }, &secret))
}

/// What the document says of this.
pub const DELETE: Operation = Operation {
    id: "deleteSecret",
    tag: "secrets",
    summary: "Deletes a secret that no function is given",
    answers: &[Answer::of(204, "It is gone.")],
    errors: &["secret_not_found", "secret_in_use", "store_failed"],
    ..Operation::NONE
};

/// `DELETE /secrets/NAME`
pub fn delete(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    app.secrets.delete(&app.state, call.param(0), call.by())?;
    Ok(Reply::nothing())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let conflict = |code, detail: String| Problem::new(409, code, detail);
        match refused {
            Refused::Field { field, why } => Problem::new(400, "invalid_field", format!("{field}: {why}")),
            Refused::TooLarge => Problem::too_large("a secret's value", SECRET_BYTES as u64),
            Refused::TooMany => {
                conflict("too_many_secrets", format!("this cluster has its {SECRETS_MAX} secrets: delete some first"))
            }
            Refused::Unknown { field, why } => Problem::new(400, "unknown_secret", format!("{field}: {why}")),
            Refused::NotFound { name } => Problem::new(
                404,
                "secret_not_found",
                format!("no secret '{}' is known: 'cares secret list' and GET /secrets show them", names::shown(&name)),
            ),
            Refused::InUse { name, by } => conflict(
                "secret_in_use",
                format!("the secret '{name}' is used by {}: delete or change what uses it first", by.join(", ")),
            ),
            Refused::NoRandomness => Problem::new(500, "internal", "the system gives no random bytes to seal it with"),
            Refused::Store(error) => error.into(),
        }
    }
}
