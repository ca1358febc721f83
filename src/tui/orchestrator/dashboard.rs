//! The orchestrator's dashboard: nodes, the work they do, the log. Must never ask the API itself.
//!
//! Functions, tasks and pipelines are the work. Where there is room each that has rows has a box; elsewhere one of them is
//! seen, and the others are named at the right end of its frame.

use super::detail;
use super::fetch::Subject;
use super::hints;
use super::model::{Connection, Model, Source, Wanted};
use super::page::{Contents, Did, Drawn, Heading, Room};
use super::{pipeline, row_keys, task};
use crate::tui::forms::{add, pipeline_ask, run_task, viewer};
use crate::tui::keymap::{self, Action, Place};
use crate::tui::panes::border::inside;
use crate::tui::panes::layout::{self, Area, area};
use crate::tui::panes::pane::{Pane, SessionLog};
use crate::tui::panes::table::Table;
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::{Function, Node, Pipeline, TaskSummary};
use cursive::Vec2;

/// The panes, in the order of `tab` and of the keys that go to each.
pub const NODES: usize = 0;
pub const FUNCTIONS: usize = 1;
pub const TASKS: usize = 2;
pub const PIPELINES: usize = 3;
pub const LOG: usize = 4;
const PANES: usize = 5;
const WORK: [usize; 3] = [FUNCTIONS, TASKS, PIPELINES];
const NAMES: [&str; PANES] = ["Nodes", "Functions", "Tasks", "Pipelines", "Log"];

/// What stands above a pane; less where it is one name of several.
fn title(pane: usize) -> &'static str {
    if pane == FUNCTIONS { "Registered Functions" } else { NAMES[pane] }
}

/// Rows of a box that are no rows of its table: its frame and the head.
const FRAME: usize = 3;
/// Cells of a frame that its corner and the line beside it take.
const CORNER: usize = 2;
/// Between two names.
const SEPARATOR: &str = "  ";

pub(super) struct Dashboard {
    session: Session,
    role: Option<&'static str>,
    nodes: Table<Node>,
    functions: Table<Function>,
    tasks: Table<TaskSummary>,
    pipelines: Table<Pipeline>,
    log: SessionLog,
    /// The work that someone looked at last.
    chosen: Option<usize>,
    /// The work that is seen where there is room for one of them: that, or the first there is.
    front: usize,
    /// Work that is not seen: where its name stands, and the name.
    tabs: Vec<(usize, Area, String)>,
}

impl Dashboard {
    pub(super) fn new(session: &Session, role: Option<&'static str>) -> Self {
        Dashboard {
            session: session.clone(),
            role,
            nodes: Table::default(),
            functions: Table::default(),
            tasks: Table::default(),
            pipelines: Table::default(),
            log: SessionLog(session.clone()),
            chosen: None,
            front: FUNCTIONS,
            tabs: Vec::new(),
        }
    }

    fn arrange(&mut self, model: &Model) {
        self.nodes.arrange(&model.nodes);
        self.functions.arrange(&model.functions);
        self.tasks.arrange(&model.tasks);
        self.pipelines.arrange(&model.pipelines);
    }

    /// Selects what was just made once it is there, so that the next key, such as `i`, is for it.
    fn select_wanted(&mut self, model: &mut Model) -> Option<usize> {
        let (pane, found) = match model.wanted.as_ref()? {
            Wanted::Function(name) => (FUNCTIONS, self.functions.select_key(name)),
            Wanted::Task(id) => (TASKS, self.tasks.select_key(id)),
            Wanted::Pipeline(id) => (PIPELINES, self.pipelines.select_key(id)),
        };
        found.then(|| {
            model.wanted = None;
            pane
        })
    }

