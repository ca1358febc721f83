//! The platform's paths, asked as a program written for them would, on functions that every other face shows too.

use crate::gate::Gate;
use crate::harness::{Cluster, cares, run, wait_for};
use crate::head::Head;
use crate::wire::{Reply, ask, get, post};
use cares::types::{FunctionSpec, TokenSpec};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

fn register(to: SocketAddr, body: Value) -> Reply {
    post(to, "/register", body.to_string())
}

fn row(to: SocketAddr, name: &str) -> Value {
    get(to, "/list").json()[name].clone()
}

fn delete(to: SocketAddr, target: &str) -> Reply {
    ask(to, "DELETE", target, &[], b"")
}

/// A server that answers each request with its first line, one header of it and its body.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            let (mut first, mut id, mut length) = (String::new(), String::new(), 0);
            reader.read_line(&mut first).expect("a line");
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                let line = line.trim_end().to_ascii_lowercase();
                match line.split_once(": ") {
                    Some(("content-length", n)) => length = n.parse().expect("a length"),
                    Some(("x-call-id", value)) => id = value.to_string(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let text = format!("{} {} {}", first.trim_end(), !id.is_empty(), String::from_utf8_lossy(&body));
            let head = format!("HTTP/1.1 201 Created\r\nX-Own: 1\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
    address
}

#[test]
fn the_quick_start_of_the_platform_works_with_curl() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let url = cluster.head.url();
    let curl = |args: &[&str]| {
        let mut command = std::process::Command::new("curl");
        let (status, out, err) = run(command.args(["-sS", "-H", "Authorization: Bearer dev-token"]).args(args));
        assert!(status.success(), "{out}{err}");
        out
    };
    assert_eq!(curl(&[&format!("{url}/function/echo"), "-d", "hello"]), "hello");
    let below = curl(&["-X", "PATCH", &format!("{url}/function/echo/a/b?c=1"), "-d", "x"]);
    assert_eq!(below, "x", "any method, and below it");
    let list: Value = serde_json::from_str(&curl(&[&format!("{url}/list")])).expect("JSON");
    assert_eq!(list["echo"]["running"], true, "{list}");
    assert_eq!(list["echo"]["status"], "running");
    assert_eq!(list["echo"]["path"], "/function/echo");
    let image = cluster.client.function("echo").expect("a function").image;
    let again =
        curl(&["-X", "POST", &format!("{url}/register"), "-d", &json!({"name": "echo", "image": image}).to_string()]);
    assert!(again.contains("\"revision\":2"), "{again}");
    assert!(curl(&[&format!("{url}/health")]).contains("ok"));
    assert!(curl(&["-X", "DELETE", &format!("{url}/delete/echo")]).contains("deleted"));
    assert!(curl(&[&format!("{url}/function/echo")]).contains("function_not_found"));
}

#[test]
fn the_image_may_come_later_and_what_is_not_said_stays() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("shout", "tr a-z A-Z");
    let image = cluster.client.function("shout").expect("a function").image;
    let to = cluster.head.http();
    let made = register(to, json!({"name": "later", "whatever": [1], "owner": null}));
    assert_eq!((made.status, made.json()["status"].as_str()), (200, Some("no-image")), "{made:?}");
    let refused = post(to, "/function/later", "x").problem(409, "no_image");
    assert!(refused.contains("POST /register") && refused.contains("cares deploy"), "{refused}");
    assert_eq!(register(to, json!({"name": "later", "image": image})).status, 200);
    assert_eq!(post(to, "/function/later", "x").text(), "X");
    let spec = FunctionSpec {
        image: image.clone(),
        description: Some("mine".into()),
        labels: Some([("team".to_string(), "a".to_string())].into()),
        ..Default::default()
    };
    cluster.client.replace("later", &spec).expect("replaced");
    assert_eq!(register(to, json!({"name": "later", "image": image})).json()["revision"], 4);
    let kept = cluster.client.function("later").expect("a function");
    assert_eq!((kept.description.as_str(), kept.labels.len()), ("mine", 1), "{kept:?}");
    for (body, named) in [
        (json!({}), "name"),
        (json!({"name": "No Good"}), "name"),
        (json!({"name": "a", "image": "a b"}), "image"),
        (json!({"name": "a", "image": 5}), "image"),
        (json!({"name": "a", "image": "http://127.0.0.1:1"}), "image"),
        (json!({"name": "a", "image": "x", "endpoint": "http://127.0.0.1:1"}), "endpoint"),
        (json!({"name": "a", "endpoint": "ftp://127.0.0.1:1"}), "endpoint"),
        (json!({"name": "a", "endpoint": "http://127.0.0.1:1/path"}), "endpoint"),
        (json!({"name": "a", "endpoint": "http://127.0.0.1:1", "port": 5}), "port"),
        (json!({"name": "a", "image": "x", "port": 0}), "port"),
        (json!({"name": "a", "image": "x", "port": 70000}), "port"),
        (json!({"name": "a", "port": "x"}), "port"),
    ] {
        let detail = register(to, body.clone()).problem(400, "invalid_field");
        assert!(detail.starts_with(named) || detail.contains(named), "{body}: {detail}");
    }
    post(to, "/register", "nonsense").problem(400, "invalid_json");
    assert!(get(to, "/list").json().get("a").is_none(), "nothing was made");
    let port = register(to, json!({"name": "web", "image": "nginx", "port": 3000})).json();
    assert_eq!((port["port"].as_u64(), port["image"].as_str()), (Some(3000), Some("nginx")));
    let web = cluster.client.function("web").expect("a function");
    assert_eq!((web.env["PORT"].as_str(), web.mode), ("3000", cares::types::Mode::Http));
}

