//! What a page that a function serves can do: call functions, and nothing as the dashboard, whose address it has.

use super::at;
use crate::browser::{Browser, browser_is_there};
use crate::harness::{Cluster, cares, run, wait_for};
use crate::head::Head;
use crate::wire::{Reply, ask, get};
use cares::client::Orchestrator;
use cares::types::FunctionSpec;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

/// A page that does what pages do, and what it should not: how each went is in `window.seen`.
const PAGE: &str = r#"<!doctype html><title>page</title><script type="module">
import { word } from './module.js';
const seen = { module: word, origin: self.origin };
const tell = async (name, act) => { try { seen[name] = String(await act()) } catch (error) { seen[name] = error.name } };
const text = async (...asked) => (await fetch(...asked)).text();
const status = async (...asked) => (await fetch(...asked)).status;
await tell('own', () => text('./api', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }));
await tell('other', () => text('../other/api'));
await tell('list', () => status('/functions'));
await tell('wipe', () => status('/functions/victim', { method: 'DELETE' }));
await tell('blind', () => fetch('/stop/victim', { method: 'POST', mode: 'no-cors' }).then(() => 'sent'));
await tell('away', () => status(document.body.dataset.api + '/functions/victim', { method: 'DELETE' }));
await tell('kept', () => sessionStorage.getItem('cares-token'));
await tell('worker', () => navigator.serviceWorker.register('./own.js').then(() => 'there'));
window.seen = seen;
</script><body>"#;

/// What stands for a function's program: its page, a module of that, and an answer.
fn program(api: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (kind, body) = match asked.split(' ').nth(1) {
                Some("/module.js") => ("text/javascript", "export const word = 'came';".to_string()),
                Some("/own.js") => ("text/javascript", String::new()),
                Some("/api") => ("text/plain", "answered".to_string()),
                _ => ("text/html", format!("{PAGE}<script>document.body.dataset.api = '{api}'</script>")),
            };
            let length = body.len();
            let more =
                "Content-Security-Policy: object-src 'none'\r\nClear-Site-Data: \"storage\"\r\nConnection: close";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}")
}

const TOKEN: &str = "a-token-that-is-long-enough";

/// An orchestrator that asks for tokens, with a function that serves such a page, another, and one that is worth attacking.
fn cluster() -> Cluster {
    let dir = tempfile::tempdir().expect("a folder");
    let head = Head::of(dir.path()).at("127.0.0.1:0", "127.0.0.1:0").told(&["--function-host", "functions.localhost"]);
    let mut cluster = head.guarded(TOKEN).alone(dir);
    cluster.client = Orchestrator::new(&cluster.head.url()).expect("a URL").token(TOKEN);
    register(&cluster, Some(TOKEN));
    cluster
}

fn register(cluster: &Cluster, token: Option<&str>) {
    let (endpoint, bearer) = (program(cluster.head.url()), format!("Bearer {}", token.unwrap_or("any")));
    for name in ["page", "other", "victim"] {
        let spec = json!({"name": name, "endpoint": endpoint}).to_string();
        let made = ask(cluster.head.http(), "POST", "/register", &[("Authorization", &bearer)], spec.as_bytes());
        assert_eq!(made.status, 200, "{made:?}");
        let public = FunctionSpec { public: Some(true), ..Default::default() };
        cluster.client.redeploy_as(name, &public).expect("public");
    }
}

/// What a browser is told to keep to.
fn policies(answer: &Reply) -> Vec<&str> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-security-policy")).map(|(_, it)| it).collect()
}

fn seen(browser: &Browser, url: &str) -> Value {
    browser.go(url);
    browser.is_so("it has tried all of it", "return Boolean(window.seen)");
    browser.js("return window.seen", json!([]))
}

