//! Requests, checked and sent.

use super::*;
use serde_json::json;

fn request(mut value: serde_json::Value) -> TaskRequest {
    value.as_object_mut().expect("an object").entry("image").or_insert(json!("hello-world"));
    serde_json::from_value(value).expect("a request")
}

#[test]
fn what_is_sent_is_shown_as_it_was_asked_for() {
    let asked = request(json!({
        "name": "n", "command": ["a", "b"], "env": {"A": "b=c"}, "cpu": 0.5, "memory": 64 << 20, "disk": 1 << 30,
        "ports": [{"container": 80, "host": 8080, "protocol": "tcp"}, {"container": 53, "protocol": "udp"}],
        "restart_policy": {"policy": "always", "limit": 2, "window_s": 60.0, "backoff_s": 0.25},
        "health_check": {"kind": "http", "path": "/ok", "port": 80, "interval_s": 1.0, "timeout_s": 2.0, "retries": 4,
            "start_period_s": 3.0},
        "devices": ["gpu"], "volumes": [{"name": "v", "path": "/v", "read_only": true}], "stop_grace_s": 1.5,
        "isolation": {"files": "open", "pids": 9, "tmp_mb": 7}
    }));
    check(&asked).expect("valid");
    let task = to_wire("t-1", 3, &asked);
    assert_eq!((task.attempt, task.stop_grace_ms, task.tmp_bytes), (3, 1_500, 7 << 20));
    assert_eq!(shown(&task), asked);
    let plain = to_wire("t-2", 1, &request(json!({})));
    assert_eq!((&*plain.name, plain.restart.as_ref().map(|r| &*r.policy)), ("t-2", Some("never")));
    assert_eq!(to_wire("t-2", 1, &shown(&plain)), plain);
}

#[test]
fn each_bad_field_is_named() {
    let many = |n: usize| (0..n).map(|at| json!({"container": at + 1})).collect::<Vec<_>>();
    let devices = |n: usize| (0..n).map(|at| format!("/dev/d{at}")).collect::<Vec<_>>();
    let volumes =
        |n: usize| (0..n).map(|at| json!({"name": format!("v{at}"), "path": format!("/v{at}")})).collect::<Vec<_>>();
    let most = json!({"command": vec!["a"; 1_000], "ports": many(64), "devices": devices(16), "volumes": volumes(16),
        "env": {"A": "x".repeat((256 << 10) - 1)}});
    check(&request(most)).expect("as many as may be");
    for (bad, field) in [
        (json!({"image": " "}), "image"),
        (json!({"image": "bundle:12"}), "image"),
        (json!({"name": "x".repeat(5_000)}), "name"),
        (json!({"command": [""]}), "command"),
        (json!({"command": vec!["a"; 1_001]}), "command"),
        (json!({"env": {"A=B": ""}}), "env"),
        (json!({"cpu": 0}), "cpu"),
        (json!({"memory": 5}), "memory"),
        (json!({"disk": 0}), "disk"),
        (json!({"ports": many(65)}), "ports"),
        (json!({"ports": [{"container": 1}, {"container": 1}]}), "ports[1].container"),
        (json!({"ports": [{"container": 1, "host": 0}]}), "ports[0].host"),
        (json!({"ports": [{"container": 1, "protocol": "icmp"}]}), "ports[0].protocol"),
        (json!({"restart_policy": "sometimes"}), "restart_policy.policy"),
        (json!({"restart_policy": {"policy": "always", "backoff_s": -1}}), "restart_policy.backoff_s"),
        (json!({"health_check": {"kind": "ping"}}), "health_check.kind"),
        (json!({"health_check": {"kind": "tcp"}}), "health_check.port"),
        (json!({"health_check": {"kind": "command"}}), "health_check.command"),
        (json!({"health_check": {"kind": "http", "port": 1, "path": "x y"}}), "health_check.path"),
        (json!({"devices": ["/etc/passwd"]}), "devices"),
        (json!({"devices": ["/dev/../etc"]}), "devices"),
        (json!({"devices": devices(17)}), "devices"),
        (json!({"volumes": volumes(17)}), "volumes"),
        (json!({"volumes": [{"name": "../x", "path": "/v"}]}), "volumes[0].name"),
        (json!({"volumes": [{"name": "v", "path": "/a/../b"}]}), "volumes[0].path"),
        (json!({"volumes": [{"name": "v", "path": "/"}]}), "volumes[0].path"),
        (json!({"stop_grace_s": -1}), "stop_grace_s"),
        (json!({"scheduler": "best"}), "scheduler"),
        (json!({"isolation": {"pids": 0}}), "isolation.pids"),
        (json!({"idempotency_key": ""}), "idempotency_key"),
    ] {
        assert_eq!(check(&request(bad.clone())).expect_err("invalid").field, field, "{bad}");
    }
    let large = check(&request(json!({"env": {"A": "x".repeat(256 << 10)}}))).expect_err("too large");
    assert_eq!((&*large.field, large.too_large), ("env", true));
}

#[test]
fn what_opens_is_named() {
    assert_eq!(opens(&request(json!({"devices": ["gpu"]}))), Some("devices"));
    assert_eq!(opens(&request(json!({"isolation": {"syscalls": "all"}}))), Some("isolation.syscalls"));
    assert_eq!(opens(&request(json!({"env": {"A": "b"}}))), None);
}
