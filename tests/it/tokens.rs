//! Tokens: who gets in, who does not, and that nothing of a secret stays anywhere.

mod beside;
mod closing;

use crate::fixture;
use crate::harness::{Cluster, Role, cares, invoke, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire::{ask, get};
use cares::client::{Invoke, Later, Orchestrator};
use cares::types::{FunctionSpec, TokenMade, TokenSpec};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const ADMIN: &str = "the-operators-own-token-4711";

/// An orchestrator that was started with a token, and workers with the same.
fn guarded(workers: usize) -> Cluster {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Head::of(dir.path()).guarded(ADMIN).alone(dir);
    cluster.client = cluster.client.token(ADMIN);
    let file = cluster.dir.path().join("join-token");
    std::fs::write(&file, format!("{ADMIN}\n")).expect("written");
    cluster.with_workers(workers, &["--join-token-file", text(&file)])
}

fn admin(command: &mut Command) {
    command.env("AUTH_TOKEN", ADMIN);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn make(client: &Orchestrator, name: &str, scopes: &[&str], expires_s: Option<u64>) -> TokenMade {
    let scopes = scopes.iter().map(ToString::to_string).collect();
    client.create_token(&TokenSpec { name: name.into(), scopes, expires_s, ..Default::default() }).expect("a token")
}

fn with(cluster: &Cluster, token: &str) -> Orchestrator {
    Orchestrator::new(&cluster.head.url()).expect("a URL").token(token)
}

fn code<T: std::fmt::Debug>(answer: Result<T, cares::errors::Error>) -> String {
    answer.expect_err("it is refused").code().to_string()
}

/// All bytes of all files in a folder.
fn bytes_below(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => all.extend(bytes_below(&entry)),
            false => all.extend(std::fs::read(&entry).unwrap_or_default()), // a socket
        }
    }
    all
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

#[test]
fn with_auth_token_everything_but_health_asks_for_it() {
    let mut cluster = guarded(0);
    let http = cluster.head.http();
    for open in ["/healthz", "/readyz"] {
        assert_eq!(get(http, open).status, 200);
    }
    for closed in ["/functions", "/nodes", "/version", "/events", "/tokens", "/nothing"] {
        let refused = get(http, closed);
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"cares\""));
        ask(http, "GET", closed, &[("X-API-Key", "wrong")], b"").problem(401, "unauthenticated");
    }
    let refused = ask(http, "POST", "/invoke/any", &[], b"");
    refused.problem(401, "unauthenticated");
    assert!(refused.header("x-call-id").is_some());
    let bearer = format!("Bearer {ADMIN}");
    assert_eq!(ask(http, "GET", "/nodes", &[("Authorization", &bearer)], b"").status, 200);
    assert_eq!(ask(http, "GET", "/nodes", &[("X-API-Key", ADMIN)], b"").status, 200);
    // A browser asks first, and cannot send a token with that.
    let preflight = [("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST")];
    let allowed = ask(http, "OPTIONS", "/functions", &preflight, b"");
    assert_eq!(allowed.status, 204);
    let refused = ask(http, "GET", "/functions", &preflight[..1], b"");
    refused.problem(401, "unauthenticated");
    assert_eq!(refused.header("access-control-allow-origin"), Some("http://localhost:3000"));
    // The command line says what to do, and sends what it is given.
    let url = cluster.head.url();
    let (status, _, err) = run(cares().args(["list", "--url", &url]));
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("a token is needed") && err.contains("AUTH_TOKEN") && err.contains("--token-file"), "{err}");
    let (status, _, err) = run(cares().args(["list", "--url", &url]).env("AUTH_TOKEN", "wrong"));
    assert!(!status.success() && err.contains("not known here") && !err.contains("wrong\""), "{err}");
    assert!(run(cares().args(["list", "--url", &url]).env("AUTH_TOKEN", ADMIN)).0.success());
    let file = cluster.dir.path().join("token");
    std::fs::write(&file, ADMIN).expect("written");
    assert!(run(cares().args(["list", "--url", &url, "--token-file", text(&file)])).0.success());
    std::fs::write(&file, "two words").expect("written");
    let (status, _, err) = run(cares().args(["list", "--url", &url, "--token-file", text(&file)]));
    assert_eq!(status.code(), Some(2));
    assert!(err.contains("--token-file") && err.contains("one word") && !err.contains("two words"), "{err}");
    cluster.head.signal("TERM");
    cluster.head.wait();
    assert!(!cluster.head.log().contains(ADMIN));
    assert!(!holds(&bytes_below(&cluster.dir.path().join("orchestrator")), ADMIN));
}

