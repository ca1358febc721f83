//! What happens while the page is open is shown: nodes and functions that come and go, calls, and the orchestrator itself.

use super::{at, open};
use crate::harness::{cares, run, wait_for};
use serde_json::json;

#[test]
fn the_overview_follows_what_happens() {
    let Some((mut cluster, browser)) = open(1, "/") else { return };
    browser.shows("w1");
    browser.is_so("it is live", "return document.body.dataset.state === 'live'");
    cluster.deploy_echo("");
    browser.shows("echo");
    browser.shows("Function 'echo' is registered");
    assert_eq!(cluster.call("echo", "x").0, 200);
    browser.shows("1 call ·");
    browser.is_so("what runs pulses", "return Boolean(document.querySelector('.status.pulses'))");
    cluster.add_worker("w2", &[]);
    browser.shows("w2");
    cluster.workers[1].kill();
    browser.shows("Node 'w2' is disconnected");
    browser.is_so(
        "the node's card says so",
        "return document.querySelectorAll('.node[data-state=disconnected]').length === 1",
    );
    browser.is_so(
        "messages stand in one column, whatever their level",
        "const all = [...document.querySelectorAll('.events li')].map((one) => one.lastChild.getBoundingClientRect().left); \
         return document.querySelector('.events li.warn .sign')?.textContent === '▲' && new Set(all.map(Math.round)).size === 1",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn an_orchestrator_that_stops_is_said_to_and_all_is_there_when_it_is_back() {
    let Some((mut cluster, browser)) = open(1, "/") else { return };
    cluster.deploy_echo("");
    browser.shows("echo");
    cluster.head.kill();
    browser.shows("Reconnecting");
    assert!(browser.text().contains("echo"), "what it last said stays");
    cluster.restart_head();
    browser.is_so("it is live again", "return document.body.dataset.state === 'live'");
    wait_for("the worker is back", || cluster.client.node("w1").is_ok_and(|node| node.status == "active"));
    cluster.deploy_script("later", "echo later");
    browser.shows("later");
    browser.shows("Function 'later' is registered");
}

#[test]
fn where_streams_do_not_come_through_it_asks_again_and_again() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    browser.is_so("it is live", "return document.body.dataset.state === 'live'");
    browser.cdp("Network.enable", json!({}));
    browser.cdp("Network.setBlockedURLs", json!({"urls": ["*watch=true*"]}));
    browser.js("location.reload()", json!([]));
    browser.shows("Every 3 s");
    cluster.deploy_echo("");
    browser.shows("echo");
}

#[test]
fn many_windows_leave_each_other_connections() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    browser.shows("w1");
    for _ in 0..3 {
        browser.window(&at(&cluster, "/")); // a browser opens six connections to one server, for all of them
        browser.shows("w1");
    }
    cluster.deploy_echo("");
    browser.shows("echo");
    browser.go(&at(&cluster, "/functions/echo"));
    browser.click("Send");
    browser.shows("200 OK");
}

#[test]
fn a_page_of_which_a_part_did_not_come_loads_once_more() {
    let Some((cluster, browser)) = open(1, "/nothing") else { return };
    browser.shows("There is no such page");
    browser.cdp("Network.enable", json!({}));
    browser.cdp("Network.setCacheDisabled", json!({"cacheDisabled": true}));
    browser.cdp("Network.setBlockedURLs", json!({"urls": ["*/meter.js"]}));
    browser.go("about:blank");
    browser.go(&at(&cluster, "/"));
    browser.is_so("it tries", "return Number(sessionStorage.getItem('cares-loads')) > 0");
    browser.cdp("Network.setBlockedURLs", json!({"urls": []}));
    browser.shows("w1");
}

#[test]
fn of_a_node_that_has_not_been_here_it_shows_that_little_is_known() {
    let Some((mut cluster, browser)) = open(1, "/") else { return };
    browser.shows("cores");
    let id = cluster.client.node("w1").expect("it is there").id;
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    cluster.restart_head();
    browser.shows("Not here since the orchestrator started.");
    browser.go(&at(&cluster, &format!("/nodes/{id}")));
    browser.is_so(
        "it is unknown",
        r"return /System\s+unknown\s+Cores\s+unknown\s+Memory\s+unknown/.test(document.body.innerText)",
    );
    let (_, wide, _) = run(cares().args(["node", "list", "-o", "wide", "--url", &cluster.head.url()]));
    assert!(wide.contains("<none>") && !wide.contains(" / "), "{wide}");
}
