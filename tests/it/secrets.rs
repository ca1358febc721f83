//! Secrets: they reach the functions that are to have them, and nobody and nothing else.

use crate::fixture;
use crate::harness::{Cluster, Role, cares, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire::{ask, get, post, put};
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const PASSWORD: &str = "hunter2-of-the-database";
const KEY: &str = "-----BEGIN of a private key-----";
const USES: &str = r#","secrets":{"env":{"DB_PASSWORD":"db-pass"},"files":{"tls.key":"tls-key"}}"#;

/// A cluster whose workers end by themselves, so that nothing stays in this machine's memory.
struct Ended(Cluster);

impl Ended {
    fn start(workers: usize) -> Ended {
        Ended(Cluster::start(workers))
    }
}

impl Deref for Ended {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl DerefMut for Ended {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.0
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.workers.iter().for_each(|worker| worker.signal("TERM"));
        if !thread::panicking() {
            self.0.workers.iter_mut().for_each(|worker| _ = worker.wait());
        }
    }
}

fn set(cluster: &Cluster, name: &str, value: &str) {
    cluster.client.set_secret(name, value.as_bytes()).expect("set");
}

fn set_both(cluster: &Cluster) {
    set(cluster, "db-pass", PASSWORD);
    set(cluster, "tls-key", KEY);
}

/// A job with both that runs a script.
fn script(cluster: &Cluster, name: &str, script: &str) {
    let manifest = format!(r#"{{"mode":"job","command":["./run.sh"]{USES}}}"#);
    cluster.deploy(name, &manifest, &[("run.sh", &format!("#!/bin/sh\n{script}\n"))]);
}

/// Deploys the http function that answers with both.
fn server(cluster: &Cluster) {
    cluster.deploy("server", &fixture::manifest_with("secrets", USES), &[]);
}

/// All files below a folder that hold one of the values.
fn files_with_values(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_with_values(&path, found);
        } else if fs::read(&path).is_ok_and(|bytes| holds_value(&bytes)) {
            found.push(path.display().to_string());
        }
    }
}

fn holds_value(bytes: &[u8]) -> bool {
    let holds = |value: &str| bytes.windows(value.len()).any(|part| part == value.as_bytes());
    holds(PASSWORD) || holds(KEY)
}

fn command_lines() -> Vec<u8> {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    all.flat_map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default()).collect()
}

