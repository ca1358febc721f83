//! One node or function, opened over the whole screen: all of it, its instances, its calls of late, its log.

use super::border::{Frame, inside};
use super::fetch::{Fetcher, Subject};
use super::layout::{self, Area, area};
use super::lines::Lines;
use super::model::Model;
use super::page;
use super::title;
use crate::tui::forms::ask;
use crate::tui::forms::command_line;
use crate::tui::forms::help;
use crate::tui::forms::invoke;
use crate::tui::forms::viewer;
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::log::Log;
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use cursive::event::{Callback, Event, EventResult, MouseButton, MouseEvent};
use cursive::{Cursive, Printer, Vec2, View};

const TITLE_ROWS: usize = 2;
/// Lines the wheel moves.
const WHEEL: usize = 3;
/// The panes: lists by number, then the log.
const DETAILS: usize = 0;
const INSTANCES: usize = 1;
const CALLS: usize = 2;
const LOG: usize = 3;
const PANES: usize = 4;
/// Rows the log wants at least, its title included.
const LOG_LEAST: usize = 3;

/// Opens it over what is shown. `role` is what ends with the program, as in `orchestrator::open`.
pub fn open(siv: &mut Cursive, session: &Session, subject: Subject, role: Option<&'static str>) {
    siv.add_fullscreen_layer(Detail { role, ..Detail::new(session, subject) });
}

/// What tells that a row has new calls to ask for.
type Counts = [u64; 5];

pub(super) struct Detail {
    session: Session,
    subject: Subject,
    role: Option<&'static str>,
    fetcher: Fetcher,
    lists: [Lines; 3],
    log: Log,
    focus: usize,
    panes: [Area; PANES],
    boxed: bool,
    /// Revisions of nodes, functions and answers that are shown.
    shown: Option<[u64; 3]>,
    counts: Option<Counts>,
    /// Lines of the session's log that have been looked at.
    looked: u64,
    name: String,
    gone: bool,
    trouble: Option<String>,
    hint: Option<&'static str>,
}

impl Detail {
    pub(super) fn new(session: &Session, subject: Subject) -> Self {
        let fetcher = Fetcher::new(session, subject.clone());
        fetcher.ask();
        let (Subject::Node(name) | Subject::Function(name)) = subject.clone();
        Detail {
            session: session.clone(),
            subject,
            role: None,
            fetcher,
            lists: Default::default(),
            log: Log::default(),
            focus: DETAILS,
            panes: [Area::default(); PANES],
            boxed: false,
            shown: None,
            counts: None,
            looked: 0,
            name,
            gone: false,
            trouble: None,
            hint: None,
        }
    }

    /// Writes its lines anew when something it shows has changed.
    fn refresh(&mut self, model: &Model) {
        let fetched = self.fetcher.fetched();
        let now = [model.nodes.revision(), model.functions.revision(), fetched.revision];
        if self.shown == Some(now) {
            return;
        }
        let answered = self.shown.map(|shown| shown[2]) != Some(fetched.revision);
        self.shown = Some(now);
        self.trouble = fetched.trouble.clone();
        let counts = match &self.subject {
            Subject::Node(id) => model.nodes.get(id).map(|node| {
                self.name = node.name.clone();
                self.lists[DETAILS].lines = page::node(node);
                self.lists[INSTANCES].lines = page::instances_on(model, id);
                [node.running.into(), node.succeeded, node.failed, 0, 0]
            }),
            Subject::Function(name) => model.functions.get(name).map(|function| {
                self.lists[DETAILS].lines = page::function(function);
                self.lists[INSTANCES].lines = page::instances_of(model, function);
                let instances = function.instances.len() as u64;
                [function.calls, function.failures, function.in_flight, function.revision, instances]
            }),
        };
        self.gone = counts.is_none();
        if fetched.revision > 0 {
            self.lists[CALLS].lines = page::calls(model, &fetched.calls, matches!(self.subject, Subject::Node(_)));
        }
        // While someone reads further up, what a function printed stays as it is.
        if matches!(self.subject, Subject::Function(_)) && answered && self.log.following() {
            self.log = Log::default();
            fetched.printed.iter().for_each(|line| self.log.push(line.clone()));
        }
        drop(fetched);
        if counts.is_some() && self.counts != counts && self.counts.replace(counts.unwrap_or_default()).is_some() {
            self.fetcher.ask();
        }
    }

