//! Tests of the orchestrator's dashboard on the puppet screen.

use super::samples::{function, live, node, put_node, small};
use super::{NOWHERE, dashboard_of};
use crate::clock;
use crate::tui::log::Line;
use crate::tui::orchestrator::model::{Connection, Source};
use crate::tui::puppet::Puppet;
use crate::tui::session::{Session, Wanted};
use crate::types::Node;
use cursive::Vec2;
use cursive::event::{Event, Key, MouseButton, MouseEvent};

/// A dashboard that nothing feeds but the test.
fn dashboard(columns: usize, rows: usize) -> (Puppet, Session) {
    dashboard_of(columns, rows, NOWHERE, |_| {})
}

fn log(session: &Session, level: &str, text: &str) {
    let line = Line { time: "2026-01-01T12:34:56.000Z".into(), level: level.into(), text: text.into() };
    session.update(|model| model.log.push(line));
}

/// The places of `names` on the screen, which must all be there, one below the other.
#[track_caller]
fn in_order(puppet: &mut Puppet, names: &[&str]) {
    let text = puppet.text();
    let at: Vec<usize> =
        names.iter().map(|name| text.find(name).unwrap_or_else(|| panic!("no {name} in:\n{text}"))).collect();
    assert!(at.is_sorted(), "not {names:?} but:\n{text}");
}

fn mouse(x: usize, y: usize, event: MouseEvent) -> Event {
    Event::Mouse { offset: Vec2::zero(), position: Vec2::new(x, y), event }
}

fn find(puppet: &mut Puppet, what: &str) -> (usize, usize) {
    let text = puppet.text();
    let found =
        text.lines().enumerate().find_map(|(y, line)| line.find(what).map(|at| (line[..at].chars().count(), y)));
    found.unwrap_or_else(|| panic!("no {what} in:\n{text}"))
}

const CLICK: MouseEvent = MouseEvent::Press(MouseButton::Left);

#[test]
fn an_empty_cluster_says_what_to_do() {
    let (mut puppet, session) = dashboard(120, 30);
    puppet.shows("Connecting to http://127.0.0.1:9");
    session.update(live);
    puppet.shows("No nodes yet.");
    puppet.shows("  cares worker 192.168.1.5:50051");
    puppet.shows("listens wider");
    session.update(|model| model.cluster.iter_mut().for_each(|c| c.grpc_addr = "192.168.1.5:50051".into()));
    puppet.shows("on this or another machine");
    puppet.lacks("listens wider");
    session.update(live);
    puppet.shows("┌─ Registered Functions ─");
    puppet.shows("─ T Tasks  P Pipelines ─┐");
    puppet.shows("a registers one");
    for part in ["CARES orchestrator", "● live", "cluster c-7f3a91", "http 127.0.0.1:8080", "grpc 127.0.0.1:50051"] {
        puppet.shows(part);
    }
    puppet.types("dci\n");
    puppet.shows("nothing is selected");
}

#[test]
fn rows_appear_change_and_go() {
    let (mut puppet, session) = dashboard(160, 30);
    session.update(small);
    in_order(&mut puppet, &["db-9", "db-10", "web-1", "web-2"]);
    for part in ["● active", "◐ draining", "○ disconnected", "◍ cordoned", "N/A", "42%", "2/8", "Nodes (4)"] {
        puppet.shows(part);
    }
    for part in ["● hello", "nginx:1.27", "http", "12.3k", "12 ms", "✗ resize-im", "bundle:3f2a91bc", "job"] {
        puppet.shows(part);
    }
    session.update(|model| put_node(model, Node { cpu_percent: Some(77.0), running: 8, ..node("web-1") }));
    puppet.shows("77%");
    puppet.shows("8/8");
    session.update(|model| drop(model.nodes.remove("id-of-db-9")));
    puppet.lacks("db-9");
    puppet.shows("3 nodes: 1 active, 1 draining, 1 disconnected");
}

#[test]
fn numbers_sort_and_again_the_other_way_round() {
    let (mut puppet, session) = dashboard(120, 30);
    session.update(small);
    puppet.types("3");
    puppet.shows("CPU▼");
    in_order(&mut puppet, &["web-2", "web-1", "db-9", "db-10"]);
    puppet.types("3");
    puppet.shows("CPU▲");
    in_order(&mut puppet, &["db-9", "web-1", "web-2", "db-10"]); // unknown stays last
    puppet.types("\t5");
    puppet.shows("CALLS▼");
    puppet.shows("CPU▲");
    let (x, y) = find(&mut puppet, "STATUS");
    puppet.press(mouse(x, y, CLICK));
    puppet.shows("STATUS▲");
}

