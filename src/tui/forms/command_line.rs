//! `:` commands: the line at the bottom, its history and completion. What the words do is `verbs`'s.

use super::field::Field;
use super::frame;
use super::verbs::{self, Outcome};
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key};
use cursive::view::View;
use cursive::{Cursive, Printer, Vec2};

/// Characters of a command: bodies are pasted here too.
const LIMIT: usize = 8_000;
/// Rows the line may say something in.
const SAID_ROWS: usize = 5;

/// Opens the line at the bottom.
pub fn open(siv: &mut Cursive, session: &Session) {
    let id = frame::id("command");
    let line = Line {
        id: id.clone(),
        session: session.clone(),
        field: Field::line(LIMIT),
        said: None,
        past: None,
        unfinished: String::new(),
        width: 0,
    };
    frame::open(siv, &id, line);
}

struct Line {
    id: String,
    session: Session,
    field: Field,
    /// What was wrong, or what it could become.
    said: Option<(Tone, String)>,
    /// Which command of the past is shown, counted from the oldest.
    past: Option<usize>,
    /// What was typed before going to the past.
    unfinished: String,
    width: usize,
}

impl Line {
    fn enter(&mut self) -> EventResult {
        let line = self.field.text().trim().to_string();
        let (id, session) = (self.id.clone(), self.session.clone());
        if line.is_empty() {
            return EventResult::with_cb_once(move |siv| frame::close(siv, &id));
        }
        match verbs::read(&line) {
            Err(why) => self.said = Some((Tone::Bad, why)),
            Ok(verb) => {
                self.session.memory().command(&line);
                return EventResult::with_cb_once(move |siv| match verbs::run(siv, &session, verb) {
                    Outcome::Done => frame::close(siv, &id),
                    Outcome::Refused(why) => {
                        siv.call_on_name(&id, |line: &mut Line| line.said = Some((Tone::Bad, why)));
                    }
                });
            }
        }
        EventResult::consumed()
    }

    fn back(&mut self, older: bool) {
        let memory = self.session.memory();
        let past = memory.commands();
        let at = match (older, self.past) {
            (true, None) => past.len().checked_sub(1),
            (true, Some(at)) => Some(at.saturating_sub(1)),
            (false, Some(at)) if at + 1 < past.len() => Some(at + 1),
            (false, _) => None,
        };
        if self.past.is_none() {
            self.unfinished = self.field.text().to_string();
        }
        self.past = at;
        let shown = at.and_then(|at| past.get(at)).unwrap_or(&self.unfinished);
        self.field.set(shown);
    }

    fn complete(&mut self) {
        let (line, choices) = verbs::complete(self.field.text(), &self.session.model());
        self.field.set(&line);
        self.said = match choices.len() {
            0 => Some((Tone::Dim, "Nothing fits.".to_string())),
            1 => None,
            _ => Some((Tone::Dim, choices.join("  "))),
        };
    }

    /// The rows above the line, with what has no room in the field.
    fn above(&self) -> Vec<(Tone, String)> {
        let full = self.field.full().then(|| {
            let what = format!("A command takes {} characters; the rest was left out.", self.field.limit());
            (Tone::Warn, what)
        });
        let mut rows = Vec::new();
        for (tone, said) in full.into_iter().chain(self.said.clone()) {
            rows.extend(text::wrap(&said, self.width).into_iter().map(|row| (tone, row)));
        }
        rows.truncate(SAID_ROWS);
        rows
    }
}

impl View for Line {
    fn required_size(&mut self, screen: Vec2) -> Vec2 {
        screen
    }

    fn layout(&mut self, size: Vec2) {
        self.width = size.x;
    }

    fn draw(&self, printer: &Printer) {
        let above = self.above();
        let size = printer.size;
        printer.with_style(Tone::Plain.style(), |printer| {
            let first = size.y.saturating_sub(above.len() + 1);
            for y in first..size.y {
                printer.print_hline((0, y), size.x, " ");
            }
            for (row, (tone, line)) in above.iter().enumerate() {
                printer.with_style(tone.style(), |p| p.print((0, first + row), line));
            }
            let y = size.y.saturating_sub(1);
            printer.with_style(Tone::Accent.style(), |p| p.print((0, y), ":"));
            self.field.draw(&printer.offset((1, y)).cropped((size.x.saturating_sub(1), 1)), printer.focused);
        });
    }

