//! Tests of pipelines on the puppet screen: their pane, one opened, what is asked before they are changed.

use super::samples::{live, pipeline, put_pipeline, put_task, small, task};
use super::{NOWHERE, dashboard_of};
use crate::client::canned;
use crate::tui::forms::command_line;
use crate::tui::orchestrator::pipeline;
use crate::tui::puppet::Puppet;
use crate::tui::session::Session;
use crate::types::{Pipeline, TaskPhase};
use cursive::Vec2;
use cursive::event::{Event, Key, MouseButton, MouseEvent};

const RELEASE: [&str; 5] = [
    "build succeeded",
    "spelling failed build",
    "size running build",
    "digest pending build",
    "report pending build,spelling,size,digest",
];

fn dashboard(columns: usize, rows: usize, url: &str) -> (Puppet, Session) {
    dashboard_of(columns, rows, url, |model| {
        small(model);
        put_pipeline(model, pipeline("release", &RELEASE));
        for (year, name, modules) in [("2025", "good", "a succeeded"), ("2024", "nightly", "a failed")] {
            let pipeline = pipeline(name, &[modules]);
            let [submitted_at, ended_at] = [Some(&pipeline.submitted_at), pipeline.ended_at.as_ref()]
                .map(|time| time.expect("a time").replace("2026", year));
            put_pipeline(model, Pipeline { submitted_at, ended_at: Some(ended_at), ..pipeline });
        }
    })
}

/// Its page over an empty screen, its modules as the orchestrator tells them.
fn opened(columns: usize, rows: usize, states: &[Pipeline]) -> (Puppet, Session) {
    let put = |p: &Pipeline| format!("event: put\ndata: {}\n\n", serde_json::to_string(p).expect("JSON"));
    let stream = |states: &[Pipeline]| {
        let body = states.iter().map(put).collect::<String>() + "event: synced\ndata: {}\n\n";
        canned::with("200 OK", "content-type: text/event-stream\r\n", &body)
    };
    // It ends, and is asked for again.
    let mut answers = vec![stream(&states[states.len() - 1..]); 200];
    answers[0] = stream(states);
    let (url, _server) = canned::serve(answers);
    let mut puppet = Puppet::new(columns, rows);
    let session = puppet.session(&url);
    let last = states.last().expect("one").clone();
    session.update(|model| {
        small(model);
        put_pipeline(model, last.clone());
    });
    puppet.runner.add_fullscreen_layer(pipeline::page(&session, &last, None));
    (puppet, session)
}

fn answered(name: &str) -> String {
    canned::json("200 OK", &serde_json::to_string(&pipeline(name, &RELEASE)).expect("JSON"))
}

#[test]
fn a_key_goes_to_each_pane_and_those_without_rows_take_no_room() {
    let (mut puppet, session) = dashboard(80, 24, NOWHERE);
    puppet.shows("─ T Tasks  P Pipelines (3) ─");
    for (key, heading) in [
        ("P", "━━ Pipelines (3) ━"),
        ("L", "━━ Log ━"),
        ("T", "━━ Tasks ━"),
        ("F", "━━ Registered Functions (2) ━"),
        ("N", "━━ Nodes (4) ━"),
    ] {
        puppet.types(key);
        puppet.shows(heading);
    }
    // What has no rows makes way, unless someone looks at it.
    session.update(|model| model.functions.clear());
    puppet.shows("─ Pipelines (3) ─");
    puppet.types("F");
    puppet.shows("No functions yet.");
    let (mut puppet, session) = dashboard(160, 45, NOWHERE);
    for part in ["─ Registered Functions (2) ─", "─ Pipelines (3) ─", "─ T Tasks ─┐"] {
        puppet.shows(part);
    }
    println!("{}", puppet.text());
    session.update(|model| put_task(model, task("cache", TaskPhase::Running)));
    puppet.shows("─ Tasks (1) ─");
    puppet.lacks("T Tasks");
    println!("{}", puppet.text());
}

#[test]
fn a_click_on_a_name_goes_there_too() {
    for (columns, rows) in [(80, 24), (120, 30), (60, 12)] {
        let (mut puppet, _session) = dashboard(columns, rows, NOWHERE);
        let text = puppet.text();
        let name = if text.contains("P Pipelines (3)") { "P Pipelines (3)" } else { "P (3)" };
        let (y, line) = text.lines().enumerate().find(|(_, line)| line.contains(name)).expect("its name");
        let x = crate::tui::text::width(line.split(name).next().unwrap_or_default());
        let event = MouseEvent::Press(MouseButton::Left);
        puppet.press(Event::Mouse { offset: Vec2::zero(), position: Vec2::new(x, y), event });
        puppet.shows("━ Pipelines (3) ━");
    }
}