#[test]
fn an_endpoint_is_called_where_the_operator_allows_it_and_nowhere_else() {
    let cluster = Cluster::start(0);
    let (to, server) = (cluster.head.http(), server());
    let made = register(to, json!({"name": "out", "endpoint": format!("http://{server}")}));
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.json()["endpoint"], json!(format!("http://{server}")));
    let answer = ask(to, "PUT", "/function/out/a?b=1", &[], b"body");
    assert_eq!((answer.status, answer.text().as_str()), (201, "PUT /a?b=1 HTTP/1.1 true body"));
    assert_eq!(answer.header("x-own"), Some("1"));
    let later = ask(to, "POST", "/async-function/out", &[], b"async");
    let id = later.json()["id"].as_str().expect("an id").to_string();
    wait_for("the call has ended", || cluster.client.call(&id).is_ok_and(|call| call.status == "succeeded"));
    wait_for("both are counted", || cluster.client.function("out").is_ok_and(|f| f.calls == 2 && f.in_flight == 0));
    let gone = register(to, json!({"name": "gone", "endpoint": "http://127.0.0.1:1"}));
    assert_eq!(gone.status, 200, "a server may come later: {gone:?}");
    let detail = post(to, "/function/gone", "x").problem(502, "endpoint_unreachable");
    assert!(detail.contains("http://127.0.0.1:1"), "{detail}");
    for (endpoint, why) in [
        ("http://169.254.169.254", "never called"),
        ("http://10.1.2.3:80", "--worker-endpoints"),
        ("http://no-such-host.invalid:80", "cannot be found"),
    ] {
        let detail = register(to, json!({"name": "bad", "endpoint": endpoint})).problem(400, "endpoint_not_allowed");
        assert!(detail.contains(why), "{detail}");
    }
    let own = register(to, json!({"name": "loop", "endpoint": cluster.head.url()}));
    assert_eq!(own.status, 200);
    post(to, "/function/loop/function/loop", "x").problem(502, "endpoint_unreachable");
    // Another face must not be a way around.
    post(to, "/functions", r#"{"name":"x","image":"http://127.0.0.1:1"}"#).problem(400, "invalid_field");
    post(to, "/functions", r#"{"name":"x","image":""}"#).problem(400, "invalid_field");
}

#[test]
fn a_stopped_function_stays_so_over_a_kill_until_it_is_started() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_echo(r#","min":1"#);
    let to = cluster.head.http();
    wait_for("its minimum is up", || row(to, "echo")["running"] == true);
    let stopped = post(to, "/stop/echo", "");
    assert_eq!((stopped.status, stopped.json()["status"].as_str()), (200, Some("stopped")), "{stopped:?}");
    wait_for("nothing of it runs", || row(to, "echo")["instances"] == 0);
    let detail = post(to, "/function/echo", "x").problem(503, "function_stopped");
    assert!(detail.contains("cares start echo"), "{detail}");
    assert_eq!(post(to, "/stop/echo", "").status, 200, "twice is once");
    let waits = post(to, "/async-function/echo", "later").json();
    cluster.restart_head();
    cluster.wait_linked("w1");
    let to = cluster.head.http();
    assert_eq!(row(to, "echo")["status"], "stopped");
    post(to, "/invoke/echo", "x").problem(503, "function_stopped");
    let url = cluster.head.url();
    let (status, out, err) = run(cares().args(["redeploy", "echo", "--url", &url]));
    assert!(status.success() && out.contains("cares start"), "{out}{err}");
    let (status, out, err) = run(cares().args(["start", "echo", "--url", &url]));
    assert!(status.success() && out.starts_with("started echo"), "{out}{err}");
    wait_for("it runs", || row(to, "echo")["running"] == true);
    assert_eq!(post(to, "/function/echo", "x").text(), "x");
    let id = waits["id"].as_str().expect("an id");
    wait_for("what waited is called", || cluster.client.call(id).is_ok_and(|call| call.status == "succeeded"));
    post(to, "/start/nobody", "").problem(404, "function_not_found");
    post(to, "/stop/nobody", "").problem(404, "function_not_found");
    delete(to, "/delete/nobody").problem(404, "function_not_found");
    let told = cluster.client.past_events().expect("events");
    let kinds: Vec<String> = told.map_while(Result::ok).map(|event| event.kind).collect();
    assert!(
        kinds.iter().any(|k| k == "function.stopped") && kinds.iter().any(|k| k == "function.started"),
        "{kinds:?}"
    );
}

#[test]
fn a_stop_lets_a_call_that_runs_end() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "slow", "");
    let call = cluster.call_aside("slow", "x");
    gate.wait_started(1);
    cluster.client.stop("slow").expect("stopped");
    gate.open();
    assert_eq!(call.join().expect("an answer").0, 200);
    assert_eq!(cluster.problem("slow", "").code, "function_stopped");
}

