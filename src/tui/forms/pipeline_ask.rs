//! What is done with pipelines: run from a file, cancelled when it was said so, run again; what a module answered. Must
//! never do what was not chosen.

use super::answer;
use super::ask::{change, plain};
use super::field::Field;
use super::form::Item;
use super::sending::{self, Sending};
use super::sheet::Sheet;
use super::verbs;
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::tui::session::{Session, Wanted};
use crate::types::Pipeline;
use cursive::Cursive;

const FILE: &str = "File";
/// Characters of a path.
const FILE_LIMIT: usize = 4_000;

/// The form that has one run.
pub fn open(siv: &mut Cursive, session: &Session) {
    let items = vec![Item::Field(FILE, Field::line(FILE_LIMIT)), Item::Button("Run")];
    let hint = "Its document in JSON, on this machine: modules, and what they depend on.";
    sending::open(siv, session, "pipeline", ("Run a pipeline", "run", hint), items, run);
}

fn run(siv: &mut Cursive, session: &Session, form: &Sending) {
    let file = form.take(siv, "Submitting…", |form| match form.value(FILE).trim() {
        "" => Err((FILE, format!("{FILE} is empty."))),
        file => Ok(file.to_string()),
    });
    let Some(file) = file else { return };
    let sent = form.clone();
    let started = submit(session, &file, move |siv, answer| sent.answered(siv, answer));
    form.started(siv, started);
}

/// Has one run; the log tells how it went, and the pane shows its row. `false` as `Session::act`.
pub fn submit(
    session: &Session,
    file: &str,
    done: impl FnOnce(&mut Cursive, Result<(), Error>) + Send + 'static,
) -> bool {
    let (after, path, name) = (session.clone(), file.to_string(), file.to_string());
    let job = move |client: &Orchestrator| {
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| Error::BadRequest(format!("{path}: cannot be read: {error}")))?;
        let spec: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| Error::BadRequest(format!("{path}: is no JSON: {error}")))?;
        client.submit_pipeline(&spec, None)
    };
    session.act(format!("Submitting {file}"), job, move |siv, answer| {
        let answer = match answer {
            Ok(accepted) => {
                after.note("info", format!("Submitted the pipeline {} ({name})", accepted.id));
                after.update(|model| model.wanted = Some(Wanted::Pipeline(accepted.id)));
                Ok(())
            }
            Err(error) => {
                after.note("error", format!("The pipeline was not taken: {error}"));
                Err(error)
            }
        };
        done(siv, answer);
    })
}

/// Whether to cancel it.
pub fn cancel(siv: &mut Cursive, session: &Session, pipeline: &Pipeline) {
    let running = pipeline.counts.get("running").copied().unwrap_or(0);
    let then = match running {
        0 => "Nothing of it runs now, and nothing more is started.".to_string(),
        1 => "The module that runs is ended, and nothing more is started.".to_string(),
        more => format!("The {more} modules that run are ended, and nothing more is started."),
    };
    let named = pipeline.name.as_ref().map(|name| format!("'{name}' ")).unwrap_or_default();
    let rows = vec![
        plain(format!("Cancel the pipeline {named}({})?", pipeline.id)),
        plain(""),
        plain(then),
        plain("Modules that have ended keep their results, and r runs the rest again."),
    ];
    let (session, id) = (session.clone(), pipeline.id.clone());
    Sheet::of("Cancel a pipeline", rows)
        .button("Yes, cancel it", move |_| cancel_now(&session, &id))
        .button("No", |_| {})
        .open(siv);
}

/// Cancels it: someone has said so.
pub fn cancel_now(session: &Session, id: &str) {
    let own = id.to_string();
    change(session, format!("Cancelling {id}"), format!("Cancelled the pipeline {id}"), move |c| {
        c.cancel_pipeline(&own)
    });
}

/// Runs again what did not succeed.
pub fn retry(session: &Session, id: &str) {
    let own = id.to_string();
    change(session, format!("Running {id} again"), format!("The pipeline {id} runs again"), move |c| {
        c.retry_pipeline(&own)
    });
}

/// Shows what a module answered.
pub fn result(session: &Session, id: &str, module: &str) {
    let (id, name) = (id.to_string(), module.to_string());
    let job = move |client: &Orchestrator| client.module_result(&id, &name).map(answer::kept);
    verbs::answer_to(session, &format!("Result of {module}"), job, |rows| rows);
}
