//! Programs that are told to stop: what runs ends well within a bound, nothing new begins, nothing is left, and a second
//! word ends them at once.

use crate::gate::Gate;
use crate::harness::{Cluster, PATIENCE, cares, raw, wait_for};
use crate::processes;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn an_orchestrator_told_to_stop_lets_calls_end_and_takes_no_new_ones() {
    let mut cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", "");
    let running = cluster.call_aside("gate", "");
    gate.wait_started(1);
    cluster.head.signal("TERM");
    let get = |path: &str| {
        raw(
            cluster.head.http(),
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    };
    wait_for("it is not ready any more", || get("/readyz").starts_with("HTTP/1.1 503"));
    let refused = get("/invoke/gate").to_lowercase();
    assert!(refused.starts_with("http/1.1 503") && refused.contains("\nretry-after: 2"), "{refused}");
    assert!(refused.contains("\"code\":\"stopping\"") && refused.contains("\nx-call-id: "), "{refused}");
    assert_eq!(gate.started().len(), 1);
    gate.open();
    let (status, text, _) = running.join().expect("an answer");
    assert_eq!((status, text.as_str()), (200, "through\n"));
    assert_eq!(cluster.head.wait().code(), Some(0), "{}", cluster.head.log());
}

#[test]
fn a_second_signal_ends_an_orchestrator_at_once() {
    let mut cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", "");
    let running = cluster.call_aside("gate", "");
    gate.wait_started(1);
    cluster.head.signal("TERM");
    wait_for("it waits", || cluster.head.log().contains("waiting for 1 to end"));
    let told = Instant::now();
    cluster.head.signal("TERM");
    assert_eq!(cluster.head.wait().code(), Some(130));
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    drop(running.join()); // cut off, and that is what was asked for
    processes::wait_none(&cluster);
}

#[test]
fn a_second_signal_ends_a_worker_at_once_and_all_that_runs_there() {
    let mut cluster = Cluster::start(1);
    cluster.deploy("stubborn", &crate::fixture::stubborn_manifest("pid"), &[]);
    assert_eq!(cluster.call("stubborn", "").0, 200);
    let gate = Gate::deploy(&cluster, "gate", "");
    let running = cluster.call_aside("gate", "");
    gate.wait_started(1);
    assert!(processes::of(&cluster).len() >= 2);
    cluster.workers[0].signal("TERM");
    wait_for("it waits", || cluster.workers[0].log().contains("waiting for 1 to end"));
    let told = Instant::now();
    cluster.workers[0].signal("INT");
    assert_eq!(cluster.workers[0].wait().code(), Some(130));
    processes::wait_none(&cluster); // all were killed before it ended; dying takes them a moment
    assert!(told.elapsed() < PATIENCE / 3, "its grace was waited for: {:?}", told.elapsed());
    assert_eq!(running.join().expect("an answer").0, 502);
}

#[test]
fn both_in_one_process_stop_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut both = cares();
    both.args(["up", "--headless", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir"]);
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let said = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    both.arg(dir.path().join("data")).env("NOTIFY_SOCKET", &socket);
    let mut both = both.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    assert_eq!(said(), "READY=1");
    let status = Command::new("kill").arg(both.id().to_string()).status();
    assert!(status.expect("kill runs").success());
    assert_eq!(said(), "STOPPING=1");
    let mut log = String::new();
    both.stderr.take().expect("piped").read_to_string(&mut log).expect("its log");
    assert_eq!(both.wait().expect("it ends").code(), Some(0), "{log}");
    assert!(log.contains("has left the cluster"), "{log}");
}
