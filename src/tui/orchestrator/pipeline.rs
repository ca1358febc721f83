//! One pipeline, opened over the whole screen: how far it is, its modules as a tree that lives, all of the selected one.
//! Must never ask on the screen's thread.

use super::facts;
use super::model::Model;
use super::modules::{self, ModuleRow};
use super::page::{Contents, Did, Drawn, Heading, Page, Room};
use super::pipelines;
use super::row_keys;
use crate::errors::Error;
use crate::lock::lock;
use crate::tui::follow::{Again, Looking, Looks, PAUSE, QUIET};
use crate::tui::forms::{pipeline_ask, viewer};
use crate::tui::keymap::{Action, Place};
use crate::tui::panes::border::inside;
use crate::tui::panes::layout::{self, Area, area};
use crate::tui::panes::lines::Lines;
use crate::tui::panes::pane::Pane;
use crate::tui::panes::rows::Rows;
use crate::tui::panes::table::Table;
use crate::tui::session::Session;
use crate::types::{Change, Pipeline, PipelineModule};
use cursive::Cursive;
use std::sync::{Arc, Mutex};

/// The panes.
const SUMMARY: usize = 0;
const MODULES: usize = 1;
const MODULE: usize = 2;

/// Opens it over what is shown. `role` is what ends with the program, as in `orchestrator::open`.
pub fn open(siv: &mut Cursive, session: &Session, pipeline: &Pipeline, role: Option<&'static str>) {
    siv.add_fullscreen_layer(page(session, pipeline, role));
}

/// The page, its modules having the focus.
pub(super) fn page(session: &Session, pipeline: &Pipeline, role: Option<&'static str>) -> Page<PipelinePage> {
    Page::new(session, role, PipelinePage::new(session, pipeline)).focused(MODULES)
}

pub(super) struct PipelinePage {
    session: Session,
    /// As it is, or last was; with its modules once they have come.
    now: Pipeline,
    gone: bool,
    heard: Arc<Mutex<Heard>>,
    /// `None`: it could not be followed.
    looking: Option<Looking>,
    /// What its rows were made of.
    written: Option<Written>,
    trouble: Option<String>,
    summary: Lines,
    rows: Rows<ModuleRow>,
    modules: Table<ModuleRow>,
    module: Lines,
}

/// How often was heard of it and of nodes, and whether the rows are a tree.
type Written = (u64, u64, bool);

/// What its thread heard.
#[derive(Default)]
struct Heard {
    pipeline: Option<Pipeline>,
    times: u64,
    trouble: Option<String>,
}

impl PipelinePage {
    pub(super) fn new(session: &Session, pipeline: &Pipeline) -> Self {
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (own, to, id) = (session.clone(), heard.clone(), pipeline.id.clone());
        let looking = Looking::start(move |looks| follow(&own, &id, &to, looks));
        let looking = looking.map_err(|why| lock(&heard).trouble = Some(why)).ok();
        PipelinePage {
            session: session.clone(),
            now: pipeline.clone(),
            gone: false,
            heard,
            looking,
            written: None,
            trouble: None,
            summary: Lines::default(),
            rows: Rows::default(),
            modules: Table::default(),
            module: Lines::default(),
        }
    }

    /// Takes over what was heard of it, and writes its rows anew when they changed.
    fn refresh(&mut self, model: &Model) {
        let row = model.pipelines.get(&self.now.id);
        self.gone = row.is_none();
        {
            let heard = lock(&self.heard);
            self.trouble = heard.trouble.clone();
            if row.is_some_and(|row| row.runs > self.now.runs) {
                self.looking.iter().for_each(Looking::wake); // it runs again
            }
            // The list and the page's own thread are told apart from each other: what has come further is newer.
            let known = [row, heard.pipeline.as_ref()].into_iter().flatten();
            if let Some(known) = known.max_by_key(|known| pipelines::advance(known)) {
                self.now = Pipeline { modules: Vec::new(), ..known.clone() };
            }
            let tree = self.modules.as_given();
            let written = Some((heard.times, model.nodes.revision(), tree));
            if let Some(pipeline) = heard.pipeline.as_ref().filter(|_| self.written != written) {
                modules::write(&mut self.rows, &pipeline.modules, &model.nodes, tree);
                self.written = written;
            }
        }
        self.modules.arrange(&self.rows);
    }

    fn selected(&self) -> Option<&PipelineModule> {
        self.rows.get(self.modules.selected()?).map(|row| &row.module)
    }
}

