//! Limits an operator sets: each is hit, and its error names it and how to set another.

use crate::harness::{Cluster, cares, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire::ReadSome;
use crate::wire::{Reply, ask, connect, get, head, post, put};
use serde_json::json;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// With these limits; and where it is not empty, a token that may do everything.
fn cluster(workers: usize, limits: &[&str], token: &str) -> Cluster {
    let dir = TempDir::new().expect("a folder");
    let flags: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    Head::of(dir.path()).told(&flags).guarded(token).alone(dir).with_workers(workers, &[])
}

fn names(detail: &str, limit: &str) {
    assert!(detail.contains(&format!("--limit {limit}=N")), "{detail}");
}

/// What comes until the other end closes, to bytes sent before.
fn rest(mut stream: std::net::TcpStream) -> Option<Reply> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // it may be reset
    Reply::parse(&answer)
}

#[test]
fn heads_bodies_and_connections_are_limited_as_told() {
    let limits = ["header-bytes=1024", "headers=6", "body-bytes=1024", "bundle-bytes=1024", "connections=6"];
    let cluster = cluster(0, &limits, "");
    let http = cluster.head.http();
    let long = "x".repeat(1_500);
    names(&ask(http, "GET", "/nodes", &[("X-Long", &long)], b"").problem(431, "headers_too_large"), "header-bytes");
    let many: Vec<_> = (0..6).map(|_| ("X-Many", "1")).collect();
    names(&ask(http, "GET", "/nodes", &many, b"").problem(431, "too_many_headers"), "headers");
    names(&post(http, "/functions", vec![b' '; 2_000]).problem(413, "too_large"), "body-bytes");
    names(&put(http, "/functions/f/bundle", vec![0; 2_000]).problem(413, "too_large"), "bundle-bytes");
    // More than may be: those of before may not have been counted out yet, and have some of these refused.
    let held: Vec<_> = (0..18).map(|_| connect(http)).collect();
    let refused =
        wait_for_some("a connection too many is refused", || rest(connect(http)).filter(|reply| reply.status == 503));
    let detail = refused.problem(503, "too_many_connections");
    names(&detail, "connections");
    assert!(detail.contains('6'), "{detail}");
    drop(held);
    wait_for("there is room again", || {
        let mut stream = connect(http);
        let _ = stream.write_all(format!("{}Connection: close\r\n\r\n", head("GET", "/healthz", &[])).as_bytes());
        rest(stream).is_some_and(|reply| reply.status == 200)
    });
}

