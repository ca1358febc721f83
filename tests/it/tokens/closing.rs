//! The door is closed while workers are inside: they go on, and nobody else gets in by that.

use super::{make, text, with};
use crate::harness::{Cluster, Role, cares, run, wait_for};
use crate::wire;
use serde_json::json;
use std::path::Path;

/// Makes the first token; from then on `cluster` uses it.
fn close(cluster: &mut Cluster) -> String {
    let boss = make(&cluster.client, "boss", &["admin"], None);
    cluster.client = with(cluster, &boss.secret);
    boss.secret
}

fn deploy(cluster: &Cluster, token: &str, name: &str) {
    let folder = cluster.folder(name, r#"{"mode":"job","command":["cat"]}"#, &[("own", name)]);
    let mut deploy = cares();
    deploy.arg("deploy").arg(folder).args(["--name", name, "--url", &cluster.head.url()]).env("AUTH_TOKEN", token);
    let (status, out, err) = run(&mut deploy);
    assert!(status.success(), "{out}{err}");
}

/// What a worker says that comes with nothing.
fn refused(cluster: &Cluster, dir: &Path) -> String {
    let args = ["worker", cluster.head.ready("grpc"), "--worker-addr", "127.0.0.1:0", "--data-dir", text(dir)];
    Role::try_start_with(&args, |_| {}).err().expect("it is refused").1
}

#[test]
fn workers_that_are_inside_when_the_first_token_is_made_go_on_until_they_reconnect() {
    let mut cluster = Cluster::start(1);
    let boss = close(&mut cluster);
    for name in ["first", "second"] {
        deploy(&cluster, &boss, name); // a bundle that it has not got
        assert_eq!(cluster.call(name, "hello"), (200, "hello".into()));
    }
    // Nor was it told of this one.
    deploy(&cluster, &boss, "third");
    let asked = json!({"executionId": "e1", "moduleTypeName": "third", "serializedModule": "from its own door"});
    let to = cluster.workers[0].http();
    let done = wire::ask(to, "POST", "/api/execution/execute", &[], asked.to_string().as_bytes());
    assert_eq!(done.json()["serializedResult"], "from its own door", "{}", done.text());

    // That is its connection's alone: not another worker's, nor its own next one.
    let fix = ["a token is needed", "--join-token-file", "CARES_JOIN_TOKEN"];
    let told = refused(&cluster, &cluster.dir.path().join("other"));
    assert!(fix.iter().all(|part| told.contains(part)), "{told}");
    cluster.restart_head();
    wait_for("it says what to do", || {
        let log = cluster.workers[0].log();
        fix.iter().all(|part| log.contains(part)) && log.contains("trying again")
    });
    cluster.workers[0].kill();
    let told = refused(&cluster, &cluster.dir.path().join("w1"));
    assert!(fix.iter().all(|part| told.contains(part)), "{told}");
    let token = make(&cluster.client, "boxes", &["worker"], None).secret;
    let file = cluster.dir.path().join("token");
    std::fs::write(&file, token).expect("written");
    cluster.restart_worker(0, "w1", &["--join-token-file", text(&file)]);
    assert_eq!(cluster.call("first", "again"), (200, "again".into()));
}

#[test]
fn a_token_that_is_gone_still_serves_the_worker_that_came_with_it() {
    let mut cluster = Cluster::start(0);
    let boss = close(&mut cluster);
    let token = make(&cluster.client, "boxes", &["worker"], None).secret;
    let file = cluster.dir.path().join("token");
    std::fs::write(&file, token).expect("written");
    cluster.add_worker("w1", &["--join-token-file", text(&file)]);
    cluster.client.revoke_token("boxes").expect("revoked");
    deploy(&cluster, &boss, "later");
    assert_eq!(cluster.call("later", "hello"), (200, "hello".into()));
    let told = refused(&cluster, &cluster.dir.path().join("other"));
    assert!(told.contains("a token is needed"), "{told}");
}
