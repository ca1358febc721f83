//! Upgraded connections: bytes both ways between a socket and two bodies, each direction at its reader's pace, until both
//! have ended. Holds one read at a time. Knows nothing of what is said over them.

use crate::body::{Body, BoxError};
use crate::clock;
use crate::lock::lock;
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
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Once one direction has ended, how long the other may be silent: a peer that is gone says nothing of it.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(10);
/// And when a caller has left, but what it said last is not read: its function may be busy with what came before.
const UNREAD_LIMIT: Duration = Duration::from_secs(60);

/// The socket, as both directions use it.
struct Shared {
    socket: Mutex<Socket>,
    /// Counts what was read or written: a direction that moves is not silent.
    moved: AtomicU64,
}

impl Shared {
    fn of(socket: Socket) -> Arc<Self> {
        Arc::new(Shared { socket: Mutex::new(socket), moved: AtomicU64::new(0) })
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        lock(&self.socket)
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

    /// Ends when the other end has left for good: its connection is broken, or what it said last stays unread.
    async fn left(&self, limit: Duration) {
        let told = || poll_fn(|cx| self.socket().poll_left(cx));
        told().await;
        while self.socket().is_connected() {
            let silent = async {
                self.silence(limit).await;
                true
            };
            let told = async {
                told().await;
                false
            };
            if future::or(silent, told).await {
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
        poll_fn(|cx| Write::poll_flush(Pin::new(&mut *self.socket()), cx)).await
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
    carry_within(&Shared::of(socket), first, take, from, HALF_OPEN_LIMIT).await
}

/// The same with a caller: when it has left, it ends too, though nobody reads that far.
pub async fn carry_caller(socket: Socket, first: Bytes, take: impl FnOnce(Body), from: Body) -> Result<(), BoxError> {
    let shared = Shared::of(socket);
    let left = async {
        shared.left(UNREAD_LIMIT).await;
        Err("its caller has left".into())
    };
    future::or(carry_within(&shared, first, take, from, HALF_OPEN_LIMIT), left).await
}

async fn carry_within(
    shared: &Arc<Shared>,
    first: Bytes,
    take: impl FnOnce(Body),
    from: Body,
    half_open: Duration,
) -> Result<(), BoxError> {
    let _cut = Cut(shared.clone());
    let (dropped, read) = rt::bounded(1);
    take(Body::stream(Reading { shared: shared.clone(), first, _dropped: dropped }));
    let reading = async {
        let _ = read.recv().await; // closed
    };
    let (mut reading, mut writing) = (pin!(reading), pin!(write(shared, from)));
    let first = future::or(async { Some(writing.as_mut().await) }, async {
        reading.as_mut().await;
        None
    });
    let silence = shared.silence(half_open);
    match first.await {
        Some(Ok(())) => {
            future::or(reading, silence).await;
            Ok(())
        }
        Some(Err(error)) => Err(error),
        None => {
            let silence = async {
                silence.await;
                Ok(())
            };
            future::or(writing, silence).await
        }
    }
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
    let _ = poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut *to.socket()), cx)).await; // it may have ended already
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write as _};
    use std::net::{TcpListener, TcpStream};

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(1_000);

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        (Socket::over(listener.accept().expect("it").0).expect("a socket"), peer)
    }

    fn text(said: &str) -> Body {
        Body::full(said.to_string())
    }

    #[test]
    fn both_directions_are_carried_to_their_ends() {
        rt::block_on(async {
            let (socket, mut peer) = pair();
            peer.write_all(b" and late").expect("sent");
            peer.shutdown(Shutdown::Write).expect("its end");
            let (give, taken) = futures_channel::oneshot::channel::<Body>();
            let read = async { taken.await.expect("it is given").collect().await.expect("its end").to_bytes() };
            let shared = Shared::of(socket);
            let carried = carry_within(&shared, "early".into(), |body| drop(give.send(body)), text("hello"), LATE);
            let (carried, read) = future::zip(carried, read).await;
            assert!(carried.is_ok() && read == "early and late");
            let mut heard = String::new();
            peer.read_to_string(&mut heard).expect("its end");
            assert_eq!(heard, "hello");
        });
    }

    #[test]
    fn a_silent_rest_is_cut_once_one_direction_has_ended() {
        rt::block_on(async {
            let (socket, mut peer) = pair();
            let mut kept = None;
            let carried =
                carry_within(&Shared::of(socket), Bytes::new(), |body| kept = Some(body), text("all"), SOON).await;
            assert!(carried.is_ok());
            assert_eq!(peer.read_to_end(&mut Vec::new()).expect("its end"), 3);
            let rest = kept.expect("it was given").collect().await.expect("its end");
            assert!(rest.to_bytes().is_empty());
            let (socket, _peer) = pair();
            let silent = Body::unfold((), |()| std::future::pending());
            assert!(carry_within(&Shared::of(socket), Bytes::new(), drop, silent, SOON).await.is_ok());
        });
    }

    #[test]
    fn a_caller_that_has_left_is_noticed_behind_what_nobody_reads() {
        rt::block_on(crate::lanes::on(0, async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
            let shared = Shared::of(Socket::over(listener.accept().expect("it").0).expect("a socket"));
            peer.write_all(b"unread").expect("sent");
            peer.shutdown(Shutdown::Write).expect("its end");
            shared.left(SOON).await; // as long as it takes what it is sent, only when nothing moves
            let broken = clock::timeout(SOON, shared.left(LATE)).await;
            assert!(broken.is_none());
            shared.write_all(b"never read").await.expect("written");
            drop(peer); // with something unread: that breaks the connection
            shared.left(LATE).await;
        }));
    }

    #[test]
    fn what_breaks_off_is_told_and_ends_the_connection() {
        rt::block_on(async {
            let (socket, mut peer) = pair();
            let broken = Body::unfold(true, |first| async move { first.then(|| (Err("gone".into()), false)) });
            let mut kept = None;
            let carried = carry_within(&Shared::of(socket), Bytes::new(), |body| kept = Some(body), broken, SOON).await;
            assert!(carried.is_err());
            assert_eq!(peer.read_to_end(&mut Vec::new()).expect("its end"), 0);
        });
    }
}
