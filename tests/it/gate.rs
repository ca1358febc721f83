//! A job that runs until the test lets it end: it says that it started, waits, and says that it went through.

use crate::harness::{Cluster, wait_for_some};
use std::path::PathBuf;

/// Where the job looks.
pub struct Gate {
    dir: PathBuf,
}

impl Gate {
    /// Deploys the job under this name. `settings` end its function.json, such as `,"timeout_s":1`.
    pub fn deploy(cluster: &Cluster, name: &str, settings: &str) -> Gate {
        let dir = cluster.dir.path().join(format!("gate-{name}"));
        std::fs::create_dir(&dir).expect("a folder");
        let at = dir.display();
        // In the folder: a file for each run, named after its process.
        let script =
            format!("#!/bin/sh\n: > '{at}'/run-$$\nwhile [ ! -e '{at}'/open ]; do sleep 0.02; done\necho through\n");
        let manifest = format!(r#"{{"mode":"job","command":["./run.sh"],"isolation":{{"files":"open"}}{settings}}}"#);
        cluster.deploy(name, &manifest, &[("run.sh", &script)]);
        Gate { dir }
    }

    /// The processes that started so far.
    pub fn started(&self) -> Vec<u32> {
        let files = std::fs::read_dir(&self.dir).expect("the folder").flatten();
        files.filter_map(|file| file.file_name().to_str()?.strip_prefix("run-")?.parse().ok()).collect()
    }

    /// Waits until so many have started.
    pub fn wait_started(&self, count: usize) -> Vec<u32> {
        wait_for_some(&format!("{count} jobs have started"), || Some(self.started()).filter(|s| s.len() >= count))
    }

    /// Lets all of them end.
    pub fn open(&self) {
        std::fs::write(self.dir.join("open"), "").expect("a file");
    }
}
