//! Questions before something is lost; the safe answer is the default. Must never do anything that was not chosen.

use super::sheet::{Row, Sheet};
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use crate::types::Node;
use cursive::Cursive;

/// Whether to delete a function.
pub fn delete_function(siv: &mut Cursive, session: &Session, function: &str) {
    let known = session.model().functions.get(function).cloned();
    let mut rows = vec![plain(format!("Delete the function '{function}' and all its revisions?"))];
    if let Some(known) = known {
        rows.push(plain(""));
        match known.instances.len() {
            0 => {}
            1 => rows.push(plain("Its instance is stopped.")),
            count => rows.push(plain(format!("Its {count} instances are stopped."))),
        }
        if known.in_flight > 0 {
            let calls =
                if known.in_flight == 1 { "1 call is".into() } else { format!("{} calls are", known.in_flight) };
            rows.push(plain(format!("{calls} in flight: those that run are answered, those that wait fail.")));
        }
        rows.push(plain("It can be registered again, but its past is gone."));
    }
    let (session, name) = (session.clone(), function.to_string());
    Sheet::of("Delete a function", rows)
        .button("Delete", move |siv| delete_function_now(siv, &session, &name))
        .button("Cancel", |_| {})
        .open(siv);
}

/// Deletes it: someone has said so.
pub fn delete_function_now(_siv: &mut Cursive, session: &Session, function: &str) {
    let name = function.to_string();
    change(session, format!("Deleting {name}"), format!("Deleted '{name}'"), move |client| {
        client.delete_function(&name)
    });
}

/// Whether to forget a node.
pub fn remove_node(siv: &mut Cursive, session: &Session, node: &Node) {
    let name = &node.name;
    if !matches!(node.status.as_str(), "disconnected" | "revoked") {
        let rows = vec![
            plain(format!("'{name}' is connected, and only a node that is not can be removed.")),
            plain(""),
            plain("Drain it (c), then stop its worker: its row stays here as disconnected and can be removed."),
        ];
        Sheet::of("Remove a node", rows).button("Close", |_| {}).open(siv);
        return;
    }
    let rows = vec![
        plain(format!("Remove the node '{name}' from the cluster?")),
        plain(""),
        plain("It is disconnected and nothing runs there. Its counts are gone; its worker may join again as new."),
    ];
    let (session, node) = (session.clone(), node.clone());
    Sheet::of("Remove a node", rows)
        .button("Remove", move |siv| remove_node_now(siv, &session, &node.id, &node.name))
        .button("Cancel", |_| {})
        .open(siv);
}

/// Removes it: someone has said so.
pub fn remove_node_now(_siv: &mut Cursive, session: &Session, id: &str, name: &str) {
    let id = id.to_string();
    let job = move |client: &Orchestrator| client.remove_node(&id);
    change(session, format!("Removing {name}"), format!("Removed the node '{name}'"), job);
}

/// A change of what a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Cordon,
    Uncordon,
    Drain,
}

/// Makes it.
pub fn turn_node(session: &Session, node: &str, turn: Turn) {
    let id = node.to_string();
    let (doing, done) = match turn {
        Turn::Cordon => ("Cordoning", "gets nothing new"),
        Turn::Uncordon => ("Uncordoning", "takes work again"),
        Turn::Drain => ("Draining", "finishes what it has and gets nothing new"),
    };
    let name = session.model().nodes.get(node).map_or(id.clone(), |known| known.name.clone());
    change(session, format!("{doing} {name}"), format!("The node '{name}' {done}"), move |client| match turn {
        Turn::Cordon => client.cordon(&id),
        Turn::Uncordon => client.uncordon(&id),
        Turn::Drain => client.drain(&id),
    });
}

