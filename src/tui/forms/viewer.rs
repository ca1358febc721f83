//! A log, opened over the whole screen: search, scroll, follow. Must never change what it shows.

use super::field::Field;
use super::frame;
use super::help;
use super::search::Search;
use super::tail::{Of, Tail};
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::log::{self, Log};
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key, MouseEvent};
use cursive::view::View;
use cursive::{Cursive, Printer, Vec2};
use unicode_width::UnicodeWidthChar;

/// Cells a long line moves at once.
const STEP: usize = 8;
/// Characters of a search.
const SEARCH_LIMIT: usize = 200;

/// What a function printed, and prints.
pub fn open_function(siv: &mut Cursive, session: &Session, function: &str) {
    open_tail(siv, session, Of::Function(function.to_string()), function);
}

/// What a task printed, and prints. `name` is what people call it.
pub fn open_task(siv: &mut Cursive, session: &Session, id: &str, name: &str) {
    open_tail(siv, session, Of::Task(id.to_string()), name);
}

/// What a module of a pipeline printed, and prints.
pub fn open_module(siv: &mut Cursive, session: &Session, pipeline: &str, module: &str) {
    open_tail(siv, session, Of::Module(pipeline.to_string(), module.to_string()), module);
}

fn open_tail(siv: &mut Cursive, session: &Session, of: Of, name: &str) {
    let source = Source::Tail { session: Box::new(session.clone()), tail: Tail::start(session, of) };
    open(siv, Viewer::new(format!("Log of {name}"), source));
}

/// The session's own log; only lines that hold `about`, if given (such as a node's name).
pub fn open_log(siv: &mut Cursive, session: &Session, about: Option<&str>) {
    let title = about.map_or("Log".to_string(), |about| format!("Log about {about}"));
    let source = Source::Session { session: Box::new(session.clone()), about: about.map(str::to_string), next: 0 };
    open(siv, Viewer::new(title, source));
}

fn open(siv: &mut Cursive, mut viewer: Viewer) {
    viewer.id = frame::id("log");
    let id = viewer.id.clone();
    frame::open(siv, &id, viewer);
}

enum Source {
    Tail {
        session: Box<Session>,
        tail: Tail,
    },
    /// `next` is the number of the first line not taken yet.
    Session {
        session: Box<Session>,
        about: Option<String>,
        next: u64,
    },
}

struct Viewer {
    id: String,
    title: String,
    source: Source,
    log: Log,
    /// While it is typed.
    typing: Option<Field>,
    search: Search,
    /// Cells of long lines that are left of the screen.
    left: usize,
    size: Vec2,
}

impl Viewer {
    fn new(title: String, source: Source) -> Viewer {
        Viewer {
            id: String::new(),
            title,
            source,
            log: Log::default(),
            typing: None,
            search: Search::default(),
            left: 0,
            size: Vec2::zero(),
        }
    }

    /// Rows of the log: all but the title and the foot.
    fn height(&self) -> usize {
        self.size.y.saturating_sub(2)
    }

    fn take(&mut self) {
        match &mut self.source {
            Source::Tail { session, tail } => {
                tail.notice(&session.model());
                tail.take().into_iter().for_each(|line| self.log.push(line));
            }
            Source::Session { session, about, next } => {
                let model = session.model();
                let first = model.log.dropped();
                let new = model.log.lines().skip(next.saturating_sub(first) as usize);
                let wanted = |line: &&log::Line| about.as_ref().is_none_or(|about| line.text.contains(about));
                new.filter(wanted).for_each(|line| self.log.push(line.clone()));
                *next = first + model.log.lines().len() as u64;
            }
        }
        self.search.update(&self.log);
    }

    fn look_for(&mut self, words: &str) {
        self.search = Search::new(words);
        self.search.update(&self.log);
    }

    fn step(&mut self, forward: bool) {
        let first = self.log.dropped() + self.log.first_shown(self.height()) as u64;
        if let Some(line) = self.search.step(forward, first) {
            let height = self.height();
            self.log.show((line - self.log.dropped()) as usize, height);
        }
    }

    fn type_key(&mut self, event: &Event) {
        let Some(field) = &mut self.typing else { return };
        match event {
            Event::Key(Key::Esc) => {
                self.typing = None;
                self.look_for("");
            }
            Event::Key(Key::Enter) => {
                self.typing = None;
                self.step(true);
            }
            event => {
                if field.takes(event) {
                    let words = field.text().to_string();
                    self.look_for(&words);
                }
            }
        }
    }

