//! What an earlier worker left running, until its task's supervisor asks for it. Must never keep what nobody asks for.

use super::super::engine::Running;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Runs by name.
pub struct Found {
    runs: Mutex<BTreeMap<String, Running>>,
    /// Closed once all were told of.
    all: (Sender<()>, Receiver<()>),
}

impl Default for Found {
    fn default() -> Self {
        Found { runs: Mutex::default(), all: rt::bounded(1) }
    }
}

impl Found {
    /// One was found. After the first look nobody asks any more: dropping it removes it.
    pub fn add(&self, run: String, running: Running) {
        if self.all.0.is_closed() {
            return log::info!("Removing task run {run}, which nobody looks after");
        }
        self.lock().insert(run, running);
    }

    /// All of the first look were told of. Those of no task in `wanted` (what the names of its runs begin with) go.
    pub fn is_all(&self, wanted: &[String]) {
        if !self.all.0.close() {
            return; // a later look
        }
        let mut known = self.lock();
        let unwanted = |run: &String| !wanted.iter().any(|runs| run.starts_with(runs.as_str()));
        let gone: Vec<String> = known.keys().filter(|run| unwanted(run)).cloned().collect();
        for run in gone {
            log::info!("Removing task run {run} that an earlier worker left and nobody knows");
            known.remove(&run);
        }
    }

    /// Waits until all were told of, and takes the newest whose name begins so.
    pub async fn take(&self, runs: &str) -> Option<(String, Running)> {
        let _ = self.all.1.recv().await; // closed
        let mut known = self.lock();
        let number = |run: &str| run[runs.len()..].parse::<u64>().unwrap_or(0);
        let mut names: Vec<String> = known.keys().filter(|run| run.starts_with(runs)).cloned().collect();
        names.sort_by_key(|run| number(run));
        let newest = names.pop()?;
        names.iter().for_each(|run| drop(known.remove(run)));
        let running = known.remove(&newest)?;
        Some((newest, running))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        lock(&self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::engine::{Control, Exit};
    use std::time::Duration;

    /// Its end closes the channel.
    struct Fake(#[allow(dead_code)] Sender<()>);

    #[async_trait::async_trait]
    impl Control for Fake {
        async fn ended(&self) -> Exit {
            std::future::pending().await
        }
        async fn stop(&self, _grace: Duration) -> Exit {
            Exit::Code(0)
        }
        fn last_words(&self) -> String {
            String::new()
        }
    }

    fn run() -> (Running, Receiver<()>) {
        let (tell, gone) = rt::bounded(1);
        (Running { address: None, stdin: None, stdout: None, control: Box::new(Fake(tell)) }, gone)
    }

    #[test]
    fn the_newest_of_a_task_is_handed_over_and_all_else_goes() {
        let found = Found::default();
        let [(old, old_gone), (new, new_gone), (other, other_gone)] = [run(), run(), run()];
        found.add("t-1-9".into(), old);
        found.add("t-1-10".into(), new);
        found.add("other-1-0".into(), other);
        found.is_all(&["t-1-".to_string()]);
        assert!(other_gone.is_closed(), "nobody knows it");
        let (name, running) = rt::block_on(found.take("t-1-")).expect("the newest");
        assert_eq!((name.as_str(), old_gone.is_closed(), new_gone.is_closed()), ("t-1-10", true, false));
        drop(running);
        // What a later look finds has no one who would ask for it.
        let (late, late_gone) = run();
        found.add("t-1-11".into(), late);
        assert!(late_gone.is_closed());
        assert!(rt::block_on(found.take("t-1-")).is_none());
    }
}
