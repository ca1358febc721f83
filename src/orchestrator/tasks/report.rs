//! A worker's word on a task, made into the core's. A peer's words are bounded: they end up in listings.

use super::spec::spec;
use crate::cluster::{Progress, TaskPort, TaskReport, TaskWord};
use crate::orchestrator::dispatch::cut;
use crate::tasks;
use crate::wire::proto;

const ID_BYTES: usize = 64;
const REASON_BYTES: usize = 2 * 1024;
const LAST_LINES_BYTES: usize = 4 * 1024;
const PORTS: usize = 64;

/// `None`: it makes no sense.
pub fn report(state: proto::TaskState) -> Option<TaskReport> {
    if state.id.is_empty() || state.id.len() > ID_BYTES || !state.id.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let own = state.spec.map(|task| tasks::shown(&task));
    if own.as_ref().is_some_and(|request| tasks::check(request).is_err()) {
        return None;
    }
    let ports = state.ports.iter().take(PORTS).filter_map(|port| {
        let (container, host) = (u16::try_from(port.container).ok()?, u16::try_from(port.host).ok()?);
        Some(TaskPort { container, host, udp: port.protocol == "udp" })
    });
    Some(TaskReport {
        id: state.id.into(),
        attempt: state.attempt,
        word: TaskWord::of(&state.state)?,
        progress: Progress {
            restarts: state.restarts,
            exit_code: state.has_exit_code.then_some(state.exit_code),
            reason: cut(state.reason, REASON_BYTES),
            last_lines: cut(state.last_lines, LAST_LINES_BYTES),
            started_unix_ms: u64::try_from(state.started_ms).unwrap_or(0),
            ended_unix_ms: u64::try_from(state.ended_ms).unwrap_or(0),
            ports: ports.collect(),
            health: match state.health.as_str() {
                known @ ("starting" | "healthy" | "unhealthy") => known.into(),
                _ => String::new(),
            },
        },
        spec: own.map(|request| Box::new(spec(&request))),
    })
}
