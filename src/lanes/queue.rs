//! One lane's thread: runs what is ready until nothing is, then waits for its sockets. Knows no sockets by name.

use super::readiness::Sources;
use crate::lock::lock;
use async_task::{Runnable, Task};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What is ready runs at most so often before sockets are looked at: tasks that wake themselves must not starve them.
const RUNS: usize = 512;
/// Sockets told of at once.
const EVENTS: usize = 256;
/// Marks the bell among the sockets.
const BELL: u64 = u64::MAX;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

thread_local! {
    static HERE: Cell<Option<usize>> = const { Cell::new(None) };
    static READY: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
    static SOURCES: RefCell<Option<Arc<Sources>>> = const { RefCell::new(None) };
}

/// The lane this thread is.
pub fn here() -> Option<usize> {
    HERE.try_with(Cell::get).ok().flatten()
}

/// This lane's sockets.
pub fn sources() -> Option<Arc<Sources>> {
    SOURCES.with_borrow(Clone::clone)
}

/// A lane, as other threads see it.
pub struct Queue {
    index: usize,
    /// Made ready by other threads.
    handed: Mutex<Vec<Runnable>>,
    /// It waits, or is about to: whoever hands something over rings.
    asleep: AtomicBool,
    bell: OwnedFd,
    seated: AtomicUsize,
}

/// Counts a connection out when dropped.
pub struct Seat(Arc<Queue>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seated.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    pub fn start(index: usize) -> io::Result<Arc<Self>> {
        let sources = Arc::new(Sources::new()?);
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(sources.poller(), &bell, epoll::EventData::new_u64(BELL), edge)?;
        let queue = Arc::new(Queue {
            index,
            handed: Mutex::default(),
            asleep: AtomicBool::new(false),
            bell,
            seated: AtomicUsize::new(0),
        });
        let this = queue.clone();
        thread::Builder::new().name(format!("lane-{index}")).spawn(move || {
            HERE.set(Some(this.index));
            SOURCES.set(Some(sources.clone()));
            this.run(&sources);
        })?;
        Ok(queue)
    }

    pub fn spawn<T, F>(self: &Arc<Self>, future: F) -> Task<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let queue = self.clone();
        let (runnable, task) = async_task::spawn(future, move |runnable| queue.push(runnable));
        runnable.schedule();
        task
    }

    /// How many connections are served here.
    pub fn seated(&self) -> usize {
        self.seated.load(Ordering::Relaxed)
    }

    pub fn take_seat(self: Arc<Self>) -> Seat {
        self.seated.fetch_add(1, Ordering::Relaxed);
        Seat(self)
    }

    fn push(&self, runnable: Runnable) {
        if here() == Some(self.index) {
            READY.with_borrow_mut(|ready| ready.push_back(runnable));
            return;
        }
        self.handed().push(runnable);
        if self.asleep.swap(false, Ordering::SeqCst) {
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes()); // full: it rings already
        }
    }

    fn handed(&self) -> MutexGuard<'_, Vec<Runnable>> {
        lock(&self.handed)
    }

    fn run(&self, sources: &Sources) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let mut ready = true;
            for _ in 0..RUNS {
                let Some(runnable) = READY.with_borrow_mut(VecDeque::pop_front) else {
                    ready = false;
                    break;
                };
                // a task that panics is gone; what it said stands in the log
                let _ = catch_unwind(AssertUnwindSafe(|| runnable.run()));
            }
            // said before looking: whoever hands something over after that look finds it set, and rings
            self.asleep.store(!ready, Ordering::SeqCst);
            let handed = std::mem::take(&mut *self.handed());
            ready |= !handed.is_empty();
            READY.with_borrow_mut(|queue| queue.extend(handed));
            events.clear();
            let waited = epoll::wait(
                sources.poller(),
                rustix::buffer::spare_capacity(&mut events),
                if ready { Some(&AT_ONCE) } else { None },
            );
            self.asleep.store(false, Ordering::SeqCst);
            if let Err(error) = waited
                && error != rustix::io::Errno::INTR
            {
                log::error!("lane {}: cannot wait: {error}", self.index);
                thread::sleep(std::time::Duration::from_millis(10)); // not as fast as it can go
            }
            for event in &events {
                let data = event.data;
                if data.u64() != BELL {
                    sources.tell(data.u64() as usize, event.flags);
                }
            }
        }
    }
}
