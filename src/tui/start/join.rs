//! The form that joins a cluster: one address. What was typed stays until it worked.

use super::starting::Starting;
use crate::tui::forms::field::Field;
use crate::tui::keybar;
use crate::tui::session::Ui;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key};
use cursive::traits::Nameable;
use cursive::{Cursive, Printer, Vec2, View};

const NAME: &str = "join";
const LABEL: &str = "Orchestrator address";
const PREFILLED: &str = "127.0.0.1:50051";
/// Characters taken: no address is longer.
const ADDRESS_MAX: usize = 300;
const KEYS: [(&str, &str); 2] = [("enter", "join"), ("esc", "back")];

/// Shows it.
pub fn open(siv: &mut Cursive, ui: &Ui, starting: &Starting) {
    let mut field = Field::line(ADDRESS_MAX);
    field.set(PREFILLED);
    let form = Join { field, state: State::Typing, ui: ui.clone(), starting: starting.clone() };
    siv.add_fullscreen_layer(form.with_name(NAME));
}

enum State {
    Typing,
    Joining,
    Failed(String),
}

struct Join {
    field: Field,
    state: State,
    ui: Ui,
    starting: Starting,
}

impl Join {
    fn submit(&mut self) {
        if matches!(self.state, State::Joining) {
            return;
        }
        let address = self.field.text().trim().to_string();
        self.state = State::Joining;
        self.starting.worker(&self.ui, address, |siv, why| {
            siv.call_on_name(NAME, |form: &mut Join| form.state = State::Failed(why));
        });
    }

    /// Where the form starts, and how wide it is.
    fn place(size: Vec2) -> (Vec2, usize) {
        let width = size.x.saturating_sub(4).clamp(1, 60);
        (Vec2::new(size.x.saturating_sub(width) / 2, (size.y / 3).saturating_sub(2)), width)
    }
}

impl View for Join {
    fn draw(&self, printer: &Printer) {
        let (at, width) = Join::place(printer.size);
        let say = |y: usize, tone: Tone, line: &str| {
            printer.with_style(tone.style(), |p| p.print((at.x, at.y + y), &text::cut(line, width)));
        };
        say(0, Tone::Title, "Join an existing cluster (Worker)");
        say(2, Tone::Plain, LABEL);
        let typing = !matches!(self.state, State::Joining);
        self.field.draw(&printer.offset((at.x, at.y + 3)).cropped((width, 1)), typing);
        match &self.state {
            State::Typing => say(5, Tone::Dim, "its gRPC address: HOST or HOST:PORT"),
            State::Joining => say(5, Tone::Accent, "Joining…"),
            State::Failed(why) => {
                let rows = printer.size.y.saturating_sub(at.y + 5 + 1);
                let lines = text::wrap(why, width);
                for (n, line) in lines.iter().take(rows).enumerate() {
                    say(5 + n, Tone::Bad, line);
                }
            }
        }
        keybar::keys(printer, printer.size.y.saturating_sub(1), printer.size.x, KEYS.into_iter());
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        match event {
            Event::Key(Key::Esc) => {
                self.starting.cancel();
                EventResult::with_cb_once(|siv| drop(siv.pop_layer()))
            }
            Event::Key(Key::Enter) => {
                self.submit();
                EventResult::consumed()
            }
            Event::CtrlChar('c') => EventResult::Ignored,
            _ if matches!(self.state, State::Joining) => EventResult::consumed(), // the text stays what is being tried
            event if self.field.takes(&event) => {
                self.state = State::Typing;
                EventResult::consumed()
            }
            _ => EventResult::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::puppet::Puppet;
    use crate::tui::start::starting::Roles;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn form(worker: fn(&str, &crate::rt::Receiver<()>) -> Result<crate::tui::Started, String>) -> Puppet {
        let mut puppet = Puppet::new(80, 24);
        let starting = Starting::new(Roles { orchestrator: || Err(String::new()), worker });
        let ui = puppet.ui();
        puppet.runner.add_fullscreen_layer(cursive::views::TextView::new("below"));
        open(&mut puppet.runner, &ui, &starting);
        puppet
    }

    #[test]
    fn a_failure_stands_in_place_and_the_text_stays() {
        let mut puppet = form(|address, _| Err(format!("cannot reach the orchestrator at {address}. Is it running?")));
        puppet.shows(PREFILLED);
        puppet.types("\x7f2q\n");
        puppet.shows("cannot reach the orchestrator at 127.0.0.1:50052q.");
        puppet.shows("    127.0.0.1:50052q");
        puppet.types("\x7f");
        puppet.lacks("cannot reach");
        puppet.types("\x1b");
        puppet.shows("below");
    }

    #[test]
    fn while_it_joins_the_screen_lives_and_esc_gives_up() {
        static GIVEN_UP: AtomicU32 = AtomicU32::new(0);
        let mut puppet = form(|_, given_up| {
            let _ = crate::rt::block_on(given_up.recv());
            GIVEN_UP.fetch_add(1, Ordering::SeqCst);
            Err("given up".into())
        });
        puppet.types("\n");
        puppet.shows("Joining…");
        puppet.types("xyz\n\n");
        puppet.shows(PREFILLED);
        puppet.types("\x1b");
        puppet.shows("below");
        puppet.until(|| GIVEN_UP.load(Ordering::SeqCst) == 1);
        puppet.lacks("given up");
    }

    #[test]
    fn a_paste_is_text_and_submits_nothing() {
        let mut puppet = form(|_, _| Err("submitted".into()));
        puppet.press(Event::Unknown(b"\x1b[Aq\n".to_vec()));
        puppet.shows("127.0.0.1:50051[Aq");
        puppet.press(Event::Unknown(vec![b'x'; 5_000]));
        puppet.shows("xxxxxxxx");
        puppet.lacks("submitted");
        puppet.types("\n");
        puppet.shows("submitted");
    }
}
