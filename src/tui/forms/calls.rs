//! Asynchronous calls from the command line of this screen: asked for, looked at, cancelled. Must never show what a
//! call answered: it may be of any size and kind.

use super::ask;
use super::rows;
use super::verbs::{self, Outcome};
use crate::cli::{self, CallsVerb};
use crate::client::{Body, Calls, Invoke, Later, Orchestrator, guess_type};
use crate::errors::Error;
use crate::tui::session::Session;
use crate::types::{Call, CallRecord};

/// Does what was typed behind `calls`.
pub fn run(session: &Session, verb: CallsVerb) -> Outcome {
    match verb {
        CallsVerb::List(flags) => {
            let format = flags.client().output.unwrap_or_default();
            let asynchronous = flags.later.then_some(true);
            let (function, status, limit) = (flags.function, flags.status, flags.limit.unwrap_or(0));
            let which = Calls { function, status, asynchronous, limit, ..Calls::default() };
            let head = ["ID", "FUNCTION", "STATUS", "ATTEMPTS", "STARTED"];
            let row = |c: &CallRecord| {
                [c.id.clone(), c.function.clone(), c.status.clone(), c.attempts.to_string(), c.started_at.clone()]
            };
            let job = move |client: &Orchestrator| client.find_calls(&which);
            verbs::answer_to(session, "Calls", job, move |found| rows::list(&found, format, head, row));
        }
        CallsVerb::Get(flags) => {
            let format = flags.client().output.unwrap_or_default();
            let id = flags.id.clone();
            let job = move |client: &Orchestrator| client.call(&id);
            verbs::answer_to(session, &flags.id, job, move |found| rows::one(&found, &found.id, format));
        }
        CallsVerb::Result(flags) => {
            let id = &flags.id;
            return Outcome::Refused(format!("A result may be large: cares calls result {id}, in a shell."));
        }
        CallsVerb::Cancel(flags) => {
            let id = flags.id.clone();
            told(session, format!("Cancelling {id}"), "Cancelled", move |client| client.cancel_call(&id));
        }
    }
    Outcome::Done
}

/// Asks for a call that runs when there is room.
pub fn invoke_later(session: &Session, flags: cli::Invoke) -> Outcome {
    let (body, mut headers) = (flags.data.unwrap_or_default().into_bytes(), flags.headers);
    if !body.is_empty() && !headers.iter().any(|(key, _)| key.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_string(), guess_type(&body).to_string()));
    }
    let (method, path) = (flags.method.unwrap_or_default().to_uppercase(), flags.path.unwrap_or_default());
    let body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
    let later = Later { callback: flags.callback, idempotency_key: flags.key };
    let (call, name) = (Invoke { method, path, headers, body, ..Default::default() }, flags.name);
    let job = move |client: &Orchestrator| client.invoke_later(&name, call, later);
    told(session, "Asking for a call".to_string(), "Accepted", job);
    Outcome::Done
}

/// Does it, and says so in the log.
fn told(
    session: &Session,
    doing: String,
    done: &'static str,
    job: impl FnOnce(&Orchestrator) -> Result<Call, Error> + Send + 'static,
) {
    let (after, title) = (session.clone(), format!("{doing} failed"));
    session.act(doing, job, move |siv, answer| match answer {
        Ok(call) => after.note("info", format!("{done} {} of '{}'", call.id, call.function)),
        Err(error) => {
            after.note("error", error.to_string());
            ask::failure(siv, &title, &error.to_string());
        }
    });
}
