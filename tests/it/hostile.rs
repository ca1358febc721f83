//! Hostile clients on both ports: whatever they send, others are served, and memory and threads stay bounded.

mod crowd;
mod frames;
mod lies;
mod links;
mod overlord;
mod streams;

use crate::dice::Dice;
use crate::harness::{Cluster, PATIENCE, wait_for};
use crate::process::{is_alive, peak_mib, threads};
use crate::wire::{Reply, connect, exchange, get, head};
use cares::types::FunctionSpec;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Of a build for debugging.
const MOST_MIB: usize = 200;
const MOST_THREADS: usize = 64;

/// Others are served, at once; and the cost stayed bounded.
fn unharmed(cluster: &Cluster, after: &str) {
    let asked = Instant::now();
    assert_eq!(get(cluster.head.http(), "/healthz").status, 200, "{after}");
    assert_eq!(get(cluster.head.http(), "/functions").status, 200, "{after}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{after}: {:?}", asked.elapsed());
    let pid = cluster.head.pid();
    assert!(is_alive(pid), "{after}");
    assert!(threads(pid) < MOST_THREADS, "{after}: {} threads", threads(pid));
    assert!(peak_mib(pid) < MOST_MIB, "{after}: {} MiB", peak_mib(pid));
    assert!(!cluster.head.log().contains("panicked"), "{after}");
}

/// A worker can still join, and its function is called.
fn joinable(mut cluster: Cluster) {
    cluster.add_worker("late", &[]);
    cluster.deploy_script("f", "cat");
    assert_eq!(cluster.call("f", "hello"), (200, "hello".into()));
    unharmed(&cluster, "all of it");
}

fn grpc(cluster: &Cluster) -> SocketAddr {
    cluster.head.ready("grpc").parse().expect("an address")
}

/// Sends what it can, says it will send no more, and reads until the other end closes, which it must.
fn send(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(to);
    let _ = stream.write_all(bytes); // it may be refused half-way
    let _ = stream.shutdown(std::net::Shutdown::Write);
    read_to_close(&mut stream, PATIENCE)
}

fn read_to_close(stream: &mut TcpStream, limit: Duration) -> Vec<u8> {
    stream.set_read_timeout(Some(limit)).expect("a time limit");
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let open = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!open, "the connection was left open; it answered: {}", String::from_utf8_lossy(&answer));
    }
    answer
}

fn answers(bytes: &[u8]) -> usize {
    bytes.windows(9).filter(|w| w == b"HTTP/1.1 ").count()
}

/// Bytes that look random and are the same each time.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..bytes).map(|_| dice.next() as u8).collect()
}

#[test]
fn a_request_that_does_not_come_in_full_is_given_up_and_others_are_served() {
    let cluster = Cluster::start(0);
    let begun = Instant::now();
    let partial: [&[u8]; 4] = [b"GET", b"GET /healthz HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b""];
    let mut http: Vec<TcpStream> = partial.iter().map(|_| connect(cluster.head.http())).collect();
    let mut rpc: Vec<TcpStream> = (0..4).map(|_| connect(grpc(&cluster))).collect();
    for (stream, bytes) in http.iter_mut().zip(partial) {
        stream.write_all(bytes).expect("sent");
    }
    for (stream, bytes) in rpc.iter_mut().zip([&b""[..], b"C", b"CARESLINK1abc", b"PRI * HTTP/2.0\r\n"]) {
        stream.write_all(bytes).expect("sent");
    }
    let mut body = connect(cluster.head.http());
    body.write_all((head("POST", "/functions", &[("Content-Length", "10")]) + "\r\n{").as_bytes()).expect("sent");
    unharmed(&cluster, "slow heads");
    for stream in rpc.iter_mut().chain(&mut http) {
        read_to_close(stream, Duration::from_secs(60));
    }
    let answer = read_to_close(&mut body, Duration::from_secs(60));
    Reply::parse(&answer).expect("an answer").problem(408, "body_timeout");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    joinable(cluster);
}

#[test]
fn lengths_and_chunks_that_cannot_be_are_refused() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let post =
        |headers: &str, body: &str| format!("POST /functions HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}");
    let json = r#"{"name":"smuggled","image":"b"}"#;
    let inner = format!("POST /functions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{json}", json.len());
    let chunk = "Transfer-Encoding: chunked\r\n";
    for bytes in [
        post("Content-Length: 99999999999999999999999\r\n", "x"),
        post("Content-Length: 9223372036854775807\r\n", "x"),
        post("Content-Length: 18446744073709551615\r\n", "x"),
        post("Content-Length: -1\r\n", "x"),
        post("Content-Length: +5\r\n", "hello"),
        post("Content-Length: 0x10\r\n", "hello"),
        post("Content-Length: 5, 6\r\n", "hello"),
        post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        post("Content-Length: \r\n", "hello"),
        post(&format!("Content-Length: 4\r\n{chunk}"), &format!("0\r\n\r\n{inner}")),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post(chunk, "zz\r\n"),
        post(chunk, "-5\r\nhello\r\n0\r\n\r\n"),
        post(chunk, "fffffffffffffffffff\r\nhello"),
        post(chunk, "ffffffffffffffff\r\nhello"),
        post(chunk, "5\r\nhelloworld\r\n0\r\n\r\n"),
        post(chunk, &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300_000))),
        post(chunk, &format!("0\r\n{}\r\n", "X: y\r\n".repeat(100_000))),
        "POST /functions HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
    ] {
        let answer = send(to, bytes.as_bytes());
        let shown = format!("{:.200}\n=> {:.500}", bytes, String::from_utf8_lossy(&answer));
        if let Some(reply) = Reply::parse(&answer) {
            assert!((400..500).contains(&reply.status), "{shown}");
        }
        assert!(answers(&answer) <= 1, "{shown}");
    }
    assert_eq!(cluster.client.functions().expect("a list"), []);
    unharmed(&cluster, "framing");
}