    /// Where the panes are; those that are not seen are nowhere.
    fn place(&self, model: &Model, room: Room, seen: &[usize], focus: usize) -> Vec<Area> {
        let Area { at, size } = room.body;
        let mut panes = vec![Area::default(); PANES];
        let nodes = model.nodes.len();
        if room.boxed {
            let wants: Vec<usize> = seen.iter().map(|pane| rows(model, *pane) + FRAME).collect();
            // Few rows leave more to the log.
            let rows = wants.iter().sum::<usize>().max(nodes + FRAME);
            let log = size.y - rows.clamp(size.y / 2, size.y - (size.y / 3).max(5));
            let (left, upper) = ((size.x * 56).div_ceil(100), size.y - log);
            panes[NODES] = area(0, at.y, left, upper);
            panes[LOG] = area(0, at.y + upper, size.x, log);
            let mut y = at.y;
            for (pane, rows) in seen.iter().zip(layout::share(upper, &wants)) {
                panes[*pane] = area(left, y, size.x - left, rows);
                y += rows;
            }
        } else {
            // Room for the first rows to come, where there is some to spare.
            let least = if layout::low(room.size) { [2, 2] } else { [4, 3] };
            let work = rows(model, self.front).max(least[1]) + 2;
            let stacked = [NODES, self.front, LOG];
            let focus = stacked.iter().position(|pane| *pane == focus).unwrap_or_default();
            let places = layout::stacked(room.body, &[nodes.max(least[0]) + 2, work, usize::MAX], focus);
            for (pane, place) in stacked.into_iter().zip(places) {
                panes[pane] = place;
            }
        }
        panes
    }

    /// Names what is not seen at the right end of the frame that is: long where there is room, else its key alone.
    fn place_tabs(&mut self, model: &Model, panes: &[Area]) {
        self.tabs.clear();
        let frame = panes[self.front];
        let hidden: Vec<usize> = WORK.into_iter().filter(|pane| panes[*pane].size.y == 0).collect();
        if frame.size.y == 0 || hidden.is_empty() {
            return;
        }
        let (title, note) = match self.front {
            FUNCTIONS => (self.functions.title(title(FUNCTIONS), &model.functions), self.functions.note(false)),
            TASKS => (self.tasks.title(title(TASKS), &model.tasks), self.tasks.note(false)),
            _ => (self.pipelines.title(title(PIPELINES), &model.pipelines), self.pipelines.note(false)),
        };
        let said = text::width(&title) + text::width(&note) + if note.is_empty() { 2 } else { 5 };
        let room = frame.size.x.saturating_sub(said + 2 * CORNER);
        for long in [true, false] {
            let names: Vec<String> = hidden.iter().map(|pane| tab(model, *pane, long)).collect();
            let cells = names.iter().map(|name| text::width(name) + SEPARATOR.len()).sum::<usize>();
            if long && cells > room || cells + 2 * CORNER > frame.size.x {
                continue;
            }
            let mut x = frame.at.x + frame.size.x - CORNER - cells;
            for (pane, name) in hidden.iter().zip(names) {
                let wide = text::width(&name);
                self.tabs.push((*pane, area(x + 1, frame.at.y, wide, 1), name));
                x += wide + SEPARATOR.len();
            }
            return;
        }
    }
}

fn rows(model: &Model, pane: usize) -> usize {
    match pane {
        FUNCTIONS => model.functions.len(),
        TASKS => model.tasks.len(),
        _ => model.pipelines.len(),
    }
}

/// `T Tasks (3)`, or `T (3)`.
fn tab(model: &Model, pane: usize, long: bool) -> String {
    let key = keymap::nth_key(Action::ToPane, pane);
    let name = if long { format!(" {}", NAMES[pane]) } else { String::new() };
    match rows(model, pane) {
        0 => format!("{key}{name}"),
        rows => format!("{key}{name} ({rows})"),
    }
}

impl Contents for Dashboard {
    const PANES: usize = PANES;

    fn keys(&self, focus: usize) -> Place {
        match focus {
            TASKS => Place::Tasks,
            PIPELINES => Place::Pipelines,
            _ => Place::Dashboard,
        }
    }

    fn catch_up(&mut self, model: &mut Model) {
        model.wanted = None; // whoever goes on by hand keeps where they are
        self.arrange(model);
    }

    fn layout(&mut self, model: &mut Model, room: Room, focus: &mut usize) -> Vec<Area> {
        self.arrange(model);
        *focus = self.select_wanted(model).unwrap_or(*focus);
        let full = |pane: &usize| rows(model, *pane) > 0;
        let looked_at = WORK.contains(focus);
        self.chosen = if looked_at { Some(*focus) } else { self.chosen };
        let chosen = self.chosen.filter(|pane| looked_at || full(pane));
        self.front = chosen.or_else(|| WORK.into_iter().find(full)).unwrap_or(FUNCTIONS);
        let seen: Vec<usize> = match layout::roomy(room.size) {
            true => WORK.into_iter().filter(|pane| *pane == self.front || full(pane)).collect(),
            false => vec![self.front],
        };
        let panes = self.place(model, room, &seen, *focus);
        self.place_tabs(model, &panes);
        let size = |pane: usize| inside(panes[pane], room.boxed).size;
        self.nodes.layout(&model.nodes, size(NODES));
        self.functions.layout(&model.functions, size(FUNCTIONS));
        self.tasks.layout(&model.tasks, size(TASKS));
        self.pipelines.layout(&model.pipelines, size(PIPELINES));
        panes
    }

