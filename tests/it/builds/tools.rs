//! Where builds without a container engine find their tools: as functions do, and as nodes announce them.

use super::build;
use super::process::{PROCESSES, runtime};
use crate::bundles::{file, zip};
use crate::harness::{Cluster, Role, cares, run};
use crate::wire::ask;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A folder with a program of this name in it, which others may enter or not.
fn program(name: &str, mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("bin").join(name);
    fs::create_dir(dir.path().join("bin")).expect("a folder");
    fs::write(&file, "#!/bin/sh\necho \"made by $0\"\n").expect("written");
    for (path, mode) in [(file.as_path(), 0o755), (&dir.path().join("bin"), 0o755), (dir.path(), mode)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    dir
}

fn path_with(folders: &[&Path]) -> String {
    let own: Vec<String> = folders.iter().map(|folder| folder.join("bin").display().to_string()).collect();
    format!("{}:/usr/bin:/bin", own.join(":"))
}

#[test]
fn tools_of_the_workers_own_path_build_run_and_are_announced() {
    let own = tempfile::tempdir().expect("a folder");
    // `ruby` is announced where it is found, and seldom there otherwise.
    let card =
        r#"{"detect":["slow"],"tools":["ruby"],"start":["sh","slow"],"build":["ruby", "echo 'exec ruby' >slow"]}"#;
    runtime(own.path(), card);
    let (here, shut) = (program("ruby", 0o755), program("php", 0o700));
    let mut cluster = Cluster::start_told(
        tempfile::tempdir().expect("a folder"),
        0,
        &["--runtimes", own.path().to_str().expect("UTF-8")],
    );
    cluster.add_worker("bare", &PROCESSES); // more of them than builds are tried on nodes
    cluster.add_worker("bare2", &PROCESSES);
    cluster.add_worker("bare3", &PROCESSES);
    let data = cluster.dir.path().join("w1");
    let flags = ["worker", cluster.head.ready("grpc"), "--name", "w1", "--worker-addr", "127.0.0.1:0", "--data-dir"];
    let flags = [&flags[..], &[data.to_str().expect("UTF-8")], &PROCESSES[..]].concat();
    let path = path_with(&[here.path(), shut.path()]);
    let worker = Role::start_with(&flags, |command| _ = command.env("PATH", &path));
    cluster.wait_linked("w1");
    let told = cluster.client.node("w1").expect("the node").tools;
    let has = |tool: &str| told.iter().any(|told| told == tool);
    assert!(has("ruby") && has("sh"), "{told:?}");

    let made = build(cluster.head.http(), "/build", &[("name", "f")], &zip(&[file("slow", "")]));
    assert_eq!(made.status, 200, "{}", made.text());
    let ruby = here.path().join("bin/ruby");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let log = cluster.client.build_by_id(&id).expect("the build");
    assert_eq!(log.node.as_deref(), Some("w1"), "where the tool is");
    let spec = json!({"name": "f", "image": made.json()["image"], "constraints": {"tools": ["ruby"]}}).to_string();
    let asked =
        ask(cluster.head.http(), "POST", "/functions", &[("Content-Type", "application/json")], spec.as_bytes());
    assert!(asked.status < 300, "{}", asked.text());
    assert_eq!(cluster.call("f", ""), (200, format!("made by {}\n", ruby.display())));

    // Only who is root has functions that are others.
    if rustix::process::geteuid().is_root() {
        assert!(!has("php"), "{told:?}");
    }
    drop(worker);
}

#[test]
fn a_tool_that_functions_cannot_reach_is_named_with_what_is_in_the_way() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: functions are users of their own only where the worker is root");
    }
    let own = tempfile::tempdir().expect("a folder");
    runtime(own.path(), r#"{"detect":["slow"],"tools":["unreached"],"start":["sh","slow"]}"#);
    let shut = program("unreached", 0o700);
    let cluster =
        Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, &["--runtimes", own.path().to_str().unwrap()]);
    let flags = ["worker", cluster.head.ready("grpc"), "--name", "w1", "--worker-addr", "127.0.0.1:0", "--data-dir"];
    let data = cluster.dir.path().join("w1");
    let flags = [&flags[..], &[data.to_str().expect("UTF-8")], &PROCESSES[..]].concat();
    let path = path_with(&[shut.path()]);
    let worker = Role::start_with(&flags, |command| _ = command.env("PATH", &path));
    cluster.wait_linked("w1");
    let said = build(cluster.head.http(), "/build", &[("name", "f")], &zip(&[file("slow", "")]));
    let said = said.problem(422, "build_failed");
    let tool = shut.path().join("bin/unreached").display().to_string();
    let folder = shut.path().display().to_string();
    for part in ["'w1'", &tool, "the runtime slow", &format!("may not enter {folder}:"), "all users", "Docker"] {
        assert!(said.contains(part), "no {part} in: {said}");
    }
    drop(worker);

    let shut = program("cargo", 0o700);
    let (_, out, _) = run(cares().arg("doctor").env("PATH", path_with(&[shut.path()])));
    let line = out.lines().find(|line| line.contains("build tools")).expect("a line");
    assert!(line.contains("/usr/bin/sh"), "{line}");
    if !Path::new("/usr/bin/cargo").exists() {
        let fix = out.lines().skip_while(|line| !line.contains("build tools")).nth(1).expect("a fix");
        assert!(line.contains("bin/cargo") && fix.contains("may not enter"), "{line}{fix}");
    }
}

#[test]
fn a_folder_without_its_runtimes_file_is_refused_before_it_is_built() {
    let own = tempfile::tempdir().expect("a folder");
    let card =
        r#"{"detect":["slow.conf"],"needs":["slow.conf","main.slow|*.slo"],"tools":["sh"],"start":["sh","slow"]}"#;
    runtime(own.path(), card);
    let mut cluster =
        Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, &["--runtimes", own.path().to_str().unwrap()]);
    cluster.add_worker("w1", &PROCESSES);
    let refused = |runtime: &str, files: &[(&str, &str)], parts: &[&str]| {
        let files: Vec<_> = files.iter().map(|(name, text)| file(name, text)).collect();
        let mut fields = vec![("name", "f")];
        fields.extend(Some(("runtime", runtime)).filter(|(_, name)| !name.is_empty()));
        let said = build(cluster.head.http(), "/build", &fields, &zip(&files)).problem(422, "nothing_to_build");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    };
    refused("", &[("slow.conf", "x")], &["no main.slow or *.slo", "the runtime slow", "add main.slow"]);
    refused("", &[("function.json", r#"{"runtime":"python-flask"}"#), ("main.py", "x")], &["no app.py", "--runtime"]);
    for (runtime, file) in
        [("python-flask", "app.py"), ("nodejs", "package.json"), ("rust", "Cargo.toml"), ("shell", "main.sh")]
    {
        refused(runtime, &[("other", "x")], &[&format!("no {file}"), runtime, &format!("add {file}")]);
        refused(runtime, &[(file, "")], &[&format!("{file} is empty"), "write something"]);
    }
    refused("go", &[("go.mod", "module f\n")], &["no *.go"]);
    refused("static-binary", &[("main", "x")], &["no program", "runtime shell"]);
    assert!(cluster.client.builds().expect("builds").is_empty(), "none was begun");
}
