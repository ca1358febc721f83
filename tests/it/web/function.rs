//! The page of a function: calling it, its log, instances, settings and revisions, and what is shown before the answer.

use super::{open, yes};
use crate::harness::wait_for;
use serde_json::json;

#[test]
fn a_function_is_called_and_its_answer_read() {
    let Some((cluster, browser)) = open(1, "/functions/echo") else { return };
    browser.shows("There is no function “echo”");
    cluster.deploy_echo("");
    browser.shows("/invoke/echo");
    browser.fill("Body", "{\"a\":[1,2]}");
    browser.fill("Headers", "Content-Type: application/json\nX-Own: yes");
    browser.fill("Path and query", "/deep/path?q=1");
    browser.click("Send");
    browser.shows("200 OK");
    browser.shows("\"a\": [\n    1,");
    browser.fill("Headers", "no colon");
    browser.click("Send");
    browser.shows("“no colon” has no colon");
    browser.fill("Headers", "");
    browser.check("Call it later (asynchronous): the answer is the call’s id");
    browser.click("Send");
    browser.shows("202 Accepted");
    browser.shows("\"function\": \"echo\"");
    assert!(wait_calls(&cluster, 2), "both were called");
    browser.is_so("the page counts them", "return /Calls\\s*2/.test(document.body.innerText)");
}

#[test]
fn a_call_that_takes_long_is_given_up() {
    let Some((cluster, browser)) = open(1, "/functions/waits") else { return };
    cluster.deploy_script("waits", "exec sleep 600");
    browser.click("Send");
    wait_for("it is called", || cluster.client.function("waits").is_ok_and(|f| f.in_flight == 1));
    browser.is_so("it is not sent twice", "return document.querySelector('form .primary').disabled");
    browser.shows("running");
    browser.click("Cancel");
    browser.is_so("it can be sent again", "return !document.querySelector('form .primary').disabled");
    wait_for("it is over", || cluster.client.function("waits").is_ok_and(|f| f.in_flight == 0));
    browser.hides("That did not work");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn wait_calls(cluster: &crate::harness::Cluster, calls: u64) -> bool {
    wait_for("it was called", || cluster.client.function("echo").is_ok_and(|f| f.calls == calls));
    true
}

#[test]
fn a_log_is_followed_and_searched_and_is_never_html() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    cluster.deploy_script("loud", "cat >&2; echo '<img src=x onerror=window.hurt=1><b>bold</b>' >&2");
    assert_eq!(cluster.call("loud", "the first\n").0, 200);
    browser.go(&super::at(&cluster, "/functions/loud/logs"));
    browser.shows("the first");
    browser.shows("<img src=x onerror=window.hurt=1><b>bold</b>");
    assert_eq!(cluster.call("loud", "the second\n").0, 200);
    browser.shows("the second");
    browser.fill("Find in the log", "second");
    browser.hides("the first");
    browser.shows("1 line of 4");
    assert_eq!(browser.js("return window.hurt ?? document.querySelectorAll('.log img, .log b').length", json!([])), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn it_is_scaled_changed_rolled_back_and_deleted() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    cluster.deploy_echo("");
    browser.go(&super::at(&cluster, "/functions/echo/instances"));
    browser.fill("Always warm", "1");
    browser.click("Scale");
    browser.shows("echo is scaled");
    wait_for("an instance is warm", || {
        cluster.client.function("echo").is_ok_and(|f| f.instances.iter().any(|i| i.status == "warm"))
    });
    browser.shows("warm");
    browser.js("location.reload()", json!([]));
    browser.is_so("it says on which node", "return document.querySelector('tbody a')?.textContent === 'w1'");

    browser.click("Settings");
    browser.fill("Time limit, seconds", "-1");
    browser.js("document.querySelectorAll('form').forEach((form) => (form.noValidate = true))", json!([]));
    browser.click("Save and deploy");
    browser.shows("timeout_s: must be");
    browser.is_so("the field is marked", "return document.activeElement.getAttribute('aria-invalid') === 'true'");
    browser.fill("Time limit, seconds", "7");
    browser.fill("Environment", "GREETING=a=b");
    browser.click("Save and deploy");
    wait_for("a second revision is there", || cluster.client.function("echo").is_ok_and(|f| f.revision == 2));
    let changed = cluster.client.function("echo").expect("it is there");
    assert_eq!((changed.timeout_s, changed.min, changed.env["GREETING"].as_str()), (7.0, 1, "a=b"));
    assert_eq!(changed.command, ["cares", "demo-function", "echo"]);

    wait_for("it serves", || cluster.client.function("echo").is_ok_and(|f| f.serving == 2));
    browser.click("Revisions");
    browser.click("Roll back to revision 1");
    yes(&browser, "Roll back");
    wait_for("it went back", || cluster.client.function("echo").is_ok_and(|f| f.revision == 3 && f.timeout_s == 30.0));
    browser.click("Redeploy");
    wait_for("once more", || cluster.client.function("echo").is_ok_and(|f| f.revision == 4));

    browser.click("Delete");
    yes(&browser, "Cancel");
    assert!(cluster.client.function("echo").is_ok());
    browser.click("Delete");
    yes(&browser, "Delete");
    browser.shows("No function is deployed yet");
    assert!(cluster.client.function("echo").is_err());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_is_done_is_shown_at_once_and_taken_back_when_it_fails() {
    let Some((mut cluster, browser)) = open(1, "/") else { return };
    let node = cluster.client.node("w1").expect("it is there");
    browser.go(&super::at(&cluster, &format!("/nodes/{}", node.id)));
    let is = |word: &str| {
        let script = format!("return document.querySelector('.title .status').innerText.includes('{word}')");
        browser.is_so(&format!("the node is shown {word}"), &script);
    };
    is("active");
    cluster.head.signal("STOP");
    browser.click("Cordon");
    is("cordoned"); // nobody has said so yet
    browser.is_so("and cannot be done twice", "return document.querySelector('[aria-busy]')?.disabled === true");
    cluster.head.kill();
    browser.shows("That did not work. The orchestrator cannot be reached.");
    is("active");
    cluster.restart_head();
    cluster.wait_linked("w1");
    assert!(!cluster.client.node("w1").expect("it is there").cordoned);
    browser.click("Cordon");
    browser.shows("w1 gets nothing new");
    wait_for("it is cordoned", || cluster.client.node("w1").is_ok_and(|n| n.cordoned));
    browser.hides("That did not work");
    browser.click("Uncordon");
    wait_for("it is not", || cluster.client.node("w1").is_ok_and(|n| !n.cordoned));
    is("active");
}

#[test]
fn it_is_stopped_until_it_is_started() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    cluster.deploy_echo("");
    browser.go(&super::at(&cluster, "/functions/echo"));
    browser.click("Stop");
    yes(&browser, "Stop");
    browser.shows("echo is stopped");
    assert_eq!(cluster.problem("echo", "x").code, "function_stopped");
    browser.click("Send");
    browser.shows("503 Service Unavailable");
    browser.click("Start");
    browser.shows("echo is started");
    assert_eq!(cluster.call("echo", "x").0, 200);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
