//! Bodies that stream: what requests and answers carry, whole or frame by frame. Holds at most what it was given.

use crate::link::Received;
use crate::rt;
use bytes::{Bytes, BytesMut};
use futures_lite::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of one of the kinds that occur.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    /// In one piece.
    Full(Bytes),
    /// As it comes from a connection.
    Incoming(Incoming),
    /// As it comes over a link.
    Received(Received),
    /// Anything else.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// One piece; none when there is nothing in it.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::Empty } else { Body::Full(bytes) }
    }

    /// Frames from elsewhere.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Body::Stream(Box::pin(body))
    }

    /// Pieces made one by one, each when the one before has been taken; an error breaks the connection, so that nobody
    /// takes a part for the whole. Whatever `state` holds lasts as long as somebody takes the body.
    pub fn unfold<S, F, Fut>(state: S, next: F) -> Self
    where
        S: Send + 'static,
        F: FnMut(S) -> Fut + Send + 'static,
        Fut: Future<Output = Option<(Result<Bytes, BoxError>, S)>> + Send + 'static,
    {
        Body::pieces(futures_lite::stream::unfold(state, next))
    }

    /// A file from where it stands to its end.
    pub fn file(file: File) -> Self {
        Body::pieces(pieces(file).map(|piece| piece.map_err(Into::into)))
    }

    fn pieces(pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Self {
        Body::stream(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
    }
}

impl Body {
    /// These bytes, and then all of another body.
    pub fn after(first: Bytes, rest: Body) -> Self {
        match rest {
            Body::Empty => Body::full(first),
            rest => Body::stream(After { first: Some(first).filter(|first| !first.is_empty()), rest }),
        }
    }
}

struct After {
    first: Option<Bytes>,
    rest: Body,
}

impl HttpBody for After {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::full(text)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Full(_) => match std::mem::take(&mut *self) {
                Body::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Body::Received(body) => body.poll_frame(cx),
            Body::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(_) => false,
            Body::Incoming(body) => body.is_end_stream(),
            Body::Received(body) => body.is_end_stream(),
            Body::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Incoming(body) => body.size_hint(),
            Body::Received(body) => body.size_hint(),
            Body::Stream(body) => body.size_hint(),
        }
    }
}

/// One read of a file.
const CHUNK_BYTES: usize = 64 * 1024;

/// A file from where it stands to its end, each piece read when the one before has been taken; nothing after an error.
pub fn pieces(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_lite::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = rt::unblock(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk);
            (read, chunk, file)
        });
        match read.await {
            (Ok(0), ..) => None,
            (Ok(n), mut chunk, file) => {
                chunk.truncate(n);
                Some((Ok(Bytes::from(chunk)), Some(file)))
            }
            (Err(error), ..) => Some((Err(error), None)),
        }
    })
}

/// Why a body could not be taken whole.
#[derive(Debug)]
pub enum CollectError {
    /// More than the limit, in bytes.
    TooLarge(usize),
    /// It broke off.
    Broken(BoxError),
}

/// The first bytes of a body, if it has as many, and what comes after them.
pub async fn split(mut body: Body, at: usize) -> Result<(Bytes, Body), CollectError> {
    let mut first = BytesMut::new();
    while first.len() < at {
        match body.frame().await {
            Some(Ok(frame)) => frame.into_data().into_iter().for_each(|data| first.extend_from_slice(&data)),
            Some(Err(error)) => return Err(CollectError::Broken(error)),
            None => return Err(CollectError::Broken("it ended too early".into())),
        }
    }
    let rest = first.split_off(at);
    Ok((first.freeze(), Body::after(rest.freeze(), body)))
}

/// The whole of a body, if it is no larger than `limit` bytes.
pub async fn collect<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(CollectError::TooLarge(limit));
    }
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(CollectError::TooLarge(limit)),
        Err(error) => Err(CollectError::Broken(error)),
    }
}
