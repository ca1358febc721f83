//! A socket whose bytes are encrypted: what is read and written is plain, what travels is not. Takes as much ciphertext at
//! once as there is, and has memory for it only while some waits. Knows nothing of who is at the other end.

use crate::net::Socket;
use hyper::rt::Write;
use rustls::Connection;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// One read of ciphertext takes at most this much.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static CIPHERTEXT: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// What of a connection is not its socket: can move with it to another thread.
pub struct Session {
    connection: Connection,
    /// Ciphertext that came, and how much of it has been taken.
    held: Vec<u8>,
    taken: usize,
    /// The other end has said that it sends no more.
    ended: bool,
}

/// A socket and what is said over it.
pub struct Secured {
    under: Socket,
    session: Box<Session>,
}

impl Secured {
    /// Speaks TLS over a connected socket; returns when both ends know whom they talk to, as far as they want to.
    pub async fn over(under: Socket, connection: Connection) -> io::Result<Self> {
        let session = Session { connection, held: Vec::new(), taken: 0, ended: false };
        let mut secured = Secured { under, session: Box::new(session) };
        let shaken = poll_fn(|cx| secured.poll_handshake(cx)).await;
        if shaken.is_err() {
            let _ = poll_fn(|cx| Poll::Ready(secured.poll_sent(cx).is_ready())).await; // why, if there is room
        }
        shaken.map(|()| secured)
    }

    /// The parts, to be put together again elsewhere.
    pub fn into_parts(self) -> (Socket, Box<Session>) {
        (self.under, self.session)
    }

    pub fn of_parts(under: Socket, session: Box<Session>) -> Self {
        Secured { under, session }
    }

    /// The socket below.
    pub fn under(&self) -> &Socket {
        &self.under
    }

    /// What the other end has shown of itself, and was found good.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.connection.peer_certificates()?.first()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_sent(cx))?;
            if !self.session.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(cx))?;
            if self.session.ended {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads what is there, once there is something; nothing at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let n = self.session.take(into).inspect_err(|_| drop(self.poll_sent(cx)))?;
            if n > 0 || self.session.ended || into.is_empty() {
                return Poll::Ready(Ok(n));
            }
            ready!(self.poll_more(cx)).inspect_err(|_| drop(self.poll_sent(cx)))?;
            if let Poll::Ready(sent) = self.poll_sent(cx) {
                sent?; // what the protocol itself had to say
            }
        }
    }

    /// Waits for the first byte without taking it; `None` when the other end closed.
    pub fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        loop {
            match self.session.connection.reader().fill_buf() {
                Ok(bytes) => return Poll::Ready(Ok(bytes.first().copied())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if !self.session.feed()? {
                ready!(self.poll_more(cx))?;
            }
        }
    }

    /// Reads ciphertext, and decrypts until there is something.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        CIPHERTEXT.with_borrow_mut(|ciphertext| {
            let n = ready!(self.under.poll_into(cx, ciphertext))?;
            Poll::Ready(self.session.came(&ciphertext[..n]))
        })
    }

    /// Takes some of these to be sent, and sends what there is room for.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        use io::Write as _;
        let nothing = pieces.iter().all(|piece| piece.is_empty());
        loop {
            let n = self.session.connection.writer().write_vectored(pieces)?;
            let sent = self.poll_sent(cx);
            if n > 0 || nothing {
                return match sent {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(n)), // the rest goes with the next write or flush
                };
            }
            ready!(sent)?;
        }
    }

    /// Sends all that was taken.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.connection.wants_write() {
            match self.session.connection.write_tls(&mut Below { under: &mut self.under, cx }) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that no more is sent, once all was.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.connection.send_close_notify(); // once, however often it is asked for
        ready!(self.poll_sent(cx))?;
        Write::poll_shutdown(Pin::new(&mut self.under), cx)
    }
}

impl Session {
    /// Fills `into` from what is here; nothing when that is nothing.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.connection.reader().read(&mut into[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.feed() {
                    Ok(true) => {}
                    Err(error) if filled == 0 => return Err(error),
                    _ => break,
                },
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(filled)
    }

    /// Decrypts some of what is held; `false`: there is none.
    fn feed(&mut self) -> io::Result<bool> {
        if self.held.is_empty() {
            return Ok(false);
        }
        let n = self.decrypt_from(self.taken)?;
        self.taken += n;
        if n == 0 || self.taken == self.held.len() {
            (self.held, self.taken) = (Vec::new(), 0); // nothing is read after the end
        }
        Ok(true)
    }

    fn decrypt_from(&mut self, at: usize) -> io::Result<usize> {
        let n = self.connection.read_tls(&mut &self.held[at..])?;
        self.connection.process_new_packets().map_err(broken)?;
        Ok(n)
    }

    /// Ciphertext came; none: the socket has ended.
    fn came(&mut self, mut ciphertext: &[u8]) -> io::Result<()> {
        if ciphertext.is_empty() {
            self.connection.read_tls(&mut io::empty())?;
            let state = self.connection.process_new_packets().map_err(broken)?;
            self.ended = state.peer_has_closed();
            return match self.ended {
                true => Ok(()),
                false => Err(ErrorKind::UnexpectedEof.into()), // somebody may have cut it short
            };
        }
        while !ciphertext.is_empty() {
            let n = self.connection.read_tls(&mut ciphertext)?;
            let state = self.connection.process_new_packets().map_err(broken)?;
            if n == 0 {
                break; // it has said that it sends no more
            }
            if state.plaintext_bytes_to_read() > 0 {
                self.held.extend_from_slice(ciphertext);
                break;
            }
        }
        Ok(())
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// The socket, as the connection writes to it.
struct Below<'a, 'b> {
    under: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl io::Write for Below<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Write::poll_write(Pin::new(&mut *self.under), self.cx, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Write::poll_write_vectored(Pin::new(&mut *self.under), self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // the kernel has it
    }
}
