//! What is kept of a task on disk. Must never be changed in place once released: a field may be added with a default.

use super::spec::spec;
use crate::cluster::{LastingTask, Progress, Stopping, TaskPort, TaskState};
use crate::types::TaskRequest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// As JSON.
#[derive(Serialize, Deserialize)]
pub struct Record {
    request: TaskRequest,
    state: String,
    /// While it is being stopped: it is to go on elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    moving: bool,
    /// The id of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    attempt: u64,
    created_unix_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    scheduled_unix_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    started_unix_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    ended_unix_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    restarts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    last_lines: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    health: String,
    /// Container's, host's, and whether it is udp.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ports: Vec<(u16, u16, bool)>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Record {
    /// Of a task as it is now.
    pub fn of(task: &LastingTask) -> Record {
        let progress = &task.progress;
        Record {
            request: super::spec::request(&task.spec),
            state: task.state.word().into(),
            moving: task.stopping == Some(Stopping::Moving),
            node: task.node.clone(),
            attempt: task.attempt,
            created_unix_ms: task.created_unix_ms,
            scheduled_unix_ms: task.scheduled_unix_ms,
            started_unix_ms: progress.started_unix_ms,
            ended_unix_ms: progress.ended_unix_ms,
            restarts: progress.restarts.into(),
            exit_code: progress.exit_code,
            reason: progress.reason.clone(),
            last_lines: progress.last_lines.clone(),
            health: progress.health.clone(),
            ports: progress.ports.iter().map(|p| (p.container, p.host, p.udp)).collect(),
        }
    }

    /// The task again. `Err`: what is wrong with the record.
    pub fn into_task(self, id: &str) -> Result<LastingTask, String> {
        let state = TaskState::of(&self.state).ok_or_else(|| format!("there is no state '{}'", self.state))?;
        crate::tasks::check(&self.request).map_err(|bad| format!("{}: {}", bad.field, bad.why))?;
        let stopping = if self.moving { Stopping::Moving } else { Stopping::Asked };
        let ports =
            self.ports.iter().map(|(container, host, udp)| TaskPort { container: *container, host: *host, udp: *udp });
        Ok(LastingTask {
            id: id.into(),
            spec: Arc::new(spec(&self.request)),
            state,
            stopping: (state == TaskState::Stopping).then_some(stopping),
            node: self.node,
            attempt: self.attempt,
            progress: Progress {
                restarts: u32::try_from(self.restarts).unwrap_or(u32::MAX),
                exit_code: self.exit_code,
                reason: self.reason,
                last_lines: self.last_lines,
                started_unix_ms: self.started_unix_ms,
                ended_unix_ms: self.ended_unix_ms,
                ports: ports.collect(),
                health: self.health,
            },
            created_unix_ms: self.created_unix_ms,
            scheduled_unix_ms: self.scheduled_unix_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_comes_back_as_it_was() {
        let request = TaskRequest { image: "a".into(), env: [("A".into(), "b".into())].into(), ..Default::default() };
        let task = LastingTask {
            id: "t1".into(),
            spec: Arc::new(spec(&request)),
            state: TaskState::Stopping,
            stopping: Some(Stopping::Moving),
            node: Some("n".into()),
            attempt: 3,
            progress: Progress {
                restarts: 2,
                exit_code: Some(-9),
                reason: "r".into(),
                last_lines: "l".into(),
                started_unix_ms: 5,
                ended_unix_ms: 6,
                ports: vec![TaskPort { container: 1, host: 2, udp: true }],
                health: "healthy".into(),
            },
            created_unix_ms: 7,
            scheduled_unix_ms: 8,
        };
        let json = serde_json::to_vec(&Record::of(&task)).expect("JSON");
        let back: Record = serde_json::from_slice(&json).expect("read");
        assert_eq!(back.into_task("t1"), Ok(task));
        let odd = br#"{"request":{"image":"a"},"state":"odd","attempt":1,"created_unix_ms":1}"#;
        let odd: Record = serde_json::from_slice(odd).expect("read");
        assert_eq!(odd.into_task("t1"), Err("there is no state 'odd'".into()));
    }
}
