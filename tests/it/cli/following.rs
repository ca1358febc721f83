//! Verbs that go on by themselves: logs and events, followed while the cluster changes.

use super::{fine, json};
use crate::harness::{Cluster, Role, cares};
use crate::weather::{Sky, Weather};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// The lines a verb prints that goes on by itself.
struct Following {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Following {
    fn start(cluster: &Cluster, words: &[&str]) -> Following {
        let mut command = cares();
        command.args(words).args(["--url", &cluster.head.url()]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("cares runs");
        let (tx, lines) = std::sync::mpsc::channel();
        let out = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tx.send(line))
        });
        Following { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(crate::harness::PATIENCE).expect("a line")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_are_followed() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("say", "cat >&2");
    assert_eq!(cluster.call("say", "one\n").0, 200);
    let following = Following::start(&cluster, &["logs", "-f", "say"]);
    assert_eq!(following.next(), "one");
    for line in ["two", "three"] {
        assert_eq!(cluster.call("say", &format!("{line}\n")).0, 200);
        assert_eq!(following.next(), line);
    }
}

#[test]
fn logs_are_followed_onto_nodes_that_join_later_and_come_back_and_no_line_comes_twice() {
    let mut cluster = Cluster::start(0);
    cluster.deploy_script("say", "cat >&2");
    let weather = Weather::before(cluster.head.ready("grpc").parse().expect("an address"));
    let dir = cluster.dir.path().join("w1");
    let args = ["--name", "w1", "--worker-addr", "127.0.0.1:0", "--data-dir", dir.to_str().expect("UTF-8")];
    cluster.workers.push(Role::start(&[&["worker", &*weather.address()], &args[..]].concat()));
    cluster.wait_linked("w1");
    let say = |cluster: &Cluster, line: &str| assert_eq!(cluster.call("say", &format!("{line}\n")).0, 200);
    say(&cluster, "zero");
    let all = Following::start(&cluster, &["logs", "-f", "say"]);
    let later = Following::start(&cluster, &["logs", "-f", "say", "--tail", "0"]);
    assert_eq!(all.next(), "zero");
    let said = (1..).map(|n| format!("one {n}")).find(|line| {
        say(&cluster, line);
        later.lines.recv_timeout(Duration::from_millis(50)).is_ok() // or it does not follow yet
    });
    let said = said.expect("some day");
    while all.next() != said {}
    say(&cluster, "one");
    while later.next() != "one" {}
    assert_eq!(all.next(), "one");

    cluster.add_worker("w2", &[]);
    cluster.client.cordon("w1").expect("cordoned");
    say(&cluster, "two");
    assert_eq!([all.next(), later.next()], ["two", "two"]);
    cluster.restart_worker(1, "w2", &[]);
    say(&cluster, "three");
    assert_eq!([all.next(), later.next()], ["three", "three"]);

    weather.becomes(Sky::Torn);
    cluster.wait_status("w1", "disconnected");
    weather.becomes(Sky::Clear);
    cluster.wait_linked("w1");
    cluster.client.uncordon("w1").expect("uncordoned");
    cluster.client.cordon("w2").expect("cordoned");
    say(&cluster, "four");
    assert_eq!([all.next(), later.next()], ["four", "four"], "what w1 said before does not come again");
}

#[test]
fn events_are_shown_and_followed_over_a_restart() {
    let mut cluster = Cluster::start(1);
    assert_eq!(fine(&cluster, &["events", "-o", "name"]), "node.joined\n");
    assert!(fine(&cluster, &["events"]).ends_with("[INFO] Node 'w1' has joined the cluster\n"));
    assert!(fine(&cluster, &["events", "-o", "wide"]).contains(" [INFO] node.joined Node 'w1'"));
    assert_eq!(json(&cluster, &["events", "-o", "json"])["kind"], "node.joined");
    let following = Following::start(&cluster, &["events", "-f", "-o", "name"]);
    assert_eq!(following.next(), "node.joined");
    cluster.client.cordon("w1").expect("cordoned");
    assert_eq!(following.next(), "node.cordoned");
    cluster.restart_head();
    assert_eq!(following.next(), "node.joined", "of the new orchestrator");
}
