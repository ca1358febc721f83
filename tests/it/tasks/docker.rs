//! Tasks of images, on the real Docker engine.

use crate::docker::{containers_of, engine_is_there, remove_containers_of};
use crate::harness::{Cluster, wait_for};
use cares::types::{TaskPhase, TaskPort, TaskRequest};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What is left of these nodes is removed, also when a test fails. To be made before the cluster, which then goes first.
#[derive(Default)]
pub struct Swept(Vec<String>);

impl Swept {
    /// Workers with the engine, named w1, w2, …
    pub fn join(&mut self, cluster: &mut Cluster, workers: usize) {
        for n in 1..=workers {
            let name = format!("w{n}");
            cluster.add_worker(&name, &["--engine", "docker"]);
            self.0.push(cluster.client.node(&name).expect("it has joined").id);
        }
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        self.0.iter().for_each(|node| remove_containers_of(node));
    }
}

#[test]
fn an_image_runs_with_a_port_and_one_that_cannot_be_had_fails_with_the_reason() {
    if !engine_is_there() {
        return;
    }
    let mut swept = Swept::default();
    let mut cluster = Cluster::start(0);
    swept.join(&mut cluster, 1);
    let port = TaskPort { container: 8080, ..Default::default() };
    let web = TaskRequest { image: "cares-test/echo:1".into(), ports: vec![port], ..Default::default() };
    let id = cluster.submit(&web);
    let running = cluster.wait_phase(&id, TaskPhase::Running);
    let host = running.request.ports[0].host.expect("a port of the node");
    wait_for("it answers there", || TcpStream::connect(("127.0.0.1", host)).is_ok());
    let taken = TaskRequest { ports: vec![TaskPort { host: Some(host), ..port_of(8080) }], ..web };
    let refused = cluster.submit(&taken);
    let failed = cluster.wait_phase(&refused, TaskPhase::Failed);
    assert!(failed.reason.expect("a reason").contains(&host.to_string()));
    cluster.client.stop_task(&id).expect("stopping");
    cluster.wait_phase(&id, TaskPhase::Stopped);
}

#[test]
fn the_old_copy_of_a_task_runs_on_while_its_worker_is_dead_and_ends_when_it_is_back() {
    if !engine_is_there() {
        return;
    }
    let mut swept = Swept::default();
    let mut cluster = Cluster::start(0);
    swept.join(&mut cluster, 2);
    let web = TaskRequest { image: "cares-test/echo:1".into(), ..Default::default() };
    let id = cluster.submit(&web);
    let first = cluster.wait_phase(&id, TaskPhase::Running);
    let (node, name) = (first.node.expect("a node"), first.node_name.expect("its name"));
    let at = usize::from(name != "w1");
    let copies = |node: &str| containers_of(node).len();
    assert_eq!(copies(&node), 1);
    cluster.workers[at].kill();
    let killed = Instant::now();
    let second = cluster.wait_task(&id, "it runs elsewhere", |task| {
        task.state == TaskPhase::Running && task.node.as_ref().is_some_and(|other| *other != node)
    });
    assert!(killed.elapsed() < Duration::from_secs(15), "within the lease and five seconds: {:?}", killed.elapsed());
    let other = second.node.expect("a node");
    assert_eq!((second.attempt, copies(&node), copies(&other)), (2, 1, 1), "nobody could stop the old one");
    cluster.restart_worker(at, &name, &["--engine", "docker"]);
    wait_for("the old copy is gone", || copies(&node) == 0);
    assert_eq!((cluster.client.task(&id).expect("it is there").state, copies(&other)), (TaskPhase::Running, 1));
    cluster.client.stop_task(&id).expect("stopping");
    cluster.wait_phase(&id, TaskPhase::Stopped);
    wait_for("the new one too", || copies(&other) == 0);
}

fn port_of(container: u16) -> TaskPort {
    TaskPort { container, ..Default::default() }
}