#[test]
fn their_rows_say_how_far_they_are_the_newest_first() {
    let (mut puppet, session) = dashboard(80, 24, NOWHERE);
    puppet.types("P");
    let text = puppet.text();
    println!("{text}");
    let at = |name: &str| text.find(name).unwrap_or_else(|| panic!("no {name} in:\n{text}"));
    assert!(at("release") < at("good") && at("good") < at("nightly"), "{text}");
    for part in ["◐ running", "2/5", "✗ failed", "1/1", "65.0 s", "c cancel  r retry"] {
        puppet.shows(part);
    }
    let mut states = RELEASE;
    states[2] = "size succeeded build";
    session.update(|model| put_pipeline(model, pipeline("release", &states)));
    puppet.shows("3/5");
    puppet.types("/night\n");
    puppet.shows("Pipelines (1 of 3) · /night esc clears");
    puppet.types("\x1b1");
    puppet.shows("NAME▲");
    puppet.types("g");
    puppet.types("c");
    puppet.shows("it has ended: there is nothing to cancel"); // good, the first by name
}

#[test]
fn without_pipelines_it_says_what_to_type() {
    let (mut puppet, session) = dashboard(80, 24, NOWHERE);
    session.update(|model| {
        live(model);
        model.pipelines.clear();
    });
    puppet.types("P");
    puppet.shows("No pipelines yet.");
    puppet.shows("  cares pipeline run FILE");
    puppet.types("c");
    puppet.shows("nothing is selected");
}

#[test]
fn one_opened_is_a_tree_that_lives() {
    for (columns, rows) in [(80, 24), (160, 45), (40, 10), (10, 4)] {
        let mut next = RELEASE;
        next[2] = "size succeeded build";
        let (mut puppet, session) = opened(columns, rows, &[pipeline("release", &RELEASE), pipeline("release", &next)]);
        if columns < 80 {
            puppet.types("\tjk\t\t/x\x1b");
            puppet.text();
            continue;
        }
        for part in ["Pipeline release", "3/5 modules", "├ spelling", "└ digest", "  └ report", "✓ succeeded", "web-1"]
        {
            puppet.shows(part);
        }
        println!("{}", puppet.text());
        puppet.types("j");
        puppet.shows("─ Module spelling ");
        puppet.shows("exit code 2: the spelling is wrong");
        puppet.types("\n");
        puppet.shows("it left no result");
        // Sorted otherwise it is no tree.
        puppet.types("2");
        puppet.shows("STATE▲");
        puppet.lacks("├");
        puppet.types("1/siz\n");
        puppet.shows("Modules (1 of 5) · /siz esc clears");
        puppet.types("\x1b");
        puppet.shows("└ digest");
        puppet.types("G");
        puppet.shows("─ Module report ");
        puppet.types("\n");
        puppet.shows("it has not ended yet");
        puppet.press(Event::Key(Key::Tab));
        puppet.shows("━ Module report ");
        session.update(|model| drop(model.pipelines.remove("p-release")));
        puppet.shows("gone: this is how it last was");
        puppet.types("c");
        puppet.shows("it is gone: esc goes back");
        puppet.types("\x1b");
        puppet.gone("Pipeline release");
    }
}

#[test]
fn what_has_come_further_is_shown_whoever_told_it() {
    let mut ended = RELEASE.map(|line| line.replace("running", "cancelled").replace("pending", "cancelled"));
    let cancelled = pipeline("release", &ended.each_ref().map(String::as_str));
    let (mut puppet, session) = opened(80, 24, std::slice::from_ref(&cancelled));
    puppet.shows("– cancelled  █");
    session.update(|model| put_pipeline(model, pipeline("release", &RELEASE))); // the list is late
    puppet.types("r");
    puppet.lacks("it runs: c cancels it");
    ended[0] = "build running".into();
    let again = Pipeline { runs: 2, ..pipeline("release", &ended.each_ref().map(String::as_str)) };
    session.update(|model| put_pipeline(model, again));
    puppet.shows("run 2");
    puppet.shows("◐ running  █");
}

