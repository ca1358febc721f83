//! A task as people ask for it, made into what the core must know of it.

use crate::cluster::{Constraints, RestartPolicy, Scheduler, TaskSpec};
use crate::types::TaskRequest;

/// The request must have passed `crate::tasks::check`.
pub fn spec(request: &TaskRequest) -> TaskSpec {
    let wanted = request.constraints.clone().unwrap_or_default();
    let settings = serde_json::to_string(request).unwrap_or_default(); // maps with string keys only: cannot fail
    let policy = request.restart_policy.as_ref().and_then(|policy| RestartPolicy::of(&policy.policy));
    TaskSpec {
        name: request.name.clone(),
        image: request.image.clone(),
        memory_bytes: request.memory.unwrap_or(0),
        cpu: request.cpu.unwrap_or(0.0),
        disk_bytes: request.disk.unwrap_or(0),
        host_ports: request
            .ports
            .iter()
            .filter_map(|p| Some((p.host?, p.protocol.as_deref() == Some("udp"))))
            .collect(),
        restart: policy.unwrap_or_default(),
        devices: request.devices.iter().cloned().collect(),
        constraints: Constraints {
            os: wanted.os,
            arch: wanted.arch,
            tools: wanted.tools.into_iter().collect(),
            tags: wanted.tags,
            ..Constraints::default()
        },
        scheduler: request.scheduler.as_deref().and_then(Scheduler::of).unwrap_or_default(),
        labels: request.labels.clone(),
        idempotency_key: request.idempotency_key.clone(),
        settings: settings.into(),
    }
}

/// The request again.
pub fn request(spec: &TaskSpec) -> TaskRequest {
    serde_json::from_str(&spec.settings).unwrap_or_default() // written above
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_whole_in_what_the_core_keeps() {
        let asked = json!({"image": "a", "restart_policy": "always", "memory": 9 << 20, "cpu": 0.5, "disk": 7,
            "ports": [{"container": 53, "host": 5353, "protocol": "udp"}, {"container": 80}], "scheduler": "spread",
            "devices": ["gpu"], "constraints": {"os": "linux", "tags": {"a": "b"}}, "env": {"A": "b"},
            "health_check": {"kind": "tcp"}, "labels": {"l": "m"}, "idempotency_key": "k"});
        let asked: TaskRequest = serde_json::from_value(asked).expect("a request");
        crate::tasks::check(&asked).expect("valid");
        let made = spec(&asked);
        assert_eq!(request(&made), asked);
        assert_eq!((made.restart, made.scheduler), (RestartPolicy::Always, Scheduler::Spread));
        assert_eq!((made.memory_bytes, made.cpu, made.disk_bytes), (9 << 20, 0.5, 7));
        assert_eq!(made.host_ports, [(5353, true)].into());
        assert_eq!(made.constraints.tags["a"], "b");
    }
}
