//! That something in the cluster changed, for whoever shows it. Costs who changes it one relaxed load while nobody waits,
//! and one wake for each time somebody armed it; says never what changed.

use crate::lock::lock;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// The signal.
#[derive(Default)]
pub struct Changes {
    armed: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// How often it was told.
    count: u64,
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

/// From when on changes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(u64);

/// Forgets who waits when dropped.
struct Waiting<'a> {
    changes: &'a Changes,
    number: u64,
}

impl Changes {
    /// A change made after this call is told to who waits with the answer. Call it before looking.
    pub fn arm(&self) -> Since {
        let since = Since(self.lock().count);
        self.armed.store(true, Ordering::Relaxed); // the lock that guards what changes orders it before the look
        since
    }

    /// Something changed. Call it after giving back the lock that guards it.
    pub fn tell(&self) {
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::Relaxed) {
            let mut told = self.lock();
            told.count += 1;
            let waiting = std::mem::take(&mut told.waiting);
            drop(told);
            waiting.into_values().for_each(Waker::wake);
        }
    }

    /// Ends once something has changed since.
    pub async fn changed(&self, since: Since) {
        let waiting = Waiting { changes: self, number: self.number() };
        poll_fn(|cx| {
            let mut told = self.lock();
            if told.count != since.0 {
                return Poll::Ready(());
            }
            told.waiting.insert(waiting.number, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn number(&self) -> u64 {
        let mut told = self.lock();
        told.next += 1;
        told.next
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.changes.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::sync::atomic::AtomicU64;
    use std::sync::{Arc, Mutex};
    use std::thread;

    #[test]
    fn who_armed_it_is_told_once_also_before_waiting() {
        let changes = Changes::default();
        changes.tell(); // nobody asked
        let (one, other) = (changes.arm(), changes.arm());
        assert!(block_on(poll_once(changes.changed(one))).is_none());
        assert!(changes.lock().waiting.is_empty(), "who left is forgotten");
        changes.tell();
        block_on(changes.changed(one));
        let again = changes.arm();
        block_on(changes.changed(other));
        assert!(block_on(poll_once(changes.changed(again))).is_none());
    }

    #[test]
    fn no_change_is_missed_however_they_race() {
        let (changes, value) = (Arc::new(Changes::default()), Arc::new(Mutex::new(0)));
        let last = 20_000;
        let looks = Arc::new(AtomicU64::new(0));
        let watchers: Vec<_> = (0..2)
            .map(|_| {
                let (changes, value, looks) = (changes.clone(), value.clone(), looks.clone());
                thread::spawn(move || {
                    loop {
                        let since = changes.arm();
                        if *value.lock().unwrap() == last {
                            return;
                        }
                        looks.fetch_add(1, Ordering::Relaxed);
                        block_on(changes.changed(since)); // stands for ever if one is missed
                    }
                })
            })
            .collect();
        while looks.load(Ordering::Relaxed) < 2 {
            thread::yield_now(); // both have begun
        }
        for n in 1..=last {
            *value.lock().unwrap() = n;
            changes.tell();
        }
        watchers.into_iter().for_each(|w| w.join().unwrap());
    }
}
