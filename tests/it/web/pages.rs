//! What is true of every page: nothing comes from elsewhere, axe finds nothing serious in light, dark and on a phone, nothing is
//! wider than a phone, and the keyboard is enough.

use super::{at, open};
use crate::browser::{Browser, required};
use crate::harness::Cluster;
use crate::wire::ask;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Of a page: its address and what it shows once it is there.
fn pages(cluster: &Cluster) -> Vec<(String, &'static str)> {
    cluster.deploy_echo(r#","min":1"#);
    cluster.deploy_script("line", "echo 'a line' >&2; echo done");
    let image = cluster.client.function("line").expect("it is there").image;
    let task = json!({"name": "some-task", "image": image, "command": ["sh", "-c", "echo 'a line'; exit 3"]});
    let pipeline =
        json!({"modules": [{"name": "a", "function": "line"}, {"name": "b", "function": "line", "dependsOn": ["a"]}]});
    let ids = [("/api/v1/manager/tasks", task), ("/api/pipelines", pipeline)].map(|(path, body)| {
        let made = ask(cluster.head.http(), "POST", path, &[], body.to_string().as_bytes());
        made.json()["id"].as_str().expect("an id").to_string()
    });
    let node = cluster.client.node("w1").expect("it is there").id;
    let said = |path: &str, shows| (path.to_string(), shows);
    vec![
        said("/", "Function 'echo' is registered"),
        said("/functions", "echo"),
        said("/functions/echo", "/invoke/echo"),
        said("/functions/echo/logs", "Follow"),
        said("/functions/echo/instances", "Always warm"),
        said("/functions/echo/settings", "All other settings"),
        said("/functions/echo/revisions", "serving"),
        said("/deploy", "Drop a folder or a zip here"),
        said("/tasks", "some-task"),
        said("/pipelines", "Run a pipeline"),
        said("/nodes", "w1"),
        (format!("/nodes/{node}"), "Drain"),
        (format!("/tasks/{}", ids[0]), "a line"),
        (format!("/pipelines/{}", ids[1]), "succeeded"),
        said("/tokens", "There are none"),
        said("/nowhere", "There is no such page"),
    ]
}

/// axe-core's script: `CARES_AXE` says where, else where scripts/axe puts it.
fn axe() -> Option<String> {
    let target =
        PathBuf::from(env!("CARGO_BIN_EXE_cares")).parent().and_then(|debug| debug.parent().map(PathBuf::from));
    let usual = target.expect("a folder").join("axe/node_modules/axe-core/axe.min.js");
    let file = std::env::var("CARES_AXE").map_or(usual, PathBuf::from);
    let script = std::fs::read_to_string(&file).ok();
    if script.is_none() {
        assert!(!required(), "CARES_REQUIRE_BROWSER=1, but there is no {}: scripts/axe fetches it", file.display());
        eprintln!("skipped, as there is no {}: scripts/axe fetches it", file.display());
    }
    script
}

/// What axe finds that would stop somebody.
fn findings(browser: &Browser) -> Vec<String> {
    let found = browser.js_later(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((all) => done(all.violations\
         .filter((one) => ['serious', 'critical'].includes(one.impact))\
         .map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`)), (why) => done([String(why)]))",
        json!([]),
    );
    found.as_array().into_iter().flatten().map(ToString::to_string).collect()
}

#[test]
fn axe_finds_nothing_serious_in_light_dark_and_on_a_phone() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    let Some(script) = axe() else { return };
    let pages = pages(&cluster);
    browser.shows("echo");
    let mut wrong = Vec::new();
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390)] {
        browser.colours(scheme);
        browser.size(width, 900);
        for (path, shows) in &pages {
            browser.go(&at(&cluster, path));
            browser.js("location.reload()", json!([]));
            browser.shows(shows);
            assert_eq!(browser.js("return document.getAnimations().length", json!([])), 0, "{path}: nothing moves");
            browser.js(&script, json!([]));
            wrong.extend(findings(&browser).into_iter().map(|one| format!("{path} {scheme} {width}: {one}")));
            let wide = browser.js("return document.documentElement.scrollWidth - innerWidth", json!([]));
            if wide.as_i64().is_some_and(|wide| wide > 0) {
                wrong.push(format!("{path} {width}: is {wide} wider than the window"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_fits_its_window_and_ends_with_what_it_shows() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    let long = "a-name-as-long-as-any-may-be-which-is-sixty-three-characters-ok";
    cluster.deploy_script(long, "echo done");
    let mut pages = pages(&cluster);
    pages.push((format!("/functions/{long}"), "/invoke/"));
    let mut wrong = Vec::new();
    for width in [820, 390] {
        browser.size(width, 900);
        for (path, shows) in &pages {
            browser.go(&at(&cluster, path));
            browser.shows(shows);
            // Wider than the window, tables that must be pushed aside, and what is left blank below the content.
            let found = browser.js(
                "const all = document.documentElement; const end = document.getElementById('main').getBoundingClientRect().bottom + scrollY; \
                 return [all.scrollWidth - innerWidth, ...[...document.querySelectorAll('.scroll')].map((one) => one.scrollWidth - one.clientWidth), \
                 all.scrollHeight - Math.max(innerHeight, end)].map(Math.floor).filter((over) => over > 0)",
                json!([]),
            );
            if found != json!([]) {
                wrong.push(format!("{path} {width}: {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_there_is_said_and_nothing_can_be_done_with_it() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    for (path, shows) in [
        ("/functions/none", "There is no function “none”"),
        ("/tasks/none", "There is no task “none”"),
        ("/pipelines/none", "There is no pipeline “none”"),
        ("/nodes/none", "There is no node “none”"),
    ] {
        browser.go(&at(&cluster, path));
        browser.shows(shows);
        let buttons =
            "return [...document.querySelectorAll('main button')].filter((one) => one.checkVisibility()).length";
        assert_eq!(browser.js(buttons, json!([])), 0, "{path}");
        assert!(!browser.text().contains("Reconnecting"), "{}", browser.text());
    }
}

#[test]
fn colours_are_chosen_and_stay_and_an_address_is_copied() {
    let Some((cluster, browser)) = open(1, "/functions/echo") else { return };
    cluster.deploy_echo("");
    let is = |scheme: &str| {
        let script = format!("return document.documentElement.style.colorScheme === '{scheme}'");
        browser.is_so(&format!("it is {scheme}"), &script);
    };
    is("light dark");
    browser.click("Colours: auto. Change");
    is("light");
    browser.click("Colours: light. Change");
    is("dark");
    browser.js("location.reload()", json!([]));
    is("dark");
    browser.click("Copy: Address");
    browser.shows("Address copied");
}

#[test]
fn nothing_comes_from_elsewhere() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    for (path, shows) in pages(&cluster) {
        browser.go(&at(&cluster, &path));
        browser.shows(shows);
    }
    let names = browser.js("return performance.getEntriesByType('resource').map((entry) => entry.name)", json!([]));
    let names: Vec<&str> = names.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(names.len() > 30, "{names:?}");
    let own = format!("{}/", cluster.head.url());
    let strangers: Vec<&&str> = names.iter().filter(|name| !name.starts_with(&own)).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let asked = browser.js_later(
        "const done = arguments[0]; document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective), {once: true}); \
         fetch('http://192.0.2.1/').catch(() => {});",
        json!([]),
    );
    assert_eq!(asked, "connect-src", "its policy holds");
}

#[test]
fn the_keyboard_is_enough() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const RIGHT: &str = "\u{e014}";
    const ESCAPE: &str = "\u{e00c}";
    let Some((cluster, browser)) = open(1, "/functions") else { return };
    cluster.deploy_echo("");
    browser.shows("echo");
    let focus = || browser.js("return document.activeElement.textContent.trim()", json!([]));
    browser.js("document.body.focus()", json!([]));
    browser.press(TAB);
    assert_eq!(focus(), "Skip to the content");
    browser.press(ENTER);
    browser.is_so("the content has it", "return document.activeElement.id === 'main'");
    for _ in 0..9 {
        browser.press(TAB);
        if focus() == "echo" {
            break;
        }
    }
    assert_eq!(focus(), "echo");
    browser.press(ENTER);
    browser.shows("/invoke/echo");
    browser.is_so("the heading has it", "return document.activeElement.tagName === 'H1'");
    browser.js("document.querySelector('[role=tab][aria-selected=true]').focus()", json!([]));
    browser.press(RIGHT);
    assert_eq!(focus(), "Logs");
    browser.is_so("the tab is open", "return location.hash === '#/functions/echo/logs'");
    browser
        .js("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Delete').focus()", json!([]));
    browser.press(ENTER);
    browser.is_so("it asks, and no is the usual answer", "return document.querySelector('dialog[open]')?.contains(document.activeElement) && document.activeElement.textContent === 'Cancel'");
    browser.press(ESCAPE);
    browser.is_so("it asks no more", "return !document.querySelector('dialog')");
    assert!(cluster.client.function("echo").is_ok());
}
