//! Bodies on a link: taken as the reader takes them, sent as the other end has room. Holds no more than the windows allow.

use crate::body::{Body, BoxError};
use crate::lanes::Task;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use hyper::HeaderMap;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
pub async fn send(mut body: Body, mut stream: SendStream<Bytes>) {
    loop {
        let frame = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Next::Unwanted),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Next::Frame),
        });
        let sent = match frame.await {
            Next::Unwanted => return,
            Next::Frame(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    let last = body.is_end_stream();
                    if data.is_empty() && !last {
                        continue; // the other end takes few of those
                    }
                    let sent = send_data(&mut stream, data, last).await;
                    if last {
                        return;
                    }
                    sent
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => return drop(stream.send_trailers(trailers)), // it has been reset meanwhile
                    Err(_) => Ok(()),
                },
            },
            Next::Frame(Some(Err(error))) => {
                log::debug!("a body broke off: {error}");
                return stream.send_reset(Reason::INTERNAL_ERROR);
            }
            Next::Frame(None) => return drop(stream.send_data(Bytes::new(), true)), // it has been reset meanwhile
        };
        if sent.is_err() {
            return;
        }
    }
}

enum Next {
    Frame(Option<Result<Frame<Bytes>, BoxError>>),
    Unwanted,
}

async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> Result<(), h2::Error> {
    if data.is_empty() && last {
        return stream.send_data(data, true);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match stream.capacity() {
            0 => poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(Reason::CANCEL)??,
            room => room,
        };
        let piece = data.split_to(room.min(data.len()));
        if !piece.is_empty() {
            stream.send_data(piece, last && data.is_empty())?;
        }
    }
    Ok(())
}
