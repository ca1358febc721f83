//! A link's socket, as h2 uses it. h2 writes each body's frame by itself and reads little at a time; here what is written
//! in one turn of the connection goes out together, and one read takes what many calls sent.

use crate::lock::lock;
use crate::net::Socket;
use hyper::rt::Write;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One read or write of several calls.
const TOGETHER_BYTES: usize = 64 * 1024;
/// What is larger goes out from where it is: copying it costs more than a write of its own.
const COPIED_BYTES: usize = 32 * 1024;
/// Memory kept by a thread for its links' next turns.
const SPARE: usize = 4;
/// Pieces of one write of h2's: a frame's head and its body.
const PIECES: usize = 4;

thread_local! {
    static MEMORY: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes on their way; has memory only while there are any, since most links are idle.
#[derive(Default)]
struct Held {
    memory: Option<Box<[u8]>>,
    from: usize,
    to: usize,
}

impl Held {
    fn waiting(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[self.from..self.to])
    }

    fn room(&mut self) -> &mut [u8] {
        let spare = || MEMORY.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; TOGETHER_BYTES].into());
        &mut self.memory.get_or_insert_with(spare)[self.to..]
    }

    fn add(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.to += bytes.len();
    }

    fn take(&mut self, n: usize) {
        self.from += n;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            let memory = self.memory.take();
            MEMORY.with_borrow_mut(|spare| spare.extend(memory.filter(|_| spare.len() < SPARE)));
        }
    }
}

struct Ends {
    socket: Socket,
    read: Held,
    written: Held,
}

impl Ends {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.waiting().is_empty() {
            let read = self.socket.poll_into(cx, self.read.room());
            self.read.to = if let Poll::Ready(Ok(n)) = read { n } else { 0 };
            if self.read.to == 0 {
                self.read.take(0);
                return read.map_ok(drop);
            }
        }
        let waiting = self.read.waiting();
        let n = waiting.len().min(into.remaining());
        into.put_slice(&waiting[..n]);
        self.read.take(n);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let pieces = &pieces[..pieces.len().min(PIECES)];
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        loop {
            if bytes <= COPIED_BYTES && bytes <= TOGETHER_BYTES - self.written.to {
                pieces.iter().for_each(|piece| self.written.add(piece));
                return Poll::Ready(Ok(bytes));
            }
            let waiting = self.written.waiting();
            let mut all = [IoSlice::new(&[]); PIECES + 1];
            all[0] = IoSlice::new(waiting);
            all[1..=pieces.len()].copy_from_slice(pieces);
            let before = waiting.len();
            let n = ready!(Write::poll_write_vectored(Pin::new(&mut self.socket), cx, &all[..=pieces.len()]))?;
            self.written.take(n.min(before));
            if n > before || n == 0 {
                return Poll::Ready(Ok(n.saturating_sub(before)));
            }
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.written.waiting().is_empty() {
            match ready!(Write::poll_write(Pin::new(&mut self.socket), cx, self.written.waiting()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written.take(n),
            }
        }
        Write::poll_flush(Pin::new(&mut self.socket), cx)
    }
}

/// Clones are the same socket: one is h2's, the other ends its turns.
#[derive(Clone)]
pub struct Pipe(Arc<Mutex<Ends>>);

impl Pipe {
    pub fn over(socket: Socket) -> Self {
        Pipe(Arc::new(Mutex::new(Ends { socket, read: Held::default(), written: Held::default() })))
    }

    /// Runs what speaks over it; what that has written goes out when it has no more to say for now.
    pub async fn turns<T>(&self, speaking: impl Future<Output = T>) -> T {
        let mut speaking = pin!(speaking);
        poll_fn(|cx| {
            let ended = speaking.as_mut().poll(cx);
            let _ = self.ends().poll_sent(cx); // a connection that has broken tells its reader
            ended
        })
        .await
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        lock(&self.0)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.ends().poll_read(cx, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.ends().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // at the end of the turn
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.ends();
        ready!(ends.poll_sent(cx))?;
        Write::poll_shutdown(Pin::new(&mut ends.socket), cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.ends().poll_write(cx, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::io::{Read, Write as _};
    use std::net::{TcpListener, TcpStream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Pipe, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        (Pipe::over(Socket::over(listener.accept().expect("it").0).expect("a socket")), peer)
    }

    fn some(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn what_is_said_in_one_turn_comes_in_order_whatever_its_size() {
        let (mut pipe, mut peer) = pair();
        let reading = std::thread::spawn(move || {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).map(|_| heard)
        });
        let sizes = [1, 10_000, COPIED_BYTES, COPIED_BYTES + 1, 7, TOGETHER_BYTES, 3 * TOGETHER_BYTES, 60_000, 9];
        let turns = pipe.clone();
        rt::block_on(turns.turns(async {
            for size in sizes {
                pipe.write_all(&some(size)).await.expect("written");
            }
            pipe.shutdown().await.expect("its end");
        }));
        let sent: Vec<u8> = sizes.into_iter().flat_map(some).collect();
        assert!(reading.join().expect("no panic").expect("its end") == sent);
    }

    #[test]
    fn a_turn_that_waits_has_said_what_it_wrote() {
        let (mut pipe, mut peer) = pair();
        let (tell, told) = rt::bounded::<()>(1);
        let hearing = std::thread::spawn(move || {
            let mut heard = [0; 5];
            peer.read_exact(&mut heard).expect("what was said");
            drop(tell);
            heard
        });
        let turns = pipe.clone();
        rt::block_on(turns.turns(async {
            pipe.write_all(b"hello").await.expect("written");
            let _ = told.recv().await; // closed
        }));
        assert_eq!(hearing.join().expect("no panic"), *b"hello");
        assert!(pipe.ends().written.memory.is_none(), "memory goes back");
    }

    #[test]
    fn one_read_is_taken_in_parts() {
        let (mut pipe, mut peer) = pair();
        peer.write_all(&some(3 * TOGETHER_BYTES)).expect("sent");
        peer.shutdown(std::net::Shutdown::Write).expect("its end");
        let heard = rt::block_on(async {
            let (mut heard, mut part) = (Vec::new(), [0; 1_000]);
            while let n @ 1.. = pipe.read(&mut part).await.expect("read") {
                heard.extend_from_slice(&part[..n]);
            }
            heard
        });
        assert!(heard == some(3 * TOGETHER_BYTES));
        assert!(pipe.ends().read.memory.is_none(), "memory goes back");
    }
}
