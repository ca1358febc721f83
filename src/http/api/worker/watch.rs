//! `/api/v1/worker/tasks?watch=true`: the list as it changes. Holds the ids it has sent, never rows.

use crate::body::Body;
use crate::clock;
use crate::http::places::Place;
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::http::sse;
use crate::rt::Receiver;
use crate::worker::Worker;
use bytes::Bytes;
use futures_lite::future;
use hyper::Response;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two batches; changes of a row within it become one.
const PAUSE: Duration = Duration::from_millis(100);

struct Watcher {
    worker: Arc<Worker>,
    changes: Receiver<()>,
    membership: Receiver<()>,
    /// Changes up to this one have been sent; 0: nothing has.
    seen: u64,
    sent: BTreeSet<String>,
    _place: Place,
}

/// Answers it.
pub async fn watch(worker: Arc<Worker>, asked: Streamed) -> Result<Response<Body>, Problem> {
    sse::all_rows(&asked, &["limit", "after"])?;
    let place = worker.watches.take()?;
    let changes = worker.pool().tasks.changes();
    let membership = worker.membership.changes();
    let watcher = Watcher { worker, changes, membership, seen: 0, sent: BTreeSet::new(), _place: place };
    let body = Body::unfold(watcher, |mut watcher| async move {
        let piece = watcher.piece().await?;
        Some((Ok(piece), watcher))
    });
    Ok(sse::answer(body))
}

impl Watcher {
    /// The next piece; `None` when the worker ends.
    async fn piece(&mut self) -> Option<Bytes> {
        let first = self.seen == 0;
        let end = clock::now() + sse::KEEPALIVE;
        loop {
            if self.worker.membership.ended() {
                return None; // a watch must not hold up the end of the worker
            }
            let mut text = self.news();
            if first {
                text.extend_from_slice(sse::SYNCED);
            }
            if !text.is_empty() {
                return Some(text.into());
            }
            let changed = future::or(self.changes.recv(), self.membership.recv());
            if clock::timeout_at(end, changed).await.is_none() || clock::now() >= end {
                return Some(sse::STILL_HERE);
            }
            clock::after(PAUSE).await;
        }
    }

    fn news(&mut self) -> Vec<u8> {
        let (rows, seen, ids) = self.worker.pool().tasks.since(self.seen, &self.worker.id);
        self.seen = seen;
        let mut text = Vec::new();
        for row in rows {
            sse::put(&mut text, &row);
        }
        let now: BTreeSet<String> = ids.into_iter().collect();
        for id in self.sent.difference(&now) {
            sse::gone(&mut text, id);
        }
        self.sent = now;
        text
    }
}
