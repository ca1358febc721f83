//! A body in pieces worth a frame: what stands ready behind a small one goes with it. Knows nothing of links.

use crate::body::{Body, BoxError};
use crate::clock::{self, Deadline};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A larger piece goes by itself, uncopied.
pub const SMALL_BYTES: usize = 4 * 1024;

/// As bodies give them: `None` at the end.
pub type Piece = Option<Result<Frame<Bytes>, BoxError>>;

pub struct Pieces {
    body: Body,
    /// Small ones, gathered.
    held: BytesMut,
    /// What came behind them, and is no data.
    behind: Option<Piece>,
    /// Until when those that are held wait for others.
    waiting: Option<Deadline>,
}

impl Pieces {
    pub fn of(body: Body) -> Self {
        Pieces { body, held: BytesMut::new(), behind: None, waiting: None }
    }

    /// The next piece; small ones wait up to `pause` for others.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, pause: Duration) -> Poll<Piece> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind);
        }
        loop {
            let data = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => return Poll::Ready(self.before(Some(Ok(frame)))),
                },
                Poll::Ready(end) => return Poll::Ready(self.before(end)),
                Poll::Pending if self.held.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    if !pause.is_zero() {
                        ready!(Pin::new(self.waiting.get_or_insert_with(|| clock::after(pause))).poll(cx));
                    }
                    return Poll::Ready(self.gathered());
                }
            };
            let ended = self.body.is_end_stream();
            if self.held.is_empty() && (ended || data.len() >= SMALL_BYTES) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            self.held.extend_from_slice(&data);
            if ended || self.held.len() >= SMALL_BYTES {
                return Poll::Ready(self.gathered());
            }
        }
    }

    /// Nothing comes behind the last piece.
    pub fn ended(&self) -> bool {
        self.behind.is_none() && self.body.is_end_stream()
    }

    fn before(&mut self, piece: Piece) -> Piece {
        if self.held.is_empty() {
            return piece;
        }
        self.behind = Some(piece);
        self.gathered()
    }

    fn gathered(&mut self) -> Piece {
        self.waiting = None;
        Some(Ok(Frame::data(self.held.split().freeze())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::future::poll_fn;

    fn said(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces.iter().rev().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Body::unfold(pieces, |mut left| async move { left.pop().map(|piece| (Ok(piece), left)) })
    }

    fn next(pieces: &mut Pieces) -> Option<Bytes> {
        let piece = rt::block_on(poll_fn(|cx| pieces.poll_next(cx, Duration::ZERO)));
        piece.map(|piece| piece.expect("no error").into_data().expect("data"))
    }

    #[test]
    fn what_is_ready_behind_a_small_piece_goes_with_it() {
        let mut pieces = Pieces::of(said(&["a", "b", "", "c"]));
        assert_eq!(next(&mut pieces).as_deref(), Some(&b"abc"[..]));
        assert_eq!(next(&mut pieces), None);
    }

    #[test]
    fn an_error_comes_behind_what_came_before_it() {
        let body = Body::unfold(0, |n| async move {
            Some((if n == 0 { Ok(Bytes::from_static(b"a")) } else { Err("broken".into()) }, n + 1))
        });
        let mut pieces = Pieces::of(body);
        assert_eq!(next(&mut pieces).as_deref(), Some(&b"a"[..]));
        assert!(!pieces.ended());
        assert!(matches!(rt::block_on(poll_fn(|cx| pieces.poll_next(cx, Duration::ZERO))), Some(Err(_))));
    }
}
