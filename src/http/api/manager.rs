//! `/api/v1/manager`: the cluster as those see it who want tasks run. What tasks are is `orchestrator::tasks`'.

pub mod events;
pub mod logs;
pub mod one_task;
pub mod tasks;
pub mod workers;

/// What each path of this face begins with.
pub const PATH: &str = "/api/v1/manager";
