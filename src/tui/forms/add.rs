//! The form that registers a function.

use super::field::Field;
use super::form::{Form, Item};
use super::sending::{self, Sending, Wrong};
use crate::tui::session::{Session, Wanted};
use crate::types::{FunctionSpec, Mode};
use cursive::Cursive;
use std::collections::BTreeMap;
use std::str::FromStr;

const NAME: &str = "Function Name";
const IMAGE: &str = "Docker Image URL";
const MODE: &str = "Mode";
const ENV: &str = "Environment";
const MEMORY: &str = "Memory MB";
const TIMEOUT: &str = "Timeout s";
const CONCURRENCY: &str = "Concurrency";
const MIN: &str = "Min instances";
const MAX: &str = "Max instances";

/// Characters a field takes: more than the server allows, so that the server's message says what it allows.
const NAME_LIMIT: usize = 100;
const IMAGE_LIMIT: usize = 1_000;
const ENV_LIMIT: usize = 20_000;
const NUMBER_LIMIT: usize = 20;

/// Opens it over what is shown.
pub fn open(siv: &mut Cursive, session: &Session) {
    let number = || Field::line(NUMBER_LIMIT);
    let items = vec![
        Item::Field(NAME, Field::line(NAME_LIMIT)),
        Item::Field(IMAGE, Field::line(IMAGE_LIMIT)),
        Item::Fold("advanced", false),
        Item::Choice(MODE, &["auto", "http", "job"], 0),
        Item::Field(ENV, Field::area(ENV_LIMIT, 2)),
        Item::Field(MEMORY, number()),
        Item::Field(TIMEOUT, number()),
        Item::Field(CONCURRENCY, number()),
        Item::Field(MIN, number()),
        Item::Field(MAX, number()),
        Item::Button("Register"),
    ];
    sending::open(siv, session, "add", ("Add a function", "register", ""), items, register);
}

fn register(siv: &mut Cursive, session: &Session, form: &Sending) {
    let Some(spec) = form.take(siv, "Registering…", spec) else { return };
    let (after, sent, name) = (session.clone(), form.clone(), spec.name.clone());
    let started = session.act(
        format!("Registering {name}"),
        move |client| client.register(&spec),
        move |siv, answer| {
            match &answer {
                Ok(registered) => {
                    after.note("info", format!("Successfully registered '{}'", registered.name));
                    after.update(|model| model.wanted = Some(Wanted::Function(registered.name.clone())));
                }
                Err(error) => after.note("warn", format!("'{name}' was not registered: {error}")),
            }
            sent.answered(siv, answer);
        },
    );
    form.started(siv, started);
}

/// What is to be sent; else the item that cannot be, and why. Whether it is right is the server's to say.
fn spec(form: &Form) -> Result<FunctionSpec, Wrong> {
    let required = |label: &'static str| match form.value(label).trim() {
        "" => Err((label, format!("{label} is empty."))),
        text => Ok(text.to_string()),
    };
    let mode = match form.value(MODE) {
        "http" => Some(Mode::Http),
        "job" => Some(Mode::Job),
        _ => None,
    };
    Ok(FunctionSpec {
        name: required(NAME)?,
        image: required(IMAGE)?,
        mode,
        env: pairs(form.value(ENV)).map_err(|why| (ENV, format!("{ENV}: {why}")))?,
        memory_mb: number(form, MEMORY)?,
        timeout_s: seconds(form)?,
        concurrency: number(form, CONCURRENCY)?,
        min: number(form, MIN)?,
        max: number(form, MAX)?,
        ..Default::default()
    })
}

fn number<T: FromStr>(form: &Form, label: &'static str) -> Result<Option<T>, Wrong> {
    match form.value(label).trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| (label, format!("{label}: '{text}' is not such a number."))),
    }
}

/// JSON has no word for infinity.
fn seconds(form: &Form) -> Result<Option<f64>, Wrong> {
    match number(form, TIMEOUT)? {
        Some(odd) if !f64::is_finite(odd) => Err((TIMEOUT, format!("{TIMEOUT}: '{odd}' is not such a number."))),
        seconds => Ok(seconds),
    }
}

