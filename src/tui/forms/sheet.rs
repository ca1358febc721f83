//! A box of text with buttons: questions, answers, help. Long text scrolls; esc does what the last button does, which is
//! always the safe one.

use super::frame::{self, Callback};
use crate::tui::keymap::{self, Action, Place};
use crate::tui::scroll;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key, MouseButton, MouseEvent};
use cursive::view::View;
use cursive::{Cursive, Printer, Vec2};

/// A line, and how it looks.
pub type Row = (Tone, String);

/// Gives the rows when they are others than those given last.
pub type Source = Box<dyn FnMut() -> Option<Vec<Row>> + Send + Sync>;

/// The box.
pub struct Sheet {
    title: String,
    source: Source,
    rows: Vec<Row>,
    /// Cells of the longest.
    longest: usize,
    wrapped: Vec<Row>,
    /// The width `wrapped` was made for.
    wrapped_for: usize,
    buttons: Vec<(String, Callback)>,
    selected: usize,
    first: usize,
    /// At least, so that it does not grow while an answer arrives.
    least: Vec2,
    widest: usize,
    column: Option<usize>,
    screen: Vec2,
}

impl Sheet {
    /// With a text that stays.
    pub fn of(title: impl Into<String>, rows: Vec<Row>) -> Sheet {
        let mut rows = Some(rows);
        Sheet::live(title, Box::new(move || rows.take()))
    }

    /// With a text that is asked for before each drawing.
    pub fn live(title: impl Into<String>, source: Source) -> Sheet {
        Sheet {
            title: title.into(),
            source,
            rows: Vec::new(),
            longest: 0,
            wrapped: Vec::new(),
            wrapped_for: 0,
            buttons: Vec::new(),
            selected: 0,
            first: 0,
            least: Vec2::zero(),
            widest: 72,
            column: None,
            screen: Vec2::zero(),
        }
    }

    /// Adds a button. The last one added is selected at first, and what esc does.
    pub fn button(mut self, label: &str, what: impl Fn(&mut Cursive) + Send + Sync + 'static) -> Sheet {
        self.buttons.push((label.to_string(), std::sync::Arc::new(what)));
        self.selected = self.buttons.len() - 1;
        self
    }

    /// At least this big, and at most this wide inside, where the screen has room.
    pub fn sized(mut self, least: (usize, usize), widest: usize) -> Sheet {
        self.least = Vec2::from(least);
        self.widest = widest;
        self
    }

    /// Lines have a label of this many ASCII letters, below which their text does not go.
    pub fn labelled(mut self, column: usize) -> Sheet {
        self.column = Some(column);
        self
    }

    /// Shows it. It closes itself before a button does its work.
    pub fn open(mut self, siv: &mut Cursive) -> String {
        let id = frame::id("sheet");
        for (_, callback) in &mut self.buttons {
            let (name, what) = (id.clone(), callback.clone());
            *callback = std::sync::Arc::new(move |siv: &mut Cursive| {
                frame::close(siv, &name);
                what(siv);
            });
        }
        frame::open(siv, &id, self);
        id
    }

    fn wrap(&self, width: usize) -> Vec<Row> {
        let mut wrapped = Vec::with_capacity(self.rows.len());
        for (tone, line) in &self.rows {
            let column = self.column.filter(|column| width > column * 2 && line.is_char_boundary(*column));
            let (label, rest) = line.split_at(column.unwrap_or(0).min(line.len()));
            for (at, part) in text::wrap(rest, width - label.len()).into_iter().enumerate() {
                let start = if at == 0 { label.to_string() } else { " ".repeat(label.len()) };
                wrapped.push((*tone, start + &part));
            }
        }
        wrapped
    }

    fn labels(&self) -> Vec<&str> {
        self.buttons.iter().map(|(label, _)| label.as_str()).collect()
    }

    /// Rows the buttons take, with the blank above them.
    fn foot(&self, width: usize) -> usize {
        match self.buttons.is_empty() {
            true => 0,
            false => frame::button_rows(&self.labels(), width).len() + usize::from(self.screen.y >= 14),
        }
    }

    fn outer(&self) -> Vec2 {
        let buttons: usize = self.buttons.iter().map(|(label, _)| text::width(label) + 5).sum();
        let width = self.longest.max(text::width(&self.title) + 2).max(buttons).max(self.least.x).min(self.widest);
        let inner = width.min(self.screen.x.saturating_sub(frame::SIDES)).max(2);
        let lines: usize = match self.wrapped_for == inner {
            true => self.wrapped.len(),
            false => self.wrap(inner).len(),
        };
        frame::outer(self.screen, Vec2::new(width, lines.max(self.least.y) + self.foot(inner)))
    }

    /// Rows of text seen at once.
    fn height(&self) -> usize {
        let inner = frame::inner(self.outer());
        inner.y.saturating_sub(self.foot(inner.x)).max(1)
    }

