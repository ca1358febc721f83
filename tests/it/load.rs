//! Callers that go on until they are told to stop, and what they got.

use crate::harness::{Cluster, invoke};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    callers: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// So many callers, each with one call at a time, of a function that answers 200.
    pub fn start(cluster: &Cluster, function: &str, callers: usize) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..callers)
            .map(|_| {
                let (client, function) = (cluster.client.clone(), function.to_string());
                let (stop, done) = (stop.clone(), done.clone());
                thread::spawn(move || {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let (answer, text) = invoke(&client, &function, "ping");
                        done.fetch_add(1, Ordering::Relaxed);
                        if answer.status != 200 {
                            failed.push(format!("{}: {text}", answer.status));
                        }
                    }
                    failed
                })
            })
            .collect();
        Load { stop, done, callers }
    }

    /// Calls answered so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Lets them end; not one call may have failed.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failed: Vec<String> = self.callers.into_iter().flat_map(|c| c.join().expect("a caller")).collect();
        let done = self.done.load(Ordering::Relaxed);
        assert!(failed.is_empty(), "{} of {done} calls failed, such as: {}", failed.len(), failed[0]);
        done
    }
}
