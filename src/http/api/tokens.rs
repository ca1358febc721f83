//! `/tokens`: make, list, revoke.

use super::page::Page;
use crate::auth::Scope;
use crate::http::openapi::{AFTER, Answer, Content, LIMIT, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply};
use crate::ids;
use crate::names;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::tokens::{Refused, TOKENS_MAX};
use crate::tls::JoinToken;
use crate::types::{JoinTokenSpec, Token, TokenMade, TokenSpec};

/// How long a join token is good when nothing else is said: a day, for it is copied by hand.
const JOIN_EXPIRES_S: u64 = 86_400;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listTokens",
    tag: "tokens",
    summary: "All tokens, without their secrets",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<Token>>()])],
    ..Operation::NONE
};

/// `GET /tokens`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Page::of(call, app.tokens.list(), |token| token.id.clone())?.reply())
}

/// What the document says of this.
pub const CREATE: Operation = Operation {
    id: "createToken",
    tag: "tokens",
    summary: "A new token; from the first one on, everybody needs one",
    body: &[Content::json::<TokenSpec>()],
    answers: &[Answer::of(201, "It is on disk. The secret is shown this once.")
        .with(&[Content::json::<TokenMade>()])
        .headers(&["Cache-Control"])],
    errors: &["name_taken", "too_many_tokens", "no_admin_token", "store_failed"],
    ..Operation::NONE
};

/// `POST /tokens`
pub fn create(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    told_once(app.tokens.create(call.json()?, call.by()))
}

/// What the document says of this.
pub const JOIN: Operation = Operation {
    id: "createJoinToken",
    tag: "tokens",
    summary: "A token for workers of other machines, with the fingerprint of the cluster's authority in it",
    body: &[Content::json::<JoinTokenSpec>()],
    answers: &[Answer::of(201, "It is on disk. The token is shown this once.")
        .with(&[Content::json::<TokenMade>()])
        .headers(&["Cache-Control"])],
    errors: &["name_taken", "too_many_tokens", "no_admin_token", "store_failed"],
    ..Operation::NONE
};

/// `POST /tokens/join`: one for workers of other machines
pub fn join(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let JoinTokenSpec { name, expires_s } = call.json()?;
    let name = name.unwrap_or_else(|| format!("join-{}", ids::random_hex(3)));
    let expires_s = Some(expires_s.unwrap_or(JOIN_EXPIRES_S));
    let spec = TokenSpec { name, scopes: vec![Scope::Worker.to_string()], expires_s, rate_per_s: None };
    let made = app
        .tokens
        .create_with(spec, call.by(), |secret| JoinToken { fingerprint: app.identities.fingerprint(), secret }.text());
    told_once(made)
}

fn told_once(made: Result<TokenMade, Refused>) -> Result<Reply, Problem> {
    Ok(Reply::json(201, &made.map_err(refused)?).with("Cache-Control", "no-store".into()))
}

/// What the document says of this.
pub const REVOKE: Operation = Operation {
    id: "revokeToken",
    tag: "tokens",
    summary: "Revokes a token, by id or name",
    answers: &[Answer::of(204, "It is worthless.")],
    errors: &["token_not_found", "last_admin_token", "store_failed"],
    ..Operation::NONE
};

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
        Refused::NotFound { id } => Problem::new(
            404,
            "token_not_found",
            format!("no token '{}' is known: 'cares token list' and GET /tokens show them", names::shown(&id)),
        ),
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
