//! Nodes, functions and clusters for the tests of screens. Must never be in the program.

use crate::tui::orchestrator::model::{Connection, Model, Source};
use crate::types::{
    CallRecord, Cluster, Function, Instance, Mode, Node, Pipeline, PipelineModule, Revision, TaskPhase, TaskSummary,
};
use std::collections::BTreeMap;

pub fn cluster() -> Cluster {
    Cluster {
        id: "c-7f3a91".into(),
        http_addr: "127.0.0.1:8080".into(),
        grpc_addr: "127.0.0.1:50051".into(),
        join_command: "cares worker 192.168.1.5:50051".into(),
        version: "0.1.0".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        https: false,
        https_until: None,
        nodes_until: None,
        registry: None,
        registry_plain: false,
    }
}

pub fn node(name: &str) -> Node {
    Node {
        id: format!("id-of-{name}"),
        name: name.into(),
        status: "active".into(),
        cordoned: false,
        address: "10.0.0.7:9000".into(),
        hostname: "box".into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        cpus: 8,
        memory_bytes: 16 << 30,
        tools: vec!["git".into()],
        tags: [("zone".to_string(), "cellar".to_string())].into(),
        engines: vec!["docker".into(), "process".into()],
        engine_trouble: String::new(),
        version: "0.1.0".into(),
        cpu_percent: Some(42.0),
        memory_percent: Some(73.0),
        slots: 8,
        job_slots: 4,
        running: 2,
        succeeded: 120,
        failed: 0,
        last_seen: "2026-01-01T12:00:00.000Z".into(),
        reach: "links".into(),
    }
}

pub fn function(name: &str) -> Function {
    Function {
        name: name.into(),
        image: "nginx:1.27".into(),
        mode: Mode::Http,
        revision: 2,
        serving: 2,
        status: "running".into(),
        invoke_path: format!("/invoke/{name}"),
        command: Vec::new(),
        secrets: Default::default(),
        env: Default::default(),
        timeout_s: 30.0,
        memory_mb: Some(128),
        cpu: None,
        isolation: None,
        concurrency: 80,
        min: 0,
        ready: 0,
        max: 20,
        idle_s: 300.0,
        freeze_s: 30.0,
        constraints: Default::default(),
        labels: Default::default(),
        public: false,
        rate_per_s: None,
        calls_at_once: None,
        description: String::new(),
        attempts: 3,
        schedule: None,
        created_at: "2026-01-01T10:00:00.000Z".into(),
        updated_at: "2026-01-01T11:00:00.000Z".into(),
        instances: vec![instance("i-1", "id-of-web-1")],
        in_flight: 1,
        calls: 12_345,
        failures: 0,
        p50_ms: Some(12.3),
        last_event: None,
        last_error: None,
        revisions: vec![revision(2, "nginx:1.27", "serving"), revision(1, "bundle:0123456789abcdef", "kept")],
    }
}

fn revision(revision: u64, image: &str, status: &str) -> Revision {
    let created_at = format!("2026-01-01T1{}:00:00.000Z", revision - 1);
    Revision { revision, image: image.into(), created_at, status: status.into(), by: String::new() }
}

pub fn instance(id: &str, node: &str) -> Instance {
    Instance { id: id.into(), node: node.into(), revision: 2, status: "warm".into(), in_flight: 1, pull: None }
}

pub fn call(id: &str) -> CallRecord {
    CallRecord {
        id: id.into(),
        function: "hello".into(),
        node: Some("id-of-web-1".into()),
        status: "succeeded".into(),
        started_at: "2026-01-01T12:34:56.000Z".into(),
        duration_ms: 12.3,
        asynchronous: false,
        attempts: 1,
        last_error: None,
        module: None,
    }
}

pub fn task(name: &str, state: TaskPhase) -> TaskSummary {
    TaskSummary {
        id: format!("t-{name}"),
        name: name.into(),
        image: "redis:7".into(),
        state,
        node: Some("id-of-web-1".into()),
        node_name: Some("web-1".into()),
        attempt: 1,
        created_at: "2026-01-01T10:00:00.000Z".into(),
        ..TaskSummary::default()
    }
}

