//! A worker as it sees itself: machine, membership and work, read now.

use super::Worker;
use super::membership::Standing;
use crate::types::Member;

impl Worker {
    /// All of it.
    pub fn member(&self) -> Member {
        let standing = self.membership.standing();
        let vitals = self.vitals.read();
        let engines = self.pool.engines.state();
        let work = self.pool.work();
        let joined = matches!(standing, Standing::Joined | Standing::Leaving);
        Member {
            id: self.id.clone(),
            name: self.name.clone(),
            orchestrator: self.orchestrator.clone(),
            status: standing.word().into(),
            cluster: self.membership.cluster().filter(|_| joined),
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