#[test]
fn slow_heads_and_bodies_are_given_up_as_told() {
    let cluster = cluster(0, &["header-s=1", "body-s=1"], "");
    let (http, began) = (cluster.head.http(), Instant::now());
    let mut slow = connect(http);
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").expect("written");
    rest(slow);
    let mut slow = connect(http);
    let request = head("POST", "/functions", &[("Content-Length", "10")]);
    slow.write_all(format!("{request}\r\n{{").as_bytes()).expect("written");
    // It stays open: the answer comes before the body's end.
    let mut answer = vec![0; 4_096];
    let n = slow.read_some(&mut answer).expect("an answer");
    names(&Reply::parse(&answer[..n]).expect("a head").problem(408, "body_timeout"), "body-s");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// How many of so many calls, one after another, are answered 200, and the first other answer.
fn taken(http: SocketAddr, path: &str, headers: &[(&str, &str)], n: usize) -> (usize, Option<Reply>) {
    let mut answers: Vec<Reply> = (0..n).map(|_| ask(http, "POST", path, headers, b"")).collect();
    let refused = answers.iter().position(|reply| reply.status != 200 && reply.status != 202);
    (
        answers.iter().filter(|reply| reply.status == 200 || reply.status == 202).count(),
        refused.map(|at| answers.remove(at)),
    )
}

/// Most that may be taken in a time: a second's worth at once, and so many a second.
fn most(rate: usize, began: Instant) -> usize {
    rate + (rate as f64 * began.elapsed().as_secs_f64()).ceil() as usize
}

#[test]
fn calls_a_second_are_counted_for_each_function_on_both_ways() {
    let cluster = cluster(1, &["requests-per-s-function=4"], "");
    let http = cluster.head.http();
    for name in ["usual", "own"] {
        cluster.deploy_script(name, "cat");
    }
    let changed = put(http, "/functions/own", json!({ "image": image(http, "own"), "rate_per_s": 2 }).to_string());
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(get(http, "/functions/own").json()["rate_per_s"], 2);
    for (path, rate) in [("/invoke/usual", 4), ("/invoke/own", 2), ("/async-function/usual", 4)] {
        wait_for("a second's worth is there", || ask(http, "POST", path, &[], b"").status < 300);
        let began = Instant::now();
        let (count, refused) = taken(http, path, &[], 40);
        assert!(count >= 1 || began.elapsed() < Duration::from_secs(1), "{path}: {count}");
        assert!(count <= most(rate, began), "{path}: {count} in {:?}", began.elapsed());
        let refused = refused.expect("one too many");
        let detail = refused.problem(429, "rate_limited");
        assert!(detail.contains(&format!("{rate} times a second")), "{detail}");
        assert_eq!(detail.contains("--limit requests-per-s-function=N"), rate == 4, "{detail}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.header("x-call-id").is_some() || path.starts_with("/async"), "{}", refused.head);
    }
}

fn image(http: SocketAddr, name: &str) -> String {
    get(http, &format!("/functions/{name}")).json()["image"].as_str().expect("an image").into()
}

#[test]
fn requests_a_second_are_counted_for_each_token_and_each_address_without_one() {
    let cluster = cluster(0, &["requests-per-s-token=5"], "the-admin");
    let http = cluster.head.http();
    let admin = [("X-API-Key", "the-admin")];
    let made = wait_for_some("a token is made", || {
        let spec = json!({ "name": "slow", "scopes": ["read"], "rate_per_s": 1 }).to_string();
        let made = ask(http, "POST", "/tokens", &admin, spec.as_bytes());
        (made.status == 201).then(|| made.json())
    });
    assert_eq!(made["rate_per_s"], 1);
    let slow = [("X-API-Key", made["token"].as_str().expect("a secret"))];
    let began = Instant::now();
    let answers: Vec<Reply> = (0..20).map(|_| ask(http, "GET", "/nodes", &slow, b"")).collect();
    let count = answers.iter().filter(|reply| reply.status == 200).count();
    assert!((1..=most(1, began)).contains(&count), "{count} in {:?}", began.elapsed());
    let refused = answers.iter().find(|reply| reply.status != 200).expect("one too many");
    let detail = refused.problem(429, "rate_limited");
    assert!(detail.contains("'slow' may make 1 requests a second") && !detail.contains("--limit"), "{detail}");
    // The usual rate, of AUTH_TOKEN too; others do not feel it.
    let began = Instant::now();
    let answers: Vec<Reply> = (0..40).map(|_| ask(http, "GET", "/version", &admin, b"")).collect();
    let count = answers.iter().filter(|reply| reply.status == 200).count();
    assert!(count <= most(5, began), "{count}");
    let refused = answers.iter().find(|reply| reply.status != 200).expect("one too many");
    names(&refused.problem(429, "rate_limited"), "requests-per-s-token");
    // Whoever has none counts by address, where it calls.
    assert!((0..20).all(|_| get(http, "/healthz").status == 200));
    let public = json!({ "name": "open", "image": "hello-world", "public": true }).to_string();
    wait_for("a public function", || ask(http, "POST", "/functions", &admin, public.as_bytes()).status == 201);
    let answers: Vec<Reply> = (0..20).map(|_| ask(http, "POST", "/async-function/open", &[], b"")).collect();
    assert_eq!(answers[0].status, 202, "{}", answers[0].text());
    let refused = answers.iter().find(|reply| reply.status != 202).expect("one too many");
    let detail = refused.problem(429, "rate_limited");
    assert!(detail.contains("an address without a token"), "{detail}");
}

#[test]
fn calls_at_once_are_counted_in_all_and_for_each_function() {
    let cluster = cluster(1, &["calls=2", "calls-per-function=1"], "");
    let http = cluster.head.http();
    for name in ["a", "b", "c"] {
        cluster.deploy_script(name, "read line");
    }
    // Each waits for its body's end, which does not come.
    let hold = |name: &str| {
        let mut stream = connect(http);
        let request = head("POST", &format!("/invoke/{name}"), &[("Transfer-Encoding", "chunked")]);
        stream.write_all(format!("{request}\r\n").as_bytes()).expect("written");
        wait_for("it runs", || get(http, &format!("/functions/{name}")).json()["in_flight"] == 1);
        stream
    };
    let first = hold("a");
    names(&post(http, "/invoke/a", "").problem(429, "too_many_calls"), "calls-per-function");
    let second = hold("b");
    let refused = post(http, "/invoke/c", "");
    names(&refused.problem(429, "too_many_calls"), "calls");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(second);
    wait_for("it has ended", || get(http, "/functions/b").json()["in_flight"] == 0);
    assert_eq!(post(http, "/invoke/c", "x\n").status, 200);
    drop(first);
}

#[test]
fn a_limit_that_is_none_is_a_usage_error_that_lists_them_and_help_does_too() {
    let fails = |args: &[&str], env: &str| {
        let (status, _, err) = run(cares().args(args).env("CARES_LIMITS", env));
        assert_eq!(status.code(), Some(2), "{err}");
        err
    };
    let err = fails(&["orchestrator", "--headless", "--limit", "header=1"], "");
    assert!(err.contains("--limit: there is no limit 'header'") && err.contains("requests-per-s-token"), "{err}");
    let err = fails(&["worker", "127.0.0.1:1", "--headless", "--limit", "output-bytes=1"], "");
    assert!(err.contains("output-bytes is '1', and must be a whole number, 1024 to"), "{err}");
    let err = fails(&["up", "--headless"], "headers=50,calls=x");
    assert!(err.contains("CARES_LIMITS: calls is 'x'"), "{err}");
    for (verb, has, lacks) in
        [("orchestrator", "bundle-bytes", "output-bytes"), ("worker", "log-bytes", "waiting-calls")]
    {
        let (status, out, _) = run(cares().args([verb, "--help"]));
        assert!(status.success() && out.contains(has) && !out.contains(lacks) && out.contains("--limit"), "{out}");
    }
}

/// The README's table has a row for each limit, with its default.
#[test]
fn the_readme_lists_each_limit() {
    let readme = include_str!("../../README.md");
    let (_, help, _) = run(cares().args(["up", "--help"]));
    let (_, table) = help.split_once("$CARES_LIMITS with commas").expect("the limits");
    let rows = table.lines().filter_map(|line| line.trim().split_once("  ").or_else(|| line.trim().split_once(' ')));
    let mut count = 0;
    for (name, text) in rows.filter(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
        let default = text.rsplit_once('(').expect("a default").1.trim_end_matches(')');
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("the README has no row of {name}"));
        assert!(row.contains(&format!("| {default} |")), "{row}: the default is {default}");
        count += 1;
    }
    assert!(count >= 20, "{count}: {table}");
}
