//! A worker that says anything: its messages, as they come off the wire, to a cluster that must keep its promises.

use crate::cluster::{Cluster, Command, Event, Limits, Mode, NodeKey, Origin, Put, Reach, Reported};
use crate::orchestrator::fuzz as grpc;
use crate::orchestrator::{spec, tasks};
use crate::types;
use crate::wire::proto;
use prost::Message;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Limits { max_nodes: 4, ..Default::default() }, 0);
    for name in ["f", "g"] {
        let settings = types::FunctionSpec { name: name.into(), image: "x".into(), max: Some(2), ..Default::default() };
        let mut revision = spec::revision(settings, 0).expect("valid");
        revision.mode = Mode::Http;
        let put = Command::PutFunction { revision: Box::new(revision), put: Put::Create };
        cluster.apply(1, put).expect("a function");
    }
    cluster
}

/// Messages, each behind a byte for its kind and one for its length.
pub fn run(data: &[u8]) {
    let mut cluster = cluster();
    let (mut rest, mut now) = (data, 1);
    let mut joined: Vec<(NodeKey, u64)> = Vec::new();
    while let [kind, length, after @ ..] = rest {
        let (message, left) = after.split_at(usize::from(*length).min(after.len()));
        (rest, now) = (left, now + u64::from(*kind) * 10);
        let at = joined.get(usize::from(*kind) % joined.len().max(1)).copied();
        match (kind % 4, at) {
            (0, _) => {
                let Ok(mut info) = proto::NodeInfo::decode(message) else { continue };
                let tasks = std::mem::take(&mut info.tasks).into_iter().filter_map(tasks::report).collect();
                let Ok((spec, instances)) = grpc::read_join(info) else { continue };
                let Ok(events) = cluster.apply(now, Command::Join { spec, instances, tasks }) else { continue };
                let key = |event: &Event| match event {
                    Event::NodeJoined { node, session, .. } => Some((*node, *session)),
                    _ => None,
                };
                let (node, session) = events.iter().find_map(key).expect("it has joined");
                joined.push((node, session));
                let _ = cluster.apply(now, Command::SetReach { node, session, reach: Reach::Links });
            }
            (1, Some((node, session))) => {
                let Ok(beat) = proto::NodeMetrics::decode(message) else { continue };
                let (cpu_percent, memory_percent) = (Some(beat.cpu_usage), Some(beat.memory_usage));
                let _ = cluster.apply(now, Command::Beat { node, session, cpu_percent, memory_percent });
                let instances: Vec<Reported> = beat.instances.into_iter().filter_map(grpc::reported).collect();
                let _ = cluster.apply(now, Command::Report { node, session, instances });
            }
            (2, Some((node, session))) => {
                let _ = cluster.apply(now, Command::Disconnect { node, session, why: String::new() });
            }
            (_, _) => {
                let function = if *kind < 128 { "f" } else { "g" };
                let _ = cluster
                    .apply(now, Command::Invoke { function: function.into(), origin: Origin::Caller, wants: None });
            }
        }
        cluster.tick(now);
        crate::cluster::broken(&cluster, now).expect("every promise holds");
        let scores = cluster.nodes().map(|node| node.score());
        assert!(scores.into_iter().all(|score| (0.0..=100.0).contains(&score)));
    }
}
