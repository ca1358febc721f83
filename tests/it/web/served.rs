//! What the orchestrator serves: small, kept by browsers, and held to itself by its policy. Needs no browser.

use crate::harness::{Cluster, Role, own_ip};
use crate::wire::{ask, get};

#[test]
fn the_page_and_its_files_are_cached_and_held_to_themselves() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let page = get(to, "/");
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-cache")));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http:") && !policy.contains('*'), "{policy}");
    let tag = page.header("etag").expect("a tag").to_string();
    let text = page.text();
    let mut bytes = text.len();
    let mut files: Vec<&str> = text.split('"').filter(|part| part.starts_with("/web/")).collect();
    files.sort();
    files.dedup();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let answer = get(to, file);
        assert_eq!(answer.status, 200, "{file}");
        assert!(answer.header("cache-control").is_some_and(|keep| keep.contains("immutable")), "{file}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").is_some(), "{file}");
        bytes += answer.body.len();
        let known = ask(to, "GET", file, &[("If-None-Match", &tag)], b"");
        assert_eq!((known.status, known.body.len()), (304, 0), "{file}");
    }
    assert!(bytes < 150 << 10, "{bytes}");
    assert_eq!(ask(to, "GET", "/", &[("If-None-Match", "\"other\", W/\"else\"")], b"").status, 200);
    assert_eq!(ask(to, "HEAD", "/", &[], b"").status, 200);
    let old = get(to, "/web/0000000000000000/app.js");
    assert_eq!((old.status, old.header("cache-control")), (200, Some("no-cache")));
    get(to, "/web/x/none.js").problem(404, "route_not_found");
    ask(to, "POST", "/", &[], b"").problem(405, "method_not_allowed");
}

#[test]
fn it_is_served_without_a_token_where_all_else_asks_for_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let own = format!("{}:0", own_ip());
    let data = dir.path().join("data");
    let args = ["orchestrator", "--http-addr", &own, "--grpc-addr", &own, "--data-dir", data.to_str().expect("UTF-8")];
    let head = Role::start_with(&args, |command| {
        command.env("AUTH_TOKEN", "a-token-that-is-long-enough");
    });
    let page = get(head.http(), "/").text();
    let script = page.split('"').find(|part| part.ends_with("/app.js")).expect("its script");
    assert_eq!(get(head.http(), script).status, 200);
    get(head.http(), "/functions").problem(401, "unauthenticated");
}