    /// Takes over the lines of the session's log that name a node.
    fn read_log(&mut self, model: &Model) {
        if !matches!(self.subject, Subject::Node(_)) || self.looked == model.log.total() {
            return;
        }
        for line in model.log.since(self.looked).filter(|line| line.text.contains(&self.name)) {
            self.log.push(line.clone());
        }
        self.looked = model.log.total();
    }

    fn place_panes(&mut self, size: Vec2) {
        let body = layout::screen(size, TITLE_ROWS).body;
        let (top, width, height) = (body.at.y, size.x, body.size.y);
        self.boxed = layout::wide(size);
        if self.boxed {
            let log = (height / 4).max(5);
            let (upper, left) = (height - log, width / 2);
            let instances = (self.lists[INSTANCES].lines.len() + 2).clamp(3, upper / 2);
            self.panes = [
                area(0, top, left, upper),
                area(left, top, width - left, instances),
                area(left, top + instances, width - left, upper - instances),
                area(0, top + upper, width, log),
            ];
        } else {
            let wants = self.lists.each_ref().map(|list| list.lines.len() + 1);
            let wants = [wants[0], wants[1], wants[2], (self.log.lines().len() + 1).max(LOG_LEAST)];
            let mut y = top;
            for (pane, rows) in layout::stack(height, &wants, self.focus).into_iter().enumerate() {
                self.panes[pane] = area(0, y, width, rows);
                y += rows;
            }
        }
    }

    fn scroll(&mut self, pane: usize, action: Action) {
        let height = inside(self.panes[pane], self.boxed).size.y;
        match self.lists.get_mut(pane) {
            Some(list) => list.scroll(action, height),
            None => self.log.scroll(action, height),
        }
    }

    fn act(&mut self, action: Action) -> EventResult {
        let session = self.session.clone();
        let then = |what: Box<dyn Fn(&mut Cursive) + Send + Sync>| EventResult::Consumed(Some(Callback::from_fn(what)));
        let node = match &self.subject {
            Subject::Node(id) => self.session.model().nodes.get(id).cloned(),
            Subject::Function(_) => None,
        };
        let role = self.role;
        self.hint = None;
        match (action, &self.subject) {
            (Action::Mouse, _) => EventResult::Ignored, // the same everywhere: see `opened`
            (Action::Back, _) => then(Box::new(|siv| drop(siv.pop_layer()))),
            (Action::Quit, _) => then(Box::new(move |siv| ask::quit(siv, role))),
            (Action::Help, _) => then(Box::new(|siv| help::open(siv, Place::Detail))),
            (Action::Command, _) => then(Box::new(move |siv| command_line::open(siv, &session))),
            (Action::NextPane, _) => {
                self.focus = (self.focus + 1) % PANES;
                EventResult::consumed()
            }
            (Action::PreviousPane, _) => {
                self.focus = (self.focus + PANES - 1) % PANES;
                EventResult::consumed()
            }
            (Action::Logs, Subject::Node(_)) => {
                let name = self.name.clone();
                then(Box::new(move |siv| viewer::open_log(siv, &session, Some(&name))))
            }
            (Action::Logs, Subject::Function(name)) => {
                let name = name.clone();
                then(Box::new(move |siv| viewer::open_function(siv, &session, &name)))
            }
            (Action::Invoke, Subject::Function(name)) if !self.gone => {
                let name = name.clone();
                then(Box::new(move |siv| invoke::open(siv, &session, &name)))
            }
            (Action::Delete, Subject::Function(name)) if !self.gone => {
                let name = name.clone();
                then(Box::new(move |siv| ask::delete_function(siv, &session, &name)))
            }
            (Action::Delete | Action::Cordon, Subject::Node(_)) if node.is_some() => {
                let remove = action == Action::Delete;
                then(Box::new(move |siv| match &node {
                    Some(node) if remove => ask::remove_node(siv, &session, node),
                    Some(node) => ask::cordon(siv, &session, node),
                    None => {}
                }))
            }
            (Action::Invoke, Subject::Node(_)) => {
                self.hint = Some("a function is called, a node is not");
                EventResult::consumed()
            }
            (Action::Cordon, Subject::Function(_)) => {
                self.hint = Some("a node is cordoned, a function is not");
                EventResult::consumed()
            }
            (Action::Invoke | Action::Delete | Action::Cordon, _) => {
                self.hint = Some("it is gone: esc goes back");
                EventResult::consumed()
            }
            _ => {
                self.scroll(self.focus, action);
                EventResult::consumed()
            }
        }
    }

