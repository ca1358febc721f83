//! A worker's own execution endpoints: functions run as modules, by whoever may do everything there.

use crate::harness::{Cluster, wait_for};
use crate::processes;
use crate::wire::{self, Reply};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

fn execute(to: SocketAddr, body: &Value) -> Reply {
    wire::ask(to, "POST", "/api/execution/execute", &[], body.to_string().as_bytes())
}

fn aside(to: SocketAddr, body: Value) -> JoinHandle<Reply> {
    thread::spawn(move || execute(to, &body))
}

fn cancel(to: SocketAddr, id: &str) -> Reply {
    let body = json!({"executionId": id, "reason": "no longer wanted", "timestamp": "2025-09-30T10:05:00Z"});
    wire::ask(to, "POST", "/api/execution/cancel", &[], body.to_string().as_bytes())
}

fn load(to: SocketAddr) -> (u64, u64) {
    let health = wire::get(to, "/api/health").json();
    assert!(health["status"] == "healthy" && health["timestamp"].is_string(), "{health}");
    (health["currentLoad"].as_u64().expect("a number"), health["maxLoad"].as_u64().expect("a number"))
}

/// Takes it as the specification's answer of that status; its exception type and message.
fn failed(reply: &Reply, id: &str) -> (String, String) {
    let body = reply.json();
    assert_eq!((reply.status, &body["success"], &body["executionId"]), (500, &json!(false), &json!(id)), "{body}");
    assert!(["duration", "startTime", "endTime", "workerId"].iter().all(|field| body[field].is_string()), "{body}");
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_string();
    (text("exceptionType"), text("errorMessage"))
}

