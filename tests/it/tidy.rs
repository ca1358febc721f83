//! The house's rules, checked: who imports whom, how long files are, what stands at the root, and that the README lists
//! what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this has more than one noun in it.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_string();
                found.push((name, fs::read_to_string(path).expect("text")));
            }
        }
    }
    found
}

/// What stands before the tests in a file.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Fails with all lines that hold one of `words`, in files that `concerns`.
fn forbid(rule: &str, words: &[&str], concerns: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for (name, text) in rust_files("src").iter().filter(|(name, _)| concerns(name)) {
        for (number, line) in code(text).lines().enumerate() {
            let said = line.split("//").next().unwrap_or(line);
            if words.iter().any(|word| said.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn test_file(name: &str) -> bool {
    ["tests.rs", "/tests/", "simulation", "invariants.rs", "canned.rs", "puppet.rs"]
        .iter()
        .any(|part| name.contains(part))
}

#[test]
fn the_core_knows_only_itself_and_std() {
    let outside = [
        "crate::",
        "async_std",
        "tonic",
        "serde",
        "hyper",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant",
        "SystemTime",
    ];
    let own = |name: &str| name.starts_with("src/cluster/") && !test_file(name);
    forbid("the core reaches outside", &outside, own);
}

#[test]
fn a_worker_never_names_the_orchestrator_or_the_core() {
    let concerns = |name: &str| name.starts_with("src/worker/");
    forbid("they meet in proto/", &["crate::orchestrator", "crate::cluster"], concerns);
}

#[test]
fn commands_reach_the_cluster_through_the_client() {
    let roles = ["src/commands/up.rs", "src/commands/orchestrator.rs", "src/commands/worker.rs"]; // these start one
    let concerns = |name: &str| name.starts_with("src/commands/") && !roles.contains(&name);
    forbid("use crate::client", &["crate::orchestrator", "{orchestrator", "crate::cluster", "crate::worker"], concerns);
}

#[test]
fn screens_reach_the_cluster_through_the_client() {
    let concerns = |name: &str| name.starts_with("src/tui/");
    let others = ["crate::orchestrator", "crate::cluster", "crate::worker", "crate::http", "crate::commands"];
    forbid("use crate::client", &others, concerns);
    forbid("only tui/ names cursive", &["cursive::"], |name| !name.starts_with("src/tui/"));
}

#[test]
fn old_crates_stay_behind_one_file_each() {
    forbid("only rt.rs names async-std", &["async_std"], |name| name != "src/rt.rs");
    forbid("only lanes/ runs tasks and polls by itself", &["async_task", "rustix::event"], |name| {
        !name.starts_with("src/lanes/")
    });
    forbid("only http/handlers.rs names tiny_http", &["tiny_http"], |name| name != "src/http/handlers.rs");
    forbid("locks are taken by lock.rs, whoever panicked", &["PoisonError"], |name| name != "src/lock.rs");
    forbid("only client/ names ureq", &["ureq"], |name| !name.starts_with("src/client/"));
}

#[test]
fn only_the_clock_reads_time() {
    let concerns = |name: &str| name != "src/clock.rs" && !test_file(name);
    forbid("ask crate::clock", &["Instant::now", "SystemTime::now"], concerns);
}

#[test]
fn no_deadline_is_of_the_wall_clock() {
    // It jumps: what it shows is for people and other machines. (A schedule is of the wall clock; how long is left until
    // then is asked of the clock again, not kept.)
    let reckoned = ["unix_ms() +", "unix_ms() <", "unix_ms() >", "+ clock::unix_ms()", "< clock::unix_ms()"];
    forbid("count time with clock::now", &reckoned, |name| name != "src/clock.rs" && !test_file(name));
}

#[test]
fn the_lock_stays_in_its_file() {
    forbid("a guard of the cluster leaves state.rs", &["Mutex<Cluster>", "MutexGuard<'_, Inner>"], |name| {
        name != "src/orchestrator/state.rs"
    });
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{name}: {lines} lines, at most {LINES_MAX}"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name}: does not begin with what it owns (//!)"));
        }
    }
    for word in ["utils", "helpers", "common", "manager", "misc"] {
        let named = |(name, _): &(String, String)| name.ends_with(&format!("/{word}.rs")) && !name.contains("/api/");
        wrong.extend(rust_files("src").into_iter().filter(named).map(|(name, _)| format!("{name}: says nothing")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_stands_at_the_root_beside_the_layout() {
    let known: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "src",
        "proto",
        "scripts",
        "tests",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "target",
    ]
    .into();
    let names = fs::read_dir(root()).expect("the root").map(|e| e.expect("an entry").file_name());
    let strangers: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.starts_with('.') && !known.contains(name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn the_readme_lists_every_dependency() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let tables =
        manifest.split("\n[").filter(|t| t.starts_with("dependencies]") || t.starts_with("build-dependencies]"));
    let names = tables.flat_map(|t| t.lines().skip(1)).filter_map(|l| l.split_once(" = ")).map(|(name, _)| name.trim());
    let missing: Vec<&str> = names.filter(|name| !readme.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "not in the README's table: {missing:?}");
}

/// So that each promise has its test, and each folder that is explained is there.
#[test]
fn the_readme_names_only_files_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let named = readme.split('`').filter(|text| !text.contains(char::is_whitespace));
    let ours = ["src/", "tests/", "scripts/", "proto/"];
    let named: BTreeSet<&str> = named.filter(|text| ours.iter().any(|folder| text.starts_with(folder))).collect();
    assert!(named.len() > 50, "the README names {} files", named.len());
    let there = |named: &str| match named.strip_suffix('*') {
        None => root().join(named).exists(),
        Some(begin) => {
            let (folder, begin) = begin.rsplit_once('/').expect("a folder");
            let names = fs::read_dir(root().join(folder)).into_iter().flatten();
            names.filter_map(|e| e.ok()?.file_name().into_string().ok()).any(|name| name.starts_with(begin))
        }
    };
    let missing: Vec<&str> = named.into_iter().filter(|named| !there(named)).collect();
    assert!(missing.is_empty(), "the README names what is not there: {missing:?}");
}
