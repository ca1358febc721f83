//! What modules printed: of each attempt on whatever node, after the end as well, and along with it.

use super::{submit, wait_status};
use crate::harness::{Cluster, cares, run};
use crate::wire::get;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn logs(cluster: &Cluster, args: &[&str]) -> (i32, String, String) {
    let url = cluster.head.url();
    let (status, out, err) = run(cares().args(["pipeline", "logs"]).args(args).args(["--url", &url]));
    (status.code().expect("a code"), out, err)
}

#[test]
fn all_attempts_of_a_module_and_nothing_else() {
    let cluster = Cluster::start(2);
    cluster.deploy_script("fails", "echo $CARES_MODULE of $CARES_PIPELINE, try $CARES_ATTEMPT >&2; exit 3");
    let id = submit(
        &cluster,
        json!({"failurePolicy": "continue", "modules": [
            {"name": "build", "function": "fails", "retries": 1}, {"name": "build-2", "function": "fails"},
        ]}),
    );
    wait_status(&cluster, &id, "failed");
    let expected = format!("build of {id}, try 1\nbuild of {id}, try 2\n");
    assert_eq!(logs(&cluster, &[&id, "build"]), (0, expected.clone(), String::new()));
    assert_eq!(logs(&cluster, &[&id, "build", "--tail", "1"]).1, format!("build of {id}, try 2\n"));
    assert_eq!(logs(&cluster, &[&id, "build", "--follow"]).1, expected, "it has ended: nothing is waited for");
    let to = cluster.head.http();
    let json = get(to, &format!("/api/pipelines/{id}/modules/build-2/logs?format=json"));
    let line: serde_json::Value = serde_json::from_slice(&json.body).expect("one line of JSON");
    assert_eq!((&line["line"], &line["stream"]), (&json!(format!("build-2 of {id}, try 1")), &json!("stderr")));
    assert!(line["source"].as_str().is_some_and(|source| source.starts_with(&format!("{id}-build-2.1"))), "{line}");
    assert!(line["node"].as_str().is_some_and(|node| ["w1", "w2"].contains(&node)), "{line}");
    let (code, _, err) = logs(&cluster, &[&id, "none"]);
    assert!(code == 4 && err.contains("module 'none': there is none of that name"), "{code} {err}");
    get(to, "/api/pipelines/p1/modules/a/logs").problem(404, "pipeline_not_found");
    get(to, &format!("/api/pipelines/{id}/modules/build/logs?tail=x")).problem(400, "invalid_field");
}

#[test]
fn a_log_is_followed_from_node_to_node_until_the_module_ends() {
    let mut cluster = Cluster::start(2);
    let gate = cluster.dir.path().join("gate");
    let script = format!(
        "echo begin $CARES_ATTEMPT >&2; until [ -e {} ]; do sleep 0.02; done; echo end $CARES_ATTEMPT >&2",
        gate.display()
    );
    cluster.deploy_open_script("talk", &script);
    let id = submit(&cluster, json!({"modules": [{"name": "talk", "function": "talk"}]}));
    let mut follow = cares();
    follow.args(["pipeline", "logs", &id, "talk", "-f", "--url", &cluster.head.url()]).stdout(Stdio::piped());
    let mut follow = follow.spawn().expect("started");
    let mut lines = BufReader::new(follow.stdout.take().expect("its stdout")).lines();
    let mut next = || lines.next().map(|line| line.expect("a line"));
    assert_eq!(next().as_deref(), Some("begin 1"));
    let node = cluster.client.pipeline(&id).expect("it").modules[0].node.clone().expect("a node");
    let name = cluster.client.node(&node).expect("it").name;
    cluster.workers[if name == "w1" { 0 } else { 1 }].kill();
    assert_eq!(next().as_deref(), Some("begin 2"));
    std::fs::write(&gate, "").expect("written");
    assert_eq!((next().as_deref(), next()), (Some("end 2"), None));
    assert!(follow.wait().expect("it ended").success());
    assert_eq!(wait_status(&cluster, &id, "succeeded").modules[0].attempts, 2);
}