#[test]
fn a_functions_page_calls_functions_and_does_nothing_as_the_dashboard() {
    if !browser_is_there() {
        return;
    }
    let cluster = cluster();
    let browser = Browser::open(&at(&cluster, "/"));
    browser.fill("Token", TOKEN);
    browser.click("Sign in");
    browser.shows("victim");
    let page = seen(&browser, &format!("{}/invoke/page/", cluster.head.url())); // in the tab that is signed in
    let (none, closed) = ("TypeError", "SecurityError"); // what fetch says of an answer it may not see; no storage
    for (what, is) in [
        ("origin", "null"),
        ("module", "came"),
        ("own", "answered"),
        ("other", "answered"),
        ("list", none),
        ("wipe", none),
        ("away", none),
        ("kept", closed),
    ] {
        assert_eq!(page[what], is, "{what}: {page}");
    }
    assert_ne!(page["worker"], "there", "{page}");
    let port = cluster.head.http().port();
    let page = seen(&browser, &format!("http://functions.localhost:{port}/function/page/"));
    for (what, is) in [
        ("module", "came"),
        ("own", "answered"),
        ("other", "answered"),
        ("list", "403"),
        ("wipe", "403"),
        ("away", none),
        ("kept", "null"),
        ("worker", "there"),
    ] {
        assert_eq!(page[what], is, "{what}: {page}");
    }
    browser.go(&at(&cluster, "/functions/victim"));
    browser.shows("/invoke/victim"); // still signed in, though the function asked for all to be cleared
    assert_ne!(cluster.client.function("victim").expect("it is there").status, "stopped");
}

#[test]
fn what_a_function_says_is_kept_apart_but_under_names_for_functions() {
    let cluster = cluster();
    let to = cluster.head.http();
    let bearer = format!("Bearer {TOKEN}");
    let with = |method: &str, path: &str| ask(to, method, path, &[("Authorization", &bearer)], b"");
    let later = with("POST", "/async-function/page").json()["id"].as_str().expect("an id").to_string();
    wait_for("it has ended", || cluster.client.call(&later).is_ok_and(|call| call.status == "succeeded"));
    let result = format!("/calls/{later}/result");
    for path in ["/invoke/page", "/function/page/deep?x=1", "/invoke/page/api", &result] {
        let answer = with("GET", path);
        let policies = policies(&answer);
        assert!(policies.contains(&"object-src 'none'"), "its own stays: {path}: {policies:?}");
        let ours = policies.iter().find(|policy| policy.starts_with("sandbox "));
        assert!(
            ours.is_some_and(|ours| !ours.contains("same-origin") && !ours.contains("top-")),
            "{path}: {policies:?}"
        );
        assert_eq!(answer.header("clear-site-data"), None);
    }
    let named =
        |path: &str| ask(to, "GET", path, &[("Host", "functions.localhost:80"), ("Authorization", &bearer)], b"");
    let answer = named("/invoke/page");
    assert_eq!((answer.status, policies(&answer)), (200, vec!["object-src 'none'"]));
    for path in ["/", "/functions", "/list", "/docs", "/healthz", "/nothing", &result] {
        assert!(named(path).problem(403, "host_not_allowed").contains("--function-host"), "{path}");
    }
    // Neither what has no origin nor what has one of its own is more than a caller.
    for origin in ["null", "http://functions.localhost", "http://functions.localhost:3000"] {
        let from = |path: &str| ask(to, "GET", path, &[("Origin", origin), ("Authorization", &bearer)], b"");
        let allowed = from("/invoke/page/api");
        assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(from("/nodes").problem(403, "origin_not_allowed").contains("may call functions"), "{origin}");
    }
}

#[test]
fn where_nobody_needs_a_token_pages_are_kept_apart_if_they_have_a_name_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let plain = Head::of(dir.path()).alone(dir);
    register(&plain, None);
    assert_eq!(policies(&get(plain.head.http(), "/invoke/page")), ["object-src 'none'"]);
    let dir = tempfile::tempdir().expect("a folder");
    let named = Head::of(dir.path()).told(&["--function-host", "functions.localhost"]).alone(dir);
    register(&named, None);
    let to = named.head.http();
    assert_eq!(policies(&get(to, "/invoke/page")).len(), 2);
    // Any site can make a page without an origin; here its user's machine would be all it needs.
    let refused = ask(to, "POST", "/invoke/page", &[("Origin", "null")], b"").problem(403, "origin_not_allowed");
    assert!(refused.contains("--function-host"), "{refused}");
    let mut told = cares();
    let args = ["orchestrator", "--headless", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
    let (status, _, err) = run(told.args(args).args(["--function-host", "127.0.0.1:80"]));
    assert_eq!(status.code(), Some(2), "{err}");
    assert!(err.contains("--function-host '127.0.0.1:80' must be a host name alone"), "{err}");
}
