//! An orchestrator that is none, or an enemy: a worker that joins it stays whole.

use super::frames::*;
use super::*;
use crate::harness::{Role, own_ip};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::path::Path;

const OK: u8 = 0x88; // `:status: 200` of the static table

fn answer_head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[&[OK], &block(&[("content-type", "application/grpc")])[..]].concat())
}

fn trailers(stream: u32, status: &str, message: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("grpc-status", status), ("grpc-message", message)]))
}

fn welcome(heartbeat_ms: u64, links: u64) -> Vec<u8> {
    let first = [number(1, 1), text(2, "hi"), text(3, "c".repeat(50_000)), text(10, "0".repeat(32))];
    [first.concat(), number(11, heartbeat_ms), number(12, 1), number(13, links), number(14, u64::MAX)].concat()
}

/// The next connection: whether it is a link.
fn accept(listener: &TcpListener) -> (Peer, bool) {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
    let mut peer = Peer(stream);
    let mut first = [0; 24];
    peer.0.read_exact(&mut first).expect("its first bytes");
    if first != *PREFACE {
        peer.0.read_exact(&mut [0; 18]).expect("the rest of its ticket");
        return (peer, true);
    }
    peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]));
    (peer, false)
}

/// Waits for the headers of a call; the stream it is on.
fn called(peer: &mut Peer) -> u32 {
    loop {
        let frame = peer.next().expect("a call");
        if frame.kind == HEADERS {
            return frame.stream;
        }
    }
}

struct Stage {
    listener: TcpListener,
    dir: tempfile::TempDir,
    worker: Role,
}

impl Stage {
    /// A worker that has joined, its gRPC connection with the streams of its heartbeat, and its first link.
    fn set(heartbeat_ms: u64, links: u64) -> (Stage, Peer, u32, Peer) {
        let listener = TcpListener::bind((own_ip(), 0)).expect("a port");
        let dir = tempfile::tempdir().expect("a folder");
        let (at, data) = (listener.local_addr().expect("its address").to_string(), dir.path().join("w"));
        let joining = std::thread::spawn(move || {
            let (mut peer, _) = accept(&listener);
            let stream = called(&mut peer);
            peer.send(
                &[answer_head(stream), data_of(stream, &welcome(heartbeat_ms, links)), trailers(stream, "0", "")]
                    .concat(),
            );
            let heart = called(&mut peer);
            peer.send(&answer_head(heart));
            (listener, peer, heart)
        });
        let args =
            ["worker", &at, "--name", "w", "--worker-addr", "127.0.0.1:0", "--data-dir", data.to_str().expect("UTF-8")];
        let worker = Role::start(&args);
        let (listener, peer, heart) = joining.join().expect("it joins");
        let (mut link, is_link) = accept(&listener);
        assert!(is_link);
        link.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        (Stage { listener, dir, worker }, peer, heart, link)
    }

