//! The functions' processes, as the system shows them: told by the folder that each has in its environment.

use crate::harness::{Cluster, wait_for};
use std::collections::BTreeMap;
use std::path::Path;

/// All processes that workers with a folder below `dir` started and that live, with all that those started.
pub fn below(dir: &Path) -> Vec<u32> {
    let dir = dir.canonicalize().expect("a folder");
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|p| p.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<u32> = pids
        .filter(|pid| environment(*pid).get("CARES_RUN_DIR").is_some_and(|d| Path::new(d).starts_with(&dir)))
        .collect();
    found.sort_unstable();
    found
}

/// Those of a cluster.
pub fn of(cluster: &Cluster) -> Vec<u32> {
    below(cluster.dir.path())
}

/// A process's environment; empty once it has ended.
pub fn environment(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = text.split(|byte| *byte == 0).filter_map(|pair| {
        let (key, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        Some((key.to_string(), value.to_string()))
    });
    pairs.collect()
}

/// Waits until no function of a cluster has a process.
pub fn wait_none(cluster: &Cluster) {
    wait_for("all processes of functions are gone", || of(cluster).is_empty());
}