    fn act(&mut self, action: Action) -> EventResult {
        match action {
            Action::Filter => self.typing = Some(Field::line(SEARCH_LIMIT)),
            Action::NextMatch => self.step(true),
            Action::PreviousMatch => self.step(false),
            Action::Left => self.left = self.left.saturating_sub(STEP),
            Action::Right => self.left = (self.left + STEP).min(self.longest()),
            Action::Help => return EventResult::with_cb_once(|siv| help::open(siv, Place::Log)),
            Action::Back if !self.search.is_empty() => self.look_for(""),
            Action::Back | Action::Quit => {
                let id = self.id.clone();
                return EventResult::with_cb_once(move |siv| frame::close(siv, &id));
            }
            // The screen's own.
            Action::Mouse => return EventResult::Ignored,
            scroll => {
                let height = self.height();
                self.log.scroll(scroll, height);
            }
        }
        EventResult::consumed()
    }

    /// Cells of the longest line seen, but for the last step.
    fn longest(&self) -> usize {
        let seen = self.log.lines().skip(self.log.first_shown(self.height())).take(self.height());
        seen.map(|line| text::width(&line.text)).max().unwrap_or(0).saturating_sub(STEP)
    }

    /// How it stands, for the title's right end.
    fn state(&self) -> (Tone, String) {
        let (trouble, over) = match &self.source {
            Source::Tail { tail, .. } => (tail.trouble(), tail.over()),
            Source::Session { .. } => (None, false),
        };
        match (trouble, self.log.following()) {
            (Some(why), _) => (Tone::Bad, format!("✗ {why}")),
            (None, true) if over => (Tone::Dim, "○ ended".to_string()),
            (None, true) => (Tone::Good, "● following".to_string()),
            (None, false) => {
                let seen = (self.log.first_shown(self.height()) + self.height()).min(self.log.lines().len());
                (Tone::Dim, format!("○ line {seen} of {}", self.log.lines().len()))
            }
        }
    }

    /// Why there is nothing to be seen; whole, as the title has room for its start only.
    fn emptiness(&self) -> (Tone, String) {
        match &self.source {
            Source::Tail { tail, .. } => match (tail.trouble(), tail.begun()) {
                (Some(why), _) => (Tone::Bad, why),
                (None, false) => (Tone::Dim, "Asking the nodes…".to_string()),
                (None, true) if tail.over() => (Tone::Dim, "It has ended, and printed nothing.".to_string()),
                (None, true) => (Tone::Dim, "It has printed nothing yet. What comes is shown here.".to_string()),
            },
            Source::Session { .. } => (Tone::Dim, "Nothing yet. What comes is shown here.".to_string()),
        }
    }

    fn draw_line(&self, printer: &Printer, y: usize, number: u64, line: &log::Line) {
        let x = log::draw_head(printer, y, line);
        let chars: Vec<char> = text::clean(&line.text).chars().collect();
        let places = self.search.places(&chars);
        let here = self.search.is_at(number);
        let mut cell = 0usize;
        for (at, c) in chars.iter().enumerate() {
            let wide = c.width().unwrap_or(0);
            let column = x + cell.saturating_sub(self.left);
            if cell >= self.left && column + wide <= printer.size.x {
                let marked = places.iter().any(|start| (*start..start + self.search.len()).contains(&at));
                let tone = match (marked, here) {
                    (true, true) => Tone::Selected,
                    (true, false) => Tone::Unfocused,
                    (false, _) => Tone::Plain,
                };
                printer.with_style(tone.style(), |p| p.print((column, y), c.encode_utf8(&mut [0; 4])));
            }
            cell += wide;
        }
        if cell > self.left + printer.size.x.saturating_sub(x) && printer.size.x > x {
            printer.with_style(Tone::Dim.style(), |p| p.print((printer.size.x - 1, y), "›"));
        }
    }

