//! Prometheus itself: it finds nothing wrong with what is told and with the rules, and scrapes both roles. Where it is
//! not installed these say so and pass, unless CARES_REQUIRE_DOCKER=1.

use crate::harness::{Cluster, PATIENCE, Role, cares, free_address, run, wait_for, wait_for_some};
use crate::metrics::text;
use crate::wire::{Reply, ask, exchange, head};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/alerts.yaml");
const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/grafana.json");

pub fn installed() -> bool {
    let there = ["prometheus", "promtool"].iter().all(|program| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    if !there {
        let why = "there is no prometheus and promtool (Debian's package is prometheus)";
        assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "CARES_REQUIRE_DOCKER=1, but {why}");
        eprintln!("skipped: {why}");
    }
    there
}

/// What promtool says of a text that it reads.
fn promtool(args: &[&str], stdin: &str) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("read");
    let out = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "promtool {args:?}: {said}");
}

/// Names of metrics in a text: ours and those that every program has.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("cares_") || word.starts_with("process_")).collect()
}

/// All expressions of the dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_string));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// A cluster where everybody needs a token, busy enough that all that is counted has been at least once.
struct Watched {
    cluster: Cluster,
    token: PathBuf,
}

impl Watched {
    fn start() -> Watched {
        let cluster = Cluster::start(1);
        cluster.deploy_echo("");
        assert_eq!(cluster.call("echo", "hello").0, 200);
        cluster.problem("none", ""); // errors have no series before the first
        let made = |name: &str, scope: &str, with: Option<&str>| {
            let mut create = cares();
            create.args(["token", "create", name, "--scope", scope, "-q", "--url", &cluster.head.url()]);
            if let Some(token) = with {
                create.env("AUTH_TOKEN", token);
            }
            let (status, secret, err) = run(&mut create);
            assert!(status.success(), "{err}");
            secret.trim().to_string()
        };
        let admin = made("admin", "admin", None);
        let secret = made("prometheus", "read", Some(&admin));
        let token = cluster.dir.path().join("read.token");
        std::fs::write(&token, secret).expect("a file");
        Watched { cluster, token }
    }

    fn text(&self, role: &Role) -> String {
        let token = std::fs::read_to_string(&self.token).expect("the token");
        text(role.http(), &[("Authorization", &format!("Bearer {token}"))])
    }
}

/// A Prometheus on loopback. Killed when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- prometheus:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

impl Prometheus {
    fn start(dir: &Path, token: &Path, orchestrator: &Role, worker: &Role) -> Prometheus {
        let config = dir.join("prometheus.yml");
        let token = token.display();
        let job = |name: &str, role: &Role| {
            format!(
                "  - job_name: {name}\n    authorization: {{credentials_file: {token}}}\n    static_configs:\n      - targets: ['{}']\n",
                role.http()
            )
        };
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: ['{RULES}']\nscrape_configs:\n{}{}",
            job("cares-orchestrator", orchestrator),
            job("cares-worker", worker)
        );
        std::fs::write(&config, text).expect("a file");
        let (address, log) = (free_address(), dir.join("prometheus.log"));
        let file = std::fs::File::create(&log).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log"))
            .stderr(file)
            .spawn();
        let prometheus = Prometheus { child: child.expect("prometheus starts"), address, log };
        wait_for("Prometheus is ready", || prometheus.ask("/-/ready").is_some_and(|reply| reply.status == 200));
        prometheus
    }

    fn ask(&self, target: &str) -> Option<Reply> {
        std::net::TcpStream::connect_timeout(&self.address, PATIENCE).ok()?; // not there yet
        Reply::parse(&exchange(self.address, (head("GET", target, &[("Connection", "close")]) + "\r\n").as_bytes()))
    }

    /// The samples of an expression.
    fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = ask(self.address, "GET", &format!("/api/v1/query?query={encoded}"), &[], b"").json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The first sample's value.
    fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression).first()?["value"][1].as_str()?.parse().ok()
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_what_is_told() {
    if !installed() {
        return;
    }
    let watched = Watched::start();
    for role in [&watched.cluster.head, &watched.cluster.workers[0]] {
        promtool(&["check", "metrics"], &watched.text(role));
    }
}

#[test]
fn the_rules_are_valid_and_they_and_the_dashboard_name_only_what_is_told() {
    let watched = Watched::start();
    let told: Vec<String> = [&watched.cluster.head, &watched.cluster.workers[0]].map(|role| watched.text(role)).into();
    let told: BTreeSet<&str> =
        told.iter().flat_map(|text| text.lines()).filter_map(|l| l.split(['{', ' ']).next()).collect();
    let [rules, dashboard] = [RULES, DASHBOARD].map(|file| std::fs::read_to_string(file).expect("the file"));
    let mut used = BTreeSet::new();
    for text in [&rules, &dashboard] {
        let missing: Vec<&str> = named(text).into_iter().filter(|name| !told.contains(name)).collect();
        assert!(missing.is_empty(), "nobody tells {missing:?}");
        used.extend(named(text));
    }
    assert!(used.len() > 30, "{}", used.len());
    if installed() {
        promtool(&["check", "rules", RULES], "");
    }
}

#[test]
fn a_real_prometheus_scrapes_both_roles_and_answers_what_dashboard_and_rules_ask() {
    if !installed() {
        return;
    }
    let watched = Watched::start();
    let (cluster, dir) = (&watched.cluster, watched.cluster.dir.path());
    let prometheus = Prometheus::start(dir, &watched.token, &cluster.head, &cluster.workers[0]);
    wait_for("both are up", || prometheus.value("sum(up{job=~\"cares.*\"})") == Some(2.0));
    let calls = "sum(cares_function_calls_total{function=\"echo\",outcome=\"succeeded\"})";
    wait_for("the call is there", || prometheus.value(calls) == Some(1.0));
    assert_eq!(prometheus.value("cares_worker_joined"), Some(1.0));
    let slow = "histogram_quantile(0.99, sum by (le) (cares_function_duration_seconds_bucket))";
    let quantile = wait_for_some("a quantile", || prometheus.value(slow).filter(|seconds| seconds.is_finite()));
    assert!(quantile > 0.0 && quantile < 60.0, "{quantile}");

    let dashboard: Value = serde_json::from_slice(&std::fs::read(DASHBOARD).expect("the dashboard")).expect("JSON");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 40, "{}", asked.len());
    for expression in asked {
        let expression =
            expression.replace("$instance", ".*").replace("$function", ".*").replace("$__rate_interval", "1m");
        prometheus.query(&expression);
    }
    let rules = prometheus.ask("/api/v1/rules").expect("an answer").json();
    let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().expect("rules");
    assert!(rules.len() >= 15, "{}", rules.len());
    wait_for("each was evaluated", || {
        let now = prometheus.ask("/api/v1/rules").expect("an answer").json();
        let all = now["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        all.iter().all(|rule| rule["health"] == "ok")
    });
    assert!(prometheus.query("ALERTS{alertstate=\"firing\"}").is_empty(), "all is well here");
}
