//! The last entries of something that goes on, with increasing ids, for anyone to follow. A slow follower misses entries;
//! it never holds up who adds them.

use crate::lock::lock;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Entries a follower is given at once.
const AT_ONCE: usize = 256;

/// The ring.
pub struct Ring<T> {
    /// Entries kept, and their bytes in all.
    kept: usize,
    kept_bytes: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    /// Oldest first, with their ids and bytes.
    ring: VecDeque<(u64, usize, Arc<T>)>,
    bytes: usize,
    last_id: u64,
    /// The newest one that is no longer kept.
    dropped_id: u64,
    next_follower: u64,
    /// Followers at the end.
    waiting: BTreeMap<u64, Waker>,
}

/// Reads the ring from a place on, waiting at its end.
pub struct Follower<T> {
    ring: Arc<Ring<T>>,
    number: u64,
    after: u64,
}

/// What a follower finds.
pub enum Next<T> {
    /// Entries with their ids.
    Entries(Vec<(u64, Arc<T>)>),
    /// So many entries that should come next are no longer kept.
    Missed(u64),
}

impl<T> Ring<T> {
    /// Ids count up from `last_id`; the oldest entries go when there are more than `kept`, or they hold more bytes.
    pub const fn new(kept: usize, kept_bytes: usize, last_id: u64) -> Self {
        let entries = Entries {
            ring: VecDeque::new(),
            bytes: 0,
            last_id,
            dropped_id: 0,
            next_follower: 0,
            waiting: BTreeMap::new(),
        };
        Ring { kept, kept_bytes, entries: Mutex::new(entries) }
    }

    /// Adds one, made with its id, of about so many bytes.
    pub fn push(&self, bytes: usize, make: impl FnOnce(u64) -> T) -> Arc<T> {
        let mut entries = self.lock();
        entries.last_id += 1;
        let id = entries.last_id;
        let entry = Arc::new(make(id));
        entries.ring.push_back((id, bytes, entry.clone()));
        entries.bytes += bytes;
        while entries.ring.len() > self.kept || (entries.bytes > self.kept_bytes && entries.ring.len() > 1) {
            let Some((id, bytes, _)) = entries.ring.pop_front() else { break };
            entries.bytes -= bytes;
            entries.dropped_id = id;
        }
        let waiting = std::mem::take(&mut entries.waiting);
        drop(entries); // release before waking: the woken take the same lock
        waiting.into_values().for_each(Waker::wake);
        entry
    }

    /// Puts one back that was there in an earlier life, before any is added; ids must increase.
    pub fn put_back(&self, id: u64, bytes: usize, entry: T) {
        let mut entries = self.lock();
        entries.ring.push_back((id, bytes, Arc::new(entry)));
        entries.bytes += bytes;
        entries.last_id = entries.last_id.max(id);
    }

    /// Follows from after an id; without one, from now on.
    pub fn follow(self: &Arc<Self>, after: Option<u64>) -> Follower<T> {
        let mut entries = self.lock();
        let after = after.map_or(entries.last_id, |id| id.min(entries.last_id)); // an id that was never given is now
        self.follower(&mut entries, after)
    }

    /// Follows from so many entries before the end; with the id of the last one there is.
    pub fn tail(self: &Arc<Self>, count: usize) -> (Follower<T>, u64) {
        let mut entries = self.lock();
        let last = entries.last_id;
        let before = entries.ring.len().checked_sub(count + 1).and_then(|at| entries.ring.get(at)).map(|(id, ..)| *id);
        let after = match count {
            0 => last,
            _ => before.unwrap_or(entries.dropped_id),
        };
        (self.follower(&mut entries, after), last)
    }

    /// The newest entry that is like this.
    pub fn last(&self, is_so: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.lock().ring.iter().rev().map(|(_, _, entry)| entry).find(|entry| is_so(entry)).cloned()
    }

