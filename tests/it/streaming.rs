//! Bodies that stream, both ways, in bounded memory; and what of a message reaches the other side.

use crate::fixture::manifest;
use crate::harness::{Cluster, Role, wait_for};
use crate::process::{is_alive, peak_mib};
use crate::wire::ReadSome;
use crate::wire::{Reply, ask, connect, exchange, get, head};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

const LARGE: usize = 200 << 20;
const CHUNK: usize = 64 << 10;
/// MiB, of a build for debugging.
const BOUND: usize = 150;

/// Byte `n` of what is sent: a pattern without a period that a buffer's size could hide.
pub fn pattern(at: usize, into: &mut [u8]) {
    for (n, byte) in into.iter_mut().enumerate() {
        let at = (at + n) as u32;
        *byte = (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    }
}

/// Sends a large body, with or without its length, and compares what comes back as it comes.
fn there_and_back(to: SocketAddr, target: &str, chunked: bool) {
    let stream = connect(to);
    let mut sender = stream.try_clone().expect("a second handle");
    let length = LARGE.to_string();
    let sized = if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", length.as_str()) };
    let asked = head("POST", target, &[sized, ("Connection", "close")]) + "\r\n";
    thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(asked.as_bytes()).expect("sent");
            let mut chunk = vec![0; CHUNK];
            for at in (0..LARGE).step_by(CHUNK) {
                pattern(at, &mut chunk);
                if chunked {
                    sender.write_all(format!("{CHUNK:x}\r\n").as_bytes()).expect("sent");
                }
                sender.write_all(&chunk).expect("sent");
                if chunked {
                    sender.write_all(b"\r\n").expect("sent");
                }
            }
            if chunked {
                sender.write_all(b"0\r\n\r\n").expect("sent");
            }
        });
        let mut body = Unchunked::begin(stream, 200);
        let (mut got, mut expected) = (vec![0; CHUNK], vec![0; CHUNK]);
        for at in (0..LARGE).step_by(CHUNK) {
            body.read_exact(&mut got).expect("all of it");
            pattern(at, &mut expected);
            assert!(got == expected, "other bytes came back near {at}");
        }
        assert_eq!(body.read_some(&mut got).expect("an end"), 0, "more came back than was sent");
    });
}

/// An answer's body as it comes: by its length, or in chunks.
struct Unchunked {
    from: std::io::BufReader<TcpStream>,
    /// Left of this chunk, or of all when there are none.
    left: usize,
    chunked: bool,
    head: String,
}

impl Unchunked {
    fn begin(stream: TcpStream, status: u16) -> Unchunked {
        let mut body = Unchunked { from: std::io::BufReader::new(stream), left: 0, chunked: true, head: String::new() };
        while !body.head.ends_with("\r\n\r\n") {
            let line = body.line();
            assert!(!line.is_empty(), "it broke off in its head: {}", body.head);
            body.head.push_str(&line);
        }
        let reply = Reply::parse(body.head.as_bytes()).expect("a head");
        assert_eq!(reply.status, status, "{}", body.head);
        if let Some(length) = reply.header("content-length") {
            (body.left, body.chunked) = (length.parse().expect("a number"), false);
        }
        body
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.from, &mut line).expect("a line");
        line
    }
}

impl Read for Unchunked {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && self.chunked {
            let line = self.line();
            self.left = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            if self.left == 0 {
                return Ok(0);
            }
        }
        let want = into.len().min(self.left);
        let n = self.from.read(&mut into[..want])?;
        self.left -= n;
        if self.left == 0 && self.chunked {
            self.line();
        }
        Ok(n)
    }
}

pub fn bounded(cluster: &Cluster) {
    let peak = |role: &Role| peak_mib(role.pid());
    let peaks = (peak(&cluster.head), cluster.workers.iter().map(peak).max());
    assert!(peaks.0 < BOUND && peaks.1 < Some(BOUND), "MiB of orchestrator and worker: {peaks:?}");
}

