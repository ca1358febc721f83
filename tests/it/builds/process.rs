//! From `cares init` to an answer and back, where no node has a container engine: runtimes as processes.

use super::build;
use super::life::{FLASK, GO, Life, NODEJS, RUST, SHELL, STATIC_BINARY};
use crate::bundles::{Entry, file, zip};
use crate::harness::{Cluster, cares, run, wait_for};
use crate::head::Head;
use crate::wire::ask;
use cares::client::Orchestrator;
use cares::types::TokenSpec;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

pub const PROCESSES: [&str; 2] = ["--engine", "process"];

pub fn cluster(flags: &[&str]) -> Cluster {
    let mut cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, flags);
    cluster.add_worker("w1", &PROCESSES);
    cluster
}

/// Runs a verb in the cluster's folder: whether it went well, and all it said.
pub fn cli(cluster: &Cluster, words: &[&str]) -> (bool, String) {
    let mut command = cares();
    let (status, out, err) =
        run(command.args(words).env("API_URL", cluster.head.url()).current_dir(cluster.dir.path()));
    (status.success(), out + &err)
}

/// The same for one that goes well.
#[track_caller]
pub fn fine(cluster: &Cluster, words: &[&str]) -> String {
    let (done, said) = cli(cluster, words);
    assert!(done, "{words:?}: {said}");
    said
}

/// A folder with the shell's starter; its program.
pub fn shell(cluster: &Cluster, name: &str) -> PathBuf {
    fine(cluster, &["init", name, "--runtime", "shell"]);
    cluster.dir.path().join(name).join("main.sh")
}

/// Whether functions find Flask, with which nothing has to be fetched.
pub fn flask_is_there() -> bool {
    let found = Command::new("/usr/bin/python3").args(["-c", "import flask"]).output();
    if found.is_ok_and(|out| out.status.success()) {
        return true;
    }
    assert!(std::env::var("CARES_REQUIRE_FLASK").as_deref() != Ok("1"), "CARES_REQUIRE_FLASK=1, but there is no Flask");
    eprintln!("skipped, as /usr/bin/python3 has no Flask (Debian: python3-flask)");
    false
}

#[test]
fn a_shell_function_from_init_to_delete() {
    SHELL.live(&cluster(&[]));
}

#[test]
fn a_static_binary_from_init_to_delete() {
    STATIC_BINARY.live(&cluster(&[]));
}

#[test]
fn a_flask_function_from_init_to_delete() {
    if flask_is_there() {
        FLASK.live(&cluster(&[]));
    }
}

/// Where the runtime's tool is there, as builds find it.
fn live_with(tool: &str, life: &Life) {
    if Path::new("/usr/bin").join(tool).exists() {
        life.live(&cluster(&[]));
    } else {
        eprintln!("skipped, as there is no /usr/bin/{tool}");
    }
}

#[test]
fn a_nodejs_function_from_init_to_delete() {
    live_with("node", &NODEJS);
}

#[test]
fn a_go_function_from_init_to_delete() {
    live_with("go", &GO);
}

#[test]
fn a_rust_function_from_init_to_delete() {
    live_with("cargo", &RUST);
}

#[test]
fn what_is_wrong_with_a_python_function_is_named() {
    if !flask_is_there() {
        return;
    }
    let cluster = cluster(&[]);
    fine(&cluster, &["init", "f", "--runtime", "python-flask"]);
    let write = |name: &str, text: &str| fs::write(cluster.dir.path().join("f").join(name), text).expect("written");
    let starter = fs::read_to_string(cluster.dir.path().join("f/app.py")).expect("the starter");

    write("app.py", &starter.replace("def hello():", "def hello(:"));
    let (done, said) = cli(&cluster, &["deploy", "f"]);
    assert!(!done && said.contains("app.py, line 9: SyntaxError: invalid syntax; correct it"), "{said}");
    let (done, said) = cli(&cluster, &["deploy", "f", "-q"]);
    let id = said.rsplit_once(". Its log: cares build log ").map(|(_, id)| id.trim().trim_end_matches('.').to_string());
    let id = id.filter(|_| !done).unwrap_or_else(|| panic!("who saw no log is told where it is: {said}"));
    assert!(fine(&cluster, &["build", "log", &id]).contains("SyntaxError"));

    // Found when it starts: only then is it known what a program imports.
    for (text, parts) in [
        (
            format!("import no_such_module.x\n{starter}"),
            &["no_such_module", "requirements.txt", "app.py\", line 1"][..],
        ),
        ("x = 1\n".into(), &["app.py has no `app`"]),
    ] {
        write("app.py", &text);
        fine(&cluster, &["deploy", "f"]);
        let problem = cluster.problem("f", "");
        assert!(parts.iter().all(|part| problem.detail.contains(part)), "{}", problem.detail);
        assert!(!problem.detail.contains("importlib"), "frames of nobody's: {}", problem.detail);
        fine(&cluster, &["delete", "f", "--yes"]);
    }
    // An app.run() that would take another port is passed over.
    write("app.py", &format!("{starter}\n\napp.run(port=1)\n"));
    fine(&cluster, &["deploy", "f"]);
    assert_eq!(cluster.call("f", "Ann"), (200, "Hello, Ann!\n".into()));
}

