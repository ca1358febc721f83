//! Tests of tasks on the puppet screen: their pane, one opened, the form that runs one.

use super::samples::{live, put_task, small, task};
use super::{NOWHERE, dashboard_of};
use crate::client::canned;
use crate::tui::forms::command_line;
use crate::tui::orchestrator::page::Page;
use crate::tui::orchestrator::task::Task;
use crate::tui::puppet::Puppet;
use crate::tui::session::Session;
use crate::types::{ImagePull, TaskPhase, TaskStatus, TaskSummary};

fn dashboard(columns: usize, rows: usize, url: &str) -> (Puppet, Session) {
    dashboard_of(columns, rows, url, |model| {
        small(model);
        put_task(model, task("cache", TaskPhase::Running));
        let reason = Some("exit code 3, 5 restarts within 600 s".into());
        put_task(model, TaskSummary { restarts: 5, reason, exit_code: Some(3), ..task("loop", TaskPhase::Failed) });
        let nowhere = TaskSummary { node: None, node_name: None, ..task("waits", TaskPhase::Pending) };
        put_task(model, nowhere);
    })
}

fn answer(name: &str) -> String {
    let mut status = TaskStatus { id: format!("t-{name}"), ..TaskStatus::default() };
    status.request.name = name.into();
    canned::json("201 Created", &serde_json::to_string(&status).unwrap())
}

#[test]
fn tasks_stand_behind_functions_and_beside_them_where_there_is_room() {
    for (columns, rows) in [(80, 24), (120, 30), (40, 10)] {
        let (mut puppet, session) = dashboard(columns, rows, NOWHERE);
        puppet.shows("Registered Functions (2)");
        puppet.types("\t\t");
        for part in ["━ Tasks (3)", "cache", "● Running"] {
            puppet.shows(part);
        }
        if columns >= 80 {
            ["F Functions (2)  P Pipelines ━", "✗ Failed", "○ Pending", "web-1", "none"]
                .iter()
                .for_each(|p| puppet.shows(p));
            puppet.shows("a run  l logs  s stop  S start  d delete");
        }
        println!("{}", puppet.text());
        session.update(|model| put_task(model, task("cache", TaskPhase::Stopping)));
        puppet.shows("◑ Stopping");
        puppet.types("/fail\n");
        puppet.lacks("cache");
        puppet.types("\x1b2");
        puppet.shows("cache");
    }
    let (mut puppet, _session) = dashboard(200, 50, NOWHERE);
    ["Registered Functions (2) ─", "Tasks (3) ─", "P50", "RESTARTS"].iter().for_each(|part| puppet.shows(part));
    println!("{}", puppet.text());
}

#[test]
fn no_tasks_say_what_to_type_and_keys_that_do_nothing_say_why() {
    let (mut puppet, session) = dashboard(80, 24, NOWHERE);
    session.update(|model| {
        live(model);
        model.tasks.clear();
    });
    puppet.types("\t\t");
    puppet.shows("No tasks yet.");
    puppet.shows("cares task run IMAGE");
    puppet.types("s");
    puppet.shows("nothing is selected");
    session.update(|model| put_task(model, task("cache", TaskPhase::Running)));
    puppet.types("S");
    puppet.shows("it has not ended yet");
    session.update(|model| put_task(model, task("cache", TaskPhase::Stopped)));
    puppet.types("s");
    puppet.shows("S starts it once more");
}

