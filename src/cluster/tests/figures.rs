//! Figures, for people and `scripts/bench/placement`: what a call costs the core. Release mode only.

use super::*;
use std::collections::VecDeque;
use std::time::Instant;

/// Calls measured for one figure.
const CALLS: u32 = 200_000;

/// Nanoseconds for one call, from its acceptance to its end; one of ten calls is preceded by a beat of some node.
fn call_ns(nodes: usize, functions: usize, make: fn(&str) -> Revision) -> f64 {
    let mut cluster = Cluster::new(Limits::default(), 0);
    let joined: Vec<(NodeKey, u64)> = (0..nodes)
        .map(|n| {
            let spec = spec(&format!("n{n}"), 256);
            let events = cluster.apply(0, Command::Join { spec, instances: Vec::new() }).unwrap();
            let Some(Event::NodeJoined { node, session, .. }) = events.first() else { panic!("{events:?}") };
            let (node, session) = (*node, *session);
            cluster.apply(0, Command::SetReach { node, session, reach: Reach::Links }).unwrap();
            (node, session)
        })
        .collect();
    let beat = |cluster: &mut Cluster, n: usize| {
        let (node, session) = joined[n % nodes];
        let cpu_percent = Some((n * 7 % 90) as f64);
        cluster.apply(0, Command::Beat { node, session, cpu_percent, memory_percent: Some(20.0) }).unwrap();
    };
    (0..nodes).for_each(|n| beat(&mut cluster, n));
    let names: Vec<Arc<str>> = (0..functions).map(|n| format!("f{n}").into()).collect();
    for name in &names {
        let revision = Box::new(Revision { concurrency: 80, max: 20, ..make(name) });
        let call = |cluster: &mut Cluster| {
            cluster.apply(0, Command::Invoke { function: name.clone(), attempt: false }).unwrap()
        };
        cluster.apply(0, Command::PutFunction { revision, put: Put::Create }).unwrap();
        for event in call(&mut cluster) {
            if let Event::InstanceStarting { instance, .. } = event {
                cluster.apply(0, Command::InstanceReady { instance }).unwrap();
            }
        }
        let invocation = *cluster.invocations.keys().next_back().unwrap();
        cluster.apply(0, Command::Finish { invocation, success: true, took_us: 0 }).unwrap();
    }
    let begun = Instant::now();
    let mut under_way = VecDeque::new();
    for n in 0..CALLS as usize {
        let function = names[n * 7_919 % functions].clone();
        if n % 10 == 0 {
            beat(&mut cluster, n / 10);
        }
        let events = cluster.apply(0, Command::Invoke { function, attempt: false }).unwrap();
        under_way.extend(events.iter().find_map(|e| match e {
            Event::InvocationAssigned(assigned) => Some(assigned.invocation),
            _ => None,
        }));
        for event in events {
            if let Event::InstanceStarting { instance, .. } = event {
                cluster.apply(0, Command::InstanceReady { instance }).unwrap();
            }
        }
        if under_way.len() > 64.min(nodes * 2) {
            let invocation = under_way.pop_front().unwrap();
            cluster.apply(0, Command::Finish { invocation, success: true, took_us: 0 }).unwrap();
        }
    }
    begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

#[test]
#[ignore = "prints figures; for release mode"]
fn placements() {
    for (kind, make) in [("job", job as fn(&str) -> Revision), ("http", http)] {
        for (nodes, functions) in [(1, 1), (10, 1), (100, 1), (1_000, 1), (1, 100), (1, 10_000), (1_000, 10_000)] {
            if kind == "http" && nodes == 1 && functions > 1_000 {
                continue; // more instances than one node's calls would ever need
            }
            println!("PLACEMENT {kind} {nodes} {functions} {:.0}", call_ns(nodes, functions, make));
        }
    }
}
