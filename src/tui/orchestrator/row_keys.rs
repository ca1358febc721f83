//! What a key does to one node, function, task or pipeline: the same in its pane and on its own page.

use super::page::Did;
use crate::tui::forms::{ask, invoke, pipeline_ask, task_ask, viewer};
use crate::tui::keymap::Action;
use crate::tui::session::Session;
use crate::types::{Node, Pipeline, TaskSummary};

/// To a node.
pub fn node(session: &Session, action: Action, node: &Node) -> Did {
    let (session, node) = (session.clone(), node.clone());
    match action {
        Action::Logs => node_log(&session, &node.name),
        Action::Delete => Did::leads(move |siv| ask::remove_node(siv, &session, &node)),
        Action::Cordon => Did::leads(move |siv| ask::cordon(siv, &session, &node)),
        Action::Invoke => Did::Nothing(Some("a function is called, a node is not")),
        _ => Did::Nothing(None),
    }
}

/// What the log says of a node, which may be gone.
pub fn node_log(session: &Session, name: &str) -> Did {
    let (session, name) = (session.clone(), name.to_string());
    Did::leads(move |siv| viewer::open_log(siv, &session, Some(&name)))
}

/// To a function.
pub fn function(session: &Session, action: Action, name: &str) -> Did {
    let (session, name) = (session.clone(), name.to_string());
    match action {
        Action::Logs => Did::leads(move |siv| viewer::open_function(siv, &session, &name)),
        Action::Delete => Did::leads(move |siv| ask::delete_function(siv, &session, &name)),
        Action::Invoke => Did::leads(move |siv| invoke::open(siv, &session, &name)),
        Action::Cordon => Did::Nothing(Some("a node is cordoned, a function is not")),
        _ => Did::Nothing(None),
    }
}

/// To a task.
pub fn task(session: &Session, action: Action, task: &TaskSummary) -> Did {
    let (session, task, ended) = (session.clone(), task.clone(), task.state.ended());
    match action {
        Action::Logs => Did::leads(move |siv| viewer::open_task(siv, &session, &task.id, &task.name)),
        Action::Stop if ended => Did::Nothing(Some("it has ended: S starts it once more")),
        Action::Stop => Did::leads(move |siv| task_ask::ask(siv, &session, &task, false)),
        Action::Start if !ended => Did::Nothing(Some("it has not ended yet")),
        Action::Start => Did::leads(move |_| task_ask::start(&session, &task.id)),
        Action::Delete => Did::leads(move |siv| task_ask::ask(siv, &session, &task, ended)),
        _ => Did::Nothing(None),
    }
}

/// To a pipeline.
pub fn pipeline(session: &Session, action: Action, pipeline: &Pipeline) -> Did {
    let (session, pipeline) = (session.clone(), pipeline.clone());
    match (action, pipeline.status.as_str()) {
        (Action::Cancel, "running") => Did::leads(move |siv| pipeline_ask::cancel(siv, &session, &pipeline)),
        (Action::Cancel, "succeeded") => Did::Nothing(Some("it has ended: there is nothing to cancel")),
        (Action::Cancel, _) => Did::Nothing(Some("it has ended: r runs it again from what did not succeed")),
        (Action::Retry, "running") => Did::Nothing(Some("it runs: c cancels it")),
        (Action::Retry, "succeeded") => Did::Nothing(Some("all of it has succeeded: there is nothing to run again")),
        (Action::Retry, _) => Did::leads(move |_| pipeline_ask::retry(&session, &pipeline.id)),
        _ => Did::Nothing(None),
    }
}
