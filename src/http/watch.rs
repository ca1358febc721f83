//! Lists that are watched: all rows, and then what changes, as server-sent events. One task a list looks at the cluster,
//! and only while somebody watches; a watcher that stands still holds one piece and what it has been sent of each row.

#[cfg(test)]
mod tests;
mod watcher;
pub mod whole;

use super::places::{Place, Places};
use super::problem::Problem;
use super::route::Streamed;
use super::sse;
use crate::body::Body;
use crate::clock;
use crate::cluster::Cluster;
use crate::lock::lock;
use crate::orchestrator::state::{PIECE, State};
use crate::rt::{self, Scoped};
use bytes::Bytes;
use futures_lite::future;
use hyper::Response;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;
use watcher::Watcher;

/// Between two looks at the cluster, and between two batches to one watcher: twice a second is live to a person.
const PAUSE: Duration = Duration::from_millis(500);
/// And this many times the processor time of a look, so that looking takes no more than a twentieth of a core however long the list.
const PAUSE_FACTOR: u32 = 20;

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
        sse::all_rows(asked, &["limit", "after"])?;
        let watcher = self.watch(state, places.take()?);
        let body = Body::unfold(watcher, |mut watcher| async move {
            let piece = watcher.piece().await;
            Some((Ok(piece), watcher))
        });
        Ok(sse::answer(body))
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
            let spent = self.look(&state).await;
            let again = began + PAUSE.max(spent * PAUSE_FACTOR);
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

    /// Takes in what is there now, page by page; then tells who waits for it. Answers for how long it had a processor.
    async fn look(&self, state: &State) -> Duration {
        let look = self.lock().begin();
        let (mut behind, mut event, mut changed) = (String::new(), Vec::new(), false);
        let mut spent = Duration::ZERO;
        loop {
            let began = clock::thread_cpu(); // another thread may go on with the next page
            let page = state.read(|cluster| (self.look)(cluster, &behind, PIECE));
            for row in &page {
                event.clear();
                sse::put(&mut event, row);
                changed |= self.lock().put(look, (self.key)(row), &event);
            }
            spent += clock::thread_cpu().saturating_sub(began);
            let Some(last) = page.last().filter(|_| page.len() == PIECE) else { break };
            behind = (self.key)(last).into();
            future::yield_now().await;
        }
        let mut rows = self.lock();
        if look != rows.begun {
            return spent; // this task has ended, and did not know yet
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
        spent
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        lock(&self.rows)
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
