//! A screen made of panes: where they are, which has the focus, what the mouse does, and the keys that mean the same on all
//! of them. What stands in the panes, and what other keys do, is the business of its `Contents`.

use super::feed::Feeds;
use super::model::Model;
use super::{hints, title};
use crate::tui::forms::{ask, command_line, help};
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::log::Log;
use crate::tui::panes::border::{Frame, inside};
use crate::tui::panes::layout::{self, Area};
use crate::tui::panes::lines::Lines;
use crate::tui::panes::pane::Pane;
use crate::tui::panes::rows::Rows;
use crate::tui::panes::table::{Row, Table};
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use cursive::direction::Direction;
use cursive::event::{Event, EventResult, MouseButton, MouseEvent};
use cursive::view::CannotFocus;
use cursive::{Cursive, Printer, Vec2, View};

/// Rows of the title where there is room.
const TITLE_ROWS: usize = 2;
const HEADING: &str = "CARES orchestrator";

/// What leads on.
pub type Next = Box<dyn FnOnce(&mut Cursive) + Send + Sync>;

/// What a key did.
pub enum Did {
    /// Nothing; and why, where there is something to say.
    Nothing(Option<&'static str>),
    Leads(Next),
    /// It gives the focus to a pane.
    Focus(usize),
}

impl Did {
    /// Goes on with this.
    pub fn leads(next: impl FnOnce(&mut Cursive) + Send + Sync + 'static) -> Did {
        Did::Leads(Box::new(next))
    }
}

/// Where the panes may stand.
#[derive(Clone, Copy)]
pub struct Room {
    /// Of the whole screen.
    pub size: Vec2,
    /// Between title and footer.
    pub body: Area,
    /// Whether they stand side by side, in boxes.
    pub boxed: bool,
}

/// What a page shows, pane by pane. Panes are numbered in the order of `tab`.
pub trait Contents: Send + Sync + 'static {
    const PANES: usize;

    /// Which keys there are while this pane has the focus.
    fn keys(&self, focus: usize) -> Place;
    /// Takes over what is known, and says where each pane is: nowhere, if it has no size. May move the focus.
    fn layout(&mut self, model: &mut Model, room: Room, focus: &mut usize) -> Vec<Area>;
    fn pane(&mut self, pane: usize) -> &mut dyn Pane;
    /// What a key does that neither moves nor is the same everywhere.
    fn act(&mut self, focus: usize, action: Action, number: usize) -> Did;
    fn draw(&self, page: &Drawn);

    /// Takes over what is known before a key acts on it: several may come between two frames.
    fn catch_up(&mut self, _model: &mut Model) {}

    /// The pane that is not seen and whose name stands here.
    fn tab_at(&self, _at: Vec2) -> Option<usize> {
        None
    }
}

/// The page.
pub struct Page<C> {
    session: Session,
    /// What ends with the program, as in `orchestrator::open`.
    role: Option<&'static str>,
    contents: C,
    focus: usize,
    panes: Vec<Area>,
    boxed: bool,
    /// Why a key did nothing, until the next one.
    hint: Option<&'static str>,
    /// Followed as long as the screen is there.
    _feeds: Option<Feeds>,
}

impl<C: Contents> Page<C> {
    pub fn new(session: &Session, role: Option<&'static str>, contents: C) -> Self {
        let session = session.clone();
        Page { session, role, contents, focus: 0, panes: Vec::new(), boxed: false, hint: None, _feeds: None }
    }

    /// With another pane than the first having the focus at first.
    pub fn focused(self, focus: usize) -> Self {
        Page { focus, ..self }
    }

    /// Keeping these as long as it is there.
    pub fn feeding(self, feeds: Feeds) -> Self {
        Page { _feeds: Some(feeds), ..self }
    }

    fn inside(&self, pane: usize) -> Area {
        inside(self.panes.get(pane).copied().unwrap_or_default(), self.boxed)
    }

