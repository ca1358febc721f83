//! Tests of an opened node and an opened function on the puppet screen.

use super::samples::{call, function, node, put_function, put_node, small};
use crate::client::canned;
use crate::tui::log::Line;
use crate::tui::orchestrator::detail::Detail;
use crate::tui::orchestrator::fetch::Subject;
use crate::tui::orchestrator::page::Page;
use crate::tui::puppet::Puppet;
use crate::tui::session::Session;
use crate::types::Node;
use std::thread::JoinHandle;

fn detail(
    columns: usize,
    rows: usize,
    subject: Subject,
    answers: Vec<String>,
) -> (Puppet, Session, JoinHandle<Vec<String>>) {
    let (url, server) = canned::serve(answers);
    let mut puppet = Puppet::new(columns, rows);
    let session = puppet.session(&url);
    session.update(small);
    puppet.runner.add_fullscreen_layer(cursive::views::TextView::new("what was below"));
    puppet.runner.add_fullscreen_layer(Page::new(&session, None, Detail::new(&session, subject)));
    (puppet, session, server)
}

fn calls(ids: &[&str]) -> String {
    let calls: Vec<_> = ids.iter().map(|id| call(id)).collect();
    canned::json("200 OK", &serde_json::to_string(&calls).unwrap())
}

fn log(session: &Session, text: &str) {
    let line = Line { time: "2026-01-01T12:34:56.000Z".into(), level: "info".into(), text: text.into() };
    session.update(|model| model.log.push(line));
}

fn web_1() -> Subject {
    Subject::Node("id-of-web-1".into())
}

#[test]
fn a_node_shows_all_of_it_and_asks_again_when_its_calls_change() {
    let (mut puppet, session, server) =
        detail(120, 40, web_1(), vec![calls(&["call-1"]), calls(&["call-2", "call-1"])]);
    for part in [
        "Node web-1",
        "id-of-web-1",
        "10.0.0.7:9000",
        "linux, x86_64",
        "8, 42 % used",
        "16.0 GiB",
        "zone=cellar",
        "links",
    ] {
        puppet.shows(part);
    }
    puppet.shows("hello"); // its instance
    puppet.shows("i-1");
    puppet.shows("call-1");
    puppet.shows("✓ succeeded");
    println!("{}", puppet.text());
    log(&session, "Node 'web-1' has joined the cluster");
    log(&session, "Node 'web-2' has joined the cluster");
    puppet.shows("[INFO] Node 'web-1' has joined");
    puppet.lacks("Node 'web-2' has joined");

    session.update(|model| put_node(model, Node { cpu_percent: Some(9.0), ..node("web-1") }));
    puppet.shows("8, 9 % used"); // no call: nothing is asked
    session.update(|model| put_node(model, Node { succeeded: 121, ..node("web-1") }));
    puppet.shows("call-2");
    let asked = server.join().unwrap();
    assert!(asked.iter().all(|ask| ask.starts_with("GET /calls?limit=100&node=id-of-web-1 ")), "{asked:?}");

    session.update(|model| drop(model.nodes.remove("id-of-web-1")));
    puppet.shows("gone: this is how it last was");
    puppet.types("d");
    puppet.shows("it is gone: esc goes back");
    puppet.types("\x1b");
    puppet.shows("what was below");
}

#[test]
fn a_function_shows_its_settings_instances_calls_and_what_it_printed() {
    let printed = r#"{"time":"2026-01-01T12:34:56.000Z","node":"n","source":"i-1","stream":"stdout","line":"hello \u001b[31mworld"}"#;
    let answers = vec![calls(&["call-1"]), canned::json("200 OK", printed)];
    let (mut puppet, session, server) = detail(120, 40, Subject::Function("hello".into()), answers);
    for part in [
        "Function hello",
        "nginx:1.27",
        "128 MiB",
        "0 to 20, 0 kept ready",
        "stopped after 300 s",
        "2  serving ",
        "bundle:01234567",
        "● running",
    ] {
        puppet.shows(part);
    }
    puppet.shows("web-1"); // where its instance is, by name
    puppet.shows("call-1");
    puppet.shows("hello  [31mworld");
    println!("{}", puppet.text());
    assert_eq!(server.join().unwrap().len(), 2);
    session.update(|model| {
        let mut idle = function("hello");
        idle.instances[0].status = "frozen".into();
        put_function(model, idle);
    });
    puppet.shows("◌ frozen");
    session.update(|model| {
        let failing = crate::types::Function {
            status: "failing".into(),
            last_error: Some("no such image".into()),
            ..function("hello")
        };
        put_function(model, failing);
    });
    puppet.shows("no such image");
    puppet.types("c");
    puppet.shows("a node is cordoned, a function is not");
}

#[test]
fn an_api_that_does_not_answer_is_said_in_the_pane() {
    let problem = r#"{"status":503,"detail":"the orchestrator is stopping","code":"stopping"}"#;
    let answers = vec![canned::json("503 Service Unavailable", problem)];
    let (mut puppet, ..) = detail(120, 30, web_1(), answers);
    puppet.shows("the orchestrator is stopping");
}

#[test]
fn every_size_is_drawn_and_tab_opens_each_pane() {
    for (columns, rows) in [(120, 40), (80, 24), (60, 20), (40, 10), (20, 5), (1, 1)] {
        let (mut puppet, session, _server) = detail(columns, rows, web_1(), vec![calls(&["call-1", "call-2"])]);
        log(&session, "Node 'web-1' has joined the cluster");
        if columns >= 40 {
            puppet.shows("Node web-1");
        }
        println!("{columns}x{rows}\n{}", puppet.text());
        puppet.types("\t\t");
        if columns >= 40 {
            puppet.shows("Recent invocations");
            puppet.shows("12:34:56  ✓ succeeded");
        }
        println!("{columns}x{rows} calls\n{}", puppet.text());
        puppet.types("\tjkGg\t");
    }
}
