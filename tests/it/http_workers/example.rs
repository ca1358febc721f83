//! The example worker in Python, as the README starts it.

use super::module;
use crate::harness::{PATIENCE, wait_for, wait_for_some};
use crate::head::Head;
use crate::tls::Ca;
use cares::client::Invoke;
use cares::types::TokenSpec;
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The example. Killed when dropped.
struct Example(Child);

impl Example {
    fn start(url: &str, modules: &Path, token: &str) -> Option<Example> {
        Example::start_with(url, modules, "snake", |command| _ = command.env("AUTH_TOKEN", token))
    }

    fn start_with(url: &str, modules: &Path, id: &str, change: impl FnOnce(&mut Command)) -> Option<Example> {
        if Command::new("python3").arg("-V").output().is_err() {
            eprintln!("skipped: there is no python3");
            return None;
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/examples/http-worker");
        let mut command = Command::new("python3");
        command.arg(program).arg(url).arg(modules).arg(id).stdin(Stdio::null());
        change(&mut command);
        Some(Example(command.spawn().expect("python3 runs")))
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_in_python_does_modules_beside_ours() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Head::of(dir.path()).guarded("admin-4713").alone(dir);
    cluster.client = cluster.client.token("admin-4713");
    let spec = TokenSpec { name: "snake".into(), scopes: vec!["worker".into()], expires_s: None, rate_per_s: None };
    let token = cluster.client.create_token(&spec).expect("a token").secret;
    let modules = cluster.dir.path().join("modules.json");
    let held = cluster.dir.path().join("held");
    let nap = format!("echo $$ > {}; exec sleep 600", held.display());
    let commands = json!({"shout": ["tr", "a-z", "A-Z"], "fails": ["sh", "-c", "echo broken >&2; exit 3"], "nap": ["sh", "-c", nap],
        "bytes": ["printf", "\\377"], "env": ["sh", "-c", "echo $CI"]});
    std::fs::write(&modules, commands.to_string()).expect("written");
    let Some(mut example) = Example::start(&cluster.head.url(), &modules, &token) else { return };
    wait_for("it has joined", || cluster.client.node("snake").is_ok_and(|n| n.reach == "http"));
    for name in ["shout", "fails", "bytes", "unknown"] {
        module(&cluster, name, |_| {});
    }
    module(&cluster, "env", |f| f.env = Some([("CI".to_string(), "yes".to_string())].into()));
    module(&cluster, "nap", |f| f.timeout_s = Some(1.5));
    assert_eq!(cluster.call("shout", "hello ä"), (200, "HELLO ä".into()));
    assert_eq!(cluster.call("env", ""), (200, "yes\n".into()));
    let mut answer = cluster.client.invoke("bytes", Invoke::default()).expect("an answer");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let mut bytes = Vec::new();
    answer.reader.read_to_end(&mut bytes).expect("a whole answer");
    assert_eq!(bytes, [0xff]);
    let problem = cluster.problem("fails", "");
    assert!(problem.code == "function_failed" && problem.detail.contains("exit code 3\nbroken"), "{problem:?}");
    assert!(cluster.problem("unknown", "").detail.contains("UnknownModuleType: no module unknown"));
    let (status, _) = cluster.call("nap", "");
    assert_eq!(status, 504);
    let pid = wait_for_some("it said who naps", || std::fs::read_to_string(&held).ok()?.trim().parse::<u32>().ok());
    wait_for("it is woken", || !Path::new(&format!("/proc/{pid}")).exists());
    let pid = example.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let end = Instant::now() + PATIENCE;
    while example.0.try_wait().expect("its status").is_none() {
        assert!(Instant::now() < end, "it does not end");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(cluster.client.node("snake").is_err(), "it has unregistered");
}

#[test]
fn it_is_called_over_https_by_whom_it_can_show_who_it_is() {
    let (dir, ca, stranger) = (tempfile::tempdir().expect("a folder"), Ca::new(), Ca::new());
    let folder = |ca: &Ca, name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).expect("made");
        ca.write_pair(&folder, [127, 0, 0, 1].into(), 2100);
        folder
    };
    let (own, other) = (folder(&ca, "own"), folder(&stranger, "other"));
    let (ca_file, modules) = (dir.path().join("ca.pem"), dir.path().join("modules.json"));
    std::fs::write(&ca_file, ca.pem()).expect("written");
    let commands = json!({"shout": ["tr", "a-z", "A-Z"], "told": ["sh", "-c", "echo \"$CARES_MODULE $CARES_DEPENDENCY_RESULTS\""]});
    std::fs::write(&modules, commands.to_string()).expect("written");
    let cluster = Head::of(dir.path()).env("CARES_CA", &ca_file).alone(dir);
    for name in ["shout", "told"] {
        module(&cluster, name, |_| {});
    }
    let start = |id: &str, pair: &Path| {
        let with_pair = |command: &mut Command| {
            command.env("TLS_CERT", pair.join("cert.pem")).env("TLS_KEY", pair.join("key.pem"));
        };
        let example = Example::start_with(&cluster.head.url(), &modules, id, with_pair)?;
        wait_for("it has joined", || cluster.client.node(id).is_ok_and(|n| n.reach == "http"));
        Some(example)
    };
    let Some(_impostor) = start("impostor", &other) else { return };
    assert!(cluster.client.node("impostor").expect("it").address.starts_with("https://127.0.0.1:"));
    let spec = json!({"modules": [
        {"name": "a", "function": "shout", "inputs": "hello"}, {"name": "b", "function": "told", "dependsOn": ["a"]},
    ]});
    let id = cluster.client.submit_pipeline(&spec, None).expect("accepted").id;
    let why = || cluster.client.pipeline(&id).ok()?.modules[0].error.clone();
    let why = wait_for_some("it says why it waits", why);
    assert!(why.contains("no safe connection to https://127.0.0.1:") && why.contains("not trusted here"), "{why}");
    let _good = start("good", &own);
    let ended = || cluster.client.pipeline(&id).ok().filter(|pipeline| pipeline.status != "running");
    let pipeline = wait_for_some("the pipeline has ended", ended);
    assert_eq!(pipeline.status, "succeeded");
    assert!(pipeline.modules.iter().all(|m| m.node.as_deref() == Some("good") && m.attempts == 1), "{pipeline:?}");
    let mut text = String::new();
    cluster.client.module_result(&id, "b").expect("a result").reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "b {\"a\": \"HELLO\"}\n");
}
