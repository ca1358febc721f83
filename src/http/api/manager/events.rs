//! `/api/v1/manager/events`: the cluster's history as a list with filters, and with `?watch=true` what happens, as it does.

use super::super::events::last_event_id;
use super::super::page::{Page, limit};
use crate::body::Body;
use crate::clock;
use crate::http::openapi::{AFTER, Answer, Content, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed, value};
use crate::http::sse;
use crate::orchestrator::Orchestrator;
use crate::ring::{Follower, Next};
use crate::rt;
use crate::types::Event;
use bytes::Bytes;
use hyper::Response;
use std::sync::Arc;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listEvents",
    tag: "workers",
    summary: "What has happened, oldest first; a watch that is told `Last-Event-ID` begins behind that event",
    parameters: &[
        LIMIT,
        AFTER,
        Parameter::query("kind", Kind::Text, "Only these: `task.failed`, or all that begin so: `task`."),
        Parameter::query("level", Kind::OneOf(&["info", "warn", "error"]), "Only these."),
        Parameter::query("node", Kind::Text, "Only those about this node, by id or name."),
        Parameter::query("function", Kind::Text, "Only those about this function."),
        Parameter::query("task", Kind::Text, "Only those about this task, by id."),
    ],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<Event>>()])],
    ..Operation::NONE
};

/// `GET /api/v1/manager/events?kind=&level=&node=&function=&task=`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let (limit, filter) = (limit(call)?, Filter::of(app, &call.query)?);
    let after = after(&call.query)?.unwrap_or(0);
    let (newest, mut follower) = (app.events.newest(), app.events.follow(Some(after)));
    let mut found: Vec<Arc<Event>> = Vec::new();
    while found.len() <= limit && follower.after() < newest {
        let Next::Entries(entries) = rt::block_on(follower.next()) else { continue };
        found.extend(entries.into_iter().map(|(_, event)| event).filter(|event| filter.takes(event)));
    }
    let rows: Vec<&Event> = found.iter().map(|event| &**event).collect();
    Ok(Page::first(call, limit, rows, |event| event.id.to_string()).reply())
}

/// `GET /api/v1/manager/events?watch=true`
pub async fn watch(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let filter = Filter::of(&app, &asked.query)?;
    let seen = last_event_id(asked.request.headers())?;
    let follower = app.events.follow(seen.or(after(&asked.query)?));
    let connected = Bytes::from_static(b": connected\n\n");
    let body = Body::unfold((Some(connected), follower, filter), |(first, mut follower, filter)| async move {
        let text = match first {
            Some(first) => first,
            None => next(&mut follower, &filter).await,
        };
        Some((Ok(text), (None, follower, filter)))
    });
    Ok(sse::answer(body))
}

async fn next(follower: &mut Follower<Event>, filter: &Filter) -> Bytes {
    let news = async {
        loop {
            let Next::Entries(entries) = follower.next().await else {
                return sse::MISSED.into();
            };
            let mut text = Vec::new();
            for (_, event) in entries.iter().filter(|(_, event)| filter.takes(event)) {
                sse::event(&mut text, event.id, &event.kind, &**event);
            }
            if !text.is_empty() {
                return text.into();
            }
        }
    };
    clock::timeout(sse::KEEPALIVE, news).await.unwrap_or(sse::STILL_HERE)
}

fn after(query: &[(String, String)]) -> Result<Option<u64>, Problem> {
    let parsed = value(query, "after").map(str::parse).transpose();
    parsed.map_err(|_| Problem::new(400, "invalid_field", "after: must be the id of an event"))
}

struct Filter {
    kind: Option<String>,
    level: Option<String>,
    node: Option<String>,
    function: Option<String>,
    task: Option<String>,
}

impl Filter {
    fn of(app: &Orchestrator, query: &[(String, String)]) -> Result<Filter, Problem> {
        let of = |name| value(query, name).map(str::to_string);
        let level = of("level");
        if level.as_deref().is_some_and(|level| !["info", "warn", "error"].contains(&level)) {
            return Err(Problem::new(400, "invalid_field", "level: must be info, warn or error"));
        }
        // One that is gone has events still, under its id.
        let node = |node: String| app.state.read(|c| c.find_node(&node).map(|n| n.spec.id.clone())).unwrap_or(node);
        Ok(Filter { kind: of("kind"), level, node: of("node").map(node), function: of("function"), task: of("task") })
    }

    fn takes(&self, event: &Event) -> bool {
        let begins = |kind: &String| {
            event.kind == *kind || event.kind.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        self.kind.as_ref().is_none_or(begins)
            && self.level.as_ref().is_none_or(|level| *level == event.level)
            && (self.node.is_none() || self.node == event.node)
            && (self.function.is_none() || self.function == event.function)
            && (self.task.is_none() || self.task == event.task)
    }
}
