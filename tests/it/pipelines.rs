//! Pipelines through real processes: order, results, conditions, requirements; whoever is killed, each module ends once.

mod audit;
mod cancel;
mod example;
mod http;
mod logs;
mod wide;

use crate::harness::{Cluster, cares, run, wait_for, wait_for_some};
use crate::wire::{ask, get, post};
use cares::client::Orchestrator;
use cares::types::{Pipeline, PipelineModule, TokenSpec};
use serde_json::{Value, json};
use std::io::Read;
use std::thread;

fn submit(cluster: &Cluster, spec: Value) -> String {
    cluster.client.submit_pipeline(&spec, None).expect("accepted").id
}

fn wait_status(cluster: &Cluster, id: &str, status: &str) -> Pipeline {
    wait_for_some(&format!("pipeline {id} is {status}"), || {
        let pipeline = cluster.client.pipeline(id).ok()?;
        assert!(pipeline.status == status || pipeline.status == "running", "{pipeline:#?}");
        (pipeline.status == status).then_some(pipeline)
    })
}

fn module<'a>(pipeline: &'a Pipeline, name: &str) -> &'a PipelineModule {
    pipeline.modules.iter().find(|module| module.name == name).expect("the module")
}

fn wait_module(cluster: &Cluster, id: &str, name: &str, state: &str) {
    let is_so = || cluster.client.pipeline(id).is_ok_and(|pipeline| module(&pipeline, name).state == state);
    wait_for(&format!("module {name} is {state}"), is_so);
}

fn result(cluster: &Cluster, id: &str, name: &str) -> (u16, String) {
    let mut answer = cluster.client.module_result(id, name).expect("an answer");
    let mut text = String::new();
    answer.reader.read_to_string(&mut text).expect("a whole answer");
    (answer.status, text)
}

/// A module that waits until a file is there.
fn gated(cluster: &Cluster, name: &str) -> std::path::PathBuf {
    let gate = cluster.dir.path().join(format!("{name}.open"));
    let begun = cluster.dir.path().join(format!("{name}.begun"));
    let script =
        format!("echo x >> {}; until [ -e {} ]; do sleep 0.02; done; echo done", begun.display(), gate.display());
    cluster.deploy_open_script(name, &script);
    gate
}

/// Until it runs, and not only has its place.
fn wait_begun(cluster: &Cluster, name: &str) {
    wait_for("the job runs", || cluster.dir.path().join(format!("{name}.begun")).exists());
}

