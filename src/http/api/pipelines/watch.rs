//! `?watch=true` of pipelines: the list, or one with its modules, as it changes. Holds what it sent of each row as a hash.

use super::none;
use crate::body::Body;
use crate::cluster::pipeline::PipelineKey;
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::http::sse;
use crate::http::watch::whole;
use crate::orchestrator::Orchestrator;
use hyper::Response;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Of a list: the newest.
const ROWS: usize = 1_000;

/// Answers it.
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    sse::all_rows(&asked, &["limit", "after", "status"])?;
    let one = asked.params.first().map(|id| PipelineKey::parse(id).ok_or_else(|| none(id))).transpose()?;
    if let Some(key) = one.filter(|key| app.pipelines.one(*key).is_none()) {
        return Err(none(&key.to_string()));
    }
    let place = app.watches.places.take()?;
    let mut sent = BTreeMap::new();
    Ok(whole::answer(app, |app| &app.pipelines.changes, place, move |app| news(app, one, &mut sent)))
}

/// What is different from what was sent; without `one`, in the list.
fn news(app: &Orchestrator, one: Option<PipelineKey>, sent: &mut BTreeMap<String, u64>) -> Vec<u8> {
    let rows = match one {
        Some(key) => super::whole(app, key).into_iter().collect(),
        None => app.pipelines.newest(None, None, ROWS),
    };
    let (mut text, mut now) = (Vec::new(), BTreeMap::new());
    for row in rows {
        let from = text.len();
        sse::put(&mut text, &row);
        let mut hasher = DefaultHasher::new();
        text[from..].hash(&mut hasher);
        let hash = hasher.finish();
        if sent.get(&row.id) == Some(&hash) {
            text.truncate(from);
        }
        now.insert(row.id, hash);
    }
    for id in sent.keys().filter(|id| !now.contains_key(*id)) {
        sse::gone(&mut text, id);
    }
    *sent = now;
    text
}
