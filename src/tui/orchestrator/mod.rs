//! The screens of an orchestrator: its dashboard, and a page for each node, function, task and pipeline.

mod dashboard;
mod detail;
mod facts;
mod feed;
mod fetch;
mod figures;
mod functions;
mod hints;
pub mod model;
mod modules;
mod nodes;
mod page;
mod pipeline;
mod pipelines;
mod row_keys;
mod task;
mod tasks;
#[cfg(test)]
pub mod tests;
mod title;

use crate::tui::session::Session;
use cursive::Cursive;
use dashboard::Dashboard;
use page::Page;

/// Shows the dashboard and starts its feeds, which end with it. `role` is what runs in this process and ends with the
/// screen, such as "the orchestrator"; `None` for a cluster elsewhere.
pub fn open(siv: &mut Cursive, session: &Session, role: Option<&'static str>) {
    let feeds = feed::start(session);
    siv.add_fullscreen_layer(Page::new(session, role, Dashboard::new(session, role)).feeding(feeds));
}
