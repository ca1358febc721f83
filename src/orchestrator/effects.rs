//! What follows from facts outside the core: instances are started and stopped, nodes told.

use super::Orchestrator;
use super::builds;
use super::dispatch::link::Session;
use super::tasks;
use crate::clock;
use crate::cluster::{
    Command, Event, InstanceKey, InstanceState, Node, NodeKey, NodeSpec, NodeStatus, Reach, Revision,
};
use crate::rt::{self, Receiver};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An http function must answer on its port within this: beyond it a person has given up, and a hung start would hold
/// waiting calls.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An image that is to take over must be on its node within this; nobody waits for it but who deployed it.
const PREPARE_LIMIT: Duration = Duration::from_secs(600);

/// A worker of ours dials its links at once; one that has none by now never will.
const LINKS_WITHIN: Duration = Duration::from_secs(2);

/// A node that joined opens its links within this, or never.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const STOP_AGAIN: Duration = Duration::from_millis(100);

/// Runs until the state that feeds `facts` is gone.
pub async fn run(app: Arc<Orchestrator>, facts: Receiver<Event>) {
    let mut sessions: HashMap<NodeKey, u64> = HashMap::new(); // as of the fact at hand, not as of now
    while let Ok(fact) = facts.recv().await {
        let of = |node: NodeKey| Session { node, session: sessions.get(&node).copied().unwrap_or(0) };
        match fact {
            Event::NodeJoined { node, session, .. } => {
                sessions.insert(node, session);
                app.first_generation.close(node, session);
                app.http_workers.close_before(node, session);
                rt::spawn(look_for_links(app.clone(), Session { node, session }));
            }
            Event::FunctionPut { revision, .. } => app.schedules.put(&revision),
            Event::FunctionDeleted { name } => {
                app.schedules.remove(&name);
                rt::spawn(builds::forget(app.clone(), name));
            }
            Event::InstanceStarting { instance, node, revision } => {
                rt::spawn(start(app.clone(), instance, of(node), revision));
            }
            Event::InstanceStopping { instance, node } => rt::spawn(stop(app.clone(), instance, of(node))),
            Event::InstancesUnwanted { node, instances } => {
                let (app, of) = (app.clone(), of(node));
                rt::spawn(async move {
                    for instance in instances {
                        stop(app.clone(), instance, of).await;
                    }
                });
            }
            Event::InstanceFrozen { instance, node, .. } => rt::spawn(freeze(app.clone(), instance, of(node))),
            Event::InstanceThawing { instance, node } => rt::spawn(thaw(app.clone(), instance, of(node))),
            Event::ModeWanted { node, revision } => rt::spawn(ask_mode(app.clone(), node, revision)),
            Event::NodeLost { node, .. } | Event::NodeLeft { node, .. } => {
                app.links.close(node, of(node).session);
                app.first_generation.close(node, of(node).session);
                app.http_workers.close(node, of(node).session);
            }
            Event::TaskPlace { task, node, attempt } => rt::spawn(tasks::start(app.clone(), task, of(node), attempt)),
            Event::TaskStop { id, node, attempt } => rt::spawn(tasks::stop(app.clone(), id, of(node), attempt)),
            Event::TaskForget { id, node, attempt } => rt::spawn(tasks::forget(app.clone(), id, of(node), attempt)),
            Event::NodeRemoved { node, id, .. } => {
                sessions.remove(&node);
                app.identities.forget(&id);
            }
            Event::NodeDraining { node } => app.members.command(node, "drain", ""),
            Event::NodeDrained { node } => app.members.command(node, "drained", ""),
            Event::NodeUncordoned { node } => app.members.command(node, "resume", ""),
            _ => {}
        }
    }
}

