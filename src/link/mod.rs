//! HTTP/2 as links speak it, at both ends: straight on h2, so that a small message goes out in one write and everything
//! ready goes out together. Knows no calls, no nodes and no functions.

mod body;
mod caller;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod pieces;
mod pipe;
mod server;

pub use body::Received;
pub use caller::{Caller, Unanswered, call_over};
pub use server::serve;

use crate::clock;
use h2::{Ping, PingPong};
use std::time::Duration;

/// An end that does not answer a ping in `KEEPALIVE_ANSWER` is gone; one is sent `KEEPALIVE_EVERY` after the last answer.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(2);
/// A message's headers, decoded: more than the front door lets in.
const HEADERS_BYTES: u32 = 256 * 1024;
/// Of one body, what waits to be sent.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Calls given up at once: each is remembered until the other end has heard of it.
const GIVEN_UP: usize = 4_096;

/// Ends when the other end does not answer any more.
async fn lost(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        clock::after(KEEPALIVE_EVERY).await;
        match clock::timeout(KEEPALIVE_ANSWER, pings.ping(Ping::opaque())).await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return std::future::pending().await, // the connection has ended, and says why itself
            None => return,
        }
    }
}
