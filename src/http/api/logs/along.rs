//! A function's log as it grows: each node that may have lines of it is read along with, those too that join, or come back,
//! while it is followed. No line comes twice; one task for each node, and looks only where links came or went.

use super::{Line, Lines, TAIL_MAX, nodes};
use crate::clock;
use crate::cluster::NodeKey;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::changes::Since;
use crate::rt::{self, Scoped, Sender};
use crate::types::LogLine;
use futures_lite::future;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks for nodes, however many come and go.
const LOOKS_APART: Duration = Duration::from_millis(200);
/// What the clock of a node that comes may be behind, which does not send what it printed before this was followed.
const CLOCKS_APART_MS: u64 = 10_000;

/// One who follows.
pub struct Along {
    app: Arc<Orchestrator>,
    function: String,
    /// When that began, in milliseconds since 1970.
    begun_ms: u64,
    to: Sender<LogLine>,
    /// The number of the last line that was read of nodes which are not read along with now.
    read: HashMap<NodeKey, u64>,
    passing: HashMap<NodeKey, Scoped>,
}

/// A node said its last: which line of it was read last, and when it was asked.
type Ended = (NodeKey, Option<u64>, Since);

impl Along {
    /// Sends what comes from then on.
    pub fn new(app: Arc<Orchestrator>, function: String, begun_ms: u64, to: Sender<LogLine>) -> Self {
        Along { app, function, begun_ms, to, read: HashMap::new(), passing: HashMap::new() }
    }

    /// Until nobody reads any more, which is when it is dropped. `answers`: those that go on by now, asked since `armed`.
    pub async fn go(mut self, answers: Vec<(NodeKey, Lines)>, mut armed: Since) {
        let (ended, ends) = rt::bounded(1);
        for (node, lines) in answers {
            let (to, ended) = (self.to.clone(), ended.clone());
            let passing = async move { passed(node, Some(lines), None, armed, &to, &ended).await.unwrap_or_default() };
            self.passing.insert(node, rt::spawn_scoped(passing));
        }
        self.look(armed, &ended); // one that did not answer in time may yet
        let mut not_before = clock::now();
        loop {
            // What ended is asked again only if links have come or gone since it was: else it would end again.
            let next = future::or(async { ends.recv().await.ok() }, async {
                self.app.links.changes.changed(armed).await;
                None
            });
            if let Some((node, last, since)) = next.await {
                self.passing.remove(&node);
                self.read.extend(last.map(|last| (node, last)));
                armed = armed.min(since);
                continue;
            }
            clock::at(not_before).await;
            not_before = clock::now() + LOOKS_APART;
            armed = self.app.links.changes.arm();
            self.look(armed, &ended);
        }
    }

    /// Reads along with all that are there and are not read along with yet.
    fn look(&mut self, armed: Since, ended: &Sender<Ended>) {
        self.app.state.read(|c| self.read.retain(|node, _| c.node(*node).is_some()));
        for (node, name) in nodes(&self.app, |node| !self.passing.contains_key(&node)) {
            let begun = clock::rfc3339(self.begun_ms.saturating_sub(CLOCKS_APART_MS));
            let (tail, after, from) = match self.read.get(&node) {
                None => (TAIL_MAX, 0, Some(begun)),
                Some(0) => (0, 0, None), // it gives no numbers: nothing tells which of its lines are new
                Some(last) => (TAIL_MAX, *last, None),
            };
            let path = format!("/logs/{}?tail={tail}&follow=true&after={after}", self.function);
            let (app, to, ended) = (self.app.clone(), self.to.clone(), ended.clone());
            let passing = async move {
                let answer = app.links.ask(node, &path).await;
                let lines = answer.ok().map(|answer| Lines::new(answer.into_body(), name));
                passed(node, lines, from, armed, &to, &ended).await.unwrap_or_default();
            };
            self.passing.insert(node, rt::spawn_scoped(passing));
        }
    }
}

/// Sends on what a node says, of what it had said before only what is `from` then on; then that it has ended. `None`:
/// nobody reads any more.
async fn passed(
    node: NodeKey,
    lines: Option<Lines>,
    mut from: Option<String>,
    since: Since,
    to: &Sender<LogLine>,
    ended: &Sender<Ended>,
) -> Option<()> {
    let mut last = None;
    if let Some(mut lines) = lines {
        while let Some(said) = lines.next().await {
            match said {
                Line::UpToDate => from = None,
                Line::Said(line, _) if from.as_ref().is_none_or(|from| line.time >= *from) => {
                    to.send(line).await.ok()?
                }
                Line::Said(..) => {}
            }
        }
        last = lines.last;
    }
    ended.send((node, last, since)).await.ok()
}
