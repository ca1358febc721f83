//! Sockets as hyper wants them: reading, writing, waiting and spawning. Knows nothing of what is said over them.

use crate::clock;
use crate::lanes::{self, Wired};
use crate::lock::lock;
use crate::rt::{self, Receiver};
use crate::tls::{Secured, Session};
use async_io::Async;
use bytes::Bytes;
use futures_lite::future;
use futures_lite::io::AsyncWrite as FuturesWrite;
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// After a connection could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Between two words in the log about that.
const ACCEPT_TOLD: Duration = Duration::from_secs(10);
/// A silent connection that is probed: the first time, again, and how often in vain before it is given up.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
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
    /// On a lane: where it was made, and stays.
    Wired(Wired),
    /// Elsewhere.
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
    /// One of the above, with what is said over it encrypted.
    Tls(Box<Secured>),
}

/// A socket on its way to another thread.
pub struct Moving {
    stream: TcpStream,
    session: Option<Box<Session>>,
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
    /// Takes over a connected socket. It belongs to the lane this runs on, if it is one.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = match Wired::new(stream)? {
            Ok(wired) => Stream::Wired(wired),
            Err(stream) => Stream::Tcp(Async::new_nonblocking(stream)?),
        };
        Ok(Socket { stream, drained: false, forgiving: false })
    }

    /// Gives it up, for another thread to take over; `None` when it is no such socket.
    pub fn into_moving(self) -> Option<Moving> {
        match self.stream {
            Stream::Tcp(stream) => Some(Moving { stream: stream.into_inner().ok()?, session: None }),
            Stream::Tls(secured) => {
                let (under, session) = secured.into_parts();
                Some(Moving { session: Some(session), ..under.into_moving()? })
            }
            Stream::Wired(_) | Stream::Unix(_) => None,
        }
    }

    /// Takes one over that another thread gave up. It belongs to the lane this runs on, if it is one.
    pub fn of_moving(Moving { stream, session }: Moving) -> io::Result<Self> {
        let under = Socket::over(stream)?;
        Ok(match session {
            Some(session) => Socket::secured(Secured::of_parts(under, session)),
            None => under,
        })
    }

    fn secured(secured: Secured) -> Self {
        Socket { stream: Stream::Tls(Box::new(secured)), drained: false, forgiving: false }
    }

    /// Encrypts all that is said over it from now on.
    pub async fn secure(self, connection: impl Into<rustls::Connection>) -> io::Result<Self> {
        Secured::over(self, connection.into()).await.map(Socket::secured)
    }

    /// What the other end has shown of itself under TLS, and was found good.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Tls(secured) => secured.peer_certificate().map(AsRef::as_ref),
            _ => None,
        }
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
                Some(Ok(stream)) => return Socket::over(stream.into_inner()?),
                Some(Err(error)) => last = error,
                None => last = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
            }
        }
        Err(last)
    }

    /// Connects to a local address without looking anything up.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        Socket::over(Async::<TcpStream>::connect(address).await?.into_inner()?)
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

    /// What is written after the other end closed fails again.
    pub fn mind_broken_writes(mut self) -> Self {
        self.forgiving = false;
        self
    }

    /// Has the kernel see whether the other end is still there while nothing is said: for connections without a limit.
    pub fn probe(&self) {
        use rustix::net::sockopt;
        let Some(stream) = self.tcp() else { return };
        let probed = sockopt::set_socket_keepalive(stream, true)
            .and_then(|()| sockopt::set_tcp_keepidle(stream, PROBE_AFTER))
            .and_then(|()| sockopt::set_tcp_keepintvl(stream, PROBE_EVERY))
            .and_then(|()| sockopt::set_tcp_keepcnt(stream, PROBES));
        if let Err(error) = probed {
            log::debug!("a connection cannot be probed: {error}"); // its writes will tell
        }
    }

    /// Ends the connection, or one direction of it, at once: `poll_shutdown` says goodbye first.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.stream {
            Stream::Wired(stream) => stream.get_ref().shutdown(how),
            Stream::Tcp(stream) => stream.get_ref().shutdown(how),
            Stream::Unix(stream) => stream.get_ref().shutdown(how),
            Stream::Tls(secured) => secured.under().shutdown(how),
        }
    }

    /// Reads what is there, once there is something; nothing at the end.
    pub fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let n = ready!(self.poll_into(cx, scratch))?;
            Poll::Ready(Ok(Bytes::copy_from_slice(&scratch[..n])))
        })
    }

    /// Waits to be told that the other end sends no more, or is gone, though what it sent before is unread. Never told
    /// where that takes a read.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.stream {
            Stream::Wired(wired) => wired.poll_left(cx),
            Stream::Tls(secured) => secured.under().poll_left(cx),
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Pending,
        }
    }

    /// Whether bytes can still go some way.
    pub fn is_connected(&self) -> bool {
        self.tcp().is_none_or(|stream| stream.peer_addr().is_ok())
    }

    /// What hyper is told of a write of so many bytes.
    fn written(&self, result: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match result {
            Err(error) if self.forgiving && matches!(error.kind(), BrokenPipe | ConnectionReset) => Ok(bytes),
            result => result,
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Wired(stream) => Some(stream.get_ref()),
            Stream::Tcp(stream) => Some(stream.get_ref()),
            Stream::Tls(secured) => secured.under().tcp(),
            Stream::Unix(_) => None,
        }
    }

    /// Whether the other end is this very machine, as far as addresses tell.
    pub fn leads_home(&self) -> bool {
        let peer = self.peer_ip();
        peer.is_some_and(|ip| ip.is_loopback()) || (peer.is_some() && peer == self.local_ip())
    }

    /// The other end's address.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.tcp().and_then(|stream| stream.peer_addr().ok()).map(|a| a.ip())
    }

    /// This machine's address on the connection.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.tcp().and_then(|stream| stream.local_addr().ok()).map(|a| a.ip())
    }

    /// What ends the connection when dropped, whoever holds the socket by then.
    pub fn cutter(&self) -> io::Result<Cutter> {
        self.tcp().ok_or(io::ErrorKind::Unsupported)?.try_clone().map(Cutter)
    }

    /// Waits for the first byte without taking it; `None` when the other end closed.
    pub async fn peek_first(&mut self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let n = match &mut self.stream {
            Stream::Tcp(stream) => stream.peek(&mut first).await?,
            Stream::Wired(wired) => poll_fn(|cx| wired.poll_read(cx, 1, |stream| stream.peek(&mut first))).await?,
            Stream::Tls(secured) => return poll_fn(|cx| secured.poll_peek(cx)).await,
            Stream::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok((n > 0).then_some(first[0]))
    }

    /// Reads just this many bytes.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match poll_fn(|cx| self.poll_into(cx, &mut buffer[filled..])).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Writes all of it.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|cx| Write::poll_write(Pin::new(&mut *self), cx, bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
        }
        poll_fn(|cx| Write::poll_flush(Pin::new(&mut *self), cx)).await
    }

    /// Reads without asking again for what is known not to be there.
    pub fn poll_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let drained = &mut self.drained;
        match &mut self.stream {
            Stream::Wired(wired) => wired.poll_read(cx, into.len(), |mut stream| stream.read(into)),
            Stream::Tcp(stream) => poll_async(drained, into, |b| stream.get_ref().read(b), || stream.poll_readable(cx)),
            Stream::Unix(stream) => {
                poll_async(drained, into, |b| stream.get_ref().read(b), || stream.poll_readable(cx))
            }
            Stream::Tls(secured) => secured.poll_read(cx, into),
        }
    }
}