#[test]
fn a_large_body_passes_through_an_http_function_in_bounded_memory() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    there_and_back(cluster.head.http(), "/invoke/echo", false);
    bounded(&cluster);
}

#[test]
fn a_large_body_without_a_length_passes_through_a_job_in_bounded_memory() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("cat", "exec cat");
    there_and_back(cluster.head.http(), "/invoke/cat", true);
    bounded(&cluster);
}

#[test]
fn events_arrive_one_by_one_while_the_answer_is_open() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let mut stream = connect(cluster.head.http());
    stream.write_all((head("GET", "/invoke/f/events", &[]) + "\r\n").as_bytes()).expect("sent");
    let mut body = Unchunked::begin(stream, 200);
    assert!(body.head.to_lowercase().contains("content-type: text/event-stream"), "{}", body.head);
    let mut first = [0; 13];
    body.read_exact(&mut first).expect("the first event");
    assert_eq!(&first, b"data: first\n\n");
    for _ in 0..3 {
        let mut more = [0; 12];
        body.read_exact(&mut more).expect("another event");
        assert_eq!(&more, b"data: more\n\n");
    }
    assert_eq!(cluster.client.function("f").expect("f").in_flight, 1);
}

#[test]
fn each_byte_comes_back_before_the_next_is_sent() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let mut stream = connect(cluster.head.http());
    let asked = head("POST", "/invoke/echo", &[("Transfer-Encoding", "chunked")]) + "\r\n";
    stream.write_all(asked.as_bytes()).expect("sent");
    stream.write_all(b"1\r\na\r\n").expect("sent");
    let mut body = Unchunked::begin(stream.try_clone().expect("a second handle"), 200);
    for byte in b'a'..=b'z' {
        if byte > b'a' {
            stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).expect("sent");
        }
        let mut back = [0];
        body.read_exact(&mut back).expect("it comes back");
        assert_eq!(back[0], byte);
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    assert_eq!(body.read_some(&mut [0]).expect("an end"), 0);
}

#[test]
fn callers_that_do_not_read_hold_up_nobody_else() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let begin = |_| {
        let mut stream = connect(to);
        stream.write_all((head("GET", "/invoke/f/floods", &[]) + "\r\n").as_bytes()).expect("sent");
        stream.read_exact(&mut [0; 100]).expect("its beginning");
        stream
    };
    let slow: Vec<TcpStream> = (0..60).map(begin).collect();
    for _ in 0..20 {
        let reply = get(to, "/invoke/f/head");
        assert_eq!((reply.status, reply.whole), (200, true));
    }
    bounded(&cluster);
    drop(slow);
    wait_for("all have ended", || cluster.client.function("f").is_ok_and(|f| f.in_flight == 0));
}

#[test]
fn a_caller_that_leaves_ends_the_functions_side() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let open = || get(to, "/invoke/f/open").text().parse::<usize>().expect("a number");
    for kind in ["events", "floods"] {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut stream = connect(to);
            stream.write_all((head("GET", &format!("/invoke/f/{kind}"), &[]) + "\r\n").as_bytes()).expect("sent");
            stream.read_exact(&mut [0; 20]).expect("its beginning");
            streams.push(stream);
        }
        assert_eq!(open(), 5);
        drop(streams);
        wait_for("the function has noticed", || open() == 0);
        wait_for("nothing is under way", || cluster.client.function("f").is_ok_and(|f| f.in_flight == 0));
    }
    // Before the answer, too.
    let mut stream = connect(to);
    stream.write_all((head("GET", "/invoke/f/hangs", &[]) + "\r\n").as_bytes()).expect("sent");
    wait_for("it is under way", || cluster.client.function("f").is_ok_and(|f| f.in_flight == 1));
    drop(stream);
    wait_for("it is not any more", || cluster.client.function("f").is_ok_and(|f| f.in_flight == 0));
}

