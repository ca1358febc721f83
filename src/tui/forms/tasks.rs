//! What was typed behind `task` on the command line of this screen: done with the client, shown in a box or by its row.

use super::ask;
use super::rows;
use super::task_ask;
use super::verbs::{self, Outcome};
use super::viewer;
use crate::cli::{ClientOptions, TaskVerb};
use crate::client::{Orchestrator, Tasks};
use crate::settings;
use crate::tui::session::Session;
use crate::types::TaskSummary;
use cursive::Cursive;

/// What they all take.
pub fn options(verb: &TaskVerb) -> ClientOptions {
    match verb {
        TaskVerb::Run(flags) => flags.client(),
        TaskVerb::List(flags) => flags.client(),
        TaskVerb::Get(flags) => flags.client(),
        TaskVerb::Logs(flags) => flags.client(),
        TaskVerb::Stop(flags) => flags.client(),
        TaskVerb::Start(flags) => flags.client(),
        TaskVerb::Rm(flags) => flags.client(),
    }
}

/// Does it.
pub fn run(siv: &mut Cursive, session: &Session, verb: TaskVerb) -> Outcome {
    let format = options(&verb).output.unwrap_or_default();
    match verb {
        TaskVerb::Run(flags) if flags.wait || flags.follow => {
            return Outcome::Refused(
                "--wait and --follow are for a shell: here its row follows it, and l its log.".into(),
            );
        }
        TaskVerb::Run(flags) => {
            let request = match settings::task::request(&flags) {
                Ok(request) => request,
                Err(why) => return Outcome::Refused(why),
            };
            task_ask::submit(session, request, |siv, answer| {
                if let Err(error) = answer {
                    ask::failure(siv, "The task was not taken", &error.to_string());
                }
            });
        }
        TaskVerb::List(flags) if flags.watch => {
            return Outcome::Refused("--watch is for a shell: the pane Tasks follows them.".into());
        }
        TaskVerb::List(flags) => {
            let which = Tasks { state: flags.state, node: flags.node, name: flags.name, label: flags.label };
            let head = ["ID", "NAME", "STATE", "NODE", "IMAGE"];
            let row = |t: &TaskSummary| {
                let node = t.node_name.clone().unwrap_or_else(|| "none".into());
                [t.id.clone(), t.name.clone(), t.state.to_string(), node, t.image.clone()]
            };
            let job = move |client: &Orchestrator| client.tasks(&which);
            verbs::answer_to(session, "Tasks", job, move |found| rows::list(&found, format, head, row));
        }
        TaskVerb::Get(flags) => {
            let id = flags.id.clone();
            let job = move |client: &Orchestrator| client.task(&id);
            verbs::answer_to(session, &flags.id, job, move |found| rows::one(&found, &found.id, format));
        }
        TaskVerb::Logs(flags) => {
            let name = session.model().tasks.get(&flags.id).map_or(flags.id.clone(), |task| task.name.clone());
            viewer::open_task(siv, session, &flags.id, &name);
        }
        TaskVerb::Stop(flags) => task_ask::stop(session, &flags.id),
        TaskVerb::Start(flags) => task_ask::start(session, &flags.id),
        TaskVerb::Rm(flags) => {
            let known = session.model().tasks.get(&flags.id).cloned();
            match known {
                _ if flags.yes => task_ask::delete(session, &flags.id),
                Some(task) => task_ask::ask(siv, session, &task, task.state.ended()),
                None => return Outcome::Refused(format!("No task '{}' is known here.", flags.id)),
            }
        }
    }
    Outcome::Done
}