    fn scroll(&mut self, action: Action) {
        let last = self.wrapped.len().saturating_sub(self.height());
        self.first = scroll::to(action, self.first, self.height(), last).unwrap_or(self.first);
    }

    fn press(&self, button: usize) -> EventResult {
        match self.buttons.get(button) {
            Some((_, callback)) => {
                let callback = callback.clone();
                EventResult::with_cb_once(move |siv| callback(siv))
            }
            None => EventResult::consumed(),
        }
    }

    fn step(&mut self, forward: bool) {
        let count = self.buttons.len().max(1);
        self.selected = (self.selected + if forward { 1 } else { count - 1 }) % count;
    }

    /// Selects the next button that begins with this letter; pressing it takes Enter.
    fn letter(&mut self, c: char) {
        let count = self.buttons.len();
        let begins = |at: &usize| {
            let first = self.buttons[*at].0.chars().next();
            first.is_some_and(|first| first.to_lowercase().eq(c.to_lowercase()))
        };
        if let Some(at) = (1..=count).map(|step| (self.selected + step) % count).find(begins) {
            self.selected = at;
        }
    }

    fn mouse(&mut self, event: MouseEvent, position: Vec2) -> EventResult {
        match event {
            MouseEvent::WheelUp => self.scroll(Action::Up),
            MouseEvent::WheelDown => self.scroll(Action::Down),
            MouseEvent::Release(MouseButton::Left) => {
                let outer = self.outer();
                let inner = frame::inner(outer);
                let Some(at) = position.checked_sub(frame::corner(self.screen, outer) + (frame::SIDES / 2, 1)) else {
                    return EventResult::consumed();
                };
                let labels = self.labels();
                let rows = frame::button_rows(&labels, inner.x);
                let first = inner.y.saturating_sub(rows.len());
                let mut x = 0;
                for number in at.y.checked_sub(first).and_then(|row| rows.get(row)).into_iter().flatten() {
                    let wide = text::width(labels[*number]) + 4;
                    if (x..x + wide).contains(&at.x) {
                        return self.press(*number);
                    }
                    x += wide + 1;
                }
            }
            _ => {}
        }
        EventResult::consumed()
    }
}

impl View for Sheet {
    fn required_size(&mut self, screen: Vec2) -> Vec2 {
        screen
    }

    fn layout(&mut self, screen: Vec2) {
        self.screen = screen;
        let fresh = (self.source)();
        let changed = fresh.is_some();
        if let Some(rows) = fresh {
            self.longest = rows.iter().map(|(_, line)| text::width(line)).max().unwrap_or(0);
            self.rows = rows;
            self.wrapped_for = 0;
        }
        let inner = frame::inner(self.outer());
        let width = inner.x.max(2);
        if changed || self.wrapped_for != width {
            self.wrapped = self.wrap(width);
            self.wrapped_for = width;
        }
        self.first = self.first.min(self.wrapped.len().saturating_sub(self.height()));
    }

    fn draw(&self, printer: &Printer) {
        let outer = self.outer();
        let height = self.height();
        frame::draw(printer, outer, &self.title, |inside| {
            for (y, (tone, line)) in self.wrapped.iter().skip(self.first).take(height).enumerate() {
                inside.with_style(tone.style(), |p| p.print((0, y), line));
            }
            let rows = frame::button_rows(&self.labels(), inside.size.x).len();
            let y = inside.size.y.saturating_sub(rows);
            frame::draw_buttons(inside, y, &self.labels(), Some(self.selected));
        });
        // On the border itself: it takes no column of the text.
        let at = frame::corner(printer.size, outer);
        let bar = printer.offset(at + (0, 1)).cropped((outer.x, height));
        frame::draw_scrollbar(&bar, self.first, self.wrapped.len());
    }

    /// Takes everything: what is below must not hear keys meant for a question.
    fn on_event(&mut self, event: Event) -> EventResult {
        match event {
            Event::Key(Key::Enter) => return self.press(self.selected),
            Event::Key(Key::Esc) | Event::Char('q' | '?') => return self.press(self.buttons.len().saturating_sub(1)),
            Event::Key(Key::Left) | Event::Shift(Key::Tab) => self.step(false),
            Event::Key(Key::Right) | Event::Key(Key::Tab) => self.step(true),
            Event::Mouse { event, position, offset } => return self.mouse(event, position.saturating_sub(offset)),
            event => match (keymap::action(Place::Function, &event), event) {
                (Some((action @ (Action::Up | Action::Down | Action::PageUp | Action::PageDown), _)), _)
                | (Some((action @ (Action::Top | Action::Bottom), _)), _) => self.scroll(action),
                (_, Event::Char(c)) => self.letter(c),
                _ => {}
            },
        }
        EventResult::consumed()
    }
}
