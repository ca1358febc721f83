//! Connections that go on in another protocol: WebSocket and others, from the caller to the function and back.

use crate::fixture::{manifest, manifest_with};
use crate::harness::{Cluster, wait_for};
use crate::streaming::{bounded, pattern};
use crate::wire::ReadSome;
use crate::wire::{Reply, ask, connect, get, head};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Asks for a protocol, and says something at once behind it.
fn switch_saying(to: SocketAddr, target: &str, protocol: &str, said: &[u8]) -> (Reply, TcpStream) {
    let mut stream = connect(to);
    let asked = head("GET", target, &[("Connection", "Upgrade"), ("Upgrade", protocol)]) + "\r\n";
    stream.write_all(&[asked.as_bytes(), said].concat()).expect("sent");
    (answer(&mut stream), stream)
}

fn switch(to: SocketAddr, target: &str, protocol: &str) -> (Reply, TcpStream) {
    let (reply, stream) = switch_saying(to, target, protocol, b"");
    assert_eq!(reply.status, 101, "{}", reply.head);
    (reply, stream)
}

/// Reads an answer's head and nothing behind it.
fn answer(stream: &mut TcpStream) -> Reply {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).expect("text");
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Reply { status, head: text, body: Vec::new(), whole: true }
}

fn heard(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut heard = vec![0; bytes];
    stream.read_exact(&mut heard).expect("so many bytes");
    heard
}

/// Waits for the end, however it comes.
fn assert_ended(stream: &mut TcpStream) {
    match stream.read_some(&mut [0; 1_024]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it has not ended: {other:?}"),
    }
}

fn in_flight(cluster: &Cluster, name: &str, count: u64) {
    wait_for(&format!("{count} calls of {name} are under way"), || {
        cluster.client.function(name).is_ok_and(|f| f.in_flight == count)
    });
}

#[test]
fn bytes_go_both_ways_at_once_until_both_sides_have_ended() {
    const MANY: usize = 20 << 20;
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let (reply, mut stream) = switch(cluster.head.http(), "/invoke/echo", "echo");
    assert_eq!(reply.header("upgrade"), Some("echo"));
    assert_eq!(reply.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert!(reply.header("x-call-id").is_some(), "{}", reply.head);
    assert_eq!((reply.header("content-length"), reply.header("transfer-encoding")), (None, None), "{}", reply.head);
    in_flight(&cluster, "echo", 1);
    for byte in b'a'..=b'z' {
        stream.write_all(&[byte]).expect("sent");
        assert_eq!(heard(&mut stream, 1), [byte]);
    }
    let mut sender = stream.try_clone().expect("a second handle");
    let sending = thread::spawn(move || {
        let mut bytes = vec![0; MANY];
        pattern(0, &mut bytes);
        sender.write_all(&bytes).expect("sent");
        sender.shutdown(Shutdown::Write).expect("its end");
    });
    let mut expected = vec![0; MANY];
    pattern(0, &mut expected);
    assert!(heard(&mut stream, MANY) == expected, "other bytes came back");
    assert_eq!(stream.read_some(&mut [0]).expect("its end"), 0);
    sending.join().expect("all sent");
    in_flight(&cluster, "echo", 0);
    bounded(&cluster);
}

#[test]
fn a_websocket_is_opened_used_and_closed() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let mut stream = connect(cluster.head.http());
    let headers = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), // the standard's own example
    ];
    stream.write_all((head("GET", "/function/echo/chat?room=1", &headers) + "\r\n").as_bytes()).expect("sent");
    let reply = answer(&mut stream);
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")), "{}", reply.head);
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mask = [1, 2, 3, 4];
    let masked = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect() };
    for (first, payload) in [(0x81, "Hello"), (0x89, "are you there?"), (0x88, "\u{3}\u{e8}")] {
        stream
            .write_all(&[&[first, 0x80 | payload.len() as u8], &mask[..], &masked(payload.as_bytes())].concat())
            .unwrap();
        let first = if first == 0x89 { 0x8A } else { first };
        let payload = payload.as_bytes();
        assert_eq!(heard(&mut stream, 2 + payload.len()), [&[first, payload.len() as u8], payload].concat());
        if first == 0x81 {
            let long = vec![7; 70_000];
            let length = (long.len() as u64).to_be_bytes();
            stream.write_all(&[&[0x82, 0xFF], &length[..], &mask, &masked(&long)].concat()).expect("sent");
            assert_eq!(heard(&mut stream, 10), [&[0x82, 127], &length[..]].concat());
            assert!(heard(&mut stream, long.len()) == long);
        }
    }
    assert_eq!(stream.read_some(&mut [0]).expect("its end"), 0);
    drop(stream);
    in_flight(&cluster, "echo", 0);
}

#[test]
fn what_is_said_behind_the_request_is_not_lost_and_headers_are_as_always() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let (reply, mut stream) = switch_saying(cluster.head.http(), "/invoke/f/switches", "other", b"early");
    assert_eq!((reply.status, reply.header("x-own")), (101, Some("kept")), "{}", reply.head);
    assert!(!reply.head.to_lowercase().contains("cares-"), "{}", reply.head);
    assert_eq!(heard(&mut stream, 5), b"early");
}

