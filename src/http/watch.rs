//! Lists that are watched: all rows, and then what changes, as server-sent events. One task a list looks at the cluster,
//! and only while somebody watches; a watcher that stands still holds one piece and what it has been sent of each row.

#[cfg(test)]
mod tests;
mod watcher;

use super::problem::Problem;
use super::route::{Streamed, value};
use crate::body::Body;
use crate::clock;
use crate::cluster::Cluster;
use crate::orchestrator::state::State;
use crate::rt::{self, Scoped};
use bytes::Bytes;
use futures_lite::future;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use watcher::Watcher;

/// Watchers at once, of all lists: each costs some bytes a row.
const WATCHERS: usize = 64;
/// Between two looks at the cluster, and between two batches to one watcher: twice a second is live to a person.
const PAUSE: Duration = Duration::from_millis(500);
/// And this many times what a look took, so that looking takes no more than a twentieth of a core however long the list.
const PAUSE_FACTOR: u32 = 20;
/// Rows taken under the cluster's lock at once: some 100 µs.
const PAGE: usize = 128;

/// A page of a list, from behind a key on, at most so many rows; it must be in the order of the keys.
pub type Look<T> = fn(&Cluster, &str, usize) -> Vec<T>;

/// One list.
pub struct Feed<T> {
    look: Look<T>,
    key: fn(&T) -> &str,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Arc<str>, Row>,
    /// Looks begun, ended, and the last ended one that found something changed.
    begun: u64,
    ended: u64,
    changed: u64,
    /// A watcher came, and waits for a look that begins after it did.
    wanted: bool,
    looker: Option<Waker>,
    watchers: usize,
    next_watcher: u64,
    waiting: BTreeMap<u64, Waker>,
    task: Option<Scoped>,
}

struct Row {
    /// As it is sent.
    event: Bytes,
    /// The look that found it so first, and last.
    since: u64,
    seen: u64,
}

/// How many watch, over all lists.
#[derive(Clone, Default)]
pub struct Places(Arc<AtomicUsize>);

struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn take(&self) -> Result<Place, Problem> {
        let room = |taken: usize| (taken < WATCHERS).then_some(taken + 1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(Place(self.clone())),
            Err(_) => {
                let detail =
                    format!("{WATCHERS} lists are watched, as many as may be: close a watch, or ask without it");
                Err(Problem::new(503, "too_many_watchers", detail).retry_after(5))
            }
        }
    }
}

impl<T: Serialize + Send + 'static> Feed<T> {
    /// A list nobody watches yet.
    pub fn new(look: Look<T>, key: fn(&T) -> &str) -> Arc<Self> {
        Arc::new(Feed { look, key, rows: Mutex::default() })
    }

    /// Answers `?watch=true`.
    pub fn answer(
        self: &Arc<Self>,
        state: &Arc<State>,
        places: &Places,
        asked: &Streamed,
    ) -> Result<Response<Body>, Problem> {
        for name in ["limit", "after"] {
            if value(&asked.query, name).is_some() {
                let detail = format!("{name}: a watch gives all rows; leave it out, or ask without watch=true");
                return Err(Problem::new(400, "invalid_field", detail));
            }
        }
        let watcher = self.watch(state, places.take()?);
        let body = Body::unfold(watcher, |mut watcher| async move {
            let piece = watcher.piece().await;
            Some((Ok(piece), watcher))
        });
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn watch(self: &Arc<Self>, state: &Arc<State>, place: Place) -> Watcher<T> {
        let mut rows = self.lock();
        rows.watchers += 1;
        rows.next_watcher += 1;
        rows.wanted = true;
        if rows.task.is_none() {
            rows.task = Some(rt::spawn_scoped(self.clone().keep_looking(state.clone())));
        }
        let (number, begun) = (rows.next_watcher, rows.begun);
        let looker = rows.looker.take();
        drop(rows);
        looker.into_iter().for_each(Waker::wake);
        Watcher::new(self.clone(), number, begun, place)
    }

    /// A watcher has left; with the last one go the task and the rows.
    fn leave(&self, number: u64) {
        let mut rows = self.lock();
        rows.waiting.remove(&number);
        rows.watchers -= 1;
        if rows.watchers == 0 {
            let unused = (rows.task.take(), std::mem::take(&mut rows.rows));
            drop(rows); // the rows may be many
            drop(unused);
        }
    }

    /// Looks when something changed or a watcher came, as long as there are any.
    async fn keep_looking(self: Arc<Self>, state: Arc<State>) {
        loop {
            let began = clock::now();
            let armed = state.changes.arm();
            self.look(&state).await;
            let again = began + PAUSE.max(began.elapsed() * PAUSE_FACTOR);
            let changed = async {
                state.changes.changed(armed).await;
                clock::at(again).await;
            };
            future::or(changed, self.wanted()).await;
        }
    }

    async fn wanted(&self) {
        poll_fn(|cx| {
            let mut rows = self.lock();
            if rows.wanted {
                return Poll::Ready(());
            }
            rows.looker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Takes in what is there now, page by page; then tells who waits for it.
    async fn look(&self, state: &State) {
        let look = self.lock().begin();
        let (mut behind, mut event, mut changed) = (String::new(), Vec::new(), false);
        loop {
            let page = state.read(|cluster| (self.look)(cluster, &behind, PAGE));
            for row in &page {
                event.clear();
                event.extend_from_slice(b"event: put\ndata: ");
                let _ = serde_json::to_writer(&mut event, row); // a Vec takes all, and keys are text
                event.extend_from_slice(b"\n\n");
                changed |= self.lock().put(look, (self.key)(row), &event);
            }
            let Some(last) = page.last().filter(|_| page.len() == PAGE) else { break };
            behind = (self.key)(last).into();
            future::yield_now().await;
        }
        let mut rows = self.lock();
        if look != rows.begun {
            return; // this task has ended, and did not know yet
        }
        let before = rows.rows.len();
        rows.rows.retain(|_, row| row.seen == look);
        if changed || rows.rows.len() != before {
            rows.changed = look;
        }
        rows.ended = look;
        let waiting = std::mem::take(&mut rows.waiting);
        drop(rows); // release before waking: the woken take the same lock
        waiting.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn begin(&mut self) -> u64 {
        self.wanted = false;
        self.begun += 1;
        self.begun
    }

    /// Takes in one row; whether there is anything new in it.
    fn put(&mut self, look: u64, key: &str, event: &[u8]) -> bool {
        if look != self.begun {
            return false; // by a task that has ended, and did not know yet
        }
        if let Some(row) = self.rows.get_mut(key) {
            row.seen = look;
            let changed = row.event != event;
            if changed {
                (row.event, row.since) = (Bytes::copy_from_slice(event), look);
            }
            return changed;
        }
        let row = Row { event: Bytes::copy_from_slice(event), since: look, seen: look };
        self.rows.insert(key.into(), row);
        true
    }
}
