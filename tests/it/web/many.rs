//! 500 functions and 100 nodes: the page keeps up, with little work, while calls go on.

use super::{at, open};
use crate::wire::ask;
use cares::types::FunctionSpec;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const FUNCTIONS: usize = 500;
const NODES: usize = 100;
/// As nodes do.
const BEAT: Duration = Duration::from_secs(4);
/// Watched for so long, of which the page may work so much: on one core, and in a build for tests on both sides.
const WATCHED: Duration = Duration::from_secs(5);
const BUSY_MAX_S: f64 = 1.5;

#[test]
fn five_hundred_functions_and_a_hundred_nodes_stay_smooth() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    for n in 0..FUNCTIONS {
        let spec = FunctionSpec { name: format!("f{n:03}"), image: "examples/none".into(), ..Default::default() };
        cluster.client.register(&spec).expect("registered");
    }
    let register = || {
        for n in 0..NODES {
            let node = json!({"workerNode": {"id": format!("n{n:02}"), "endpoint": format!("http://127.0.0.1:{}", 20_000 + n),
                "capabilities": {"os": "linux", "installedTools": [], "maxParallelModules": 4, "tags": []}}});
            let joined = ask(cluster.head.http(), "POST", "/api/workers/register", &[], node.to_string().as_bytes());
            assert_eq!(joined.status, 200, "{}", joined.text());
        }
    };
    register();
    let beat = || {
        for n in 0..NODES {
            let body = json!({"workerId": format!("n{n:02}")}).to_string();
            ask(cluster.head.http(), "POST", "/api/workers/heartbeat", &[], body.as_bytes());
        }
    };
    cluster.deploy_echo("");
    browser.go(&at(&cluster, "/functions"));
    browser.shows("1 to 50 of 501");
    browser.is_so("a page of them is drawn", "return document.querySelectorAll('tbody tr').length === 50");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = Instant::now();
            while !over.load(Ordering::Relaxed) {
                cluster.call("echo", "x");
                if last.elapsed() > BEAT {
                    beat(); // they are lost otherwise
                    last = Instant::now();
                }
            }
        });
        let busy = |path: &str, shows: &str| {
            browser.go(&at(&cluster, path));
            browser.shows(shows);
            let worked = || {
                browser.cdp("Performance.enable", json!({"timeDomain": "threadTicks"}));
                let all = browser.cdp("Performance.getMetrics", json!({}));
                let task =
                    all["metrics"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "TaskDuration"));
                task.and_then(|one| one["value"].as_f64()).expect("a figure")
            };
            let before = worked();
            thread::sleep(WATCHED); // it is what it does in this time that counts
            let busy = worked() - before;
            eprintln!("{path}: {busy:.2} s of {} s", WATCHED.as_secs());
            busy
        };
        let found =
            [busy("/", "All 101 nodes"), busy("/functions", "1 to 50 of 501"), busy("/nodes", "1 to 50 of 101")];
        over.store(true, Ordering::Relaxed);
        assert!(found.iter().all(|busy| *busy < BUSY_MAX_S), "{found:?}");
    });
    browser.go(&at(&cluster, "/functions"));
    browser.click("Next");
    browser.shows("51 to 100 of 501");
    browser.fill("Find functions", "f49");
    browser.shows("10 functions of 501");
    // The quickest of some: others have the machine too.
    let drawn = browser.js(
        "const find = document.querySelector('input[type=search]'); \
         const once = (text) => { find.value = text; find.dispatchEvent(new Event('input')); return document.body.offsetHeight; }; \
         return Math.min(...[1, 2, 3, 4, 5].map(() => { once('f49'); const began = performance.now(); once(''); return performance.now() - began; }))",
        json!([]),
    );
    eprintln!("all of them again after a filter: {drawn} ms");
    assert!(drawn.as_f64().is_some_and(|took| took < 250.0), "{drawn}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
