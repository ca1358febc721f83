//! Tasks: submitting, looking, starting, stopping, forgetting, what they print, and what happens to them.

use super::{Events, Logs, ManagerClient, Orchestrator, Watch, url};
use crate::errors::Error;
use crate::types::{ManagerMetrics, TaskRequest, TaskStatus, TaskSummary, WorkerStatus};
use std::time::Duration;

const PATH: &str = "/api/v1/manager";

/// Which tasks are listed.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// `Pending`, `Scheduled`, `Running`, `Stopping`, `Completed`, `Failed` or `Stopped`.
    pub state: Option<String>,
    /// A node's id or name.
    pub node: Option<String>,
    pub name: Option<String>,
    /// `K=V`, or `K` for any value.
    pub label: Option<String>,
}

impl Orchestrator {
    /// The same orchestrator for those who want tasks run.
    pub fn manager(&self) -> ManagerClient {
        ManagerClient(self.clone())
    }

    /// `POST /api/v1/manager/tasks`: on disk when this returns; it runs when there is room. With an `idempotency_key`
    /// asking twice makes one.
    ///
    /// # Errors
    /// `Api` when it was not taken: `invalid_field`, `unknown_bundle`, `task_key_reused`, `too_many_tasks`, …
    pub fn submit_task(&self, task: &TaskRequest) -> Result<TaskStatus, Error> {
        self.change("POST", &format!("{PATH}/tasks"), Some(task))
    }

    /// `GET /api/v1/manager/tasks/ID`.
    pub fn task(&self, id: &str) -> Result<TaskStatus, Error> {
        self.get(&of(id, ""))
    }

    /// `GET /api/v1/manager/tasks`, all pages.
    pub fn tasks(&self, which: &Tasks) -> Result<Vec<TaskSummary>, Error> {
        let Tasks { state, node, name, label } = which;
        let given = [("state", state), ("node", node), ("name", name), ("label", label)];
        self.all(&url::with(&format!("{PATH}/tasks"), &given))
    }

    /// `GET /api/v1/manager/tasks?watch=true`: all tasks, and then what changes. Ends when the orchestrator ends.
    pub fn watch_tasks(&self) -> Result<Watch<TaskSummary>, Error> {
        self.watch(&format!("{PATH}/tasks?watch=true"))
    }

    /// `GET /api/v1/manager/tasks/ID?watch=true`: it, and again as it changes. Ends when the orchestrator ends.
    pub fn watch_task(&self, id: &str) -> Result<Watch<TaskStatus>, Error> {
        self.watch(&of(id, "?watch=true"))
    }

    /// `POST /api/v1/manager/tasks/ID/start`: once more after its end. `Api` with code `illegal_transition` before.
    pub fn start_task(&self, id: &str) -> Result<TaskStatus, Error> {
        self.change::<(), _>("POST", &of(id, "/start"), None)
    }

    /// `POST /api/v1/manager/tasks/ID/stop`. `Api` with code `illegal_transition` when it has ended.
    pub fn stop_task(&self, id: &str) -> Result<TaskStatus, Error> {
        self.change::<(), _>("POST", &of(id, "/stop"), None)
    }

    /// `DELETE /api/v1/manager/tasks/ID`: one that has not ended is stopped, and shown; one that has is forgotten: `None`.
    pub fn delete_task(&self, id: &str) -> Result<Option<TaskStatus>, Error> {
        let (_, bytes) = self.http.bytes(self.ask("DELETE", self.at(&of(id, ""))))?;
        if bytes.is_empty() { Ok(None) } else { self.http.json(&bytes).map(Some) }
    }

    /// `GET /api/v1/manager/tasks/ID/logs`: the last `tail` lines (`None`: as many as the orchestrator gives) since a time
    /// (RFC 3339, or seconds since 1970), then, if `follow`, new ones until it has ended.
    pub fn task_logs(&self, id: &str, tail: Option<u64>, since: Option<&str>, follow: bool) -> Result<Logs, Error> {
        let mut path = format!("{}?format=json&follow={follow}", of(id, "/logs"));
        path.extend(tail.map(|tail| format!("&tail={tail}")));
        path.extend(since.map(|since| format!("&since={}", url::encode(since))));
        self.log_lines(&path)
    }

    /// As `task_logs` that follows, but ends once nothing has been printed for as long as `quiet`; call it again for more.
    pub fn task_logs_until_quiet(&self, id: &str, tail: u64, quiet: Duration) -> Result<Logs, Error> {
        self.lines_until_quiet(&format!("{}?format=json&follow=true&tail={tail}", of(id, "/logs")), quiet)
    }

    /// `GET /api/v1/manager/events?watch=true`: what has happened to a task, and then what does, for ever.
    pub fn task_events(&self, id: &str) -> Result<Events, Error> {
        self.watched_events(&format!("{PATH}/events?watch=true&after=0&kind=task&task={}", url::encode(id)))
    }

    /// `GET /api/v1/manager/workers`, all pages.
    pub fn workers(&self) -> Result<Vec<WorkerStatus>, Error> {
        self.all(&format!("{PATH}/workers"))
    }

    /// `GET /api/v1/manager/workers/ID`, by id or name.
    pub fn worker(&self, worker: &str) -> Result<WorkerStatus, Error> {
        self.get(&format!("{PATH}/workers/{}", url::encode(worker)))
    }

    /// `GET /api/v1/manager/metrics`.
    pub fn manager_metrics(&self) -> Result<ManagerMetrics, Error> {
        self.get(&format!("{PATH}/metrics"))
    }
}

fn of(id: &str, what: &str) -> String {
    format!("{PATH}/tasks/{}{what}", url::encode(id))
}
