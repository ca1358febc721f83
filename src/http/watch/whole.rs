//! What is watched and looked at whole each time: told at once, and again whenever there is news in it. Looks a few times a
//! second at most, however often things change, and says that it is still there however often nothing of it did.

use crate::body::Body;
use crate::clock;
use crate::http::places::Place;
use crate::http::sse;
use crate::orchestrator::changes::Changes;
use bytes::Bytes;
use hyper::Response;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks; changes within it become one.
const PAUSE: Duration = Duration::from_millis(200);

struct Watcher<A, N> {
    of: Arc<A>,
    changes: fn(&A) -> &Changes,
    news: N,
    /// For how long nothing is said at most.
    silence: Duration,
    synced: bool,
    not_before: Instant,
    place: Option<Place>,
}

/// Answers with what `news` gives: all at first, then what is different from before.
pub fn answer<A, N>(of: Arc<A>, changes: fn(&A) -> &Changes, place: Place, news: N) -> Response<Body>
where
    A: Send + Sync + 'static,
    N: FnMut(&A) -> Vec<u8> + Send + 'static,
{
    let mut watcher = Watcher::new(of, changes, news, sse::KEEPALIVE);
    watcher.place = Some(place);
    sse::answer(Body::unfold(watcher, |mut watcher| async move {
        let piece = watcher.piece().await;
        Some((Ok(piece), watcher))
    }))
}

impl<A, N: FnMut(&A) -> Vec<u8>> Watcher<A, N> {
    fn new(of: Arc<A>, changes: fn(&A) -> &Changes, news: N, silence: Duration) -> Self {
        Watcher { of, changes, news, silence, synced: false, not_before: clock::now(), place: None }
    }

    async fn piece(&mut self) -> Bytes {
        let end = clock::now() + self.silence;
        loop {
            clock::at(self.not_before).await;
            let changes = (self.changes)(&self.of);
            let armed = changes.arm();
            let mut text = (self.news)(&self.of);
            self.not_before = clock::now() + PAUSE;
            if !std::mem::replace(&mut self.synced, true) {
                text.extend_from_slice(sse::SYNCED);
            }
            if !text.is_empty() {
                return text.into();
            }
            // Of all the changes there may be none here: the silence ends at its time all the same.
            if clock::timeout_at(end, changes.changed(armed)).await.is_none() || clock::now() >= end {
                return sse::STILL_HERE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn who_watches_something_still_hears_of_it_while_all_else_changes() {
        let changes = Arc::new(Changes::default());
        let over = Arc::new(AtomicBool::new(false));
        let (told, ended) = (changes.clone(), over.clone());
        let busy = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                told.tell();
                std::thread::yield_now();
            }
        });
        let mut looks = 0;
        let news = |_: &Changes| {
            looks += 1;
            if looks == 1 { b"first\n\n".to_vec() } else { Vec::new() }
        };
        let mut watcher = Watcher::new(changes, |changes| changes, news, 3 * PAUSE);
        let begun = clock::now();
        let pieces = rt::block_on(async { [watcher.piece().await, watcher.piece().await] });
        let most = begun.elapsed().as_millis() / PAUSE.as_millis() + 2;
        over.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        drop(watcher);
        assert_eq!(pieces[0], [&b"first\n\n"[..], sse::SYNCED].concat());
        assert_eq!(pieces[1], sse::STILL_HERE);
        assert!(looks <= most, "{looks} looks");
    }
}
