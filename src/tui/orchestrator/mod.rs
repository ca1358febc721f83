//! The orchestrator's dashboard: nodes, functions, log; keys and mouse. Must never ask the API itself.

pub mod border;
mod columns;
mod detail;
mod feed;
mod fetch;
pub mod figures;
mod functions;
pub mod layout;
mod lines;
pub mod model;
mod nodes;
mod order;
mod page;
mod table;
#[cfg(test)]
mod tests;
mod title;

use crate::tui::forms::add;
use crate::tui::forms::ask;
use crate::tui::forms::command_line;
use crate::tui::forms::help;
use crate::tui::forms::invoke;
use crate::tui::forms::viewer;
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::{Function, Node};
use border::{Frame, inside};
use cursive::event::{Callback, Event, EventResult, MouseButton, MouseEvent};
use cursive::{Cursive, Printer, Vec2, View};
use feed::Feeds;
use fetch::Subject;
use layout::{Area, area};
use model::{Connection, Model, Source};
use std::net::SocketAddr;
use table::{Row, Table};

/// Rows of the title where there is room.
const TITLE_ROWS: usize = 2;
/// Lines the wheel moves the log.
const WHEEL: usize = 3;
const HEADING: &str = "CARES orchestrator";

/// Shows it and starts its feeds. `role` is what runs in this process and ends with the screen, such as "the
/// orchestrator"; `None` for a cluster elsewhere.
pub fn open(siv: &mut Cursive, session: &Session, role: Option<&'static str>) {
    let feeds = feed::start(session);
    siv.add_fullscreen_layer(Dashboard { _feeds: Some(feeds), ..Dashboard::new(session, role) });
}

/// The panes, in the order of `tab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Nodes,
    Functions,
    Log,
}

const PANES: [Pane; 3] = [Pane::Nodes, Pane::Functions, Pane::Log];

pub(super) struct Dashboard {
    session: Session,
    role: Option<&'static str>,
    /// Followed as long as the screen is there.
    _feeds: Option<Feeds>,
    nodes: Table<Node>,
    functions: Table<Function>,
    focus: Pane,
    /// Why a key did nothing, until the next one.
    hint: Option<&'static str>,
    panes: [Area; 3],
    boxed: bool,
}

impl Dashboard {
    /// One that nothing feeds.
    pub(super) fn new(session: &Session, role: Option<&'static str>) -> Self {
        Dashboard {
            session: session.clone(),
            role,
            _feeds: None,
            nodes: Table::default(),
            functions: Table::default(),
            focus: Pane::Nodes,
            hint: None,
            panes: [Area::default(); 3],
            boxed: false,
        }
    }

    fn inside(&self, pane: Pane) -> Area {
        inside(self.panes[pane as usize], self.boxed)
    }

    fn place_panes(&mut self, model: &Model, size: Vec2) {
        let body = layout::screen(size, TITLE_ROWS).body;
        let (top, width, height) = (body.at.y, size.x, body.size.y);
        self.boxed = layout::wide(size);
        if self.boxed {
            // Few rows leave more to the log.
            let rows = model.nodes.len().max(model.functions.len()) + 3;
            let log = height - rows.clamp(height / 2, height - (height / 3).max(5));
            let left = (width * 56).div_ceil(100);
            self.panes = [
                area(0, top, left, height - log),
                area(left, top, width - left, height - log),
                area(0, top + height - log, width, log),
            ];
        } else {
            // Room for the first rows to come, where there is some to spare.
            let least = if layout::low(size) { [2, 2] } else { [4, 3] };
            let nodes = model.nodes.len().max(least[0]) + 2;
            let functions = model.functions.len().max(least[1]) + 2;
            let rows = layout::stack(height, &[nodes, functions, usize::MAX], self.focus as usize);
            let mut y = top;
            for (pane, rows) in rows.into_iter().enumerate() {
                self.panes[pane] = area(0, y, width, rows);
                y += rows;
            }
        }
    }