    fn draw_foot(&self, printer: &Printer) {
        let y = self.size.y.saturating_sub(1);
        let told = self.search.told();
        let room = self.size.x.saturating_sub(text::width(&told));
        if let Some(field) = &self.typing {
            printer.print((0, y), "/");
            field.draw(&printer.offset((1, y)).cropped((room.saturating_sub(2), 1)), true);
        } else {
            keybar::keys(printer, y, room, keymap::footer(Place::Log));
        }
        let tone = if self.search.found_nothing() { Tone::Warn } else { Tone::Plain };
        printer.with_style(tone.style(), |p| p.print((room, y), &told));
    }
}

impl View for Viewer {
    fn required_size(&mut self, screen: Vec2) -> Vec2 {
        screen
    }

    fn layout(&mut self, size: Vec2) {
        self.size = size;
        self.take();
    }

    fn draw(&self, printer: &Printer) {
        printer.with_style(Tone::Plain.style(), |printer| {
            for y in 0..printer.size.y {
                printer.print_hline((0, y), printer.size.x, " ");
            }
            let title = text::cut(&self.title, printer.size.x);
            printer.with_style(Tone::Title.style(), |p| p.print((0, 0), &title));
            let (tone, state) = self.state();
            let state = text::cut(&state, printer.size.x.saturating_sub(text::width(&title) + 2));
            let start = printer.size.x.saturating_sub(text::width(&state));
            printer.with_style(tone.style(), |p| p.print((start, 0), &state));
            let (first, height) = (self.log.first_shown(self.height()), self.height());
            let number = self.log.dropped() + first as u64;
            for (y, line) in self.log.lines().skip(first).take(height).enumerate() {
                self.draw_line(printer, 1 + y, number + y as u64, line);
            }
            if self.log.lines().len() == 0 {
                let (tone, why) = self.emptiness();
                for (y, line) in text::wrap(&why, printer.size.x).iter().take(height).enumerate() {
                    printer.with_style(tone.style(), |p| p.print((0, 1 + y), line));
                }
            }
            self.draw_foot(printer);
        });
    }

