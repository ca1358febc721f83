//! Upgraded connections: bytes both ways between a socket and two bodies, each direction at its reader's pace, until both
//! have ended. Holds one read at a time. Knows nothing of what is said over them.

use crate::body::{Body, BoxError};
use crate::clock;
use crate::net::Socket;
use crate::rt::{self, Sender};
use bytes::Bytes;
use futures_lite::future;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use hyper::rt::Write;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Once one direction has ended, how long the other may be silent: a peer that is gone says nothing of it.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(30);

/// The socket, as both directions use it.
struct Shared {
    socket: Mutex<Socket>,
    /// Counts what was read or written: a direction that moves is not silent.
    moved: AtomicU64,
}

impl Shared {
    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    async fn silence(&self, limit: Duration) {
        loop {
            let before = self.moved.load(Ordering::Relaxed);
            clock::after(limit).await;
            if self.moved.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|cx| Write::poll_write(Pin::new(&mut *self.socket()), cx, bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
            self.moved();
        }
        Ok(())
    }
}

/// What is read from the socket, as a body; whoever drops it wants no more.
struct Reading {
    shared: Arc<Shared>,
    /// Came before the connection was upgraded.
    first: Bytes,
    _dropped: Sender<()>,
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        let read = ready!(self.shared.socket().poll_some(cx));
        self.shared.moved();
        match read {
            Ok(none) if none.is_empty() => Poll::Ready(None),
            Ok(some) => Poll::Ready(Some(Ok(Frame::data(some)))),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }
}

/// Hands what comes from `socket` (`first` came already) to `take`, and writes `from` to it; ends when both directions
/// have ended, and the connection with it. The end of one is passed on, and the other may go on. `Err` when `from` broke
/// off.
pub async fn carry(socket: Socket, first: Bytes, take: impl FnOnce(Body), from: Body) -> Result<(), BoxError> {
    carry_within(socket, first, take, from, HALF_OPEN_LIMIT).await
}

async fn carry_within(
    socket: Socket,
    first: Bytes,
    take: impl FnOnce(Body),
    from: Body,
    half_open: Duration,
) -> Result<(), BoxError> {
    let shared = Arc::new(Shared { socket: Mutex::new(socket), moved: AtomicU64::new(0) });
    let _cut = Cut(shared.clone());
    let (dropped, read) = rt::bounded(1);
    take(Body::stream(Reading { shared: shared.clone(), first, _dropped: dropped }));
    let mut written = None;
    {
        let reading = async {
            let _ = read.recv().await; // closed
        };
        let writing = async { written = Some(write(&shared, from).await) };
        let (mut reading, mut writing) = (std::pin::pin!(reading), std::pin::pin!(writing));
        let first = future::or(
            async {
                reading.as_mut().await;
                true
            },
            async {
                writing.as_mut().await;
                false
            },
        )
        .await;
        let silence = shared.silence(half_open);
        match first {
            true => future::or(writing, silence).await,
            false => future::or(reading, silence).await,
        }
    }
    written.unwrap_or(Ok(()))
}

/// Ends the connection in both directions when dropped: whoever still reads learns of it.
struct Cut(Arc<Shared>);

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = self.0.socket().shutdown(Shutdown::Both); // it may have ended already
    }
}

/// Writes a body and then the end of it. A peer that takes no more ends it early, and says so itself where it matters.
async fn write(to: &Shared, mut from: Body) -> Result<(), BoxError> {
    while let Some(frame) = from.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if to.write_all(&data).await.is_err() {
            return Ok(());
        }
    }
    let _ = to.socket().shutdown(Shutdown::Write); // it may have ended already
    Ok(())
}