    fn editing(&self) -> bool {
        match self.focus {
            Pane::Nodes => self.nodes.editing(),
            Pane::Functions => self.functions.editing(),
            Pane::Log => false,
        }
    }

    fn key(&mut self, event: &Event) -> EventResult {
        let Some((action, number)) = keymap::action(Place::Dashboard, event) else { return EventResult::Ignored };
        self.hint = None;
        let height = self.inside(Pane::Log).size.y;
        match action {
            Action::Mouse => return EventResult::Ignored, // the same everywhere: see `opened`
            Action::NextPane | Action::PreviousPane => {
                let step = if action == Action::NextPane { 1 } else { PANES.len() - 1 };
                self.focus = PANES[(self.focus as usize + step) % PANES.len()];
                return EventResult::consumed();
            }
            _ => {}
        }
        let moved = match self.focus {
            Pane::Nodes => self.nodes.act(action, number),
            Pane::Functions => self.functions.act(action, number),
            Pane::Log => {
                self.session.model().log.scroll(action, height);
                false
            }
        };
        if moved { EventResult::consumed() } else { self.open(action) }
    }

    /// What leads to another screen.
    fn open(&mut self, action: Action) -> EventResult {
        let session = self.session.clone();
        let then = |what: Box<dyn Fn(&mut Cursive) + Send + Sync>| EventResult::Consumed(Some(Callback::from_fn(what)));
        let role = self.role;
        match action {
            Action::Add => return then(Box::new(move |siv| add::open(siv, &session))),
            Action::Command => return then(Box::new(move |siv| command_line::open(siv, &session))),
            Action::Help => return then(Box::new(|siv| help::open(siv, Place::Dashboard))),
            Action::Quit => return then(Box::new(move |siv| ask::quit(siv, role))),
            _ => {}
        }
        let node = self.nodes.selected().and_then(|id| self.session.model().nodes.get(id).cloned());
        let function = self.functions.selected().map(str::to_string);
        match (self.focus, action, node, function) {
            (Pane::Nodes, Action::Open, Some(node), _) => {
                then(Box::new(move |siv| detail::open(siv, &session, Subject::Node(node.id.clone()), role)))
            }
            (Pane::Nodes, Action::Delete, Some(node), _) => {
                then(Box::new(move |siv| ask::remove_node(siv, &session, &node)))
            }
            (Pane::Nodes, Action::Cordon, Some(node), _) => {
                then(Box::new(move |siv| ask::cordon(siv, &session, &node)))
            }
            (Pane::Nodes, Action::Logs, Some(node), _) => {
                then(Box::new(move |siv| viewer::open_log(siv, &session, Some(&node.name))))
            }
            (Pane::Functions, Action::Open, _, Some(name)) => {
                then(Box::new(move |siv| detail::open(siv, &session, Subject::Function(name.clone()), role)))
            }
            (Pane::Functions, Action::Invoke, _, Some(name)) => {
                then(Box::new(move |siv| invoke::open(siv, &session, &name)))
            }
            (Pane::Functions, Action::Delete, _, Some(name)) => {
                then(Box::new(move |siv| ask::delete_function(siv, &session, &name)))
            }
            (Pane::Functions, Action::Logs, _, Some(name)) => {
                then(Box::new(move |siv| viewer::open_function(siv, &session, &name)))
            }
            (Pane::Log, Action::Open | Action::Logs, ..) => {
                then(Box::new(move |siv| viewer::open_log(siv, &session, None)))
            }
            (pane, action, ..) => {
                self.hint = why_not(pane, action);
                EventResult::consumed()
            }
        }
    }