#[test]
fn stopping_and_forgetting_ask_and_the_default_changes_nothing() {
    let (url, server) = canned::serve(vec![answer("cache")]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    puppet.types("\t\t");
    for key in ["s", "d"] {
        puppet.types(key);
        puppet.shows("Stop the task 'cache' (t-cache)?");
        puppet.types("\n");
        puppet.gone("Stop the task");
        assert!(session.model().busy.is_empty());
    }
    puppet.types("jd");
    puppet.shows("Forget the task 'loop'");
    puppet.types("\x1bks");
    puppet.shows("Stop the task");
    println!("{}", puppet.text());
    puppet.types("s\n");
    puppet.until(|| session.model().log.lines().any(|line| line.text == "The task t-cache is told to end"));
    assert!(server.join().unwrap()[0].starts_with("POST /api/v1/manager/tasks/t-cache/stop "));
}

#[test]
fn one_opened_says_all_and_that_it_is_gone() {
    for (columns, rows) in [(80, 24), (200, 50), (40, 10), (10, 4)] {
        let (mut puppet, session) = dashboard(columns, rows, NOWHERE);
        let failed = session.model().tasks.get("t-loop").cloned().expect("it");
        puppet.runner.add_fullscreen_layer(Page::new(&session, None, Task::new(&session, &failed)));
        if columns < 80 {
            puppet.types("\tjk\t");
            continue;
        }
        for part in ["Task loop", "✗ Failed", "exit code 3, 5 restarts within 600 s", "redis:7", "Log, what it prints"]
        {
            puppet.shows(part);
        }
        println!("{}", puppet.text());
        let pull = Some(ImagePull { layers: 5, layers_done: 2, bytes: 45_600_000, bytes_done: 12_300_000 });
        session.update(|model| {
            put_task(model, TaskSummary { pull, ..task("loop", TaskPhase::Scheduled) });
        });
        puppet.shows("pulling its image: 12.3 of 45.6 MB, 2 of 5 layers");
        session.update(|model| put_task(model, task("loop", TaskPhase::Running)));
        puppet.gone("pulling its image");
        session.update(|model| drop(model.tasks.remove("t-loop")));
        puppet.shows("gone: this is how it last was");
        puppet.types("S");
        puppet.shows("it is gone: esc goes back");
        puppet.types("\x1b");
        puppet.gone("Task loop");
    }
}

#[test]
fn a_form_runs_one_and_its_row_is_selected() {
    let (url, server) = canned::serve(vec![answer("echo")]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    puppet.types("\t\ta");
    puppet.shows("Run a task");
    puppet.types("\n");
    puppet.shows("Docker Image URL is empty.");
    puppet.types("alpine:3.20\techo\tsh -c 'echo hi'\t\t\n\tx\n");
    puppet.shows("Ports 'x': it must look like");
    println!("{}", puppet.text());
    puppet.types("\x7f8080:80 53/udp\n");
    puppet.gone("Run a task");
    let asked = server.join().unwrap();
    let body = r#"{"name":"echo","image":"alpine:3.20","command":["sh","-c","echo hi"],"ports":[{"container":80,"host":8080},{"container":53,"protocol":"udp"}]}"#;
    assert!(asked[0].starts_with("POST /api/v1/manager/tasks ") && asked[0].ends_with(body), "{}", asked[0]);
    session.update(|model| put_task(model, task("echo", TaskPhase::Running)));
    puppet.shows("━ Tasks (4)");
    puppet.types("s");
    puppet.shows("Stop the task 'echo'");
}

#[test]
fn the_command_line_knows_tasks() {
    let (url, server) = canned::serve(vec![answer("x"), answer("cache"), canned::with("204 No Content", "", "")]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    for (line, says) in [
        ("task run alpine:3.20 -- sh -c 'echo hi'", "Submitted the task 'x' (t-x)"),
        ("task start t-loop", "The task t-loop starts once more"),
        ("task rm t-loop --yes", "Removed the task t-loop"),
    ] {
        command_line::open(&mut puppet.runner, &session);
        puppet.types(line);
        puppet.types("\n");
        puppet.until(|| session.model().log.lines().any(|line| line.text == says));
    }
    let asked = server.join().unwrap();
    assert!(asked[0].ends_with(r#"{"image":"alpine:3.20","command":["sh","-c","echo hi"]}"#), "{}", asked[0]);
    assert!(asked[2].starts_with("DELETE /api/v1/manager/tasks/t-loop "), "{}", asked[2]);
    for (line, says) in [
        ("task run a --wait", "for a shell"),
        ("task list --watch", "the pane Tasks follows them"),
        ("task rm t-none", "No task 't-none' is known here."),
        ("task run", "image"),
    ] {
        command_line::open(&mut puppet.runner, &session);
        puppet.types(line);
        puppet.types("\n");
        puppet.shows(says);
        puppet.types("\x1b");
    }
    command_line::open(&mut puppet.runner, &session);
    puppet.types("task rm t-l\t\n");
    puppet.shows("Forget the task 'loop'");
}
