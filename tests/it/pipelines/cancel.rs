//! Pipelines are cancelled at random moments while workers and the orchestrator are killed: what was acknowledged stays so,
//! every attempt is counted, order holds, and no process is left. `CARES_CHAOS_SEED` says which moments.

use super::{gated, submit, wait_begun, wait_module};
use crate::dice::Dice;
use crate::harness::{Cluster, wait_for, wait_for_some};
use crate::processes;
use cares::types::Pipeline;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

const PIPELINES: usize = 14;
const MODULES: u64 = 12;

/// What each module depends on.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn random(dice: &mut Dice) -> Graph {
    let after = |n: u64, dice: &mut Dice| (0..dice.below(3).min(n)).map(|_| format!("m{}", dice.below(n))).collect();
    (0..MODULES).map(|n| (format!("m{n}"), after(n, dice))).collect()
}

#[test]
fn cancelled_and_killed_at_random_moments_it_ends_right_and_counts_its_attempts() {
    let seed = std::env::var("CARES_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4713);
    println!("CARES_CHAOS_SEED={seed}");
    let (mut dice, mut cluster) = (Dice(seed), Cluster::start(2));
    let log = cluster.dir.path().join("log");
    std::fs::write(&log, "").expect("written");
    let script =
        "say() { echo \"$1 $CARES_PIPELINE $CARES_MODULE $CARES_ATTEMPT\" >> LOG; }; say begin; sleep $NAP; say end";
    cluster.deploy_open_script("nap", &script.replace("LOG", log.to_str().expect("UTF-8")));
    let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
    let mut cancelled: BTreeSet<String> = BTreeSet::new();
    for _ in 0..PIPELINES {
        let graph = random(&mut dice);
        let modules: Vec<Value> = graph
            .iter()
            .map(|(name, after)| {
                let nap = format!("0.{:02}", 2 + dice.below(15));
                json!({"name": name, "function": "nap", "dependsOn": after, "env": {"NAP": nap}})
            })
            .collect();
        let id = submit(&cluster, json!({ "modules": modules }));
        graphs.insert(id.clone(), graph);
        thread::sleep(Duration::from_millis(dice.below(500))); // the moment
        let one = dice.below(graphs.len() as u64) as usize;
        let any = graphs.keys().nth(one).expect("one of them").clone();
        match dice.below(6) {
            0 => cluster.restart_worker(0, "w1", &[]),
            1 => cluster.restart_head(),
            2 => cancel(&cluster, &any, &mut cancelled),
            3 => {
                cancel(&cluster, &id, &mut cancelled);
                cluster.restart_head(); // it was told that it is cancelled
            }
            4 => {
                cluster.workers[1].kill();
                cancel(&cluster, &id, &mut cancelled);
                cluster.restart_worker(1, "w2", &[]);
            }
            _ => cancel(&cluster, &id, &mut cancelled),
        }
    }
    let ended = |id: &String| {
        wait_for_some(&format!("pipeline {id} ends"), || {
            cluster.client.pipeline(id).ok().filter(|p| p.status != "running")
        })
    };
    let pipelines: Vec<Pipeline> = graphs.keys().map(ended).collect();
    processes::wait_none(&cluster);
    let log = std::fs::read_to_string(&log).expect("the log");
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let at = |what: &str, id: &str, module: &str| {
        let found = lines.iter().enumerate().filter(|(_, line)| line[..3] == [what, id, module]);
        found.map(|(at, line)| (at, line[3].parse::<u32>().expect("a number"))).collect::<Vec<_>>()
    };
    for pipeline in &pipelines {
        let id = &pipeline.id;
        let status = if cancelled.contains(id) { "cancelled" } else { "succeeded" };
        assert_eq!(pipeline.status, status, "{pipeline:#?}");
        for module in &pipeline.modules {
            let (begun, finished) = (at("begin", id, &module.name), at("end", id, &module.name));
            let numbers: BTreeSet<u32> = begun.iter().map(|(_, attempt)| *attempt).collect();
            assert_eq!(numbers.len(), begun.len(), "no attempt runs twice: {begun:?} {module:?}");
            assert!(numbers.iter().all(|n| (1..=module.attempts).contains(n)), "{begun:?} {module:?}");
            let counted = module.interruptions + module.failures;
            match module.state.as_str() {
                "succeeded" => {
                    assert_eq!(module.attempts, counted + 1, "{module:?}");
                    assert!(finished.iter().any(|(_, attempt)| *attempt == module.attempts), "{finished:?} {module:?}");
                }
                "cancelled" => assert!([counted, counted + 1].contains(&module.attempts), "{module:?}"),
                other => panic!("{other}: {module:?}"),
            }
            assert!(status == "cancelled" || module.state == "succeeded", "{module:?}");
            let Some((first, _)) = begun.first() else { continue };
            for dependency in &graphs[id][&module.name] {
                let before = at("end", id, dependency).iter().any(|(end, _)| end < first);
                assert!(before, "{id}: {} began before {dependency} had ended", module.name);
            }
        }
    }
    println!("{} of {} were cancelled; {} attempts", cancelled.len(), pipelines.len(), lines.len());
    let again = cluster.client.pipelines(None).expect("a list");
    assert!(again.iter().all(|p| p.status != "running") && again.len() == PIPELINES);
}

/// Cancels it unless it has ended already; when this returns that is so for good.
fn cancel(cluster: &Cluster, id: &str, cancelled: &mut BTreeSet<String>) {
    match cluster.client.cancel_pipeline(id) {
        Ok(pipeline) => {
            assert!(
                pipeline.modules.iter().all(|m| ["cancelled", "succeeded"].contains(&m.state.as_str())),
                "{pipeline:?}"
            );
            cancelled.insert(id.to_string());
        }
        Err(error) => assert_eq!(error.code(), "pipeline_ended", "{error}"),
    }
}

#[test]
fn neither_a_cancel_nor_a_timeout_leaves_a_process() {
    let cluster = Cluster::start(1);
    gated(&cluster, "wait");
    let module = |name: &str, timeout_s: Option<f64>| {
        let mut module = json!({"name": name, "function": "wait"});
        module.as_object_mut().expect("an object").extend(timeout_s.map(|s| ("timeout_s".to_string(), json!(s))));
        json!({ "modules": [module] })
    };
    let cancelled = submit(&cluster, module("m", None));
    wait_module(&cluster, &cancelled, "m", "running");
    wait_begun(&cluster, "wait");
    assert!(!processes::of(&cluster).is_empty());
    cluster.client.cancel_pipeline(&cancelled).expect("cancelled");
    processes::wait_none(&cluster);
    let late = submit(&cluster, module("m", Some(0.5)));
    wait_for("it is over", || cluster.client.pipeline(&late).is_ok_and(|p| p.status == "failed"));
    let why = cluster.client.pipeline(&late).expect("it").modules[0].error.clone().expect("a reason");
    assert!(why.contains("0.5"), "{why}");
    processes::wait_none(&cluster);
}
