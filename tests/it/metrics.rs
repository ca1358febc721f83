//! `/metrics` of both roles: what is counted, what it is worth to a reader, and that what is gone leaves nothing.

use crate::fixture::manifest;
use crate::harness::{Cluster, Role, cares, run, wait_for};
use crate::wire::{self, ask, connect, head};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;

/// All samples, by name and labels as they are written.
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    pub fn of(role: &Role) -> Metrics {
        Metrics::at(role.http(), &[])
    }

    pub fn at(address: SocketAddr, headers: &[(&str, &str)]) -> Metrics {
        let text = text(address, headers);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            (name.to_string(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        };
        let all: Vec<(String, f64)> = samples.map(sample).collect();
        let by_name: BTreeMap<String, f64> = all.iter().cloned().collect();
        assert_eq!(all.len(), by_name.len(), "a sample is there twice:\n{text}");
        Metrics(by_name)
    }

    pub fn value(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} among:\n{}", self.names()))
    }

    fn names(&self) -> String {
        self.0.keys().map(|name| format!("{name}\n")).collect()
    }
}

/// As Prometheus gets it.
pub fn text(address: SocketAddr, headers: &[(&str, &str)]) -> String {
    let reply = ask(address, "GET", "/metrics", headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    reply.text()
}

#[test]
fn calls_instances_and_refusals_are_counted_and_a_deleted_functions_series_go() {
    let cluster = Cluster::start(1);
    cluster.deploy("echo", &manifest("pid"), &[]);
    cluster.deploy_script("fails", "exit 3");
    for _ in 0..5 {
        assert_eq!(cluster.call("echo", "x").0, 200);
    }
    assert_eq!(cluster.call("fails", "").0, 502);
    let head = Metrics::of(&cluster.head);
    let count = |name: &str, labels: &str| head.value(&format!("{name}{{{labels}}}"));
    for (function, outcome, calls) in [("echo", "succeeded", 5.0), ("echo", "failed", 0.0), ("fails", "failed", 1.0)] {
        let labels = format!("function=\"{function}\",outcome=\"{outcome}\"");
        assert_eq!(count("cares_function_calls_total", &labels), calls, "{labels}");
    }
    assert_eq!(count("cares_calls_total", "outcome=\"succeeded\""), 5.0);
    assert_eq!(count("cares_function_duration_seconds_count", "function=\"echo\""), 5.0);
    assert_eq!(count("cares_function_duration_seconds_bucket", "function=\"echo\",le=\"+Inf\""), 5.0);
    assert!(count("cares_function_duration_seconds_sum", "function=\"echo\"") > 0.0);
    assert_eq!(count("cares_function_cold_calls_total", "function=\"echo\""), 1.0, "only the first waited for a start");
    assert_eq!(count("cares_function_instance_starts_total", "function=\"echo\""), 1.0);
    assert_eq!(count("cares_function_instances", "function=\"echo\",state=\"warm\""), 1.0);
    assert_eq!((count("cares_nodes", "state=\"active\""), head.value("cares_functions")), (1.0, 2.0));
    assert_eq!((count("cares_builds", "state=\"failed\""), count("cares_pipelines", "state=\"running\"")), (0.0, 0.0));
    assert!(head.value("cares_store_commit_duration_seconds_count") > 1.0);
    assert!(head.value("cares_store_writes_total") >= head.value("cares_store_commit_duration_seconds_count") - 1.0);
    assert_eq!(head.value("cares_store_writable"), 1.0);
    assert!(head.value("process_resident_memory_bytes") > 1e6 && head.value("process_threads") > 3.0);
    assert!(head.value("process_open_fds") > 10.0 && head.value("process_cpu_seconds_total") > 0.0);
    assert!(head.value("cares_http_connections") >= 1.0, "this one");
    let build = head.0.keys().find(|name| name.starts_with("cares_build_info")).expect("which CARES it is");
    assert!(
        build.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")))
            && build.contains("role=\"orchestrator\"")
    );

    let worker = Metrics::of(&cluster.workers[0]);
    for (name, value) in [
        ("cares_worker_joined", 1.0),
        ("cares_worker_engine_up{engine=\"process\"}", 1.0),
        ("cares_worker_instances{state=\"warm\"}", 1.0),
        ("cares_worker_instance_starts_total", 1.0),
        ("cares_worker_instance_crashes_total", 0.0),
        ("cares_worker_jobs_total", 1.0),
        ("cares_worker_slots_used", 0.0),
    ] {
        assert_eq!(worker.value(name), value, "{name}");
    }

    let (status, out, err) = run(cares().args(["delete", "echo", "--yes", "--url", &cluster.head.url()]));
    assert!(status.success(), "{out}{err}");
    let head = Metrics::of(&cluster.head);
    assert!(!head.0.keys().any(|name| name.contains("function=\"echo\"")), "{}", head.names());
    assert_eq!(head.value("cares_calls_total{outcome=\"succeeded\"}"), 5.0, "the sum stays");
}

#[test]
fn what_is_refused_is_counted_by_code_and_by_limit() {
    let cluster = Cluster::start(0);
    let http = cluster.head.http();
    let before = Metrics::of(&cluster.head);
    assert!(!before.0.keys().any(|name| name.starts_with("cares_http_errors_total")), "{}", before.names());
    wire::post(http, "/functions", vec![b'x'; (1 << 20) + 1]).problem(413, "too_large");
    let headers: Vec<(String, String)> = (0..120).map(|n| (format!("x-{n}"), "1".into())).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    ask(http, "GET", "/nodes", &headers, b"").problem(431, "too_many_headers");
    wire::get(http, "/functions/none").problem(404, "function_not_found"); // told by a handler behind the front door
    cluster.problem("none", "");
    let after = Metrics::of(&cluster.head);
    for (name, value) in [
        ("cares_http_errors_total{error=\"too_large\"}", 1.0),
        ("cares_http_errors_total{error=\"too_many_headers\"}", 1.0),
        ("cares_http_errors_total{error=\"function_not_found\"}", 2.0),
        ("cares_limit_refusals_total{limit=\"body-bytes\"}", 1.0),
        ("cares_limit_refusals_total{limit=\"headers\"}", 1.0),
        ("cares_limit_refusals_total{limit=\"connections\"}", 0.0),
        ("cares_http_requests_total{code=\"4xx\"}", 4.0),
    ] {
        assert_eq!(after.value(name), value, "{name}");
    }
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "").0, 503, "no node is there");
    assert_eq!(
        Metrics::of(&cluster.head).value("cares_function_calls_total{function=\"echo\",outcome=\"refused\"}"),
        1.0
    );
}

