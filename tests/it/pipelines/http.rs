//! Modules that call a function that serves HTTP: told in headers what a job finds in its environment.

use super::{result, submit, wait_status};
use crate::fixture;
use crate::harness::{Cluster, cares, run, wait_for};
use crate::wire::{get, post};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_function_that_serves_http_is_told_of_results_in_headers() {
    let cluster = Cluster::start(1);
    cluster.deploy("head", &fixture::manifest("head"), &[]);
    cluster.deploy_script("cat", "cat");
    cluster.deploy_script("large", "head -c 20000 /dev/zero | tr '\\0' x");
    let id = submit(
        &cluster,
        json!({"modules": [
            {"name": "small", "function": "cat", "inputs": "grüße\n"}, {"name": "large", "function": "large"},
            {"name": "told", "function": "head", "dependsOn": ["small", "large"]}, {"name": "alone", "function": "head"},
        ]}),
    );
    wait_status(&cluster, &id, "succeeded");
    let told = result(&cluster, &id, "told").1.to_lowercase();
    let results = format!(
        r#"x-cares-dependency-results: {{"large":"/api/pipelines/{id}/modules/large/result","small":"gr\u00fc\u00dfe\n"}}"#
    );
    for line in [
        results.as_str(),
        r#"x-cares-dependency-forms: {"large":"reference"}"#,
        &format!("x-cares-pipeline: {id}"),
        "x-cares-module: told",
        "x-cares-attempt: 1",
    ] {
        assert!(told.lines().any(|said| said == line), "{line}: {told}");
    }
    let alone = result(&cluster, &id, "alone").1.to_lowercase();
    assert!(alone.contains("x-cares-module: alone") && !alone.contains("x-cares-dependency"), "{alone}");
    for (field, value) in [("env", json!({"A": "b"})), ("requirements", json!({"os": "linux"}))] {
        let document = json!({"modules": [{"name": "m", "function": "head", field: value}]}).to_string();
        let why = post(cluster.head.http(), "/api/pipelines", document).problem(400, "invalid_field");
        assert!(why.starts_with(&format!("modules: 'm': {field}: 'head' serves HTTP")), "{why}");
    }
}

#[test]
fn its_log_is_what_the_instances_printed_meanwhile_and_its_call_is_listed_as_the_modules() {
    let cluster = Cluster::start(1);
    cluster.deploy("says", &fixture::manifest("says"), &[]);
    assert_eq!(cluster.call("says", "").0, 200);
    let said = |what: &str| get(cluster.head.http(), "/logs/says").text().contains(what);
    wait_for("it printed", || said("called for none"));
    let printed = Instant::now();
    wait_for("that is long ago, also by clocks that differ", || printed.elapsed() > Duration::from_secs(1));
    let id = submit(&cluster, json!({"modules": [{"name": "m", "function": "says"}]}));
    wait_status(&cluster, &id, "succeeded");
    wait_for("it printed again", || said("called for m"));
    let logs = |more: &[&str]| {
        let url = cluster.head.url();
        let (status, out, err) = run(cares().args(["pipeline", "logs", &id, "m", "--url", &url]).args(more));
        assert!(status.success() && err.is_empty(), "{out}{err}");
        out
    };
    for out in [logs(&[]), logs(&["--follow"])] {
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].starts_with("'says' serves HTTP:") && lines[0].ends_with("cares logs says"), "{out}");
        assert_eq!(lines[1..], ["called for m"]);
    }
    assert!(logs(&["-o", "json"]).contains(r#""source":"cares""#), "the line that explains is marked as ours");

    let calls = get(cluster.head.http(), "/calls?function=says").json();
    let modules: Vec<_> = calls.as_array().expect("a list").iter().map(|call| call["module"].as_str()).collect();
    assert_eq!(modules, [Some(format!("{id}/m").as_str()), None], "{calls}");
}
