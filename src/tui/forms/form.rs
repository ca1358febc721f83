//! A box of fields, choices and a button: which has the focus, what is shown, what is said below. What is done with it is
//! its opener's business.

use super::field::Field;
use super::frame::{self, Callback};
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult, Key, MouseButton, MouseEvent};
use cursive::view::View;
use cursive::{Cursive, Printer, Vec2};
use std::sync::Arc;

/// Below this many cells inside, labels stand above their fields.
const BESIDE_FROM: usize = 48;
/// Cells inside, where the screen has room.
const WIDTH: usize = 66;

/// One line or more of a form.
pub enum Item {
    /// The label is also its name.
    Field(&'static str, Field),
    /// One of several; the first is the default.
    Choice(&'static str, &'static [&'static str], usize),
    /// What comes after it, up to the button, is shown when it is open.
    Fold(&'static str, bool),
    /// Submits.
    Button(&'static str),
}

/// The form.
pub struct Form {
    title: String,
    items: Vec<Item>,
    focus: usize,
    /// What submitting does, in a word.
    verb: &'static str,
    /// What is being done, or what went wrong.
    message: Option<(Tone, String)>,
    busy: bool,
    submit: Callback,
    close: Callback,
    screen: Vec2,
}

impl Form {
    pub fn new(title: impl Into<String>, verb: &'static str, items: Vec<Item>) -> Form {
        let nothing: Callback = Arc::new(|_| {});
        Form {
            title: title.into(),
            items,
            focus: 0,
            verb,
            message: None,
            busy: false,
            submit: nothing.clone(),
            close: nothing,
            screen: Vec2::zero(),
        }
    }

    /// What Enter and the button do; not called again while it is busy.
    pub fn on_submit(mut self, what: impl Fn(&mut Cursive) + Send + Sync + 'static) -> Form {
        self.submit = Arc::new(what);
        self
    }

    /// What esc does.
    pub fn on_close(mut self, what: impl Fn(&mut Cursive) + Send + Sync + 'static) -> Form {
        self.close = Arc::new(what);
        self
    }

    /// Gives the focus to an item.
    pub fn focus(&mut self, label: &str) {
        if let Some(at) = self.items.iter().position(|item| item.label() == label) {
            if !self.shown(at)
                && let Some(Item::Fold(_, open)) = self.items.iter_mut().find(|item| matches!(item, Item::Fold(..)))
            {
                *open = true;
            }
            self.focus = at;
        }
    }

    /// What a field holds or a choice says; empty for what there is not.
    pub fn value(&self, label: &str) -> &str {
        match self.items.iter().find(|item| item.label() == label) {
            Some(Item::Field(_, field)) => field.text(),
            Some(Item::Choice(_, options, at)) => options.get(*at).copied().unwrap_or_default(),
            _ => "",
        }
    }

    /// All that can be changed, to be given to `restore` of a form like this one.
    pub fn draft(&self) -> Vec<String> {
        self.items.iter().map(|item| self.value(item.label()).to_string()).collect()
    }

    /// Whether anything was typed.
    pub fn touched(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Field(_, field) => !field.text().is_empty(),
            Item::Choice(_, _, at) => *at > 0,
            _ => false,
        })
    }

    /// Takes up where a draft left off.
    pub fn restore(&mut self, draft: &[String]) {
        let mut folded = false;
        let mut hidden_used = false;
        for (item, was) in self.items.iter_mut().zip(draft) {
            match item {
                Item::Field(_, field) => field.set(was),
                Item::Choice(_, options, at) => *at = options.iter().position(|o| o == was).unwrap_or(0),
                Item::Fold(..) => folded = true,
                Item::Button(_) => {}
            }
            let default = if let Item::Choice(_, options, _) = item { options[0] } else { "" };
            hidden_used |= folded && was != default;
        }
        for item in &mut self.items {
            if let Item::Fold(_, open) = item {
                *open |= hidden_used;
            }
        }
    }

    /// Says what is being done; Enter does nothing until `failed`.
    pub fn busy(&mut self, what: &str) {
        self.message = Some((Tone::Accent, what.to_string()));
        self.busy = true;
    }

    /// Says what went wrong, and keeps what was typed.
    pub fn failed(&mut self, why: impl Into<String>) {
        self.message = Some((Tone::Bad, why.into()));
        self.busy = false;
    }

    /// Says something in passing.
    pub fn say(&mut self, what: &str) {
        self.message = Some((Tone::Dim, what.to_string()));
    }

    fn shown(&self, at: usize) -> bool {
        let fold = self.items[..at].iter().rev().find_map(|item| match item {
            Item::Fold(_, open) => Some(*open),
            _ => None,
        });
        fold.unwrap_or(true) || matches!(self.items[at], Item::Button(_))
    }

    /// The next item that is shown, or the one before; round the ends.
    fn step(&mut self, forward: bool) {
        let count = self.items.len();
        for _ in 0..count {
            self.focus = (self.focus + if forward { 1 } else { count - 1 }) % count;
            if self.shown(self.focus) {
                return;
            }
        }
    }

    fn submit(&self) -> EventResult {
        if self.busy {
            return EventResult::consumed();
        }
        let what = self.submit.clone();
        EventResult::with_cb_once(move |siv| what(siv))
    }

    fn beside(&self) -> bool {
        self.width() >= BESIDE_FROM
    }

    /// Blank rows above the button.
    fn gap(&self) -> usize {
        usize::from(self.screen.y >= 16)
    }

    fn width(&self) -> usize {
        WIDTH.min(self.screen.x.saturating_sub(frame::SIDES))
    }

    /// Each item that is shown: its number, its first row, and its rows.
    fn places(&self) -> Vec<(usize, usize, usize)> {
        let mut y = 0;
        let mut places = Vec::new();
        for (at, item) in self.items.iter().enumerate().filter(|(at, _)| self.shown(*at)) {
            let rows = match item {
                Item::Field(_, field) => field.rows() + usize::from(!self.beside()),
                Item::Choice(..) | Item::Fold(..) => 1,
                Item::Button(_) => 1 + self.gap(),
            };
            places.push((at, y, rows));
            y += rows;
        }
        places
    }

    /// Which keys there are for the item that has the focus, as many as have room; the last leads out.
    fn hint(&self, width: usize) -> Option<String> {
        let verb = self.verb;
        let first = match &self.items[self.focus] {
            Item::Field(_, field) if field.rows() > 1 => format!("ctrl-s {verb}  enter new line"),
            Item::Fold(_, open) => format!("enter {}  ctrl-s {verb}", if *open { "fold" } else { "unfold" }),
            Item::Choice(..) => format!("enter {verb}  left right choose"),
            Item::Field(..) | Item::Button(_) => format!("enter {verb}"),
        };
        let hints = [format!("{first}  tab next  esc close"), format!("{first}  esc close")];
        hints.into_iter().find(|hint| text::width(hint) <= width)
    }

    /// What is said below: what went wrong, what had no room, and which keys there are.
    fn foot(&self, width: usize, height: usize) -> Vec<(Tone, String)> {
        let mut foot = Vec::new();
        let full = self.items.iter().filter_map(|item| match item {
            Item::Field(label, field) if field.full() => {
                Some(format!("{label} takes {} characters; the rest was left out.", field.limit()))
            }
            _ => None,
        });
        for (tone, line) in full.map(|text| (Tone::Warn, text)).chain(self.message.clone()) {
            foot.extend(text::wrap(&line, width).into_iter().map(|part| (tone, part)));
        }
        // A label and its field stay in sight.
        let room = height.saturating_sub(2);
        let hint = self.hint(width).filter(|_| foot.len() < room);
        let cut = foot.len() > room;
        foot.truncate(room);
        if cut && let Some((_, last)) = foot.last_mut() {
            *last = text::cut(&format!("{last} …"), width);
            if !last.ends_with('…') {
                last.push('…');
            }
        }
        foot.extend(hint.map(|hint| (Tone::Dim, hint)));
        foot
    }

    /// The whole box, and how many of its inner rows are the items'.
    fn outer(&self) -> (Vec2, usize) {
        let width = self.width();
        let all = self.places().last().map_or(0, |(_, y, rows)| y + rows);
        let most = self.screen.y.saturating_sub(2);
        let foot = self.foot(width, most).len();
        let blank = usize::from(all + foot < most);
        let outer = frame::outer(self.screen, Vec2::new(width, all + blank + foot));
        (outer, frame::inner(outer).y.saturating_sub(foot).min(all))
    }

    /// The first row of the items that is seen: the focus always is.
    fn first(&self, height: usize) -> usize {
        let places = self.places();
        let Some((_, y, rows)) = places.iter().find(|(at, _, _)| *at == self.focus) else { return 0 };
        let all = places.last().map_or(0, |(_, y, rows)| y + rows);
        // From the top as long as it can be; the end of what is taller than the room is its field.
        (y + rows).saturating_sub(height).min(all.saturating_sub(height))
    }

    fn draw_item(&self, printer: &Printer, at: usize, y: isize, rows: usize, column: usize) {
        let focused = at == self.focus;
        let height = printer.size.y;
        let visible = |row: isize| (0..height as isize).contains(&row).then_some(row as usize);
        let tone = if focused { Tone::Title } else { Tone::Plain };
        let label = |name: &str| {
            if let Some(row) = visible(y) {
                let name = if focused { format!("▸ {name}") } else { format!("  {name}") };
                printer.with_style(tone.style(), |p| p.print((0, row), &name));
            }
        };
        match &self.items[at] {
            Item::Field(name, field) => {
                label(name);
                let (x, top) = if self.beside() { (column, y) } else { (2, y + 1) };
                let lines = rows - usize::from(!self.beside());
                let end = (top + lines as isize).min(height as isize);
                let (start, end) = (top.max(0) as usize, end.max(0) as usize);
                if start < end {
                    let size = Vec2::new(printer.size.x.saturating_sub(x), end - start);
                    field.draw(&printer.offset((x, start)).cropped(size), focused);
                }
            }
            Item::Choice(name, options, chosen) => {
                label(name);
                let Some(row) = visible(y) else { return };
                let mut x = if self.beside() { column } else { text::width(name) + 4 };
                let fits = options.iter().map(|o| o.len() + 3).sum::<usize>() + x <= printer.size.x;
                for (number, option) in options.iter().enumerate().filter(|(n, _)| fits || n == chosen) {
                    let here = number == *chosen;
                    let shown = if here && fits {
                        format!("[{option}]")
                    } else if here {
                        format!("‹ {option} ›")
                    } else {
                        format!(" {option} ")
                    };
                    let tone = if here && focused { Tone::Selected } else { Tone::Plain };
                    printer.with_style(tone.style(), |p| p.print((x, row), &shown));
                    x += text::width(&shown) + 1;
                }
            }
            Item::Fold(name, open) => label(&format!("{} {name}", if *open { "[-]" } else { "[+]" })),
            Item::Button(name) => {
                if let Some(row) = visible(y + self.gap() as isize) {
                    let x = if self.beside() { column } else { 2 };
                    frame::draw_buttons(&printer.offset((x, row)), 0, &[name], focused.then_some(0));
                }
            }
        }
    }

    /// Where values begin, beside their labels.
    fn column(&self) -> usize {
        self.items.iter().map(|item| text::width(item.label())).max().unwrap_or(0) + 4
    }

    fn click(&mut self, position: Vec2) -> EventResult {
        let (outer, height) = self.outer();
        let first = self.first(height);
        let Some(at) = position.checked_sub(frame::corner(self.screen, outer) + (frame::SIDES / 2, 1)) else {
            return EventResult::consumed();
        };
        let row = at.y + first;
        let hit = self.places().into_iter().find(|(_, y, rows)| at.y < height && (*y..y + rows).contains(&row));
        let Some((hit, _, _)) = hit else { return EventResult::consumed() };
        let again = self.focus == hit;
        self.focus = hit;
        match &mut self.items[hit] {
            Item::Fold(_, open) => *open = !*open,
            Item::Choice(_, options, chosen) if again => *chosen = (*chosen + 1) % options.len(),
            Item::Button(_) => return self.submit(),
            _ => {}
        }
        EventResult::consumed()
    }
}

impl Item {
    fn label(&self) -> &'static str {
        match self {
            Item::Field(label, _) | Item::Choice(label, ..) | Item::Fold(label, _) | Item::Button(label) => label,
        }
    }
}

impl View for Form {
    fn required_size(&mut self, screen: Vec2) -> Vec2 {
        screen
    }

    fn layout(&mut self, screen: Vec2) {
        self.screen = screen;
    }

    fn draw(&self, printer: &Printer) {
        let (outer, height) = self.outer();
        let (first, column) = (self.first(height), self.column());
        frame::draw(printer, outer, &self.title, |inside| {
            let items = inside.cropped((inside.size.x, height));
            for (at, y, rows) in self.places() {
                self.draw_item(&items, at, y as isize - first as isize, rows, column);
            }
            let foot = self.foot(inside.size.x, inside.size.y);
            let start = inside.size.y.saturating_sub(foot.len());
            for (row, (tone, line)) in foot.iter().enumerate() {
                inside.with_style(tone.style(), |p| p.print((0, start + row), line));
            }
        });
        let all = self.places().last().map_or(0, |(_, y, rows)| y + rows);
        let at = frame::corner(printer.size, outer);
        frame::draw_scrollbar(&printer.offset(at + (0, 1)).cropped((outer.x, height)), first, all);
    }

    /// Takes everything: a key typed into a form must never do something to what is below it.
    fn on_event(&mut self, event: Event) -> EventResult {
        match event {
            Event::Key(Key::Esc) => {
                let what = self.close.clone();
                return EventResult::with_cb_once(move |siv| what(siv));
            }
            Event::CtrlChar('s') => return self.submit(),
            Event::Key(Key::Tab) => self.step(true),
            Event::Shift(Key::Tab) => self.step(false),
            Event::Mouse { event: MouseEvent::Release(MouseButton::Left), position, offset } => {
                return self.click(position.saturating_sub(offset));
            }
            Event::Mouse { event: MouseEvent::WheelUp, .. } => self.step(false),
            Event::Mouse { event: MouseEvent::WheelDown, .. } => self.step(true),
            event => {
                // Typing on a button goes to the field above it.
                let button = matches!(self.items[self.focus], Item::Button(_));
                if button && matches!(event, Event::Char(_)) {
                    let fields = |at: &usize| self.shown(*at) && matches!(self.items[*at], Item::Field(..));
                    self.focus = (0..self.focus).rev().find(fields).unwrap_or(self.focus);
                }
                let taken = match &mut self.items[self.focus] {
                    Item::Field(_, field) => field.takes(&event),
                    Item::Choice(_, options, at) => choose(&event, options.len(), at),
                    Item::Fold(_, open) => {
                        let toggles = matches!(event, Event::Key(Key::Enter) | Event::Char(' '));
                        *open ^= toggles;
                        toggles
                    }
                    Item::Button(_) => false,
                };
                match event {
                    _ if taken => {}
                    Event::Key(Key::Enter) => return self.submit(),
                    Event::Key(Key::Up) => self.step(false),
                    Event::Key(Key::Down) => self.step(true),
                    _ => {}
                }
            }
        }
        EventResult::consumed()
    }
}

fn choose(event: &Event, count: usize, at: &mut usize) -> bool {
    match event {
        Event::Key(Key::Right) | Event::Char(' ') => *at = (*at + 1) % count,
        Event::Key(Key::Left) => *at = (*at + count - 1) % count,
        _ => return false,
    }
    true
}