    fn mouse(&mut self, at: Vec2, event: MouseEvent) -> EventResult {
        let holds = |area: &Area| area.contains(at);
        let Some(pane) = self.panes.iter().position(holds) else { return EventResult::Ignored };
        match event {
            MouseEvent::WheelUp => (0..WHEEL).for_each(|_| self.scroll(pane, Action::Up)),
            MouseEvent::WheelDown => (0..WHEEL).for_each(|_| self.scroll(pane, Action::Down)),
            MouseEvent::Press(MouseButton::Left) => self.focus = pane,
            _ => return EventResult::Ignored,
        }
        EventResult::consumed()
    }

    fn pane<'p, 'b>(
        &self,
        printer: &Printer<'p, 'b>,
        pane: usize,
        title: &str,
        note: &str,
        tone: Tone,
    ) -> Printer<'p, 'b> {
        let focused = self.focus == pane;
        Frame { title, note, tone, focused, boxed: self.boxed }.draw(printer, self.panes[pane])
    }
}

impl View for Detail {
    fn layout(&mut self, size: Vec2) {
        let session = self.session.clone();
        let model = session.model();
        self.refresh(&model);
        self.read_log(&model);
        self.place_panes(size);
    }

    fn required_size(&mut self, constraint: Vec2) -> Vec2 {
        constraint
    }

    fn take_focus(&mut self, _: cursive::direction::Direction) -> Result<EventResult, cursive::view::CannotFocus> {
        Ok(EventResult::consumed())
    }

    fn draw(&self, printer: &Printer) {
        let model = self.session.model();
        let screen = layout::screen(printer.size, TITLE_ROWS);
        title::draw(printer, screen.title, &model, self.session.client().url(), "CARES orchestrator");
        let (heading, log) = match &self.subject {
            Subject::Node(_) => (format!("Node {}", self.name), "Log, lines that name it"),
            Subject::Function(_) => (format!("Function {}", self.name), "Log, what it printed"),
        };
        let mut note = self.lists[DETAILS].range(inside(self.panes[DETAILS], self.boxed).size.y);
        let mut tone = Tone::Dim;
        if self.gone || model.stale() {
            note = if self.gone { "gone: this is how it last was" } else { "old" }.to_string();
            tone = Tone::Warn;
        }
        self.lists[DETAILS].draw(&self.pane(printer, DETAILS, &heading, &note, tone));
        for (pane, title) in [(INSTANCES, "Instances"), (CALLS, "Recent invocations")] {
            let note = self.lists[pane].range(inside(self.panes[pane], self.boxed).size.y);
            let (note, tone) = match &self.trouble {
                Some(trouble) if pane == CALLS => (trouble.as_str(), Tone::Bad),
                _ => (note.as_str(), Tone::Dim),
            };
            self.lists[pane].draw(&self.pane(printer, pane, title, note, tone));
        }
        let note = if self.log.following() { "" } else { "paused, G follows" };
        self.log.draw(&self.pane(printer, LOG, log, note, Tone::Warn));
        if let Some(y) = screen.footer {
            keybar::draw(printer, y, Place::Detail, self.hint, &model.busy);
        }
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        if let Event::Mouse { offset, position, event } = event {
            return position.checked_sub(offset).map_or(EventResult::Ignored, |at| self.mouse(at, event));
        }
        match keymap::action(Place::Detail, &event) {
            Some((action, _)) => self.act(action),
            None => EventResult::Ignored,
        }
    }
}
