//! The dashboard and what it opens, drawn on the puppet screen.

mod dashboard;
mod detail;
mod feed;
mod pipeline;
pub mod samples;
mod task;

use super::dashboard::Dashboard;
use super::model::Model;
use super::page::Page;
use crate::tui::puppet::Puppet;
use crate::tui::session::Session;

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A dashboard that nothing feeds but the test, with this in it.
fn dashboard_of(columns: usize, rows: usize, url: &str, fill: impl FnOnce(&mut Model)) -> (Puppet, Session) {
    let mut puppet = Puppet::new(columns, rows);
    let session = puppet.session(url);
    session.update(fill);
    puppet.runner.add_fullscreen_layer(Page::new(&session, None, Dashboard::new(&session, None)));
    (puppet, session)
}
