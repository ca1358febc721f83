//! The only reader of time: what it is now, how it is written, and waiting for it. Deadlines that seldom fire share one
//! real timer, so that setting and clearing one costs a map entry and no system call.

use crate::lock::lock;
use futures_lite::future;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two readings of two clocks may differ by this much more than the clocks do.
const FLICKER_MS: u64 = 20;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The program starts now. Without it, it did when somebody first asked.
pub fn start() {
    LazyLock::force(&START);
}

/// Milliseconds since the program started; never goes back.
pub fn now_ms() -> u64 {
    START.elapsed().as_millis() as u64
}

/// The same in nanoseconds.
pub fn now_ns() -> u64 {
    START.elapsed().as_nanos() as u64
}

/// Monotonic time, for deadlines and durations.
pub fn now() -> Instant {
    Instant::now()
}

/// How long this thread has had a processor: what others of the machine take does not count.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Waits until this is so, a minute at most: for tests that look at what others do.
#[cfg(test)]
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    let begun = now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Milliseconds since the Unix epoch, by the wall clock.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// What the wall clock showed at a time of `now_ms`. The same answer each time, unless the wall clock was set: the two
/// clocks are read one after the other, and what they differ by would flicker.
pub fn unix_ms_at(now_ms_then: u64) -> u64 {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let measured = unix_ms().saturating_sub(now_ms());
    let known = STARTED.load(Ordering::Relaxed);
    let started = match measured.abs_diff(known) <= FLICKER_MS {
        true => known,
        false => {
            STARTED.store(measured, Ordering::Relaxed);
            measured
        }
    };
    started + now_ms_then
}

/// Milliseconds since the Unix epoch as the program's start saw them, counting on without jumps: what was kept by an
/// earlier start can be compared, and a clock that is set neither holds anything back nor lets it go early.
pub fn steady_unix_ms() -> u64 {
    static AT_START: LazyLock<u64> = LazyLock::new(|| unix_ms_at(0));
    *AT_START + now_ms()
}

/// RFC 3339, UTC, to the millisecond.
pub fn rfc3339(unix_ms: u64) -> String {
    let time =
        i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    format!("{time:.3}")
}

/// Ends at a time.
pub fn at(at: Instant) -> Deadline {
    Deadline { at, entry: None }
}

/// Ends after a while.
pub fn after(wait: Duration) -> Deadline {
    at(now() + wait)
}

/// `None` when the future took longer.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    timeout_at(now() + limit, future).await
}

/// `None` when the future had not ended by then.
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let deadline = async {
        at(deadline).await;
        None
    };
    future::or(async { Some(future.await) }, deadline).await
}

/// A future that ends at its time; dropping it clears it.
pub struct Deadline {
    at: Instant,
    entry: Option<(Key, Waker)>,
}

impl Deadline {
    /// Moves it.
    pub fn set(&mut self, at: Instant) {
        self.clear();
        self.at = at;
    }

    fn clear(&mut self) {
        if let Some((key, _)) = self.entry.take() {
            timers().waiting.remove(&key);
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= now() {
            self.clear();
            return Poll::Ready(());
        }
        if self.entry.as_ref().is_none_or(|(_, waker)| !waker.will_wake(cx.waker())) {
            self.clear();
            self.entry = Some((Timers::insert(self.at, cx.waker().clone()), cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.clear();
    }
}

type Key = (Instant, u64);

#[derive(Default)]
struct Timers {
    waiting: BTreeMap<Key, Waker>,
    next_id: u64,
    /// What the sleeper sleeps to, and how to wake it for something earlier.
    armed: Option<Instant>,
    sleeper: Option<Waker>,
}

static TIMERS: LazyLock<Mutex<Timers>> = LazyLock::new(|| {
    crate::rt::spawn(sleep_to_each());
    Mutex::default()
});

fn timers() -> MutexGuard<'static, Timers> {
    lock(&TIMERS)
}

impl Timers {
    fn insert(at: Instant, waker: Waker) -> Key {
        let mut timers = timers();
        timers.next_id += 1;
        let key = (at, timers.next_id);
        timers.waiting.insert(key, waker);
        let earlier = timers.armed.is_none_or(|armed| at < armed);
        let sleeper = if earlier { timers.sleeper.take() } else { None };
        drop(timers); // release before waking: the sleeper takes the same lock
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        key
    }

    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let later = self.waiting.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }
}

async fn sleep_to_each() {
    let mut timer = async_io::Timer::never();
    poll_fn(move |cx| {
        loop {
            let mut timers = timers();
            let due = timers.take_due(now());
            timers.armed = timers.waiting.keys().next().map(|(at, _)| *at);
            timers.sleeper = Some(cx.waker().clone());
            let next = timers.armed;
            drop(timers);
            due.into_iter().for_each(Waker::wake);
            match next {
                Some(at) => timer.set_at(at),
                None => return Poll::<()>::Pending,
            }
            if Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_end_in_order_whichever_was_set_first() {
        crate::rt::block_on(async {
            let (tx, rx) = crate::rt::unbounded();
            for ms in [60u64, 20, 40] {
                let tx = tx.clone();
                crate::rt::spawn(async move {
                    after(Duration::from_millis(ms)).await;
                    tx.send(ms).await.ok();
                });
            }
            let mut ended = Vec::new();
            while ended.len() < 3 {
                ended.push(rx.recv().await.expect("a deadline"));
            }
            assert_eq!(ended, [20, 40, 60]);
        });
    }

    #[test]
    fn a_dropped_deadline_leaves_nothing_behind() {
        crate::rt::block_on(async {
            let far = Duration::from_secs(77_777);
            assert!(timeout(far, async { 1 }).await.is_some());
            assert!(timeout(Duration::from_millis(5), timeout(far, std::future::pending::<()>())).await.is_none());
            let limit = now() + Duration::from_secs(70_000);
            assert!(timers().waiting.keys().all(|(at, _)| *at < limit));
        });
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