#[test]
fn who_made_a_revision_and_labels_are_kept_and_lists_go_by_them() {
    let mut cluster = Cluster::start(0);
    let name = |name: &str, labels: &[(&str, &str)]| FunctionSpec {
        name: name.into(),
        image: "nginx".into(),
        description: Some(format!("{name} is described")),
        labels: Some(labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()),
        ..Default::default()
    };
    cluster.client.register(&name("a", &[("team", "x"), ("tier", "1")])).expect("registered");
    cluster.client.register(&name("b", &[("team", "x")])).expect("registered");
    cluster.client.register(&name("c", &[("team", "y")])).expect("registered");
    cluster.restart_head();
    let to = cluster.head.http();
    let names = |query: &str| -> Vec<String> {
        let all = get(to, &format!("/functions?{query}")).json();
        all.as_array().expect("an array").iter().map(|f| f["name"].as_str().expect("a name").into()).collect()
    };
    assert_eq!(names("label=team=x"), ["a", "b"]);
    assert_eq!(names("label=team%3Dx&label=tier"), ["a"]);
    assert_eq!(names("label=team=x&limit=1"), ["a"]);
    assert_eq!(names("label=team=x&limit=1&after=a"), ["b"]);
    assert_eq!(names("label=none").len(), 0);
    get(to, "/functions?label==x").problem(400, "invalid_field");
    assert_eq!(get(to, "/list?label=team=y").json().as_object().expect("an object").len(), 1);
    let (_, out, _) = run(cares().args(["list", "-o", "name", "--label", "team=x", "--url", &cluster.head.url()]));
    assert_eq!(out, "a\nb\n");
    let f = cluster.client.function("a").expect("a function");
    assert_eq!(f.last_event.as_ref().map(|e| e.kind.as_str()), Some("function.registered"), "{f:?}");
    assert_eq!(f.description, "a is described");
    assert!(f.revisions[0].by.starts_with("127."), "who it was, without tokens: {f:?}");
    let admin = TokenSpec { name: "root".into(), scopes: vec!["admin".into()], ..Default::default() };
    let admin = cluster.client.create_token(&admin).expect("a token").secret;
    let client = cluster.client.clone().token(admin);
    assert_eq!(client.redeploy("a").expect("redeployed").revisions[0].by, "root");
    let url = cluster.head.url();
    let (status, out, err) =
        run(cares().args(["describe", "a", "--url", &url]).env("AUTH_TOKEN", client_token(&client)));
    assert!(status.success() && out.contains(" by root "), "{out}{err}");
}

