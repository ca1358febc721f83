//! `/logs/NAME`: what a function printed, gathered from the nodes it runs or ran on.

mod along;
pub mod past;

use crate::body::Body;
use crate::clock;
use crate::cluster::{Node, NodeKey, NodeStatus, Reach};
use crate::http::openapi::{Answer, Content, FOLLOW, FORMAT, Operation, TAIL_OF_A_LOG};
use crate::http::problem::Problem;
use crate::http::route::{Streamed, flag, value};
use crate::orchestrator::Orchestrator;
use crate::rt::{self, Receiver, Sender};
use crate::types::LogLine;
use crate::wire::NumberedLine;
use along::Along;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Lines given when not asked for a number, and at most.
const TAIL: usize = 200;
pub const TAIL_MAX: usize = 10_000;
/// Lines on their way to who reads.
pub const LINES: usize = 16;
/// A line as a worker sends it, JSON around it included.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// For a node to send a line of the past; one that does not is left out, which is said.
pub const NODE_LIMIT: Duration = Duration::from_secs(3);
/// Whose lines in a log are that no function printed.
pub const OWN: &str = "cares";

/// What the document says of this.
pub const OF_FUNCTION: Operation = Operation {
    id: "getLogs",
    tag: "functions",
    summary: "What a function printed, on all nodes",
    parameters: &[TAIL_OF_A_LOG, FOLLOW, FORMAT],
    answers: &[
        Answer::of(200, "Lines, in the order they were printed.").with(&[Content::Text, Content::lines::<LogLine>()])
    ],
    errors: &["function_not_found"],
    ..Operation::NONE
};

/// `GET /logs/NAME?tail=N&follow=true&format=text|json`
pub async fn of_function(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let name = asked.params.into_iter().next().unwrap_or_default();
    if app.state.read(|c| c.function(&name).is_none()) {
        return Err(Problem::no_function(&name));
    }
    let wanted = Wanted::of(&asked.query)?;
    let (lines, received) = rt::bounded(LINES);
    Ok(wanted.answer_from(received, gather(app, name, wanted, lines)))
}

/// Those that may have lines, with their names, of such as are `wanted`.
pub fn nodes(app: &Orchestrator, wanted: impl Fn(NodeKey) -> bool) -> Vec<(NodeKey, String)> {
    let there = |n: &&Node| n.status != NodeStatus::Disconnected && n.reach == Reach::Links && wanted(n.key);
    app.state.read(|c| c.nodes().filter(there).map(|n| (n.key, n.spec.name.clone())).collect())
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
        let json = match value(query, "format") {
            None | Some("text") => false,
            Some("json") => true,
            Some(_) => return Err(Problem::new(400, "invalid_field", "format: must be text or json")),
        };
        Ok(Wanted { tail, follow: flag(query, "follow")?.unwrap_or(false), json })
    }

    /// The answer with the lines that `gather` sends, until it ends.
    pub fn answer_from(
        self,
        lines: Receiver<LogLine>,
        gather: impl Future<Output = ()> + Send + 'static,
    ) -> Response<Body> {
        let gather = rt::spawn_scoped(gather);
        self.answer(Body::unfold((lines, gather), move |(lines, gather)| async move {
            let line = lines.recv().await.ok()?; // closed at the end
            Some((Ok(written(&line, self.json)), (lines, gather)))
        }))
    }

    /// The answer with those lines.
    pub fn answer(self, lines: Body) -> Response<Body> {
        let mut response = Response::new(lines);
        let kind = if self.json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// `?since=` in milliseconds since 1970; 0 when left out.
pub fn since(query: &[(String, String)]) -> Result<u64, Problem> {
    let Some(text) = value(query, "since") else { return Ok(0) };
    moment(text).ok_or_else(|| {
        let detail = "since: must be a time as 2026-01-31T12:00:00Z, or seconds since 1970";
        Problem::new(400, "invalid_field", detail)
    })
}

fn moment(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// The past of all nodes in the order it happened, what is missing of it, then, if wanted, what comes.
async fn gather(app: Arc<Orchestrator>, function: String, wanted: Wanted, to: Sender<LogLine>) {
    let Wanted { tail, follow, .. } = wanted;
    let (begun_ms, armed) = (clock::unix_ms(), app.links.changes.arm());
    let nodes = nodes(&app, |_| true);
    // At least one, which may not be wanted: its number tells from where on lines are new.
    let path: Arc<str> = format!("/logs/{function}?tail={}&follow={follow}", tail.max(1)).into();
    let ask = |node| {
        let (app, path) = (app.clone(), path.clone());
        async move { app.links.ask(node, &path).await }
    };
    let which = past::Which { most: tail, wanted: Arc::new(|_| true) };
    let past = past::of_all(nodes, which, past::PATIENCE, ask).await;
    let missing = past.missing.into_iter().map(past::missing);
    for line in past.lines.into_iter().map(|(_, line, _)| line).chain(missing) {
        if to.send(line).await.is_err() {
            return;
        }
    }
    if follow {
        Along::new(app, function, begun_ms, to).go(past.answers, armed).await;
    }
}

/// Sends a node's lines on as they come, until it has no more. `None`: nobody reads any more.
pub async fn pass_on(lines: &mut Lines, to: &Sender<LogLine>) -> Option<()> {
    while let Some(line) = lines.next().await {
        if let Line::Said(line, _) = line {
            to.send(line).await.ok()?;
        }
    }
    Some(())
}

/// A line as it is sent.
fn written(line: &LogLine, json: bool) -> Bytes {
    let text = match json {
        true => serde_json::to_string(line).unwrap_or_default(),
        false => format!("{} {} {} {}", line.time, line.node, line.source, line.line),
    };
    Bytes::from(text + "\n")
}

/// What a worker's answer holds.
pub enum Line {
    /// With its number on its node; 0 where there is none.
    Said(LogLine, u64),
    /// All that was said before the question has come; an empty line marks it.
    UpToDate,
}

/// A worker's answer, line by line.
pub struct Lines {
    body: Body,
    node: String,
    buffer: BytesMut,
    /// The number of the last line that came.
    pub last: Option<u64>,
}

impl Lines {
    /// Of the node of that name.
    pub fn new(body: Body, node: String) -> Self {
        Lines { body, node, buffer: BytesMut::new(), last: None }
    }

    /// The next; `None` at the end.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let text = self.buffer.split_to(end + 1);
                if end == 0 {
                    return Some(Line::UpToDate);
                }
                if let Ok(NumberedLine { number, line }) = serde_json::from_slice(&text[..end]) {
                    self.last = Some(number);
                    return Some(Line::Said(LogLine { node: self.node.clone(), ..line }, number));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(moment("2026-01-31T12:00:00.5Z"), Some(1_769_860_800_500));
        assert_eq!(moment("1769860800"), Some(1_769_860_800_000));
        assert_eq!((moment("yesterday"), moment("-1"), moment("99999999999999999999")), (None, None, None));
    }
}