/// Whether to cordon, drain or uncordon a node.
pub fn cordon(siv: &mut Cursive, session: &Session, node: &Node) {
    let draining = node.status == "draining";
    let there = !matches!(node.status.as_str(), "disconnected" | "revoked");
    let closed = node.cordoned || draining;
    let state = match (draining, node.cordoned) {
        (true, _) => "is draining",
        (false, true) => "is cordoned",
        (false, false) => "takes work",
    };
    let calls = match node.running {
        0 => "Nothing runs there now.".to_string(),
        1 => "1 call runs there and finishes.".to_string(),
        count => format!("{count} calls run there and finish."),
    };
    let mut rows = vec![plain(format!("The node '{}' {state}. {calls}", node.name)), plain("")];
    rows.push(plain(match closed {
        true => "Uncordon: it takes work again.",
        false => "Cordon: it gets nothing new; its instances go on.",
    }));
    let drains = there && !draining;
    if drains {
        rows.push(plain("Drain: it gets nothing new, and its instances are stopped once they are idle."));
    }
    let press = |turn: Turn| {
        let (session, id) = (session.clone(), node.id.clone());
        move |_: &mut Cursive| turn_node(&session, &id, turn)
    };
    let mut sheet = Sheet::of("Cordon or drain", rows);
    sheet = match closed {
        true => sheet.button("Uncordon", press(Turn::Uncordon)),
        false => sheet.button("Cordon", press(Turn::Cordon)),
    };
    if drains {
        sheet = sheet.button("Drain", press(Turn::Drain));
    }
    sheet.button("Cancel", |_| {}).open(siv);
}

/// Whether to leave, when a role that runs in this process (`what`, such as "the orchestrator") would end with the
/// screen.
pub fn quit(siv: &mut Cursive, what: Option<&str>) {
    let Some(what) = what else { return siv.quit() };
    let rows = vec![
        plain(format!("Stop {what}?")),
        plain(""),
        plain("What runs here ends; calls under way are answered first."),
        (Tone::Dim, "Started with --headless it goes on; `cares tui` then only looks.".into()),
    ];
    Sheet::of("Quit", rows).button("Yes, stop", Cursive::quit).button("No", |_| {}).open(siv);
}

/// Says what went wrong, over what is shown.
pub fn failure(siv: &mut Cursive, title: &str, why: &str) {
    Sheet::of(title, vec![(Tone::Bad, why.to_string())]).button("Close", |_| {}).open(siv);
}

/// Asks for a change; the log tells how it went, and a box when it failed.
pub fn change<T: Send + 'static>(
    session: &Session,
    doing: String,
    done: String,
    job: impl FnOnce(&Orchestrator) -> Result<T, Error> + Send + 'static,
) {
    let (after, title) = (session.clone(), format!("{doing} failed"));
    session.act(doing, job, move |siv, answer| match answer {
        Ok(_) => after.note("info", done),
        Err(error) => {
            after.note("error", format!("{title}: {error}"));
            failure(siv, &title, &error.to_string());
        }
    });
}