    fn key(&mut self, event: &Event) -> EventResult {
        let place = self.contents.keys(self.focus);
        let Some((action, number)) = keymap::action(place, event) else { return EventResult::Ignored };
        self.hint = None;
        match action {
            Action::Mouse => return EventResult::Ignored, // the same everywhere: see `opened`
            Action::NextPane => self.focus = (self.focus + 1) % C::PANES,
            Action::PreviousPane => self.focus = (self.focus + C::PANES - 1) % C::PANES,
            _ => {
                let height = self.inside(self.focus).size.y;
                if !self.contents.pane(self.focus).act(action, number, height) {
                    return self.act(action, number);
                }
            }
        }
        EventResult::consumed()
    }

    fn act(&mut self, action: Action, number: usize) -> EventResult {
        let (session, role, place) = (self.session.clone(), self.role, self.contents.keys(self.focus));
        let did = match action {
            Action::Command => Did::leads(move |siv| command_line::open(siv, &session)),
            Action::Help => Did::leads(move |siv| help::open(siv, place)),
            Action::Quit => Did::leads(move |siv| ask::quit(siv, role)),
            Action::Back if place.opened() => Did::leads(|siv| drop(siv.pop_layer())),
            _ => self.contents.act(self.focus, action, number),
        };
        match did {
            Did::Nothing(why) => self.hint = why,
            Did::Focus(pane) => self.focus = pane,
            Did::Leads(next) => return EventResult::with_cb_once(next),
        }
        EventResult::consumed()
    }

    fn mouse(&mut self, at: Vec2, event: MouseEvent) -> EventResult {
        let Some(pane) = self.panes.iter().position(|area| area.contains(at)) else { return EventResult::Ignored };
        let inner = self.inside(pane);
        match event {
            MouseEvent::WheelUp | MouseEvent::WheelDown => {
                self.contents.pane(pane).wheel(event == MouseEvent::WheelDown, inner.size.y);
            }
            MouseEvent::Press(MouseButton::Left) => {
                self.hint = None;
                if let Some(tab) = self.contents.tab_at(at) {
                    self.focus = tab;
                    return EventResult::consumed();
                }
                let had_focus = std::mem::replace(&mut self.focus, pane) == pane;
                let again = inner.contains(at) && self.contents.pane(pane).click(at - inner.at, inner.size.x);
                if again && had_focus {
                    return self.act(Action::Open, 0);
                }
            }
            _ => return EventResult::Ignored,
        }
        EventResult::consumed()
    }
}

impl<C: Contents> View for Page<C> {
    fn layout(&mut self, size: Vec2) {
        let session = self.session.clone();
        self.boxed = layout::wide(size);
        let room = Room { size, body: layout::screen(size, TITLE_ROWS).body, boxed: self.boxed };
        self.panes = self.contents.layout(&mut session.model(), room, &mut self.focus);
    }

    fn required_size(&mut self, constraint: Vec2) -> Vec2 {
        constraint
    }

    fn take_focus(&mut self, _: Direction) -> Result<EventResult, CannotFocus> {
        Ok(EventResult::consumed())
    }

    fn draw(&self, printer: &Printer) {
        let model = self.session.model();
        let screen = layout::screen(printer.size, TITLE_ROWS);
        title::draw(printer, screen.title, &model, self.session.client().url(), HEADING);
        let url = self.session.client().url();
        let (focus, boxed) = (self.focus, self.boxed);
        self.contents.draw(&Drawn { printer, model: &model, url, panes: &self.panes, focus, boxed });
        if let Some(y) = screen.footer {
            keybar::draw(printer, y, self.contents.keys(self.focus), self.hint, &model.busy);
        }
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        let session = self.session.clone();
        self.contents.catch_up(&mut session.model());
        if let Event::Mouse { offset, position, event } = event {
            return position.checked_sub(offset).map_or(EventResult::Ignored, |at| self.mouse(at, event));
        }
        let of_the_screen = matches!(event, Event::WindowResize | Event::Refresh | Event::FocusLost | Event::Exit);
        let pane = self.contents.pane(self.focus);
        if pane.typing() && !of_the_screen {
            pane.type_key(&event);
            return EventResult::consumed();
        }
        self.key(&event)
    }
}