fn poll_async(
    drained: &mut bool,
    into: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut poll_readable: impl FnMut() -> Poll<io::Result<()>>,
) -> Poll<io::Result<usize>> {
    loop {
        if *drained {
            ready!(poll_readable())?;
            *drained = false;
        }
        match read(into) {
            Ok(n) => {
                *drained = n != 0 && n < into.len();
                return Poll::Ready(Ok(n));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *drained = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let want = into.remaining().min(scratch.len());
            let n = ready!(self.poll_into(cx, &mut scratch[..want]))?;
            into.put_slice(&scratch[..n]);
            Poll::Ready(Ok(()))
        })
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(match &mut self.stream {
            Stream::Wired(wired) => wired.poll_write(cx, |mut stream| stream.write(bytes)),
            Stream::Tcp(stream) => FuturesWrite::poll_write(Pin::new(stream), cx, bytes),
            Stream::Unix(stream) => FuturesWrite::poll_write(Pin::new(stream), cx, bytes),
            Stream::Tls(secured) => secured.poll_write(cx, &[IoSlice::new(bytes)]),
        });
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tls(secured) => secured.poll_sent(cx),
            _ => Poll::Ready(Ok(())), // the kernel has it
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tls(secured) => secured.poll_shutdown(cx),
            _ => Poll::Ready(self.shutdown(Shutdown::Write)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(match &mut self.stream {
            Stream::Wired(wired) => wired.poll_write(cx, |mut stream| stream.write_vectored(bytes)),
            Stream::Tcp(stream) => FuturesWrite::poll_write_vectored(Pin::new(stream), cx, bytes),
            Stream::Unix(stream) => FuturesWrite::poll_write_vectored(Pin::new(stream), cx, bytes),
            Stream::Tls(secured) => secured.poll_write(cx, bytes),
        });
        Poll::Ready(self.written(result, bytes.iter().map(|b| b.len()).sum()))
    }
}

/// The next connection, for whoever takes it `over`; `None` once `stop` closes. Where none can be taken, as when out of
/// files, it waits for others to close.
pub async fn accept(listener: &Async<TcpListener>, stop: &Receiver<()>) -> Option<(TcpStream, SocketAddr)> {
    let accept = async || loop {
        match listener.get_ref().accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.readable().await?,
            accepted => return accepted,
        }
    };
    loop {
        let accepted = future::or(async { Some(accept().await) }, async {
            let _ = stop.recv().await; // closed
            None
        });
        match accepted.await? {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tell_not_taken(&error);
                clock::after(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn tell_not_taken(error: &io::Error) {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut told = lock(&TOLD);
    let now = clock::now();
    if told.is_none_or(|last| now - last >= ACCEPT_TOLD) {
        *told = Some(now);
        log::warn!("cannot take a connection: {error}");
    }
}

/// Spawns what hyper wants to run beside a connection, where that runs.
#[derive(Clone, Copy, Debug)]
pub struct Spawn;

impl<F> Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        lanes::spawn_here(future);
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
