//! Pictures of the pages in light, dark and on a phone, into the folder that CARES_SHOTS names: for the README, and to be looked at.

use super::{at, open};
use serde_json::json;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

#[test]
fn pictures() {
    let Ok(dir) = std::env::var("CARES_SHOTS").map(PathBuf::from) else { return };
    let Some((mut cluster, browser)) = open(0, "/") else { return };
    for (name, room) in [("attic", "lab"), ("garage", "shop"), ("kitchen", "home")] {
        cluster.add_worker(name, &["--engine", "process", "--tag", &format!("room={room}")]);
    }
    cluster.deploy_echo(r#","min":2"#);
    cluster.deploy_script("resize", "cat >/dev/null; echo 'resized to 640x480'; echo 'read 1 image' >&2");
    cluster.deploy_script("nightly-report", "sleep 0.05; cat >/dev/null; echo '3 new'");
    cluster.deploy_script("publish", "sleep 600");
    cluster.deploy_script("check", "echo 'no such table: orders' >&2; exit 3");
    let document = json!({"name": "release", "failurePolicy": "continue", "modules": [
        {"name": "fetch", "function": "resize"},
        {"name": "build", "function": "resize", "dependsOn": ["fetch"]},
        {"name": "unit tests", "function": "resize", "dependsOn": ["build"]},
        {"name": "schema check", "function": "check", "dependsOn": ["build"]},
        {"name": "package", "function": "publish", "dependsOn": ["unit tests"]},
        {"name": "announce", "function": "resize", "dependsOn": ["package", "schema check"], "condition": "always"},
    ]});
    for module in document["modules"].as_array().expect("modules") {
        assert!(module["name"].is_string());
    }
    let text = document.to_string().replace("unit tests", "unit-tests").replace("schema check", "schema-check");
    let sent = crate::wire::ask(cluster.head.http(), "POST", "/api/pipelines", &[], text.as_bytes());
    assert_eq!(sent.status, 201, "{}", sent.text());
    let pipeline = sent.json()["id"].as_str().expect("an id").to_string();
    browser.shows("kitchen");
    for n in 0..60 {
        for name in ["echo", "resize", "nightly-report"] {
            if name == "echo" || n % 6 == 0 {
                cluster.call(name, "{\"from\": \"the README\"}");
            }
        }
        thread::sleep(Duration::from_millis(250)); // the lines of the last minutes are drawn meanwhile
    }
    let sizes = [("light", 1280, 860), ("dark", 1280, 860), ("phone", 390, 844)];
    let pages = [
        ("overview", "/".to_string(), "kitchen"),
        ("functions", "/functions".into(), "resize"),
        ("function", "/functions/echo".into(), "/invoke/echo"),
        ("logs", "/functions/resize/logs".into(), "read 1 image"),
        ("settings", "/functions/echo/settings".into(), "All other settings"),
        ("instances", "/functions/echo/instances".into(), "warm"),
        ("revisions", "/functions/echo/revisions".into(), "serving"),
        ("deploy", "/deploy".into(), "Drop a folder"),
        ("tasks", "/tasks".into(), "Run a task"),
        ("pipelines", "/pipelines".into(), "release"),
        ("pipeline", format!("/pipelines/{pipeline}"), "no such table"),
        ("nodes", "/nodes".into(), "garage"),
        ("tokens", "/tokens".into(), "There are none"),
    ];
    for (scheme, width, height) in sizes {
        browser.colours(if scheme == "phone" { "light" } else { scheme });
        browser.size(width, height);
        for (name, path, shows) in &pages {
            browser.go(&at(&cluster, path));
            browser.shows(shows);
            if *name == "function" {
                browser.fill("Path and query", "/orders?limit=2");
                browser.fill("Body", "{\"customer\": 7, \"items\": [\"lamp\", \"chair\"]}");
                browser.click("Send");
                browser.shows("200 OK");
            }
            browser.js("scrollTo(0, 0)", json!([]));
            thread::sleep(Duration::from_millis(600)); // what slides in has done so
            browser.picture(&dir.join(format!("{name}-{scheme}.png")));
        }
    }
}
