//! Bodies as they pass a link.

use super::pieces::{Pieces, SMALL_BYTES};
use crate::body::Body;
use bytes::Bytes;
use futures_lite::future::block_on;
use std::future::poll_fn;
use std::time::Duration;

/// In pieces of whatever sizes, all of it comes, in order, and nothing is held back.
pub fn pieces(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    // Those of one value stand ready at once; others come one turn later.
    let given: Vec<Bytes> = chunks.map(Bytes::copy_from_slice).rev().collect();
    let body = Body::unfold(given, |mut left| async move {
        let piece = left.pop()?;
        if piece.first().is_some_and(|first| first % 2 == 1) {
            futures_lite::future::yield_now().await;
        }
        Some((Ok(piece), left))
    });
    let mut pieces = Pieces::of(body);
    let mut got = Vec::new();
    while let Some(piece) = block_on(poll_fn(|cx| pieces.poll_next(cx, Duration::ZERO))) {
        let data = piece.expect("no error").into_data().expect("data");
        assert!(data.len() <= SMALL_BYTES + 256);
        got.extend_from_slice(&data);
    }
    assert_eq!(got, whole);
}