    fn mouse(&mut self, at: Vec2, event: MouseEvent) -> EventResult {
        let Some(pane) = PANES.into_iter().find(|pane| {
            let area = self.panes[*pane as usize];
            area.contains(at)
        }) else {
            return EventResult::Ignored;
        };
        let inner = self.inside(pane);
        let within = inner.contains(at);
        let was_focused = self.focus == pane;
        match event {
            MouseEvent::WheelUp | MouseEvent::WheelDown => {
                let down = event == MouseEvent::WheelDown;
                match pane {
                    Pane::Nodes => self.nodes.wheel(down),
                    Pane::Functions => self.functions.wheel(down),
                    Pane::Log => {
                        let action = if down { Action::Down } else { Action::Up };
                        let mut model = self.session.model();
                        (0..WHEEL).for_each(|_| model.log.scroll(action, inner.size.y));
                    }
                }
            }
            MouseEvent::Press(MouseButton::Left) => {
                self.focus = pane;
                self.hint = None;
                let at = at.saturating_sub(inner.at);
                let again = within
                    && match pane {
                        Pane::Nodes => self.nodes.click(at, inner.size.x),
                        Pane::Functions => self.functions.click(at, inner.size.x),
                        Pane::Log => false,
                    };
                if again && was_focused {
                    return self.open(Action::Open);
                }
            }
            _ => return EventResult::Ignored,
        }
        EventResult::consumed()
    }

    fn draw_table<T: Row>(
        &self,
        printer: &Printer,
        pane: Pane,
        name: &str,
        table: &Table<T>,
        model: &Model,
        hint: &[String],
    ) where
        Model: Holds<T>,
    {
        let rows = model.rows();
        let title = match (rows.len(), table.shown()) {
            (0, _) => name.to_string(),
            (all, shown) if shown < all => format!("{name} ({shown} of {all})"),
            (all, _) => format!("{name} ({all})"),
        };
        let mut notes = Vec::new();
        if table.editing() {
            notes.push(format!("/{}▏", table.filter()));
        } else if !table.filter().is_empty() {
            notes.push(format!("/{} esc clears", table.filter()));
        }
        if model.stale() && !rows.is_empty() {
            notes.push("old".into());
        }
        notes.extend(table.range());
        let note = notes.join(" · ");
        let tone = if table.filter().is_empty() && !table.editing() { Tone::Dim } else { Tone::Accent };
        let focused = self.focus == pane;
        let frame = Frame { title: &title, note: &note, tone, focused, boxed: self.boxed };
        let inner = frame.draw(printer, self.panes[pane as usize]);
        if rows.is_empty() {
            say(&inner, hint);
        } else if table.shown() == 0 {
            say(&inner, &[format!("Nothing matches '{}'.", table.filter()), "esc clears the filter.".into()]);
        } else {
            table.draw(&inner, rows, focused, model.stale());
        }
    }

    fn draw_log(&self, printer: &Printer, model: &Model) {
        let mut note = if model.log.following() { String::new() } else { "paused, G follows".to_string() };
        if let (Connection::Lost { why, .. }, false) = (model.source(Source::Log), model.stale()) {
            note = format!("not followed: {why}");
        }
        let frame =
            Frame { title: "Log", note: &note, tone: Tone::Warn, focused: self.focus == Pane::Log, boxed: self.boxed };
        let inner = frame.draw(printer, self.panes[Pane::Log as usize]);
        model.log.draw(&inner);
    }
}

/// Where the rows of a table are.
pub(super) trait Holds<T> {
    fn rows(&self) -> &model::Rows<T>;
}

impl Holds<Node> for Model {
    fn rows(&self) -> &model::Rows<Node> {
        &self.nodes
    }
}

impl Holds<Function> for Model {
    fn rows(&self) -> &model::Rows<Function> {
        &self.functions
    }
}

fn say(printer: &Printer, lines: &[String]) {
    for (y, line) in lines.iter().enumerate() {
        let tone = if line.starts_with("  ") { Tone::Accent } else { Tone::Dim };
        printer.with_style(tone.style(), |p| p.print((1, y), &text::cut(line, printer.size.x.saturating_sub(1))));
    }
}