/// A folder with one runtime of these build lines.
pub fn runtime(dir: &Path, card: &str) {
    let dir = dir.join("slow");
    fs::create_dir_all(&dir).expect("a folder");
    fs::write(dir.join("Dockerfile"), "FROM scratch\n").expect("written");
    fs::write(dir.join("runtime.json"), card).expect("written");
}

#[test]
fn an_operators_runtime_is_built_held_and_ended_whole() {
    let own = tempfile::tempdir().expect("a folder");
    let seconds = format!("98{}", std::process::id());
    let card = format!(
        r#"{{"detect":["slow"],"tools":["sh"],"start":["sh","slow"],"build":[
            "if [ -e wait ]; then sleep {seconds} & echo begun; wait; fi",
            "touch /etc/made-by-a-build 2>/dev/null || echo held",
            "printf 'a\\000b\\n'; echo 'cat; echo built' >>slow"]}}"#
    );
    runtime(own.path(), &card);
    let cluster = cluster(&["--runtimes", own.path().to_str().expect("UTF-8")]);
    let to = cluster.head.http();
    let folder = zip(&[file("slow", "")]);
    let done = build(to, "/build", &[("name", "f")], &folder).json();
    let image = done["image"].as_str().expect("an image").to_owned();
    assert!(image.starts_with("bundle:"), "{done}");
    let log = ask(to, "GET", &format!("/builds/{}/log", done["id"].as_str().expect("an id")), &[], b"").text();
    assert!(log.contains("$ touch") && log.contains("held") && log.contains("a?b"), "{log}");
    fine(&cluster, &["register", "f", &image]);
    assert_eq!(cluster.call("f", "Ann"), (200, "Annbuilt\n".into()));

    // Cancelled: nothing of it runs on.
    let sleeps = || {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|p| fs::read(p.path().join("cmdline")).ok())
            .any(|line| line.split(|b| *b == 0).eq([b"sleep".as_slice(), seconds.as_bytes(), b""]))
    };
    let waits: Vec<Entry> = vec![file("slow", ""), file("wait", "")];
    let begun = build(to, "/build?detach=true", &[("name", "g")], &zip(&waits));
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["id"].as_str().expect("an id").to_owned();
    wait_for("its step runs", sleeps);
    let asked = ask(to, "DELETE", &format!("/builds/{id}"), &[], b"");
    assert!(asked.status < 300, "{}", asked.text());
    wait_for("nothing of it runs", || !sleeps());
    let status = || cluster.client.build_by_id(&id).expect("the build").status;
    wait_for("it is cancelled", || status() == "cancelled");
}

#[test]
fn a_build_that_takes_more_than_it_may_is_ended_and_the_limit_is_named() {
    let own = tempfile::tempdir().expect("a folder");
    let card = r#"{"detect":["slow"],"tools":["sh"],"start":["sh","slow"],"build":[
        "if [ -e swallow ]; then head -c 1073741824 /dev/zero | tail; fi",
        "if [ -e write ]; then head -c 134217728 /dev/zero >file; fi",
        "if [ -e some ]; then head -c 33554432 /dev/zero | tail >file; fi",
        "echo 'cat; echo built' >>slow"]}"#;
    runtime(own.path(), card);
    let flags = ["--runtimes", own.path().to_str().expect("UTF-8"), "--limit", "build-memory-bytes=67108864"];
    let cluster = cluster(&flags);
    let to = cluster.head.http();
    let with = |name: &str| build(to, "/build", &[("name", "f")], &zip(&[file("slow", ""), file(name, "")]));
    for (name, part) in
        [("swallow", "more memory than it may have (64 MiB"), ("write", "writes more than it may (64 MiB")]
    {
        let said = with(name).problem(422, "build_failed");
        assert!(said.contains(part) && said.contains("build-memory-bytes"), "{name}: {said}");
    }
    let made = with("some");
    assert_eq!(made.status, 200, "{}", made.text());
    let image = made.json()["image"].as_str().expect("an image").to_owned();
    fine(&cluster, &["register", "f", &image]);
    assert_eq!(cluster.call("f", "Ann"), (200, "Annbuilt\n".into()));
}

