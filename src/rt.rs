//! The async runtime: the only file that names async-std. Must never hold anything of CARES' own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use async_std::channel::{Receiver, Sender, bounded, unbounded};

/// Starts a task that runs on its own; what it returns is dropped.
pub fn spawn<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    drop(async_std::task::spawn(future)); // dropping an async-std handle detaches
}

/// Runs a future to its end, also when nobody waits for that any more: what was begun in memory is then finished on disk.
pub async fn to_its_end<T, F>(future: F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    async_std::task::spawn(future).await // dropping its handle detaches it
}

/// Starts a task that ends when the returned guard is dropped; waiting for the guard gives what the task returned.
pub fn spawn_scoped<T, F>(future: F) -> Scoped<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    Scoped(Some(async_std::task::spawn(future)))
}

/// Ends its task when dropped.
pub struct Scoped<T: Send + 'static = ()>(Option<async_std::task::JoinHandle<T>>);

impl Scoped {
    /// Lets it run on: it is about to end by itself.
    pub fn detach(mut self) {
        drop(self.0.take()); // dropping an async-std handle detaches
    }
}

impl<T: Send + 'static> Future for Scoped<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(task) = &mut self.0 else { return Poll::Pending }; // it has been asked for already
        let value = ready!(Pin::new(task).poll(cx));
        self.0 = None;
        Poll::Ready(value)
    }
}

impl<T: Send + 'static> Drop for Scoped<T> {
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