#[test]
fn the_calls_time_limit_does_not_end_it() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest_with("by-path", r#","timeout_s":1"#), &[]);
    let (_, mut stream) = switch(cluster.head.http(), "/invoke/f/switches", "other");
    let until = Instant::now() + Duration::from_millis(2_500);
    wait_for("twice the limit has passed", || Instant::now() > until);
    stream.write_all(b"still there?").expect("sent");
    assert_eq!(heard(&mut stream, 12), b"still there?");
    in_flight(&cluster, "f", 1);
}

#[test]
fn it_ends_when_either_side_leaves() {
    let mut cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let open = || get(to, "/invoke/f/open").text().parse::<usize>().expect("a number");
    // The caller, while nothing is said and while it is sent more than it takes.
    for target in ["/invoke/f/switches", "/invoke/f/switches-and-floods"] {
        let (_, stream) = switch(to, target, "other");
        wait_for("it is open", || open() == 1);
        drop(stream);
        wait_for("the function has noticed", || open() == 0);
        in_flight(&cluster, "f", 0);
    }
    // The function.
    let (_, mut stream) = switch(to, "/invoke/f/switches-and-leaves", "other");
    assert_eq!(heard(&mut stream, 3), b"bye");
    assert_eq!(stream.read_some(&mut [0]).expect("its end"), 0);
    drop(stream);
    in_flight(&cluster, "f", 0);
    // The node.
    let (_, mut stream) = switch(to, "/invoke/f/switches", "other");
    cluster.workers[0].kill();
    assert_ended(&mut stream);
    in_flight(&cluster, "f", 0);
}

#[test]
fn a_caller_that_leaves_behind_what_its_function_does_not_read_frees_its_slot() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let (_, mut stream) = switch(cluster.head.http(), "/invoke/f/switches-and-hears-nothing", "other");
    in_flight(&cluster, "f", 1);
    stream.set_nonblocking(true).expect("it does not block");
    wait_for(
        "no more is taken",
        || matches!(stream.write(&[0; 65_536]), Err(error) if error.kind() == ErrorKind::WouldBlock),
    );
    let at_once = Some(Duration::ZERO); // as it is when a program dies with something unread
    rustix::net::sockopt::set_socket_linger(&stream, at_once).expect("it breaks the connection");
    drop(stream);
    in_flight(&cluster, "f", 0);
}

#[test]
fn who_does_not_read_is_waited_for_and_holds_up_nobody() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let slow: Vec<TcpStream> = (0..20).map(|_| switch(to, "/invoke/f/switches-and-floods", "other").1).collect();
    let (_, mut unheard) = switch(to, "/invoke/f/switches-and-hears-nothing", "other");
    unheard.set_nonblocking(true).expect("it does not block");
    let mut sent = 0;
    wait_for("no more is taken", || match unheard.write(&[0; 65_536]) {
        Ok(n) => {
            sent += n;
            assert!(sent < 100 << 20, "it takes all");
            false
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    });
    for _ in 0..20 {
        assert_eq!(get(to, "/invoke/f/head").status, 200);
    }
    bounded(&cluster);
    drop((slow, unheard));
    cluster.client.delete_function("f").expect("deleted");
}

#[test]
fn whatever_is_no_upgrade_is_answered_as_always() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    cluster.deploy_script("job", "echo a job");
    let to = cluster.head.http();
    let asks = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    // A function that stays with HTTP, which it was asked to leave.
    let mut stream = connect(to);
    for _ in 0..2 {
        stream.write_all((head("GET", "/invoke/f/head", &asks) + "\r\n").as_bytes()).expect("sent");
        let reply = answer(&mut stream);
        assert_eq!((reply.status, reply.header("upgrade")), (200, None), "{}", reply.head);
        let length = reply.header("content-length").expect("a length").parse().expect("a number");
        let seen = String::from_utf8(heard(&mut stream, length)).expect("text").to_lowercase();
        assert!(seen.contains("upgrade: websocket\r\n") && seen.contains("connection: upgrade\r\n"), "{seen}");
    }
    // A job.
    let reply = ask(to, "GET", "/invoke/job", &asks, b"");
    assert_eq!((reply.status, reply.text().as_str()), (200, "a job\n"));
    // With a body, in an older HTTP, to HTTP/2: none of these is passed on.
    let reply = ask(to, "POST", "/invoke/f/head", &asks, b"body");
    assert!(!reply.text().to_lowercase().contains("upgrade"), "{}", reply.text());
    let reply = ask(to, "GET", "/invoke/f/head", &[("Connection", "Upgrade"), ("Upgrade", "h2c")], b"");
    assert!(!reply.text().to_lowercase().contains("upgrade"), "{}", reply.text());
    let old = head("GET", "/invoke/f/head", &asks).replace("HTTP/1.1", "HTTP/1.0") + "\r\n";
    let reply = Reply::parse(&crate::wire::exchange(to, old.as_bytes())).expect("an answer");
    assert!(!reply.text().to_lowercase().contains("upgrade: "), "{}", reply.text());
    // A function that switches though nobody asked it to.
    let detail = get(to, "/invoke/f/switches").problem(502, "function_failed");
    assert!(detail.contains("switched protocols"), "{detail}");
    // Ours do not switch.
    let reply = ask(to, "GET", "/functions", &asks, b"");
    assert_eq!(reply.status, 200);
    in_flight(&cluster, "f", 0);
}
