//! A thread that reads something for a screen, and ends soon after nobody looks. Must never draw.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// How long nothing may come until the thread looks whether anybody still looks.
pub const QUIET: Duration = Duration::from_secs(10);
/// Between two attempts.
pub const PAUSE: Duration = Duration::from_secs(2);
/// Threads at once, those included that have not noticed yet that nobody looks.
const THREADS_MAX: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// When to read again.
pub enum Again {
    In(Duration),
    /// Nothing more comes by itself.
    WhenWoken,
}

/// Somebody looks. Dropping it ends the thread.
pub struct Looking {
    wake: SyncSender<()>,
}

/// The thread's side of it.
pub struct Looks(Receiver<()>);

impl Looks {
    /// Whether nobody looks any more.
    pub fn left(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }
}

impl Looking {
    /// Reads on a thread of its own, again and again; else why it cannot.
    pub fn start(mut read: impl FnMut(&Looks) -> Again + Send + 'static) -> Result<Looking, String> {
        let (wake, woken) = sync_channel(1);
        let looks = Looks(woken);
        if THREADS.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            THREADS.fetch_sub(1, Ordering::Relaxed);
            return Err("too much was opened at once. Close this and try again in a few seconds".into());
        }
        let run = move || {
            loop {
                let left = match read(&looks) {
                    Again::WhenWoken => looks.0.recv().is_err(),
                    Again::In(wait) => looks.0.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected),
                };
                if left {
                    break;
                }
            }
            THREADS.fetch_sub(1, Ordering::Relaxed);
        };
        match std::thread::Builder::new().name("tui-follow".into()).spawn(run) {
            Ok(_) => Ok(Looking { wake }),
            Err(error) => {
                THREADS.fetch_sub(1, Ordering::Relaxed);
                Err(format!("no thread could be started: {error}"))
            }
        }
    }

    /// Has it read now, if it waits.
    pub fn wake(&self) {
        let _ = self.wake.try_send(()); // full: it will anyway
    }
}
