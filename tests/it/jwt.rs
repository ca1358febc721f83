//! JWTs of an issuer, web pages of other sites, and what is told of whom was refused: at the door of the real program.

use crate::harness::{Role, cares, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire::{Reply, ask, get};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cares::client::Orchestrator;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// One who signs tokens.
struct Issuer {
    key: Ed25519KeyPair,
    file: PathBuf,
    dir: TempDir,
}

impl Issuer {
    fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key");
        let issuer = Issuer { key, file: dir.path().join("keys.json"), dir };
        issuer.write(&json!([issuer.public()]));
        issuer
    }

    fn public(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": text(self.key.public_key()) })
    }

    fn write(&self, keys: &Value) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, json!({ "keys": keys }).to_string()).expect("written");
        std::fs::rename(new, &self.file).expect("moved");
    }

    /// A bearer of these scopes.
    fn bearer(&self, subject: &str, scope: &str, audience: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let claims = json!({ "iss": "me", "aud": audience, "sub": subject, "exp": now + 600, "scope": scope });
        let signed = format!("{}.{}", text(r#"{"alg":"EdDSA","kid":"k1"}"#), text(claims.to_string()));
        format!("Bearer {signed}.{}", text(self.key.sign(signed.as_bytes())))
    }

    fn start(&self, more: &[&str]) -> Role {
        let keys = self.file.to_str().expect("UTF-8");
        Head::of(self.dir.path()).told(&["--jwt-keys", keys, "--jwt-issuer", "me"]).told(more).start()
    }
}

#[test]
fn who_has_a_jwt_may_do_what_it_says_until_its_key_goes() {
    let issuer = Issuer::new();
    let role = issuer.start(&["--jwt-audience", "cares"]);
    let http = role.http();
    let with = |bearer: &str, method: &str, path: &str, body: &str| -> Reply {
        ask(http, method, path, &[("Authorization", bearer)], body.as_bytes())
    };
    get(http, "/nodes").problem(401, "unauthenticated"); // the keys alone close the door
    let reader = issuer.bearer("ann", "openid read", "cares");
    assert_eq!(with(&reader, "GET", "/nodes", "").status, 200);
    let spec = r#"{"name":"f","image":"hello-world"}"#;
    let lacks = with(&reader, "POST", "/functions", spec).problem(403, "forbidden");
    assert_eq!(lacks, "the token 'jwt:ann' lacks the scope deploy");
    let deployer = issuer.bearer("b\u{f6}b", "deploy admin", "cares");
    assert_eq!(with(&deployer, "POST", "/functions", spec).status, 201);
    // An issuer may make administrators: tokens may be made without one of ours.
    let token = r#"{"name":"ci","scopes":["read"]}"#;
    assert_eq!(with(&deployer, "POST", "/tokens", token).status, 201);
    let wrong = with(&issuer.bearer("ann", "admin", "others"), "GET", "/nodes", "").problem(401, "unauthenticated");
    assert!(wrong.contains("--jwt-audience"), "{wrong}");
    // The door tells who it was, and from where; and of the wrong one, once.
    let raw = deployer.strip_prefix("Bearer ").expect("a bearer");
    let client = Orchestrator::new(&role.url()).expect("a URL").token(raw);
    (0..5).for_each(|_| drop(with("Bearer wrong", "GET", "/nodes", "").problem(401, "unauthenticated")));
    let events: Vec<_> = client.past_events().expect("events").map(|event| event.expect("an event")).collect();
    let of = |kind: &str| events.iter().filter(|event| event.kind == kind).collect::<Vec<_>>();
    let made = of("function.registered");
    assert_eq!((made[0].actor.as_deref(), made[0].from.as_deref()), (Some("jwt:b%C3%B6b"), Some("127.0.0.1")));
    assert_eq!(of("token.created")[0].from.as_deref(), Some("127.0.0.1"));
    let refused = of("auth.refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].from.as_deref(), refused[0].level.as_str()), (Some("127.0.0.1"), "warn"));
    assert!(refused[0].message.starts_with("GET /nodes from 127.0.0.1 was refused"), "{}", refused[0].message);
    let (_, wide, err) = run(cares().args(["events", "-o", "wide", "--url", &role.url()]).env("AUTH_TOKEN", raw));
    assert!(wide.contains("(by jwt:b%C3%B6b) (from 127.0.0.1)"), "{wide}{err}");
    issuer.write(&json!([]));
    wait_for("the key's tokens are worthless", || with(&reader, "GET", "/nodes", "").status == 401);
    issuer.write(&json!([issuer.public()]));
    wait_for("and count again", || with(&reader, "GET", "/nodes", "").status == 200);
    assert!(!role.log().contains(raw));
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let issuer = Issuer::new();
    let file = issuer.file.to_str().expect("UTF-8");
    let fails = |args: &[&str]| {
        let data = issuer.dir.path().join("other");
        let all =
            ["orchestrator", "--headless", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--data-dir"];
        let (status, _, err) = run(cares().args(all).arg(data).args(args));
        assert_eq!(status.code(), Some(2), "{err}");
        err
    };
    assert!(fails(&["--jwt-keys", file]).contains("--jwt-issuer is missing"));
    assert!(fails(&["--jwt-audience", "x"]).contains("--jwt-keys is missing"));
    issuer.write(&json!([{ "kty": "oct", "k": "AAAA" }]));
    let err = fails(&["--jwt-keys", file, "--jwt-issuer", "me"]);
    assert!(err.contains("--jwt-keys") && err.contains("no public key"), "{err}");
    assert!(fails(&["--allow-origin", "app.example"]).contains("--allow-origin 'app.example' is no site"));
}

#[test]
fn pages_of_allowed_sites_may_use_the_api_and_no_others() {
    let issuer = Issuer::new();
    let role = issuer.start(&["--allow-origin", "https://app.example", "--allow-origin", "http://lab.example:3000"]);
    let http = role.http();
    let bearer = issuer.bearer("ann", "read", "any");
    let from = |method: &str, origin: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("Origin", origin)];
        headers.extend(more);
        ask(http, method, "/nodes", &headers, b"")
    };
    let asks = ("Access-Control-Request-Method", "GET");
    for origin in ["https://app.example", "http://lab.example:3000", "http://localhost:5173"] {
        let preflight = from("OPTIONS", origin, &[asks, ("Access-Control-Request-Headers", "authorization")]);
        assert_eq!(preflight.status, 204, "it needs no token");
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization"));
        let answer = from("GET", origin, &[("Authorization", &bearer)]);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
        from("GET", origin, &[]).problem(401, "unauthenticated");
    }
    for origin in ["https://evil.example", "http://app.example", "https://app.example:8443", "null"] {
        let refused = from("OPTIONS", origin, &[asks]);
        assert!(refused.problem(403, "origin_not_allowed").contains("--allow-origin"));
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    drop(role);
    let any = issuer.start(&["--allow-origin", "*"]);
    let answer = wait_for_some("an answer", || {
        let headers = [("Origin", "https://evil.example"), ("Authorization", &bearer)];
        Some(ask(any.http(), "GET", "/nodes", &headers, b"")).filter(|reply| reply.status == 200)
    });
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[test]
fn an_allowed_sites_host_is_a_name_of_the_api() {
    let dir = TempDir::new().expect("a folder");
    let role = Head::of(dir.path()).told(&["--allow-origin", "http://cares.lan"]).start();
    let named = |host: &str| ask(role.http(), "GET", "/nodes", &[("Host", host)], b"");
    assert_eq!(named("cares.lan:8080").status, 200);
    assert!(named("evil.example").problem(403, "host_not_allowed").contains("--allow-origin"));
}