#[test]
fn an_answer_without_a_body_passes_through() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let reply = ask(to, "HEAD", "/invoke/f/head", &[], b"");
    assert_eq!((reply.status, reply.header("content-length"), reply.text().as_str()), (200, Some("1234"), ""));
    let reply = get(to, "/invoke/f/204");
    assert_eq!((reply.status, reply.header("x-kept"), reply.text().as_str()), (204, Some("yes"), ""));
    assert_eq!((reply.header("content-length"), reply.header("transfer-encoding")), (None, None), "{}", reply.head);
    let reply = get(to, "/invoke/f/304");
    assert_eq!((reply.status, reply.header("etag"), reply.text().as_str()), (304, Some("\"v1\""), ""));
    assert_eq!(reply.header("transfer-encoding"), None, "{}", reply.head);
}

#[test]
fn a_caller_that_asks_first_is_told_to_go_on() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    cluster.deploy_script("cat", "exec cat");
    for (name, body) in [("echo", vec![b'e'; 10]), ("echo", vec![b'e'; 100_000]), ("cat", vec![b'c'; 100_000])] {
        let mut stream = connect(cluster.head.http());
        let length = body.len().to_string();
        let headers = [("Content-Length", length.as_str()), ("Expect", "100-continue"), ("Connection", "close")];
        stream.write_all((head("POST", &format!("/invoke/{name}"), &headers) + "\r\n").as_bytes()).expect("sent");
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).expect("an interim answer");
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&body).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let reply = Reply::parse(&answer).expect("an answer");
        assert!(reply.status == 200 && reply.whole && reply.body == body, "{}", reply.head);
    }
}

#[test]
fn bytes_of_every_value_pass_through_unchanged() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    cluster.deploy_script("cat", "exec cat");
    let body: Vec<u8> = (0..=255u8).cycle().take(3_000).collect();
    for name in ["echo", "cat"] {
        let reply = ask(cluster.head.http(), "POST", &format!("/invoke/{name}"), &[], &body);
        assert!(reply.status == 200 && reply.body == body, "{name}: {}", reply.head);
    }
    let reply = ask(cluster.head.http(), "POST", "/invoke/echo", &[("Content-Type", "image/png")], &body);
    assert_eq!(reply.header("content-type"), Some("image/png"));
}

#[test]
fn the_whole_request_below_the_name_reaches_the_function_and_nothing_of_the_connection() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("Host", "localhost:8080"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("traceparent", trace),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("Authorization", "Bearer mine"),
        ("Connection", "x-private, keep-alive"),
        ("X-Private", "hop"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "websocket"),
        ("cares-instance", "i1"),
        ("Cares-Outcome", "failed"),
        ("X-Call-Id", "forged"),
    ];
    for method in ["GET", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let reply = ask(to, method, "/function/f/head/a%20b/%2e?x=1&y=%2F&x=2", &headers, b"");
        let seen = reply.text();
        assert!(seen.starts_with(&format!("{method} /head/a%20b/%2e?x=1&y=%2F&x=2 HTTP/1.1\r\n")), "{seen}");
        let seen =
            Reply::parse(format!("HTTP/1.1 200 OK\r\n{}", seen.split_once("\r\n").unwrap().1).as_bytes()).unwrap();
        let id = reply.header("x-call-id").expect("a call id");
        for (name, value) in [
            ("host", Some("localhost:8080")),
            ("x-forwarded-host", Some("localhost:8080")),
            ("x-forwarded-for", Some("192.0.2.1, 127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-call-id", Some(id)),
            ("traceparent", Some(trace)),
            ("authorization", Some("Bearer mine")),
            ("x-private", None),
            ("te", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("upgrade", None),
        ] {
            assert_eq!(seen.header(name), value, "{name}: {}", seen.head);
        }
        assert_eq!(seen.head.to_lowercase().matches("x-twice").count(), 2, "{}", seen.head);
        assert!(!seen.head.to_lowercase().contains("cares-"), "{}", seen.head);
    }
    // A job is told the same in its environment.
    cluster.deploy_script("env", "echo \"$CARES_METHOD $CARES_PATH $CARES_QUERY $CARES_CALL_ID\"");
    let reply = ask(to, "PUT", "/invoke/env/a/b?c=d", &[], b"");
    assert_eq!(reply.text(), format!("PUT /a/b c=d {}\n", reply.header("x-call-id").expect("a call id")));
}

#[test]
fn a_functions_status_and_headers_reach_its_caller_and_ours_are_its_own() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let asked = head("GET", "/invoke/f/headers", &[("Connection", "close")]) + "\r\n";
    let reply = Reply::parse(&exchange(cluster.head.http(), asked.as_bytes())).expect("an answer");
    assert_eq!((reply.status, reply.text().as_str()), (418, "short and stout"), "{}", reply.head);
    for (name, value) in [
        ("x-own", Some("kept")),
        ("content-type", Some("application/x-own")),
        ("x-private", None),
        ("keep-alive", None),
        ("cares-outcome", None),
    ] {
        assert_eq!(reply.header(name), value, "{name}: {}", reply.head);
    }
    let lower = reply.head.to_lowercase();
    assert!(lower.contains("set-cookie: a=1") && lower.contains("set-cookie: b=2"), "{lower}");
    assert_eq!(lower.matches("x-call-id").count(), 1, "{lower}");
    assert_ne!(reply.header("x-call-id"), Some("mine"));
}

