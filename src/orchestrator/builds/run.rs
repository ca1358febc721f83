//! One build from its turn to its end: which node does it, what that node says, what is kept of it. Must never run
//! longer than it may, nor when nobody wants it any more.

use super::prepare::builds;
use super::{Build, Order, tell};
use crate::bundle;
use crate::clock;
use crate::cluster::NodeKey;
use crate::limits::Limit;
use crate::orchestrator::store::{BuildRecord, Write};
use crate::orchestrator::{Orchestrator, images};
use crate::wire::proto::{self, build_word::What};
use futures_lite::future;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Nodes that are tried, one after the other.
const TRIES: usize = 3;

/// How it ended.
enum Outcome {
    /// This came of it.
    Made(String),
    Failed(String),
    Cancelled,
}

/// Why one node did not do it.
struct Unmade {
    why: String,
    elsewhere: bool,
}

/// Waits for its turn, has it done, and keeps what became of it.
pub async fn run(app: Arc<Orchestrator>, build: Arc<Build>, order: Order) {
    let cancelled = async {
        let _ = build.cancel.1.recv().await; // closed
        Outcome::Cancelled
    };
    let work = async {
        let _turn = app.builds.turns.take(app.limits.count(Limit::Builds)).await;
        build.change(|now| {
            now.status = "running".into();
            now.started_unix_ms = Some(clock::unix_ms());
        });
        let limit = app.limits.time(Limit::BuildS);
        clock::timeout(limit, done(&app, &build, &order)).await.unwrap_or_else(|| {
            let limit = limit.as_secs();
            Outcome::Failed(format!(
                "it took longer than {limit} s; make it shorter, or raise the orchestrator's limit build-s"
            ))
        })
    };
    let outcome = future::or(cancelled, work).await;
    end(&app, &build, outcome).await;
}

async fn done(app: &Arc<Orchestrator>, build: &Arc<Build>, order: &Order) -> Outcome {
    if let Some(image) = made_before(app, order) {
        say(build, format!("{image} is here: the source has not changed"));
        return Outcome::Made(image);
    }
    let mut tried = BTreeSet::new();
    let mut last = String::new();
    while tried.len() < TRIES {
        let (node, name) = match node_for(app, order, &tried) {
            Ok(found) => found,
            Err(why) if tried.is_empty() => return Outcome::Failed(why),
            Err(_) => break, // the last one's words say more
        };
        tried.insert(node);
        build.change(|now| now.node = Some(name.clone()));
        match on(app, build, order, node).await {
            Ok(image) => return Outcome::Made(image),
            Err(Unmade { why, elsewhere: false }) => return Outcome::Failed(why),
            Err(Unmade { why, .. }) => {
                say(build, format!("node '{name}' could not build it: {why}"));
                last = format!("node '{name}': {why}");
            }
        }
    }
    Outcome::Failed(last)
}

/// A bundle of the same source that is kept. (An image's node looks itself: it may have been removed there.)
fn made_before(app: &Orchestrator, order: &Order) -> Option<String> {
    let image = app.builds.that_made(&order.wanted).filter(|_| order.bundle && !order.anew)?.image?;
    let digest = bundle::digest_in(&image)?;
    app.bundles.manifest(digest).map(|_| image.clone())
}

/// The best node for it among those not tried: one that has the tools and builds little; then one that built the function
/// last, as it has the layers; then one that is not busy. `Err` says what to do.
pub fn node_for(app: &Orchestrator, order: &Order, tried: &BTreeSet<NodeKey>) -> Result<(NodeKey, String), String> {
    let engine = if order.bundle { "process" } else { "docker" };
    let records: Vec<BuildRecord> = app.builds.list().iter().map(|build| build.record()).collect();
    let last = records.iter().find(|one| one.name == order.name && one.status == "succeeded");
    let last = last.and_then(|one| one.node.clone());
    let running =
        |name: &str| records.iter().filter(|one| one.status == "running" && one.node.as_deref() == Some(name)).count();
    // Of tools that no node announces all are without.
    let tools = order.runtime.iter().flat_map(|runtime| &runtime.tools);
    let wanted: Vec<&String> = tools.filter(|_| order.bundle).collect();
    let found = app.state.read(|c| {
        let fit = c.nodes().filter(|n| builds(n) && n.spec.engines.contains(engine) && !tried.contains(&n.key));
        let best = fit.min_by_key(|n| {
            let busy = n.cpu_percent.map_or(50, |percent| percent as u64);
            let missing = wanted.iter().filter(|tool| !n.spec.tools.contains(tool.as_str())).count();
            (missing, running(&n.spec.name), Reverse(last.as_ref() == Some(&n.spec.name)), busy, n.key)
        });
        best.map(|n| (n.key, n.spec.name.clone()))
    });
    found.ok_or_else(|| match order.bundle {
        true => "no node is there to build it: start one with `cares worker`".into(),
        false => "no node with a container engine is there to build it: start Docker on a node, or a worker where it \
                  runs (`cares doctor` there says what is missing)"
            .into(),
    })
}

