//! One task, opened over the whole screen: all of it, and what it prints, as it does. Must never ask on the screen's thread.

use super::facts;
use super::fetch::Fetcher;
use super::model::Model;
use super::page::{Contents, Did, Drawn, Heading, Page, Room};
use super::row_keys;
use crate::tui::forms::tail::{Of, Tail};
use crate::tui::keymap::{Action, Place};
use crate::tui::log::Log;
use crate::tui::panes::border::inside;
use crate::tui::panes::layout::{self, Area, area};
use crate::tui::panes::lines::Lines;
use crate::tui::panes::pane::Pane;
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use crate::types::TaskSummary;
use cursive::Cursive;

/// The panes.
const DETAILS: usize = 0;
const LOG: usize = 1;

/// Opens it over what is shown. `role` is what ends with the program, as in `orchestrator::open`.
pub fn open(siv: &mut Cursive, session: &Session, task: &TaskSummary, role: Option<&'static str>) {
    siv.add_fullscreen_layer(Page::new(session, role, Task::new(session, task)));
}

pub(super) struct Task {
    session: Session,
    /// As it is, or last was.
    row: TaskSummary,
    gone: bool,
    fetcher: Fetcher,
    /// What its lines were made of: how often was answered, and for which width.
    shown: Option<(u64, usize)>,
    trouble: Option<String>,
    lines: Lines,
    log: Log,
    tail: Tail,
}

impl Task {
    pub(super) fn new(session: &Session, task: &TaskSummary) -> Self {
        let fetcher = Fetcher::of_task(session, task.id.clone());
        fetcher.ask();
        Task {
            session: session.clone(),
            row: task.clone(),
            gone: false,
            fetcher,
            shown: None,
            trouble: None,
            lines: Lines::default(),
            log: Log::default(),
            tail: Tail::start(session, Of::Task(task.id.clone())),
        }
    }

    /// Writes its lines anew when something it shows has changed.
    fn refresh(&mut self, model: &Model, width: usize) {
        let row = model.tasks.get(&self.row.id);
        self.tail.notice(model);
        self.gone = row.is_none();
        let changed = row.is_some_and(|row| *row != self.row);
        if let Some(row) = row.filter(|_| changed) {
            self.row = row.clone();
            self.fetcher.ask();
        }
        let fetched = self.fetcher.fetched();
        let now = Some((fetched.revision, width));
        if !changed && self.shown == now {
            return;
        }
        self.shown = now;
        self.trouble = fetched.trouble.clone().filter(|_| !self.gone);
        let known = fetched.task.clone().unwrap_or_default();
        self.lines.lines = facts::task(&self.row, &known, width);
    }
}

impl Contents for Task {
    const PANES: usize = 2;

    fn keys(&self, _: usize) -> Place {
        Place::Task
    }

    fn layout(&mut self, model: &mut Model, room: Room, focus: &mut usize) -> Vec<Area> {
        self.tail.take().into_iter().for_each(|line| self.log.push(line));
        let Room { body: Area { at, size }, boxed, .. } = room;
        let left = if boxed { size.x * 45 / 100 } else { size.x };
        self.refresh(model, inside(area(0, 0, left, 0), boxed).size.x);
        if !boxed {
            return layout::stacked(room.body, &[self.lines.lines.len() + 1, usize::MAX], *focus);
        }
        vec![area(0, at.y, left, size.y), area(left, at.y, size.x - left, size.y)]
    }

    fn pane(&mut self, pane: usize) -> &mut dyn Pane {
        if pane == DETAILS { &mut self.lines } else { &mut self.log }
    }

    fn act(&mut self, _: usize, action: Action, _: usize) -> Did {
        match action {
            Action::Stop | Action::Start | Action::Delete if self.gone => {
                Did::Nothing(Some("it is gone: esc goes back"))
            }
            _ => row_keys::task(&self.session, action, &self.row),
        }
    }

    fn draw(&self, page: &Drawn) {
        let heading = format!("Task {}", self.row.name);
        page.lines(DETAILS, page.standing(&heading, self.gone, self.trouble.as_deref()), &self.lines);
        let trouble = self.tail.trouble().filter(|_| !self.gone).unwrap_or_default();
        let heading = Heading::new("Log, what it prints").note(&trouble, Tone::Bad);
        if self.log.lines().len() == 0 && self.tail.begun() {
            let inner = page.pane(LOG, &heading);
            let nothing = if self.tail.over() { "Nothing." } else { "Nothing yet. What comes is shown here." };
            inner.with_style(Tone::Dim.style(), |p| p.print((1, 0), nothing));
        } else {
            page.log(LOG, heading, &self.log);
        }
    }
}
