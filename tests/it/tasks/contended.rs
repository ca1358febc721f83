//! What two want at once: a port of a node, and a task under one idempotency key.

use super::{SERVICE, TASKS, service};
use crate::harness::{Cluster, free_address, wait_for};
use crate::wire::get;
use cares::types::{TaskPhase, TaskPort, TaskRequest};
use std::collections::BTreeSet;
use std::net::TcpListener;

#[test]
fn a_port_that_a_task_has_is_waited_for_and_one_of_strangers_is_named() {
    let cluster = Cluster::start(1);
    let at = free_address();
    let host = Some(at.port());
    let ports = vec![TaskPort { container: 80, host, protocol: None }];
    let task = TaskRequest { ports, ..service(cluster.scripted("service", SERVICE)) };
    let first = cluster.submit(&task);
    let running = cluster.wait_phase(&first, TaskPhase::Running);
    assert_eq!(running.request.ports[0].host, host);
    let second = cluster.submit(&task);
    let waits = cluster.client.task(&second).expect("it is there");
    assert_eq!((waits.state, waits.node), (TaskPhase::Pending, None));
    assert!(waits.reason.expect("why").contains("port"));
    cluster.client.stop_task(&first).expect("stopping");
    cluster.wait_phase(&second, TaskPhase::Running);
    cluster.client.stop_task(&second).expect("stopping");
    cluster.wait_phase(&second, TaskPhase::Stopped);

    let stranger = TcpListener::bind(("127.0.0.1", at.port())).expect("it is free again");
    let third = cluster.submit(&task);
    let failed = cluster.wait_phase(&third, TaskPhase::Failed); // after four times, within seven seconds
    let reason = failed.reason.expect("a reason");
    assert!(reason.contains(&at.port().to_string()), "{reason}");
    drop(stranger);
    assert!(!cluster.client.start_task(&third).expect("once more").state.ended());
    cluster.wait_phase(&third, TaskPhase::Running);
}

#[test]
fn a_key_is_one_task_however_often_and_at_once_it_is_asked_for() {
    let mut cluster = Cluster::start(1);
    let task = TaskRequest { idempotency_key: Some("once".into()), ..cluster.scripted("short", "echo ran") };
    let submit_at_once = |cluster: &Cluster| -> BTreeSet<String> {
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..16).map(|_| scope.spawn(|| cluster.submit(&task))).collect();
            asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        })
    };
    let ids = submit_at_once(&cluster);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let id = ids.first().expect("one");
    cluster.wait_phase(id, TaskPhase::Completed);
    cluster.restart_head();
    assert_eq!(submit_at_once(&cluster), ids, "also after a kill -9");
    assert_eq!(get(cluster.head.http(), TASKS).json().as_array().map(Vec::len), Some(1));
    cluster.wait_linked("w1");
    wait_for("its log is there", || cluster.lines(id) == ["ran"]);
    assert_eq!(cluster.client.delete_task(id).expect("forgotten"), None);
    assert_ne!(&cluster.submit(&task), id, "a key goes with its task");
}
