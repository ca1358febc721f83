//! `/api/v1/manager/tasks/ID?watch=true`: one task, and again whenever it has changed. Holds what it sent last.

use super::tasks::unknown;
use crate::body::Body;
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::http::sse;
use crate::http::watch::whole;
use crate::orchestrator::{Orchestrator, tasks};
use hyper::Response;
use std::sync::Arc;

/// Answers it.
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let id = asked.params.first().cloned().unwrap_or_default();
    if app.state.read(|c| c.find_task(&id).is_none()) {
        return Err(unknown(&id));
    }
    let place = app.watches.places.take()?;
    let mut sent = Vec::new();
    let news = move |app: &Orchestrator| {
        let mut now = Vec::new();
        match app.state.read(|c| c.find_task(&id).map(|task| tasks::status(task, c))) {
            Some(task) => sse::put(&mut now, &task),
            None => sse::gone(&mut now, &id),
        }
        if now == sent {
            return Vec::new();
        }
        sent.clone_from(&now);
        now
    };
    Ok(whole::answer(app, |app| &app.state.changes, place, news))
}
