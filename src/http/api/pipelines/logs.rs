//! `/api/pipelines/ID/modules/NAME/logs`: what a module's attempts printed, gathered from the nodes they ran on; followed
//! until it has ended. Of a function that serves HTTP, what its instances
//! printed meanwhile, for whomever, which is said.

use super::super::logs::past::{self, PATIENCE, Past, Said, Which};
use super::super::logs::{self, LINES, Line, Lines, OWN, TAIL_MAX, Wanted};
use super::find;
use crate::body::Body;
use crate::clock;
use crate::cluster::pipeline::{ModuleState, PipelineKey};
use crate::cluster::{Mode, NodeKey};
use crate::http::openapi::{Answer, Content, FOLLOW, FORMAT, Operation, TAIL_OF_A_LOG};
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::pipelines::source;
use crate::rt::{self, Receiver, Scoped, Sender};
use crate::types::LogLine;
use futures_lite::future;
use hyper::Response;
use std::collections::HashMap;
use std::sync::Arc;

/// What the clocks of the cluster's nodes may differ by.
const CLOCKS_APART_MS: u64 = 500;

/// What the document says of this.
pub const LOGS: Operation = Operation {
    id: "getModuleLogs",
    tag: "pipelines",
    summary: "What a module printed, all its attempts; followed until it ends. Of an http function: what its instances printed \
              meanwhile",
    parameters: &[TAIL_OF_A_LOG, FOLLOW, FORMAT],
    answers: &[
        Answer::of(200, "Lines, in the order they were printed.").with(&[Content::Text, Content::lines::<LogLine>()])
    ],
    errors: &["pipeline_not_found", "module_not_found"],
    ..Operation::NONE
};

/// `GET /api/pipelines/ID/modules/NAME/logs?tail=N&follow=true&format=text|json`
pub async fn of_module(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let wanted = Wanted::of(&asked.query)?;
    let [id, name] = asked.params.as_slice() else { return Err(super::none("")) };
    let (key, index, _) = find(&app, id, name)?;
    let function = app.pipelines.function(key, index).ok_or_else(|| super::none(id))?;
    let (of_nodes, coming) = rt::bounded(LINES);
    let serves = app.state.read(|c| c.function(&function).is_some_and(|f| f.current().mode == Mode::Http));
    let source = if serves { String::new() } else { source(key, name) };
    let during = During { app, key, index, source };
    let log = Log { during, function, read: HashMap::new(), of_nodes };
    let (lines, received) = rt::bounded(LINES);
    Ok(wanted.answer_from(received, async move { log.gather(wanted, coming, lines).await.unwrap_or_default() }))
}

/// When the module ran, and as what.
#[derive(Clone)]
struct During {
    app: Arc<Orchestrator>,
    key: PipelineKey,
    index: usize,
    /// How the names of its attempts begin; empty: it is a call of instances, whose lines are told apart by time alone.
    source: String,
}

impl During {
    /// Whether it is of the attempts; what an instance printed may be another call's.
    fn has(&self, line: &LogLine) -> bool {
        if !self.source.is_empty() {
            return line.source.starts_with(&self.source); // older workers send all
        }
        let times = self.app.pipelines.module_times(self.key, self.index);
        let at = |ms: u64| clock::rfc3339(ms);
        times.is_some_and(|(started, ended)| {
            line.time >= at(started.saturating_sub(CLOCKS_APART_MS))
                && ended.is_none_or(|ended| line.time <= at(ended + CLOCKS_APART_MS))
        })
    }
}

struct Log {
    during: During,
    function: String,
    /// The number of the last line of each node that was read.
    read: HashMap<NodeKey, u64>,
    of_nodes: Sender<Said>,
}

impl Log {
    /// The past of all nodes in the order it happened, then what comes. At the module's end the nodes are asked once more:
    /// what it said last may come behind its result. `None`: nobody reads any more.
    async fn gather(mut self, wanted: Wanted, coming: Receiver<Said>, to: Sender<LogLine>) -> Option<()> {
        let mut tail = wanted.tail;
        let During { app, key, index, source } = self.during.clone();
        if source.is_empty() {
            to.send(self.about_instances()).await.ok()?;
        }
        let mut streams: HashMap<NodeKey, Option<Scoped>> = HashMap::new();
        loop {
            let armed = app.pipelines.changes.arm();
            let state = app.pipelines.module_state(key, index);
            let over = !wanted.follow || state.is_none_or(ModuleState::is_final);
            if over {
                streams.clear();
                while let Ok(said) = coming.try_recv() {
                    self.pass(said, &to).await?;
                }
            }
            let mut new = logs::nodes(&app, |node| !streams.contains_key(&node));
            streams.extend(new.iter().map(|(node, _)| (*node, None)));
            new.retain(|(node, _)| self.read.get(node) != Some(&0)); // it gives no numbers: nothing tells what is new
            let past = self.past(new, tail, !over).await;
            for said in past.lines {
                self.pass(said, &to).await?;
            }
            self.read.extend(past.answers.iter().filter_map(|(node, lines)| Some((*node, lines.last?))));
            if over {
                for node in past.missing {
                    to.send(past::missing(node)).await.ok()?;
                }
                return Some(());
            }
            streams.extend(past.answers.into_iter().map(|(node, lines)| (node, Some(self.follow(node, lines)))));
            tail = TAIL_MAX;
            let changed = future::or(async { coming.recv().await.ok() }, async {
                app.pipelines.changes.changed(armed).await;
                None
            });
            if let Some(said) = changed.await {
                self.pass(said, &to).await?;
            }
        }
    }

    async fn pass(&mut self, (node, line, number): Said, to: &Sender<LogLine>) -> Option<()> {
        self.read.insert(node, number);
        match self.during.has(&line) {
            true => to.send(line).await.ok(),
            false => Some(()),
        }
    }

    fn about_instances(&self) -> LogLine {
        let name = &self.function;
        LogLine {
            time: clock::rfc3339(clock::unix_ms()),
            node: String::new(),
            source: OWN.into(),
            stream: "stderr".into(),
            line: format!(
                "'{name}' serves HTTP: these are the lines of its instances during the module's last attempt, those of other calls with \
                 them; all there are: cares logs {name}"
            ),
        }
    }

    /// What these nodes have beyond what was read of them. Those that do not answer are asked again at the end.
    async fn past(&self, nodes: Vec<(NodeKey, String)>, tail: usize, follow: bool) -> Past {
        let During { app, source, .. } = &self.during;
        let of_each = if source.is_empty() { TAIL_MAX } else { tail }; // what came later may be much
        let ask = |node| {
            let after = self.read.get(&node).copied().unwrap_or_default();
            let function = &self.function;
            let path = format!("/logs/{function}?tail={of_each}&follow={follow}&source={source}&after={after}");
            let app = app.clone();
            async move { app.links.ask(node, &path).await }
        };
        let during = self.during.clone();
        let which = Which { most: tail, wanted: Arc::new(move |line| during.has(line)) };
        past::of_all(nodes, which, PATIENCE, ask).await
    }

    /// Sends on what comes.
    fn follow(&self, node: NodeKey, mut lines: Lines) -> Scoped {
        let to = self.of_nodes.clone();
        rt::spawn_scoped(async move {
            while let Some(line) = lines.next().await {
                if let Line::Said(line, number) = line
                    && to.send((node, line, number)).await.is_err()
                {
                    return;
                }
            }
        })
    }
}
