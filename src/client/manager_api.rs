//! The client of the manager's API, `/api/v1/manager`: workers, tasks, events and numbers.

use super::{Builder, Events, Logs, Orchestrator, Tasks, Watch, url};
use crate::errors::Error;
use crate::types::{
    ClusterStatus, Event, Health, ManagerMetrics, TaskRequest, TaskStatus, TaskSummary, Version, WorkerRegistered,
    WorkerRegistration, WorkerStatus,
};

const WORKERS: &str = "/api/v1/manager/workers";
const EVENTS: &str = "/api/v1/manager/events";

/// Which events are meant; all that is named must be so.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `task.failed`, or all that begin so: `task`.
    pub kind: Option<String>,
    /// `info`, `warn` or `error`.
    pub level: Option<String>,
    /// A node's id.
    pub node: Option<String>,
    pub function: Option<String>,
    /// A task's id.
    pub task: Option<String>,
}

impl About {
    fn path(&self, after: Option<u64>, watch: bool) -> String {
        let About { kind, level, node, function, task } = self;
        let (after, watch) = (after.map(|id| id.to_string()), watch.then(|| "true".to_string()));
        let given = [("kind", kind), ("level", level), ("node", node), ("function", function), ("task", task)];
        url::with(&url::with(EVENTS, &[("watch", &watch), ("after", &after)]), &given)
    }
}

/// A client of an orchestrator, for those who want tasks run. Clones share connections; it may be used from several threads
/// at once. What else an orchestrator can do is [`Orchestrator`]'s, whose `manager` gives one of these.
///
/// ```standalone_crate
/// use cares::client::{About, Builder, Tasks};
/// use cares::types::TaskRequest;
/// # // A real orchestrator on a free port: it may not be up yet, which is what retries are for.
/// # let dir = tempfile::tempdir()?;
/// # let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
/// # let mut args = vec!["cares", "orchestrator", "--headless", "--http-addr", &address, "--grpc-addr", "127.0.0.1:0"];
/// # args.extend(["--data-dir", dir.path().to_str().expect("UTF-8")]);
/// # let args = args.into_iter().map(Into::into).collect();
/// # std::thread::spawn(move || cares::run(args));
/// # let url = format!("http://{address}");
///
/// let manager = Builder::new(&url).retries(6).manager()?;
/// println!("{} workers, {} cores", manager.workers()?.len(), manager.metrics()?.cpus);
///
/// let task = TaskRequest { image: "redis:7".into(), idempotency_key: Some("cache".into()), ..Default::default() };
/// let submitted = manager.submit(&task)?;
/// assert_eq!(manager.submit(&task)?.id, submitted.id); // the same key is the same task
/// println!("{}: {}", submitted.state, submitted.reason.unwrap_or_default()); // Pending: no node …
///
/// manager.stop(&submitted.id)?;
/// let error = manager.stop(&submitted.id).unwrap_err();
/// assert_eq!((error.status(), error.code()), (Some(409), "illegal_transition"));
///
/// for event in manager.events(&About { task: Some(submitted.id.clone()), ..About::default() })? {
///     println!("{} {}", event.time, event.message);
/// }
/// assert_eq!(manager.delete_task(&submitted.id)?, None);
/// assert!(manager.tasks(&Tasks::default())?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManagerClient(pub(super) Orchestrator);

