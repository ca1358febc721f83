//! Bodies on a link: taken as the reader takes them, sent as the other end has room. Holds no more than the windows allow.

use super::pieces::{Piece, Pieces, SMALL_BYTES};
use crate::body::{Body, BoxError};
use crate::lanes::Task;
use crate::wire;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use hyper::HeaderMap;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// So many small pieces go out as they come while nobody is seen to take them; later ones wait for others, the longer
/// the more there are. A window counts bytes, but each piece unread costs far more than the few it may have.
const SMALL_AT_ONCE: u32 = 4_096;
const PAUSE: Duration = Duration::from_millis(10);

/// A body that comes over a link.
pub struct Received {
    stream: RecvStream,
    length: Option<u64>,
    data_ended: bool,
    /// Sends the other direction's body: given up with this one, unless this one has come to its end.
    sending: Option<Task<()>>,
}

impl Received {
    /// Empty when nothing more comes.
    pub fn body(stream: RecvStream, headers: &HeaderMap, sending: Option<Task<()>>) -> Body {
        if stream.is_end_stream() {
            sending.into_iter().for_each(Task::detach);
            return Body::Empty;
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        Body::Received(Received { stream, length, data_ended: false, sending })
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = self.stream.flow_control().release_capacity(data.len()); // the stream has ended meanwhile
                    self.length = self.length.map(|left| left.saturating_sub(data.len() as u64));
                    if self.stream.is_end_stream() {
                        self.ended();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    self.ended(); // it needs no more of what it is sent
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.ended();
        match trailers {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    fn ended(&mut self) {
        self.sending.take().into_iter().for_each(Task::detach);
    }

    pub fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Says how long a body is where its sender did not.
pub fn say_length(headers: &mut HeaderMap, body: &Body) {
    if let Some(length @ 1..) = body.size_hint().exact()
        && !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Sends a body, frame by frame, each when there is room; ends early when the other end wants no more of it.
pub async fn send(body: Body, stream: SendStream<Bytes>) {
    let mut sending = Sending { stream, room: 0, small: 0 };
    let mut pieces = Pieces::of(body);
    loop {
        let pause = sending.pause();
        let piece = poll_fn(|cx| match sending.stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Next::Unwanted),
            Poll::Pending => pieces.poll_next(cx, pause).map(Next::Piece),
        });
        let sent = match piece.await {
            Next::Unwanted => return,
            Next::Piece(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    let last = pieces.ended();
                    let sent = sending.data(data, last).await;
                    if last {
                        return;
                    }
                    sent
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => return drop(sending.stream.send_trailers(trailers)), // it has been reset meanwhile
                    Err(_) => Ok(()),
                },
            },
            Next::Piece(Some(Err(error))) => {
                log::debug!("a body broke off: {error}");
                return sending.stream.send_reset(Reason::INTERNAL_ERROR);
            }
            Next::Piece(None) => return drop(sending.stream.send_data(Bytes::new(), true)), // it has been reset meanwhile
        };
        if sent.is_err() {
            return;
        }
    }
}

enum Next {
    Piece(Piece),
    Unwanted,
}

struct Sending {
    stream: SendStream<Bytes>,
    /// What the window had left after the last piece.
    room: usize,
    /// Small pieces sent since it last grew: as far as can be seen, nobody has taken them.
    small: u32,
}

impl Sending {
    async fn data(&mut self, mut data: Bytes, last: bool) -> Result<(), h2::Error> {
        if data.is_empty() && last {
            return self.stream.send_data(data, true);
        }
        self.small += u32::from(data.len() < SMALL_BYTES);
        while !data.is_empty() {
            self.stream.reserve_capacity(wire::STREAM_WINDOW_BYTES as usize);
            let room = match self.stream.capacity() {
                0 => poll_fn(|cx| self.stream.poll_capacity(cx)).await.ok_or(Reason::CANCEL)??,
                room => room,
            };
            if room > self.room {
                self.small = 0;
            }
            let piece = data.split_to(room.min(data.len()));
            self.room = room - piece.len();
            if !piece.is_empty() {
                self.stream.send_data(piece, last && data.is_empty())?;
            }
        }
        Ok(())
    }

    /// How long a small piece waits for others.
    fn pause(&self) -> Duration {
        PAUSE * (self.small / SMALL_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use crate::body::Body;
    use crate::link::{Caller, call_over, serve};
    use crate::net::Socket;
    use crate::rt;
    use bytes::Bytes;
    use futures_lite::future;
    use http_body_util::BodyExt;
    use hyper::{Request, Response};
    use std::net::{TcpListener, TcpStream};

    const BYTES: usize = 100_000;

    /// Bytes one by one, and nothing ready behind any of them.
    fn single_bytes() -> Body {
        Body::unfold(0, |sent| async move {
            future::yield_now().await;
            (sent < BYTES).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
        })
    }

    #[test]
    fn single_bytes_cost_no_frame_each() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let there = listener.accept().expect("it").0;
        rt::spawn(async move {
            let socket = Socket::over(there).expect("a socket");
            let _ = serve(socket, |_| async { Response::new(single_bytes()) }).await;
        });
        let frames = rt::block_on(async {
            let (caller, connection) = call_over(Socket::over(here).expect("a socket")).await.expect("a link");
            rt::spawn(connection);
            let mut request = Request::new(Body::Empty);
            *request.uri_mut() = "http://control/".parse().expect("an address");
            let Ok(answer) = Caller::send(caller, request).await else { panic!("no answer") };
            let mut body = answer.into_body();
            let (mut frames, mut bytes) = (0, 0);
            while let Some(frame) = body.frame().await {
                bytes += frame.expect("a frame").into_data().expect("data").len();
                frames += 1;
            }
            assert_eq!(bytes, BYTES);
            frames
        });
        assert!(frames < BYTES / 10, "{frames} frames");
    }
}