#[test]
fn a_body_is_never_taken_for_a_request() {
    let cluster = Cluster::start(0);
    let json = r#"{"name":"smuggled","image":"b"}"#;
    let inner = format!("POST /functions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{json}", json.len());
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for headers in
        ["Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"]
    {
        // Whoever goes by the length takes all of this for one body; whoever goes by the chunks sees two requests.
        let headers = headers.replace('6', &(inner.len() + 5).to_string());
        let outer = format!("POST /functions HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n0\r\n\r\n{inner}{last}");
        let answer = exchange(cluster.head.http(), outer.as_bytes());
        assert!(answers(&answer) <= 1, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(cluster.client.functions().expect("a list"), []);
}

#[test]
fn heads_beyond_the_limits_are_refused_with_the_limit() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let ask = |headers: &str| {
        let asked = format!("GET /functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        Reply::parse(&exchange(to, asked.as_bytes()))
    };
    let large = |bytes: usize| format!("X-Large: {}\r\n", "x".repeat(bytes));
    let many = |n: usize| (0..n).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    assert_eq!(ask(&large(60_000)).expect("an answer").status, 200);
    assert_eq!(ask(&many(90)).expect("an answer").status, 200);
    assert!(ask(&large(70_000)).expect("an answer").problem(431, "headers_too_large").contains("65536"));
    assert!(ask(&many(150)).expect("an answer").problem(431, "too_many_headers").contains("100"));
    for headers in [large(300_000), many(300), many(100_000), large(50 << 20)] {
        if let Some(reply) = ask(&headers) {
            assert_eq!(reply.status, 431, "{}", reply.head);
        }
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(300_000));
    if let Some(reply) = Reply::parse(&exchange(to, long.as_bytes())) {
        assert!(matches!(reply.status, 414 | 431), "{}", reply.head);
    }
    unharmed(&cluster, "large heads");
}

#[test]
fn what_is_no_request_of_ours_is_refused() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let get = |line: &str, headers: &str| {
        format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").into_bytes()
    };
    for bytes in [
        get("GET /functions HTTP/1.1", "X: a\0b\r\n"),
        get("GET /functions HTTP/1.1", "X\0: a\r\n"),
        get("GET /functions HTTP/1.1", "X: a\r\n folded\r\n"),
        get("GET /functions HTTP/1.1", "no colon\r\n"),
        get("GET /functions HTTP/1.1", ": no name\r\n"),
        get("GET /functions HTTP/1.1", "Sp ace: a\r\n"),
        get("GET /fun\0ctions HTTP/1.1", ""),
        get("GET /fun ctions HTTP/1.1", ""),
        get("GET http://evil.example/functions HTTP/1.1", ""),
        get("GET http://localhost/functions HTTP/1.1", ""),
        get("CONNECT evil.example:443 HTTP/1.1", ""),
        get("CONNECT localhost HTTP/1.1", ""),
        get("GET * HTTP/1.1", ""),
        get("GET functions HTTP/1.1", ""),
        get("GET /functions HTTP/3.0", ""),
        get("GET /functions", ""),
        get("\u{e9}\u{e9} /functions HTTP/1.1", ""),
    ] {
        let answer = exchange(to, &bytes);
        let shown = format!("{}\n=> {}", String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&answer));
        if let Some(reply) = Reply::parse(&answer) {
            assert!((400..500).contains(&reply.status), "{shown}");
        }
    }
    // Lines that end without a carriage return are read as the same request by everybody, or not at all.
    let bare = exchange(to, b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n");
    assert!(answers(&bare) <= 1);
    let old = exchange(to, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let old = String::from_utf8_lossy(&old);
    assert!(old.starts_with("HTTP/1.0 200") && old.ends_with("}\n") && !old.contains("chunked"), "{old}");
    unharmed(&cluster, "odd requests");
}

#[test]
fn other_protocols_on_either_port_harm_nothing() {
    let cluster = Cluster::start(0);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let frame = |kind: u8, flags: u8, stream: u8, body: &[u8]| {
        let length = (body.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], body].concat()
    };
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &noise(7, 194)].concat();
    let opened = [&preface[..], &settings].concat();
    let mut shapes: Vec<Vec<u8>> = vec![
        preface.to_vec(),
        opened.clone(),
        hello,
        b"CARESLINK1".to_vec(),
        [&b"CARESLINK1"[..], &[b'0'; 32]].concat(),
        [&b"CARESLINK1"[..], &[0xff; 32], preface].concat(),
        [&b"CARESLINK1"[..], &noise(3, 10_000)].concat(),
        [&b"CARESLINK2"[..], &[b'0'; 32]].concat(),
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        [&opened[..], &frame(1, 4, 1, &noise(11, 500))].concat(),
        [&opened[..], &frame(0, 0, 1, b"data for nobody")].concat(),
        [&opened[..], &frame(4, 0, 0, &[0; 7])].concat(),
        [&opened[..], &frame(8, 0, 0, &[0; 4])].concat(),
        [&opened[..], &[0xff; 9]].concat(),
        // A header block that never ends.
        [&opened[..], &frame(1, 0, 1, &[0x82]), &frame(9, 0, 1, &[0x82; 16_000]).repeat(200)].concat(),
        // Pings and settings without end, whose answers nobody reads.
        [&opened[..], &frame(6, 0, 0, &[0; 8]).repeat(50_000)].concat(),
        [&opened[..], &settings.repeat(50_000)].concat(),
    ];
    shapes.extend((1..=10).map(|seed| noise(seed, 10_000)));
    for to in [cluster.head.http(), grpc(&cluster)] {
        for bytes in &shapes {
            send(to, bytes);
        }
        unharmed(&cluster, "other protocols");
    }
    joinable(cluster);
}