/// A worker of the first CARES opens no links: it is called at the address it gave. One of this version is not, however
/// late its links are, for what listens at its address is no gRPC.
async fn look_for_links(app: Arc<Orchestrator>, of: Session) {
    if !app.state.read(|c| c.node(of.node).is_some_and(|n| n.spec.first_generation())) {
        return;
    }
    clock::after(LINKS_WITHIN).await;
    let unlinked = |n: &Node| n.session == of.session && n.reach == Reach::None;
    let found = app.state.read(|c| c.node(of.node).filter(|n| unlinked(n)).map(|n| n.spec.clone()));
    let Some(NodeSpec { name, address, .. }) = found else { return };
    if address.is_empty() {
        log::warn!("Node '{name}' opened no links and gave no address: no calls reach it");
        return;
    }
    let command = Command::SetReach { node: of.node, session: of.session, reach: Reach::FirstGeneration };
    if app.state.apply(command).is_ok() {
        log::info!("Node '{name}' is a worker of the first CARES: it runs images as jobs, called at {address}");
    }
}

async fn start(app: Arc<Orchestrator>, instance: InstanceKey, to: Session, revision: Arc<Revision>) {
    let starting = async {
        let secrets = app.secrets.of(&revision)?;
        app.links.start(to, instance, &revision, secrets).await
    };
    let started = clock::timeout(START_LIMIT, starting).await;
    let command = match started {
        Some(Ok(())) => Command::InstanceReady { instance },
        Some(Err(why)) => Command::InstanceEnded { instance, why },
        None => {
            let why = format!("did not start within {} s", START_LIMIT.as_secs());
            Command::InstanceEnded { instance, why }
        }
    };
    if app.state.apply(command).is_err() {
        stop(app, instance, to).await; // no longer wanted
    }
}

/// The node freezes it unless it is busy. What changed meanwhile has the last word, for orders may overtake each other.
async fn freeze(app: Arc<Orchestrator>, instance: InstanceKey, to: Session) {
    let frozen = || app.state.read(|c| c.instance(instance).is_some_and(|i| i.state == InstanceState::Frozen));
    if !frozen() {
        return;
    }
    if let Err(why) = app.links.freeze(to, instance).await {
        log::debug!("instance {instance} could not be frozen: {why}");
        let _ = app.state.apply(Command::InstanceAwake { instance }); // gone meanwhile
    } else if !frozen() {
        thaw(app, instance, to).await;
    }
}

async fn thaw(app: Arc<Orchestrator>, instance: InstanceKey, to: Session) {
    if let Err(why) = app.links.thaw(to, instance).await {
        log::debug!("instance {instance} could not be woken: {why}"); // the next call wakes it
    }
}

/// Has a node look at an image that is to take over, so that one that cannot be had is known before any call needs it.
async fn ask_mode(app: Arc<Orchestrator>, node: NodeKey, revision: Arc<Revision>) {
    let (function, number) = (revision.function.clone(), revision.number);
    let asked = clock::timeout(PREPARE_LIMIT, app.links.prepare(node, &revision)).await;
    let failed = |why: String| Command::RevisionFailed { function: function.clone(), revision: number, node, why };
    let command = match asked {
        Some(Ok(Some(mode))) => Command::ResolveMode { function: function.clone(), revision: number, mode },
        Some(Ok(None)) => failed("its node does not say how the image is run: give the mode".into()),
        Some(Err(unmet)) => failed(unmet.why()),
        None => failed(format!("its image was not there within {} s", PREPARE_LIMIT.as_secs())),
    };
    if let Ok(applied) = app.state.apply(command)
        && let Err(error) = applied.kept().await
    {
        log::warn!("{error}"); // it is asked again after a restart
    }
}

async fn stop(app: Arc<Orchestrator>, instance: InstanceKey, to: Session) {
    let end = clock::now() + STOP_LIMIT;
    while let Err(why) = app.links.stop(to, instance).await {
        let current = |n: &Node| n.session == to.session && n.status != NodeStatus::Disconnected;
        let there = app.state.read(|c| c.node(to.node).is_some_and(current));
        if !there || clock::now() >= end {
            log::debug!("instance {instance} could not be told to stop: {why}"); // its node reports it when it joins again
            return;
        }
        clock::after(STOP_AGAIN).await; // a node that has just joined has no link yet
    }
}