#[test]
fn while_a_filter_is_typed_every_key_is_text() {
    let (mut puppet, session) = dashboard(120, 30);
    session.update(small);
    puppet.types("/q");
    puppet.shows("/q▏");
    puppet.shows("Nothing matches 'q'.");
    puppet.types("\x7fweb-2 adm?:");
    puppet.shows("/web-2 adm?:▏");
    puppet.press(Event::CtrlChar('u'));
    puppet.types("WEB\n");
    puppet.shows("Nodes (2 of 4) · /WEB esc clears");
    puppet.lacks("db-9");
    session.update(|model| put_node(model, node("web-3")));
    puppet.shows("web-3");
    puppet.types("\x1b");
    puppet.shows("db-9");
    puppet.lacks("/WEB");
    puppet.types("/zzz\x1b");
    puppet.shows("db-9");
    puppet.types("/cellar");
    puppet.shows("Nodes (5) · /cellar▏"); // tags count
}

#[test]
fn the_selected_row_stays_selected_while_rows_move() {
    let (mut puppet, session) = dashboard(120, 30);
    session.update(small);
    puppet.types("3jjjkkk"); // web-2, which has most
    session.update(|model| {
        put_node(model, Node { cpu_percent: Some(1.0), ..node("web-2") });
        put_node(model, node("aaa"));
    });
    puppet.types("\n"); // opened
    puppet.shows("Node web-2");
}

#[test]
fn two_hundred_nodes_scroll() {
    let (mut puppet, session) = dashboard(80, 24);
    session.update(|model| {
        small(model);
        (0..200).for_each(|n| put_node(model, node(&format!("rack-{n}"))));
    });
    puppet.shows("Nodes (204) · 1-");
    puppet.types("G");
    puppet.shows("of 204");
    puppet.shows("web-2");
    puppet.lacks("rack-7 ");
    puppet.types("g");
    puppet.shows("db-9");
    let (x, y) = find(&mut puppet, "db-9");
    for _ in 0..10 {
        puppet.press(mouse(x, y, MouseEvent::WheelDown));
    }
    puppet.shows("rack-30");
    puppet.lacks("db-9");
    puppet.press(Event::Key(Key::PageDown));
    puppet.shows("rack-5 "); // back at the selection, a page further
    let (x, y) = find(&mut puppet, "rack-6");
    puppet.press(mouse(x, y, CLICK));
    puppet.press(mouse(x, y, CLICK)); // again: opens it
    puppet.shows("Node rack-6");
}

