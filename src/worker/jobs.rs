//! The jobs that run here now, for whoever asks. Counts nothing else and starts nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By number, in the order of their start.
#[derive(Default)]
pub struct Jobs(Mutex<Running>);

#[derive(Default)]
struct Running {
    last: u64,
    running: BTreeMap<u64, (String, String)>,
}

/// A job that runs for as long as this lives.
pub struct Job {
    jobs: Arc<Jobs>,
    number: u64,
}

impl Jobs {
    /// Takes note of one: its call's id, and its function.
    pub fn note(self: &Arc<Self>, call: &str, function: &str) -> Job {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.running.insert(number, (call.to_string(), function.to_string()));
        Job { jobs: self.clone(), number }
    }

    /// Call and function of each, the oldest first.
    pub fn running(&self) -> Vec<(String, String)> {
        self.lock().running.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.jobs.lock().running.remove(&self.number);
    }
}
