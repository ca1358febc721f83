//! The end of a connection whose client may still be sending. Closed at once, the system would reset it: the client's
//! next write fails, and many then never read the answer that says why. So what comes is taken for a moment, and thrown
//! away.

use crate::clock;
use crate::net::Socket;
use std::future::poll_fn;
use std::time::Duration;

/// Who sends for longer, or more, has had the time to read.
const TIME: Duration = Duration::from_secs(1);
const BYTES: usize = 16 << 20;

/// Reads until the client has heard enough, too. This side has said that it sends no more.
pub async fn linger(socket: &mut Socket) {
    let drained = async {
        let mut taken = 0;
        while taken < BYTES {
            match poll_fn(|cx| socket.poll_some(cx)).await {
                Ok(some) if !some.is_empty() => taken += some.len(),
                _ => return, // it has ended
            }
        }
    };
    let _ = clock::timeout(TIME, drained).await; // its time is over
}
