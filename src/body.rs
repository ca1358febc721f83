//! Bodies that stream: what requests and answers carry, whole or frame by frame. Holds at most what it was given.

use crate::link::Received;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
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
        let pieces = futures_lite::stream::unfold(state, next);
        let frames = futures_lite::StreamExt::map(pieces, |piece| piece.map(Frame::data));
        Body::stream(http_body_util::StreamBody::new(frames))
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

/// Why a body could not be taken whole.
#[derive(Debug)]
pub enum CollectError {
    /// More than the limit, in bytes.
    TooLarge(usize),
    /// It broke off.
    Broken(BoxError),
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