/// Adds or replaces a task.
pub fn put_task(model: &mut Model, task: TaskSummary) {
    model.tasks.insert(task.id.clone(), task);
}

/// A pipeline of modules that are each `name state after,after`.
pub fn pipeline(name: &str, modules: &[&str]) -> Pipeline {
    let modules: Vec<PipelineModule> = modules.iter().map(|line| module(line)).collect();
    let mut counts = BTreeMap::new();
    modules.iter().for_each(|module| *counts.entry(module.state.clone()).or_default() += 1);
    let has = |state: &str| counts.contains_key(state);
    let status = match (has("running") || has("pending"), has("failed"), has("cancelled")) {
        (true, ..) => "running",
        (_, _, true) => "cancelled",
        (_, true, _) => "failed",
        _ => "succeeded",
    };
    Pipeline {
        id: format!("p-{name}"),
        name: Some(name.into()),
        status: status.into(),
        failure_policy: "stop".into(),
        runs: 1,
        submitted_at: "2026-01-01T10:00:00.000Z".into(),
        ended_at: (status != "running").then(|| "2026-01-01T10:01:05.000Z".into()),
        counts,
        modules,
    }
}

fn module(line: &str) -> PipelineModule {
    let mut words = line.split(' ');
    let (name, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let begun = !matches!(state, "pending" | "ready" | "skipped");
    let ended = begun && state != "running";
    PipelineModule {
        name: name.into(),
        state: state.into(),
        depends_on: words.next().map(|after| after.split(',').map(str::to_string).collect()).unwrap_or_default(),
        function: format!("do-{name}"),
        attempts: if state == "failed" { 3 } else { begun.into() },
        failures: if state == "failed" { 3 } else { 0 },
        interruptions: 0,
        node: begun.then(|| "id-of-web-1".into()),
        node_name: begun.then(|| "web-1".into()),
        started_at: begun.then(|| "2026-01-01T10:00:00.000Z".into()),
        ended_at: ended.then(|| "2026-01-01T10:00:02.500Z".into()),
        error: (state == "failed").then(|| "exit code 2: the spelling is wrong".into()),
        result: (ended && state == "succeeded").then(|| format!("/api/pipelines/p/modules/{name}/result")),
    }
}

/// Adds or replaces a pipeline, as lists have it.
pub fn put_pipeline(model: &mut Model, pipeline: Pipeline) {
    model.pipelines.insert(pipeline.id.clone(), Pipeline { modules: Vec::new(), ..pipeline });
}

/// Adds or replaces a node.
pub fn put_node(model: &mut Model, node: Node) {
    model.nodes.insert(node.id.clone(), node);
}

/// Adds or replaces a function.
pub fn put_function(model: &mut Model, function: Function) {
    model.functions.insert(function.name.clone(), function);
}

/// All that is followed is.
pub fn live(model: &mut Model) {
    model.cluster = Some(cluster());
    for source in [Source::Cluster, Source::Nodes, Source::Functions, Source::Tasks, Source::Pipelines, Source::Log] {
        model.set_source(source, Connection::Live);
    }
}

/// A small cluster with a bit of everything.
pub fn small(model: &mut Model) {
    live(model);
    put_node(model, node("web-1"));
    put_node(model, Node { status: "draining".into(), cordoned: true, cpu_percent: Some(95.0), ..node("web-2") });
    put_node(
        model,
        Node { status: "disconnected".into(), cpu_percent: None, memory_percent: None, failed: 3, ..node("db-10") },
    );
    put_node(model, Node { cordoned: true, cpu_percent: Some(3.0), ..node("db-9") });
    put_function(model, function("hello"));
    put_function(
        model,
        Function {
            image: "bundle:3f2a91bc77aa0011".into(),
            mode: Mode::Job,
            status: "failing".into(),
            instances: Vec::new(),
            failures: 7,
            calls: 40,
            p50_ms: None,
            last_event: None,
            last_error: Some("the image has no command".into()),
            ..function("resize-images")
        },
    );
}