#[test]
fn wide_names_keep_the_columns_straight() {
    let (mut puppet, session) = dashboard(120, 30);
    session.update(|model| {
        live(model);
        put_node(model, node("東京のサーバー一号機です長い名前"));
        put_node(model, node("plain"));
        put_node(model, node("e\u{301}vil\u{1b}[31m\u{202e}\u{200b}\n"));
        put_node(model, node(&"ᄀ".repeat(9)));
    });
    puppet.shows("東京");
    let text = puppet.text();
    let columns: Vec<usize> =
        text.lines().filter_map(|line| line.find("● active").map(|at| crate::tui::text::width(&line[..at]))).collect();
    assert_eq!(columns.len(), 4, "{text}");
    assert!(columns.iter().all(|column| *column == columns[0]), "{columns:?}\n{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
}

#[test]
fn the_log_follows_unless_scrolled_up() {
    let (mut puppet, session) = dashboard(80, 24);
    session.update(live);
    (0..100).for_each(|n| log(&session, "info", &format!("line {n} of the log")));
    puppet.shows("12:34:56 [INFO] line 99 of the log");
    puppet.types("Lk");
    puppet.shows("Log · paused, G follows");
    log(&session, "warn", "line 100 of the log");
    puppet.lacks("line 100 of");
    puppet.types("G");
    puppet.shows("[WARN] line 100 of the log");
    puppet.lacks("paused");
    let (x, y) = find(&mut puppet, "line 99 of");
    puppet.press(mouse(x, y, MouseEvent::WheelUp));
    puppet.lacks("line 98 of");
    puppet.types("g");
    puppet.shows("line 0 of");
    puppet.types("i");
    puppet.shows("go to a node or function first");
    puppet.types("j");
    puppet.lacks("go to a node or function first");
}

#[test]
fn a_click_gives_the_focus_and_the_wheel_leaves_it() {
    for (columns, rows) in [(80, 24), (120, 30)] {
        let (mut puppet, session) = dashboard(columns, rows);
        session.update(small);
        (0..100).for_each(|n| log(&session, "info", &format!("line {n} of the log")));
        puppet.shows("━ Nodes (4) ━");
        let (x, y) = find(&mut puppet, "line 98 of");
        puppet.press(mouse(x, y, MouseEvent::WheelUp));
        puppet.shows("─ Log · paused");
        puppet.shows("━ Nodes (4) ━");
        puppet.press(mouse(x, y, CLICK));
        puppet.shows("━ Log · paused");
        puppet.types("G");
        puppet.shows("line 99 of");
    }
}

#[test]
fn a_long_filter_leaves_room_for_the_names_of_what_is_not_seen() {
    let (mut puppet, session) = dashboard(80, 24);
    session.update(small);
    puppet.types("F/");
    puppet.shows("T Tasks  P Pipelines ━");
    puppet.types(&"z".repeat(70));
    puppet.shows("z… T  P ━");
}

#[test]
fn a_lost_connection_is_told_and_counted_down() {
    let (mut puppet, session) = dashboard(100, 30);
    session.update(small);
    let lost = |ms: u64| Connection::Lost { why: "connection refused".into(), again_at_ms: clock::now_ms() + ms };
    session.update(|model| model.set_source(Source::Nodes, lost(3_000)));
    puppet.shows("✗ lost, again in 3 s (connection refused); rows are old");
    println!("{}", puppet.text());
    puppet.shows("Nodes (4) · old");
    puppet.shows("Functions (2) · old");
    puppet.shows("again in 2 s");
    session.update(|model| model.set_source(Source::Nodes, lost(0)));
    puppet.shows("✗ lost, trying again");
    session.update(|model| model.set_source(Source::Nodes, Connection::Live));
    puppet.shows("● live");
    puppet.lacks("old");
    session.update(|model| model.set_source(Source::Log, lost(0)));
    puppet.shows("● live");
    puppet.shows("Log · not followed: connection refused");
}

#[test]
fn what_is_busy_stands_in_the_footer() {
    let (mut puppet, session) = dashboard(80, 24);
    session.update(|model| model.busy = vec!["deleting hello".into(), "registering x".into()]);
    puppet.shows("… registering x (+1)");
    puppet.shows("enter open  tab pane");
    puppet.shows("i invoke  ? help  q quit"); // always there
}

#[test]
fn every_size_is_drawn_and_shows_what_matters() {
    for (columns, rows, parts) in [
        (120, 40, &["FAIL", "12 ms", "web-29", "Registered Functions", "db-10"][..]),
        (100, 30, &["Nodes (4)", "Registered Functions", "web-29", "○ disconnect", "P50", "SLOTS"]),
        (80, 24, &["Nodes (4)", "Registered Functions", "web-29", "○ disconnected", "cluster c-7f3a91"]),
        (60, 20, &["Nodes (4)", "Registered Functions", "web-29", "○ disconnected"]),
        (40, 10, &["Nodes (4)", "Registered Functions", "─ Log ", "web-2", "CPU"]),
        (20, 5, &[]),
        (1, 1, &[]),
    ] {
        let (mut puppet, session) = dashboard(columns, rows);
        session.update(small);
        (0..30).for_each(|n| log(&session, "info", &format!("Node 'web-{n}' has joined the cluster")));
        for _ in 0..5 {
            println!("{columns}x{rows}\n{}", puppet.text());
            puppet.types("\t"); // every pane, and back
        }
        puppet.types("\t"); // what shares its place with functions goes behind them
        puppet.press(Event::Shift(Key::Tab));
        parts.iter().for_each(|part| puppet.shows(part));
        let text = puppet.text();
        let widest = text.lines().map(crate::tui::text::width).max().unwrap_or(0);
        assert!(widest <= columns, "{widest} of {columns}:\n{text}");
    }
}

#[test]
fn a_function_just_registered_is_selected_once_its_row_is_there() {
    let (mut puppet, session) = dashboard(80, 24);
    session.update(small);
    puppet.shows("━ Nodes");
    session.update(|model| model.wanted = Some(Wanted::Function("new".into())));
    puppet.shows("━ Nodes");
    session.update(|model| drop(model.functions.insert("new".into(), crate::tui::puppet::function("new"))));
    puppet.shows("━ Registered Functions");
    puppet.types("i");
    puppet.shows("Invoke new");
    puppet.types("\x1b");
    session.update(|model| {
        model.wanted = Some(Wanted::Function("late".into()));
    });
    puppet.press(Event::Shift(Key::Tab)); // someone has gone elsewhere
    session.update(|model| drop(model.functions.insert("late".into(), crate::tui::puppet::function("late"))));
    puppet.shows("late");
    puppet.shows("━ Nodes");
}

#[test]
fn the_readme_shows_it() {
    let (mut puppet, session) = dashboard(120, 22);
    session.update(|model| {
        live(model);
        ["attic", "cellar", "desk"].into_iter().for_each(|name| put_node(model, node(name)));
        model.functions.extend(["echo", "greet", "web"].map(|name| (name.to_string(), function(name))));
    });
    puppet.shows("web");
    // Its keys, and the heads of its panes and columns, however wide those are.
    puppet.is_in_the_readme(|line| {
        let heads = ["enter open", "NAME▲", " Nodes (3)", "─ Log ─"].iter().any(|head| line.contains(head));
        let words =
            || line.split(|c: char| c.is_whitespace() || "─━┃│┏┓┌┐".contains(c)).filter(|word| !word.is_empty());
        heads.then(|| words().collect::<Vec<_>>().join(" "))
    });
}