impl ManagerClient {
    /// A client of the orchestrator at `http://HOST[:PORT]`, with a builder's defaults. Nothing is sent yet.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn new(url: &str) -> Result<ManagerClient, Error> {
        Builder::new(url).manager()
    }

    /// The address, as it is used.
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// `POST /api/v1/manager/tasks`: on disk when this returns, as [`Orchestrator::submit_task`].
    pub fn submit(&self, task: &TaskRequest) -> Result<TaskStatus, Error> {
        self.0.submit_task(task)
    }

    /// `GET /api/v1/manager/tasks`, all pages.
    pub fn tasks(&self, which: &Tasks) -> Result<Vec<TaskSummary>, Error> {
        self.0.tasks(which)
    }

    /// `GET /api/v1/manager/tasks?watch=true`: all tasks, and then what changes. Ends when the orchestrator ends.
    pub fn watch_tasks(&self) -> Result<Watch<TaskSummary>, Error> {
        self.0.watch_tasks()
    }

    /// `GET /api/v1/manager/tasks/ID`.
    pub fn task(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.task(id)
    }

    /// `GET /api/v1/manager/tasks/ID?watch=true`: it, and again as it changes. Ends when the orchestrator ends.
    pub fn watch_task(&self, id: &str) -> Result<Watch<TaskStatus>, Error> {
        self.0.watch_task(id)
    }

    /// `POST /api/v1/manager/tasks/ID/start`: once more, after its end.
    pub fn start(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.start_task(id)
    }

    /// `POST /api/v1/manager/tasks/ID/stop`.
    pub fn stop(&self, id: &str) -> Result<TaskStatus, Error> {
        self.0.stop_task(id)
    }

    /// `DELETE /api/v1/manager/tasks/ID`: one that has not ended is stopped, and shown; one that has is forgotten: `None`.
    pub fn delete_task(&self, id: &str) -> Result<Option<TaskStatus>, Error> {
        self.0.delete_task(id)
    }

    /// `GET /api/v1/manager/tasks/ID/logs`, as [`Orchestrator::task_logs`].
    pub fn task_logs(&self, id: &str, tail: Option<u64>, since: Option<&str>, follow: bool) -> Result<Logs, Error> {
        self.0.task_logs(id, tail, since, follow)
    }

    /// `GET /api/v1/manager/events`, all pages: what has happened, oldest first.
    pub fn events(&self, about: &About) -> Result<Vec<Event>, Error> {
        self.0.all(&about.path(None, false))
    }

    /// `GET /api/v1/manager/events?watch=true`: after the event with that id (0: all that are kept), or from now on; then
    /// what happens. Ends when the orchestrator ends.
    pub fn watch_events(&self, about: &About, after: Option<u64>) -> Result<Events, Error> {
        self.0.watched_events(&about.path(after, true))
    }

    /// `GET /api/v1/manager/workers`, all pages.
    pub fn workers(&self) -> Result<Vec<WorkerStatus>, Error> {
        self.0.workers()
    }

    /// `GET /api/v1/manager/workers?watch=true`: all workers, and then what changes. Ends when the orchestrator ends.
    pub fn watch_workers(&self) -> Result<Watch<WorkerStatus>, Error> {
        self.0.watch(&format!("{WORKERS}?watch=true"))
    }

    /// `GET /api/v1/manager/workers/ID`, by id or name.
    pub fn worker(&self, worker: &str) -> Result<WorkerStatus, Error> {
        self.0.worker(worker)
    }

    /// `POST /api/v1/manager/workers`: a worker that speaks HTTP joins; all others do so by themselves.
    pub fn register_worker(&self, worker: &WorkerRegistration) -> Result<WorkerRegistered, Error> {
        self.0.change("POST", WORKERS, Some(worker))
    }

    /// `DELETE /api/v1/manager/workers/ID`, by id or name: it is forgotten, with its secret.
    pub fn remove_worker(&self, worker: &str) -> Result<(), Error> {
        self.0.delete(&format!("{WORKERS}/{}", url::encode(worker)))
    }

    /// `GET /api/v1/manager/cluster`: which cluster it is, and whether it has workers that take work.
    pub fn cluster(&self) -> Result<ClusterStatus, Error> {
        self.0.get("/api/v1/manager/cluster")
    }

    /// `GET /api/v1/manager/metrics`: workers and tasks by state, what there is, is used and is reserved.
    pub fn metrics(&self) -> Result<ManagerMetrics, Error> {
        self.0.manager_metrics()
    }

    /// `GET /healthz`.
    pub fn healthz(&self) -> Result<Health, Error> {
        self.0.healthz()
    }

    /// `GET /readyz`; a status other than `ok` says what is missing.
    pub fn readyz(&self) -> Result<Health, Error> {
        self.0.readyz()
    }

    /// `GET /version`.
    pub fn version(&self) -> Result<Version, Error> {
        self.0.version()
    }
}
