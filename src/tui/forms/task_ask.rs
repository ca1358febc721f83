//! What is done with tasks: run, stopped and forgotten when it was said so, started. Must never do what was not chosen.

use super::ask::{change, plain};
use super::sheet::Sheet;
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::tui::session::{Session, Wanted};
use crate::types::{TaskRequest, TaskSummary};
use cursive::Cursive;

/// Whether to stop it, or to forget one that has ended.
pub fn ask(siv: &mut Cursive, session: &Session, task: &TaskSummary, forget: bool) {
    let TaskSummary { name, id, .. } = task;
    let on = task.node_name.as_ref().map(|node| format!(" on the node '{node}'")).unwrap_or_default();
    let state = task.state.to_string().to_lowercase();
    let (title, first, then, label) = match forget {
        true => {
            let then = format!("It is {state}. What it printed and why it ended are gone with it.");
            ("Forget a task", format!("Forget the task '{name}' ({id})?"), then, "Forget")
        }
        false => {
            let then = format!("It is {state}{on}. Its record is kept: S starts it once more, d forgets it.");
            ("Stop a task", format!("Stop the task '{name}' ({id})?"), then, "Stop")
        }
    };
    let (session, id) = (session.clone(), id.clone());
    Sheet::of(title, vec![plain(first), plain(""), plain(then)])
        .button(label, move |_| if forget { delete(&session, &id) } else { stop(&session, &id) })
        .button("Cancel", |_| {})
        .open(siv);
}

/// Has one run; the log tells how it went, and the pane shows its row. `false` as `Session::act`.
pub fn submit(
    session: &Session,
    request: TaskRequest,
    done: impl FnOnce(&mut Cursive, Result<(), Error>) + Send + 'static,
) -> bool {
    let (after, image) = (session.clone(), request.image.clone());
    let job = move |client: &Orchestrator| client.submit_task(&request);
    session.act(format!("Submitting {image}"), job, move |siv, answer| {
        let answer = match answer {
            Ok(task) => {
                after.note("info", format!("Submitted the task '{}' ({})", task.request.name, task.id));
                after.update(|model| model.wanted = Some(Wanted::Task(task.id)));
                Ok(())
            }
            Err(error) => {
                after.note("error", format!("The task of {image} was not taken: {error}"));
                Err(error)
            }
        };
        done(siv, answer);
    })
}

/// Stops it: someone has said so.
pub fn stop(session: &Session, id: &str) {
    let own = id.to_string();
    change(session, format!("Stopping {id}"), format!("The task {id} is told to end"), move |c| c.stop_task(&own));
}

/// Starts it once more.
pub fn start(session: &Session, id: &str) {
    let own = id.to_string();
    change(session, format!("Starting {id}"), format!("The task {id} starts once more"), move |c| c.start_task(&own));
}

/// Forgets it, or stops one that has not ended: someone has said so.
pub fn delete(session: &Session, id: &str) {
    let own = id.to_string();
    change(session, format!("Removing {id}"), format!("Removed the task {id}"), move |c| c.delete_task(&own));
}
