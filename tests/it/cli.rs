//! The command line against a real cluster: what each verb prints, in every format, and the code it ends with.

mod doctor;
mod following;

use crate::harness::{Cluster, Role, cares, free_address, run, wait_for};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

/// A verb that talks to the cluster; exit code, stdout, stderr.
fn verb(cluster: &Cluster, words: &[&str]) -> (i32, String, String) {
    let (status, out, err) = run(cares().args(words).env("API_URL", cluster.head.url()));
    (status.code().expect("a code"), out, err)
}

/// The same, which must go well and say nothing on stderr but progress.
fn fine(cluster: &Cluster, words: &[&str]) -> String {
    let (code, out, err) = verb(cluster, words);
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

fn json(cluster: &Cluster, words: &[&str]) -> Value {
    let out = fine(cluster, words);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"))
}

/// The fields of a table, row by row.
fn table(out: &str) -> Vec<Vec<&str>> {
    out.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// What goes wrong: its code, and that stdout is empty and stderr one line of ours with all of these.
fn wrong(result: (i32, String, String), code: i32, parts: &[&str]) {
    let (found, out, err) = result;
    assert_eq!((found, out.as_str()), (code, ""), "{err}");
    assert!(err.starts_with("cares: ") && err.ends_with(".\n") && err.lines().count() == 1, "{err}");
    for part in parts {
        assert!(err.contains(part), "no '{part}' in: {err}");
    }
}

#[test]
fn help_names_every_verb_and_each_has_help_of_its_own() {
    let (status, out, err) = run(cares().arg("--help"));
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
    let verbs = [
        "up",
        "orchestrator",
        "worker",
        "init",
        "register",
        "deploy",
        "list",
        "describe",
        "start",
        "stop",
        "scale",
        "redeploy",
        "rollback",
        "delete",
        "invoke",
        "calls",
        "logs",
        "events",
        "node",
        "pipeline",
        "build",
        "task",
        "token",
        "backup",
        "restore",
        "secret",
        "tui",
        "doctor",
        "completions",
        "version",
    ];
    let commands = out.split("Commands:").nth(1).expect("a list of commands");
    let commands = commands.split("\n\n").next().expect("its lines");
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let listed: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    for verb in &listed {
        assert!(verbs.contains(verb) || *verb == "help", "{verb} is not tested here");
    }
    for verb in verbs {
        assert!(listed.contains(&verb), "{verb} in {commands}");
        let (status, out, err) = run(cares().args([verb, "--help"]));
        assert!(status.success() && out.contains(&format!("cares {verb}")) && err.is_empty(), "{verb}: {out}{err}");
    }
}

#[test]
fn without_a_verb_it_says_how_to_begin() {
    let (status, out, _) = run(&mut cares());
    assert!(status.success() && out.contains("cares up --demo"), "{out}");
}

#[test]
fn functions_are_registered_listed_described_and_deleted() {
    let cluster = Cluster::start(1);
    let (code, out, err) = verb(&cluster, &["list"]);
    assert!(code == 0 && out.is_empty() && err.contains("No functions yet"), "{out}{err}");
    assert_eq!(json(&cluster, &["list", "-o", "json"]), Value::Array(Vec::new()));
    let out =
        fine(&cluster, &["register", "one", "hello-world", "--label", "team=a", "--timeout-s=1.5", "--env=A=b=c"]);
    assert_eq!(out, "registered one revision 1. Next: cares invoke one\n");
    wrong(verb(&cluster, &["register", "one", "other"]), 1, &["'one'", "--replace"]);
    let out = fine(&cluster, &["register", "one", "other", "--replace", "--mode=job"]);
    assert_eq!(out, "replaced one revision 2. Next: cares invoke one\n");
    assert_eq!(fine(&cluster, &["register", "two", "img", "-o", "name"]), "two\n");
    assert_eq!(json(&cluster, &["register", "six", "img", "-o", "json"])["invoke_path"], "/invoke/six");
    assert_eq!(fine(&cluster, &["register", "ten", "img", "-q"]), "");

    let out = fine(&cluster, &["list"]);
    let rows = table(&out);
    assert_eq!(rows[0], ["NAME", "MODE", "STATUS", "REVISION", "INSTANCES", "CALLS", "FAILURES", "IMAGE", "AGE"]);
    assert_eq!(rows[1][..8], ["one", "job", rows[1][2], "2", "0", "0", "0", "other"]);
    assert_eq!(fine(&cluster, &["list", "-oname"]), "one\nsix\nten\ntwo\n");
    let wide = fine(&cluster, &["list", "--output=wide"]);
    let rows = table(&wide);
    assert!(rows[0].contains(&"TIMEOUT") && rows.iter().all(|row| row.len() == rows[0].len()), "{wide}");
    assert_eq!(json(&cluster, &["list", "-o", "json"]).as_array().expect("an array").len(), 4);

    assert!(fine(&cluster, &["describe", "one"]).contains("Image:        other\n"));
    assert_eq!(json(&cluster, &["describe", "one", "-o=json"])["revision"], 2);
    assert_eq!(fine(&cluster, &["describe", "one", "-o", "name"]), "one\n");
    wrong(verb(&cluster, &["delete", "one"]), 2, &["'one'", "--yes"]);
    assert_eq!(fine(&cluster, &["--yes", "delete", "one"]), "deleted one. Next: cares list\n");
    wrong(verb(&cluster, &["delete", "one", "--yes"]), 4, &["'one'"]);
    wrong(verb(&cluster, &["describe", "one"]), 4, &["'one'"]);
    wrong(verb(&cluster, &["logs", "one"]), 4, &["'one'"]);
}

#[test]
fn nodes_are_listed_and_described() {
    let mut cluster = Cluster::start(0);
    let (code, out, err) = verb(&cluster, &["node", "list"]);
    assert!(code == 0 && out.is_empty() && err.contains("cares worker"), "{out}{err}");
    cluster.add_worker("w1", &["--tag", "zone=edge", "--slots=3"]);
    let out = fine(&cluster, &["node", "list"]);
    let rows = table(&out);
    assert_eq!(rows[0], ["NAME", "STATUS", "CPU", "MEMORY", "RUNNING/SLOTS", "SUCCEEDED", "FAILED", "SEEN"]);
    assert_eq!((&rows[1][..2], rows[1][4]), (&["w1", "active"][..], "0/3"));
    assert_eq!(fine(&cluster, &["node", "list", "-o", "name"]), "w1\n");
    assert!(fine(&cluster, &["node", "-o", "wide", "list"]).contains("ENGINES"));
    assert_eq!(json(&cluster, &["node", "list", "-o", "json"])[0]["tags"]["zone"], "edge");
    assert!(fine(&cluster, &["node", "describe", "w1"]).contains("zone=edge"));
    assert_eq!(json(&cluster, &["node", "describe", "w1", "-o", "json"])["slots"], 3);
}

#[test]
fn a_folder_is_deployed_and_its_function_called() {
    let cluster = Cluster::start(1);
    let manifest = r#"{"name":"shout","mode":"job","command":["./run.sh"]}"#;
    let folder = cluster.folder(
        "any",
        manifest,
        &[("run.sh", "#!/bin/sh\necho \"$CARES_METHOD $CARES_PATH\" >&2\ntr a-z A-Z\n")],
    );
    let folder = folder.to_str().expect("UTF-8");
    let out = fine(&cluster, &["deploy", folder]);
    assert!(out.starts_with("deployed shout revision 1\n") && out.contains("cares invoke shout"), "{out}");
    assert!(out.contains(&format!("{}/invoke/shout", cluster.head.url())), "{out}");
    assert_eq!(json(&cluster, &["deploy", folder, "--name=other", "-o", "json"])["revision"], 1);
    let (status, out, _) =
        run(cares().args(["deploy", "-o", "name", "--url", &cluster.head.url()]).current_dir(folder));
    assert_eq!((status.code(), out.as_str()), (Some(0), "shout\n"), "the folder it is in");

    assert_eq!(fine(&cluster, &["invoke", "shout", "-d", "World"]), "WORLD");
    let file = cluster.dir.path().join("body");
    std::fs::write(&file, "from a file\n").expect("a file");
    assert_eq!(fine(&cluster, &["invoke", "shout", "--data", &format!("@{}", file.display())]), "FROM A FILE\n");
    let mut child = cares();
    child
        .args(["invoke", "shout", "-d", "-", "--url", &cluster.head.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.spawn().expect("cares runs");
    child.stdin.take().expect("piped").write_all(b"from stdin").expect("written");
    assert_eq!(child.wait_with_output().expect("it ends").stdout, b"FROM STDIN");
    let (code, out, err) = verb(&cluster, &["invoke", "shout", "-i", "-d", "x", "--method=put", "--path=/a/b?c=d"]);
    assert_eq!((code, out.as_str()), (0, "X"));
    assert!(err.starts_with("HTTP 200\n") && err.contains("x-call-id: c"), "{err}");

    let lines = fine(&cluster, &["logs", "shout"]);
    assert_eq!(lines.lines().last(), Some("PUT /a/b"), "{lines}");
    assert_eq!(fine(&cluster, &["logs", "shout", "--tail", "1"]), "PUT /a/b\n");
    let wide = fine(&cluster, &["logs", "shout", "--tail=1", "-o", "wide"]);
    assert!(wide.contains(" w1 ") && wide.ends_with(" stderr PUT /a/b\n"), "{wide}");
    assert_eq!(json(&cluster, &["logs", "shout", "--tail=1", "-o", "json"])["line"], "PUT /a/b");

    let gone = cluster.dir.path().join("gone");
    wrong(verb(&cluster, &["deploy", gone.to_str().expect("UTF-8")]), 1, &["gone"]);
    wrong(verb(&cluster, &["invoke", "shout", "-d", "@/nonexistent"]), 1, &["/nonexistent", "-d @"]);
}

#[test]
fn calls_that_fail_say_why_and_end_with_their_code() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("fails", "echo the reason >&2; exit 3");
    let (code, out, err) = verb(&cluster, &["invoke", "nothing"]);
    assert!(code == 4 && out.contains("function_not_found") && err.contains("'nothing'"), "{code} {out} {err}");
    let (code, out, err) = verb(&cluster, &["invoke", "fails"]);
    assert!(code == 1 && out.contains("function_failed"), "{code} {out}");
    assert!(err.contains("exited with code 3") && err.contains("the reason"), "{err}");
    cluster.client.cordon("w1").expect("cordoned");
    let (code, _, err) = verb(&cluster, &["invoke", "fails"]);
    assert!(code == 1 && err.contains("cares node list"), "{code} {err}");
}

#[test]
fn an_orchestrator_that_is_not_there_is_told_with_code_3() {
    let free = free_address();
    let url = format!("http://{free}");
    let lines: [&[&str]; 12] = [
        &["list"],
        &["describe", "f"],
        &["delete", "f", "--yes"],
        &["invoke", "f"],
        &["logs", "f"],
        &["events"],
        &["events", "-f"],
        &["register", "f", "img"],
        &["node", "list"],
        &["node", "describe", "n"],
        &["node", "cordon", "n"],
        &["node", "remove", "n", "--yes"],
    ];
    for words in lines {
        let (status, out, err) = run(cares().args(words).arg("--url").arg(&url));
        wrong((status.code().expect("a code"), out, err), 3, &[&free.to_string(), "cares up", "--url"]);
    }
}

#[test]
fn what_makes_no_sense_is_told_with_code_2_and_a_hint() {
    let lines: [(&[&str], &str); 9] = [
        (&["lisst"], "did you mean 'list'"),
        (&["list", "--nope"], "'--nope'"),
        (&["list", "-o", "yaml"], "yaml"),
        (&["register", "one"], "image"),
        (&["register", "Not-A-Name", "img"], "name"),
        (&["register", "one", "img", "--mode=odd"], "odd"),
        (&["worker", "http://host"], "URL"),
        (&["worker", "host:1", "--slots", "0"], "--slots"),
        (&["orchestrator", "--http-addr", "0.0.0.0:0"], "--open"),
    ];
    for (words, part) in lines {
        let (status, out, err) = run(cares().args(words));
        wrong((status.code().expect("a code"), out, err), 2, &[part]);
    }
    let (status, out, err) = run(cares().args(["list", "--url", "ftp://x"]));
    wrong((status.code().expect("a code"), out, err), 2, &["ftp://x", "http://HOST:8080"]);
}

#[test]
fn the_demo_shows_both_answers_and_how_to_call_them_and_runs_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_str().expect("UTF-8");
    let args = ["up", "--demo", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", data];
    let mut up = Role::start(&args);
    let url = up.url();
    let last = "  cares invoke echo -d ping";
    wait_for("both examples are shown", || up.log().contains(last));
    let log = up.log();
    for line in [
        format!("the dashboard, for a browser: {url}/"),
        "hello answered: Hello from CARES".to_string(),
        format!("  curl -d World {url}/invoke/hello"),
        "  cares invoke hello -d World".into(),
        "echo answered: ping".into(),
        format!("  curl -d ping {url}/invoke/echo"),
    ] {
        assert!(log.lines().any(|found| found == line), "no '{line}' in:\n{log}");
    }
    let invoke = |name: &str, body: &str| run(cares().args(["invoke", name, "-d", body, "--url", &url])).1;
    assert_eq!((invoke("hello", "World").as_str(), invoke("echo", "ping").as_str()), ("Hello, World!\n", "ping"));
    assert!(up.ready("node").starts_with("n-") && up.ready("grpc").starts_with("127.0.0.1:"));
    up.signal("TERM");
    assert_eq!(up.wait().code(), Some(0), "{}", up.log());
    assert_eq!(crate::processes::below(dir.path()), [0; 0]);

    let again = Role::start(&args);
    wait_for("both examples are shown again", || again.log().contains(last));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let cluster = Cluster::start(0);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = cares().args(["list", "-o", "json", "--url", &cluster.head.url()]).stdout(writer).output();
    let output = output.expect("cares runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn asynchronous_calls_are_made_looked_at_and_cancelled() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("shout", "tr a-z A-Z");
    let said = fine(&cluster, &["invoke", "shout", "--async", "--key", "k1", "-d", "hello", "-o", "name"]);
    let id = said.trim();
    let line = fine(&cluster, &["invoke", "shout", "--async", "--key", "k1", "-d", "hello"]);
    assert_eq!(line, format!("accepted {id}. Next: cares calls get {id}, then cares calls result {id}\n"));
    wait_for("it has ended", || json(&cluster, &["calls", "get", id, "-o", "json"])["status"] == "succeeded");
    assert_eq!(fine(&cluster, &["calls", "result", id]), "HELLO");
    let shown = fine(&cluster, &["calls", "get", id]);
    for part in [id, "shout", "succeeded", "1 (0 failed of at most 3, 0 cut short)", "k1"] {
        assert!(shown.contains(part), "no '{part}' in: {shown}");
    }
    let rows = fine(&cluster, &["calls", "list", "--async"]);
    let rows = table(&rows);
    assert_eq!(&rows[0][..5], ["ID", "FUNCTION", "STATUS", "ASYNC", "ATTEMPTS"]);
    assert_eq!((rows.len(), &rows[1][..5]), (2, &[id, "shout", "succeeded", "yes", "1"][..]));
    fine(&cluster, &["node", "cordon", "w1"]);
    let waiting = fine(&cluster, &["invoke", "shout", "--async", "-o", "name"]);
    let waiting = waiting.trim();
    let said = fine(&cluster, &["calls", "cancel", waiting]);
    assert_eq!(said, format!("cancelled {waiting}. Next: cares calls list\n"));
    let rows = json(&cluster, &["calls", "list", "--status", "cancelled", "-o", "json"]);
    assert_eq!((rows.as_array().map(Vec::len), rows[0]["id"].as_str()), (Some(1), Some(waiting)));
    wrong(verb(&cluster, &["calls", "cancel", id]), 1, &[id, "succeeded"]);
    wrong(verb(&cluster, &["calls", "get", "a0"]), 4, &["a0"]);
    let (code, _, err) = verb(&cluster, &["calls", "result", waiting]);
    assert_eq!((code, err), (1, format!("cares: call {waiting} was cancelled: it has no result\n")));
    wrong(verb(&cluster, &["invoke", "nobody", "--async"]), 4, &["nobody"]);
    wrong(verb(&cluster, &["invoke", "shout", "--key", "x"]), 2, &["--async"]);
    fine(&cluster, &["register", "tick", "hello-world", "--schedule", "0 3 * * *", "--schedule-zone", "Asia/Kolkata"]);
    let shown = || fine(&cluster, &["describe", "tick"]);
    let parts = ["0 3 * * * Asia/Kolkata", "last <none>", "T21:30:00.000Z"];
    wait_for("its schedule is shown", || parts.iter().all(|part| shown().contains(part)));
}
