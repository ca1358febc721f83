//! Answers of the API that their readers have not taken yet: whole, so that no handler waits for a reader; so many bytes in
//! all, and taken away from who reads nothing.

use super::problem::Problem;
use crate::body::{Body, BoxError};
use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Scoped};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// All of them together; one alone may be larger.
const BYTES: usize = 32 << 20;
/// For these there is always room: a connection buffers as much anyhow.
const SMALL_BYTES: usize = 64 << 10;
/// Those of one API.
pub struct Unread {
    bytes: Arc<AtomicUsize>,
    /// Without taking a piece.
    stall: Duration,
}

/// Those of one answer; they are given back when it is dropped.
struct Share {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    /// Counts more in; whether there is room.
    fn grow(&mut self, more: usize) -> bool {
        self.bytes += more;
        let all = self.all.fetch_add(more, Ordering::Relaxed) + more;
        all <= BYTES || all == self.bytes || self.bytes <= SMALL_BYTES
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Unread {
    /// Of which one that nobody takes a piece of for `stall` is taken away.
    pub fn new(stall: Duration) -> Self {
        Unread { bytes: Arc::default(), stall }
    }

    /// Takes an answer from its handler; as fast as it comes.
    ///
    /// # Errors
    /// `api_busy`: there is no room; `internal`: it broke off.
    pub async fn take(&self, mut answer: Incoming) -> Result<Body, Problem> {
        let mut share = Share { all: self.bytes.clone(), bytes: 0 };
        let mut pieces = VecDeque::new();
        while let Some(frame) = answer.frame().await {
            let broken = |error| Problem::new(500, "internal", format!("the API's answer broke off: {error}"));
            let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
            if !share.grow(piece.len()) {
                let detail = format!("{BYTES} bytes of answers wait for their readers, as many as may");
                return Err(Problem::new(503, "api_busy", detail).retry_after(1));
            }
            pieces.push_back(piece);
        }
        if share.bytes <= SMALL_BYTES {
            return Ok(Body::full(
                pieces.into_iter().reduce(|one, two| [one, two].concat().into()).unwrap_or_default(),
            ));
        }
        let left = share.bytes as u64;
        let waiting = Arc::new(Mutex::new(Waiting { held: Some((pieces, share)), left, taken: clock::now() }));
        let cut = rt::spawn_scoped(cut(waiting.clone(), self.stall));
        Ok(Body::stream(Answer { waiting, _cut: cut }))
    }
}

struct Waiting {
    /// `None`: taken away.
    held: Option<(VecDeque<Bytes>, Share)>,
    left: u64,
    /// When the last piece was.
    taken: Instant,
}

/// Takes it away once nothing of it has been taken for too long.
async fn cut(waiting: Arc<Mutex<Waiting>>, stall: Duration) {
    loop {
        let end = lock(&waiting).taken + stall;
        clock::at(end).await;
        let mut waiting = lock(&waiting);
        if waiting.taken + stall <= end {
            waiting.held = None;
            return;
        }
    }
}

/// What is sent of it.
struct Answer {
    waiting: Arc<Mutex<Waiting>>,
    _cut: Scoped,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut waiting = lock(&self.waiting);
        waiting.taken = clock::now();
        let Some((pieces, _)) = &mut waiting.held else {
            return Poll::Ready(Some(Err("its reader took nothing for too long".into())));
        };
        let piece = pieces.pop_front();
        waiting.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(lock(&self.waiting).left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_wait_beside_small_ones_and_one_that_is_alone() {
        let all = Arc::<AtomicUsize>::default();
        let share = || Share { all: all.clone(), bytes: 0 };
        let mut shares = [share(), share(), share(), share()];
        assert!(shares[0].grow(BYTES / 2) && shares[1].grow(BYTES / 2));
        assert!(shares[2].grow(SMALL_BYTES), "there is always room for a small one");
        assert!(!shares[3].grow(SMALL_BYTES + 1));
        drop(shares);
        let (mut alone, mut other) = (share(), share());
        assert!(alone.grow(2 * BYTES));
        assert!(!other.grow(SMALL_BYTES + 1));
        drop((alone, other));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
