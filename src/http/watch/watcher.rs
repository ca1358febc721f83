//! One who watches a list: sends what it has not been sent yet, the newest of each row. Holds one piece, and which look's row
//! was sent; never rows.

use super::{Feed, PAUSE};
use crate::clock;
use crate::http::places::Place;
use crate::http::sse;
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Bound;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// One piece of the answer: about so many bytes, and rows looked at.
const PIECE_BYTES: usize = 64 * 1024;
const PIECE_ROWS: usize = 4_096;
const GONE_AT_ONCE: usize = 1_024;

/// One who watches.
pub struct Watcher<T: Serialize + Send + 'static> {
    feed: Arc<Feed<T>>,
    number: u64,
    /// As of which look each row was sent.
    sent: BTreeMap<Arc<str>, u64>,
    pass: Pass,
    /// The next batch.
    not_before: Instant,
    _place: Place,
}

/// Where it is.
#[derive(Clone)]
enum Pass {
    /// All looks up to this one have been sent; before the first batch, none that begins later has ended.
    Waiting { seen: u64, synced: bool },
    /// Behind this row.
    Sending { seen: u64, synced: bool, behind: Arc<str> },
}

impl<T: Serialize + Send + 'static> Watcher<T> {
    /// It is sent what looks find that begin after `begun`.
    pub fn new(feed: Arc<Feed<T>>, number: u64, begun: u64, place: Place) -> Self {
        let pass = Pass::Waiting { seen: begun, synced: false };
        Watcher { feed, number, sent: BTreeMap::new(), pass, not_before: clock::now(), _place: place }
    }

    /// The next piece; waits until there is one.
    pub async fn piece(&mut self) -> Bytes {
        let end = clock::now() + sse::KEEPALIVE;
        loop {
            if let Pass::Waiting { seen, synced } = self.pass {
                let ready = async {
                    let seen = self.changed(seen, synced).await;
                    clock::at(self.not_before).await;
                    seen
                };
                let Some(seen) = clock::timeout_at(end, ready).await else {
                    return sse::STILL_HERE;
                };
                self.not_before = clock::now() + PAUSE;
                self.pass = Pass::Sending { seen, synced, behind: "".into() };
            }
            let text = self.next_rows();
            if !text.is_empty() {
                return text.into();
            }
        }
    }

    /// Ends once there is something new since that look; answers up to which look.
    async fn changed(&self, seen: u64, synced: bool) -> u64 {
        poll_fn(|cx| {
            let mut rows = self.feed.lock();
            if rows.ended > seen && (rows.changed > seen || !synced) {
                return Poll::Ready(rows.ended);
            }
            rows.waiting.insert(self.number, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Goes on in the list; at its end come those that are gone.
    fn next_rows(&mut self) -> Vec<u8> {
        let Pass::Sending { seen, synced, behind } = self.pass.clone() else { return Vec::new() };
        let mut text = Vec::new();
        let rows = self.feed.lock();
        let range = rows.rows.range::<str, _>((Bound::Excluded(&*behind), Bound::Unbounded));
        for (looked_at, (key, row)) in range.enumerate() {
            if looked_at == PIECE_ROWS || text.len() >= PIECE_BYTES {
                return text;
            }
            if self.sent.get(key).is_none_or(|sent| *sent < row.since) {
                text.extend_from_slice(&row.event);
                self.sent.insert(key.clone(), row.since);
            }
            self.pass = Pass::Sending { seen, synced, behind: key.clone() };
        }
        let gone = self.sent.keys().filter(|key| !rows.rows.contains_key(*key)).take(GONE_AT_ONCE);
        let gone: Vec<Arc<str>> = gone.cloned().collect();
        drop(rows);
        if !synced {
            text.extend_from_slice(sse::SYNCED);
        }
        for key in &gone {
            self.sent.remove(key);
            sse::gone(&mut text, key);
        }
        match &mut self.pass {
            Pass::Sending { synced, .. } if gone.len() == GONE_AT_ONCE => *synced = true, // there may be more
            pass => *pass = Pass::Waiting { seen, synced: true },
        }
        text
    }
}

impl<T: Serialize + Send + 'static> Drop for Watcher<T> {
    fn drop(&mut self) {
        self.feed.leave(self.number);
    }
}
