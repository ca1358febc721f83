//! Server-sent events: what an answer of them looks like, and its pieces. Must never know what is told.

use super::problem::Problem;
use super::route::{Streamed, value};
use crate::body::Body;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use std::time::Duration;

/// Silence after which a line is sent, so that proxies keep the stream and a reader that left is noticed.
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// That line.
pub const STILL_HERE: Bytes = Bytes::from_static(b": still here\n\n");
/// All rows of a watched list were sent once.
pub const SYNCED: &[u8] = b"event: synced\ndata: {}\n\n";

/// In between lie some that are no longer kept; how many cannot be told.
pub const MISSED: &[u8] = b": some events in between are no longer kept\n\n";

/// An answer whose body is these.
pub fn answer(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Refuses what would leave rows out of a watch.
pub fn all_rows(asked: &Streamed, filters: &[&str]) -> Result<(), Problem> {
    match filters.iter().find(|name| value(&asked.query, name).is_some()) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("{name}: a watch gives all rows; leave it out, or ask without watch=true");
            Err(Problem::new(400, "invalid_field", detail))
        }
    }
}

/// A row of a watched list is new or has changed.
pub fn put(text: &mut Vec<u8>, row: &impl Serialize) {
    text.extend_from_slice(b"event: put\ndata: ");
    data(text, row);
}

/// A row is no more.
pub fn gone(text: &mut Vec<u8>, id: &str) {
    text.extend_from_slice(b"event: gone\ndata: ");
    data(text, &serde_json::json!({ "id": id }));
}

/// One with an id, from which a reader may go on.
pub fn event(text: &mut Vec<u8>, id: u64, kind: &str, what: &impl Serialize) {
    text.extend_from_slice(format!("id: {id}\nevent: {kind}\ndata: ").as_bytes());
    data(text, what);
}

fn data(text: &mut Vec<u8>, what: &impl Serialize) {
    let _ = serde_json::to_writer(&mut *text, what); // a Vec takes all, and keys are text
    text.extend_from_slice(b"\n\n");
}
