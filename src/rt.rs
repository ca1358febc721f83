//! The async runtime: the only file that names async-std. Must never hold anything of CARES' own.

use std::future::Future;

pub use async_std::channel::{Receiver, Sender, bounded, unbounded};

/// Starts a task that runs on its own; what it returns is dropped.
pub fn spawn<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    drop(async_std::task::spawn(future)); // dropping an async-std handle detaches
}

/// Starts a task that ends when the returned guard is dropped.
pub fn spawn_scoped<F>(future: F) -> Scoped
where
    F: Future<Output = ()> + Send + 'static,
{
    Scoped(Some(async_std::task::spawn(future)))
}

/// Ends its task when dropped.
pub struct Scoped(Option<async_std::task::JoinHandle<()>>);

impl Scoped {
    /// Lets it run on: it is about to end by itself.
    pub fn detach(mut self) {
        drop(self.0.take()); // dropping an async-std handle detaches
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            spawn(task.cancel());
        }
    }
}

/// Runs blocking code on a thread made for it.
pub async fn unblock<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    async_std::task::spawn_blocking(work).await
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    async_std::task::block_on(future)
}

/// How many threads run tasks: one a core, unless `ASYNC_STD_THREAD_COUNT` says otherwise.
pub fn threads() -> usize {
    let set = std::env::var("ASYNC_STD_THREAD_COUNT").ok().and_then(|v| v.parse().ok());
    set.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
}
