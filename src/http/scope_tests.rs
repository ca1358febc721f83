//! The scope matrix: every route of a role, asked over a real socket with every kind of token and with none. Generated
//! from the route table, so that a new route is in it.

use super::route::Face;
use crate::auth::{Gate, Needs, Scope, Who, hash};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const SCOPES: [&str; 7] = ["admin", "deploy", "invoke", "invoke:some", "invoke:other", "read", "worker"];

/// What a token of one scope may, said once more and otherwise than the program says it.
fn may(scope: &str, needs: Needs) -> bool {
    match needs {
        Needs::Nothing | Needs::Token => true,
        Needs::Admin => scope == "admin",
        Needs::Deploy => ["admin", "deploy"].contains(&scope),
        Needs::Invoke => ["admin", "invoke", "invoke:some"].contains(&scope),
        Needs::Result => ["admin", "invoke", "read"].contains(&scope), // no call has that id
        Needs::Cancel => ["admin", "invoke"].contains(&scope),
        Needs::Built => ["admin", "read", "deploy"].contains(&scope),
        Needs::Read => ["admin", "read"].contains(&scope),
        Needs::Worker => ["admin", "worker"].contains(&scope),
        Needs::Submit => !["read", "worker"].contains(&scope),
    }
}

/// Status, and all that came with the first bytes of the answer.
fn ask(http: SocketAddr, method: &str, path: &str, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).unwrap();
        answer.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let refusal = text.starts_with("HTTP/1.1 40"); // read whole; others may stream for ever
        if n == 0 || (!refusal && text.contains("\r\n\r\n")) {
            let status = text.get(9..12).and_then(|s| s.parse().ok());
            return (status.unwrap_or_else(|| panic!("{method} {path}: '{text}'")), text);
        }
    }
}

/// Asks everything. The gate gets tokens, and is closed from then on.
pub fn check<S: Face>(http: SocketAddr, gate: &Gate) {
    let token = |secret: &str, scope: &str, expires_unix_ms| {
        let scopes = vec![scope.parse::<Scope>().unwrap()];
        (hash(secret.as_bytes()), Arc::new(Who::new(secret, scopes, expires_unix_ms)))
    };
    SCOPES.iter().for_each(|scope| gate.add(token(&format!("is-{scope}"), scope, None)));
    gate.add(token("expired", "admin", Some(1)));
    let revoked = token("revoked", "admin", None);
    let digest = revoked.0.clone();
    gate.add(revoked);
    gate.remove(&digest);
    for route in S::ROUTES {
        let method = if route.method == "*" { "POST" } else { route.method };
        let path = route.path.replace("{name}", "some").replace("{id}", "some").replace("/*", "/below");
        assert!(!path.contains(['{', '*']), "{path}: say what stands for it here");
        let public = route.needs == Needs::Nothing;
        let what = format!("{method} {path}");
        assert!(!public || route.method == "GET", "{what} changes something, and asks nobody");
        let looks = [Needs::Token, Needs::Read, Needs::Result, Needs::Built].contains(&route.needs);
        assert!(!looks || route.method == "GET", "{what} is more than looking");
        let bearer = |secret: &str| format!("Authorization: Bearer {secret}\r\n");
        let strangers = ["".into(), bearer("wrong"), bearer(""), bearer("expired"), bearer("revoked")];
        for header in strangers.iter().chain(&["Authorization: Basic aXMtYWRtaW46\r\n".to_string()]) {
            let (status, text) = ask(http, method, &path, header);
            assert_eq!(status == 401, !public, "{what} {header}: {text}");
            if !public {
                assert!(text.to_lowercase().contains("\r\nwww-authenticate: bearer realm=\"cares\"\r\n"), "{text}");
                assert!(text.contains("\"code\":\"unauthenticated\"") && !text.contains("wrong\""), "{text}");
            }
        }
        for scope in SCOPES {
            for header in [bearer(&format!("is-{scope}")), format!("X-API-Key: is-{scope}\r\n")] {
                let (status, text) = ask(http, method, &path, &header);
                assert_ne!(status, 401, "{what} with {scope}: {text}");
                assert_eq!(status != 403, may(scope, route.needs), "{what} with {scope}: {text}");
                if status == 403 {
                    let name = match route.needs {
                        Needs::Result | Needs::Cancel | Needs::Submit => "invoke".into(),
                        Needs::Built => "read, or deploy".into(),
                        needs => format!("{needs:?}").to_lowercase(),
                    };
                    assert!(
                        text.contains(&format!("lacks the scope {name}")) && text.contains("\"code\":\"forbidden\""),
                        "{text}"
                    );
                }
            }
        }
    }
    for (header, status) in [("", 401), ("X-API-Key: is-worker\r\n", 404)] {
        assert_eq!(ask(http, "GET", "/nothing/there", header).0, status);
    }
}
