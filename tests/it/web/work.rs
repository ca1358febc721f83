//! Tasks, pipelines and nodes: run, look, end.

use super::{at, open, yes};
use crate::harness::wait_for;
use serde_json::json;

#[test]
fn a_task_is_run_read_stopped_and_deleted() {
    let Some((cluster, browser)) = open(1, "/tasks") else { return };
    cluster.deploy_script("ticks", "while :; do echo tick; sleep 0.1; done");
    let image = cluster.client.function("ticks").expect("it is there").image;
    browser.click("Run a task");
    browser.fill("Image", &image);
    browser.fill("Name", "ticker");
    browser.fill("Command", "sh -c 'while :; do echo \"tick tock\"; sleep 0.1; done'");
    browser.click("Run");
    browser.is_so("its log is there", "return document.querySelector('.log')?.innerText.includes('tick tock')");
    browser.is_so("the page is called what it is of", "return document.querySelector('h1').textContent === 'ticker'");
    browser.shows("running");
    browser.click("Stop");
    browser.shows("stopped");
    browser.is_so(
        "its log ends, and is asked for again",
        "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/logs')).length > 1",
    );
    assert!(!browser.text().contains("nothing yet"), "{}", browser.text());
    browser.click("Start again");
    browser.shows("running");
    browser.click("Stop");
    browser.shows("stopped");
    browser.click("Delete");
    yes(&browser, "Delete");
    browser.shows("No task was run yet");
    browser.click("Run a task");
    browser.fill("Image", "bundle:0000");
    browser.click("Run");
    browser.shows("That did not work.");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_pipeline_lights_up_as_it_runs() {
    let Some((cluster, browser)) = open(1, "/pipelines") else { return };
    let gate = cluster.dir.path().join("gate");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done; echo \"<b>made</b>\"", gate.display());
    cluster.deploy_open_script("waits", &wait);
    cluster.deploy_script("fails", "echo broken >&2; exit 3");
    let document = json!({"name": "shown", "modules": [
        {"name": "build", "function": "waits"},
        {"name": "check", "function": "waits", "dependsOn": ["build"]},
        {"name": "lint", "function": "fails", "dependsOn": ["build"]},
        {"name": "report", "function": "waits", "dependsOn": ["check", "lint"], "condition": "always"},
        {"name": "publish", "function": "waits", "dependsOn": ["build", "check", "lint"]},
    ]});
    browser.click("Run a pipeline");
    browser.js("document.querySelector('details textarea').value = arguments[0]", json!([document.to_string()]));
    browser.click("Run");
    let lit = |module: &str, state: &str| {
        let script = format!(
            "return Boolean(document.querySelector('.graph g[data-name=\"{module}\"][data-state=\"{state}\"]'))"
        );
        browser.is_so(&format!("{module} is {state}"), &script);
    };
    lit("build", "running");
    lit("publish", "pending");
    browser.is_so("it glows", "return document.querySelectorAll('.graph .pulses').length === 1");
    assert_eq!(browser.js("return document.querySelectorAll('.graph .edge').length", json!([])), 7);
    browser.is_so("the page is called what it is of", "return document.querySelector('h1').textContent === 'shown'");
    let crossed = "const boxes = [...document.querySelectorAll('.graph .box')].map((one) => one.getBoundingClientRect()); \
        return [...document.querySelectorAll('.graph .edge')].filter((edge) => { \
            const screen = edge.getScreenCTM(); \
            return Array.from({length: 99}, (_, n) => edge.getPointAtLength((n + 1) * edge.getTotalLength() / 100).matrixTransform(screen)) \
                .some(({x, y}) => boxes.some((box) => x > box.left + 2 && x < box.right - 2 && y > box.top && y < box.bottom)); \
        }).length";
    assert_eq!(browser.js(crossed, json!([])), 0, "lines that pass through a module");
    std::fs::write(&gate, "").expect("written");
    for (module, state) in [
        ("build", "succeeded"),
        ("check", "succeeded"),
        ("lint", "failed"),
        ("report", "succeeded"),
        ("publish", "skipped"),
    ] {
        lit(module, state);
    }
    browser.shows("broken");
    browser.click("Result of build");
    browser.shows("<b>made</b>");
    browser.click("Retry");
    browser.shows("run 2");
    browser.go(&at(&cluster, "/pipelines"));
    browser.shows("shown");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_pipeline_is_cancelled_and_run_again() {
    let Some((cluster, browser)) = open(1, "/pipelines") else { return };
    let gate = cluster.dir.path().join("gate");
    cluster.deploy_open_script("waits", &format!("while [ ! -e {} ]; do sleep 0.05; done; echo made", gate.display()));
    let document = json!({"name": "long", "modules": [{"name": "one", "function": "waits"}]});
    browser.click("Run a pipeline");
    browser.fill("Document", "{");
    browser.click("Run");
    browser.shows("The document is no JSON");
    browser.fill("Document", &document.to_string());
    browser.click("Run");
    browser.shows("running");
    browser.click("Cancel");
    yes(&browser, "Cancel it");
    browser.shows("The pipeline is cancelled");
    browser.shows("cancelled");
    std::fs::write(&gate, "").expect("written");
    browser.click("Retry");
    browser.shows("run 2");
    browser.shows("succeeded");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_node_is_drained_and_comes_back() {
    let Some((mut cluster, browser)) = open(1, "/nodes") else { return };
    browser.shows("w1");
    browser.click("w1");
    browser.shows("Instances");
    browser.click("Drain");
    yes(&browser, "Drain");
    wait_for("it drains", || cluster.client.node("w1").is_ok_and(|n| n.status == "draining" || n.cordoned));
    browser.click("Uncordon");
    cluster.wait_status("w1", "active");
    browser.is_so("it says so", "return document.querySelector('.title .status').innerText.includes('active')");
    cluster.workers[0].kill();
    browser.shows("disconnected");
    browser.click("Remove");
    yes(&browser, "Remove");
    browser.shows("No machine has joined yet");
}
