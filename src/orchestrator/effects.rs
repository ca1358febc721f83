//! What follows from facts outside the core: instances are started and stopped, nodes told, history written.

use super::Orchestrator;
use super::events::describe;
use crate::clock;
use crate::cluster::{Command, Event, InstanceKey, NodeKey, NodeStatus, Revision};
use crate::rt::{self, Receiver};
use std::sync::Arc;
use std::time::Duration;

/// An http function must answer on its port within this: beyond it a person has given up, and a hung start would hold
/// waiting calls.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A node that joined opens its links within this, or never.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const STOP_AGAIN: Duration = Duration::from_millis(100);

/// Runs until the state that feeds `facts` is gone.
pub async fn run(app: Arc<Orchestrator>, facts: Receiver<Event>) {
    while let Ok(fact) = facts.recv().await {
        if let Some(told) = app.state.read(|cluster| describe(&fact, cluster)) {
            app.events.tell(told);
        }
        match fact {
            Event::InstanceStarting { instance, node, revision } => {
                rt::spawn(start(app.clone(), instance, node, revision));
            }
            Event::InstanceStopping { instance, node } => rt::spawn(stop(app.clone(), instance, node)),
            Event::NodeLost { node, .. } | Event::NodeLeft { node, .. } | Event::NodeRemoved { node, .. } => {
                app.links.close(node);
            }
            Event::NodeDraining { node } => app.members.command(node, "drain", ""),
            Event::NodeDrained { node } => app.members.command(node, "drained", ""),
            Event::NodeUncordoned { node } => app.members.command(node, "resume", ""),
            _ => {}
        }
    }
}

async fn start(app: Arc<Orchestrator>, instance: InstanceKey, node: NodeKey, revision: Arc<Revision>) {
    let started = clock::timeout(START_LIMIT, app.links.start(node, instance, &revision)).await;
    let command = match started {
        Some(Ok(())) => Command::InstanceReady { instance },
        Some(Err(why)) => Command::InstanceEnded { instance, why },
        None => {
            let why = format!("did not start within {} s", START_LIMIT.as_secs());
            Command::InstanceEnded { instance, why }
        }
    };
    if app.state.apply(command).is_err() {
        stop(app, instance, node).await; // no longer wanted
    }
}

async fn stop(app: Arc<Orchestrator>, instance: InstanceKey, node: NodeKey) {
    let end = clock::now() + STOP_LIMIT;
    while let Err(why) = app.links.stop(node, instance).await {
        let there = app.state.read(|c| c.node(node).is_some_and(|n| n.status != NodeStatus::Disconnected));
        if !there || clock::now() >= end {
            log::debug!("instance {instance} could not be told to stop: {why}"); // its node reports it when it joins again
            return;
        }
        clock::after(STOP_AGAIN).await; // a node that has just joined has no link yet
    }
}