#[test]
fn a_function_runs_as_a_module_and_answers_in_the_specifications_words() {
    let cluster = Cluster::start(1);
    let worker = cluster.workers[0].http();
    cluster.deploy_script("tell", r#"cat; echo "/$CI/$OWN/$CARES_DEPENDENCY_RESULTS/$CARES_WORKING_DIRECTORY""#);
    cluster.deploy_script("fails", "echo 'at line 7' >&2; exit 3");
    cluster.deploy("bytes", r#"{"mode":"job","command":["printf","\\377"]}"#, &[]);
    cluster.deploy("floods", r#"{"mode":"job","command":["cat","/dev/zero"]}"#, &[]);
    cluster.deploy_echo("");
    let reply = execute(
        worker,
        &json!({"executionId": "e1", "moduleTypeName": "tell", "serializedModule": "{}", "someday": "more",
        "dependencyResults": {"restore": "done"}, "environmentVariables": {"CI": "true", "OWN": "x"},
        "workingDirectory": "/app", "timeout": "01:00:00", "timestamp": "2025-09-30T10:00:00Z"}),
    );
    let body = reply.json();
    assert_eq!((reply.status, &body["success"], &body["executionId"]), (200, &json!(true), &json!("e1")), "{body}");
    assert_eq!(body["serializedResult"], "{}/true/x/{\"restore\":\"done\"}//app\n");
    assert_eq!(body["workerId"], cluster.workers[0].ready("node"));
    assert_eq!(body["duration"].as_str().map(str::len), Some("00:00:00".len()), "{body}");
    let body = execute(worker, &json!({"executionId": "e1", "moduleTypeName": "bytes"})).json();
    assert_eq!((&body["serializedResult"], &body["encoding"]), (&json!("/w=="), &json!("base64")));

    let reply = execute(worker, &json!({"executionId": "e2", "moduleTypeName": "fails", "serializedModule": null}));
    assert_eq!(failed(&reply, "e2"), ("ModuleFailed".into(), "the function exited with code 3".into()));
    assert_eq!(reply.json()["stackTrace"].as_str().map(str::trim), Some("at line 7"));
    let unknown = execute(worker, &json!({"executionId": "e3", "moduleTypeName": "MyApp.Modules.BuildModule, MyApp"}));
    assert_eq!(failed(&unknown, "e3").0, "UnknownModuleType");
    assert_eq!(
        failed(&execute(worker, &json!({"executionId": "e4", "moduleTypeName": "echo"})), "e4").0,
        "UnknownModuleType"
    );
    let (kind, why) = failed(&execute(worker, &json!({"executionId": "e5", "moduleTypeName": "floods"})), "e5");
    assert!(kind == "ResultTooLarge" && why.contains("4194304 bytes"), "{kind}: {why}");
    for (field, body) in [
        ("executionId", json!({"moduleTypeName": "tell"})),
        ("executionId", json!({"executionId": "", "moduleTypeName": "tell"})),
        ("timeout", json!({"executionId": "e", "moduleTypeName": "tell", "timeout": "90"})),
        (
            "environmentVariables",
            json!({"executionId": "e", "moduleTypeName": "tell", "environmentVariables": {"": "x"}}),
        ),
    ] {
        let reply = execute(worker, &body);
        let why = reply.problem(400, "invalid_field");
        assert!(
            why.contains(field) && reply.json()["success"] == false && reply.json()["errorMessage"] == why,
            "{why}"
        );
    }
    processes::wait_none(&cluster);
    wait_for("nothing runs", || load(worker).0 == 0);
}

#[test]
fn modules_end_when_they_must_and_are_never_more_than_fit() {
    let cluster = Cluster::start(1);
    let worker = cluster.workers[0].http();
    cluster.deploy("nap", r#"{"mode":"job","command":["sleep","600"]}"#, &[]);
    let nap = |id: String, timeout: &str| json!({"executionId": id, "moduleTypeName": "nap", "timeout": timeout});
    let (kind, why) = failed(&execute(worker, &nap("late".into(), "00:00:01")), "late");
    assert!(kind == "ModuleTimeout" && why.contains("00:00:01"), "{kind}: {why}");
    processes::wait_none(&cluster);
    cluster.deploy("tells", r#"{"mode":"job","command":["sh", "-c", "echo why >&2; sleep 600"]}"#, &[]);
    let late = json!({"executionId": "told", "moduleTypeName": "tells", "timeout": "00:00:01"});
    let late = execute(worker, &late).json();
    assert_eq!((late["exceptionType"].as_str(), late["stackTrace"].as_str()), (Some("ModuleTimeout"), Some("why\n")));
    processes::wait_none(&cluster);

    let most = load(worker).1;
    let naps: Vec<_> = (0..most).map(|n| aside(worker, nap(format!("n{n}"), "00:10:00"))).collect();
    wait_for("all of them run", || processes::of(&cluster).len() as u64 >= most);
    assert_eq!(load(worker), (most, most));
    let full = execute(worker, &nap("one more".into(), "00:10:00"));
    full.problem(429, "worker_full");
    assert_eq!((full.header("retry-after"), &full.json()["success"]), (Some("1"), &json!(false)));
    execute(worker, &nap("n0".into(), "00:10:00")).problem(409, "execution_running");
    let reply = cancel(worker, "nobody");
    reply.problem(404, "execution_not_found");
    assert_eq!(reply.json()["errorMessage"], "Execution not found");
    for (n, nap) in naps.into_iter().enumerate() {
        let reply = cancel(worker, &format!("n{n}"));
        assert_eq!((reply.status, reply.json()), (200, json!({"success": true})));
        let (kind, why) = failed(&nap.join().expect("an answer"), &format!("n{n}"));
        assert!(kind == "ModuleCancelled" && why.contains("no longer wanted"), "{kind}: {why}");
    }
    processes::wait_none(&cluster);
    assert_eq!(cancel(worker, "n0").status, 404);

    // Whoever leaves takes the module along.
    let body = nap("left".into(), "00:10:00").to_string();
    let mut stream = std::net::TcpStream::connect(worker).expect("a connection");
    let head =
        format!("POST /api/execution/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    std::io::Write::write_all(&mut stream, (head + &body).as_bytes()).expect("sent");
    wait_for("it runs", || !processes::of(&cluster).is_empty());
    drop(stream);
    processes::wait_none(&cluster);
    wait_for("nothing runs", || load(worker).0 == 0);
}
