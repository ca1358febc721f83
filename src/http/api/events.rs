//! `/events`: the cluster's history as server-sent events, from now on or from where a reader left off.

use crate::body::Body;
use crate::clock;
use crate::http::openapi::{Answer, Content, Kind, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Streamed, flag};
use crate::http::sse;
use crate::orchestrator::Orchestrator;
use crate::ring::{Follower, Next};
use crate::types::Event;
use bytes::Bytes;
use hyper::{HeaderMap, Response};
use std::sync::Arc;

/// What the document says of this.
pub const FOLLOW: Operation = Operation {
    id: "followEvents",
    tag: "cluster",
    summary: "What happens, as it happens",
    parameters: &[
        Parameter::query("follow", Kind::Flag, "false: those that are kept, and then the end."),
        Parameter::header("Last-Event-ID", Kind::Number(0, u64::MAX), "Those after this one, as far as they are kept."),
    ],
    answers: &[Answer::of(200, "Events, until either side leaves.").with(&[Content::events::<Event>()])],
    ..Operation::NONE
};

/// `GET /events`, `GET /events?follow=false`
pub async fn follow(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let after = last_event_id(asked.request.headers())?;
    let goes_on = flag(&asked.query, "follow")?.unwrap_or(true);
    let until = (!goes_on).then(|| app.events.newest());
    let follower = app.events.follow(if goes_on { after } else { after.or(Some(0)) });
    let connected = Bytes::from_static(b": connected\n\n");
    let body = Body::unfold((Some(connected), follower), move |(first, mut follower)| async move {
        let text = match first {
            Some(first) => first,
            None if until.is_some_and(|last| follower.after() >= last) => return None,
            None => next(&mut follower, until).await,
        };
        Some((Ok(text), (None, follower)))
    });
    Ok(sse::answer(body))
}

/// The event that a reader who comes back has seen last.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    match id.to_str().ok().and_then(|id| id.trim().parse().ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(Problem::invalid("Last-Event-ID: must be the id of an event")),
    }
}

async fn next(follower: &mut Follower<Event>, until: Option<u64>) -> Bytes {
    match clock::timeout(sse::KEEPALIVE, follower.next()).await {
        None => sse::STILL_HERE,
        // Ids leap at each start, so what lies between two of them is no count.
        Some(Next::Missed(_)) => sse::MISSED.into(),
        Some(Next::Entries(events)) => {
            let mut text = Vec::new();
            for (_, event) in events.iter().filter(|(id, _)| until.is_none_or(|last| *id <= last)) {
                sse::event(&mut text, event.id, &event.kind, &**event);
            }
            text.into()
        }
    }
}
