//! A cluster's life: calls find a node, answers come back, and what was acknowledged lasts.

use crate::harness::Cluster;

#[test]
fn a_job_and_an_http_function_answer() {
    let cluster = Cluster::start(2);
    cluster.deploy_script("upper", "tr a-z A-Z");
    cluster.deploy_echo("");
    assert_eq!(cluster.call("upper", "hello"), (200, "HELLO".into()));
    assert_eq!(cluster.call("echo", "ping"), (200, "ping".into()));
    let function = cluster.client.function("echo").expect("echo");
    assert_eq!((function.status.as_str(), function.calls, function.failures), ("running", 1, 0));
    assert_eq!(function.instances.len(), 1);
}
