//! `/logs/NAME`: what a function printed, gathered from the nodes it runs or ran on.

use crate::body::Body;
use crate::clock;
use crate::cluster::{Node, NodeKey, NodeStatus};
use crate::http::problem::Problem;
use crate::http::route::{Streamed, value};
use crate::orchestrator::Orchestrator;
use crate::rt::{self, Sender};
use crate::types::LogLine;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Lines given when not asked for a number, and at most.
const TAIL: usize = 200;
const TAIL_MAX: usize = 10_000;
/// A line as a worker sends it, JSON around it included.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// For a node to send a line of the past; one that does not is left out.
const NODE_LIMIT: Duration = Duration::from_secs(3);

/// `GET /logs/NAME?tail=N&follow=true&format=text|json`
pub async fn of_function(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let name = asked.params.into_iter().next().unwrap_or_default();
    if app.state.read(|c| c.function(&name).is_none()) {
        return Err(Problem::no_function(&name));
    }
    let wanted = Wanted::of(&asked.query)?;
    let there = |n: &&Node| n.status != NodeStatus::Disconnected;
    let nodes: Vec<_> = app.state.read(|c| c.nodes().filter(there).map(|n| (n.key, n.spec.name.clone())).collect());
    let (lines, received) = rt::bounded(16);
    let gather = rt::spawn_scoped(gather(app, name, nodes, wanted, lines));
    let body = Body::unfold((received, gather), move |(received, gather)| async move {
        let line = received.recv().await.ok()?; // closed at the end
        Some((Ok(written(&line, wanted.json)), (received, gather)))
    });
    Ok(wanted.answer(body))
}

/// How much of a log, and how.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub tail: usize,
    pub follow: bool,
    pub json: bool,
}

impl Wanted {
    /// What `?tail=N&follow=true&format=text|json` says.
    pub fn of(query: &[(String, String)]) -> Result<Wanted, Problem> {
        let tail = match value(query, "tail").map(str::parse) {
            None => TAIL,
            Some(Ok(n)) if n <= TAIL_MAX => n,
            Some(_) => return Err(Problem::new(400, "invalid_field", format!("tail: must be 0 to {TAIL_MAX}"))),
        };
        let follow = matches!(value(query, "follow"), Some("true" | "1" | ""));
        Ok(Wanted { tail, follow, json: value(query, "format") == Some("json") })
    }

    /// The answer with those lines.
    pub fn answer(self, lines: Body) -> Response<Body> {
        let mut response = Response::new(lines);
        let kind = if self.json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// The past of all nodes in the order it happened, then, if wanted, what comes.
async fn gather(
    app: Arc<Orchestrator>,
    function: String,
    nodes: Vec<(NodeKey, String)>,
    wanted: Wanted,
    to: Sender<LogLine>,
) {
    let Wanted { tail, follow, .. } = wanted;
    let mut past = Vec::new();
    let mut streams = Vec::new();
    for (node, name) in nodes {
        let path = format!("/logs/{function}?tail={tail}&follow={follow}");
        let Some(Ok(answer)) = clock::timeout(NODE_LIMIT, app.links.ask(node, &path)).await else { continue };
        let mut lines = Lines { body: answer.into_body(), node: name, buffer: BytesMut::new() };
        while let Some(Some(Line::Said(line))) = clock::timeout(NODE_LIMIT, lines.next()).await {
            past.push(line);
        }
        streams.push(lines);
    }
    drop(app);
    past.sort_by(|a, b| a.time.cmp(&b.time));
    for line in past.split_off(past.len().saturating_sub(tail)) {
        if to.send(line).await.is_err() {
            return;
        }
    }
    if follow {
        let passing: Vec<_> = streams.into_iter().map(|lines| rt::spawn_scoped(pass_on(lines, to.clone()))).collect();
        drop(to);
        std::future::pending::<()>().await; // until the reader leaves
        drop(passing);
    }
}

async fn pass_on(mut lines: Lines, to: Sender<LogLine>) {
    while let Some(line) = lines.next().await {
        if let Line::Said(line) = line
            && to.send(line).await.is_err()
        {
            return;
        }
    }
}

fn written(line: &LogLine, json: bool) -> Bytes {
    let text = match json {
        true => serde_json::to_string(line).unwrap_or_default(),
        false => format!("{} {} {} {}", line.time, line.node, line.source, line.line),
    };
    Bytes::from(text + "\n")
}

enum Line {
    Said(LogLine),
    /// All that was said before the question has come; an empty line marks it.
    UpToDate,
}

/// A worker's answer, line by line.
struct Lines {
    body: Body,
    node: String,
    buffer: BytesMut,
}

impl Lines {
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let text = self.buffer.split_to(end + 1);
                if end == 0 {
                    return Some(Line::UpToDate);
                }
                if let Ok(line) = serde_json::from_slice::<LogLine>(&text[..end]) {
                    return Some(Line::Said(LogLine { node: self.node.clone(), ..line }));
                }
                continue;
            }
            if self.buffer.len() > LINE_MAX_BYTES {
                return None; // no worker of ours says this much at once
            }
            let data = self.body.frame().await?.ok()?.into_data().ok()?;
            self.buffer.extend_from_slice(&data);
        }
    }
}
