//! What the programs log: each request with `--access-log`, lines that say what they are about as JSON, no secret in any of
//! them; and the trace a caller is part of.

use crate::fixture::manifest;
use crate::harness::{Cluster, Role, cares, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire::ReadSome;
use crate::wire::{Reply, ask, connect, get, head};
use serde_json::Value;
use std::io::Write;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A cluster of one worker whose programs log so.
fn cluster(args: &[&str]) -> Cluster {
    let dir = tempfile::tempdir().expect("a folder");
    Head::of(dir.path()).told(args).alone(dir).with_workers(1, args)
}

/// Lines of a log as JSON that are so; each line must be an object with its time, level and message.
fn lines(role: &Role, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let log = role.log();
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for field in ["time", "level", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        line
    });
    lines.filter(wanted).collect()
}

/// The access log's line for a path.
fn line_of(role: &Role, path: &str) -> Value {
    wait_for_some(&format!("the line of {path}"), || {
        lines(role, |line| line["path"] == path && line.get("method").is_some()).into_iter().next()
    })
}

#[test]
fn each_request_has_a_line_that_says_whose_it_was_and_where_it_went() {
    // Whatever the level is.
    let cluster = cluster(&["--access-log", "--log-format", "json", "--log-level", "error"]);
    let http = cluster.head.http();
    cluster.deploy_echo("");
    let trace = [("traceparent", PARENT)];
    let answer = ask(http, "POST", "/invoke/echo/deep/er?secret=in-a-query", &trace, b"hello");
    assert_eq!(answer.status, 200);
    let line = line_of(&cluster.head, "/invoke/echo/deep/er");
    assert_eq!(line["call"].as_str(), answer.header("x-call-id"), "{line}");
    assert_eq!(
        (&line["method"], &line["status"], &line["bytes"]),
        (&"POST".into(), &200.into(), &answer.body.len().into())
    );
    assert_eq!((&line["function"], &line["node"], &line["from"]), (&"echo".into(), &"w1".into(), &"127.0.0.1".into()));
    assert_eq!(line["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 30_000.0), "{line}");
    assert!(line.get("token").is_none() && line.get("whole").is_none(), "{line}");
    assert!(!cluster.head.log().contains("in-a-query"), "a query is in no line");

    get(http, "/functions/none").problem(404, "function_not_found");
    let line = line_of(&cluster.head, "/functions/none");
    assert!(line["status"] == 404 && line.get("call").is_none() && line.get("node").is_none(), "{line}");
    cluster.problem("none", "");
    let line = line_of(&cluster.head, "/invoke/none");
    assert!(line["status"] == 404 && line["call"].as_str().is_some_and(|id| id.starts_with('r')), "{line}");
    assert_eq!(get(cluster.workers[0].http(), "/healthz").status, 200);
    assert_eq!(line_of(&cluster.workers[0], "/healthz")["status"], 200);
}

#[test]
fn who_leaves_before_the_end_has_a_line_that_says_so() {
    let cluster = cluster(&["--access-log", "--log-format", "json"]);
    cluster.deploy("forever", &manifest("events"), &[]);
    let mut stream = connect(cluster.head.http());
    stream.write_all((head("GET", "/invoke/forever/x", &[]) + "\r\n").as_bytes()).expect("sent");
    let mut some = [0; 4_096];
    while !String::from_utf8_lossy(&some).contains("\r\n\r\n") {
        assert!(stream.read_some(&mut some).expect("an answer") > 0);
    }
    drop(stream);
    let line = line_of(&cluster.head, "/invoke/forever/x");
    assert!(line["whole"] == false && line["status"] == 200 && line["node"] == "w1", "{line}");

    cluster.deploy_script("sleeps", "sleep 60");
    let mut stream = connect(cluster.head.http());
    stream.write_all((head("GET", "/invoke/sleeps", &[]) + "\r\n").as_bytes()).expect("sent");
    wait_for("it runs", || cluster.client.function("sleeps").is_ok_and(|f| f.in_flight == 1));
    drop(stream);
    let line = line_of(&cluster.head, "/invoke/sleeps");
    assert!(line["whole"] == false && line.get("status").is_none(), "{line}");
}

#[test]
fn without_the_flag_no_request_has_a_line() {
    let cluster = cluster(&["--log-format", "json"]);
    assert_eq!(get(cluster.head.http(), "/healthz").status, 200);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "").0, 200);
    wait_for("the call's story has its end", || cluster.head.log().contains("finished with status 200"));
    assert_eq!(
        lines(&cluster.head, |line| line.get("method").is_some() || line.get("bytes").is_some()),
        [Value::Null; 0]
    );
}

