//! The form that joins a cluster: one address, and a token once the cluster has asked for one. What was typed stays until it worked.

use super::starting::Starting;
use crate::auth::JOIN_TOKEN;
use crate::tui::forms::field::Field;
use crate::tui::keybar;
use crate::tui::session::Ui;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key};
use cursive::theme::Effect;
use cursive::traits::Nameable;
use cursive::{Cursive, Printer, Vec2, View};

const NAME: &str = "join";
const LABEL: &str = "Orchestrator address";
const PREFILLED: &str = "127.0.0.1:50051";
/// Characters taken: no address is longer.
const ADDRESS_MAX: usize = 300;
const TOKEN_LABEL: &str = "Join token";
/// And no token.
const TOKEN_MAX: usize = 16 * 1024;
const KEYS: [(&str, &str); 2] = [("enter", "join"), ("esc", "back")];
const KEYS_OF_TWO: [(&str, &str); 3] = [("enter", "join"), ("tab", "next field"), ("esc", "back")];

/// Shows it.
pub fn open(siv: &mut Cursive, ui: &Ui, starting: &Starting) {
    let mut field = Field::line(ADDRESS_MAX);
    field.set(PREFILLED);
    let token = Field::line(TOKEN_MAX);
    let form = Join {
        field,
        token,
        asked: false,
        at_token: false,
        state: State::Typing,
        ui: ui.clone(),
        starting: starting.clone(),
    };
    siv.add_fullscreen_layer(form.with_name(NAME));
}

enum State {
    Typing,
    Joining,
    Failed(String),
}

struct Join {
    field: Field,
    token: Field,
    /// The cluster has asked for a token.
    asked: bool,
    at_token: bool,
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
        let token = self.token.text().trim().to_string();
        self.state = State::Joining;
        self.starting.worker(&self.ui, (address, token), |siv, why| {
            siv.call_on_name(NAME, |form: &mut Join| form.failed(why));
        });
    }

    fn failed(&mut self, why: String) {
        if why.contains(JOIN_TOKEN) {
            (self.asked, self.at_token) = (true, true);
        }
        self.state = State::Failed(why);
    }

    /// As many dots as it has characters: whoever looks over a shoulder learns no more.
    fn draw_token(&self, printer: &Printer, focused: bool) {
        let width = printer.size.x;
        let dots = self.token.text().chars().count().min(width.saturating_sub(1));
        printer.print((0, 0), &"•".repeat(dots));
        printer.with_style(Tone::Dim.style(), |p| p.print((dots, 0), &"_".repeat(width - dots)));
        if focused {
            printer.with_effect(Effect::Reverse, |p| p.print((dots, 0), " "));
        }
    }

    fn focused(&mut self) -> &mut Field {
        if self.at_token { &mut self.token } else { &mut self.field }
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
        self.field.draw(&printer.offset((at.x, at.y + 3)).cropped((width, 1)), typing && !self.at_token);
        let below = if self.asked { 8 } else { 5 };
        if self.asked {
            say(5, Tone::Plain, TOKEN_LABEL);
            self.draw_token(&printer.offset((at.x, at.y + 6)).cropped((width, 1)), typing && self.at_token);
        }
        match &self.state {
            State::Typing if self.at_token => {
                say(below, Tone::Dim, "made with: cares token create NAME --scope worker")
            }
            State::Typing => say(below, Tone::Dim, "its gRPC address: HOST or HOST:PORT"),
            State::Joining => say(below, Tone::Accent, "Joining…"),
            State::Failed(why) => {
                let rows = printer.size.y.saturating_sub(at.y + below + 1);
                let lines = text::wrap(why, width);
                for (n, line) in lines.iter().take(rows).enumerate() {
                    say(below + n, Tone::Bad, line);
                }
            }
        }
        let (row, width) = (printer.size.y.saturating_sub(1), printer.size.x);
        match self.asked {
            true => keybar::keys(printer, row, width, KEYS_OF_TWO.into_iter()),
            false => keybar::keys(printer, row, width, KEYS.into_iter()),
        }
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
            Event::Key(Key::Tab | Key::Up | Key::Down) | Event::Shift(Key::Tab) if self.asked => {
                self.at_token = !self.at_token;
                EventResult::consumed()
            }
            event if self.focused().takes(&event) => {
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

    fn form(worker: fn(&str, &str, &crate::rt::Receiver<()>) -> Result<crate::tui::Started, String>) -> Puppet {
        let mut puppet = Puppet::new(80, 24);
        let starting = Starting::new(Roles { orchestrator: || Err(String::new()), worker });
        let ui = puppet.ui();
        puppet.runner.add_fullscreen_layer(cursive::views::TextView::new("below"));
        open(&mut puppet.runner, &ui, &starting);
        puppet
    }

    #[test]
    fn a_failure_stands_in_place_and_the_text_stays() {
        let mut puppet =
            form(|address, _, _| Err(format!("cannot reach the orchestrator at {address}. Is it running?")));
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
    fn a_cluster_that_asks_for_a_token_gets_one_that_nobody_sees() {
        let mut puppet = form(|address, token, _| match token {
            "" => Err(format!("refused: a token is needed. Give it a {JOIN_TOKEN} with the scope worker")),
            token => Err(format!("{address} got {} characters: {}", token.len(), token == "s3cretq")),
        });
        puppet.lacks(TOKEN_LABEL);
        puppet.types("\n");
        puppet.shows("a token is needed");
        puppet.shows(TOKEN_LABEL);
        puppet.types("s3cretq");
        puppet.shows("    ••••••• ___");
        puppet.lacks("s3cret");
        puppet.types("\t\x7f2\n");
        puppet.shows("127.0.0.1:50052 got 7 characters: true");
    }

    #[test]
    fn while_it_joins_the_screen_lives_and_esc_gives_up() {
        static GIVEN_UP: AtomicU32 = AtomicU32::new(0);
        let mut puppet = form(|_, _, given_up| {
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
        let mut puppet = form(|_, _, _| Err("submitted".into()));
        puppet.press(Event::Unknown(b"\x1b[Aq\n".to_vec()));
        puppet.shows("127.0.0.1:50051[Aq");
        puppet.press(Event::Unknown(vec![b'x'; 5_000]));
        puppet.shows("xxxxxxxx");
        puppet.lacks("submitted");
        puppet.types("\n");
        puppet.shows("submitted");
    }
}
