//! What the README has beside blocks of commands: blocks in other languages, scripts; and whether somebody holds each block
//! to what is so.

use super::machine::{Machine, may_be_made};
use super::{README, block, blocks, rows};
use crate::harness::run;
use cares::errors::Error;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Set in a test run that another one has started where a cluster is: its token.
const TOKEN: &str = "CARES_README_TOKEN";

#[test]
fn every_block_is_known() {
    let mut known: Vec<&str> = rows::ALL.iter().map(|row| block("sh", row.block)).collect();
    let rows = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), rows, "two rows are of one block");
    for block in blocks("sh") {
        assert!(known.contains(&block), "no row of tests/it/readme/rows.rs runs this block of the README:\n{block}");
    }
    // Who holds the others to what is so: rows::pipelines, the tests below, and of text first_commands and src/tui/puppet.rs.
    let fences: Vec<&str> = README.lines().filter_map(|line| line.strip_prefix("```")).collect();
    let languages: BTreeSet<&str> = fences.iter().step_by(2).copied().collect();
    assert_eq!(languages, ["json", "rust,ignore", "sh", "text", "yaml"].into(), "a block in another language");
    for language in ["json", "rust,ignore", "yaml"] {
        assert_eq!(blocks(language).len(), 1, "{language}: who holds the new block to what is so?");
    }
}

/// A text as one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The README's lines, in a function.
fn from_rust(token: &str) -> Result<(), Error> {
    let cluster = cares::client::Builder::new("http://127.0.0.1:8080").token(token).retries(3).orchestrator()?;
    for node in cluster.nodes()? {
        println!("{} {}", node.name, node.status);
    }
    Ok(())
}

#[test]
fn the_lines_of_rust_do_what_they_say() {
    if let Ok(token) = std::env::var(TOKEN) {
        return from_rust(&token).expect("a list of nodes");
    }
    assert!(flat(include_str!("blocks.rs")).contains(&flat(block("rust,ignore", ""))), "from_rust has other lines");
    if !may_be_made() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut machine = Machine::start("head", dir.path());
    machine.does("export AUTH_TOKEN=SECRET");
    machine.begin("cares up", "ready ");
    let this = std::env::current_exe().expect("this binary");
    let again = "readme::blocks::the_lines_of_rust_do_what_they_say --exact --nocapture";
    let said = machine.does(&format!("{TOKEN}=SECRET {} {again}", this.display()));
    assert!(said.contains("head-") && said.contains(" active"), "{said}");
    machine.end_all();
}

#[test]
fn prometheus_takes_its_configuration() {
    if !may_be_made() || !crate::prometheus::installed() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut machine = Machine::start("head", dir.path());
    machine.does("mount -t tmpfs none /etc/prometheus && cd /etc/prometheus && touch read.token worker.token");
    std::fs::write(dir.path().join("here/prometheus.yml"), block("yaml", "scrape_configs")).expect("written");
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/alerts.yaml");
    machine.does(&format!("cp {alerts} {}/here/prometheus.yml .", dir.path().display()));
    let said = machine.does("promtool check config prometheus.yml");
    assert!(said.contains("1 rule files found"), "{said}");
}

/// All files below a folder that are programs, by what their first line says.
fn programs(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            programs(&path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path)
            && text.starts_with("#!")
        {
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn every_script_can_be_read_and_each_bench_says_how_it_is_used() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut found = Vec::new();
    programs(&Path::new(root).join("scripts"), &mut found);
    let (_, contributing) = README.split_once("\n## Contributing\n").expect("the section");
    let mut benches = 0;
    for (path, text) in &found {
        let compile = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')";
        let (reader, args) = match text.lines().next().expect("a line") {
            "#!/usr/bin/env bash" | "#!/bin/sh" => ("bash", vec!["-n", path]),
            "#!/usr/bin/env python3" => ("python3", vec!["-c", compile, path]),
            other => panic!("{path}: who can read {other}?"),
        };
        let (status, _, err) = run(Command::new(reader).args(args));
        assert!(status.success(), "{path}: {err}");
        if let Some((_, name)) = path.split_once("/scripts/bench/") {
            let usage = format!("    scripts/bench/{name}");
            let says = |line: &str| line.replacen('#', " ", 1).starts_with(&usage);
            assert!(text.lines().take(10).any(says), "{path} does not say how it is used");
            let named = [format!("`{name}`"), format!("`scripts/bench/{name}`")];
            assert!(named.iter().any(|name| contributing.contains(name)), "the README's Contributing lacks {name}");
            benches += 1;
        }
    }
    assert!(benches >= 12, "there are {benches}");
}

#[test]
fn the_script_for_a_cluster_makes_one_and_takes_it_down() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = |args: &[&str]| {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster"));
        command.args(args).env("CARES_BIN", env!("CARGO_BIN_EXE_cares")).env("CARES_CLUSTER_DIR", dir.path().join("c"));
        let (status, out, err) = run(command.env_remove("AUTH_TOKEN"));
        assert!(README.contains(&args.join(" ")) && status.success(), "{args:?}: {out}{err}");
        out
    };
    assert!(cluster(&["up", "3"]).contains("The cluster answers at http://127.0.0.1:"));
    let said = cluster(&["invoke"]);
    assert!(said.contains("Hello from c") && said.contains("worker-3"), "{said}");
    assert!(cluster(&["down"]).contains("The cluster is down"));
}
