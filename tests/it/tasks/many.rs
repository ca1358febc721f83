//! Many tasks at once: all reach their end, and looking stays quick. `CARES_TASKS=10000` for the full number.

use super::TASKS;
use crate::harness::Cluster;
use crate::wire::get;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;

#[test]
fn many_tasks_all_reach_their_end() {
    let many: usize = std::env::var("CARES_TASKS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let cluster = Cluster::start(2);
    let task = cluster.scripted("short", "true");
    let rss_kb = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.head.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let before = rss_kb();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            let (next, task, client) = (&next, &task, cluster.client.clone());
            scope.spawn(move || {
                while next.fetch_add(1, Ordering::Relaxed) < many {
                    client.submit_task(task).expect("taken");
                }
            });
        }
    });
    let submitted = began.elapsed();
    let mut looks: Vec<Duration> = Vec::new();
    let counts = || cluster.client.manager_metrics().expect("numbers").tasks;
    let end = Instant::now() + Duration::from_secs(60) + Duration::from_millis(100) * many as u32;
    while counts()["Completed"] < many as u64 {
        let began = Instant::now();
        assert_eq!(get(cluster.head.http(), TASKS).status, 200);
        looks.push(began.elapsed());
        assert_eq!(counts()["Failed"], 0);
        assert!(Instant::now() < end, "{:?}", counts());
    }
    looks.sort();
    let slow = looks.get(looks.len() * 99 / 100).copied().unwrap_or_default();
    println!("{many} tasks: submitted in {submitted:?}, done in {:?}, a list took {slow:?} (p99)", began.elapsed());
    println!("the orchestrator took {} bytes more for each", rss_kb().saturating_sub(before) * 1024 / many as u64);
}