fn why_not(pane: Pane, action: Action) -> Option<&'static str> {
    Some(match (pane, action) {
        (Pane::Nodes, Action::Invoke) => "tab to a function to call it",
        (Pane::Functions, Action::Cordon) => "tab to a node to cordon it",
        (Pane::Log, Action::Invoke | Action::Delete | Action::Cordon) => "tab to a node or function first",
        (Pane::Log, Action::Filter) => "l opens the log, with search",
        (_, Action::Open | Action::Invoke | Action::Delete | Action::Cordon | Action::Logs) => "nothing is selected",
        _ => return None,
    })
}

fn nodes_hint(model: &Model, url: &str) -> Vec<String> {
    match (&model.connection, &model.cluster) {
        (Connection::Live, Some(cluster)) => {
            let join = format!("  {}", cluster.join_command);
            let here: Result<SocketAddr, _> = cluster.grpc_addr.parse();
            match here.is_ok_and(|address| address.ip().is_loopback()) {
                true => vec![
                    "No nodes yet. Join one on this machine:".into(),
                    join,
                    "Others can join where one listens wider:".into(),
                    "  cares orchestrator --grpc-addr 0.0.0.0:50051 --open".into(),
                ],
                false => vec!["No nodes yet. Join one, on this or another machine:".into(), join],
            }
        }
        (Connection::Live, None) => vec!["No nodes yet. Join one with `cares`.".into()],
        (Connection::Connecting, _) => vec![format!("Connecting to {url} …")],
        (Connection::Lost { .. }, _) => vec![format!("No answer from {url} so far.")],
    }
}

fn functions_hint(model: &Model) -> Vec<String> {
    match &model.connection {
        Connection::Live => {
            vec!["No functions yet.".into(), "a registers one; or in a shell:".into(), "  cares deploy".into()]
        }
        _ => vec!["Not known yet.".into()],
    }
}

impl View for Dashboard {
    fn layout(&mut self, size: Vec2) {
        let session = self.session.clone();
        let mut model = session.model();
        // So that the next key, such as `i`, is for it.
        self.functions.arrange(&model.functions);
        if model.wanted.as_deref().is_some_and(|name| self.functions.select_key(name)) {
            model.wanted = None;
            self.focus = Pane::Functions;
        }
        self.place_panes(&model, size);
        self.nodes.layout(&model.nodes, self.inside(Pane::Nodes).size);
        self.functions.layout(&model.functions, self.inside(Pane::Functions).size);
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
        let url = self.session.client().url();
        title::draw(printer, screen.title, &model, url, HEADING);
        let nodes = nodes_hint(&model, url);
        self.draw_table(printer, Pane::Nodes, "Nodes", &self.nodes, &model, &nodes);
        let functions = functions_hint(&model);
        self.draw_table(printer, Pane::Functions, "Registered Functions", &self.functions, &model, &functions);
        self.draw_log(printer, &model);
        if let Some(y) = screen.footer {
            keybar::draw(printer, y, Place::Dashboard, self.hint, &model.busy);
        }
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        // Several keys may come between two frames: each must act on the rows that the one before it left.
        {
            let mut model = self.session.model();
            model.wanted = None; // whoever goes on by hand keeps where they are
            self.nodes.arrange(&model.nodes);
            self.functions.arrange(&model.functions);
        }
        if let Event::Mouse { offset, position, event } = event {
            return match position.checked_sub(offset) {
                Some(at) => self.mouse(at, event),
                None => EventResult::Ignored,
            };
        }
        if self.editing() && !matches!(event, Event::WindowResize | Event::Refresh | Event::FocusLost | Event::Exit) {
            match self.focus {
                Pane::Nodes => self.nodes.type_filter(&event),
                Pane::Functions => self.functions.type_filter(&event),
                Pane::Log => {}
            }
            return EventResult::consumed();
        }
        self.key(&event)
    }
}
