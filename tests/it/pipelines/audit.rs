//! What is told of pipelines as events: who did what, from where, and how it ended.

use super::{gated, submit, wait_module, wait_status};
use crate::harness::{Cluster, wait_for};
use cares::client::{About, Orchestrator};
use cares::types::{Event, TokenSpec};
use serde_json::json;

fn told(cluster: &Cluster) -> Vec<Event> {
    let mut events = cluster.client.manager().events(&About::default()).expect("events");
    events.retain(|event| event.kind.starts_with("pipeline."));
    events
}

fn wait_told(cluster: &Cluster, kinds: &[&str]) -> Vec<Event> {
    let so_far = || told(cluster).iter().map(|event| event.kind.clone()).collect::<Vec<_>>();
    wait_for(&format!("events {kinds:?}"), || so_far() == kinds);
    told(cluster)
}

#[test]
fn who_runs_cancels_and_retries_is_told_and_so_is_the_end() {
    let mut cluster = Cluster::start(1);
    let gate = gated(&cluster, "waits");
    cluster.deploy_script("good", "cat");
    cluster.deploy_script("bad", "exit 3");
    let spec = TokenSpec { name: "boss".into(), scopes: vec!["admin".into()], ..Default::default() };
    let secret = cluster.client.create_token(&spec).expect("a token").secret;
    cluster.client = Orchestrator::new(&cluster.head.url()).expect("a URL").token(&secret);
    let id = submit(&cluster, json!({"name": "release", "modules": [{"name": "a", "function": "waits"}]}));
    wait_module(&cluster, &id, "a", "running");
    cluster.client.cancel_pipeline(&id).expect("it is cancelled");
    wait_status(&cluster, &id, "cancelled");
    std::fs::write(&gate, "").expect("written");
    cluster.client.retry_pipeline(&id).expect("it runs again");
    wait_for("it has succeeded", || cluster.client.pipeline(&id).is_ok_and(|p| p.status == "succeeded"));
    let mut kinds = vec!["pipeline.submitted", "pipeline.cancelled", "pipeline.retried", "pipeline.succeeded"];
    let events = wait_told(&cluster, &kinds);
    for event in &events {
        assert!(event.message.starts_with(&format!("Pipeline 'release' ({id})")), "{event:?}");
        let by = (event.actor.as_deref(), event.from.as_deref());
        let wanted = if event.kind == "pipeline.succeeded" { (None, None) } else { (Some("boss"), Some("127.0.0.1")) };
        assert_eq!(by, wanted, "{event:?}");
    }

    let id = submit(
        &cluster,
        json!({"modules": [{"name": "a", "function": "bad"}, {"name": "b", "function": "good", "dependsOn": ["a"]}]}),
    );
    wait_status(&cluster, &id, "failed");
    kinds.extend(["pipeline.submitted", "pipeline.failed"]);
    let events = wait_told(&cluster, &kinds);
    let failed = events.last().expect("the last");
    assert_eq!(
        (failed.level.as_str(), failed.message.as_str()),
        ("error", &*format!("Pipeline {id} has failed: module 'a'"))
    );
}