    fn unharmed(&self, after: &str) {
        let pid = self.worker.pid();
        assert_eq!(get(self.worker.http(), "/healthz").status, 200, "{after}");
        println!("{after}: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
        assert!(peak_mib(pid) < MOST_MIB && threads(pid) < MOST_THREADS, "{after}: {} MiB", peak_mib(pid));
        let log = self.worker.log();
        assert!(!log.contains("panicked") && log.len() < 64 << 10, "{after}: {} bytes of log", log.len());
        let outside: Vec<_> =
            std::fs::read_dir(self.dir.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(outside, ["w"], "{after}");
    }
}

fn data_of(stream: u32, said: &[u8]) -> Vec<u8> {
    data(stream, &message(said), 0)
}

fn order(kind: &str) -> Vec<u8> {
    [text(1, kind), text(2, "../../etc"), number(3, u64::MAX)].concat()
}

#[test]
fn absurd_orders_change_nothing_and_flood_no_log() {
    for (heartbeat_ms, links) in [(1, u64::from(u32::MAX)), (u64::from(u32::MAX), 0)] {
        let (stage, mut peer, heart, _link) = Stage::set(heartbeat_ms, links);
        for n in 0..5_000 {
            let kind = ["drain", "nonsense", "stop_instance", "\u{1b}[2J\n"][n % 4];
            assert!(peer.send(&data_of(heart, &order(kind))), "it hung up after {n}");
        }
        assert!(peer.send(&data_of(heart, &order(&"x".repeat(60_000)))));
        stage.unharmed("absurd orders");
        peer.send(&trailers(heart, "13", &"y".repeat(100)));
        // It comes back to ask again, and is sent away with a very long word.
        stage.listener.set_nonblocking(false).expect("an option");
        // Closed with something unread it would be reset, and the word lost: it is kept.
        let _again = loop {
            let (mut again, link) = accept(&stage.listener);
            if link {
                continue;
            }
            let stream = called(&mut again);
            let refusal = text(2, "no\n".repeat(200_000));
            again.send(&[answer_head(stream), data_of(stream, &refusal), trailers(stream, "0", "")].concat());
            break again;
        };
        wait_for("it says so", || stage.worker.log().contains("refused this worker"));
        stage.unharmed("a refusal");
    }
}

/// A request on a link, and the body of what comes back.
fn ask(link: &mut Peer, stream: u32, method: &str, path: &str, body: &[u8]) -> String {
    let head = block(&[(":method", method), (":scheme", "http"), (":path", path), (":authority", "control")]);
    link.send(&[frame(HEADERS, END_HEADERS, stream, &head), data(stream, body, END_STREAM)].concat());
    let mut said = Vec::new();
    while let Some(came) = link.next() {
        if came.stream == stream && came.kind == DATA {
            said.extend(&came.body);
        }
        let ended = came.kind == RESET || (came.kind <= HEADERS && came.flags & END_STREAM != 0);
        if came.stream == stream && ended {
            break;
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn revision(function: &str, image: &str) -> Vec<u8> {
    [text(1, function), number(2, 1), text(3, image), number(4, 1), text(5, "./run")].concat()
}

#[test]
fn names_lead_nowhere_else_and_a_bundle_has_an_end() {
    let (stage, mut peer, _, mut link) = Stage::set(1_000, 1);
    let zip = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/bundle/00")).expect("a zip");
    let digest: String = Sha256::digest(&zip).iter().map(|b| format!("{b:02x}")).collect();
    let run = stage.dir.path().join("w/run");
    let running = || std::fs::read_dir(&run).map(|entries| entries.count()).unwrap_or_default();
    let before = running();
    // What it fetches, this orchestrator has; but no name of it may be a path. Of another one there is no end.
    let mut stream = 1;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let asked = called(&mut peer);
        peer.send(&[answer_head(asked), data_of(asked, &text(1, &zip)), trailers(asked, "0", "")].concat());
        let asked = called(&mut peer);
        peer.send(&answer_head(asked));
        let chunk = data_of(asked, &text(1, vec![b'x'; 1 << 20]));
        let mut sent = 0;
        // A client of hyper's takes 2 MiB of a stream and 5 of a connection, and says when it takes more.
        let (mut room, mut room_here) = ((5 << 20) - 100_000, 2 << 20);
        'all: for piece in std::iter::repeat_n(chunk, 1_100).flat_map(|chunk| pieces(&chunk)) {
            let length = piece.len() as u64 - 9;
            while room < length || room_here < length {
                let Some(came) = peer.next() else { break 'all };
                let more = came.body.first_chunk().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)));
                match (came.kind, came.stream) {
                    (WINDOW, 0) => room += more,
                    (WINDOW, _) => room_here += more,
                    (RESET, _) => break 'all,
                    _ => {}
                }
            }
            (room, room_here, sent) = (room - length, room_here - length, sent + length);
            if !peer.send(&piece) {
                break;
            }
        }
        let _ = tell.send((peer, sent));
    });
    for id in ["..", "%2e%2e", "..%2f..%2fx", &"x".repeat(100), "a\\b", "%00", ".", "-"] {
        let said = ask(
            &mut link,
            stream,
            "POST",
            &format!("/instances/{id}/start"),
            &revision("f", &format!("bundle:{digest}")),
        );
        assert!(!said.is_empty(), "{id} was started");
        stream += 2;
    }
    for image in ["bundle:../../etc", "bundle:", "../../etc/passwd", "", "a b", "http://x/y?z"] {
        let said = ask(&mut link, stream, "POST", "/revisions", &revision("../../x", image));
        assert!(!said.is_empty(), "{image} was taken");
        stream += 2;
    }
    for (method, path, body) in [
        ("POST", "/instances/x/start", noise(3, 50_000)),
        ("POST", "/instances/x/start", vec![0xff; 100]),
        ("POST", "/revisions", Vec::new()),
        ("GET", "/logs/../../etc/passwd?tail=99999999999999999999", Vec::new()),
        ("GET", "/logs/x?tail=18446744073709551615", Vec::new()),
        ("DELETE", "//", Vec::new()),
    ] {
        ask(&mut link, stream, method, path, &body);
        stream += 2;
    }
    wait_for("nothing is left of what was to run", || running() == before);
    stage.unharmed("names");
    let said = ask(&mut link, stream, "POST", "/revisions", &revision("g", &format!("bundle:{}", "a".repeat(64))));
    // Not the 100 MiB that are usual: an orchestrator may be set to take more, and a worker is not told.
    assert!(said.contains("1073741824"), "{said}");
    let (_peer, sent) = told.recv_timeout(PATIENCE).expect("it takes no more");
    println!("of a bundle without end it took {sent} bytes");
    assert!(sent < 1_050 << 20);
    stage.unharmed("a bundle without end");
    wait_for("nothing of it is kept", || {
        let bundles = std::fs::read_dir(stage.dir.path().join("w/bundles")).expect("a folder");
        bundles.flatten().all(|entry| entry.path().is_dir())
    });
}

/// Frames one by one.
fn pieces(mut frames: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [a, b, c, ..] = frames {
        let (one, rest) = frames.split_at(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize);
        all.push(one.to_vec());
        frames = rest;
    }
    all
}