#[test]
fn tokens_are_made_used_and_revoked_and_nothing_of_them_is_kept() {
    let mut cluster = Cluster::start(0);
    let http = cluster.head.http();
    assert_eq!(ask(http, "GET", "/nodes", &[("Authorization", "Bearer anything")], b"").status, 200);
    // Whoever closes the door must have a key.
    let spec =
        |name: &str, scope: &str| TokenSpec { name: name.into(), scopes: vec![scope.into()], ..Default::default() };
    assert_eq!(code(cluster.client.create_token(&spec("ci", "deploy"))), "no_admin_token");
    let brief = TokenSpec { expires_s: Some(60), ..spec("brief", "admin") };
    assert_eq!(code(cluster.client.create_token(&brief)), "no_admin_token");
    assert_eq!(get(http, "/nodes").status, 200);
    let boss = make(&cluster.client, "boss", &["admin"], None);
    assert!(boss.secret.starts_with("cares_") && boss.secret.len() == 70, "64 hex digits after its prefix");
    get(http, "/nodes").problem(401, "unauthenticated");
    cluster.client = with(&cluster, &boss.secret);
    assert_eq!(code(cluster.client.create_token(&spec("boss", "read"))), "name_taken");
    assert_eq!(code(cluster.client.create_token(&spec("Not A Name", "read"))), "invalid_field");
    assert_eq!(code(cluster.client.create_token(&spec("odd", "root"))), "invalid_field");
    assert_eq!(code(cluster.client.create_token(&TokenSpec { scopes: vec![], ..spec("none", "") })), "invalid_field");
    let never = TokenSpec { expires_s: Some(0), ..spec("never", "read") };
    assert_eq!(code(cluster.client.create_token(&never)), "invalid_field");
    assert_eq!(code(cluster.client.revoke_token("boss")), "last_admin_token");
    assert_eq!(code(cluster.client.revoke_token("nobody")), "token_not_found");
    let ci = make(&cluster.client, "ci", &["read", "deploy", "read"], None);
    assert_eq!((ci.token.scopes.join(","), ci.token.created_by.as_deref()), ("deploy,read".into(), Some("boss")));
    let short = make(&cluster.client, "short", &["read"], Some(1));
    wait_for("it expires", || {
        with(&cluster, &short.secret).nodes().is_err_and(|e| e.to_string().contains("'short' has expired"))
    });
    let denied = with(&cluster, &ci.secret).cordon("any").expect_err("refused");
    assert!(denied.to_string().contains("'ci' lacks the scope admin"), "{denied}");
    assert_eq!(denied.code(), "forbidden");
    let listed = cluster.client.tokens().expect("tokens");
    let mut seen: Vec<_> = listed.iter().map(|t| (t.name.as_str(), t.status.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("boss", "active"), ("ci", "active"), ("short", "expired")]);
    // What was acknowledged is there after kill -9, and what was revoked is not.
    let gone = make(&cluster.client, "gone", &["admin"], None);
    cluster.client.revoke_token(&gone.token.id).expect("revoked");
    cluster.restart_head();
    assert_eq!(with(&cluster, &gone.secret).nodes().expect_err("refused").code(), "unauthenticated");
    get(cluster.head.http(), "/nodes").problem(401, "unauthenticated");
    with(&cluster, &ci.secret).nodes().expect("it is known");
    assert_eq!(cluster.client.tokens().expect("tokens").len(), 3);
    // Events say who did what; nowhere is anything of a secret.
    let events: Vec<_> = cluster.client.past_events().expect("events").flatten().collect();
    let told = |kind: &str, message: &str| {
        let by_boss = |e: &cares::types::Event| e.kind == kind && e.actor.as_deref() == Some("boss");
        assert!(events.iter().any(|e| by_boss(e) && e.message == message), "{message}: {events:?}");
    };
    told("token.created", "Token 'ci' is created: deploy, read (by boss)");
    told("token.revoked", "Token 'gone' is revoked (by boss)");
    cluster
        .client
        .backup(&mut std::fs::File::create(cluster.dir.path().join("backup")).expect("a file"))
        .expect("a backup");
    cluster.head.signal("TERM");
    cluster.head.wait();
    let kept = bytes_below(cluster.dir.path());
    for made in [boss, ci, short, gone] {
        let secret = made.secret.strip_prefix("cares_").expect("a prefix");
        assert!(!holds(&kept, secret) && !cluster.head.log().contains(secret), "{}", made.token.name);
        assert!(!format!("{events:?}{listed:?}").contains(secret));
    }
}

