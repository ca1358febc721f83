//! Two workers at one engine: each sees to its own containers only.

use super::{Docked, docker};
use crate::harness::wait_for;
use cares::types::{Constraints, FunctionSpec};
use std::collections::BTreeSet;

/// A container that looks like one of CARES, of a node that is not there. Removed when dropped.
struct Stranger(String);

impl Stranger {
    fn start() -> Stranger {
        let label = format!("io.cares.node=stranger-{}", std::process::id());
        Stranger(docker(&["run", "--detach", "--label", &label, "cares-test/echo:1"]))
    }

    fn runs(&self) -> bool {
        docker(&["inspect", "--format", "{{.State.Running}} {{.RestartCount}}", &self.0]) == "true 0"
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["rm", "--force", &self.0]).output();
    }
}

#[test]
fn two_workers_at_one_engine_keep_to_their_own() {
    let Some(mut docked) = Docked::start(2) else { return };
    let stranger = Stranger::start();
    // One instance of each. A call may move its function to a node that has less to do, so `f2` may run on one node only,
    // and the other is cordoned when `f1` is called.
    let on = |name: &str| FunctionSpec {
        constraints: Some(Constraints { tags: [("name".into(), name.into())].into(), ..Default::default() }),
        ..Default::default()
    };
    let call_first = |docked: &Docked| {
        docked.client().cordon("w2").expect("cordoned");
        docked.call("f1", "");
        docked.client().uncordon("w2").expect("uncordoned");
    };
    docked.register_as("f1", "echo", FunctionSpec::default());
    call_first(&docked);
    docked.register_as("f2", "echo", on("w2"));
    docked.call("f2", "");
    let [first, second] = [docked.container(0), docked.container(1)];
    assert_eq!(docked.function("f1").instances[0].node, docked.nodes[0]);
    assert_eq!(docked.function("f2").instances[0].node, docked.nodes[1]);

    // Killed and started again: what it finds at the engine is not all its own.
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    call_first(&docked);
    docked.call("f2", "");
    assert_eq!([docked.container(0), docked.container(1)], [first, second.clone()]);

    // Stopped: its own are removed, the others serve on.
    docked.cluster.workers[0].signal("TERM");
    assert!(docked.cluster.workers[0].wait().success());
    assert!(docked.containers(0).is_empty(), "what it started ends with it");
    assert_eq!(docked.call("f2", "still"), "POST / HTTP/1.1\nstill");
    assert_eq!(docked.container(1), second);
    assert!(stranger.runs());
    assert_eq!(docked.call("f1", "moved"), "POST / HTTP/1.1\nmoved");
    wait_for("both run on the second", || docked.containers(1).len() == 2);
}

#[test]
fn two_workers_at_one_engine_both_serve() {
    let Some(docked) = Docked::start(2) else { return };
    docked.register_as("job", "upper", FunctionSpec { timeout_s: Some(60.0), ..FunctionSpec::default() });
    let calls: Vec<_> = (0..16).map(|n| docked.cluster.call_aside("job", &format!("word {n}"))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        let (status, text, _) = call.join().expect("an answer");
        assert_eq!((status, text), (200, format!("WORD {n}")));
    }
    let served: BTreeSet<String> =
        docked.client().nodes().expect("nodes").into_iter().filter(|n| n.succeeded > 0).map(|n| n.name).collect();
    assert_eq!(served, BTreeSet::from(["w1".into(), "w2".into()]));
    docked.wait_none(0);
    docked.wait_none(1);
}
