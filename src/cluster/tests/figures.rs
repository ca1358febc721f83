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
            let events = cluster.apply(0, Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }).unwrap();
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
            cluster.apply(0, Command::Invoke { function: name.clone(), origin: Origin::Caller, wants: None }).unwrap()
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
        let events = cluster.apply(0, Command::Invoke { function, origin: Origin::Caller, wants: None }).unwrap();
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

/// Microseconds for one task, from its submission to its place.
fn task_us(nodes: usize, tasks: usize, scheduler: Scheduler) -> f64 {
    let limits = Limits { tasks_starting: tasks, ..Limits::default() };
    let mut cluster = Cluster::new(limits, 0);
    for n in 0..nodes {
        let spec = spec(&format!("n{n}"), 256);
        let join = Command::Join { spec, instances: Vec::new(), tasks: Vec::new() };
        let Some(Event::NodeJoined { node, session, .. }) = cluster.apply(0, join).unwrap().first().cloned() else {
            panic!("not joined")
        };
        cluster.apply(0, Command::SetReach { node, session, reach: Reach::Links }).unwrap();
    }
    let begun = Instant::now();
    for n in 0..tasks {
        let task = TaskSpec {
            name: format!("t{n}"),
            image: "bundle:abc".into(),
            memory_bytes: 512 << 20, // as many as fit, and then some wait
            cpu: 0.1,
            scheduler,
            ..TaskSpec::default()
        };
        cluster.apply(0, Command::SubmitTask { spec: Box::new(task) }).unwrap();
    }
    begun.elapsed().as_nanos() as f64 / tasks as f64 / 1_000.0
}

#[test]
#[ignore = "prints figures; for release mode"]
fn task_placements() {
    for scheduler in Scheduler::ALL {
        for (nodes, tasks) in [(10, 200), (1_000, 10_000), (1_000, 20_000)] {
            println!("TASKS {} {nodes} {tasks} {:.1} µs", scheduler.word(), task_us(nodes, tasks, scheduler));
        }
    }
}

/// What is counted of a call: in its function and in the sum.
#[test]
#[ignore = "prints figures; for release mode"]
fn counting() {
    const TIMES: u64 = 10_000_000;
    let mut meters = [Meter::default(); 2];
    let cpu_ns = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime); // other programs run too
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let begun = cpu_ns();
    for n in 0..TIMES {
        let took_us = std::hint::black_box(n * 7_919 % 100_000);
        std::hint::black_box(&mut meters).iter_mut().for_each(|meter| meter.ended(n % 10 > 0, took_us));
    }
    println!("COUNTING {:.1} ns a call", (cpu_ns() - begun) as f64 / TIMES as f64);
}

/// Milliseconds for a node to join while so many jobs wait that each ask for something else, which the last node alone
/// has, and for a call to end then.
fn asking_ms(nodes: usize, calls: usize) -> (f64, f64) {
    let mut cluster = Cluster::new(Limits::default(), 0);
    let join = |cluster: &mut Cluster, spec| {
        let joined = cluster.apply(0, Command::Join { spec, instances: Vec::new(), tasks: Vec::new() }).unwrap();
        let Some(Event::NodeJoined { node, session, .. }) = joined.first().cloned() else { panic!("not joined") };
        cluster.apply(0, Command::SetReach { node, session, reach: Reach::Links }).unwrap();
    };
    for n in 0..nodes {
        let tags = (0..calls).filter(|_| n + 1 == nodes).map(|n| (format!("wish{n}"), String::new())).collect();
        join(&mut cluster, NodeSpec { tags, ..spec(&format!("n{n}"), 1) });
    }
    cluster.apply(0, Command::PutFunction { revision: Box::new(job("j")), put: Put::Create }).unwrap();
    let call = |wants| Command::Invoke { function: "j".into(), origin: Origin::Caller, wants };
    let mut running = Vec::new();
    for _ in 0..nodes {
        let assigned = cluster.apply(0, call(None)).unwrap();
        running.extend(assigned.iter().find_map(|e| match e {
            Event::InvocationAssigned(assigned) => Some(assigned.invocation),
            _ => None,
        }));
    }
    for n in 0..calls {
        let tags = BTreeMap::from([(format!("wish{n}"), String::new())]);
        cluster.apply(0, call(Some(Arc::new(Constraints { tags, ..Constraints::default() })))).unwrap();
    }
    assert_eq!((running.len(), cluster.queued), (nodes, calls));
    let begun = Instant::now();
    join(&mut cluster, NodeSpec { slots: 0, ..spec("late", 1) });
    let joined = begun.elapsed();
    let begun = Instant::now();
    cluster.apply(0, Command::Finish { invocation: running[0], success: true, took_us: 0 }).unwrap();
    (joined.as_secs_f64() * 1e3, begun.elapsed().as_secs_f64() * 1e3)
}

#[test]
#[ignore = "prints figures; for release mode"]
fn asking_for_more() {
    for (nodes, calls) in [(10, 100), (10, 1_000), (100, 1_000), (1_000, 1_000)] {
        let (joined, ended) = asking_ms(nodes, calls);
        println!("ASKING {nodes} nodes, {calls} calls: {joined:.2} ms a join, {ended:.2} ms an end");
    }
}
