//! `cares build`: folders that are built and not deployed, and what became of builds.

use super::process::{cli, cluster, fine, runtime};
use crate::harness::wait_for;
use serde_json::Value;
use std::fs;

#[test]
fn builds_are_run_listed_looked_at_followed_and_cancelled() {
    let own = tempfile::tempdir().expect("a folder");
    let card = r#"{"detect":["slow"],"tools":["sh"],"start":["sh","slow"],"build":[
        "if [ -e wait ]; then echo begun; sleep 600; fi", "if [ -e bad ]; then echo no >&2; exit 3; fi",
        "echo 'cat; echo built' >>slow"]}"#;
    runtime(own.path(), card);
    let cluster = cluster(&["--runtimes", own.path().to_str().expect("UTF-8")]);
    let json = |words: &[&str]| -> Value { serde_json::from_str(&fine(&cluster, words)).expect("JSON") };
    assert!(fine(&cluster, &["build", "list"]).contains("No builds"));
    let folder = |name: &str, files: &[&str]| {
        let dir = cluster.dir.path().join(name);
        fs::create_dir_all(&dir).expect("a folder");
        files.iter().for_each(|file| fs::write(dir.join(file), "").expect("a file"));
    };
    // Built, and nothing is deployed; what came of it can be registered.
    folder("mine", &["slow"]);
    let said = fine(&cluster, &["build", "run", "mine"]);
    let image =
        said.split_whitespace().find(|word| word.starts_with("bundle:")).expect("an image").trim_end_matches('.');
    assert!(said.contains("packing") && said.contains(&format!("cares register mine {image}")), "{said}");
    assert!(cluster.client.functions().expect("functions").is_empty());
    fine(&cluster, &["register", "mine", image]);
    assert_eq!(cluster.call("mine", "Ann"), (200, "Annbuilt\n".into()));
    // One that waits, followed and cancelled by its id.
    folder("slow", &["slow", "wait"]);
    let begun = json(&["build", "run", "slow", "--name", "other", "--detach", "-q", "-o", "json"]);
    let id = begun["id"].as_str().expect("an id").to_string();
    wait_for("its step runs", || fine(&cluster, &["build", "log", &id]).lines().any(|line| line == "begun"));
    let table = fine(&cluster, &["build", "list"]);
    let row = table.lines().find(|line| line.starts_with(&id)).unwrap_or_else(|| panic!("no {id}: {table}"));
    assert!(row.contains("other") && row.contains("running") && row.contains("<none>"), "{table}");
    std::thread::scope(|scope| {
        let follow = scope.spawn(|| fine(&cluster, &["build", "log", &id, "-f", "-o", "json"]));
        let said = fine(&cluster, &["build", "cancel", &id]);
        assert!(said.contains(&format!("cancelling {id}")), "{said}");
        let lines = follow.join().expect("its end");
        let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert!(first["line"].is_string(), "{lines}");
    });
    wait_for("it is cancelled", || json(&["build", "get", &id, "-o", "json"])["status"] == "cancelled");
    let (done, said) = cli(&cluster, &["build", "cancel", &id]);
    assert!(!done && said.contains("has ended"), "{said}");
    // One that fails, and what is no build.
    folder("bad", &["slow", "bad"]);
    let (done, said) = cli(&cluster, &["build", "run", "bad"]);
    assert!(!done && said.contains("failed") && said.contains("exit status: 3"), "{said}");
    let failed = json(&["build", "list", "-o", "json"])[0].clone();
    assert_eq!((&failed["name"], &failed["status"]), (&Value::from("bad"), &Value::from("failed")));
    let text = fine(&cluster, &["build", "get", failed["id"].as_str().expect("an id")]);
    assert!(text.contains("Runtime") && text.contains("slow") && text.contains("exit status: 3"), "{text}");
    let (done, said) = cli(&cluster, &["build", "log", "none"]);
    assert!(!done && said.contains("no build 'none' is known"), "{said}");
    folder("bundle", &[]);
    fs::write(cluster.dir.path().join("bundle/function.json"), r#"{"mode":"job","command":["cat"]}"#).expect("written");
    let (done, said) = cli(&cluster, &["build", "run", "bundle"]);
    assert!(!done && said.contains("cares deploy bundle"), "{said}");
}
