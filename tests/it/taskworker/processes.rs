//! Tasks of bundles: processes of their worker.

use super::TASKS;
use crate::harness::{Cluster, wait_for, wait_for_some};
use crate::wire::{get, post};
use serde_json::{Value, json};

#[test]
fn a_bundle_runs_as_a_task_and_is_started_again_with_its_worker() {
    let mut cluster = Cluster::start(1);
    let script = "echo \"on $PORT as $MODE\"; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    cluster.deploy_script("script", script);
    let image = cluster.client.function("script").expect("it is there").image;
    let command = cluster.client.function("script").expect("it is there").command;
    let submit = |cluster: &Cluster, more: Value| {
        let mut task = json!({"image": image, "command": command});
        task.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        post(cluster.workers[0].http(), TASKS, task.to_string())
    };
    let reply = submit(
        &cluster,
        json!({
            "env": {"MODE": "task"}, "ports": [{"container": 80}], "restart_policy": {"policy": "on-failure", "backoff_s": 0.1},
            "health_check": {"kind": "command", "command": ["sh", "-c", "test -n \"$PORT\""], "interval_s": 0.1},
        }),
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().expect("an id").to_string();
    let path = format!("{TASKS}/{id}");
    let running = |cluster: &Cluster, restarts: u64| {
        wait_for_some("it runs and is well", || {
            let task = get(cluster.workers[0].http(), &path).json();
            (task["state"] == "Running" && task["health"] == "healthy" && task["restarts"] == restarts).then_some(task)
        })
    };
    let port = running(&cluster, 0)["ports"][0]["host"].as_u64().expect("a port");
    wait_for("it has printed", || {
        get(cluster.workers[0].http(), &format!("{path}/logs")).text().contains(&format!("on {port} as task"))
    });
    cluster.restart_worker(0, "w1", &[]);
    running(&cluster, 1);
    assert_eq!(post(cluster.workers[0].http(), &format!("{path}/stop"), "").status, 202);
    wait_for("it is stopped", || get(cluster.workers[0].http(), &path).json()["state"] == "Stopped");
    let refused = submit(&cluster, json!({"volumes": [{"name": "v", "path": "/v"}]}));
    assert!(refused.problem(409, "task_refused").contains("volumes"));
}
