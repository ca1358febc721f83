//! The form that calls a function. What comes back is `answer`'s.

use super::answer::{self, Call};
use super::field::Field;
use super::form::{Form, Item};
use super::frame;
use crate::tui::session::Session;
use cursive::Cursive;

const METHOD: &str = "Method";
const PATH: &str = "Path";
const BODY: &str = "Body";
const SEND: &str = "Send";

/// Characters of a path, and of a body: more than anybody types, enough for a paste.
const PATH_LIMIT: usize = 2_000;
const BODY_LIMIT: usize = 64_000;
/// Rows of the body that are seen.
const BODY_ROWS: usize = 5;

/// Opens it for a function, as it was left for this function before.
pub fn open(siv: &mut Cursive, session: &Session, function: &str) {
    let id = frame::id("invoke");
    let items = vec![
        Item::Choice(METHOD, &["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"], 0),
        Item::Field(PATH, Field::line(PATH_LIMIT)),
        Item::Field(BODY, Field::area(BODY_LIMIT, BODY_ROWS)),
        Item::Button(SEND),
    ];
    let (submit, close) = ((session.clone(), id.clone()), (session.clone(), id.clone()));
    let (name, same) = (function.to_string(), function.to_string());
    let mut form = Form::new(format!("Invoke {function}"), "send", items)
        .on_submit(move |siv| send(siv, &submit.0, &submit.1, &name))
        .on_close(move |siv| {
            keep(siv, &close.0, &close.1, &same);
            frame::close(siv, &close.1);
        });
    if let Some(draft) = session.memory().draft(&draft(function)) {
        form.restore(&draft);
    }
    // Enter calls at once; typing goes to the body above.
    form.focus(SEND);
    frame::open(siv, &id, form);
}

/// Under which name a function's form is kept.
fn draft(function: &str) -> String {
    format!("invoke {function}")
}

fn keep(siv: &mut Cursive, session: &Session, id: &str, function: &str) {
    let given = siv.call_on_name(id, |form: &mut Form| form.touched().then(|| form.draft())).flatten();
    match given {
        Some(given) => session.memory().keep(&draft(function), given),
        None => session.memory().forget(&draft(function)),
    }
}

fn send(siv: &mut Cursive, session: &Session, id: &str, function: &str) {
    let call = siv.call_on_name(id, |form: &mut Form| Call {
        function: function.to_string(),
        method: form.value(METHOD).to_string(),
        path: form.value(PATH).trim().to_string(),
        headers: Vec::new(),
        body: form.value(BODY).to_string(),
    });
    keep(siv, session, id, function);
    frame::close(siv, id);
    if let Some(call) = call {
        answer::open(siv, session, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned;
    use crate::tui::puppet::Puppet;
    use cursive::event::{Event, Key};

    fn opened(columns: usize, rows: usize, url: &str) -> (Puppet, Session) {
        Puppet::opened(columns, rows, url, |siv, session| open(siv, session, "hello"))
    }

    #[test]
    fn enter_calls_and_the_answer_is_shown() {
        let ok = canned::with("200 OK", "content-type: text/plain\r\nx-call-id: c-7\r\n", "Hello, world!\x1b[2J");
        let (url, server) = canned::serve(vec![ok.clone(), ok]);
        let (mut puppet, _session) = opened(80, 24, &url);
        puppet.shows("Invoke hello");
        println!("{}", puppet.text());
        puppet.types("\n");
        puppet.shows("Hello, world! [2J");
        puppet.shows("200 OK");
        puppet.shows("call c-7");
        println!("{}", puppet.text());
        puppet.types("a\n");
        puppet.shows("200 OK");
        let asked = server.join().expect("the server");
        assert!(asked.iter().all(|asked| asked.starts_with("POST /invoke/hello HTTP/1.1")), "{asked:?}");
        puppet.types("\n");
        puppet.gone("200 OK");
        puppet.lacks("Invoke hello");
    }

    #[test]
    fn what_is_typed_goes_to_the_body() {
        let ok = canned::json("200 OK", r#"{"b":1,"a":["x",{}],"quote":"\"}"}"#);
        let (url, server) = canned::serve(vec![ok]);
        let (mut puppet, session) = opened(80, 24, &url);
        puppet.types("{\"q?\":\n1}\t\t");
        puppet.press(Event::Key(Key::Right));
        puppet.press(Event::Key(Key::Right));
        puppet.types("\t/items?x=1");
        println!("{}", puppet.text());
        puppet.press(Event::CtrlChar('s'));
        puppet.shows("\"quote\": \"\\\"}\"");
        println!("{}", puppet.text());
        let asked = server.join().expect("the server").remove(0);
        assert!(asked.starts_with("PUT /invoke/hello/items?x=1 HTTP/1.1"), "{asked}");
        assert!(asked.contains("content-type: application/json") && asked.ends_with("{\"q?\":\n1}"), "{asked}");
        puppet.types("e\n");
        puppet.shows("/items?x=1");
        puppet.types("\x1b");
        puppet.gone("items");
        open(&mut puppet.runner, &session, "other");
        puppet.lacks("items");
    }

    #[test]
    fn a_path_and_a_long_paste_on_small_screens() {
        for (columns, rows) in [(60, 20), (40, 10)] {
            let (mut puppet, _session) = opened(columns, rows, "http://127.0.0.1:1");
            for _ in 0..500 {
                puppet.types("q日本: past\n");
            }
            puppet.types("end");
            puppet.shows("end");
            println!("{}", puppet.text());
            puppet.types("\t");
            puppet.shows("[ Send ]");
            println!("{}", puppet.text());
            puppet.types("\n");
            puppet.shows("cannot reach");
            println!("{}", puppet.text());
            puppet.types("\x1b");
            puppet.gone("cannot reach");
        }
    }

    #[test]
    fn a_call_nobody_answers_can_be_left() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let (mut puppet, session) = opened(40, 10, &url);
        puppet.types("\n");
        puppet.shows("Calling hello");
        println!("{}", puppet.text());
        puppet.types("\x1b");
        puppet.gone("Calling");
        assert_eq!(session.model().busy, ["Calling hello"]);
    }
}
