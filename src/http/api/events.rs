//! `/events`: the cluster's history as server-sent events, from now on or from where a reader left off.

use crate::body::Body;
use crate::clock;
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::orchestrator::Orchestrator;
use crate::ring::{Follower, Next};
use crate::types::Event;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Silence after which a line is sent, so that proxies keep the stream and a reader that left is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// `GET /events`
pub async fn follow(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let after = match asked.request.headers().get("last-event-id") {
        None => None,
        Some(id) => match id.to_str().ok().and_then(|id| id.trim().parse().ok()) {
            Some(id) => Some(id),
            None => return Err(Problem::invalid("Last-Event-ID: must be the id of an event")),
        },
    };
    let follower = app.events.follow(after);
    let connected = Bytes::from_static(b": connected\n\n");
    let body = Body::unfold((Some(connected), follower), |(first, mut follower)| async move {
        let text = match first {
            Some(first) => first,
            None => next(&mut follower).await,
        };
        Some((Ok(text), (None, follower)))
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn next(follower: &mut Follower<Event>) -> Bytes {
    let text = match clock::timeout(KEEPALIVE, follower.next()).await {
        None => ": still here\n\n".into(),
        // Ids leap at each start, so what lies between two of them is no count.
        Some(Next::Missed(_)) => ": some events in between are no longer kept\n\n".into(),
        Some(Next::Entries(events)) => {
            let mut text = String::new();
            for (_, event) in events {
                let data = serde_json::to_string(&*event).unwrap_or_default();
                let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind); // a String takes all
            }
            text
        }
    };
    text.into()
}