#[test]
fn chunks_pass_through_whatever_stands_beside_them() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let reply = get(to, "/invoke/f/two-lengths");
    assert_eq!((reply.status, reply.text().as_str(), reply.whole), (200, "0123456789", true), "{}", reply.head);
    assert_eq!(reply.header("content-length"), None, "{}", reply.head);
    // Fields behind a body are dropped: few callers know them.
    let reply = get(to, "/invoke/f/trailers");
    assert_eq!((reply.status, reply.text().as_str(), reply.whole), (200, "abc", true), "{}", reply.head);
    assert_eq!(reply.header("trailer"), None, "{}", reply.head);
}

#[test]
fn a_job_whose_caller_leaves_is_killed() {
    let cluster = Cluster::start(1);
    let pid = cluster.dir.path().join("pid");
    let shell = format!("#!/bin/sh\necho $$ > '{}'; exec sleep 1000\n", pid.display());
    let manifest = r#"{"mode":"job","command":["./run.sh"],"isolation":{"files":"open"}}"#;
    cluster.deploy("stays", manifest, &[("run.sh", &shell)]);
    let mut stream = connect(cluster.head.http());
    stream.write_all((head("GET", "/invoke/stays", &[]) + "\r\n").as_bytes()).expect("sent");
    let read = || std::fs::read_to_string(&pid).ok()?.trim().parse().ok();
    let pid = crate::harness::wait_for_some("it runs", read);
    drop(stream);
    wait_for("it is gone", || !is_alive(pid));
    wait_for("nothing is under way", || cluster.client.function("stays").is_ok_and(|f| f.in_flight == 0));
}

#[test]
fn calls_given_up_by_the_thousand_cost_the_others_nothing() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let mut kept = connect(to);
    kept.write_all((head("GET", "/invoke/f/events", &[]) + "\r\n").as_bytes()).expect("sent");
    kept.read_exact(&mut [0; 20]).expect("its beginning");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..150 {
                    let mut stream = connect(to);
                    stream.write_all((head("GET", "/invoke/f/floods", &[]) + "\r\n").as_bytes()).expect("sent");
                    stream.read_exact(&mut [0; 100]).expect("its beginning");
                }
            });
        }
    });
    for _ in 0..20 {
        kept.read_exact(&mut [0; 17]).expect("its stream goes on");
    }
    drop(kept);
    wait_for("all have ended", || cluster.client.function("f").is_ok_and(|f| f.in_flight == 0));
    bounded(&cluster);
}
