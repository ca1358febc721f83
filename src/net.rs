//! Sockets as hyper wants them: reading, writing, waiting and spawning. Knows nothing of what is said over them.

use crate::clock;
use crate::rt::{self, Receiver};
use async_io::Async;
use futures_lite::future;
use futures_lite::io::AsyncWrite;
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice, Read as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// After a connection could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Ends a connection, in both directions, when dropped.
pub struct Cutter(TcpStream);

impl Drop for Cutter {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both); // it may have ended already
    }
}

enum Stream {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
}

/// A connected socket.
pub struct Socket {
    stream: Stream,
    /// The last read took all there was: wait to be told of more before asking again. hyper reads once more after each
    /// message, and that read, which finds nothing, is a system call and a re-arming of the poller.
    drained: bool,
    /// See `forgive_broken_writes`.
    forgiving: bool,
}

impl Socket {
    /// Takes over an accepted socket.
    pub fn accepted(stream: Async<TcpStream>) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        Ok(Socket { stream: Stream::Tcp(stream), drained: false, forgiving: false })
    }

    /// Connects to the first of the host's addresses that answers.
    pub async fn connect(address: &str, limit: Duration) -> io::Result<Self> {
        Socket::connect_where(address, limit, |_| Ok(())).await
    }

    /// The same among those that may be connected to; `may` says why one may not.
    pub async fn connect_where(
        address: &str,
        limit: Duration,
        may: impl Fn(IpAddr) -> Result<(), String>,
    ) -> io::Result<Self> {
        let name = address.to_string();
        let addresses: Vec<SocketAddr> = match address.parse() {
            Ok(address) => vec![address],
            Err(_) => rt::unblock(move || name.to_socket_addrs().map(Iterator::collect)).await?,
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            if let Err(why) = may(address.ip()) {
                last = io::Error::new(io::ErrorKind::PermissionDenied, why);
                continue;
            }
            match clock::timeout(limit, Async::<TcpStream>::connect(address)).await {
                Some(Ok(stream)) => return Socket::accepted(stream),
                Some(Err(error)) => last = error,
                None => last = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
            }
        }
        Err(last)
    }

    /// Connects to a local address without looking anything up.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        Socket::accepted(Async::<TcpStream>::connect(address).await?)
    }

    /// Connects to a unix socket.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        let stream = Stream::Unix(Async::<UnixStream>::connect(path).await?);
        Ok(Socket { stream, drained: false, forgiving: false })
    }

    /// What is written after the other end closed is dropped: it may have answered before, without reading on, and hyper
    /// reads no answer after a failed write. Reading tells that it closed.
    pub fn forgive_broken_writes(mut self) -> Self {
        self.forgiving = true;
        self
    }

    /// What hyper is told of a write of so many bytes.
    fn written(&self, result: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match result {
            Err(error) if self.forgiving && matches!(error.kind(), BrokenPipe | ConnectionReset) => Ok(bytes),
            result => result,
        }
    }

    /// This machine's address on the connection.
    pub fn local_ip(&self) -> Option<IpAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.get_ref().local_addr().ok().map(|a| a.ip()),
            Stream::Unix(_) => None,
        }
    }

    /// Whether the other end is this very machine, as far as addresses tell.
    pub fn leads_home(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => {
                let peer = stream.get_ref().peer_addr().ok().map(|a| a.ip());
                peer.is_some_and(|ip| ip.is_loopback()) || (peer.is_some() && peer == self.local_ip())
            }
            Stream::Unix(_) => true,
        }
    }

    /// What ends the connection when dropped, whoever holds the socket by then.
    pub fn cutter(&self) -> io::Result<Cutter> {
        match &self.stream {
            Stream::Tcp(stream) => stream.get_ref().try_clone().map(Cutter),
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits for the first byte without taking it; `None` when the other end closed.
    pub async fn peek_first(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        match &self.stream {
            Stream::Tcp(stream) => Ok((stream.peek(&mut first).await? > 0).then_some(first[0])),
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads just this many bytes.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        use futures_lite::io::AsyncReadExt as _;
        match &mut self.stream {
            Stream::Tcp(stream) => stream.read_exact(buffer).await,
            Stream::Unix(stream) => stream.read_exact(buffer).await,
        }
    }

    /// Writes all of it.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        use futures_lite::io::AsyncWriteExt as _;
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => stream.get_ref().read(buffer),
            Stream::Unix(stream) => stream.get_ref().read(buffer),
        }
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Tcp(stream) => stream.poll_readable(cx),
            Stream::Unix(stream) => stream.poll_readable(cx),
        }
    }

    fn writer(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream),
            Stream::Unix(stream) => Pin::new(stream),
        }
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let want = into.remaining().min(scratch.len());
            loop {
                if self.drained {
                    ready!(self.poll_readable(cx))?;
                    self.drained = false;
                }
                match self.try_read(&mut scratch[..want]) {
                    Ok(n) => {
                        self.drained = n != 0 && n < want;
                        into.put_slice(&scratch[..n]);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(self.as_mut().writer().poll_write(cx, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &self.stream {
            Stream::Tcp(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.get_ref().shutdown(Shutdown::Write),
        };
        Poll::Ready(done)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(self.as_mut().writer().poll_write_vectored(cx, bytes));
        Poll::Ready(self.written(result, bytes.iter().map(|b| b.len()).sum()))
    }
}

/// The next connection; `None` once `stop` closes. Where none can be taken, as when out of files, it waits for others to
/// close.
pub async fn accept(listener: &Async<TcpListener>, stop: &Receiver<()>) -> Option<(Async<TcpStream>, SocketAddr)> {
    loop {
        let accepted = future::or(async { Some(listener.accept().await) }, async {
            let _ = stop.recv().await; // closed
            None
        });
        match accepted.await? {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                log::warn!("cannot take a connection: {error}");
                clock::after(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Spawns what hyper wants to run beside a connection.
#[derive(Clone, Copy, Debug)]
pub struct Spawn;

impl<F> Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        rt::spawn(future);
    }
}

/// hyper's timers, on the shared deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Timers;

struct Sleeping(clock::Deadline);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for Sleeping {}

impl Timer for Timers {
    fn sleep(&self, wait: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(clock::after(wait)))
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(clock::at(at)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, at: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleeping>() {
            Some(mut sleeping) => sleeping.0.set(at),
            None => *sleep = self.sleep_until(at),
        }
    }
}