#[test]
fn a_diamond_runs_in_order_and_results_flow() {
    let cluster = Cluster::start(2);
    cluster.deploy_script("cat", "cat");
    cluster.deploy_script(
        "env",
        "printf '%s|%s|%s|%s' \"$CARES_DEPENDENCY_RESULTS\" \"$WHO\" \"$CARES_MODULE\" \"$(cat)\"",
    );
    let id = submit(
        &cluster,
        json!({"name": "diamond", "modules": [
            {"name": "end", "function": "env", "dependsOn": ["left", "right"], "env": {"WHO": "me"}, "inputs": {"n": 1}},
            {"name": "left", "function": "cat", "dependsOn": ["top"], "inputs": "left"},
            {"name": "right", "function": "env", "dependsOn": ["top"]},
            {"name": "top", "function": "cat", "inputs": "top \"quoted\""},
        ]}),
    );
    let pipeline = wait_status(&cluster, &id, "succeeded");
    assert!(pipeline.modules.iter().all(|m| m.attempts == 1 && m.node.is_some() && m.error.is_none()), "{pipeline:#?}");
    let ended = |name: &str| module(&pipeline, name).ended_at.clone().expect("an end");
    let started = |name: &str| module(&pipeline, name).started_at.clone().expect("a start");
    assert!(ended("top") <= started("left") && ended("left") <= started("end") && ended("right") <= started("end"));
    assert_eq!(result(&cluster, &id, "right"), (200, r#"{"top":"top \"quoted\""}||right|"#.into()));
    let (_, end) = result(&cluster, &id, "end");
    assert!(end.starts_with(r#"{"left":"left","right":"{\"top\""#) && end.ends_with(r#"|me|end|{"n":1}"#), "{end}");
    let listed = cluster.client.pipelines(Some("succeeded")).expect("a list");
    assert_eq!((listed.len(), listed[0].name.as_deref(), listed[0].counts["succeeded"]), (1, Some("diamond"), 4));
}

#[test]
fn large_results_are_given_by_reference_and_bytes_as_base64() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("large", "head -c 200000 /dev/zero | tr '\\0' x");
    cluster.deploy_script("bytes", "printf '\\377'");
    cluster.deploy_script("env", "printf '%s %s' \"$CARES_DEPENDENCY_RESULTS\" \"$CARES_DEPENDENCY_FORMS\"");
    let id = submit(
        &cluster,
        json!({"modules": [
            {"name": "large", "function": "large"}, {"name": "bytes", "function": "bytes"},
            {"name": "env", "function": "env", "dependsOn": ["large", "bytes"]},
        ]}),
    );
    wait_status(&cluster, &id, "succeeded");
    let path = format!("/api/pipelines/{id}/modules/large/result");
    let expected = format!(r#"{{"bytes":"/w==","large":"{path}"}} {{"bytes":"base64","large":"reference"}}"#);
    assert_eq!(result(&cluster, &id, "env").1, expected);
    assert_eq!(get(cluster.head.http(), &path).body.len(), 200_000);
}

#[test]
fn bad_documents_are_refused_by_name_and_nothing_runs() {
    let cluster = Cluster::start(0);
    cluster.deploy_script("f", "cat");
    let to = cluster.head.http();
    for (document, field) in [
        (r#"{"modules":[]}"#, "modules: "),
        (
            r#"{"modules":[{"name":"a","function":"f","dependsOn":["b"]},{"name":"b","function":"f","dependsOn":["a"]}]}"#,
            "modules: 'a': dependsOn: they wait for each other: a -> b -> a",
        ),
        (
            r#"{"modules":[{"name":"a","function":"f","dependsOn":["x"]}]}"#,
            "modules: 'a': dependsOn: there is no module 'x'",
        ),
        (r#"{"modules":[{"name":"a","function":"f"},{"name":"a","function":"f"}]}"#, "modules: 'a': name: two"),
        (r#"{"modules":[{"name":"a","function":"f","condition":"x"}]}"#, "modules: 'a': condition: "),
        (r#"{"modules":[{"name":"a","image":"bundle:x"}]}"#, "modules: 'a': image: "),
        (r#"{"modules":[{"name":"a"}]}"#, "modules: 'a': function: "),
        (r#"{"modules":[{"name":"a","function":"f"}],"failurePolicy":"x"}"#, "failurePolicy: "),
        (r#"{"modules":[{"name":"a","function":"f","color":1}]}"#, "field `modules[0].color`"),
    ] {
        let detail = post(to, "/api/pipelines", document).problem(400, "invalid_field");
        assert!(detail.starts_with(field), "{document}: {detail}");
    }
    post(to, "/api/pipelines", "{").problem(400, "invalid_json");
    let document = r#"{"modules":[{"name":"a","function":"none"}]}"#;
    let detail = post(to, "/api/pipelines", document).problem(404, "function_not_found");
    assert!(detail.starts_with("modules: 'a': function: no function 'none' is registered"), "{detail}");
    let many: Vec<Value> = (0..2_001).map(|n| json!({"name": format!("m{n}"), "function": "f"})).collect();
    let detail = post(to, "/api/pipelines", json!({"modules": many}).to_string()).problem(400, "invalid_field");
    assert_eq!(detail, "modules: at most 2000");
    let large = format!(r#"{{"modules":[{{"name":"a","function":"f","inputs":"{}"}}]}}"#, "x".repeat(1 << 20));
    post(to, "/api/pipelines", &large).problem(413, "too_large");
    for path in
        ["/api/pipelines/p1", "/api/pipelines/x", "/api/pipelines/p1/modules/a/result", "/api/pipelines/p1?watch=true"]
    {
        get(to, path).problem(404, "pipeline_not_found");
    }
    post(to, "/api/pipelines/p1/cancel", "").problem(404, "pipeline_not_found");
    post(to, "/api/pipelines/p1/retry", "").problem(404, "pipeline_not_found");
    get(to, "/api/pipelines?status=done").problem(400, "invalid_field");
    assert!(cluster.client.pipelines(None).expect("a list").is_empty());
}

#[test]
fn failures_conditions_and_a_retry() {
    let cluster = Cluster::start(1);
    let mended = cluster.dir.path().join("mended");
    cluster.deploy_open_script(
        "flaky",
        &format!("[ -e {} ] || {{ echo broken >&2; exit 3; }}; echo fine", mended.display()),
    );
    cluster.deploy_script("echo", "echo ran");
    let id = submit(
        &cluster,
        json!({"modules": [
            {"name": "first", "function": "echo"},
            {"name": "check", "function": "flaky", "dependsOn": ["first"], "retries": 1},
            {"name": "ship", "function": "echo", "dependsOn": ["check"]},
            {"name": "alarm", "function": "echo", "dependsOn": ["ship"], "condition": "failure"},
            {"name": "report", "function": "echo", "dependsOn": ["check"], "condition": "always"},
        ]}),
    );
    let pipeline = wait_status(&cluster, &id, "failed");
    let states: Vec<&str> = pipeline.modules.iter().map(|m| m.state.as_str()).collect();
    assert_eq!(states, ["succeeded", "failed", "skipped", "succeeded", "succeeded"]);
    let check = module(&pipeline, "check");
    assert_eq!((check.attempts, check.failures), (2, 2));
    assert!(check.error.as_ref().is_some_and(|error| error.contains("broken")), "{check:?}");
    let to = cluster.head.http();
    post(to, &format!("/api/pipelines/{id}/cancel"), "").problem(409, "pipeline_ended");
    get(to, &format!("/api/pipelines/{id}/modules/ship/result")).problem(404, "module_not_found");
    std::fs::write(&mended, "").expect("written");
    let (status, out, err) = run(cares().args(["pipeline", "retry", &id, "--follow", "--url", &cluster.head.url()]));
    assert!(status.success() && out.contains("succeeded"), "{out}{err}");
    let pipeline = wait_status(&cluster, &id, "succeeded");
    assert_eq!((pipeline.runs, module(&pipeline, "first").attempts, module(&pipeline, "check").attempts), (2, 1, 3));
    assert_eq!(module(&pipeline, "alarm").state, "skipped");
    assert_eq!(module(&pipeline, "report").attempts, 2, "it reports on what ran again");
    post(to, &format!("/api/pipelines/{id}/retry"), "").problem(409, "pipeline_not_failed");
}

#[test]
fn requirements_choose_the_node() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("red", &["--tag", "colour=red"]);
    cluster.add_worker("blue", &["--tag", "colour=blue"]);
    cluster.deploy_script("f", "cat");
    let modules: Vec<Value> = (0..20)
        .map(|n| json!({"name": format!("m{n}"), "function": "f", "requirements": {"tags": {"colour": if n % 2 == 0 { "red" } else { "blue" }}}}))
        .collect();
    let id = submit(&cluster, json!({ "modules": modules }));
    let pipeline = wait_status(&cluster, &id, "succeeded");
    let (red, blue) = (cluster.client.node("red").expect("it").id, cluster.client.node("blue").expect("it").id);
    for (n, module) in pipeline.modules.iter().enumerate() {
        assert_eq!(module.node.as_ref(), Some(if n % 2 == 0 { &red } else { &blue }), "{module:?}");
    }
    let green = json!({"modules": [{"name": "m", "function": "f", "requirements": {"tags": {"colour": "green"}}}]});
    let id = submit(&cluster, green);
    let told = || cluster.client.pipeline(&id).ok()?.modules[0].error.clone();
    assert!(wait_for_some("it says why it waits", told).contains("what this call asks for"));
    cluster.add_worker("green", &["--tag", "colour=green"]);
    assert_eq!(wait_status(&cluster, &id, "succeeded").modules[0].attempts, 1);
}

#[test]
fn an_image_is_a_function_as_long_as_its_pipeline_runs() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "tr a-z A-Z");
    let image = cluster.client.function("f").expect("it").image;
    let id = submit(
        &cluster,
        json!({"modules": [{"name": "m", "image": image, "command": ["./run.sh"], "inputs": "loud"}]}),
    );
    wait_status(&cluster, &id, "succeeded");
    assert_eq!(result(&cluster, &id, "m"), (200, "LOUD".into()));
    wait_for("its function is gone", || cluster.client.functions().is_ok_and(|all| all.len() == 1));
}

#[test]
fn a_module_waits_for_a_slot_that_somebody_else_took_and_that_costs_no_attempt() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("w1", &["--slots", "1"]);
    let worker = cluster.workers[0].http();
    cluster.deploy("nap", r#"{"mode":"job","command":["sleep","600"]}"#, &[]);
    cluster.deploy_script("f", "echo done");
    // By the worker's own endpoint: its orchestrator does not know, and takes the slot for free.
    let nap = json!({"executionId": "other", "moduleTypeName": "nap"}).to_string();
    let other = thread::spawn(move || ask(worker, "POST", "/api/execution/execute", &[], nap.as_bytes()));
    wait_for("the slot is taken", || get(worker, "/api/health").json()["currentLoad"] == 1);
    let id = submit(&cluster, json!({"modules": [{"name": "m", "function": "f"}]}));
    let now = || module(&cluster.client.pipeline(&id).expect("it"), "m").clone();
    wait_for("it was refused", || now().error.is_some_and(|why| why.contains("all slots of this node are taken")));
    let waiting = now();
    assert!(waiting.attempts <= 1 && waiting.failures == 0 && waiting.ended_at.is_none(), "{waiting:?}");
    let cancel = json!({"executionId": "other", "reason": "enough"}).to_string();
    assert_eq!(ask(worker, "POST", "/api/execution/cancel", &[], cancel.as_bytes()).status, 200);
    wait_status(&cluster, &id, "succeeded");
    let ended = now();
    assert_eq!((ended.attempts, ended.failures, ended.interruptions), (1, 0, 0), "{ended:?}");
    assert_eq!(other.join().expect("an answer").status, 500);
}

#[test]
fn a_lost_worker_costs_an_attempt_and_no_result() {
    let mut cluster = Cluster::start(2);
    let gate = gated(&cluster, "wait");
    let id = submit(
        &cluster,
        json!({"modules": [{"name": "m", "function": "wait"}, {"name": "n", "function": "wait", "dependsOn": ["m"]}]}),
    );
    wait_module(&cluster, &id, "m", "running");
    wait_begun(&cluster, "wait");
    let node = cluster.client.pipeline(&id).expect("it").modules[0].node.clone().expect("a node");
    let name = cluster.client.node(&node).expect("it").name;
    let told = cluster.client.pipeline(&id).expect("it").modules[0].node_name.clone();
    assert_eq!(told, Some(name.clone()));
    cluster.workers[if name == "w1" { 0 } else { 1 }].kill();
    std::fs::write(&gate, "").expect("written");
    let pipeline = wait_status(&cluster, &id, "succeeded");
    let m = module(&pipeline, "m");
    assert_eq!((m.attempts, m.interruptions, m.failures), (2, 1, 0), "{m:?}");
    assert_ne!(m.node.as_ref(), Some(&node));
}

#[test]
fn a_killed_orchestrator_goes_on_where_it_was() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_script("f", "echo $CARES_ATTEMPT");
    let gate = gated(&cluster, "wait");
    let id = submit(
        &cluster,
        json!({"modules": [
            {"name": "before", "function": "f"},
            {"name": "held", "function": "wait", "dependsOn": ["before"]},
            {"name": "after", "function": "f", "dependsOn": ["held"]},
        ]}),
    );
    wait_module(&cluster, &id, "held", "running");
    wait_begun(&cluster, "wait");
    cluster.restart_head();
    cluster.wait_linked("w1");
    std::fs::write(&gate, "").expect("written");
    let pipeline = wait_status(&cluster, &id, "succeeded");
    assert_eq!(module(&pipeline, "before").attempts, 1, "what was finished is not run again");
    let held = module(&pipeline, "held");
    assert_eq!((held.attempts, held.interruptions), (2, 1), "{held:?}");
    assert_eq!(result(&cluster, &id, "before"), (200, "1\n".into()));
    cluster.restart_head();
    assert_eq!(cluster.client.pipeline(&id).expect("it").status, "succeeded");
    assert_eq!(result(&cluster, &id, "after"), (200, "1\n".into()));
}

#[test]
fn nothing_runs_after_a_cancel() {
    let cluster = Cluster::start(1);
    let gate = gated(&cluster, "wait");
    let id = submit(
        &cluster,
        json!({"modules": [{"name": "m", "function": "wait"}, {"name": "n", "function": "wait", "dependsOn": ["m"]}]}),
    );
    wait_module(&cluster, &id, "m", "running");
    wait_begun(&cluster, "wait");
    let (status, out, err) = run(cares().args(["pipeline", "cancel", &id, "--url", &cluster.head.url()]));
    assert!(status.success() && out.contains("cancelled"), "{out}{err}");
    let pipeline = cluster.client.pipeline(&id).expect("it");
    assert!(pipeline.status == "cancelled" && pipeline.modules.iter().all(|m| m.state == "cancelled"), "{pipeline:#?}");
    wait_for("its job has ended", || cluster.client.nodes().is_ok_and(|nodes| nodes[0].running == 0));
    std::fs::write(&gate, "").expect("written");
    let begun = std::fs::read_to_string(cluster.dir.path().join("wait.begun")).expect("it began");
    assert_eq!(begun.lines().count(), 1);
    assert_eq!(cluster.client.cancel_pipeline(&id).expect("told twice").status, "cancelled");
}

#[test]
fn the_same_key_is_the_same_pipeline_and_scopes_are_asked_for() {
    let cluster = Cluster::start(0);
    cluster.deploy_script("f", "cat");
    let to = cluster.head.http();
    let spec = |name: &str| json!({"modules": [{"name": name, "function": "f"}]}).to_string();
    let submit = |name: &str| ask(to, "POST", "/api/pipelines", &[("Idempotency-Key", "k")], spec(name).as_bytes());
    let first = submit("a");
    assert_eq!(first.status, 201, "{first:?}");
    let id = serde_json::from_slice::<Value>(&first.body).expect("JSON")["id"].as_str().expect("an id").to_string();
    assert_eq!(first.header("location"), Some(format!("/api/pipelines/{id}").as_str()));
    assert_eq!(submit("a").body, first.body);
    submit("b").problem(422, "idempotency_key_reused");
    get(to, &format!("/api/pipelines/{id}/modules/a/result")).problem(409, "module_not_ended");
    cluster.client.cancel_pipeline(&id).expect("cancelled");
    let token = |client: &Orchestrator, name: &str, scope: &str| {
        let spec = TokenSpec { name: name.into(), scopes: vec![scope.into()], ..Default::default() };
        client.create_token(&spec).expect("a token").secret
    };
    let admin = cluster.client.clone().token(token(&cluster.client, "admin", "admin"));
    let [other, deploys, own] = [("other", "invoke:g"), ("deploys", "deploy"), ("own", "invoke:f")]
        .map(|(name, scope)| token(&admin, name, scope));
    let with = |token: &str, body: &str| {
        ask(to, "POST", "/api/pipelines", &[("Authorization", &format!("Bearer {token}"))], body.as_bytes())
    };
    with(&other, &spec("a")).problem(403, "forbidden");
    with(&deploys, &spec("a")).problem(403, "forbidden");
    with(&own, r#"{"modules":[{"name":"a","image":"x"}]}"#).problem(403, "forbidden");
    assert_eq!(with(&own, &spec("a")).status, 201);
    assert_eq!(with(&deploys, r#"{"modules":[{"name":"a","image":"x"}]}"#).status, 201);
}