#[test]
fn lines_of_both_programs_say_what_they_are_about() {
    let cluster = cluster(&["--log-format", "json"]);
    cluster.deploy_echo("");
    let (answer, _) = cluster.invoke("echo", "hello");
    let call = answer.header("x-call-id").expect("an id").to_string();
    let about = |role: &Role, says: &str| {
        wait_for_some(says, || lines(role, |line| line["message"].as_str().is_some_and(|m| m.contains(says))).pop())
    };
    let ended = about(&cluster.head, "finished with status 200");
    assert_eq!(
        (&ended["call"], &ended["function"], &ended["node"]),
        (&call.clone().into(), &"echo".into(), &"w1".into())
    );
    assert_eq!((&ended["status"], &ended["success"]), (&200.into(), &true.into()));
    let ran = about(&cluster.workers[0], "received, running");
    assert_eq!((&ran["call"], &ran["function"]), (&call.clone().into(), &"echo".into()));
    let warm = about(&cluster.workers[0], "is warm");
    assert!(warm["function"] == "echo" && warm["instance"].as_str().is_some_and(|id| id.starts_with('i')), "{warm}");
    let joined = about(&cluster.head, "has joined");
    assert_eq!(
        (joined["kind"].as_str(), joined["node"].as_str()),
        (Some("node.joined"), Some(cluster.workers[0].ready("node")))
    );
    let registered = about(&cluster.head, "is registered");
    assert_eq!((&registered["function"], &registered["kind"]), (&"echo".into(), &"function.registered".into()));
}

#[test]
fn tokens_are_named_and_no_secret_is_in_any_line() {
    let cluster = cluster(&["--access-log", "--log-format", "json", "--log-level", "debug"]);
    let url = cluster.head.url();
    let value = "a-value-that-nobody-may-read";
    let file = cluster.dir.path().join("value");
    std::fs::write(&file, value).expect("a file");
    let ok = |args: &[&str], token: &str| {
        let mut command = cares();
        command.args(args).args(["--url", &url]);
        if !token.is_empty() {
            command.env("AUTH_TOKEN", token);
        }
        let (status, out, err) = run(&mut command);
        assert!(status.success(), "{args:?}: {out}{err}");
        out.trim().to_string()
    };
    ok(&["secret", "set", "db", "-d", &format!("@{}", file.display())], "");
    let told = r#"{"mode":"job","command":["./run.sh"],"secrets":{"env":{"DB":"db"}}}"#;
    cluster.deploy("told", told, &[("run.sh", "#!/bin/sh\ntest -n \"$DB\" && echo ok\n")]);
    assert_eq!(cluster.call("told", "").0, 200, "its worker has the bundle from then on, and no token");
    let admin = ok(&["token", "create", "boss", "--scope", "admin", "-q"], "");
    let http = cluster.head.http();
    let bearer = format!("Bearer {admin}");
    let answer =
        ask(http, "POST", "/invoke/told", &[("Authorization", &bearer), ("Cookie", "a-session-cookie")], b"a-body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    let call = answer.header("x-call-id");
    let line = wait_for_some("its line", || {
        lines(&cluster.head, |l| l["call"].as_str() == call && l["path"].is_string()).pop()
    });
    assert_eq!(line["token"], "boss", "{line}");
    ask(http, "GET", "/nodes?token=a-wrong-one", &[("Authorization", "Bearer a-wrong-one")], b"")
        .problem(401, "unauthenticated");
    assert!(line_of(&cluster.head, "/nodes").get("token").is_none());
    for role in [&cluster.head, &cluster.workers[0]] {
        for secret in [value, &admin, "a-wrong-one", "a-session-cookie", "a-body"] {
            assert!(!role.log().contains(secret), "{secret} is in:\n{}", role.log());
        }
    }
}

#[test]
fn a_trace_reaches_http_functions_jobs_and_later_attempts_and_none_is_made() {
    let cluster = Cluster::start(1);
    let http = cluster.head.http();
    cluster.deploy("head", &manifest("head"), &[]);
    cluster.deploy_script("job", "echo \"$TRACEPARENT|$TRACESTATE\"");
    let traced = [("traceparent", PARENT), ("tracestate", "vendor=1,other=2")];
    let text = |reply: Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    };
    let seen = text(ask(http, "GET", "/invoke/head", &traced, b"")).to_lowercase();
    assert!(
        seen.contains(&format!("traceparent: {PARENT}\r\n")) && seen.contains("tracestate: vendor=1,other=2\r\n"),
        "{seen}"
    );
    assert_eq!(text(ask(http, "POST", "/invoke/job", &traced, b"")), format!("{PARENT}|vendor=1,other=2\n"));

    let accepted = ask(http, "POST", "/async-function/job", &traced, b"");
    let result = format!("/calls/{}/result", accepted.json()["id"].as_str().expect("an id"));
    wait_for("the call ends", || get(http, &result).status == 200);
    assert_eq!(text(get(http, &result)), format!("{PARENT}|vendor=1,other=2\n"));

    let seen = text(get(http, "/invoke/head")).to_lowercase();
    assert!(!seen.contains("traceparent"), "none is made: {seen}");
    assert_eq!(text(ask(http, "POST", "/invoke/job", &[], b"")), "|\n");
    let garbage = [("traceparent", "00-$(id)-x-01"), ("tracestate", "a=1")];
    assert_eq!(text(ask(http, "POST", "/invoke/job", &garbage, b"")), "|\n", "a job is given nothing that is none");
}
