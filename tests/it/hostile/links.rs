//! A worker whose links misbehave. Others' calls go on, and its own callers are told, each within its time.

use super::frames::*;
use super::lies::{info, join};
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Opens a link with a ticket and misbehaves on it, again and again, until told to stop.
struct Links {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Links {
    fn open(cluster: &Cluster, ticket: &str, behave: fn(&mut Peer, &Frame) -> bool) -> Links {
        let (stop, opened, asked): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let run = |_| {
            let (stop, opened, asked) = (stop.clone(), opened.clone(), asked.clone());
            let (to, ticket) = (grpc(cluster), ticket.to_string());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut peer = Peer(connect(to));
                    peer.0.set_write_timeout(Some(Duration::from_secs(2))).expect("a time limit");
                    peer.0.set_read_timeout(Some(Duration::from_secs(2))).expect("a time limit");
                    peer.send(&[b"CARESLINK1", ticket.as_bytes(), &frame(SETTINGS, 0, 0, &[])].concat());
                    let mut preface = [0; 24];
                    if peer.0.read_exact(&mut preface).is_err() {
                        continue;
                    }
                    opened.fetch_add(1, Ordering::Relaxed);
                    while let Some(came) = peer.next() {
                        asked.fetch_add(usize::from(came.kind == HEADERS), Ordering::Relaxed);
                        if stop.load(Ordering::Relaxed) || !behave(&mut peer, &came) {
                            break;
                        }
                    }
                }
            })
        };
        let threads = (0..4).map(run).collect();
        Links { stop, opened, asked, threads }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    }
}

const OK: u8 = 0x88; // `:status: 200` of the static table

/// What a peer does with a frame; `false` ends it.
type Behaviour = fn(&mut Peer, &Frame) -> bool;

/// To each request on a link, what comes back; false ends the link.
const BEHAVIOURS: [(&str, Behaviour); 9] = [
    ("never answers", |_, _| true),
    ("closes", |_, _| false),
    ("resets", |peer, came| came.kind != HEADERS || peer.send(&frame(RESET, 0, came.stream, &2u32.to_be_bytes()))),
    ("says nonsense", |peer, _| {
        peer.send(&noise(3, 100_000));
        false
    }),
    ("answers nobody", |peer, came| {
        peer.send(&frame(HEADERS, END_HEADERS, came.stream + 2, &[OK])) && peer.send(&frame(DATA, 0, 0, b"x"))
    }),
    ("has headers without end", |peer, came| {
        let piece = frame(CONTINUATION, 0, came.stream, &block(&[("x", &"y".repeat(100))]).repeat(150));
        peer.send(&frame(HEADERS, 0, came.stream, &[OK])) && (0..2_000).all(|_| peer.send(&piece))
    }),
    ("has a body without end", |peer, came| {
        peer.send(&frame(HEADERS, END_HEADERS, came.stream, &[OK]))
            && (0..2_000).all(|_| peer.send(&frame(DATA, 0, came.stream, &[b'x'; 16_000])))
    }),
    ("answers with what is no answer", |peer, came| {
        let head =
            block(&[(":status", "099"), ("cares-outcome", "nonsense"), ("content-length", "-1"), ("X", "\u{0}")]);
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, came.stream, &head))
    }),
    ("answers and floods", |peer, came| {
        let answered = peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, came.stream, &[OK]));
        answered && (0..20_000).all(|_| peer.send(&frame(PING, 0, 0, &[0; 8])))
    }),
];

#[test]
fn links_that_misbehave_harm_only_their_own_calls() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo(r#","timeout_s":60"#);
    assert_eq!(cluster.call("echo", "1").0, 200);
    for mode in ["job", "http"] {
        let manifest = format!(
            r#"{{"mode":"{mode}","command":["./run"],"timeout_s":1,"attempts":1,"constraints":{{"tags":{{"liar":"yes"}}}}}}"#
        );
        cluster.deploy(mode, &manifest, &[("run", "#!/bin/sh\n")]);
    }
    for (what, behave) in BEHAVIOURS {
        let mut liar = join(&cluster, &info("liar", "liar", &[])).expect("an answer");
        assert!(liar.taken(), "{what}");
        liar.live("liar");
        let links = Links::open(&cluster, &liar.ticket(), behave);
        wait_for("a link is open", || links.opened.load(Ordering::Relaxed) > 0);
        let calls: Vec<_> = (0..6).map(|n| cluster.call_aside(["job", "http"][n % 2], "x")).collect();
        let begun = Instant::now();
        for n in 0..20 {
            assert_eq!(cluster.call("echo", &n.to_string()), (200, n.to_string()), "{what}");
        }
        for call in calls {
            let status = call.join().map_or(0, |(status, ..)| status);
            assert!(status == 0 || status == 200 || status >= 500, "{what}: {status}");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{what}: its callers waited {took:?}");
        let pid = cluster.head.pid();
        let asked = links.asked.load(Ordering::Relaxed);
        println!("{what}: {took:?}, asked {asked}, {} MiB at most, {} threads", peak_mib(pid), threads(pid));
        unharmed(&cluster, what);
        links.end();
        drop(liar);
        wait_for("it is gone", || cluster.client.node("liar").is_ok_and(|n| n.status == "disconnected"));
    }
    let log = cluster.head.log();
    assert!(log.len() < 256 << 10, "its log is flooded: {} bytes", log.len());
}