/// `KEY=VALUE`, one a line or with commas between; a comma that no `KEY=` follows belongs to the value.
pub fn pairs(text: &str) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut pairs = BTreeMap::new();
    for line in text.lines() {
        let mut last: Option<String> = None;
        for part in line.trim_end_matches([',', ' ']).split(',') {
            match (part.split_once('='), &last) {
                (Some((key, value)), _) if !key.trim().is_empty() => {
                    let key = key.trim().to_string();
                    if pairs.insert(key.clone(), value.to_string()).is_some() {
                        return Err(format!("'{key}' is given twice."));
                    }
                    last = Some(key);
                }
                (None, Some(key)) => {
                    if let Some(value) = pairs.get_mut(key) {
                        value.push(',');
                        value.push_str(part);
                    }
                }
                (None, None) if part.trim().is_empty() => {}
                _ => return Err(format!("'{}' does not look like KEY=VALUE.", part.trim())),
            }
        }
    }
    Ok((!pairs.is_empty()).then_some(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned;
    use crate::tui::puppet::Puppet;
    use cursive::event::{Event, Key};

    fn opened(columns: usize, rows: usize, url: &str) -> (Puppet, Session) {
        Puppet::opened(columns, rows, url, open)
    }

    fn log(session: &Session) -> String {
        session.model().log.lines().map(|line| format!("[{}] {}\n", line.level, line.text)).collect()
    }

    #[test]
    fn enter_registers_closes_and_says_so() {
        let body = r#"{"status":"success","invoke_path":"/invoke/my-test-func","name":"my-test-func","revision":1}"#;
        let (url, server) = canned::serve(vec![canned::json("201 Created", body)]);
        let (mut puppet, session) = opened(80, 24, &url);
        for what in ["Add a function", "Function Name", "Docker Image URL", "advanced", "enter register"] {
            puppet.shows(what);
        }
        println!("{}", puppet.text());
        puppet.types("my-test-func\tnginx?q:");
        puppet.shows("nginx?q:");
        puppet.types("\t");
        puppet.shows("enter unfold  ctrl-s register");
        puppet.types("\n\t\t");
        puppet.shows("ctrl-s register  enter new line");
        for _ in 0..3 {
            puppet.press(Event::Shift(Key::Tab));
        }
        puppet.types("\x7f\x7f\x7f\n");
        puppet.gone("Add a function");
        assert_eq!(log(&session), "[info] Successfully registered 'my-test-func'\n");
        let asked = server.join().expect("the server");
        assert!(asked[0].starts_with("POST /functions HTTP/1.1"), "{}", asked[0]);
        assert!(asked[0].ends_with(r#"{"name":"my-test-func","image":"nginx"}"#), "{}", asked[0]);
        open(&mut puppet.runner, &session);
        puppet.lacks("my-test-func");
    }

    #[test]
    fn a_failure_is_said_in_the_form_and_the_text_stays() {
        let detail = "There is a function 'hello' already. Use PUT /functions/hello to make a new revision of it,\\u001b[2J or choose another name";
        let body = format!(r#"{{"status":409,"code":"name_taken","detail":"{detail}"}}"#);
        for (columns, rows) in [(80, 24), (60, 20), (40, 10)] {
            let (url, _server) = canned::serve(vec![canned::json("409 Conflict", &body)]);
            let (mut puppet, _session) = opened(columns, rows, &url);
            puppet.types("hello\timg\n");
            puppet.shows("There is a function");
            println!("{}", puppet.text());
            puppet.shows("another name");
            puppet.shows("img");
            puppet.types("\x7f\x7f\x7fother");
            puppet.shows("other");
        }
    }

    #[test]
    fn empty_fields_are_named_and_nothing_is_sent() {
        let (mut puppet, session) = opened(60, 20, "http://127.0.0.1:1");
        puppet.types("\n");
        puppet.shows("Function Name is empty.");
        puppet.types("a\n");
        puppet.shows("Docker Image URL is empty.");
        puppet.shows("▸ Docker Image URL");
        puppet.types("b");
        puppet.shows("b ___");
        assert!(session.model().busy.is_empty());
    }

    #[test]
    fn a_dead_orchestrator_leaves_the_form_as_it_is() {
        let (mut puppet, session) = opened(80, 24, "http://127.0.0.1:1");
        puppet.types("a\tb\n");
        puppet.shows("cannot reach the orchestrator at http://127.0.0.1:1:");
        puppet.shows("refused");
        puppet.types("\x1b");
        puppet.gone("Add a function");
        assert!(log(&session).contains("'a' was not registered: cannot reach"));
    }

    #[test]
    fn while_nobody_answers_it_reacts_and_closes() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let (mut puppet, session) = opened(80, 24, &url);
        puppet.types("a\tb\n");
        puppet.shows("Registering…");
        puppet.types("\ncdef");
        puppet.shows("bcdef");
        assert_eq!(session.model().busy.len(), 1, "Enter again sends nothing again");
        puppet.types("\x1b");
        puppet.gone("Registering…");
        puppet.shows("dashboard");
    }

    #[test]
    fn what_was_typed_is_there_again() {
        let (mut puppet, session) = opened(80, 24, "http://127.0.0.1:1");
        puppet.types("half-a-name\x1b");
        puppet.gone("Add a function");
        open(&mut puppet.runner, &session);
        puppet.shows("half-a-name");
        puppet.press(Event::CtrlChar('u'));
        puppet.types("\x1b");
        open(&mut puppet.runner, &session);
        puppet.lacks("half-a-name");
        puppet.lacks("As you left it");
    }

    #[test]
    fn keys_in_a_field_are_text() {
        let (mut puppet, _session) = opened(40, 10, "http://127.0.0.1:1");
        puppet.types("q?:/ 日本 123");
        puppet.shows("q?:/ 日本 123");
        assert!(puppet.runner.is_running());
    }

    #[test]
    fn a_long_paste_is_cut_and_said() {
        for (columns, rows) in [(80, 24), (60, 20), (40, 10)] {
            let (mut puppet, _session) = opened(columns, rows, "http://127.0.0.1:1");
            for _ in 0..1_000 {
                puppet.types("paste");
            }
            puppet.shows("takes 100");
            puppet.shows("Function Name");
            puppet.types("\t");
            for _ in 0..1_000 {
                puppet.types("日本q語x");
            }
            puppet.shows("takes 1000");
            println!("{}", puppet.text());
        }
    }

    #[test]
    fn advanced_unfolds_and_is_sent() {
        let (url, server) = canned::serve(vec![canned::json("400 Bad Request", r#"{"status":400,"detail":"no"}"#)]);
        let (mut puppet, _session) = opened(80, 24, &url);
        puppet.types("f\timg\t\n\t");
        puppet.press(Event::Key(Key::Right));
        puppet.press(Event::Key(Key::Right));
        puppet.types("\tA=1,2,B=x y\nC=,\t64\t1.5\t8\t1\tx\n");
        puppet.shows("Max instances: 'x' is not such a number.");
        println!("{}", puppet.text());
        puppet.types("\x7f3\n");
        puppet.shows("no");
        let asked = server.join().expect("the server");
        let sent = r#"{"name":"f","image":"img","mode":"job","env":{"A":"1,2","B":"x y","C":""},"timeout_s":1.5,"memory_mb":64,"concurrency":8,"min":1,"max":3}"#;
        assert!(asked[0].ends_with(sent), "{}", asked[0]);
    }

    #[test]
    fn the_readme_shows_it() {
        let (mut puppet, _session) = opened(80, 16, "http://127.0.0.1:1");
        puppet.types("web\tnginx:1.27");
        // A row of the box, without what stands beside it.
        puppet.is_in_the_readme(|line| {
            let (from, to) = (line.find(['┌', '│'])?, line.rfind(['┐', '│'])?);
            (from < to).then(|| line[from..to].to_string())
        });
    }

    #[test]
    fn it_can_be_clicked() {
        for (columns, rows) in [(80, 24), (40, 10)] {
            let (mut puppet, session) = opened(columns, rows, "http://127.0.0.1:1");
            puppet.clicks(IMAGE);
            puppet.types("img");
            puppet.clicks(NAME);
            puppet.types("f");
            puppet.clicks("advanced");
            puppet.shows(MODE);
            puppet.clicks(MODE);
            puppet.clicks(MODE);
            puppet.shows("[http]");
            puppet.clicks("advanced");
            puppet.clicks("Register");
            puppet.until(|| log(&session).contains("'f' was not registered"));
        }
    }

    #[test]
    fn every_item_can_be_reached_on_a_small_screen() {
        let (mut puppet, _session) = opened(40, 10, "http://127.0.0.1:1");
        puppet.types("\t\t\n");
        for label in [MODE, ENV, MEMORY, TIMEOUT, CONCURRENCY, MIN, MAX, "[ Register ]", NAME] {
            puppet.types("\t");
            puppet.shows(label);
            println!("{}", puppet.text());
        }
        for columns in 1..40 {
            let (mut puppet, _session) = opened(columns, columns.div_ceil(4), "http://127.0.0.1:1");
            puppet.types("日本\t\n\t\tx=1\n\t");
            puppet.text();
        }
    }
}
