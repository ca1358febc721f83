//! Workers that join over HTTP alone, played by the test: who may join where, what they are given, and that nothing they
//! do harms others.

mod example;

use crate::harness::{Cluster, wait_for};
use crate::head::Head;
use crate::wire::{self, Reply};
use cares::client::{Body, Invoke, Orchestrator};
use cares::types::{FunctionSpec, TokenSpec};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What a played worker answers an execution with, written as it is.
type Behaviour = Arc<dyn Fn(&Value, &mut TcpStream) + Send + Sync>;

/// A worker's endpoint, and all that it was asked.
struct Played {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Played {
    fn start(behaviour: impl Fn(&Value, &mut TcpStream) + Send + Sync + 'static) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (behaviour, seen): (Behaviour, _) = (Arc::new(behaviour), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, seen) = (behaviour.clone(), seen.clone());
                thread::spawn(move || serve(stream, &behaviour, &seen));
            }
        });
        Played { address, asked }
    }

    /// One that runs all modules well: its output is its input.
    fn good() -> Played {
        Played::start(|asked, stream| succeed(stream, asked, asked["serializedModule"].as_str().unwrap_or_default()))
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn executions(&self) -> Vec<Value> {
        self.of("/api/execution/execute")
    }

    fn of(&self, path: &str) -> Vec<Value> {
        self.asked.lock().unwrap().iter().filter(|(p, _)| p == path).map(|(_, asked)| asked.clone()).collect()
    }
}

fn serve(stream: TcpStream, behaviour: &Behaviour, seen: &Mutex<Vec<(String, Value)>>) {
    let mut writer = stream.try_clone().expect("the same");
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some((name, value)) = line.trim().split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let asked: Value = serde_json::from_slice(&body).expect("JSON");
        let path = first.split(' ').nth(1).expect("a path").to_string();
        seen.lock().unwrap().push((path.clone(), asked.clone()));
        match path.as_str() {
            "/api/execution/execute" => behaviour(&asked, &mut writer),
            _ => write(&mut writer, 200, &json!({"success": true}).to_string()),
        }
    }
}

fn write(stream: &mut TcpStream, status: u16, body: &str) {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes()); // it may have left
}

fn succeed(stream: &mut TcpStream, asked: &Value, output: &str) {
    let id = &asked["executionId"];
    write(stream, 200, &json!({"executionId": id, "success": true, "serializedResult": output}).to_string());
}

fn post(to: SocketAddr, path: &str, token: &str, body: &Value) -> Reply {
    wire::ask(to, "POST", path, &[("X-API-Key", token)], body.to_string().as_bytes())
}

fn registration(id: &str, endpoint: &str, most: u32) -> Value {
    json!({"workerNode": {"id": id, "endpoint": endpoint, "status": "Available", "currentLoad": 0,
        "lastHeartbeat": "2025-09-30T10:00:00Z", "someday": "more",
        "capabilities": {"os": "Linux", "installedTools": ["docker"], "maxParallelModules": most, "tags": ["gpu", "room=lab"]}},
        "timestamp": "2025-09-30T10:00:00Z"})
}

fn register(cluster: &Cluster, id: &str, endpoint: &str, most: u32) {
    let reply = post(cluster.head.http(), "/api/workers/register", "any", &registration(id, endpoint, most));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json(), json!({"success": true, "workerId": id, "heartbeatIntervalSeconds": 5}));
}

fn beat(to: SocketAddr, id: &str, token: &str) -> Reply {
    beat_loaded(to, id, token, 0)
}

fn beat_loaded(to: SocketAddr, id: &str, token: &str, load: u32) -> Reply {
    let body = json!({"workerId": id, "currentLoad": load, "timestamp": "2025-09-30T10:00:00Z"});
    post(to, "/api/workers/heartbeat", token, &body)
}

/// A function whose image is never looked at.
fn module(cluster: &Cluster, name: &str, change: impl FnOnce(&mut FunctionSpec)) {
    let mut spec = FunctionSpec { name: name.into(), image: "examples/module".into(), ..Default::default() };
    change(&mut spec);
    cluster.client.register(&spec).expect("registered");
}

fn workers(cluster: &Cluster) -> Vec<Value> {
    wire::get(cluster.head.http(), "/api/workers").json().as_array().expect("an array").clone()
}