    /// Takes everything but the mouse key, as what is below is not seen.
    fn on_event(&mut self, event: Event) -> EventResult {
        if self.typing.is_some() {
            self.type_key(&event);
            return EventResult::consumed();
        }
        let height = self.height();
        match &event {
            Event::Mouse { event: MouseEvent::WheelUp, .. } => drop(self.log.scroll(Action::Up, height)),
            Event::Mouse { event: MouseEvent::WheelDown, .. } => drop(self.log.scroll(Action::Down, height)),
            Event::Mouse { .. } => {}
            event => {
                if let Some((action, _)) = keymap::action(Place::Log, event) {
                    return self.act(action);
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
    use crate::tui::puppet::Puppet;
    use crate::types::{TaskPhase, TaskSummary};

    fn noted(columns: usize, rows: usize, lines: &[(&str, &str)], about: Option<&str>) -> (Puppet, Session) {
        Puppet::opened(columns, rows, "http://127.0.0.1:1", |siv, session| {
            lines.iter().for_each(|(level, line)| session.note(level, *line));
            open_log(siv, session, about);
        })
    }

    fn many(count: usize) -> Vec<(&'static str, &'static str)> {
        (0..count).map(|n| if n % 50 == 7 { ("warn", "a Needle here") } else { ("info", "hay") }).collect()
    }

    #[test]
    fn it_follows_scrolls_and_searches() {
        let (mut puppet, session) = noted(80, 24, &many(500), None);
        puppet.shows("● following");
        session.note("info", "the newest\x1b[31m");
        puppet.shows("the newest [31m");
        puppet.types("k");
        puppet.shows("○ line 500 of 501");
        puppet.types("/needl");
        puppet.shows("10 matches");
        println!("{}", puppet.text());
        puppet.types("e\n");
        puppet.shows("match 1 of 10");
        puppet.types("nn");
        puppet.shows("match 3 of 10");
        puppet.shows("a Needle here");
        println!("{}", puppet.text());
        puppet.types("NNN");
        puppet.shows("match 10 of 10");
        puppet.types("/needLe\n");
        puppet.shows("no match");
        puppet.types("\x1b");
        puppet.gone("no match");
        puppet.types("G");
        puppet.shows("● following");
        puppet.types("\x1b");
        puppet.gone("following");
        puppet.shows("dashboard");
    }

    #[test]
    fn the_log_of_what_has_ended_says_so_and_goes_on_when_it_is_begun_again() {
        let line =
            r#"{"time":"2026-01-01T12:34:56.000Z","node":"n","source":"t-1","stream":"stdout","line":"hello again"}"#;
        let answers = ["", line].map(|body| canned::with("200 OK", "", body));
        let (url, _server) = canned::serve(answers.into());
        let mut puppet = Puppet::over_a_dashboard(80, 24);
        let session = puppet.session(&url);
        let task = TaskSummary { id: "t-1".into(), state: TaskPhase::Stopped, ..TaskSummary::default() };
        session.update(|model| drop(model.tasks.insert(task.id.clone(), task.clone())));
        open_task(&mut puppet.runner, &session, "t-1", "cache");
        puppet.shows("○ ended");
        puppet.shows("It has ended, and printed nothing.");
        session.update(|model| drop(model.tasks.insert(task.id.clone(), TaskSummary { attempt: 1, ..task })));
        puppet.shows("hello again");
    }

    #[test]
    fn only_what_is_about_something() {
        let lines = [("info", "node-a joined"), ("error", "node-b is lost"), ("info", "日本 node-b is back 日本")];
        for (columns, rows) in [(60, 20), (40, 10)] {
            let (mut puppet, session) = noted(columns, rows, &lines, Some("node-b"));
            puppet.shows("Log about node-b");
            puppet.shows("[ERROR] node-b is lost");
            puppet.lacks("node-a");
            session.note("info", "node-a again");
            session.note("info", "node-b again");
            puppet.shows("node-b again");
            puppet.lacks("node-a");
            println!("{}", puppet.text());
            puppet.types("?");
            puppet.shows("Keys");
            puppet.types("?");
            puppet.gone("Keys");
            puppet.types("q");
            puppet.shows("dashboard");
            assert!(puppet.runner.is_running());
        }
    }

    #[test]
    fn long_lines_move() {
        let line = format!("start {} end", "日".repeat(60));
        let (mut puppet, _session) = noted(40, 10, &[("info", &line)], None);
        puppet.shows("›");
        for _ in 0..30 {
            puppet.press(Event::Key(Key::Right));
        }
        puppet.shows("end");
        for _ in 0..30 {
            puppet.press(Event::Key(Key::Left));
        }
        puppet.shows("start");
    }

    #[test]
    fn a_function_is_followed() {
        let line = |n: u64, stream: &str, text: &str| {
            let time = format!("2025-01-01T00:00:0{n}.000Z");
            let json =
                serde_json::json!({ "time": time, "node": "n", "source": "i-1", "stream": stream, "line": text });
            json.to_string() + "\n"
        };
        let first =
            line(1, "stdout", "hello\x1b[2J out") + &line(2, "stderr", "an error") + &line(2, "stdout", "third");
        let second = line(2, "stdout", "third") + &line(3, "stdout", "fourth");
        let (url, server) =
            canned::serve(vec![canned::with("200 OK", "", &first), canned::with("200 OK", "", &second)]);
        let (mut puppet, _session) = Puppet::opened(60, 12, &url, |siv, session| open_function(siv, session, "hello"));
        puppet.shows("err i-1│ an error");
        puppet.shows("hello [2J out");
        puppet.shows("fourth");
        println!("{}", puppet.text());
        assert_eq!(puppet.text().matches("third").count(), 1);
        let asked = server.join().expect("the server");
        assert!(asked[0].starts_with("GET /logs/hello?format=json&follow=true&tail=10000 "), "{}", asked[0]);
        puppet.shows("✗ cannot reach");
        puppet.types("\x1b");
        puppet.gone("Log of");
    }

    #[test]
    fn why_there_is_no_log_is_said_whole() {
        let body = r#"{"status":404,"detail":"no function 'nope' is registered: GET /functions lists them"}"#;
        let (url, _server) = canned::serve(vec![canned::json("404 Not Found", body)]);
        let (mut puppet, _session) = Puppet::opened(40, 10, &url, |siv, session| open_function(siv, session, "nope"));
        puppet.shows("functions lists them");
        println!("{}", puppet.text());
    }

    #[test]
    fn a_silent_orchestrator_can_be_left() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let (mut puppet, _session) = Puppet::opened(40, 10, &url, |siv, session| open_function(siv, session, "hello"));
        puppet.shows("Asking the nodes…");
        println!("{}", puppet.text());
        puppet.types("jkgG/x\n\x1b\x1b");
        puppet.gone("Asking");
    }
}