#[test]
fn connections_come_and_go() {
    let cluster = Cluster::start(0);
    let http = cluster.head.http();
    let open = || Metrics::at(http, &[]).value("cares_http_connections");
    let taken = Metrics::at(http, &[]).value("cares_http_connections_total");
    let mut idle: Vec<_> = (0..3).map(|_| connect(http)).collect();
    for stream in &mut idle {
        stream.write_all(head("GET", "/healthz", &[]).as_bytes()).expect("sent");
    }
    wait_for("they are counted", || open() >= 4.0); // and the one that asks
    assert!(Metrics::at(http, &[]).value("cares_http_connections_total") >= taken + 4.0);
    drop(idle);
    wait_for("they are gone", || open() <= 2.0);
}

/// Some thirty series each: those made first have theirs, and the others are in the sums.
#[test]
fn beyond_a_number_of_functions_only_the_first_have_series() {
    let cluster = Cluster::start(0);
    let register = |n: usize| {
        let body = format!(r#"{{"name":"f{n}","image":"x","mode":"job"}}"#);
        assert_eq!(wire::post(cluster.head.http(), "/functions", body).status, 201);
    };
    (0..501).for_each(register);
    assert_eq!(cluster.call("f500", "").0, 503);
    let metrics = Metrics::of(&cluster.head);
    assert_eq!((metrics.value("cares_functions"), metrics.value("cares_functions_without_series")), (501.0, 1.0));
    assert!(metrics.0.contains_key("cares_function_cold_calls_total{function=\"f499\"}"));
    assert!(!metrics.0.keys().any(|name| name.contains("f500")));
    assert_eq!(metrics.value("cares_calls_total{outcome=\"refused\"}"), 1.0);
}
