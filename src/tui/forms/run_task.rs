//! The form that has a task run.

use super::add::pairs;
use super::field::Field;
use super::form::{Form, Item};
use super::sending::{self, Sending, Wrong};
use super::task_ask;
use super::verbs::words;
use crate::settings;
use crate::tui::session::Session;
use crate::types::{RestartPolicy, TaskRequest};
use cursive::Cursive;

const IMAGE: &str = "Docker Image URL";
const NAME: &str = "Task Name";
const COMMAND: &str = "Command";
const PORTS: &str = "Ports";
const RESTART: &str = "Restart";
const ENV: &str = "Environment";
const MEMORY: &str = "Memory";

/// Characters a field takes: more than the server allows, so that the server's message says what it allows.
const NAME_LIMIT: usize = 100;
const IMAGE_LIMIT: usize = 1_000;
const TEXT_LIMIT: usize = 20_000;

/// Opens it over what is shown.
pub fn open(siv: &mut Cursive, session: &Session) {
    let items = vec![
        Item::Field(IMAGE, Field::line(IMAGE_LIMIT)),
        Item::Field(NAME, Field::line(NAME_LIMIT)),
        Item::Field(COMMAND, Field::line(TEXT_LIMIT)),
        Item::Choice(RESTART, &["never", "on-failure", "always"], 0),
        Item::Fold("advanced", false),
        Item::Field(PORTS, Field::line(NAME_LIMIT)),
        Item::Field(MEMORY, Field::line(NAME_LIMIT)),
        Item::Field(ENV, Field::area(TEXT_LIMIT, 2)),
        Item::Button("Run"),
    ];
    sending::open(siv, session, "task", ("Run a task", "run", ""), items, run);
}

fn run(siv: &mut Cursive, session: &Session, form: &Sending) {
    let Some(request) = form.take(siv, "Submitting…", request) else { return };
    let sent = form.clone();
    let started = task_ask::submit(session, request, move |siv, answer| sent.answered(siv, answer));
    form.started(siv, started);
}

/// What is to be sent; else the item that cannot be, and why. Whether it is right is the server's to say.
fn request(form: &Form) -> Result<TaskRequest, Wrong> {
    let image = form.value(IMAGE).trim();
    if image.is_empty() {
        return Err((IMAGE, format!("{IMAGE} is empty.")));
    }
    let ports = form.value(PORTS).split([',', ' ']).filter(|port| !port.is_empty());
    let restart = form.value(RESTART);
    let memory = form.value(MEMORY).trim();
    let size = (!memory.is_empty()).then(|| settings::task::size(MEMORY, memory));
    Ok(TaskRequest {
        image: image.into(),
        name: form.value(NAME).trim().into(),
        command: words(form.value(COMMAND)).map_err(|why| (COMMAND, format!("{COMMAND}: {why}")))?,
        ports: ports
            .map(|text| settings::task::port(PORTS, text))
            .collect::<Result<_, _>>()
            .map_err(|why| (PORTS, why))?,
        memory: size.transpose().map_err(|why| (MEMORY, why))?,
        env: pairs(form.value(ENV)).map_err(|why| (ENV, format!("{ENV}: {why}")))?.unwrap_or_default(),
        restart_policy: (restart != "never")
            .then(|| RestartPolicy { policy: restart.into(), ..RestartPolicy::default() }),
        ..TaskRequest::default()
    })
}