/// A page while it is drawn.
pub struct Drawn<'a, 'p, 'b> {
    pub printer: &'a Printer<'p, 'b>,
    pub model: &'a Model,
    /// Where the cluster is asked.
    pub url: &'a str,
    pub panes: &'a [Area],
    focus: usize,
    boxed: bool,
}

/// What stands in a pane's frame.
pub struct Heading<'a> {
    pub title: &'a str,
    /// Behind it, with its tone.
    pub note: &'a str,
    pub tone: Tone,
    /// Cells at its right end that are left alone.
    pub keep: usize,
}

impl<'a> Heading<'a> {
    pub fn new(title: &'a str) -> Self {
        Heading { title, note: "", tone: Tone::Dim, keep: 0 }
    }

    pub fn note(self, note: &'a str, tone: Tone) -> Self {
        Heading { note, tone, ..self }
    }
}

impl<'p, 'b> Drawn<'_, 'p, 'b> {
    /// Draws a pane's frame, and gives the printer of its inside.
    pub fn pane(&self, pane: usize, heading: &Heading) -> Printer<'p, 'b> {
        let Heading { title, note, tone, keep } = *heading;
        let frame = Frame { title, note, tone, focused: self.focus == pane, boxed: self.boxed, keep };
        frame.draw(self.printer, self.panes[pane])
    }

    /// The heading of what a page is about: says that it is gone, that what is known is old, or what went wrong.
    pub fn standing<'h>(&self, title: &'h str, gone: bool, trouble: Option<&'h str>) -> Heading<'h> {
        let (note, tone) = match trouble {
            _ if gone => ("gone: this is how it last was", Tone::Warn),
            _ if self.model.stale() => ("old", Tone::Warn),
            trouble => (trouble.unwrap_or_default(), Tone::Bad),
        };
        Heading::new(title).note(note, tone)
    }

    /// Whether there is anything of a pane to be seen.
    pub fn sees(&self, pane: usize) -> bool {
        self.panes[pane].size.y > 0
    }

    /// Draws lines; without a note, how far one is in them.
    pub fn lines(&self, pane: usize, heading: Heading, lines: &Lines) {
        let range = lines.range(inside(self.panes[pane], self.boxed).size.y);
        let heading = if heading.note.is_empty() { heading.note(&range, Tone::Dim) } else { heading };
        lines.draw(&self.pane(pane, &heading));
    }

    /// Draws a log; without a note, whether it follows.
    pub fn log(&self, pane: usize, heading: Heading, log: &Log) {
        let paused = if log.following() { "" } else { "paused, G follows" };
        let heading = if heading.note.is_empty() { heading.note(paused, Tone::Warn) } else { heading };
        log.draw(&self.pane(pane, &heading));
    }

    /// Draws a table, or `hint` while it has no rows. Its heading says what is filtered and what is seen; `keep` as in
    /// `Heading`.
    pub fn table<T: Row>(
        &self,
        pane: usize,
        name: &str,
        keep: usize,
        table: &Table<T>,
        rows: &Rows<T>,
        hint: &[String],
    ) {
        if !self.sees(pane) {
            return;
        }
        let title = table.title(name, rows);
        let note = table.note(self.model.stale() && !rows.is_empty());
        let tone = if table.filter().is_empty() && !table.editing() { Tone::Dim } else { Tone::Accent };
        let inner = self.pane(pane, &Heading { keep, ..Heading::new(&title).note(&note, tone) });
        if rows.is_empty() {
            hints::say(&inner, hint);
        } else if table.shown() == 0 {
            hints::say(&inner, &[format!("Nothing matches '{}'.", table.filter()), "esc clears the filter.".into()]);
        } else {
            table.draw(&inner, rows, self.focus == pane, self.model.stale());
        }
    }
}
