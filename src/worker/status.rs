//! A worker as it sees itself: machine, membership and work, read now.

use super::Worker;
use super::devices;
use super::membership::Standing;
use super::vitals::Vitals;
use crate::clock;
use crate::types::{Member, NodeInfo, WorkerMetrics, WorkerState, WorkerStatus};

/// Tasks in a status; all of them are listed elsewhere.
const TASKS: usize = 1_000;

impl Worker {
    /// How busy its machine is.
    pub fn vitals(&self) -> Vitals {
        self.vitals.read()
    }

    /// Bytes of the disk its folder is on; 0 when that cannot be read.
    pub fn disk_used(&self) -> u64 {
        devices::disk(&self.dir).0
    }

    /// What it uses, with the names of the Cube specification.
    pub fn metrics(&self) -> WorkerMetrics {
        let vitals = self.vitals();
        let memory_total = self.identity.info().memory_bytes;
        let (disk_usage, disk_total) = devices::disk(&self.dir);
        let (task_count, tasks_running) = self.pool.tasks.count();
        WorkerMetrics {
            cpu_usage: vitals.cpu_percent.unwrap_or(0.0),
            memory_usage: (memory_total as f64 * vitals.memory_percent.unwrap_or(0.0) / 100.0) as u64,
            memory_total,
            disk_usage,
            disk_total,
            task_count,
            tasks_running,
            uptime: clock::now_ms() * 1_000_000,
        }
    }

    /// What its machine is and has, so named too.
    pub fn node(&self) -> NodeInfo {
        let info = self.identity.info().clone();
        NodeInfo {
            id: info.node_id,
            name: info.name,
            address: info.address,
            hostname: info.hostname,
            os: info.os,
            arch: info.arch,
            cpus: info.cpus,
            memory_bytes: info.memory_bytes,
            disk_bytes: info.disk_bytes,
            engines: self.pool.engines.state().names,
            tools: info.tools,
            tags: info.tags.into_iter().collect(),
            devices: info.devices,
            version: info.version,
        }
    }

    /// All of it, so named too.
    pub fn worker_status(&self) -> WorkerStatus {
        let metrics = self.metrics();
        let leaving = matches!(self.membership.standing(), Standing::Leaving | Standing::Ended { .. });
        WorkerStatus {
            id: self.id.clone(),
            name: self.name.clone(),
            status: match () {
                () if leaving => WorkerState::Maintenance,
                () if metrics.tasks_running > 0 || self.pool.in_flight() > 0 => WorkerState::Busy,
                () => WorkerState::Idle,
            },
            node: self.node(),
            metrics,
            tasks: self.pool.tasks.list("", TASKS, &self.id),
            last_seen: clock::rfc3339(clock::unix_ms()),
        }
    }

    /// All of it.
    pub fn member(&self) -> Member {
        let standing = self.membership.standing();
        let vitals = self.vitals();
        let engines = self.pool.engines.state();
        let work = self.pool.work();
        let joined = matches!(standing, Standing::Joined | Standing::Leaving);
        Member {
            id: self.id.clone(),
            name: self.name.clone(),
            orchestrator: self.orchestrator.clone(),
            status: standing.word().into(),
            cluster: self.membership.cluster().filter(|_| joined),
            certificate_until: self.passport.expires_unix_ms().map(crate::clock::rfc3339),
            trouble: standing.trouble(),
            retry_in_ms: standing.retry_in_ms(),
            cpu_percent: vitals.cpu_percent,
            memory_percent: vitals.memory_percent,
            slots: self.pool.slots(),
            running: self.pool.in_flight(),
            job_slots: self.identity.job_slots(),
            jobs: work.iter().filter(|work| work.kind == "job").count() as u32,
            engines: engines.names,
            engine_trouble: engines.trouble,
            work,
        }
    }
}
