//! Sockets of a lane, and whether they are known to have something. Told by the kernel once for each change
//! (edge-triggered): what is known is kept, and nothing is asked for again. Knows nothing of what is said over them.

use super::queue;
use crate::lock::lock;
use rustix::event::epoll;
use slab::Slab;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// One direction of a socket.
struct Direction {
    /// It may have something, or room: worth a try.
    ready: AtomicBool,
    /// It has ended, or failed, and trying tells so: of that the kernel tells only once.
    ended: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Direction {
    fn new(ready: bool) -> Self {
        Direction { ready: AtomicBool::new(ready), ended: AtomicBool::new(false), waiting: Mutex::default() }
    }

    fn tell(&self, ended: bool) {
        if ended {
            self.ended.store(true, Ordering::SeqCst);
        }
        self.ready.store(true, Ordering::SeqCst);
        let waker = lock(&self.waiting).take(); // release before waking
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.take_ready() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.waiting);
        match &mut *waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(waiting);
        // looked at again: it may have been told by another thread before the waker stood there
        if self.take_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take_ready(&self) -> bool {
        self.ready.swap(false, Ordering::SeqCst) || self.ended.load(Ordering::SeqCst)
    }
}

struct Readiness {
    read: Direction,
    write: Direction,
    /// Told when the other end has left, whatever of it is still unread.
    left: Direction,
}

/// All sockets of one lane.
pub struct Sources {
    poller: OwnedFd,
    all: Mutex<Slab<Arc<Readiness>>>,
}

impl Sources {
    pub fn new() -> io::Result<Self> {
        Ok(Sources { poller: epoll::create(epoll::CreateFlags::CLOEXEC)?, all: Mutex::default() })
    }

    pub fn poller(&self) -> &OwnedFd {
        &self.poller
    }

    /// Passes on what the kernel said of a socket; of one that is gone meanwhile, to nobody or to one more try.
    pub fn tell(&self, key: usize, flags: epoll::EventFlags) {
        use epoll::EventFlags as F;
        let Some(readiness) = lock(&self.all).get(key).cloned() else { return };
        let failed = flags.intersects(F::HUP | F::ERR);
        if failed || flags.intersects(F::IN | F::RDHUP) {
            readiness.read.tell(failed || flags.contains(F::RDHUP));
        }
        if failed || flags.contains(F::OUT) {
            readiness.write.tell(failed);
        }
        if failed || flags.contains(F::RDHUP) {
            readiness.left.tell(false);
        }
    }
}

/// A connected socket on a lane.
pub struct Wired {
    stream: TcpStream,
    readiness: Arc<Readiness>,
    sources: Arc<Sources>,
    key: usize,
}

impl Wired {
    /// Takes a socket that does not block over to this lane; hands it back when this is none.
    pub fn new(stream: TcpStream) -> io::Result<Result<Self, TcpStream>> {
        let Some(sources) = queue::sources() else { return Ok(Err(stream)) };
        use epoll::EventFlags as F;
        let [read, write, left] = [true, true, false].map(Direction::new);
        let readiness = Arc::new(Readiness { read, write, left });
        let key = lock(&sources.all).insert(readiness.clone());
        let wired = Wired { stream, readiness, sources, key };
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(&wired.sources.poller, &wired.stream, data, F::IN | F::OUT | F::RDHUP | F::ET)?;
        Ok(Ok(wired))
    }

    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    /// Waits to be told that the other end sends no more, or is gone.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.readiness.left.poll_ready(cx)
    }

    /// Reads by `read`, which may be asked for up to `want` bytes; waits while there are none.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        want: usize,
        mut read: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let direction = &self.readiness.read;
        loop {
            std::task::ready!(direction.poll_ready(cx));
            match read(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => direction.ended.store(false, Ordering::SeqCst),
                Err(error) if error.kind() == ErrorKind::Interrupted => direction.ready.store(true, Ordering::SeqCst),
                read => {
                    // fewer than asked for: that was all, and the kernel tells of more
                    if !matches!(read, Ok(n) if n > 0 && n < want) {
                        direction.ready.store(true, Ordering::SeqCst);
                    }
                    return Poll::Ready(read);
                }
            }
        }
    }

    /// Writes by `write`; waits while there is no room.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let direction = &self.readiness.write;
        loop {
            std::task::ready!(direction.poll_ready(cx));
            match write(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => direction.ended.store(false, Ordering::SeqCst),
                Err(error) if error.kind() == ErrorKind::Interrupted => direction.ready.store(true, Ordering::SeqCst),
                written => {
                    direction.ready.store(true, Ordering::SeqCst);
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        let _ = epoll::delete(&self.sources.poller, &self.stream); // it was never added
        lock(&self.sources.all).try_remove(self.key);
    }
}
