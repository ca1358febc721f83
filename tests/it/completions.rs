//! What shells complete after `cares`: the real shells, asked. One that is not installed here is said and left out, unless
//! CARES_REQUIRE_SHELLS=1.

use crate::harness::{Cluster, cares, run};
use std::path::Path;
use std::process::Command;

fn is_here(shell: &str) -> bool {
    let here = Command::new(shell).arg("--version").output().is_ok();
    assert!(here || std::env::var("CARES_REQUIRE_SHELLS").as_deref() != Ok("1"), "no {shell} here");
    if !here {
        eprintln!("left out, as there is no {shell} here");
    }
    here
}

/// The script in a folder, where `cares` is found too.
fn script(dir: &Path, shell: &str) -> String {
    let (status, out, err) = run(cares().args(["completions", shell]));
    assert!(status.success(), "{err}");
    let file = dir.join(format!("cares.{shell}"));
    std::fs::write(&file, out).expect("a file");
    file.to_str().expect("UTF-8").to_string()
}

fn offered(command: &mut Command, url: &str) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_cares")).parent().expect("a folder").to_str().expect("UTF-8");
    let path = format!("{program}:{}", std::env::var("PATH").expect("a PATH"));
    let (status, out, err) = run(command.env("PATH", path).env("API_URL", url).env_remove("AUTH_TOKEN"));
    assert!(status.success() && err.is_empty(), "{out}{err}");
    out.lines().map(|line| line.split('\t').next().unwrap_or_default().trim().to_string()).collect()
}

/// Asks with each of these lines, the last word not finished, and looks at what is offered.
fn check(ask: impl Fn(&[&str]) -> Vec<String>) {
    let has = |words: &[&str], wanted: &[&str]| {
        let offered = ask(words);
        wanted.iter().for_each(|w| assert!(offered.iter().any(|o| o == w), "{words:?}: no {w} in {offered:?}"));
    };
    has(&["cares", "re"], &["register", "redeploy", "restore"]);
    has(&["cares", "node", ""], &["list", "drain", "cordon"]);
    has(&["cares", "register", "--con"], &["--concurrency"]);
    has(&["cares", "list", "-o", ""], &["table", "json", "wide", "name"]);
    has(&["cares", "worker", "--engine", "d"], &["docker"]);
    has(&["cares", "completions", "z"], &["zsh"]);
    has(&["cares", "-o", "json", "describe", "comp"], &["completed-one", "completed-two"]);
    has(&["cares", "describe", "-o", "json", "comp"], &["completed-one", "completed-two"]);
    has(&["cares", "delete", "completed-t"], &["completed-two"]);
    assert!(!ask(&["cares", "node", "l"]).iter().any(|o| o == "logs"), "only of where it is");
}

fn with_functions() -> Cluster {
    let cluster = Cluster::start(0);
    for name in ["completed-one", "completed-two"] {
        let registration = cares::types::Registration { name: name.into(), ..Default::default() };
        cluster.client.register_or_update(&registration).expect("registered");
    }
    cluster
}

#[test]
fn bash_completes() {
    if !is_here("bash") {
        return;
    }
    let cluster = with_functions();
    let file = script(cluster.dir.path(), "bash");
    check(|words| {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let text = format!(
            "source '{file}'; COMP_WORDS=({line}); COMP_CWORD={}; _cares; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        offered(Command::new("bash").args(["--norc", "-c", &text]), &cluster.head.url())
    });
}

#[test]
fn zsh_completes() {
    if !is_here("zsh") {
        return;
    }
    let cluster = with_functions();
    let file = script(cluster.dir.path(), "zsh");
    check(|words| {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        // What the script hands to zsh's own functions, which need a terminal to show it.
        let text = format!(
            "compdef() {{ :; }}; _describe() {{ local name=${{@[-1]}}; print -rl -- ${{${{(P)name}}%%:*}}; }}
             compadd() {{ shift; print -rl -- \"$@\"; }}; _files() {{ :; }}
             source '{file}'; words=({line}); CURRENT={}; _cares",
            words.len()
        );
        offered(Command::new("zsh").args(["-f", "-c", &text]), &cluster.head.url())
    });
}

#[test]
fn fish_completes() {
    if !is_here("fish") {
        return;
    }
    let cluster = with_functions();
    let file = script(cluster.dir.path(), "fish");
    check(|words| {
        let text = format!("source '{file}'; complete -C '{}'", words.join(" "));
        let home = cluster.dir.path().join("home");
        offered(Command::new("fish").args(["--no-config", "-c", &text]).env("HOME", home), &cluster.head.url())
    });
}
