//! Whether a request may be sent once more, and when. Must never say so of one that may have been acted upon.

use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// Times at most, whatever is asked for.
const RETRIES_MAX: u32 = 10;
/// Before the first one; doubled each time, …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A server that asks for more patience than this gets its answer passed on.
const TOLD_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Asking the same twice is as asking once.
pub(super) fn is_idempotent(method: &str) -> bool {
    ["GET", "HEAD", "PUT", "DELETE"].contains(&method)
}

/// The pause before the request is sent for the `n`-th time again (from 0), of `most`; `None`: not again.
pub(super) fn pause(n: u32, most: u32, outcome: Result<&Response<Body>, &ureq::Error>) -> Option<Duration> {
    if n >= most.min(RETRIES_MAX) {
        return None;
    }
    match outcome {
        Ok(answer) if answer.status() == 503 => {
            let told: u64 = answer.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_secs(told)).filter(|pause| *pause <= TOLD_PAUSE_MAX)
        }
        Err(error) if never_connected(error) => Some((FIRST_PAUSE * (1 << n)).min(PAUSE_MAX)),
        _ => None,
    }
}

fn never_connected(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        ureq::Error::Timeout(of) => matches!(of, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}