#[test]
fn cancelling_asks_and_the_default_changes_nothing() {
    let (url, server) = canned::serve(vec![answered("release")]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    puppet.types("Pc");
    puppet.shows("Cancel the pipeline 'release' (p-release)?");
    puppet.shows("The module that runs is ended");
    puppet.types("\n");
    puppet.gone("Cancel the pipeline");
    assert!(session.model().busy.is_empty());
    puppet.types("r");
    puppet.shows("it runs: c cancels it");
    puppet.types("cy\n");
    puppet.until(|| session.model().log.lines().any(|line| line.text == "Cancelled the pipeline p-release"));
    assert!(server.join().expect("the server")[0].starts_with("POST /api/pipelines/p-release/cancel "));
}

#[test]
fn one_that_failed_runs_again_and_a_result_is_shown() {
    let text = canned::with("200 OK", "content-type: text/plain\r\n", "all is well\n");
    let (url, server) = canned::serve(vec![answered("nightly"), text]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    puppet.types("PGr");
    puppet.until(|| session.model().log.lines().any(|line| line.text == "The pipeline p-nightly runs again"));
    command_line::open(&mut puppet.runner, &session);
    puppet.types("pipeline result p-good a\n");
    puppet.shows("all is well");
    puppet.shows("200 OK");
    let asked = server.join().expect("the server");
    assert!(asked[0].starts_with("POST /api/pipelines/p-nightly/retry "), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /api/pipelines/p-good/modules/a/result "), "{}", asked[1]);
}

#[test]
fn a_form_runs_a_file_and_its_row_is_selected() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("release.json");
    std::fs::write(&file, r#"{"modules":[{"name":"a","function":"f"}]}"#).expect("a file");
    let (url, server) = canned::serve(vec![canned::json("201 Created", r#"{"id":"p-new"}"#)]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    puppet.types("Pa");
    puppet.shows("Run a pipeline");
    puppet.types("/nowhere/at-all\n");
    puppet.shows("/nowhere/at-all: cannot be read");
    puppet.press(Event::CtrlChar('u'));
    puppet.types(file.to_str().expect("UTF-8"));
    puppet.types("\n");
    puppet.gone("Run a pipeline");
    let asked = server.join().expect("the server");
    assert!(asked[0].starts_with("POST /api/pipelines "), "{}", asked[0]);
    assert!(asked[0].ends_with(r#"{"modules":[{"function":"f","name":"a"}]}"#), "{}", asked[0]);
    session.update(|model| put_pipeline(model, Pipeline { id: "p-new".into(), ..pipeline("fresh", &["a running"]) }));
    puppet.types("c");
    puppet.shows("Cancel the pipeline 'fresh' (p-new)?");
}

#[test]
fn the_command_line_knows_pipelines() {
    let (url, server) = canned::serve(vec![answered("release")]);
    let (mut puppet, session) = dashboard(80, 24, &url);
    for (line, says) in [
        ("pipeline run x.json --follow", "for a shell"),
        ("pipeline list --watch", "the pane Pipelines follows them"),
        ("pipeline run -", "name a file"),
    ] {
        command_line::open(&mut puppet.runner, &session);
        puppet.types(line);
        puppet.types("\n");
        puppet.shows(says);
        puppet.types("\x1b");
    }
    command_line::open(&mut puppet.runner, &session);
    puppet.types("pipeline cancel p-rel\t\n");
    puppet.shows("Cancel the pipeline 'release'");
    puppet.types("\n");
    command_line::open(&mut puppet.runner, &session);
    puppet.types("pipeline get p-release\n");
    puppet.shows("spelling  failed");
    assert!(server.join().expect("the server")[0].starts_with("GET /api/pipelines/p-release "));
}

#[test]
fn the_readme_shows_it() {
    let modules = ["build", "spelling", "size", "digest", "report", "upload"].map(|name| format!("{name} succeeded"));
    let release = pipeline("release", &modules.each_ref().map(String::as_str));
    let (mut puppet, _session) = opened(80, 24, &[release]);
    puppet.shows("6/6 modules");
    puppet.shows("enter shows it");
    // The heads of its columns, however wide they are, its labels, and its keys.
    puppet.is_in_the_readme(|line| {
        let label = ["state ", "result ", "took ", "node "].into_iter().find(|label| line.starts_with(label));
        let heads = line.starts_with("MODULE▲") || line.contains("c cancel");
        label.map(String::from).or(heads.then(|| line.split_whitespace().collect::<Vec<_>>().join(" ")))
    });
}
