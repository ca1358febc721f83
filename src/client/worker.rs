//! The client of one worker, at its own address: it answers also when its orchestrator is away.

use super::{Builder, Logs, Orchestrator, OwnLog, Watch, url};
use crate::errors::Error;
use crate::types::{
    Health, Member, NodeInfo, RunningInstance, TaskRequest, TaskStatus, TaskSummary, Version, WorkerMetrics,
    WorkerStatus,
};

const TASKS: &str = "/api/v1/worker/tasks";

fn at(id: &str) -> String {
    format!("{TASKS}/{}", url::encode(id))
}

/// A client of one worker. Clones share connections; it may be used from several threads at once.
///
/// ```standalone_crate
/// use cares::client::Builder;
/// # // A real worker on a free port, of an orchestrator that is not there.
/// # let dir = tempfile::tempdir()?;
/// # let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
/// # let mut args = vec!["cares", "worker", "127.0.0.1:1", "--headless", "--worker-addr", &address];
/// # args.extend(["--engine", "process", "--name", "w1", "--data-dir", dir.path().to_str().expect("UTF-8")]);
/// # let args = args.into_iter().map(Into::into).collect();
/// # std::thread::spawn(move || cares::run(args));
/// # let url = format!("http://{address}");
///
/// let worker = Builder::new(&url).retries(6).worker()?;
/// let member = worker.status()?;
/// println!("{} is {} and runs {} instances", member.name, member.status, worker.instances()?.len());
/// assert_eq!(worker.version()?.role, "worker");
///
/// let error = worker.readyz().unwrap_err();
/// assert_eq!((error.status(), error.code()), (Some(503), "not_joined"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WorkerClient(pub(super) Orchestrator);

impl WorkerClient {
    /// A client of the worker at `http://HOST[:PORT]`, with a builder's defaults. Nothing is sent yet.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn new(url: &str) -> Result<WorkerClient, Error> {
        Builder::new(url).worker()
    }

    /// The address, as it is used.
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// `GET /status`: the worker as it sees itself.
    pub fn status(&self) -> Result<Member, Error> {
        self.0.member()
    }

    /// `GET /status?watch=true`: once a second, and when it joins or loses its orchestrator.
    pub fn watch_status(&self) -> Result<Watch<Member>, Error> {
        self.0.watch_member()
    }

    /// `GET /instances`: what runs there, with its memory and CPU.
    pub fn instances(&self) -> Result<Vec<RunningInstance>, Error> {
        self.0.get("/instances")
    }

    /// `POST /api/v1/worker/tasks`: a new task, or the one that was submitted under the same `idempotency_key`.
    pub fn submit(&self, task: &TaskRequest) -> Result<TaskStatus, Error> {
        self.0.change("POST", TASKS, Some(task))
    }

    /// `GET /api/v1/worker/tasks`, all pages.
    pub fn tasks(&self) -> Result<Vec<TaskSummary>, Error> {
        self.0.all(TASKS)
    }

    /// `GET /api/v1/worker/tasks?watch=true`: all tasks, and then what changes. Ends when the worker ends.
    pub fn watch_tasks(&self) -> Result<Watch<TaskSummary>, Error> {
        self.0.watch(&format!("{TASKS}?watch=true"))
    }

    /// `GET /api/v1/worker/tasks/ID`.
    pub fn task(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.get(&at(id))
    }

    /// `POST /api/v1/worker/tasks/ID/start`: once more, after its end.
    pub fn start(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.change::<(), _>("POST", &format!("{}/start", at(id)), None)
    }

    /// `POST /api/v1/worker/tasks/ID/stop`.
    pub fn stop(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.change::<(), _>("POST", &format!("{}/stop", at(id)), None)
    }

    /// `DELETE /api/v1/worker/tasks/ID`: stops one that runs, forgets one that has ended.
    pub fn delete_task(&self, id: &str) -> Result<(), Error> {
        self.0.delete(&at(id))
    }

    /// `GET /api/v1/worker/tasks/ID/logs`: the last `tail` lines, then new ones until it ends if `follow`.
    pub fn task_logs(&self, id: &str, tail: u64, follow: bool) -> Result<Logs, Error> {
        self.0.log_lines(&format!("{}/logs?format=json&tail={tail}&follow={follow}", at(id)))
    }

    /// `GET /api/v1/worker/metrics`: what it uses.
    pub fn metrics(&self) -> Result<WorkerMetrics, Error> {
        self.0.get("/api/v1/worker/metrics")
    }

    /// `GET /api/v1/worker/status`: the worker with its tasks.
    pub fn worker_status(&self) -> Result<WorkerStatus, Error> {
        self.0.get("/api/v1/worker/status")
    }

    /// `GET /api/v1/worker/info`: its machine.
    pub fn info(&self) -> Result<NodeInfo, Error> {
        self.0.get("/api/v1/worker/info")
    }

    /// `GET /log`: the program's own last `tail` lines, then new ones if `follow`.
    pub fn own_log(&self, tail: u64, follow: bool) -> Result<OwnLog, Error> {
        self.0.own_log(tail, follow)
    }

    /// `GET /healthz`.
    pub fn healthz(&self) -> Result<Health, Error> {
        self.0.healthz()
    }

    /// `GET /readyz`. `Api` with code `not_joined` while it has no orchestrator.
    pub fn readyz(&self) -> Result<Health, Error> {
        self.0.readyz()
    }

    /// `GET /version`.
    pub fn version(&self) -> Result<Version, Error> {
        self.0.version()
    }
}