#[test]
fn the_command_line_makes_lists_and_revokes() {
    let cluster = guarded(0);
    let tool = |words: &[&str]| run(cares().args(words).args(["--url", &cluster.head.url()]).env("AUTH_TOKEN", ADMIN));
    let (status, out, err) =
        tool(&["token", "create", "ci", "--scope", "deploy", "--scope", "invoke:hello", "--expires", "90d"]);
    assert!(status.success() && err.contains("this one time"), "{err}");
    let secret = out.trim();
    assert!(secret.starts_with("cares_") && !secret.contains(char::is_whitespace), "{out}");
    assert_eq!(code(with(&cluster, secret).nodes()), "forbidden");
    let (_, out, _) = tool(&["token", "create", "box", "--scope", "worker", "-o", "json"]);
    let made: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((made["name"].as_str(), made["scopes"][0].as_str()), (Some("box"), Some("worker")));
    assert!(made["token"].as_str().is_some_and(|token| token.starts_with("cares_")));
    let (_, out, _) = tool(&["token", "list", "-o", "wide"]);
    for part in ["NAME", "SCOPES", "ci", "deploy,invoke:hello", "active", "AUTH_TOKEN", "box"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) = tool(&["token", "list", "-o", "json"]);
    assert!(!out.contains(secret) && !out.contains("digest"), "{out}");
    // Saved, it is sent to the address it was saved for, and to no other.
    let home = cluster.dir.path().join("home");
    let saved = |words: &[&str], url: &str| {
        let mut command = cares();
        command.args(words).args(["--url", url]).env("HOME", &home).env_remove("XDG_CONFIG_HOME");
        command
    };
    let url = cluster.head.url();
    let (status, _, err) = run(saved(&["token", "save"], &url).env("AUTH_TOKEN", "wrong"));
    assert!(!status.success() && !home.exists(), "{err}");
    let (status, out, err) = run(saved(&["token", "save"], &url).env("AUTH_TOKEN", ADMIN));
    assert!(status.success() && out.contains("tokens.json") && !out.contains(ADMIN), "{out}{err}");
    assert!(run(&mut saved(&["list"], &url)).0.success());
    let (status, _, err) = run(saved(&["list"], &url).env("AUTH_TOKEN", "wrong"));
    assert!(!status.success() && err.contains("not known here"), "what is said now stands over it: {err}");
    let other = guarded(0);
    let (status, _, err) = run(&mut saved(&["list"], &other.head.url()));
    assert!(!status.success() && err.contains("a token is needed"), "{err}");
    let (status, _, err) = tool(&["token", "revoke", "ci"]);
    assert!(status.code() == Some(2) && err.contains("--yes"), "{err}");
    let (status, out, _) = tool(&["token", "revoke", "ci", "--yes"]);
    assert!(status.success() && out.contains("revoked ci"), "{out}");
    assert_eq!(code(with(&cluster, secret).nodes()), "unauthenticated");
    for (words, part) in [
        (&["token", "create", "x"][..], "--scope"),
        (&["token", "create", "x", "--scope", "read", "--expires", "soon"], "90d"),
    ] {
        let (status, _, err) = tool(words);
        assert!(status.code() == Some(2) && err.contains(part), "{err}");
    }
}

