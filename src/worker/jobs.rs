//! The jobs that run here now, and how many were begun, for whoever asks. Starts nothing.

use crate::lock::lock;
use crate::types::Work;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// By number, in the order of their start.
#[derive(Default)]
pub struct Jobs(Mutex<Running>);

#[derive(Default)]
struct Running {
    last: u64,
    running: BTreeMap<u64, Work>,
}

/// A job that runs for as long as this lives.
pub struct Job {
    jobs: Arc<Jobs>,
    number: u64,
}

impl Jobs {
    /// Takes note of one: its call's id, its function, and the module of a pipeline that it is, if any.
    pub fn note(self: &Arc<Self>, call: &str, function: &str, module: Option<String>) -> Job {
        self.add(self.lock(), call, function, module)
    }

    /// The same, of a module whose pipeline is not known, where fewer than so many run.
    pub fn note_below(self: &Arc<Self>, most: u32, call: &str, function: &str) -> Option<Job> {
        let inner = self.lock();
        let module = Some(function.to_string());
        (inner.running.len() < most as usize).then(|| self.add(inner, call, function, module))
    }

    fn add(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Running>,
        call: &str,
        function: &str,
        module: Option<String>,
    ) -> Job {
        inner.last += 1;
        let number = inner.last;
        let (id, function) = (call.to_string(), function.to_string());
        let work = Work { id, function, module, kind: "job".into(), status: "running".into(), in_flight: 1 };
        inner.running.insert(number, work);
        Job { jobs: self.clone(), number }
    }

    /// How many were begun.
    pub fn begun(&self) -> u64 {
        self.lock().last
    }

    /// Each of them, the oldest first.
    pub fn running(&self) -> Vec<Work> {
        self.lock().running.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        lock(&self.0)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.jobs.lock().running.remove(&self.number);
    }
}