#[test]
fn idle_connections_and_those_torn_down_cost_little() {
    let cluster = Cluster::start(0);
    for to in [cluster.head.http(), grpc(&cluster)] {
        let idle: Vec<TcpStream> = (0..300).map(|_| connect(to)).collect();
        unharmed(&cluster, "300 idle connections");
        drop(idle);
        for n in 0..2_000 {
            let mut stream = connect(to);
            if n % 2 == 0 {
                let _ = stream.write_all(b"GET /functions HTTP/1.1\r\nHost: localhost\r\n\r\n");
            }
            if n % 10 == 0 {
                let _ = stream.peek(&mut [0]); // what is unread when it is closed resets the connection
            }
        }
        // What they asked is still answered, to nobody.
        wait_for("it serves others again", || get(cluster.head.http(), "/healthz").status == 200);
        unharmed(&cluster, "2,000 connections torn down");
    }
    let files = || std::fs::read_dir(format!("/proc/{}/fd", cluster.head.pid())).expect("its files").count();
    wait_for("their files are closed", || files() < 100);
    joinable(cluster);
}

#[test]
fn requests_without_end_whose_answers_nobody_reads_cost_bounded_memory() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(to);
        stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time limit");
        let asked = (head("GET", "/functions", &[]) + "\r\n").repeat(1_000);
        let mut sent = 0;
        while sent < 32 << 20 {
            match stream.write_all(asked.as_bytes()) {
                Ok(()) => sent += asked.len(),
                Err(_) => break, // it takes no more until its answers are taken
            }
        }
        assert!(sent < 32 << 20, "it read on, though nobody takes its answers");
        streams.push(stream);
    }
    unharmed(&cluster, "pipelines");
}