fn client_token(client: &cares::client::Orchestrator) -> String {
    let spec = TokenSpec { name: "reader".into(), scopes: vec!["read".into()], ..Default::default() };
    client.create_token(&spec).expect("a token").secret
}

#[test]
fn the_environment_says_where_each_part_is_and_a_mistake_in_it_is_named() {
    let cluster = Cluster::start(0);
    register(cluster.head.http(), json!({"name": "f"}));
    let url = cluster.head.url();
    let verb = |args: &[&str], env: &[(&str, &str)]| run(cares().args(args).envs(env.iter().copied()));
    for (args, env) in [
        (&["stop", "f"][..], &[("CONTROLLER_URL", &*url), ("API_URL", "http://127.0.0.1:1")][..]),
        (&["start", "f"], &[("API_URL", &*url)]),
        (&["logs", "f"], &[("CONTROLLER_URL", &*url)]),
        (&["list"], &[("API_URL", &*url), ("CONTROLLER_URL", "http://127.0.0.1:1")]),
        (&["stop", "f", "--url", &*url], &[("API_URL", "nonsense"), ("CONTROLLER_URL", "nonsense")]),
    ] {
        let (status, out, err) = verb(args, env);
        assert!(status.success(), "{args:?} {env:?}: {out}{err}");
    }
    let folder = cluster.folder("shell", r#"{"name":"shell"}"#, &[("Dockerfile", "FROM scratch\n")]);
    let build = ["deploy", folder.to_str().expect("UTF-8")];
    for (args, variable) in [(&["list"][..], "API_URL"), (&["stop", "f"], "CONTROLLER_URL"), (&build, "BUILDER_URL")] {
        for bad in ["htp://x", "localhost:8080:9", "http://", "http://h:99999"] {
            let (status, out, err) = verb(args, &[(variable, bad)]);
            assert_eq!(status.code(), Some(2), "{bad}: {out}{err}");
            assert!(err.contains(&format!("{variable}={bad}")) && err.contains("http://HOST:8080"), "{bad}: {err}");
        }
    }
    let (status, _, err) = verb(&["list"], &[("API_URL", "http://127.0.0.1:1")]);
    assert_eq!(status.code(), Some(3), "{err}");
}

#[test]
fn a_page_of_another_site_is_asked_first_and_only_one_that_is_allowed_gets_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let head = Head::of(dir.path()).told(&["--allow-origin", "https://ui.example"]).start();
    for (method, path) in
        [("POST", "/register"), ("GET", "/list"), ("POST", "/start/f"), ("DELETE", "/delete/f"), ("PUT", "/function/f")]
    {
        let preflight = |origin: &str| {
            let headers = [
                ("Origin", origin),
                ("Access-Control-Request-Method", method),
                ("Access-Control-Request-Headers", "authorization,content-type"),
            ];
            ask(head.http(), "OPTIONS", path, &headers, b"")
        };
        let allowed = preflight("https://ui.example");
        assert!((200..300).contains(&allowed.status), "{path}: {allowed:?}");
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://ui.example"), "{path}");
        let methods = allowed.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains(method), "{path}: {methods}");
        let foreign = preflight("https://evil.example");
        assert_eq!(foreign.header("access-control-allow-origin"), None, "{path}: {foreign:?}");
    }
}
