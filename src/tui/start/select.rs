//! The start screen: create a cluster, or join one.

use super::join;
use super::starting::Starting;
use crate::tui::forms::ask;
use crate::tui::forms::help;
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::session::Ui;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::version;
use cursive::event::{Event, EventResult, MouseButton, MouseEvent};
use cursive::traits::Nameable;
use cursive::{Cursive, Printer, Vec2, View};

const NAME: &str = "start";
const CHOICES: [&str; 2] = ["[1] Create a new cluster (Orchestrator)", "[2] Join an existing cluster (Worker)"];
const HINTS: [&str; 2] = ["nodes, functions and the REST API", "runs the functions of a cluster"];

/// Shows it.
pub fn open(siv: &mut Cursive, ui: &Ui, starting: &Starting) {
    let view = Select { at: 0, note: Note::None, top: 0, step: 1, ui: ui.clone(), starting: starting.clone() };
    siv.add_fullscreen_layer(view.with_name(NAME));
}

enum Note {
    None,
    Busy,
    Failed(String),
}

struct Select {
    at: usize,
    note: Note,
    /// The row of the first choice, as last laid out.
    top: usize,
    /// Rows between one choice and the next.
    step: usize,
    ui: Ui,
    starting: Starting,
}

impl Select {
    fn choose(&mut self, at: usize) -> EventResult {
        self.at = at;
        if matches!(self.note, Note::Busy) {
            return EventResult::consumed();
        }
        let (ui, starting) = (self.ui.clone(), self.starting.clone());
        if at == 1 {
            self.note = Note::None;
            return EventResult::with_cb_once(move |siv| join::open(siv, &ui, &starting));
        }
        self.note = Note::Busy;
        starting.orchestrator(&ui, |siv, why| {
            siv.call_on_name(NAME, |view: &mut Select| view.note = Note::Failed(why));
        });
        EventResult::consumed()
    }
}

impl View for Select {
    fn draw(&self, printer: &Printer) {
        let size = printer.size;
        let left = size.x.saturating_sub(CHOICES[0].len()) / 2;
        let say = |y: usize, tone: Tone, line: &str| {
            let line = text::cut(line, size.x.saturating_sub(left));
            printer.with_style(tone.style(), |p| p.print((left, y), &line));
        };
        let step = self.step;
        say(self.top.saturating_sub(3), Tone::Title, &format!("CARES {}", version::VERSION));
        say(self.top.saturating_sub(2), Tone::Dim, "functions on the machines you have");
        for (n, choice) in CHOICES.iter().enumerate() {
            let tone = if n == self.at { Tone::Selected } else { Tone::Plain };
            let y = self.top + n * step;
            printer.with_style(tone.style(), |p| p.print((left, y), &text::left(choice, CHOICES[0].len())));
            if step > 1 {
                printer.with_style(Tone::Dim.style(), |p| p.print((left + 4, y + 1), HINTS[n]));
            }
        }
        let below = self.top + step + if step > 1 { 3 } else { 2 };
        match &self.note {
            Note::None => {}
            Note::Busy => say(below, Tone::Accent, "Starting…"),
            Note::Failed(why) => {
                let room = size.x.saturating_sub(4).max(1);
                let rows = size.y.saturating_sub(below + 1);
                for (n, line) in text::wrap(why, room).iter().take(rows).enumerate() {
                    printer.with_style(Tone::Bad.style(), |p| p.print((2, below + n), line));
                }
            }
        }
        keybar::draw(printer, size.y.saturating_sub(1), Place::Start, None, &[]);
    }

    fn layout(&mut self, size: Vec2) {
        self.step = if size.y >= 16 { 3 } else { 1 }; // hints fit only with room
        let rows = 3 + 1 + self.step;
        self.top = (size.y.saturating_sub(rows + 3) / 2 + 3).min(size.y.saturating_sub(3));
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        if let Event::Mouse { event: MouseEvent::Press(MouseButton::Left), position, offset } = event {
            let row = position.saturating_sub(offset).y;
            let hit = (0..CHOICES.len()).find(|n| row == self.top + n * self.step);
            return hit.map_or(EventResult::Ignored, |at| self.choose(at));
        }
        match event {
            Event::Char('1') => return self.choose(0),
            Event::Char('2') => return self.choose(1),
            _ => {}
        }
        match keymap::action(Place::Start, &event) {
            Some((Action::Up, _)) => self.at = 0,
            Some((Action::Down, _)) => self.at = 1,
            Some((Action::Open, _)) => return self.choose(self.at),
            Some((Action::Help, _)) => return EventResult::with_cb_once(|siv| help::open(siv, Place::Start)),
            Some((Action::Quit, _)) => return EventResult::with_cb_once(|siv| ask::quit(siv, None)),
            _ => return EventResult::Ignored,
        }
        EventResult::consumed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::puppet::Puppet;
    use crate::tui::start::starting::Roles;
    use cursive::event::Key;

    fn start(columns: usize, rows: usize) -> Puppet {
        let mut puppet = Puppet::new(columns, rows);
        let roles = Roles {
            orchestrator: || Err("the data folder /x is in use by process 7. End that one".into()),
            worker: |_, _, _| Err("never asked".into()),
        };
        let ui = puppet.ui();
        open(&mut puppet.runner, &ui, &Starting::new(roles));
        puppet
    }

    #[test]
    fn it_shows_two_choices_at_every_size() {
        for (columns, rows) in [(40, 10), (60, 20), (80, 24), (300, 100)] {
            let mut puppet = start(columns, rows);
            let text = puppet.text();
            for what in [CHOICES[0], CHOICES[1], "CARES", "q quit"] {
                assert!(text.contains(what), "{what} at {columns}x{rows}:\n{text}");
            }
        }
        let mut small = start(20, 5);
        small.shows("needs 40x10");
        small.types("q");
        small.text();
    }

    #[test]
    fn keys_and_the_mouse_choose() {
        for keys in ["2", "j\n"] {
            let mut puppet = start(80, 24);
            puppet.types(keys);
            puppet.shows("Orchestrator address");
            puppet.types("\x1b");
            puppet.shows(CHOICES[0]);
        }
        let mut puppet = start(80, 24);
        puppet.press(Event::Key(Key::Down));
        puppet.press(Event::Key(Key::Up));
        puppet.types("\n");
        puppet.shows("in use by process 7");
        puppet.shows(CHOICES[1]);
        let text = puppet.text();
        let row = text.lines().position(|line| line.contains(CHOICES[1])).expect("the choice");
        let event = MouseEvent::Press(MouseButton::Left);
        puppet.press(Event::Mouse { event, position: Vec2::new(30, row), offset: Vec2::zero() });
        puppet.shows("Orchestrator address");
    }

    #[test]
    fn the_readme_shows_it() {
        start(80, 16).is_in_the_readme(|line| (!line.is_empty()).then(|| line.to_string()));
    }

    #[test]
    fn q_leaves() {
        let mut puppet = start(80, 24);
        puppet.types("q");
        assert!(!puppet.runner.is_running());
    }
}