#[test]
fn a_function_gets_calls_of_those_who_may_and_never_their_tokens() {
    let mut cluster = guarded(1);
    let source = |name: &str, manifest: &str| {
        let folder = cluster.folder(name, manifest, &[]);
        let (status, _, err) = run(cares()
            .arg("deploy")
            .arg(folder)
            .args(["--name", name, "--url", &cluster.head.url()])
            .env("AUTH_TOKEN", ADMIN));
        assert!(status.success(), "{err}");
    };
    source("mine", &fixture::manifest("head"));
    source("everybodys", &fixture::manifest_with("head", r#","public":true"#));
    assert!(cluster.client.function("everybodys").expect("it").public);
    let one = make(&cluster.client, "one", &["invoke:mine"], None);
    let all = make(&cluster.client, "all", &["invoke"], None);
    let other = make(&cluster.client, "other", &["invoke:everybodys"], None);
    let http = cluster.head.http();
    for (secret, status) in [(&one.secret, 200), (&all.secret, 200), (&other.secret, 403)] {
        for path in ["/invoke/mine/below", "/function/mine"] {
            let theirs = [("X-API-Key", secret.as_str()), ("Authorization", "Bearer for-the-function")];
            let answer = ask(http, "GET", path, &theirs, b"");
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(!answer.text().contains("cares_"), "{}", answer.text());
            assert_eq!(answer.text().contains("for-the-function"), status == 200, "{}", answer.text());
        }
    }
    let bearer = format!("bearer {}", one.secret);
    let answer = ask(http, "GET", "/invoke/mine", &[("Authorization", &bearer)], b"");
    assert!(answer.status == 200 && !answer.text().to_lowercase().contains("authorization"), "{}", answer.text());
    ask(http, "GET", "/invoke/mine", &[], b"").problem(401, "unauthenticated");
    // A public one is for everybody, and their headers are its own; what opens this cluster stays here all the same.
    assert_eq!(get(http, "/invoke/everybodys").status, 200);
    let answer = ask(http, "GET", "/invoke/everybodys", &[("Authorization", "Bearer its-own")], b"");
    assert!(answer.status == 200 && answer.text().contains("its-own"), "{}", answer.text());
    let answer = ask(http, "GET", "/invoke/everybodys", &[("Authorization", &bearer)], b"");
    assert!(answer.status == 200 && !answer.text().contains(&one.secret), "{}", answer.text());
    get(http, "/functions/everybodys").problem(401, "unauthenticated");
    // Nor is one in a function's environment.
    let dir = cluster.dir.path().join("in-env");
    let args =
        ["worker", cluster.head.ready("grpc"), "--name", "in-env", "--worker-addr", "127.0.0.1:0", "--tag", "env=yes"];
    let both = |command: &mut Command| {
        command.env("AUTH_TOKEN", "of-the-worker").env("CARES_JOIN_TOKEN", ADMIN);
    };
    let worker = Role::start_with(&[&args[..], &["--data-dir", text(&dir)]].concat(), both);
    cluster.wait_linked("in-env");
    let manifest = r#"{"mode":"job","command":["sh","-c","env"],"constraints":{"tags":{"env":"yes"}}}"#;
    let folder = cluster.folder("env", manifest, &[]);
    run(cares()
        .arg("deploy")
        .arg(folder)
        .args(["--name", "env", "--url", &cluster.head.url()])
        .env("AUTH_TOKEN", ADMIN));
    let (answer, out) = invoke(&cluster.client, "env", "");
    assert!(answer.status == 200 && out.contains("K_SERVICE=env"), "{out}");
    assert!(!out.contains(ADMIN) && !out.contains("of-the-worker") && !out.contains("TOKEN"), "{out}");
    // And that worker's own address asks for its token.
    get(worker.http(), "/status").problem(401, "unauthenticated");
    assert_eq!(ask(worker.http(), "GET", "/status", &[("X-API-Key", "of-the-worker")], b"").status, 200);
    assert_eq!(get(worker.http(), "/healthz").status, 200);
    cluster.workers.push(worker);
}

#[test]
fn only_an_admin_opens_what_keeps_functions_apart() {
    let cluster = guarded(0);
    let http = cluster.head.http();
    let deployer = make(&cluster.client, "ci", &["deploy"], None).secret;
    let post = |token: &str, isolation: &str| {
        let key = format!("Bearer {token}");
        let body = format!(r#"{{"name":"f","image":"some/image","isolation":{isolation}}}"#);
        ask(http, "PUT", "/functions/f", &[("Authorization", &key)], body.as_bytes())
    };
    let closed = r#"{"files":"private","pids":9}"#;
    cluster
        .client
        .register(&FunctionSpec { name: "f".into(), image: "some/image".into(), ..Default::default() })
        .expect("registered");
    for open in [r#"{"files":"open"}"#, r#"{"syscalls":"all"}"#] {
        let refused = post(&deployer, open).problem(403, "forbidden");
        assert!(refused.starts_with("isolation."), "{}", refused);
        assert!(refused.contains("lacks the scope admin"), "{}", refused);
        assert_eq!(post(ADMIN, open).status, 200);
        assert_eq!(post(&deployer, closed).status, 200);
    }
}

#[test]
fn a_callback_carries_no_token_and_says_so_when_that_is_asked_for() {
    let cluster = guarded(0);
    let image =
        |name: &str, public| FunctionSpec { name: name.into(), image: "x".into(), public, ..Default::default() };
    for (name, public) in [("mine", false), ("everybodys", true)] {
        cluster.client.register(&image(name, Some(public))).expect("registered");
    }
    let told = |target: &str| {
        let callback = Some(format!("{}/async-function/{target}", cluster.head.url()));
        let later = Later { callback, ..Default::default() };
        let call = cluster.client.invoke_later("mine", Invoke::default(), later).expect("accepted");
        cluster.client.cancel_call(&call.id).expect("cancelled"); // its end, and that is told
        wait_for_some("the callback was tried", || {
            let told = cluster.client.call(&call.id).expect("the call").callback.expect("a callback");
            (told.status == "delivered" || told.last_error.is_some()).then_some(told)
        })
    };
    let refused = told("mine").last_error.expect("why");
    assert!(refused.contains("401") && refused.contains("no token") && refused.contains("--public"), "{refused}");
    assert_eq!(told("everybodys").status, "delivered");
}

#[test]
fn a_worker_joins_with_a_token_and_only_as_itself() {
    let mut cluster = guarded(0);
    let join = |name: &str, dir: &Path, token: &str| {
        let args = ["worker", cluster.head.ready("grpc"), "--name", name, "--worker-addr", "127.0.0.1:0", "--data-dir"];
        Role::try_start_with(&[&args[..], &[text(dir)]].concat(), |command| {
            if !token.is_empty() {
                command.env("CARES_JOIN_TOKEN", token);
            }
        })
    };
    let reader = make(&cluster.client, "reader", &["read"], None).secret;
    let boxes = make(&cluster.client, "boxes", &["worker"], None).secret;
    let at = cluster.dir.path().join("w1");
    for (token, why) in [("", "a token is needed"), ("wrong", "not known here"), (&reader, "lacks the scope worker")] {
        let (status, log) = join("w1", &at, token).err().expect("it is refused");
        assert_eq!(status.code(), Some(1), "{log}");
        for part in [why, "--join-token-file", "CARES_JOIN_TOKEN"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(token.is_empty() || !log.contains(&format!("'{token}'")), "{log}");
    }
    let worker = join("w1", &at, &boxes).map_err(|(_, log)| log).expect("it joins");
    cluster.wait_linked("w1");
    assert_eq!(cluster.client.node("w1").expect("it").status, "active");
    // What the token allows is joining, nothing else.
    assert_eq!(code(with(&cluster, &boxes).nodes()), "forbidden");
    // Another cannot take its place by its id alone, which everybody may read.
    let copy = cluster.dir.path().join("copy");
    std::fs::create_dir(&copy).expect("a folder");
    std::fs::copy(at.join("node-id"), copy.join("node-id")).expect("copied");
    let (_, log) = join("other", &copy, &boxes).err().expect("it is refused");
    assert!(log.contains("does not have its secret") && log.contains("cares node remove"), "{log}");
    assert_eq!(cluster.client.node("w1").expect("it").status, "active");
    let secret = std::fs::read_to_string(at.join("node-secret")).expect("its secret");
    assert!(!holds(&bytes_below(&cluster.dir.path().join("orchestrator")), &secret));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(at.join("node-secret")).expect("it").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let events: Vec<_> = cluster.client.past_events().expect("events").flatten().collect();
    let refused = events.iter().find(|e| e.kind == "node.refused").expect("it is told");
    assert!(refused.level == "warn" && refused.message.contains("A worker at 127."), "{refused:?}");
    let joined = events.iter().find(|e| e.kind == "node.joined").expect("it is told");
    assert_eq!(joined.actor.as_deref(), Some("boxes"), "{joined:?}");
    cluster.workers.push(worker);
}

#[test]
fn beyond_loopback_a_token_is_enough() {
    let dir = TempDir::new().expect("a folder");
    let data = dir.path().join("orchestrator");
    let wide = ["orchestrator", "--http-addr", "0.0.0.0:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", text(&data)];
    let (status, out, err) = run(cares().args(wide).arg("--headless"));
    assert_eq!(status.code(), Some(2), "{out}{err}");
    assert!(["--http-addr", "AUTH_TOKEN", "--token-file", "--open"].iter().all(|part| err.contains(part)), "{err}");
    assert!(!data.exists(), "it left something behind");
    let ask_at = |role: &Role, headers: &[(&str, &str)]| {
        let port = role.http().port();
        ask(([127, 0, 0, 1], port).into(), "GET", "/nodes", headers, b"").status
    };
    let mut head = Role::start_with(&wide, admin);
    assert_eq!(ask_at(&head, &[]), 401);
    // Under any name: a page that was made to point here has no token.
    assert_eq!(ask_at(&head, &[("Host", "cluster.example"), ("X-API-Key", ADMIN)]), 200);
    let client = Orchestrator::new(&format!("http://127.0.0.1:{}", head.http().port())).expect("a URL").token(ADMIN);
    let boss = make(&client, "boss", &["admin"], None);
    head.kill();
    let mut head = Role::start(&wide); // with the token in its store
    assert_eq!((ask_at(&head, &[]), ask_at(&head, &[("X-API-Key", &boss.secret)])), (401, 200));
    assert_eq!(ask_at(&head, &[("X-API-Key", ADMIN)]), 401);
    head.kill();
    let mut head = Role::start_with(&wide, admin);
    let client = Orchestrator::new(&format!("http://127.0.0.1:{}", head.http().port())).expect("a URL").token(ADMIN);
    client.revoke_token("boss").expect("there is another");
    assert_eq!(ask_at(&head, &[]), 401);
    head.kill();
    let (status, _, err) = run(cares().args(wide).arg("--headless"));
    assert!(status.code() == Some(2) && err.contains("--open"), "{err}");
}

#[test]
fn one_process_with_both_roles_needs_no_second_token() {
    let dir = TempDir::new().expect("a folder");
    let args =
        ["up", "--demo", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir", text(dir.path())];
    let role = Role::start_with(&args, admin);
    wait_for("the demo answers", || role.log().contains("echo answered: ping"));
    get(role.http(), "/invoke/hello").problem(401, "unauthenticated");
    assert_eq!(ask(role.http(), "GET", "/invoke/hello", &[("X-API-Key", ADMIN)], b"").status, 200);
    assert!(!role.log().contains(ADMIN));
}

#[test]
fn the_handlers_own_socket_answers_only_the_front_door() {
    use std::io::{Read, Write};
    let cluster = guarded(0);
    let socket = cluster.dir.path().join("orchestrator/looks.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("it is there");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let head = "GET /tokens HTTP/1.1\r\nHost: x\r\ncares-pass: guessed\r\ncares-by: boss\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an end");
    assert!(!answer.contains("200 OK") && !answer.contains('['), "{answer}");
}
