//! One node or function, opened over the whole screen: all of it, its instances, its calls of late, its log.

use super::facts;
use super::fetch::{Fetcher, Subject};
use super::model::Model;
use super::page::{Contents, Did, Drawn, Heading, Page, Room};
use super::row_keys;
use crate::tui::keymap::{Action, Place};
use crate::tui::log::Log;
use crate::tui::panes::layout::{self, Area, area};
use crate::tui::panes::lines::Lines;
use crate::tui::panes::pane::Pane;
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use cursive::Cursive;

/// The panes: lists by number, then the log.
const DETAILS: usize = 0;
const INSTANCES: usize = 1;
const CALLS: usize = 2;
const LOG: usize = 3;
/// Rows the log wants at least, its title included.
const LOG_LEAST: usize = 3;

/// Opens it over what is shown. `role` is what ends with the program, as in `orchestrator::open`.
pub fn open(siv: &mut Cursive, session: &Session, subject: Subject, role: Option<&'static str>) {
    siv.add_fullscreen_layer(Page::new(session, role, Detail::new(session, subject)));
}

/// What tells that a row has new calls to ask for.
type Counts = [u64; 5];

pub(super) struct Detail {
    session: Session,
    subject: Subject,
    fetcher: Fetcher,
    lists: [Lines; 3],
    log: Log,
    /// Revisions of nodes, functions and answers that are shown.
    shown: Option<[u64; 3]>,
    counts: Option<Counts>,
    /// Lines of the session's log that have been looked at.
    looked: u64,
    name: String,
    gone: bool,
    trouble: Option<String>,
}

impl Detail {
    pub(super) fn new(session: &Session, subject: Subject) -> Self {
        let fetcher = Fetcher::new(session, subject.clone());
        fetcher.ask();
        let (Subject::Node(name) | Subject::Function(name)) = subject.clone();
        Detail {
            session: session.clone(),
            subject,
            fetcher,
            lists: Default::default(),
            log: Log::default(),
            shown: None,
            counts: None,
            looked: 0,
            name,
            gone: false,
            trouble: None,
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
                self.lists[DETAILS].lines = facts::node(node);
                self.lists[INSTANCES].lines = facts::instances_on(model, id);
                [node.running.into(), node.succeeded, node.failed, 0, 0]
            }),
            Subject::Function(name) => model.functions.get(name).map(|function| {
                self.lists[DETAILS].lines = facts::function(function);
                self.lists[INSTANCES].lines = facts::instances_of(model, function);
                let instances = function.instances.len() as u64;
                [function.calls, function.failures, function.in_flight, function.revision, instances]
            }),
        };
        self.gone = counts.is_none();
        if fetched.revision > 0 {
            self.lists[CALLS].lines = facts::calls(model, &fetched.calls, matches!(self.subject, Subject::Node(_)));
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
}

impl Contents for Detail {
    const PANES: usize = 4;

    fn keys(&self, _: usize) -> Place {
        match self.subject {
            Subject::Node(_) => Place::Node,
            Subject::Function(_) => Place::Function,
        }
    }

    fn layout(&mut self, model: &mut Model, room: Room, focus: &mut usize) -> Vec<Area> {
        self.refresh(model);
        self.read_log(model);
        let Room { body: Area { at, size }, boxed, .. } = room;
        if !boxed {
            let [details, instances, calls] = self.lists.each_ref().map(|list| list.lines.len() + 1);
            let log = (self.log.lines().len() + 1).max(LOG_LEAST);
            return layout::stacked(room.body, &[details, instances, calls, log], *focus);
        }
        let log = (size.y / 4).max(5);
        let (upper, left) = (size.y - log, size.x / 2);
        let instances = (self.lists[INSTANCES].lines.len() + 2).clamp(3, upper / 2);
        vec![
            area(0, at.y, left, upper),
            area(left, at.y, size.x - left, instances),
            area(left, at.y + instances, size.x - left, upper - instances),
            area(0, at.y + upper, size.x, log),
        ]
    }

    fn pane(&mut self, pane: usize) -> &mut dyn Pane {
        match self.lists.get_mut(pane) {
            Some(list) => list,
            None => &mut self.log,
        }
    }

    fn act(&mut self, _: usize, action: Action, _: usize) -> Did {
        let changes = matches!(action, Action::Invoke | Action::Delete | Action::Cordon);
        let node = match &self.subject {
            Subject::Function(name) if !self.gone || !changes => {
                return row_keys::function(&self.session, action, name);
            }
            Subject::Function(_) => None,
            Subject::Node(id) => self.session.model().nodes.get(id).cloned(),
        };
        match node {
            Some(node) => row_keys::node(&self.session, action, &node),
            None if action == Action::Logs => row_keys::node_log(&self.session, &self.name),
            None if changes => Did::Nothing(Some("it is gone: esc goes back")),
            None => Did::Nothing(None),
        }
    }

    fn draw(&self, page: &Drawn) {
        let (heading, log) = match &self.subject {
            Subject::Node(_) => (format!("Node {}", self.name), "Log, lines that name it"),
            Subject::Function(_) => (format!("Function {}", self.name), "Log, what it printed"),
        };
        page.lines(DETAILS, page.standing(&heading, self.gone, None), &self.lists[DETAILS]);
        page.lines(INSTANCES, Heading::new("Instances"), &self.lists[INSTANCES]);
        let trouble = self.trouble.as_deref().unwrap_or_default();
        page.lines(CALLS, Heading::new("Recent invocations").note(trouble, Tone::Bad), &self.lists[CALLS]);
        page.log(LOG, Heading::new(log), &self.log);
    }
}
