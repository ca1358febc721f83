//! Bad input over REST: each kind is refused with its own words, and changes nothing.

use crate::harness::Cluster;
use crate::wire::{ask, exchange, get, head, post, put};
use std::collections::BTreeSet;

const MIB: usize = 1 << 20;

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.client.functions().expect("a list").into_iter().map(|f| f.name).collect()
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_registers_nothing() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"nonsense",
        br#"{"name":"a","image":"b"} x"#,
        br#"{"name":"a","image":"b"}{}"#,
        br#"{"name":"a","image":"b",}"#,
        b"{\"name\":\"a\",\"image\":\"\xff\"}",
        b"\xff\xfe{\0}\0",
        deep.as_bytes(),
    ];
    for body in bodies {
        post(to, "/functions", body).problem(400, "invalid_json");
    }
    for other in ["[]", "null", "1", r#""name""#, r#"["a","hello-world"]"#] {
        let detail = post(to, "/functions", other).problem(400, "invalid_json");
        assert!(detail.contains("object"), "{other}: {detail}");
    }
    assert_eq!(names(&cluster), [""; 0]);
}

#[test]
fn the_field_that_is_wrong_is_named_wherever_it_stands() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let with = |more: &str| format!(r#"{{"name":"a","image":"b"{more}}}"#);
    for (more, field) in [
        (r#","imagee":"x""#, "imagee"),
        (r#","mode":"vm""#, "mode"),
        (r#","mode":7"#, "mode"),
        (r#","timeout_s":"soon""#, "timeout_s"),
        (r#","timeout_s":0"#, "timeout_s"),
        (r#","timeout_s":1e999"#, "timeout_s"),
        (r#","timeout_s":-1"#, "timeout_s"),
        (r#","memory_mb":-1"#, "memory_mb"),
        (r#","memory_mb":0"#, "memory_mb"),
        (r#","cpu":0"#, "cpu"),
        (r#","concurrency":1.5"#, "concurrency"),
        (r#","concurrency":0"#, "concurrency"),
        (r#","max":99999999999"#, "max"),
        (r#","min":3,"max":2"#, "min"),
        (r#","idle_s":-0.5"#, "idle_s"),
        (r#","command":"sh""#, "command"),
        (r#","command":[""]"#, "command"),
        (r#","command":["sh",1]"#, "command[1]"),
        (r#","env":[]"#, "env"),
        (r#","env":{"A":1}"#, "env.A"),
        (r#","env":{"A=B":"1"}"#, "env"),
        (r#","labels":"x""#, "labels"),
        (r#","constraints":7"#, "constraints"),
        (r#","constraints":{"tags":[]}"#, "constraints.tags"),
        (r#","constraints":{"tags":{"gpu":true}}"#, "constraints.tags.gpu"),
        (r#","constraints":{"tools":"sh"}"#, "constraints.tools"),
        (r#","constraints":{"cores":4}"#, "constraints.cores"),
        (r#","name":"twice""#, "name"),
    ] {
        let detail = post(to, "/functions", with(more)).problem(400, "invalid_field");
        assert!(detail.contains(field), "{more}: '{detail}' does not name {field}");
    }
    for (body, field) in [
        (r#"{"image":"b"}"#, "name"),
        (r#"{"name":"a"}"#, "image"),
        (r#"{"name":null,"image":"b"}"#, "name"),
        (r#"{"name":"a","image":["b"]}"#, "image"),
        ("{}", "name"),
    ] {
        let detail = post(to, "/functions", body).problem(400, "invalid_field");
        assert!(detail.contains(field), "{body}: '{detail}' does not name {field}");
    }
    assert_eq!(names(&cluster), [""; 0]);
}

#[test]
fn only_names_that_fit_a_dns_label_are_taken() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let (longest, too_long) = ("x".repeat(63), "x".repeat(64));
    for name in ["", "-", "-a", "a-", "A", "a_b", "a b", "a/b", "..", "a.b", "é", "日本", "a\\u0000", "a\\n", &too_long]
    {
        let body = format!(r#"{{"name":"{name}","image":"b"}}"#);
        let detail = post(to, "/functions", &body).problem(400, "invalid_field");
        assert!(detail.starts_with("name: "), "{name}: {detail}");
    }
    let megabyte = format!(r#"{{"name":"{}","image":"b"}}"#, "Z".repeat(MIB - 100));
    assert!(post(to, "/functions", megabyte).problem(400, "invalid_field").len() < 500);
    for name in ["%2e%2e", "a%2fb", "A", "%C3%A9", "a%00"] {
        put(to, &format!("/functions/{name}"), r#"{"image":"b"}"#).json()["status"].as_u64().expect("refused");
        put(to, &format!("/functions/{name}/bundle"), "x").problem(400, "invalid_field");
        get(to, &format!("/functions/{name}")).problem(404, "function_not_found");
        get(to, &format!("/invoke/{name}")).problem(404, "function_not_found");
    }
    assert_eq!(names(&cluster), [""; 0]);
    for name in ["a", "0", "a--b", &longest] {
        let reply = post(to, "/functions", format!(r#"{{"name":"{name}","image":"b"}}"#));
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.json()["invoke_path"], format!("/invoke/{name}"));
    }
}

#[test]
fn images_that_cannot_be_are_refused() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let (long, unknown) = ("x".repeat(513), format!("bundle:{}", "0".repeat(64)));
    let upper = format!("bundle:{}", "A".repeat(64));
    for image in ["", " ", "a b", "a\\tb", "\\u0007", "bundle:", "bundle:12", &long, &upper] {
        let body = format!(r#"{{"name":"a","image":"{image}"}}"#);
        let detail = post(to, "/functions", &body).problem(400, "invalid_field");
        assert!(detail.starts_with("image: "), "{image}: {detail}");
    }
    let body = format!(r#"{{"name":"a","image":"{unknown}"}}"#);
    assert!(post(to, "/functions", body).problem(400, "unknown_bundle").contains(&unknown[7..]));
    assert_eq!(names(&cluster), [""; 0]);
}

#[test]
fn a_refused_change_leaves_the_function_as_it_was() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    assert_eq!(post(to, "/functions", r#"{"name":"a","image":"one"}"#).status, 201);
    let before = get(to, "/functions/a").json();
    let detail = post(to, "/functions", r#"{"name":"a","image":"two"}"#).problem(409, "name_taken");
    assert!(detail.contains("PUT /functions/a"), "{detail}");
    put(to, "/functions/a", r#"{"name":"b","image":"two"}"#).problem(400, "invalid_field");
    put(to, "/functions/a", r#"{"image":"two","cpu":-1}"#).problem(400, "invalid_field");
    put(to, "/functions/a", "{").problem(400, "invalid_json");
    put(to, "/functions/a/bundle", "no zip").problem(400, "invalid_bundle");
    put(to, "/functions/b", r#"{"image":"two"}"#).problem(404, "function_not_found");
    ask(to, "DELETE", "/functions/b", &[], b"").problem(404, "function_not_found");
    assert_eq!(get(to, "/functions/a").json(), before);
    assert_eq!(names(&cluster), ["a"]);
    let changed = put(to, "/functions/a", r#"{"image":"two"}"#);
    assert_eq!((changed.status, changed.json()["revision"].as_u64()), (200, Some(2)), "{}", changed.text());
}

#[test]
fn a_control_body_may_have_one_mebibyte_and_the_limit_is_named() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let padded = |name: &str, bytes: usize| {
        let mut body = format!(r#"{{"name":"{name}","image":"b"}}"#).into_bytes();
        body.resize(bytes, b' ');
        body
    };
    assert_eq!(post(to, "/functions", padded("fits", MIB)).status, 201);
    assert!(post(to, "/functions", padded("over", MIB + 1)).problem(413, "too_large").contains("1048576"));
    // Without a length, the limit is found on the way.
    let mut chunked = (head("POST", "/functions", &[("Transfer-Encoding", "chunked"), ("Connection", "close")])
        + "\r\n")
        .into_bytes();
    for chunk in padded("chunked", MIB + 1).chunks(100_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let reply = crate::wire::Reply::parse(&exchange(to, &chunked)).expect("an answer");
    assert!(reply.problem(413, "too_large").contains("1048576"));
    assert_eq!(names(&cluster), ["fits"]);
}

#[test]
fn unknown_paths_are_404_and_other_methods_405_with_what_is_allowed() {
    let cluster = Cluster::start(1);
    let to = cluster.head.http();
    for path in [
        "/nothing",
        "/web",
        "/web/x",
        "/functions/",
        "//functions",
        "/functions/a/b",
        "/invoke",
        "/invoke/",
        "/FUNCTIONS",
    ] {
        assert!(get(to, path).problem(404, "route_not_found").contains(path), "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/functions", "GET, POST"),
        ("POST", "/functions/a", "GET, PUT, DELETE"),
        ("GET", "/functions/a/bundle", "PUT"),
        ("POST", "/events", "GET"),
        ("BREW", "/healthz", "GET"),
        ("GET", "/nodes/a/drain", "POST"),
    ] {
        let reply = ask(to, method, path, &[], b"");
        reply.problem(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    let worker = cluster.workers[0].http();
    get(worker, "/functions").problem(404, "route_not_found");
    post(worker, "/healthz", "").problem(405, "method_not_allowed");
}

#[test]
fn a_list_gives_each_function_once_however_it_is_paged() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    for target in ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=", "limit=1e2"] {
        let detail = get(to, &format!("/functions?{target}")).problem(400, "invalid_field");
        assert!(detail.starts_with("limit: ") && detail.contains("1000"), "{target}: {detail}");
    }
    std::thread::scope(|scope| {
        for part in 0..10 {
            scope.spawn(move || {
                for n in 0..25 {
                    let body = format!(r#"{{"name":"f{:03}","image":"b"}}"#, part * 25 + n);
                    assert_eq!(post(to, "/functions", body).status, 201);
                }
            });
        }
    });
    let expected: Vec<String> = (0..250).map(|n| format!("f{n:03}")).collect();
    for start in
        ["/functions", "/functions?limit=7", "/functions?limit=249", "/functions?limit=250", "/functions?limit=1000"]
    {
        let (mut seen, mut next) = (Vec::new(), Some(start.to_string()));
        while let Some(target) = next {
            let page = get(to, &target);
            assert_eq!(page.status, 200, "{target}");
            seen.extend(
                page.json().as_array().expect("an array").iter().map(|f| f["name"].as_str().unwrap().to_string()),
            );
            next = page.header("link").map(|link| {
                let (target, rel) = link.strip_prefix('<').and_then(|l| l.split_once('>')).expect("a link");
                assert_eq!(rel, "; rel=\"next\"");
                target.to_string()
            });
        }
        assert_eq!(seen, expected, "{start}");
    }
    assert_eq!(get(to, "/functions").json().as_array().map(Vec::len), Some(100));
    assert_eq!(get(to, "/functions?after=f248").json()[0]["name"], "f249");
    assert_eq!(get(to, "/functions?after=zzz").text().trim(), "[]");
    assert_eq!(cluster.client.functions().expect("all").len(), 250);
    let distinct: BTreeSet<String> = names(&cluster).into_iter().collect();
    assert_eq!(distinct.len(), 250);
}

#[test]
fn percent_encoding_that_is_none_is_refused() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    for target in ["/functions/%", "/functions/%zz", "/functions/%ff", "/functions/a%", "/invoke/%zz", "/invoke/%f"] {
        get(to, target).problem(404, "route_not_found");
    }
    for target in ["/functions?limit=%", "/functions?after=%ff", "/functions?%=1", "/events?%zz", "/nodes?a=%e2%82"] {
        get(to, target).problem(400, "invalid_request");
    }
    assert_eq!(get(to, "/functions?after=%41&&limit=9&").status, 200);
    for (query, name) in [("after=%41&&=&x", ""), ("x", "x"), ("l%69mit=9&l%69mt=9", "limt"), ("%00=1", "\0")] {
        let detail = get(to, &format!("/functions?{query}")).problem(400, "invalid_field");
        assert!(detail.starts_with(&format!("{name}: is no parameter of GET /functions")), "{detail}");
    }
    let detail = ask(to, "POST", "/functions?dry_run=1", &[], b"{}").problem(400, "invalid_field");
    assert!(detail.ends_with("takes none"), "{detail}");
    assert_eq!(get(to, "/healthz?_=1").status, 200, "whoever checks health may have words of its own");
}

#[test]
fn json_is_json_whatever_its_content_type_says() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    for (n, kind) in
        ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"].iter().enumerate()
    {
        let body = format!(r#"{{"name":"f{n}","image":"b"}}"#);
        let headers: &[(&str, &str)] = if kind.is_empty() { &[] } else { &[("Content-Type", kind)] };
        assert_eq!(ask(to, "POST", "/functions", headers, body.as_bytes()).status, 201, "{kind}");
    }
    assert_eq!(names(&cluster).len(), 4);
}

#[test]
fn head_answers_like_get_without_the_body() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    for (target, status) in [("/functions", 200), ("/healthz", 200), ("/version", 200), ("/functions/none", 404)] {
        let (get, head) = (get(to, target), ask(to, "HEAD", target, &[], b""));
        assert_eq!((get.status, head.status), (status, status), "{target}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{target}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{target}");
        assert_eq!(head.text(), "", "{target}");
    }
}

#[test]
fn pages_of_other_sites_may_neither_see_nor_change_anything() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let preflight = |origin| {
        let asked =
            [("Origin", origin), ("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "x-a")];
        ask(to, "OPTIONS", "/functions/a", &asked, b"")
    };
    for origin in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080", "https://app.localhost"] {
        let reply = preflight(origin);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some(origin)), "{}", reply.head);
        assert!(reply.header("access-control-allow-methods").is_some_and(|m| m.contains("PUT")), "{}", reply.head);
        assert_eq!(reply.header("access-control-allow-headers"), Some("x-a"));
    }
    let body = br#"{"name":"a","image":"b"}"#;
    for origin in ["https://evil.example", "http://localhost.evil.example", "null", "http://127.0.0.1.evil.example:80"]
    {
        preflight(origin).problem(403, "origin_not_allowed");
        let reply = ask(to, "POST", "/functions", &[("Origin", origin), ("Content-Type", "text/plain")], body);
        reply.problem(403, "origin_not_allowed");
        assert_eq!(reply.header("access-control-allow-origin"), None);
        ask(to, "POST", "/invoke/a", &[("Origin", origin)], b"").problem(403, "origin_not_allowed");
    }
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", ""] {
        ask(to, "POST", "/functions", &[("Host", host)], body).problem(403, "host_not_allowed");
        ask(to, "GET", "/functions", &[("Host", host)], b"").problem(403, "host_not_allowed");
    }
    // Who is let in must not depend on which of two hosts is read.
    let two = ask(to, "POST", "/functions", &[("Host", "localhost"), ("Host", "evil.example")], body);
    assert!(matches!(two.status, 400 | 403), "{}", two.head);
    assert_eq!(names(&cluster), [""; 0]);
    let reply = ask(to, "POST", "/functions", &[("Origin", "http://localhost:3000")], body);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (201, Some("http://localhost:3000")));
}