#[test]
fn large_answers_that_nobody_reads_hold_up_nobody_and_are_taken_away() {
    // Long enough for a machine that is busy with other tests to send the first of each.
    let cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, &["--limit", "body-s=5"]);
    let to = cluster.head.http();
    for n in 0..280 {
        let env = [("A".to_string(), "x".repeat(30 << 10))].into();
        let spec = FunctionSpec { name: format!("f{n}"), image: "box".into(), env: Some(env), ..Default::default() };
        cluster.client.register(&spec).expect("registered");
    }
    let ask = || {
        let mut stream = connect(to);
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4 << 10).expect("an option");
        stream.write_all((head("GET", "/functions?limit=1000", &[]) + "\r\n").as_bytes()).expect("sent");
        stream
    };
    let mut silent: Vec<TcpStream> = (0..20).map(|_| ask()).collect();
    // Some wait to be read, 8 MB each; for the others there is no room. A small one is answered.
    for stream in &mut silent {
        let mut begin = [0; 15];
        stream.read_exact(&mut begin).expect("an answer");
        assert!(begin.starts_with(b"HTTP/1.1 200") || begin.starts_with(b"HTTP/1.1 503"));
    }
    let asked = Instant::now();
    assert_eq!(get(to, "/nodes").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(peak_mib(cluster.head.pid()) < MOST_MIB, "{} MiB", peak_mib(cluster.head.pid()));
    wait_for("they are taken away, and there is room again", || get(to, "/functions?limit=1000").status == 200);
    drop(silent);
}

#[test]
fn an_endless_body_to_a_control_path_is_refused_early() {
    let cluster = Cluster::start(0);
    let mut stream = connect(cluster.head.http());
    stream
        .write_all((head("POST", "/functions", &[("Transfer-Encoding", "chunked")]) + "\r\n").as_bytes())
        .expect("sent");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + (1 << 20), b' ');
    chunk.extend(b"\r\n");
    let taken = (0..100).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(taken < 50, "{taken} MiB were taken");
    let answer = read_to_close(&mut stream, PATIENCE);
    assert!(Reply::parse(&answer).expect("an answer").problem(413, "too_large").contains("1048576"));
    unharmed(&cluster, "an endless body");
}

/// Many clients read only once they have sent everything, and not at all when that fails.
#[test]
fn who_is_refused_while_sending_a_large_body_gets_the_answer() {
    let cluster = Cluster::start(0);
    let body = vec![b'x'; 10 << 20];
    let large = |target: &str, headers: &[(&str, &str)]| {
        let length = body.len().to_string();
        let all = [headers, &[("Content-Length", &length)]].concat();
        let bytes = [(head("POST", target, &all) + "\r\n").as_bytes(), &body].concat();
        let mut stream = connect(cluster.head.http());
        stream.write_all(&bytes).unwrap_or_else(|why| panic!("{target}: could not be sent: {why}"));
        let answer = read_to_close(&mut stream, PATIENCE);
        Reply::parse(&answer).unwrap_or_else(|| panic!("{target}: no answer to who sent a large body"))
    };
    for _ in 0..10 {
        large("/functions", &[]).problem(413, "too_large");
        large("/nowhere", &[]).problem(404, "route_not_found");
        large("/invoke/none", &[]).problem(404, "function_not_found");
        large("/functions", &[("Origin", "http://evil.example")]).problem(403, "origin_not_allowed");
    }
}

/// The same is no way to hold a connection for long.
#[test]
fn who_goes_on_sending_after_a_refusal_is_cut_off() {
    let cluster = Cluster::start(0);
    let mut stream = connect(cluster.head.http());
    let length = (1_u64 << 40).to_string();
    stream.write_all((head("POST", "/nowhere", &[("Content-Length", &length)]) + "\r\n").as_bytes()).expect("sent");
    let begun = Instant::now();
    let piece = [b'x'; 1_024];
    while stream.write_all(&piece).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it may send for ever");
        std::thread::sleep(Duration::from_millis(1)); // slowly: time must end it, and not the bytes
    }
    unharmed(&cluster, "who went on sending");
}