#[test]
fn so_many_are_built_at_once_so_many_wait_and_one_more_is_refused() {
    let own = tempfile::tempdir().expect("a folder");
    runtime(own.path(), r#"{"detect":["slow"],"tools":["sh"],"start":["sh","slow"],"build":["sleep 3333"]}"#);
    let limits = ["--limit", "builds=1", "--limit", "waiting-builds=1"];
    let cluster = cluster(&[&["--runtimes", own.path().to_str().expect("UTF-8")], &limits[..]].concat());
    let folder = zip(&[file("slow", "")]);
    let ask_for = |name: &str| build(cluster.head.http(), "/build?detach=true", &[("name", name)], &folder);
    let begin = |name: &str| ask_for(name).json()["id"].as_str().expect("an id").to_owned();
    let status = |id: &str| cluster.client.build_by_id(id).expect("the build").status;
    let first = begin("a");
    wait_for("it is being built", || status(&first) == "running");
    let second = begin("b");
    let detail = ask_for("c").problem(429, "too_many_builds");
    assert!(detail.contains("--limit waiting-builds=N"), "{detail}");
    assert_eq!((status(&first), status(&second)), ("running".into(), "queued".into()));
    fine(&cluster, &["build", "cancel", &first]);
    wait_for("the next is built", || status(&second) == "running");
    fine(&cluster, &["build", "cancel", &second]);
    wait_for("it has ended", || status(&second) == "cancelled");
}

#[test]
fn a_missing_tool_is_named_with_its_node() {
    let own = tempfile::tempdir().expect("a folder");
    runtime(own.path(), r#"{"detect":["slow"],"tools":["no-such-tool"],"start":["sh","slow"]}"#);
    let cluster = cluster(&["--runtimes", own.path().to_str().expect("UTF-8")]);
    let zip = zip(&[file("slow", "")]);
    let said = build(cluster.head.http(), "/build", &[("name", "f")], &zip).problem(422, "build_failed");
    for part in ["'w1'", "no-such-tool", "the runtime slow", "install", "Docker"] {
        assert!(said.contains(part), "no {part} in: {said}");
    }
}

#[test]
fn an_app_on_another_port_is_told_which() {
    let cluster = cluster(&[]);
    let says = "echo 'listening on http://0.0.0.0:5000'; exec ";
    let does = r#"perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 1) or die $!; sleep 600'"#;
    for (name, script) in [("says", format!("{says}sleep 600")), ("does", format!("{says}{does}"))] {
        let manifest = json!({"mode": "http", "command": ["sh", "-c", script]}).to_string();
        cluster.deploy(name, &manifest, &[]);
    }
    let told = |name: &str, parts: &[&str]| {
        let detail = cluster.problem(name, "").detail;
        for part in parts.iter().chain(&["within 20 s", "variable PORT"]) {
            assert!(detail.contains(part), "no {part} in: {detail}");
        }
        assert!(name == "says" || !detail.contains("on port 5000:"), "where it is counts, not what it says: {detail}");
    };
    thread::scope(|scope| {
        scope.spawn(|| told("says", &["seems to listen on port 5000"]));
        scope.spawn(|| told("does", &["(it listens on port "]));
    });
}

#[test]
fn a_token_that_may_deploy_and_nothing_else_is_enough() {
    const ADMIN: &str = "a-token-that-is-long-enough";
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Head::of(dir.path()).guarded(ADMIN).alone(dir);
    cluster.client = Orchestrator::new(&cluster.head.url()).expect("a URL").token(ADMIN);
    let spec =
        |name: &str, scope: &str| TokenSpec { name: name.into(), scopes: vec![scope.into()], ..Default::default() };
    let token = |name, scope| cluster.client.create_token(&spec(name, scope)).expect("a token").secret;
    let (deploy, worker) = (token("ci", "deploy"), token("node", "worker"));
    std::fs::write(cluster.dir.path().join("join"), worker).expect("written");
    let joins = cluster.dir.path().join("join").display().to_string();
    cluster.add_worker("w1", &["--engine", "process", "--join-token-file", &joins]);
    let ci = |words: &[&str]| {
        let mut command = cares();
        let command = command.args(words).env("API_URL", cluster.head.url()).env("AUTH_TOKEN", &deploy);
        let (status, out, err) = run(command.current_dir(cluster.dir.path()));
        assert!(status.success(), "{words:?}: {out}{err}");
        out + &err
    };
    ci(&["init", "f", "--runtime", "shell"]);
    let said = ci(&["deploy", "f"]);
    assert!(said.contains("deployed f revision 1") && said.contains("$ sh .cares/build.sh"), "{said}");
    fs::write(cluster.dir.path().join("f/main.sh"), "#!/bin/sh\necho anew\n").expect("written");
    ci(&["deploy", "f", "-q"]);
    let (answer, text) = cluster.invoke("f", "");
    assert_eq!((answer.status, text.as_str()), (200, "anew\n"));
    let with = [("Authorization", format!("Bearer {deploy}"))];
    let with: Vec<(&str, &str)> = with.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for path in ["/builds", "/functions/f"] {
        ask(cluster.head.http(), "GET", path, &with, b"").problem(403, "forbidden");
    }
}