/// Takes it as a refusal in the problem's words and in the specification's; its message.
fn refused(reply: &Reply, status: u16, code: &str) -> String {
    let detail = reply.problem(status, code);
    let body = reply.json();
    assert_eq!((&body["success"], &body["errorMessage"]), (&json!(false), &json!(detail)));
    detail
}

#[test]
fn a_worker_joins_over_http_and_is_a_node_like_any_other() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("ours", &["--engine", "process"]);
    let http = cluster.head.http();
    let played = Played::good();
    register(&cluster, "Worker-1", &played.endpoint(), 4);
    register(&cluster, "Worker-1", &played.endpoint(), 2); // once more, with less
    let node = cluster.client.node("worker-1").expect("by its name");
    assert_eq!((node.id.as_str(), node.reach.as_str(), node.status.as_str()), ("Worker-1", "http", "active"));
    assert_eq!((node.slots, node.job_slots, node.os.as_str()), (2, 2, "linux"));
    assert_eq!(node.tags, [("gpu".to_string(), "true".to_string()), ("room".into(), "lab".into())].into());
    let all = workers(&cluster);
    assert_eq!(all.len(), 2, "one row each: {all:?}");
    let row = all.iter().find(|row| row["id"] == "Worker-1").expect("its row");
    assert_eq!(
        (&row["endpoint"], &row["status"], &row["currentLoad"]),
        (&json!(played.endpoint()), &json!("Available"), &json!(0))
    );
    assert_eq!(
        row["capabilities"],
        json!({"os": "linux", "installedTools": ["docker"], "maxParallelModules": 2, "tags": ["gpu", "room=lab"]})
    );
    assert!(row["lastHeartbeat"].is_string());
    let health = wire::get(http, "/api/health").json();
    assert_eq!((&health["status"], &health["availableWorkers"]), (&json!("healthy"), &json!(2)));

    // What it runs for others is shown until it says otherwise.
    for (load, status) in [(2, "Busy"), (0, "Available")] {
        assert_eq!(beat_loaded(http, "Worker-1", "any", load).json()["acknowledged"], true);
        let row = workers(&cluster).into_iter().find(|row| row["id"] == "Worker-1").expect("its row");
        assert_eq!((&row["currentLoad"], &row["status"]), (&json!(load), &json!(status)));
    }

    // Both kinds of worker in one cluster; what the module is told.
    cluster.deploy("upper", r#"{"mode":"job","command":["tr","a-z","A-Z"]}"#, &[]);
    assert_eq!(cluster.call("upper", "ours"), (200, "OURS".into()));
    module(&cluster, "echo", |f| {
        f.env = Some([("CI".to_string(), "true".to_string())].into());
        f.timeout_s = Some(90.5);
        f.constraints = Some(
            serde_json::from_value(json!({"os": "linux", "tools": ["docker"], "tags": {"gpu": "true"}}))
                .expect("valid"),
        );
    });
    let (answer, text) = cluster.invoke("echo", "its input");
    assert_eq!((answer.status, text.as_str()), (200, "its input"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let asked = played.executions().remove(0);
    assert_eq!(
        (&asked["moduleTypeName"], &asked["serializedModule"], &asked["timeout"]),
        (&json!("echo"), &json!("its input"), &json!("00:01:31"))
    );
    assert_eq!(
        (&asked["environmentVariables"]["CI"], &asked["environmentVariables"]["CARES_METHOD"]),
        (&json!("true"), &json!("POST"))
    );
    assert!(
        asked["executionId"].is_string() && asked["timestamp"].is_string() && asked["dependencyResults"].is_object()
    );
    let invoke = Invoke { method: "POST".into(), body: Body::Bytes(vec![0xff]), ..Default::default() };
    assert_eq!(cluster.client.invoke("echo", invoke).expect("an answer").status, 200);
    let asked = played.executions().remove(1);
    assert_eq!((&asked["serializedModule"], &asked["encoding"]), (&json!("/w=="), &json!("base64")));
    let large = "x".repeat((4 << 20) + 1);
    assert!(wire::post(http, "/invoke/echo", &large).problem(413, "too_large").contains("4194304 bytes"));
    module(&cluster, "elsewhere", |f| {
        f.constraints = Some(serde_json::from_value(json!({"tags": {"gpu": "no"}})).expect("valid"))
    });
    assert_eq!(cluster.problem("elsewhere", "").code, "no_node");
    wait_for("its calls are counted", || {
        cluster.client.node("Worker-1").is_ok_and(|n| n.succeeded == 2 && n.running == 0)
    });

    // Drain: told with the heartbeat, and given nothing new.
    assert_eq!(beat(http, "Worker-1", "any").json(), json!({"acknowledged": true, "shouldDrain": false}));
    cluster.client.drain("Worker-1").expect("draining");
    assert_eq!(beat(http, "Worker-1", "any").json(), json!({"acknowledged": true, "shouldDrain": true}));
    assert_eq!(cluster.problem("echo", "").code, "no_node");
    assert!(workers(&cluster).iter().any(|row| row["id"] == "Worker-1" && row["status"] == "Draining"));
    let gone = wire::ask(http, "DELETE", "/api/workers/Worker-1", &[], b"");
    assert_eq!((gone.status, gone.json()), (200, json!({"success": true})));
    refused(&wire::ask(http, "DELETE", "/api/workers/Worker-1", &[], b""), 404, "node_not_found");
    let ours = cluster.client.node("ours").expect("ours").id;
    refused(&wire::ask(http, "DELETE", &format!("/api/workers/{ours}"), &[], b""), 409, "node_connected");
    assert_eq!(beat(http, "Worker-1", "any").json(), json!({"acknowledged": false, "shouldDrain": false}));
    assert_eq!(beat(http, &ours, "any").json()["acknowledged"], false, "it beats otherwise");
}

#[test]
fn what_no_worker_can_be_is_refused_by_name() {
    let cluster = Cluster::start(1);
    let http = cluster.head.http();
    let played = Played::good();
    let bad = |status: u16, code: &str, words: &str, change: &dyn Fn(&mut Value)| {
        let mut body = registration("w", &played.endpoint(), 1);
        change(&mut body);
        let why = refused(&post(http, "/api/workers/register", "any", &body), status, code);
        assert!(why.contains(words), "{why}");
    };
    bad(400, "invalid_field", "workerNode.id", &|b| b["workerNode"]["id"] = json!(""));
    bad(400, "invalid_field", "workerNode.id", &|b| b["workerNode"]["id"] = json!("a b"));
    bad(400, "invalid_field", "maxParallelModules", &|b| {
        b["workerNode"]["capabilities"]["maxParallelModules"] = json!(0)
    });
    bad(400, "invalid_field", "maxParallelModules", &|b| {
        b["workerNode"]["capabilities"]["maxParallelModules"] = json!(99_999)
    });
    bad(400, "invalid_field", "maxParallelModules", &|b| {
        b["workerNode"]["capabilities"]["maxParallelModules"] = json!(-1)
    });
    bad(400, "invalid_field", "capabilities", &|b| {
        drop(b["workerNode"].as_object_mut().expect("an object").remove("capabilities"))
    });
    bad(400, "invalid_field", "tags", &|b| b["workerNode"]["capabilities"]["tags"] = json!(vec!["t"; 65]));
    bad(400, "invalid_json", "must begin", &|b| *b = json!([]));
    for endpoint in
        ["ftp://127.0.0.1:1", "http://u@127.0.0.1:1", "http://127.0.0.1:1/path", "nonsense", "http://127.0.0.1:0"]
    {
        bad(400, "invalid_field", "workerNode.endpoint", &|b| b["workerNode"]["endpoint"] = json!(endpoint));
    }
    for endpoint in ["http://169.254.169.254", "http://10.1.2.3:9000", "http://[fe80::1]:9000", "http://0.0.0.0:9000"] {
        bad(400, "endpoint_not_allowed", "workerNode.endpoint", &|b| b["workerNode"]["endpoint"] = json!(endpoint));
    }
    let ours = cluster.client.node("w1").expect("ours").id;
    bad(403, "worker_not_yours", "gRPC", &|b| b["workerNode"]["id"] = json!(ours));
    bad(409, "worker_refused", "in use", &|b| b["workerNode"]["id"] = json!("W1"));
    register(&cluster, "w", &played.endpoint(), 1);
    let other = Played::good();
    bad(409, "worker_id_taken", "another endpoint", &|b| b["workerNode"]["endpoint"] = json!(other.endpoint()));
    refused(&post(http, "/api/workers/heartbeat", "any", &json!({"workerId": 7})), 400, "invalid_field");
    assert_eq!(workers(&cluster).len(), 2);
    assert!(cluster.head.log().contains("was refused: workerNode"));
}

#[test]
fn with_tokens_a_worker_belongs_to_the_one_that_registered_it_and_stands_where_it_may() {
    const ADMIN: &str = "the-operators-own-token-4712";
    let dir = tempfile::tempdir().expect("a folder");
    let played = Played::good();
    let allowed = format!("127.0.0.0/8:{}", played.address.port());
    let head = Head::of(dir.path()).told(&["--worker-endpoints", &allowed]).guarded(ADMIN).start();
    let http = head.http();
    let client = Orchestrator::new(&head.url()).expect("a URL").token(ADMIN);
    let token = |name: &str, scope: &str| {
        let spec = TokenSpec { name: name.into(), scopes: vec![scope.into()], expires_s: None, rate_per_s: None };
        client.create_token(&spec).expect("a token").secret
    };
    let (mine, other, reader) = (token("mine", "worker"), token("other", "worker"), token("reader", "read"));
    let join =
        |secret: &str, endpoint: &str| post(http, "/api/workers/register", secret, &registration("w", endpoint, 1));
    refused(&join("wrong", &played.endpoint()), 401, "unauthenticated");
    refused(&join(&reader, &played.endpoint()), 403, "forbidden");
    let why = refused(&join(&mine, "http://127.0.0.1:1"), 400, "endpoint_not_allowed");
    assert!(why.contains(&allowed), "{why}");
    assert_eq!(join(&mine, &played.endpoint()).status, 200);
    assert_eq!(join(&mine, &played.endpoint()).status, 200);
    for reply in [
        join(&other, &played.endpoint()),
        beat(http, "w", &other),
        wire::ask(http, "DELETE", "/api/workers/w", &[("X-API-Key", &other)], b""),
    ] {
        let why = refused(&reply, 403, "worker_not_yours");
        assert!(!why.contains(&other) && !why.contains(&mine), "{why}");
    }
    for secret in [mine.as_str(), ADMIN] {
        assert_eq!(beat(http, "w", secret).json()["acknowledged"], true);
        assert_eq!(join(secret, &played.endpoint()).status, 200);
    }
    refused(&join(&other, &played.endpoint()), 403, "worker_not_yours");
    assert_eq!(wire::ask(http, "DELETE", "/api/workers/w", &[("X-API-Key", &mine)], b"").status, 200);
    assert_eq!(join(&other, &played.endpoint()).status, 200, "the id is free again");
}

#[test]
fn a_worker_that_cannot_be_called_stands_and_its_calls_go_elsewhere() {
    let cluster = Cluster::start(0);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    register(&cluster, "dead", &format!("http://{nobody}"), 4);
    module(&cluster, "echo", |_| {});
    let problem = cluster.problem("echo", "x");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_not_started"));
    assert!(problem.detail.contains(&nobody.to_string()) && problem.detail.contains("endpoint"), "{}", problem.detail);
    assert_eq!(cluster.client.node("dead").expect("it stands").status, "active");
    let full = Played::start(|_, stream| write(stream, 429, r#"{"success":false,"errorMessage":"full"}"#));
    register(&cluster, "full", &full.endpoint(), 4);
    let problem = cluster.problem("echo", "x");
    assert!(problem.code == "function_not_started" && !full.executions().is_empty(), "{problem:?}");
    let good = Played::good();
    register(&cluster, "good", &good.endpoint(), 4);
    for n in 0..6 {
        assert_eq!(cluster.call("echo", &n.to_string()), (200, n.to_string()));
    }
    assert_eq!(good.executions().len(), 6);
}

#[test]
fn what_a_hostile_worker_does_ends_its_own_calls_alone() {
    let cluster = Cluster::start(0);
    let played = Played::start(|asked, stream| match asked["serializedModule"].as_str().unwrap_or_default() {
        "garbage" => drop(stream.write_all(b"\x00\x01 no HTTP\r\n\r\n")),
        "closes" => drop(stream.shutdown(std::net::Shutdown::Both)),
        "nonsense" => write(stream, 200, "nonsense"),
        "fails" => write(
            stream,
            500,
            &json!({"executionId": asked["executionId"], "success": false, "errorMessage": "it broke",
            "exceptionType": "System.Exception", "stackTrace": "at Main()"})
            .to_string(),
        ),
        "other" => write(stream, 200, r#"{"executionId":"another","success":true,"serializedResult":"stolen"}"#),
        "large" => succeed(stream, asked, &"x".repeat((4 << 20) + 1)),
        "endless" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        }
        "huge head" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Huge: ");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        }
        "never" => thread::sleep(Duration::from_secs(3_600)),
        fine => succeed(stream, asked, fine),
    });
    register(&cluster, "hostile", &played.endpoint(), 8);
    module(&cluster, "echo", |f| f.timeout_s = Some(10.0));
    for (input, status, code, words) in [
        ("garbage", 502, "node_lost", "connection broke"),
        ("closes", 502, "node_lost", "connection broke"),
        ("huge head", 502, "node_lost", "connection broke"),
        ("nonsense", 502, "function_failed", "no valid answer (status 200)"),
        ("fails", 502, "function_failed", "System.Exception: it broke\nat Main()"),
        ("other", 502, "function_failed", "another execution"),
        ("large", 502, "function_failed", "4194304 bytes"),
        ("endless", 502, "function_failed", "10485760 bytes"),
    ] {
        let problem = cluster.problem("echo", input);
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{input}: {}", problem.detail);
        assert!(problem.detail.contains(words), "{input}: {}", problem.detail);
        assert_eq!(cluster.call("echo", "fine"), (200, "fine".into()), "after {input}");
    }
    // One that never answers: at its time the call ends and is cancelled there, others go on meanwhile.
    module(&cluster, "short", |f| f.timeout_s = Some(1.0));
    let never = cluster.call_aside("short", "never");
    assert_eq!(cluster.call("echo", "fine"), (200, "fine".into()));
    assert_eq!(never.join().expect("an answer").0, 504);
    let id =
        played.executions().iter().find(|e| e["serializedModule"] == "never").expect("asked")["executionId"].clone();
    let cancelled =
        || played.of("/api/execution/cancel").iter().any(|c| c["executionId"] == id && c["reason"].is_string());
    wait_for("it is cancelled", cancelled);
    assert_eq!(cluster.client.node("hostile").expect("it").running, 0);
    // And one whose node is unregistered while it runs ends at once.
    let never = cluster.call_aside("echo", "never");
    wait_for("it runs", || cluster.client.node("hostile").is_ok_and(|n| n.running == 1));
    let begun = Instant::now();
    assert_eq!(wire::ask(cluster.head.http(), "DELETE", "/api/workers/hostile", &[], b"").status, 200);
    assert_eq!(never.join().expect("an answer").0, 502);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_worker_never_gets_more_than_it_said_and_one_that_falls_silent_is_lost_within_15_s() {
    let cluster = Cluster::start(0);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (at, top) = (now.clone(), most.clone());
    let played = Played::start(move |asked, stream| {
        top.fetch_max(at.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        at.fetch_sub(1, Ordering::SeqCst);
        succeed(stream, asked, "done");
    });
    register(&cluster, "small", &played.endpoint(), 2);
    let registered = Instant::now();
    module(&cluster, "echo", |_| {});
    let calls: Vec<_> = (0..24).map(|_| cluster.call_aside("echo", "x")).collect();
    for call in calls {
        assert_eq!(call.join().expect("an answer").0, 200);
    }
    assert_eq!((most.load(Ordering::SeqCst), played.executions().len()), (2, 24));
    cluster.wait_status("small", "disconnected");
    let silent = registered.elapsed();
    assert!((Duration::from_secs(12)..Duration::from_millis(15_500)).contains(&silent), "{silent:?}");
    assert!(workers(&cluster).iter().all(|row| row["status"] == "Disconnected"));
    assert_eq!(beat(cluster.head.http(), "small", "any").json()["acknowledged"], false);
    register(&cluster, "small", &Played::good().endpoint(), 2); // elsewhere, now that it is gone
    assert_eq!(cluster.call("echo", "again"), (200, "again".into()));
}