    /// The id of the last entry that is kept; 0 when none is.
    pub fn newest(&self) -> u64 {
        self.lock().ring.back().map_or(0, |(id, ..)| *id)
    }

    fn follower(self: &Arc<Self>, entries: &mut Entries<T>, after: u64) -> Follower<T> {
        entries.next_follower += 1;
        Follower { ring: self.clone(), number: entries.next_follower, after }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        lock(&self.entries)
    }
}

impl<T> Follower<T> {
    /// The id up to which it has read.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The next entries, a bounded number at once; waits when there are none.
    pub async fn next(&mut self) -> Next<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Next<T>> {
        let mut entries = self.ring.lock();
        let missed = entries.dropped_id.saturating_sub(self.after);
        if missed > 0 && self.after != 0 {
            self.after = entries.dropped_id;
            return Poll::Ready(Next::Missed(missed));
        }
        let from = entries.ring.partition_point(|(id, ..)| *id <= self.after);
        let found: Vec<_> =
            entries.ring.range(from..).take(AT_ONCE).map(|(id, _, entry)| (*id, entry.clone())).collect();
        match found.last() {
            Some((id, _)) => {
                self.after = *id;
                Poll::Ready(Next::Entries(found))
            }
            None => {
                entries.waiting.insert(self.number, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.ring.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    fn ring(kept: usize, bytes: usize) -> Arc<Ring<u64>> {
        Arc::new(Ring::new(kept, bytes, 0))
    }

    fn ids(next: Next<u64>) -> Vec<u64> {
        match next {
            Next::Entries(entries) => entries.into_iter().map(|(id, _)| id).collect(),
            Next::Missed(count) => panic!("{count} missed"),
        }
    }

    #[test]
    fn a_follower_gets_each_entry_once_and_waits_at_the_end() {
        let ring = ring(10, 1_000);
        ring.push(1, |id| id);
        let mut from_now = ring.follow(None);
        let mut after_all = ring.follow(Some(99));
        let mut from_start = ring.follow(Some(0));
        assert!(block_on(poll_once(from_now.next())).is_none());
        assert!(block_on(poll_once(after_all.next())).is_none());
        ring.push(1, |id| id);
        assert_eq!(ids(block_on(from_now.next())), [2]);
        assert_eq!(ids(block_on(after_all.next())), [2]);
        assert_eq!(ids(block_on(from_start.next())), [1, 2]);
        for (count, wanted) in [(0, 2), (1, 1), (2, 0), (3, 0)] {
            let (follower, last) = ring.tail(count);
            assert_eq!((follower.after(), last), (wanted, 2), "{count}");
        }
    }

    #[test]
    fn the_oldest_go_by_number_and_by_bytes_and_a_slow_follower_is_told() {
        for ring in [ring(5, 1_000), ring(1_000, 50)] {
            let mut slow = ring.follow(None);
            ring.push(10, |id| id);
            assert_eq!(ids(block_on(slow.next())), [1]);
            (0..20).for_each(|_| drop(ring.push(10, |id| id)));
            assert!(matches!(block_on(slow.next()), Next::Missed(15)));
            assert_eq!(ids(block_on(slow.next())), [17, 18, 19, 20, 21]);
            assert_eq!((ring.tail(1_000).0.after(), ring.tail(2).0.after()), (16, 19));
        }
        let ring = ring(5, 50);
        ring.push(500, |id| id);
        assert_eq!(ids(block_on(ring.tail(9).0.next())), [1], "the last one always stays");
    }

    #[test]
    fn followers_that_wait_or_left_leave_nothing_behind() {
        let ring = ring(5, 50);
        let mut waits = ring.follow(None);
        for _ in 0..100 {
            assert!(block_on(poll_once(waits.next())).is_none());
            assert!(block_on(poll_once(ring.follow(None).next())).is_none());
        }
        assert_eq!(ring.lock().waiting.len(), 1);
        drop(waits);
        assert!(ring.lock().waiting.is_empty());
    }
}
