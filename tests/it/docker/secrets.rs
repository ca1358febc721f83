//! Secrets in containers: variables, and files in memory that no image layer and no inspect shows.

use super::{Docked, docker, settings_of_mode};
use crate::harness::wait_for;
use cares::types::{FunctionSpec, Mode, Secrets};
use std::path::PathBuf;

const PASSWORD: &str = "hunter2-of-the-database";
const KEY: &str = "-----BEGIN of a private key-----";

fn set(docked: &Docked) {
    docked.client().set_secret("db-pass", PASSWORD.as_bytes()).expect("set");
    docked.client().set_secret("tls-key", KEY.as_bytes()).expect("set");
}

fn file(mode: Mode) -> FunctionSpec {
    let files = [("/run/secrets/tls.key".to_string(), "tls-key".to_string())].into();
    let secrets = Some(Secrets { files, ..Secrets::default() });
    let command = (mode == Mode::Job).then(|| vec!["/run/secrets/tls.key".to_string()]);
    FunctionSpec { secrets, command, ..settings_of_mode(mode) }
}

/// Where this machine has a container's secret files.
fn folder(container: &str) -> PathBuf {
    let format = "{{range .Mounts}}{{if eq .Destination \"/run/secrets\"}}{{.Source}}{{end}}{{end}}";
    docker(&["inspect", "--format", format, container]).into()
}

#[test]
fn containers_have_them_as_variables_and_files() {
    let Some(docked) = Docked::start(1) else { return };
    set(&docked);
    let env = [("DB_PASSWORD".to_string(), "db-pass".to_string())].into();
    let variable = Some(Secrets { env, ..Secrets::default() });
    docked.register_as("env", "env", FunctionSpec { secrets: variable, ..settings_of_mode(Mode::Job) });
    let said = docked.call("env", "");
    assert!(said.contains(&format!("\nDB_PASSWORD={PASSWORD}\n")) && !said.contains("CARES_SECRETS_DIR"), "{said}");
    docked.register_as("cat", "cat", file(Mode::Job));
    assert_eq!(docked.call("cat", ""), format!("400 {KEY} read only\n"));
    docked.register_as("catuser", "catuser", file(Mode::Job));
    assert_eq!(docked.call("catuser", ""), format!("444 {KEY} read only\n"), "it is not root, and may read it");

    docked.register_as("echo", "echo", file(Mode::Http));
    docked.call("echo", "");
    let container = docked.container(0);
    let inspected = docker(&["inspect", &container]);
    assert!(inspected.contains("CARES_SECRETS_DIR=/run/secrets") && !inspected.contains(KEY), "{inspected}");
    assert!(!docker(&["diff", &container]).contains("secrets/"), "no layer has it");
    let memory = folder(&container);
    assert!(memory.starts_with("/dev/shm") && memory.join("tls.key").exists(), "{}", memory.display());
    docked.client().delete_function("echo").expect("deleted");
    docked.wait_none(0);
    wait_for("all files are gone", || !memory.parent().expect("a folder").exists());
}

#[test]
fn a_worker_that_takes_a_container_over_keeps_its_files() {
    let Some(mut docked) = Docked::start(1) else { return };
    set(&docked);
    docked.register_as("echo", "echo", file(Mode::Http));
    docked.call("echo", "");
    let container = docked.container(0);
    let memory = folder(&container);
    let left = memory.with_file_name("of-none");
    std::fs::create_dir(&left).expect("a folder");
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    docked.call("echo", "");
    assert_eq!(docked.container(0), container);
    wait_for("what nothing uses is removed", || !left.exists());
    assert!(memory.join("tls.key").exists());
    docked.cluster.workers[0].signal("TERM");
    assert!(docked.cluster.workers[0].wait().success());
    assert!(!memory.exists(), "it ends with its container");
}
