//! From `cares init` to an answer and back with a container engine: runtimes as images, on bases made of Debian packages.

use super::life::{FLASK, GO, Life, NODEJS, RUST, SHELL, STATIC_BINARY};
use crate::docker::{Docked, docker};
use crate::harness::{Role, cares, invoke, is_linked, run, wait_for};
use cares::client::Orchestrator;
use std::collections::BTreeSet;
use std::process::Command;

/// What scripts/bases makes for each runtime.
fn base(runtime: &str) -> Option<String> {
    let name = match runtime {
        "static-binary" => return None,
        "shell" => "busybox".into(),
        "python-flask" | "nodejs" | "go" | "rust" => format!("{runtime}-base"),
        other => panic!("no base is made for {other}"),
    };
    Some(format!("cares-test/{name}:1"))
}

/// The same as without an engine, but for what runs: an image, of which nothing is left.
fn live(life: &Life) {
    let runtime = life.runtime;
    let base = base(runtime);
    let told = base.iter().flat_map(|base| ["--base".into(), format!("{runtime}={base}")]).collect::<Vec<_>>();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let Some(site) = Docked::start_told(1, &told) else { return };
    if base.as_ref().is_some_and(|base| {
        !Command::new("docker").args(["image", "inspect", base]).output().is_ok_and(|o| o.status.success())
    }) {
        return eprintln!("skipped: scripts/bases could not make {base:?} here");
    }
    life.live(&site.cluster);
    let builds = site.client().builds().expect("builds");
    assert_eq!(builds.iter().map(|b| b.runtime.as_deref()).collect::<Vec<_>>(), [Some(runtime); 3]);
    let images: BTreeSet<&str> = builds.iter().map(|build| build.image.as_deref().expect("an image")).collect();
    assert_eq!(images.len(), 2, "the same source is the same image");
    for image in images {
        assert!(image.starts_with("cares/f:"), "{image}");
        let user = docker(&["image", "inspect", "--format", "{{.Config.User}}", image]);
        assert_eq!(user, "65532:65532", "nothing runs as root");
        docker(&["rmi", "--force", image]);
    }
}

#[test]
fn a_shell_function_from_init_to_delete() {
    live(&SHELL);
}

#[test]
fn a_static_binary_from_init_to_delete() {
    live(&STATIC_BINARY);
}

#[test]
fn a_flask_function_from_init_to_delete() {
    live(&FLASK);
}

#[test]
fn a_nodejs_function_from_init_to_delete() {
    live(&NODEJS);
}

#[test]
#[ignore = "its base is a compiler's: scripts/runtimes-check makes it and runs this"]
fn a_go_function_from_init_to_delete() {
    live(&GO);
}

#[test]
#[ignore = "its base is a compiler's: scripts/runtimes-check makes it and runs this"]
fn a_rust_function_from_init_to_delete() {
    live(&RUST);
}

/// As on a machine with Docker and without a network.
#[test]
fn where_a_runtimes_image_cannot_be_had_the_ways_on_are_named_and_one_works() {
    let base = "shell=127.0.0.1:1/none/such:1";
    let Some(site) = Docked::start_told(1, &["--base", base]) else { return };
    let folder = site.cluster.dir.path().join("f");
    let folder = folder.to_str().expect("UTF-8");
    let (status, _, err) = run(cares().args(["init", folder, "--runtime", "shell"]));
    assert!(status.success(), "{err}");
    let deploy = |url: &str| run(cares().args(["deploy", folder, "--url", url]));
    let (status, _, err) = deploy(&site.cluster.head.url());
    assert_eq!(status.code(), Some(1), "{err}");
    for part in
        ["127.0.0.1:1/none/such:1", "connection refused", "docker load", "--base shell=IMAGE", "--engine process"]
    {
        assert!(err.contains(part), "{part}: {err}");
    }
    let data = site.cluster.dir.path().join("up");
    let data = data.to_str().expect("UTF-8");
    let up = ["up", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", data];
    let up = Role::start(&[&up[..], &["--base", base, "--engine", "process"]].concat());
    let client = Orchestrator::new(&up.url()).expect("a URL");
    wait_for("its node takes calls", || client.nodes().is_ok_and(|nodes| nodes.iter().any(is_linked)));
    let (status, out, err) = deploy(&up.url());
    assert!(status.success(), "{out}{err}");
    assert_eq!(invoke(&client, "f", "Ann").1, "Hello, Ann!\n");
}