/// A line of a question.
pub fn plain(text: impl Into<String>) -> Row {
    (Tone::Plain, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned;
    use crate::tui::puppet::{self, Puppet};

    fn asked(columns: usize, rows: usize, url: &str, ask: impl FnOnce(&mut Cursive, &Session)) -> (Puppet, Session) {
        Puppet::opened(columns, rows, url, |siv, session| {
            session.update(|model| drop(model.functions.insert("hello".into(), puppet::function("hello"))));
            ask(siv, session);
        })
    }

    /// Asks of a server that must not be asked: its one answer stays unread.
    fn safe(ask: impl Fn(&mut Cursive, &Session)) {
        for (columns, rows) in [(80, 24), (60, 20), (40, 10)] {
            for keys in ["\n", "\x1b", "q", "x \x7f\n"] {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                listener.set_nonblocking(true).expect("an option");
                let url = format!("http://{}", listener.local_addr().expect("an address"));
                let (mut puppet, session) = asked(columns, rows, &url, &ask);
                puppet.shows("[ Cancel ]");
                if keys == "\n" {
                    println!("{}", puppet.text());
                }
                puppet.types(keys);
                puppet.gone("Cancel");
                std::thread::sleep(std::time::Duration::from_millis(5));
                assert!(session.model().busy.is_empty(), "{keys:?}");
                assert!(listener.accept().is_err(), "{keys:?} asked the API");
                assert!(puppet.runner.is_running());
            }
        }
    }

    #[test]
    fn the_default_of_every_question_changes_nothing() {
        safe(|siv, session| delete_function(siv, session, "hello"));
        safe(|siv, session| cordon(siv, session, &puppet::node("n", "active", false)));
        safe(|siv, session| cordon(siv, session, &puppet::node("n", "draining", true)));
        safe(|siv, session| remove_node(siv, session, &puppet::node("n", "disconnected", false)));
    }

    #[test]
    fn deleting_is_chosen_and_told() {
        let (url, server) = canned::serve(vec![canned::with("204 No Content", "", "")]);
        let (mut puppet, session) = asked(80, 24, &url, |siv, session| delete_function(siv, session, "hello"));
        puppet.shows("Its 2 instances are stopped.");
        puppet.types("d\n");
        puppet.gone("Delete a function");
        assert!(server.join().expect("the server")[0].starts_with("DELETE /functions/hello "));
        puppet.until(|| session.model().log.lines().any(|line| line.text == "Deleted 'hello'"));
    }

    #[test]
    fn a_click_chooses_and_beside_a_button_does_nothing() {
        let (mut puppet, session) =
            asked(40, 10, "http://127.0.0.1:1", |siv, session| delete_function(siv, session, "hello"));
        puppet.clicks("instances");
        puppet.shows("[ Cancel ]");
        puppet.clicks("Delete  ");
        puppet.until(|| session.model().log.lines().any(|line| line.level == "error"));
    }

    #[test]
    fn a_refusal_is_shown() {
        let body = r#"{"status":409,"detail":"The node is busy being born"}"#;
        let (url, _server) = canned::serve(vec![canned::json("409 Conflict", body)]);
        let node = puppet::node("n", "disconnected", false);
        let (mut puppet, _session) = asked(40, 10, &url, |siv, session| remove_node(siv, session, &node));
        puppet.types("\t\n");
        puppet.shows("busy being born");
        println!("{}", puppet.text());
        puppet.types("\n");
        puppet.gone("busy");
    }

    #[test]
    fn nodes_are_turned() {
        for (status, cordoned, keys, path) in [
            ("active", false, "c", "cordon"),
            ("active", false, "d", "drain"),
            ("active", true, "u", "uncordon"),
            ("draining", true, "u", "uncordon"),
            ("disconnected", false, "c", "cordon"),
        ] {
            let (url, server) = {
                let node = serde_json::to_string(&puppet::node("n", status, cordoned)).expect("JSON");
                canned::serve(vec![canned::json("200 OK", &node)])
            };
            let node = puppet::node("n", status, cordoned);
            let (mut puppet, session) = asked(80, 24, &url, |siv, session| cordon(siv, session, &node));
            puppet.types(keys);
            puppet.types("\n");
            let asked = server.join().expect("the server");
            assert!(asked[0].starts_with(&format!("POST /nodes/id-n/{path} ")), "{}", asked[0]);
            puppet.until(|| session.model().log.lines().any(|line| line.level == "info"));
        }
    }

    #[test]
    fn a_connected_node_cannot_be_removed() {
        let node = puppet::node("n", "active", false);
        let (mut puppet, session) = asked(40, 10, "http://127.0.0.1:1", |siv, s| remove_node(siv, s, &node));
        puppet.shows("is connected");
        println!("{}", puppet.text());
        puppet.types("\n");
        puppet.gone("is connected");
        assert!(session.model().busy.is_empty());
    }

    #[test]
    fn quitting_asks_only_when_something_ends_with_it() {
        let (mut puppet, _) = asked(60, 20, "http://127.0.0.1:1", |siv, _| quit(siv, Some("the orchestrator")));
        puppet.shows("Stop the orchestrator?");
        println!("{}", puppet.text());
        puppet.types("\n");
        puppet.gone("Stop");
        assert!(puppet.runner.is_running());
        quit(&mut puppet.runner, Some("the orchestrator"));
        puppet.types("y\n");
        assert!(!puppet.runner.is_running());
        let (puppet, _) = asked(60, 20, "http://127.0.0.1:1", |siv, _| quit(siv, None));
        assert!(!puppet.runner.is_running());
    }
}
