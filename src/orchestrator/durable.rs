//! What the shells around machines that outlive a restart share: writing until it is on disk, and sleeping until something
//! is due. Never knows what is written.

use super::changes::{Changes, Since};
use super::queue::records::Outcome;
use super::store::{LaterWrite, Store, Write, Written};
use crate::body::Body;
use crate::clock;
use crate::rt::{self, Receiver};
use futures_channel::oneshot;
use futures_lite::future;
use hyper::{Response, StatusCode};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// After a write failed.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks for room, however often the cluster changes: every call of it changes it.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// Waits until it is on disk; after each failure it is written `again`, as it is by then, if it is still there.
pub async fn kept(
    store: &Store,
    what: &str,
    key: impl Display,
    mut written: Option<Written>,
    again: impl Fn() -> Option<Written>,
) {
    while let Some(waiting) = written.take() {
        match store.kept(waiting).await {
            Ok(()) => return,
            Err(error) => log::warn!("{what} {key}: {error}; tried again"),
        }
        clock::after(AGAIN).await;
        written = again();
    }
}

/// Waits until what was taken into memory before is on disk. False: it never got there, or is no longer known. `is_kept` is
/// asked anew whenever `changes` are told of.
pub async fn on_disk(changes: &Changes, is_kept: impl Fn() -> Option<bool>) -> bool {
    loop {
        let armed = changes.arm();
        match is_kept() {
            Some(false) => changes.changed(armed).await,
            known => return known.is_some(),
        }
    }
}

/// Sees that nothing is kept of what `gone` says; its place is among the writes made by now.
pub fn erase(store: &Arc<Store>, gone: impl Fn() -> LaterWrite + Send + Sync + 'static) {
    let mut written = store.write(Write::Later(gone()), Vec::new());
    let store = store.clone();
    rt::spawn(async move {
        while store.kept(written).await.is_err() && store.trouble().is_some() {
            clock::after(AGAIN).await;
            written = store.write(Write::Later(gone()), Vec::new());
        }
    });
}

/// Waits for all of them, which go on though whoever waits has left.
pub async fn all(saving: Vec<future::Boxed<()>>) {
    let (tell, told) = oneshot::channel();
    rt::spawn(async move {
        for save in saving {
            save.await;
        }
        let _ = tell.send(()); // the caller may have left
    });
    let _ = told.await; // dropped only when all ends
}

/// Sleeps until then, or until woken, or until there may be `room`: once what it depends on has changed since before it was
/// looked for. False: nobody wakes any more.
pub async fn sleep(woken: &Receiver<()>, now: u64, until: Option<u64>, room: Option<(&Changes, Since)>) -> bool {
    let due = async {
        match until {
            Some(at) => clock::after(Duration::from_millis(at.saturating_sub(now).max(1))).await,
            None => future::pending().await,
        }
        true
    };
    let roomy = async {
        let Some((changes, since)) = room else { return future::pending().await };
        clock::after(LOOKS_APART).await;
        changes.changed(since).await;
        true
    };
    future::or(future::or(due, roomy), async { woken.recv().await.is_ok() }).await
}

/// What something ended with, and its body, as the answer it was.
pub fn answer(outcome: Outcome, body: Body) -> Result<Response<Body>, String> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(outcome.status).map_err(|e| e.to_string())?;
    *response.headers_mut() = outcome.headers.to_map();
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than anything takes: only a fault reaches it.
    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn who_waits_for_room_sleeps_until_something_changes_and_looks_seldom_while_all_does() {
        let (changes, (wake, woken)) = (Changes::default(), rt::bounded(1));
        let asleep = |since, limit| clock::timeout(limit, sleep(&woken, 0, None, Some((&changes, since))));
        rt::block_on(async {
            let since = changes.arm();
            assert_eq!(asleep(since, 2 * AGAIN).await, None, "nothing has changed");
            changes.tell();
            assert_eq!(asleep(since, LIMIT).await, Some(true), "it changed before it slept");
            let begun = clock::now();
            for _ in 0..3 {
                let since = changes.arm();
                changes.tell();
                assert_eq!(asleep(since, LIMIT).await, Some(true));
            }
            assert!(begun.elapsed() >= 3 * LOOKS_APART);
            wake.try_send(()).unwrap();
            assert_eq!(asleep(changes.arm(), LIMIT).await, Some(true));
            drop(wake);
            assert_eq!(asleep(changes.arm(), LIMIT).await, Some(false));
        });
    }
}
