//! So many a second, and a second's worth at once: token buckets, each of which is one number, the time at which it will
//! be full again. Reads no clock: nanoseconds are passed in.

use crate::lock::lock;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;

/// How fast one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two in the long run.
    interval_ns: u64,
    /// How far ahead of that one may be.
    ahead_ns: u64,
}

impl Rate {
    /// One a minute, and no two at once.
    pub const ONE_A_MINUTE: Rate = Rate { interval_ns: 60 * SECOND_NS, ahead_ns: 0 };

    /// `None` for 0, which means any.
    pub fn per_second(n: u64) -> Option<Rate> {
        let interval_ns = SECOND_NS.checked_div(n)?.max(1);
        Some(Rate { interval_ns, ahead_ns: SECOND_NS - interval_ns })
    }

    /// When a bucket will be full again, if one more is taken now; `Err`: how long until one may be.
    fn take(self, full_at: u64, now_ns: u64) -> Result<u64, Duration> {
        let from = full_at.max(now_ns);
        match (from - now_ns).checked_sub(self.ahead_ns) {
            None | Some(0) => Ok(from + self.interval_ns),
            Some(early) => Err(Duration::from_nanos(early)),
        }
    }
}

/// One bucket. Taking from it is one compare-and-swap.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes one; `Err`: how long until one may be taken.
    pub fn take(&self, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let next = rate.take(full_at, now_ns)?;
            match self.0.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => full_at = now,
            }
        }
    }
}

/// A bucket for each of many, at most so many. One that is full again is as good as none, and makes room; when none is,
/// those without one share one.
pub struct Buckets<K> {
    most: usize,
    inner: Mutex<Inner<K>>,
    others: Bucket,
}

struct Inner<K> {
    full_at: HashMap<K, u64>,
    /// When there was no room to be made: not to be tried again at once.
    swept_ns: Option<u64>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub fn new(most: usize) -> Self {
        let inner = Mutex::new(Inner { full_at: HashMap::new(), swept_ns: None });
        Buckets { most, inner, others: Bucket::default() }
    }

    /// Whether one of this one's could be taken; `Err`: how long until then.
    pub fn look(&self, key: &K, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        let inner = lock(&self.inner);
        let full = inner.full_at.len() >= self.most;
        let full_at = match inner.full_at.get(key) {
            Some(full_at) => *full_at,
            None if full => self.others.0.load(Ordering::Relaxed),
            None => 0,
        };
        rate.take(full_at, now_ns).map(drop)
    }

    /// Takes one of this one's; `Err`: how long until one may be taken.
    pub fn take<Q>(&self, key: &Q, rate: Rate, now_ns: u64) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut inner = lock(&self.inner);
        if let Some(full_at) = inner.full_at.get_mut(key) {
            *full_at = rate.take(*full_at, now_ns)?;
            return Ok(());
        }
        if inner.full_at.len() >= self.most && inner.swept_ns.is_none_or(|at| now_ns >= at + SECOND_NS) {
            inner.full_at.retain(|_, full_at| *full_at > now_ns);
            inner.swept_ns = Some(now_ns);
        }
        if inner.full_at.len() >= self.most {
            drop(inner);
            return self.others.take(rate, now_ns);
        }
        let full_at = rate.take(0, now_ns)?;
        inner.full_at.insert(key.to_owned(), full_at);
        Ok(())
    }
}

/// What counts as one client: an address, and of IPv6 the network that one household has.
pub fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_second_is_taken_at_once_and_then_so_many_a_second() {
        let (bucket, rate) = (Bucket::default(), Rate::per_second(5).unwrap());
        let start = 7_000 * MS;
        (0..5).for_each(|n| assert_eq!(bucket.take(rate, start), Ok(()), "{n}"));
        assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(200)));
        assert_eq!(bucket.take(rate, start + 150 * MS), Err(Duration::from_millis(50)));
        assert_eq!(bucket.take(rate, start + 200 * MS), Ok(()));
        // Over ten seconds of asking each millisecond: exactly 5 a second.
        let taken = (1..=10_000).filter(|ms| bucket.take(rate, start + (200 + ms) * MS).is_ok()).count();
        assert_eq!(taken, 50);
        // After a pause, a second's worth and no more.
        let later = start + 60_000 * MS;
        assert_eq!((0..100).filter(|_| bucket.take(rate, later).is_ok()).count(), 5);
        assert_eq!(Rate::per_second(0), None);
        let fast = Rate::per_second(3_000_000_000).unwrap();
        assert_eq!(bucket.take(fast, later + 60_000 * MS), Ok(()));
    }

    #[test]
    fn however_many_take_at_once_no_more_get_one() {
        let (bucket, rate) = (Bucket::default(), Rate::per_second(1_000).unwrap());
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| bucket.take(rate, 1).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn many_clients_cost_bounded_memory_and_share_when_there_are_too_many() {
        let (buckets, rate) = (Buckets::<String>::new(3), Rate::per_second(1).unwrap());
        for name in ["a", "b", "c"] {
            assert_eq!(buckets.take(name, rate, 0), Ok(()));
            assert!(buckets.take(name, rate, 0).is_err());
        }
        assert_eq!(buckets.take("d", rate, 0), Ok(()));
        assert!(buckets.take("e", rate, 0).is_err(), "d took what the others share");
        assert_eq!(buckets.inner.lock().unwrap().full_at.len(), 3);
        assert_eq!(buckets.take("e", rate, 1_000 * MS), Ok(()), "the first three are full again, and gone");
        assert_eq!(buckets.inner.lock().unwrap().full_at.len(), 1);
    }

    #[test]
    fn a_network_is_one_client() {
        let same = |a: &str, b: &str| client(a.parse().unwrap()) == client(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
    }
}