    fn pane(&mut self, pane: usize) -> &mut dyn Pane {
        match pane {
            NODES => &mut self.nodes,
            FUNCTIONS => &mut self.functions,
            TASKS => &mut self.tasks,
            PIPELINES => &mut self.pipelines,
            _ => &mut self.log,
        }
    }

    fn tab_at(&self, at: Vec2) -> Option<usize> {
        self.tabs.iter().find(|(_, place, _)| place.contains(at)).map(|(pane, ..)| *pane)
    }

    fn act(&mut self, focus: usize, action: Action, number: usize) -> Did {
        let (session, role) = (self.session.clone(), self.role);
        match (action, focus) {
            (Action::ToPane, _) => return Did::Focus(number),
            (Action::Add, TASKS) => return Did::leads(move |siv| run_task::open(siv, &session)),
            (Action::Add, PIPELINES) => return Did::leads(move |siv| pipeline_ask::open(siv, &session)),
            (Action::Add, _) => return Did::leads(move |siv| add::open(siv, &session)),
            (Action::Open | Action::Logs, LOG) => {
                return Did::leads(move |siv| viewer::open_log(siv, &session, None));
            }
            _ => {}
        }
        let (open, model) = (action == Action::Open, self.session.model());
        let did = match focus {
            NODES => self.nodes.selected().and_then(|id| model.nodes.get(id)).cloned().map(|node| match open {
                true => Did::leads(move |siv| detail::open(siv, &session, Subject::Node(node.id), role)),
                false => row_keys::node(&session, action, &node),
            }),
            FUNCTIONS => self.functions.selected().map(str::to_string).map(|name| match open {
                true => Did::leads(move |siv| detail::open(siv, &session, Subject::Function(name), role)),
                false => row_keys::function(&session, action, &name),
            }),
            TASKS => self.tasks.selected().and_then(|id| model.tasks.get(id)).cloned().map(|row| match open {
                true => Did::leads(move |siv| task::open(siv, &session, &row, role)),
                false => row_keys::task(&session, action, &row),
            }),
            PIPELINES => {
                self.pipelines.selected().and_then(|id| model.pipelines.get(id)).cloned().map(|row| match open {
                    true => Did::leads(move |siv| pipeline::open(siv, &session, &row, role)),
                    false => row_keys::pipeline(&session, action, &row),
                })
            }
            _ => None,
        };
        match did {
            Some(Did::Nothing(None)) | None => Did::Nothing(hints::why_not(focus, action)),
            Some(did) => did,
        }
    }

    fn draw(&self, page: &Drawn) {
        let model = page.model;
        let keep = |pane: usize| match pane == self.front {
            true => self.tabs.iter().map(|(_, place, _)| place.size.x + SEPARATOR.len()).sum(),
            false => 0,
        };
        let hint = hints::nodes_hint(model, page.url);
        page.table(NODES, title(NODES), 0, &self.nodes, &model.nodes, &hint);
        let hint = |pane| hints::work_hint(model, pane);
        let (functions, tasks, pipelines) = (&self.functions, &self.tasks, &self.pipelines);
        page.table(FUNCTIONS, title(FUNCTIONS), keep(FUNCTIONS), functions, &model.functions, &hint(FUNCTIONS));
        page.table(TASKS, title(TASKS), keep(TASKS), tasks, &model.tasks, &hint(TASKS));
        page.table(PIPELINES, title(PIPELINES), keep(PIPELINES), pipelines, &model.pipelines, &hint(PIPELINES));
        for (_, place, name) in &self.tabs {
            page.printer.with_style(Tone::Plain.style(), |p| p.print(place.at - (1, 0), SEPARATOR));
            page.printer.with_style(Tone::Accent.style(), |p| p.print(place.at, name));
            page.printer.print(place.at + (place.size.x, 0), " ");
        }
        let trouble = match (model.source(Source::Log), model.stale()) {
            (Connection::Lost { why, .. }, false) => format!("not followed: {why}"),
            _ => String::new(),
        };
        page.log(LOG, Heading::new(title(LOG)).note(&trouble, Tone::Warn), &model.log);
    }
}
