//! Lanes: threads that carry calls. Each has its own run queue and its own poller; a connection stays on the lane it was
//! given to, and so does all that serves it, so that a warm call never changes threads. Nothing that blocks may run here:
//! files, processes and the control plane are `rt`'s.

mod queue;
mod readiness;

pub use async_task::Task;
pub use readiness::Wired;

use crate::rt;
use async_task::Runnable;
use queue::Queue;
use std::future::Future;
use std::sync::{Arc, LazyLock};

/// More threads take more from the others than they give: a lane keeps up with thousands of connections.
const LANES_MAX: usize = 16;

static LANES: LazyLock<Vec<Arc<Queue>>> = LazyLock::new(|| {
    let (lanes, failed): (Vec<_>, Vec<_>) = (0..wanted()).map(Queue::start).partition(Result::is_ok);
    for error in failed.into_iter().filter_map(Result::err) {
        log::warn!("a thread for calls could not be started: {error}"); // the others carry them, or the runtime does
    }
    lanes.into_iter().flatten().collect()
});

/// One a core, as nginx has by default: with half as many `scripts/bench/invoke` had idle cores and 0.87 to 0.93 of nginx.
fn wanted() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let set = std::env::var("CARES_LANES").ok().and_then(|v| v.parse().ok());
    set.unwrap_or(cores).clamp(1, LANES_MAX)
}

/// How many there are; none only where no thread could be started.
pub fn count() -> usize {
    LANES.len()
}

/// The lane this code runs on, from 0.
pub fn here() -> Option<usize> {
    queue::here()
}

/// Runs a future on the lane of that number, counted round; dropping the task ends it.
pub fn on<T, F>(lane: usize, future: F) -> Task<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    match LANES.get(lane.checked_rem(LANES.len()).unwrap_or_default()) {
        Some(lane) => lane.spawn(future),
        None => on_runtime(future),
    }
}

fn on_runtime<T, F>(future: F) -> Task<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (runnable, task) = async_task::spawn(future, |runnable: Runnable| {
        rt::spawn(async move { runnable.run() });
    });
    runnable.schedule();
    task
}

/// Runs a future on this lane, or elsewhere when this is none.
pub fn spawn_here<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match here() {
        Some(lane) => on(lane, future).detach(),
        None => rt::spawn(future),
    }
}

/// Runs a future on this lane, or elsewhere when this is none; dropping the task ends it.
pub fn beside<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match here() {
        Some(lane) => on(lane, future),
        None => on_runtime(future),
    }
}

/// Runs what serves a connection on the lane that has the fewest of them.
pub fn seat<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let fewest = LANES.iter().min_by_key(|lane| lane.seated());
    match fewest {
        Some(lane) => {
            let seat = lane.clone().take_seat();
            let future = Box::pin(future); // awaited as it is, it would have its place twice
            let seated = async move {
                future.await;
                drop(seat);
            };
            lane.spawn(seated).detach();
        }
        None => rt::spawn(future),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lane_starts_stays_on_it() {
        for lane in 0..count() {
            let (tell, told) = rt::bounded(1);
            on(lane, async move {
                let before = here();
                spawn_here(async move { tell.send((before, here())).await });
            })
            .detach();
            assert_eq!(rt::block_on(told.recv()), Ok((Some(lane), Some(lane))));
        }
        assert_eq!(here(), None);
    }

    #[test]
    fn a_panic_ends_its_task_and_not_its_lane() {
        on(0, async { panic!("as a test wants it") }).detach();
        assert_eq!(rt::block_on(on(0, async { 7 })), 7);
    }

    #[test]
    fn a_dropped_task_is_dropped_on_its_lane() {
        let (hold, held) = rt::bounded::<()>(1);
        let task = on(0, async move {
            let _hold = hold;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(rt::block_on(held.recv()).is_err());
    }
}