/// All that the cluster shows and keeps.
fn nothing_shows_a_value(cluster: &Cluster, roles: &[&Role]) {
    let http = cluster.head.http();
    for path in
        ["/functions", "/secrets", "/calls", "/cluster", "/log?tail=1000", "/logs/server", "/logs/reader", "/nodes"]
    {
        let reply = get(http, path);
        assert!(reply.status == 200 && !holds_value(&reply.body), "{path}: {}", reply.text());
    }
    for name in ["server", "reader"] {
        let reply = get(http, &format!("/functions/{name}"));
        assert!(reply.text().contains("\"db-pass\"") && !holds_value(&reply.body), "{}", reply.text());
        let (_, out, err) = run(cares().args(["describe", name, "--url", &cluster.head.url()]));
        assert!(out.contains("DB_PASSWORD is db-pass") && out.contains("file tls.key is tls-key"), "{out}{err}");
        assert!(!holds_value((out + &err).as_bytes()));
    }
    let mut backup = Vec::new();
    cluster.client.backup(&mut backup).expect("a backup");
    assert!(!holds_value(&backup) && backup.windows(7).any(|part| part == b"db-pass"));
    let (_, events, _) = run(cares().args(["events", "--url", &cluster.head.url(), "-o", "json"]));
    assert!(events.contains("secret.set") && !holds_value(events.as_bytes()), "{events}");
    assert!(!holds_value(&command_lines()));
    for role in roles {
        assert!(!holds_value(role.log().as_bytes()), "{}", role.log());
    }
    let mut found = Vec::new();
    files_with_values(cluster.dir.path(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn they_reach_functions_and_nothing_else() {
    let mut cluster = Ended::start(1);
    set_both(&cluster);
    script(
        &cluster,
        "reader",
        "printf '%s %s ' \"$DB_PASSWORD\" \"$(cat $CARES_SECRETS_DIR/tls.key)\"; stat -c %a $CARES_SECRETS_DIR $CARES_SECRETS_DIR/*; cat",
    );
    server(&cluster);
    let both = format!("{PASSWORD} {KEY}");
    let check = |cluster: &Cluster| {
        assert_eq!(cluster.call("reader", "and a body"), (200, format!("{both} 700\n400\nand a body")));
        let (status, long) = cluster.call("reader", &"x".repeat(300_000));
        assert_eq!((status, long.len()), (200, both.len() + 9 + 300_000));
        assert_eq!(cluster.call("server", ""), (200, both.clone()));
    };
    check(&cluster);
    let again = cluster.client.invoke_later("reader", Default::default(), Default::default()).expect("taken");
    wait_for("it ran", || cluster.client.call(&again.id).is_ok_and(|call| call.status == "succeeded"));
    nothing_shows_a_value(&cluster, &[&cluster.head, &cluster.workers[0]]);

    cluster.restart_head();
    cluster.wait_linked("w1");
    check(&cluster);
    let secrets = cluster.client.secrets().expect("secrets");
    let seen: Vec<_> = secrets.iter().map(|s| (s.name.as_str(), s.version, s.used_by.join(","))).collect();
    assert_eq!(seen, [("db-pass", 1, "reader,server".to_string()), ("tls-key", 1, "reader,server".to_string())]);
    nothing_shows_a_value(&cluster, &[&cluster.head]);
}

#[test]
fn what_a_function_says_of_one_at_its_end_is_masked() {
    let cluster = Ended::start(1);
    set_both(&cluster);
    script(&cluster, "reader", "echo \"$DB_PASSWORD is wrong\" >&2; cat $CARES_SECRETS_DIR/tls.key >&2; exit 3");
    let detail = cluster.problem("reader", "").detail;
    assert!(detail.contains("(secret DB_PASSWORD) is wrong") && detail.contains("(secret tls.key)"), "{detail}");
    cluster.deploy("server", &fixture::manifest_with("tells-at-start", USES), &[]);
    let detail = cluster.problem("server", "").detail;
    assert!(detail.contains("cannot log in with Ok(\"(secret DB_PASSWORD)\")"), "{detail}");
    let shown = cluster.client.function("server").expect("a function");
    assert!(shown.last_error.is_some_and(|why| why.contains("(secret DB_PASSWORD)")));
    wait_for("its log is there", || get(cluster.head.http(), "/logs/reader").text().contains("is wrong"));
    nothing_shows_a_value(&cluster, &[&cluster.head, &cluster.workers[0]]);
}

#[test]
fn a_new_value_reaches_new_instances_and_no_call_fails() {
    let cluster = Ended::start(1);
    set_both(&cluster);
    server(&cluster);
    assert_eq!(cluster.call("server", "").0, 200);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (cluster.client.clone(), stop.clone());
            thread::spawn(move || {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (answer, text) = crate::harness::invoke(&client, "server", "");
                    assert_eq!(answer.status, 200, "{text}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for value in ["a second one", "and a third"] {
        set(&cluster, "db-pass", value);
        wait_for("calls have the new value", || cluster.call("server", "") == (200, format!("{value} {KEY}")));
    }
    stop.store(true, Ordering::Relaxed);
    let calls: u64 = callers.into_iter().map(|caller| caller.join().expect("no call failed")).sum();
    assert!(calls > 20, "{calls}");
    assert_eq!(cluster.client.function("server").expect("it").revision, 3);
    // A job has it at its next call, without a revision.
    script(&cluster, "reader", "printf %s \"$DB_PASSWORD\"");
    assert_eq!(cluster.call("reader", ""), (200, "and a third".into()));
    set(&cluster, "db-pass", "a fourth");
    assert_eq!(cluster.call("reader", ""), (200, "a fourth".into()));
    assert_eq!(cluster.client.function("reader").expect("it").revision, 1);
}

#[test]
fn what_is_used_is_not_deleted_and_what_is_not_there_not_used() {
    let cluster = Cluster::start(0);
    let http = cluster.head.http();
    let register = |name: &str, secrets: &str| {
        post(http, "/functions", format!(r#"{{"name":"{name}","image":"hello-world","secrets":{secrets}}}"#))
    };
    let detail = register("f", r#"{"env":{"A":"gone"}}"#).problem(400, "unknown_secret");
    assert!(
        detail.contains("secrets.env") && detail.contains("'gone'") && detail.contains("cares secret set"),
        "{detail}"
    );
    set(&cluster, "one", "x");
    assert_eq!(register("f", r#"{"env":{"A":"one"},"files":{"/run/secrets/b":"one"}}"#).status, 201);
    let detail = ask(http, "DELETE", "/secrets/one", &[], b"").problem(409, "secret_in_use");
    assert!(detail.contains("'one' is used by f"), "{detail}");
    ask(http, "DELETE", "/secrets/none", &[], b"").problem(404, "secret_not_found");
    // Only the revision before uses it: it may go, and going back to that is refused.
    assert_eq!(put(http, "/functions/f", r#"{"image":"hello-world","mode":"job"}"#).status, 200);
    assert_eq!(ask(http, "DELETE", "/secrets/one", &[], b"").status, 204);
    let back = post(http, "/functions/f/rollback", r#"{"revision":1}"#).problem(400, "unknown_secret");
    assert!(back.contains("'one'"), "{back}");
    // Bad names, fields and sizes.
    for (secrets, field) in [
        (r#"{"env":{"A=B":"one"}}"#, "secrets.env"),
        (r#"{"env":{"PORT":"one"}}"#, "secrets.env"),
        (r#"{"env":{"A":"../one"}}"#, "secrets.env"),
        (r#"{"files":{"../a":"one"}}"#, "secrets.files"),
        (r#"{"files":{"/etc/passwd":"one"}}"#, "secrets.files"),
        (r#"{"volume":{}}"#, "volume"),
    ] {
        let detail = register("g", secrets).problem(400, "invalid_field");
        assert!(detail.contains(field), "{detail}");
    }
    for name in ["Big", "a%2Fb", "..%2f..%2fetc", "a%00b", "-a", &"x".repeat(64), "%F0%9F%92%A9"] {
        let detail = ask(http, "PUT", &format!("/secrets/{name}"), &[], b"v").problem(400, "invalid_field");
        assert!(detail.starts_with("name: "), "{detail}");
    }
    put(http, "/secrets/empty", "").problem(400, "invalid_field");
    assert_eq!(put(http, "/secrets/large", vec![0; 65_536]).status, 201);
    assert!(put(http, "/secrets/large", vec![0; 65_537]).problem(413, "too_large").contains("65536"));
    // Bytes that are no text cannot be a variable, now or later.
    let detail = register("g", r#"{"env":{"A":"large"}}"#).problem(400, "unknown_secret");
    assert!(detail.contains("as a file"), "{detail}");
    assert_eq!(register("h", r#"{"files":{"a":"large"}}"#).status, 201);
    assert_eq!(put(http, "/secrets/large", "text").status, 200);
    assert_eq!(register("g", r#"{"env":{"A":"large"}}"#).status, 201);
    assert!(put(http, "/secrets/large", b"a\0b").problem(400, "invalid_field").contains("function 'g'"));
    assert_eq!(get(http, "/secrets/large").status, 405, "nobody reads one");
}

/// Starts the head, which has ended, with a key file; `Err`: what it said.
fn start_with_key(cluster: &Cluster, key: &Path) -> Result<Role, String> {
    start_with_keys(cluster, key, None)
}

/// The same, and the one of before.
fn start_with_keys(cluster: &Cluster, key: &Path, was: Option<&Path>) -> Result<Role, String> {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_string();
    let (key, was) = (text(key), was.map(text));
    let mut flags = vec!["--secret-key-file", &key];
    flags.extend(was.iter().flat_map(|was| ["--secret-key-was", was]));
    let head = Head::of(cluster.dir.path()).at_those_of(&cluster.head);
    head.told(&flags).try_start().map_err(|(_, log)| log)
}

#[test]
fn another_key_is_refused_and_nothing_is_lost() {
    let mut cluster = Ended::start(1);
    let key = cluster.dir.path().join("orchestrator/secrets.key");
    set_both(&cluster);
    server(&cluster);
    cluster.head.kill();
    let elsewhere = cluster.dir.path().join("elsewhere.key");
    let said = start_with_key(&cluster, &elsewhere).err().expect("refused");
    assert!(said.contains("elsewhere.key") && said.contains("2 secrets") && !elsewhere.exists(), "{said}");
    fs::write(&elsewhere, "ab".repeat(32)).expect("written");
    let said = start_with_key(&cluster, &elsewhere).err().expect("refused");
    assert!(said.contains("elsewhere.key") && said.contains("'db-pass'"), "{said}");
    fs::write(&elsewhere, "no key").expect("written");
    let said = start_with_key(&cluster, &elsewhere).err().expect("refused");
    assert!(said.contains("64 hexadecimal digits"), "{said}");
    fs::rename(&key, &elsewhere).expect("moved");
    cluster.head = start_with_key(&cluster, &elsewhere).expect("it is the right one");
    cluster.wait_linked("w1");
    assert_eq!(cluster.call("server", ""), (200, format!("{PASSWORD} {KEY}")));
    assert!(!key.exists());
}

#[test]
fn another_key_is_taken_up_when_the_one_before_is_given() {
    let mut cluster = Ended::start(1);
    let old = cluster.dir.path().join("orchestrator/secrets.key");
    let file = |name: &str| cluster.dir.path().join(name);
    let (new, other, none) = (file("new.key"), file("other.key"), file("none.key"));
    set_both(&cluster);
    server(&cluster);
    let mut backup = Vec::new();
    cluster.client.backup(&mut backup).expect("a backup");
    cluster.head.kill();
    fs::write(&other, "cd".repeat(32)).expect("written");
    let refused = |key: &Path, was: &Path, parts: &[&str]| {
        let said = start_with_keys(&cluster, key, Some(was)).err().expect("refused");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    };
    refused(&new, &other, &["new.key", "other.key", "'db-pass'", "Nothing was changed"]);
    refused(&new, &none, &["--secret-key-was", "none.key", "no such file"]);
    refused(&old, &old, &["--secret-key-was", "new key as well"]);
    assert!(!new.exists() && !none.exists(), "none is made that opens nothing");
    // As a crash leaves it between the key that is made and the secrets that are not written yet.
    fs::write(&new, "ef".repeat(32)).expect("written");
    refused(&new, &other, &["neither", "'db-pass'"]);
    cluster.head = start_with_keys(&cluster, &new, Some(&old)).expect("both are right");
    wait_for("it is told", || cluster.head.log().contains("2 secrets are sealed anew, with the key in "));
    let works = |cluster: &Cluster| {
        cluster.wait_linked("w1");
        assert_eq!(cluster.call("server", ""), (200, format!("{PASSWORD} {KEY}")));
    };
    works(&cluster);
    // A backup of before is of the key of before, and is taken while that is given.
    cluster.client.delete_function("server").expect("deleted");
    cluster.client.delete_secret("tls-key").expect("deleted");
    cluster.client.restore(&mut &backup[..], None).expect("restored");
    works(&cluster);
    // From now on the old key opens nothing, and is needed for nothing.
    cluster.head.kill();
    let said = start_with_key(&cluster, &old).err().expect("refused");
    assert!(said.contains("secrets.key") && said.contains("does not open"), "{said}");
    cluster.head = start_with_keys(&cluster, &new, Some(&old)).expect("again");
    wait_for("it is told", || cluster.head.log().contains("--secret-key-was can be left out"));
    cluster.head.kill();
    fs::remove_file(&old).expect("removed");
    cluster.head = start_with_key(&cluster, &new).expect("the new one alone");
    works(&cluster);
    let secrets = cluster.client.secrets().expect("secrets");
    assert!(secrets.iter().all(|secret| secret.version == 1), "no value has changed: {secrets:?}");
}

#[test]
fn a_backup_comes_back_where_the_key_is() {
    let cluster = Ended::start(1);
    set_both(&cluster);
    server(&cluster);
    let mut backup = Vec::new();
    cluster.client.backup(&mut backup).expect("a backup");
    let key = fs::read(cluster.dir.path().join("orchestrator/secrets.key")).expect("the key");
    drop(cluster);

    let other = Cluster::start(0);
    let error = other.client.restore(&mut &backup[..], None).expect_err("another key");
    assert_eq!(error.code(), "wrong_secret_key");
    assert!(error.to_string().contains("secrets.key") && error.to_string().contains("Nothing was changed"), "{error}");
    assert!(
        other.client.functions().expect("functions").is_empty() && other.client.secrets().expect("none").is_empty()
    );
    drop(other);

    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(dir.path().join("orchestrator")).expect("a folder");
    fs::write(dir.path().join("orchestrator/secrets.key"), key).expect("written");
    let mut moved = Ended(Cluster::start_in(dir, 1));
    set(&moved, "db-pass", "of today");
    moved.client.restore(&mut &backup[..], None).expect("restored");
    let expected = (200, format!("of today {KEY}"));
    assert_eq!(moved.call("server", ""), expected, "what is there stays, what is missing comes");
    moved.restart_head();
    moved.wait_linked("w1");
    assert_eq!(moved.call("server", ""), expected);
}

#[test]
fn the_command_line_sets_lists_and_deletes() {
    let cluster = Cluster::start(0);
    let url = cluster.head.url();
    let secret = |args: &[&str]| run(cares().arg("secret").args(args).args(["--url", &url]));
    let file = cluster.dir.path().join("value");
    fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    let (status, out, err) = secret(&["set", "db-pass", "-d", &format!("@{}", file.display())]);
    assert!(status.success() && out.contains("set db-pass version 1, 24 bytes"), "{out}{err}");
    assert!(err.contains("line break") && !(out + &err).contains(PASSWORD));
    assert!(secret(&["set", "db-pass", "-d", "x"]).1.contains("version 2, 1 bytes"));
    let (status, _, err) = secret(&["set", "empty"]);
    assert!(!status.success() && err.contains("1 to 65536 bytes"), "{err}");
    let flags = ["f", "hello-world", "--secret", "A=db-pass", "--secret-file", "b.key=db-pass", "--url", &url];
    let (status, out, err) = run(cares().arg("register").args(flags));
    assert!(status.success(), "{out}{err}");
    let (_, out, _) = secret(&["list"]);
    let line = out.lines().nth(1).expect("a row");
    assert!(line.starts_with("db-pass") && line.contains(" 2 ") && line.contains(" f "), "{out}");
    let (status, _, err) = secret(&["delete", "db-pass", "--yes"]);
    assert!(!status.success() && err.contains("used by f"), "{err}");
    assert!(run(cares().args(["delete", "f", "--yes", "--url", &url])).0.success());
    assert!(secret(&["delete", "db-pass", "--yes"]).0.success());
    assert_eq!(cluster.client.secrets().expect("a list"), []);
}

/// Not a function's secret is left in memory when the worker that had it is killed and comes back.
#[test]
fn a_killed_workers_files_are_removed_by_its_next() {
    let mut cluster = Ended::start(1);
    set_both(&cluster);
    script(&cluster, "reader", "echo $CARES_SECRETS_DIR >&2; exec sleep 1000");
    let call = cluster.call_aside("reader", "");
    let folder = wait_for_some("it runs", || {
        let logs = cluster.client.logs("reader", None, false).ok()?;
        logs.filter_map(Result::ok).find(|line| line.line.starts_with("/dev/shm/")).map(|line| line.line)
    });
    assert!(Path::new(&folder).join("tls.key").exists());
    cluster.restart_worker(0, "w1", &[]);
    assert!(!Path::new(&folder).exists());
    drop(call.join());
}