/// Reads it until nothing changes, it has ended, or nobody looks.
fn follow(session: &Session, id: &str, to: &Mutex<Heard>, looks: &Looks) -> Again {
    let read = || -> Result<(), Error> {
        for heard in session.client().watch_pipeline_until_quiet(id, QUIET)? {
            if let Change::Put(pipeline) = heard? {
                let ended = pipeline.status != "running";
                {
                    let mut heard = lock(to);
                    *heard = Heard { pipeline: Some(pipeline), times: heard.times + 1, trouble: None };
                }
                session.ui.redraw();
                if ended {
                    break;
                }
            }
            if looks.left() {
                break;
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        lock(to).trouble = Some(error.to_string());
        session.ui.redraw();
        return Again::In(PAUSE);
    }
    let runs = session.model().pipelines.get(id).is_some_and(|row| row.status == "running");
    if runs { Again::In(PAUSE / 4) } else { Again::WhenWoken }
}

impl Contents for PipelinePage {
    const PANES: usize = 3;

    fn keys(&self, _: usize) -> Place {
        Place::Pipeline
    }

    fn catch_up(&mut self, _: &mut Model) {
        self.modules.arrange(&self.rows);
    }

    fn layout(&mut self, model: &mut Model, room: Room, focus: &mut usize) -> Vec<Area> {
        self.refresh(model);
        let Room { body: Area { at, size }, boxed, .. } = room;
        let left = if boxed { size.x * 60 / 100 } else { size.x };
        let right = if boxed { size.x - left } else { size.x };
        let width = |cells| inside(area(0, 0, cells, 0), boxed).size.x;
        self.summary.lines = facts::pipeline(&self.now, width(right));
        let row = self.modules.selected().and_then(|name| self.rows.get(name));
        self.module.lines = row.map(|row| facts::module(row, width(right))).unwrap_or_default();
        let summary = self.summary.lines.len();
        let panes = match boxed {
            true => {
                let top = (summary + 2).min(size.y / 2);
                vec![
                    area(left, at.y, right, top),
                    area(0, at.y, left, size.y),
                    area(left, at.y + top, right, size.y - top),
                ]
            }
            false => {
                let wants = [summary + 1, self.rows.len().max(2) + 2, self.module.lines.len() + 1];
                layout::stacked(room.body, &wants, *focus)
            }
        };
        self.modules.layout(&self.rows, inside(panes[MODULES], boxed).size);
        panes
    }

    fn pane(&mut self, pane: usize) -> &mut dyn Pane {
        match pane {
            SUMMARY => &mut self.summary,
            MODULES => &mut self.modules,
            _ => &mut self.module,
        }
    }

    fn act(&mut self, _: usize, action: Action, _: usize) -> Did {
        let session = self.session.clone();
        match (action, self.selected()) {
            (Action::Cancel | Action::Retry, _) if self.gone => Did::Nothing(Some("it is gone: esc goes back")),
            (Action::Cancel | Action::Retry, _) => row_keys::pipeline(&session, action, &self.now),
            (Action::Open | Action::Logs, None) => Did::Nothing(Some("no module is selected")),
            (Action::Open, Some(module)) if module.result.is_none() => {
                Did::Nothing(Some(match module.state.as_str() {
                    "pending" | "ready" | "running" => "it has not ended yet",
                    _ => "it left no result",
                }))
            }
            (Action::Open, Some(module)) => {
                let (id, name) = (self.now.id.clone(), module.name.clone());
                Did::leads(move |_| pipeline_ask::result(&session, &id, &name))
            }
            (Action::Logs, Some(module)) => {
                let (id, name) = (self.now.id.clone(), module.name.clone());
                Did::leads(move |siv| viewer::open_module(siv, &session, &id, &name))
            }
            _ => Did::Nothing(None),
        }
    }

    fn draw(&self, page: &Drawn) {
        let title = format!("Pipeline {}", pipelines::name(&self.now));
        page.lines(SUMMARY, page.standing(&title, self.gone, self.trouble.as_deref()), &self.summary);
        let hint = if self.written.is_none() { "Asking for its modules…" } else { "It has none." };
        page.table(MODULES, "Modules", 0, &self.modules, &self.rows, &[hint.into()]);
        let title = self.selected().map_or("Module".into(), |module| format!("Module {}", module.name));
        page.lines(MODULE, Heading::new(&title), &self.module);
    }
}
