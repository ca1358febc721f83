//! The form that joins a cluster: one address. What was typed stays until it worked.

use super::footer;
use super::paste::Pasted;
use super::session::Ui;
use super::starting::Starting;
use super::text;
use super::theme::Tone;
use cursive::event::{Event, EventResult, Key};
use cursive::traits::Nameable;
use cursive::view::CannotFocus;
use cursive::views::EditView;
use cursive::{Cursive, Printer, Vec2, View, direction::Direction};

const NAME: &str = "join";
const LABEL: &str = "Orchestrator address";
const PREFILLED: &str = "127.0.0.1:50051";
/// Characters taken: no address is longer.
const ADDRESS_MAX: usize = 300;
const KEYS: [(&str, &str); 2] = [("enter", "join"), ("esc", "back")];

/// Shows it.
pub fn open(siv: &mut Cursive, ui: &Ui, starting: &Starting) {
    let field = EditView::new().max_content_width(ADDRESS_MAX).content(PREFILLED);
    let form = Join { field: Pasted::new(field), state: State::Typing, ui: ui.clone(), starting: starting.clone() };
    siv.add_fullscreen_layer(form.with_name(NAME));
}

enum State {
    Typing,
    Joining,
    Failed(String),
}

struct Join {
    field: Pasted<EditView>,
    state: State,
    ui: Ui,
    starting: Starting,
}

impl Join {
    fn submit(&mut self) {
        if matches!(self.state, State::Joining) {
            return;
        }
        let address = self.field.inner().get_content().trim().to_string();
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
        self.field.draw(&printer.offset((at.x, at.y + 3)).cropped((width, 1)).focused(true));
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
        footer::keys(printer, KEYS.into_iter());
    }

    fn layout(&mut self, size: Vec2) {
        let (_, width) = Join::place(size);
        self.field.layout(Vec2::new(width, 1));
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn take_focus(&mut self, from: Direction) -> Result<EventResult, CannotFocus> {
        self.field.take_focus(from)
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
            event => {
                let result = self.field.on_event(event);
                if result.is_consumed() && matches!(self.state, State::Failed(_)) {
                    self.state = State::Typing;
                }
                result
            }
        }
    }
}
