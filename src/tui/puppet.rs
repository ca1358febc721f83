//! A screen for tests: cursive's puppet backend, keys in, text out. Must never be in the program.

use crate::client::Orchestrator;
use crate::tui::orchestrator::tests::samples;
use crate::tui::session::{Session, Ui};
use crate::tui::theme;
use crate::tui::too_small::TooSmall;
use crate::types::{Function, Node};
use cursive::backends::puppet::{self, observed::ObservedScreen};
use cursive::event::{Event, Key, MouseButton, MouseEvent};
use cursive::reexports::crossbeam_channel::{Receiver, Sender};
use cursive::{Cursive, CursiveRunner, Vec2};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a test waits for what other threads do.
const PATIENCE: Duration = Duration::from_secs(10);

/// A screen nobody looks at.
pub struct Puppet {
    pub runner: CursiveRunner<Cursive>,
    keys: Sender<Option<Event>>,
    frames: Receiver<ObservedScreen>,
    cells: Vec<Vec<String>>,
    stage: TooSmall,
}

impl Puppet {
    /// Of this many columns and rows.
    pub fn new(columns: usize, rows: usize) -> Puppet {
        let backend = puppet::Backend::init(Some(Vec2::new(columns, rows)));
        let (keys, frames) = (backend.input(), backend.stream());
        let mut siv = Cursive::new();
        siv.set_theme(theme::theme());
        let runner = siv.into_runner(backend);
        Puppet { runner, keys, frames, cells: vec![vec![" ".into(); columns]; rows], stage: TooSmall::default() }
    }

    /// With something below that says "dashboard" and ends at `q`, as dashboards do.
    pub fn over_a_dashboard(columns: usize, rows: usize) -> Puppet {
        let mut puppet = Puppet::new(columns, rows);
        let text = "dashboard ".repeat(columns * rows / 10 + 1);
        puppet.runner.add_fullscreen_layer(cursive::views::TextView::new(text));
        puppet.runner.add_global_callback('q', Cursive::quit);
        puppet
    }

    /// The same with a session of `url`, and with what `open` opens over it.
    pub fn opened(
        columns: usize,
        rows: usize,
        url: &str,
        open: impl FnOnce(&mut Cursive, &Session),
    ) -> (Puppet, Session) {
        let mut puppet = Puppet::over_a_dashboard(columns, rows);
        let session = puppet.session(url);
        open(&mut puppet.runner, &session);
        (puppet, session)
    }

    /// The way to this screen.
    pub fn ui(&self) -> Ui {
        let (wake, _) = mpsc::sync_channel(1);
        Ui::new(self.runner.cb_sink().clone(), wake)
    }

    /// A session on this screen, of the orchestrator at `url` (which need not exist).
    pub fn session(&self, url: &str) -> Session {
        Session::new(Orchestrator::new(url).expect("an address"), self.ui())
    }

    /// Types text; `\n` is Enter, `\t` Tab, `\x1b` Escape, `\x7f` Backspace.
    pub fn types(&mut self, text: &str) {
        for c in text.chars() {
            self.press(match c {
                '\n' => Event::Key(Key::Enter),
                '\t' => Event::Key(Key::Tab),
                '\x1b' => Event::Key(Key::Esc),
                '\x7f' => Event::Key(Key::Backspace),
                c => Event::Char(c),
            });
        }
    }

    /// Presses one key.
    pub fn press(&mut self, event: Event) {
        self.keys.send(Some(event)).expect("the screen lives");
        self.settle();
    }

    /// Clicks on the first place that shows `what`.
    #[track_caller]
    pub fn clicks(&mut self, what: &str) {
        let text = self.text();
        let (y, row) = text.lines().enumerate().find(|(_, row)| row.contains(what)).expect("shown");
        let x = crate::tui::text::width(row.split(what).next().unwrap_or_default());
        let event = MouseEvent::Release(MouseButton::Left);
        self.press(Event::Mouse { offset: Vec2::zero(), position: Vec2::new(x, y), event });
    }

    /// What is shown, row by row, without blanks at the ends.
    pub fn text(&mut self) -> String {
        self.settle();
        let size = Vec2::new(self.cells[0].len(), self.cells.len());
        self.stage.refresh(&mut self.runner, size);
        // Frames hold only the cells that changed.
        for frame in self.frames.try_iter() {
            let size = frame.size();
            for y in 0..size.y.min(self.cells.len()) {
                for x in 0..size.x.min(self.cells[y].len()) {
                    if let Some(cell) = &frame[Vec2::new(x, y)] {
                        self.cells[y][x] = cell.letter.as_option().cloned().unwrap_or_default();
                    }
                }
            }
        }
        self.cells.iter().map(|row| row.concat().trim_end().to_string() + "\n").collect()
    }

    /// Waits until it shows `what`; fails with what it shows instead.
    #[track_caller]
    pub fn shows(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        let mut text = self.text();
        while !text.contains(what) {
            assert!(Instant::now() < until, "never showed '{what}', but:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
            text = self.text();
        }
    }

    /// Types text again and again until it shows `what`.
    #[track_caller]
    pub fn types_until(&mut self, text: &str, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text().contains(what) {
            assert!(Instant::now() < until, "never showed '{what}', but:\n{}", self.text());
            self.types(text);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails when it shows `what`.
    #[track_caller]
    pub fn lacks(&mut self, what: &str) {
        let text = self.text();
        assert!(!text.contains(what), "shows '{what}':\n{text}");
    }

    /// Fails when the README's captures lack something of this screen: `part` says what of a line must be there.
    #[track_caller]
    pub fn is_in_the_readme(&mut self, part: impl Fn(&str) -> Option<String>) {
        let readme = include_str!("../../README.md");
        let (_, from) = readme.split_once("<!-- captures: ").expect("a beginning");
        let (captures, _) = from.split_once("<!-- end of captures -->").expect("an end");
        let there: Vec<String> = captures.lines().filter_map(&part).collect();
        let text = self.text();
        let parts: Vec<String> = text.lines().map(str::trim_end).filter_map(&part).collect();
        assert!(!parts.is_empty(), "nothing to look for in:\n{text}");
        for part in parts {
            assert!(
                there.contains(&part),
                "the README does not show '{part}': run scripts/captures. The screen:\n{text}"
            );
        }
    }

    /// Waits until it does not show `what` any more.
    #[track_caller]
    pub fn gone(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while self.text().contains(what) {
            assert!(Instant::now() < until, "never stopped showing '{what}':\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until something holds, and keeps the screen going.
    #[track_caller]
    pub fn until(&mut self, what: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !what() {
            assert!(Instant::now() < until, "never was so:\n{}", self.text());
            self.settle();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn settle(&mut self) {
        self.stage.step_aside(&mut self.runner);
        while self.runner.process_events() {}
    }
}

/// A function with two instances.
pub fn function(name: &str) -> Function {
    let instances = ["i-1", "i-2"].map(|id| samples::instance(id, "id-n")).into();
    Function { image: "img".into(), instances, ..samples::function(name) }
}

/// A node in a status.
pub fn node(name: &str, status: &str, cordoned: bool) -> Node {
    Node { id: format!("id-{name}"), status: status.into(), cordoned, ..samples::node(name) }
}

#[test]
fn it_shows_what_is_drawn() {
    let mut puppet = Puppet::new(40, 10);
    puppet.runner.add_layer(cursive::views::Dialog::info("hello"));
    puppet.shows("hello");
    puppet.types("\n");
    puppet.lacks("hello");
}