    /// Takes everything: what is typed is text.
    fn on_event(&mut self, event: Event) -> EventResult {
        let empty = self.field.text().is_empty();
        match event {
            Event::Key(Key::Esc) => {
                let id = self.id.clone();
                return EventResult::with_cb_once(move |siv| frame::close(siv, &id));
            }
            Event::Key(Key::Backspace) if empty => {
                let id = self.id.clone();
                return EventResult::with_cb_once(move |siv| frame::close(siv, &id));
            }
            Event::Key(Key::Enter) => return self.enter(),
            Event::Key(Key::Up) => self.back(true),
            Event::Key(Key::Down) => self.back(false),
            Event::Key(Key::Tab) => self.complete(),
            event => {
                if self.field.takes(&event) {
                    self.said = None;
                    self.past = None;
                }
            }
        }
        EventResult::consumed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned;
    use crate::tui::puppet::{self, Puppet};

    fn opened(columns: usize, rows: usize, url: &str) -> (Puppet, Session) {
        Puppet::opened(columns, rows, url, |siv, session| {
            session.update(|model| {
                for name in ["hello", "help-desk"] {
                    model.functions.insert(name.into(), puppet::function(name));
                }
                let node = puppet::node("lab-1", "active", false);
                model.nodes.insert(node.id.clone(), node);
            });
            open(siv, session);
        })
    }

    fn log(session: &Session) -> String {
        session.model().log.lines().map(|line| format!("{}\n", line.text)).collect()
    }

    fn bottom(puppet: &mut Puppet) -> String {
        puppet.text().lines().last().unwrap_or_default().to_string()
    }

    #[test]
    fn verbs_do_what_they_do_on_the_command_line() {
        let body = r#"{"status":"success","invoke_path":"/invoke/f","name":"f","revision":1}"#;
        let (url, server) = canned::serve(vec![canned::json("201 Created", body)]);
        let (mut puppet, session) = opened(80, 24, &url);
        puppet.types("register f 'img' --env=A='b c' --mode job\n");
        puppet.until(|| log(&session).contains("Successfully registered 'f'"));
        let asked = server.join().expect("the server");
        assert!(asked[0].ends_with(r#"{"name":"f","image":"img","mode":"job","env":{"A":"b c"}}"#), "{}", asked[0]);
        assert!(bottom(&mut puppet).starts_with("dashboard"));
    }

    #[test]
    fn a_function_is_scaled_redeployed_and_rolled_back() {
        let answer = canned::json("200 OK", &serde_json::to_string(&puppet::function("hello")).expect("JSON"));
        let (url, server) = canned::serve(vec![answer; 3]);
        let (mut puppet, session) = opened(80, 24, &url);
        for (line, says) in [
            ("scale hello --min 1 --max 5", "Successfully scaled 'hello': revision "),
            ("redeploy hello", "Successfully redeployed 'hello': revision "),
            ("rollback hello --to 1", "Successfully rolled back 'hello': revision "),
        ] {
            puppet.types(line);
            puppet.types("\n");
            puppet.until(|| log(&session).contains(says));
            open(&mut puppet.runner, &session);
        }
        let asked = server.join().expect("the server");
        for (asked, (path, body)) in asked.iter().zip([
            ("/functions/hello/scale", r#"{"min":1,"max":5}"#),
            ("/functions/hello/redeploy", ""),
            ("/functions/hello/rollback", r#"{"revision":1}"#),
        ]) {
            assert!(asked.starts_with(&format!("POST {path} ")) && asked.ends_with(body), "{asked}");
        }
        puppet.types("scale hello\n");
        puppet.shows("give --min, --ready or --max");
    }

    #[test]
    fn mistakes_are_said_in_place_and_the_text_stays() {
        for (columns, rows) in [(80, 24), (60, 20), (40, 10)] {
            let (mut puppet, _session) = opened(columns, rows, "http://127.0.0.1:1");
            for (typed, part) in [
                ("regster a b", "'register'?"),
                ("register a", "image"),
                ("register A_B img", "no valid name"),
                ("describe", "name"), // `logs` without one is the program's own
                ("node cordn x", "cordn"),
                ("invoke 'x", "quote"),
                ("worker here", "shell"),
                ("list --url http://x", "--url"),
            ] {
                puppet.types(typed);
                puppet.types("\n");
                puppet.shows(part);
                if part == "image" || part.starts_with("'reg") {
                    println!("{}", puppet.text());
                }
                assert!(bottom(&mut puppet).starts_with(&format!(":{typed}")), "{}", puppet.text());
                puppet.press(Event::CtrlChar('u'));
            }
            puppet.types("q?");
            assert!(bottom(&mut puppet).starts_with(":q?"));
            puppet.types("\x7f\x7f\x7f");
            assert!(bottom(&mut puppet).starts_with("dashboard"));
            assert!(puppet.runner.is_running());
        }
    }

    #[test]
    fn tab_completes() {
        let (mut puppet, _session) = opened(80, 24, "http://127.0.0.1:1");
        for (typed, line) in [
            ("reg\t", ":register "),
            ("inv\the\t", ":invoke hel"),
            ("l", ":invoke hell"),
            ("node co\tl\t", ":node cordon lab-1 "),
            ("register a b --me\t", ":register a b --memory-mb "),
            ("zzz\t", ":zzz"),
        ] {
            if typed != "l" {
                puppet.press(Event::CtrlChar('u'));
            }
            puppet.types(typed);
            assert!(bottom(&mut puppet).starts_with(line), "{typed}: {}", bottom(&mut puppet));
        }
        puppet.press(Event::CtrlChar('u'));
        puppet.types("\t");
        puppet.shows("invoke  list");
        puppet.types("describe h\t");
        puppet.shows("hello  help-desk");
        println!("{}", puppet.text());
    }

    #[test]
    fn the_past_is_there_again() {
        let (mut puppet, session) = opened(80, 24, "http://127.0.0.1:1");
        puppet.types("help\n");
        puppet.shows("Commands");
        println!("{}", puppet.text());
        puppet.types("\n");
        open(&mut puppet.runner, &session);
        puppet.types("half");
        puppet.press(Event::Key(Key::Up));
        puppet.press(Event::Key(Key::Up));
        assert!(bottom(&mut puppet).starts_with(":help _"));
        puppet.press(Event::Key(Key::Down));
        assert!(bottom(&mut puppet).starts_with(":half"));
        puppet.types("\x1b");
        assert!(bottom(&mut puppet).starts_with("dashboard"));
    }

    #[test]
    fn what_is_lost_is_asked_for() {
        let (mut puppet, session) = opened(60, 20, "http://127.0.0.1:1");
        puppet.types("delete hello\n");
        puppet.shows("Delete the function 'hello'");
        puppet.types("\n");
        puppet.gone("Delete the function");
        open(&mut puppet.runner, &session);
        puppet.types("delete hello --yes\n");
        puppet.shows("Deleting hello failed");
        puppet.types("\n");
        open(&mut puppet.runner, &session);
        puppet.types("node remove lab-1\n");
        puppet.shows("is connected");
    }

    #[test]
    fn answers_open_in_a_box() {
        let function = serde_json::to_string(&puppet::function("hello")).expect("JSON");
        let node = serde_json::to_string(&puppet::node("lab-1", "draining", true)).expect("JSON");
        let (url, _server) = canned::serve(vec![
            canned::json("200 OK", &function),
            canned::json("200 OK", &format!("[{function}]")),
            canned::with("200 OK", "content-type: text/plain\r\n", "echo"),
            canned::json("200 OK", &node),
        ]);
        let (mut puppet, session) = opened(60, 20, &url);
        for (typed, part) in
            [("describe hello", "invoke_path: /invoke/hello"), ("list", "hello"), ("invoke hello -d x", "echo")]
        {
            puppet.types(typed);
            puppet.types("\n");
            puppet.shows(part);
            println!("{}", puppet.text());
            puppet.types("\x1b");
            open(&mut puppet.runner, &session);
        }
        puppet.types("node drain lab-1\n");
        puppet.until(|| log(&session).contains("finishes what it has"));
        open(&mut puppet.runner, &session);
        puppet.types("logs hello\n");
        puppet.shows("Log of hello");
        puppet.types("q");
        open(&mut puppet.runner, &session);
        puppet.types("quit\n");
        assert!(!puppet.runner.is_running());
    }
}
