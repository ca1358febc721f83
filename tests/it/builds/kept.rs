//! What a build without a container engine leaves for the function's next one.

use super::build;
use super::process::{PROCESSES, fine, runtime};
use crate::bundles::{file, zip};
use crate::harness::{Cluster, wait_for};
use crate::wire::ask;
use std::fs;
use std::path::{Path, PathBuf};

/// A runtime whose builds tell what is left of the one before, and where they work; its lines end with these.
fn cluster_with(own: &Path, more: &str, limits: &[&str]) -> Cluster {
    let card = format!(
        r#"{{"detect":["slow"],"tools":["sh"],"start":["sh","slow"],"cache":[".cache/x","target"],"build":[
            "echo in $PWD; echo before: $(cat $HOME/.cache/x/made $HOME/other 2>/dev/null)",
            "mkdir -p $HOME/.cache/x; cat slow >>$HOME/.cache/x/made; cat slow >$HOME/other"{more}]}}"#
    );
    runtime(own, &card);
    let flags = ["--runtimes", own.to_str().expect("UTF-8")];
    let mut cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, &flags);
    cluster.add_worker("w1", &[&PROCESSES, limits].concat());
    cluster
}

/// Builds a folder of this text; its log.
fn log(cluster: &Cluster, fields: &[(&str, &str)], text: &str) -> String {
    let made = build(cluster.head.http(), "/build", fields, &zip(&[file("slow", text)]));
    assert_eq!(made.status, 200, "{}", made.text());
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    ask(cluster.head.http(), "GET", &format!("/builds/{id}/log"), &[], b"").text()
}

fn caches(cluster: &Cluster) -> Vec<PathBuf> {
    let dir = fs::read_dir(cluster.dir.path().join("w1/caches")).expect("a folder");
    dir.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_functions_next_build_gets_what_the_last_has_left_and_no_other_does() {
    let own = tempfile::tempdir().expect("a folder");
    let cluster = cluster_with(own.path(), "", &[]);
    let built = |name: &str, text: &str| log(&cluster, &[("name", name)], text);
    let before = |log: &str| log.lines().find_map(|l| l.strip_prefix("before:")).expect("a line").trim().to_owned();
    let first = built("f", "one ");
    assert_eq!(before(&first), "");
    assert_eq!(before(&built("f", "two ")), "one", "what is not named is gone");
    assert_eq!(before(&built("g", "three ")), "", "another's");
    assert_eq!(before(&log(&cluster, &[("name", "f"), ("anew", "true")], "two ")), "", "without any cache");
    assert_eq!(before(&built("f", "four ")), "two");

    // It is gone with the function, here at once.
    fs::create_dir(cluster.dir.path().join("f")).expect("a folder");
    fs::write(cluster.dir.path().join("f/slow"), "echo five ").expect("written");
    fine(&cluster, &["deploy", "f"]);
    assert!(before(&built("f", "six ")).ends_with("echo five"), "also of what was made before it was deployed");
    assert_eq!(caches(&cluster).len(), 2);
    fine(&cluster, &["delete", "f", "--yes"]);
    wait_for("it is gone", || caches(&cluster).len() == 1);
    assert_eq!(before(&built("f", "seven ")), "");
    // In one place each time, as compilers keep paths: but for the moment that the last one's is still being cleared.
    assert!(first.contains("/build-of-f/source"), "{first}");
}

#[test]
fn what_a_build_cannot_read_again_is_not_left_and_the_build_is_none_the_worse() {
    let own = tempfile::tempdir().expect("a folder");
    let shut = r#", "mkdir -p $HOME/target/dir && touch $HOME/target/shut && chmod 0 $HOME/target/*; ls $HOME/target""#;
    let cluster = cluster_with(own.path(), shut, &[]);
    assert!(log(&cluster, &[("name", "f")], "one").contains("shut"));
    assert!(log(&cluster, &[("name", "f")], "two").contains("before: one"), "the rest is left");
}

#[test]
fn so_much_is_left_and_no_more() {
    let own = tempfile::tempdir().expect("a folder");
    let more = r#", "mkdir -p $HOME/target; head -c $(wc -c <slow)000 /dev/zero >$HOME/target/it""#;
    let cluster = cluster_with(own.path(), more, &["--limit", "build-cache-bytes=400000"]);
    let of = |name: &str, bytes: usize| log(&cluster, &[("name", name)], &"x".repeat(bytes));
    assert!(!of("f", 50).contains("begins anew"));
    assert_eq!(caches(&cluster).len(), 1);
    let log = of("f", 200);
    assert!(log.contains("the next build begins anew") && log.contains("limit build-cache-bytes"), "{log}");
    assert!(!of("f", 51).contains("before: x"), "nothing was left");
    for name in ["a", "b", "c", "d", "e", "g", "h"] {
        of(name, 90);
    }
    let bytes: u64 = caches(&cluster).iter().map(|path| path.metadata().expect("a file").len()).sum();
    assert!((300_000..=400_000).contains(&bytes) && caches(&cluster).len() == 4, "{bytes}: {:?}", caches(&cluster));
}
