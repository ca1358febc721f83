//! A thousand modules: order is respected, slots are never exceeded, all of them run once.

use super::{submit, wait_for_some};
use crate::dice::Dice;
use crate::harness::Cluster;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MODULES: usize = 1_000;

#[test]
fn a_thousand_modules_run_in_order_within_the_slots() {
    let mut cluster = Cluster::start(0);
    for name in ["w1", "w2"] {
        cluster.add_worker(name, &["--slots", "2"]);
    }
    let slots = cluster.client.nodes().expect("nodes").iter().map(|node| node.job_slots as usize).sum::<usize>();
    let log = cluster.dir.path().join("log");
    std::fs::write(&log, "").expect("written");
    let script = format!("echo \"begin $CARES_MODULE\" >> {0}; echo \"end $CARES_MODULE\" >> {0}", log.display());
    cluster.deploy_open_script("f", &script);
    let mut dice = Dice(4713);
    let mut next = |below: usize| dice.below(below as u64) as usize;
    let mut modules: Vec<(String, Vec<String>)> = Vec::new();
    for n in 0..MODULES {
        let mut after: Vec<String> = (0..next(4).min(n)).map(|_| format!("m{}", next(n))).collect();
        after.sort();
        after.dedup();
        modules.push((format!("m{n}"), after));
    }
    let spec: Vec<Value> =
        modules.iter().map(|(name, after)| json!({"name": name, "function": "f", "dependsOn": after})).collect();
    let begun = Instant::now();
    let id = submit(&cluster, json!({ "modules": spec }));
    let end = begun + Duration::from_secs(240);
    let pipeline = loop {
        let pipeline = wait_for_some("the pipeline", || cluster.client.pipeline(&id).ok());
        if pipeline.status != "running" {
            break pipeline;
        }
        assert!(Instant::now() < end, "{:?}", pipeline.counts);
        std::thread::sleep(Duration::from_millis(100));
    };
    println!("{MODULES} modules on {slots} slots in {:?}", begun.elapsed());
    let failed: Vec<_> = pipeline.modules.iter().filter(|module| module.state == "failed").collect();
    assert_eq!(pipeline.counts, [("succeeded".to_string(), MODULES)].into(), "{} {failed:?}", pipeline.status);
    assert!(pipeline.modules.iter().all(|module| module.attempts == 1));
    let log = std::fs::read_to_string(&log).expect("the log");
    let mut at: HashMap<(&str, &str), usize> = HashMap::new();
    let (mut running, mut most) = (0usize, 0);
    for (line, text) in log.lines().enumerate() {
        let (what, name) = text.split_once(' ').expect("a word and a name");
        assert!(at.insert((what, name), line).is_none(), "{text} twice");
        running = if what == "begin" { running + 1 } else { running - 1 };
        most = most.max(running);
    }
    assert!(most <= slots, "{most} at once");
    for (name, after) in &modules {
        for dependency in after {
            assert!(at[&("end", dependency.as_str())] < at[&("begin", name.as_str())], "{name} before {dependency}");
        }
    }
}