/// Has a node do it.
async fn on(app: &Arc<Orchestrator>, build: &Build, order: &Order, node: NodeKey) -> Result<String, Unmade> {
    let elsewhere = |why| Unmade { why, elsewhere: true };
    let mut words = app.links.build(node, &asked(app, build, order)).await.map_err(elsewhere)?;
    let mut zip = None;
    loop {
        match words.next().await.map_err(|why| elsewhere(format!("its node went away during the build: {why}")))? {
            What::Line(line) => say(build, line),
            What::Bundle(piece) => {
                let spool = match &mut zip {
                    Some(spool) => spool,
                    None => {
                        let spool = app.bundles.begin(app.limits.of(Limit::BundleBytes)).await;
                        zip.insert(spool.map_err(|e| rejected(&e))?)
                    }
                };
                spool.add(piece.into()).await.map_err(|e| rejected(&e))?;
            }
            What::End(end) if !end.error.is_empty() => return Err(Unmade { why: end.error, elsewhere: end.elsewhere }),
            What::End(_) => break,
        }
    }
    let Some(spool) = zip.filter(|_| order.bundle) else { return Ok(order.wanted.clone()) };
    let kept = async { app.bundles.keep(spool.end().await?).await };
    let (digest, _) = kept.await.map_err(|e| rejected(&e))?;
    Ok(format!("bundle:{digest}"))
}

fn rejected(error: &crate::orchestrator::bundles::Rejected) -> Unmade {
    Unmade { why: format!("what it made could not be kept: {error}"), elsewhere: false }
}

fn asked(app: &Orchestrator, build: &Build, order: &Order) -> proto::Build {
    let runtime = order.runtime.as_ref().map(|runtime| proto::Runtime {
        name: runtime.name.clone(),
        files: runtime
            .files()
            .iter()
            .map(|file| proto::RuntimeFile {
                path: file.path.clone(),
                content: file.bytes.clone(),
                executable: file.executable,
            })
            .collect(),
    });
    proto::Build {
        id: build.id(),
        function: order.name.clone(),
        source: order.source.clone(),
        image: if order.bundle { String::new() } else { order.wanted.clone() },
        runtime,
        base: order.base.clone().unwrap_or_default(),
        memory_bytes: app.limits.of(Limit::BuildMemoryBytes),
        anew: order.anew,
        push: !order.bundle && app.registry.has(&order.wanted),
        first: app.state.read(|c| c.function(&order.name).is_none()),
    }
}

/// Has all nodes remove what builds of a function have left, which is deleted.
pub async fn forget(app: Arc<Orchestrator>, function: Arc<str>) {
    let nodes: Vec<NodeKey> = app.state.read(|c| c.nodes().filter(|node| builds(node)).map(|node| node.key).collect());
    for node in nodes {
        app.links.forget_builds(node, &function).await;
    }
}

fn say(build: &Build, line: String) {
    if let Some((log, _)) = build.live_log() {
        log.say(line);
    }
}

async fn end(app: &Arc<Orchestrator>, build: &Arc<Build>, outcome: Outcome) {
    let log = build.live_log().map(|(log, _)| log);
    let (id, name) = (build.id(), build.record().name);
    let (kind, level, message) = match &outcome {
        Outcome::Made(image) => ("build.succeeded", "info", format!("Function '{name}': build {id} made {image}")),
        Outcome::Failed(why) => ("build.failed", "warn", format!("Function '{name}': build {id} failed: {why}")),
        Outcome::Cancelled => ("build.cancelled", "info", format!("Function '{name}': build {id} was cancelled")),
    };
    let mut last_lines = String::new();
    if let Some(log) = &log {
        last_lines = log.last_lines().await;
        log.keep(app.builds.log_file(build)).await;
    }
    let record = build.change(|now| {
        now.finished_unix_ms = Some(clock::unix_ms());
        match outcome {
            Outcome::Made(image) => (now.status, now.image) = ("succeeded".into(), Some(image)),
            Outcome::Failed(why) => {
                (now.status, now.error) = ("failed".into(), Some(why));
                now.last_lines = last_lines;
            }
            Outcome::Cancelled => now.status = "cancelled".into(),
        }
    });
    tell(app, build, kind, level, None, &message);
    let written = app.builds.store.write(Write::Build(build.number, Box::new(record)), Vec::new());
    if let Err(error) = app.builds.store.kept(written).await {
        log::error!("build {id}: its end is not kept: {error}");
    }
    build.end();
    app.builds.prune(&images::in_use(app).await);
}
