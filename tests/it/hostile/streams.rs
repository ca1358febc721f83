//! Clients of the gRPC port that speak HTTP/2, and abuse it.

use super::frames::*;
use super::*;

/// Until the other end has had enough, or all is sent; whether it had.
fn flood(cluster: &Cluster, pieces: usize, piece: impl Fn(u32) -> Vec<u8>) -> bool {
    let mut peer = Peer::dial(grpc(cluster));
    peer.0.set_write_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    (0..pieces as u32).any(|n| !peer.send(&piece(n)))
}

fn shown(cluster: &Cluster, after: &str) {
    let pid = cluster.head.pid();
    println!("{after}: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
    unharmed(cluster, after);
    assert!(cluster.head.log().len() < 64 << 10, "{after}: its log is flooded");
}

#[test]
fn floods_of_streams_and_frames_cost_bounded_memory() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let open = |n: u32| frame(HEADERS, END_HEADERS, 2 * n + 1, &call_head("Heartbeat", &[]));
    flood(&cluster, 20_000, open);
    shown(&cluster, "20,000 streams");
    // CVE-2023-44487: opened and reset at once.
    let ended = flood(&cluster, 50_000, |n| [open(n), frame(RESET, 0, 2 * n + 1, &8u32.to_be_bytes())].concat());
    assert!(ended, "it went on with a client that resets all it asks");
    shown(&cluster, "rapid resets");
    let endless = |n: u32| match n {
        0 => frame(HEADERS, 0, 1, &call_head("Heartbeat", &[])),
        _ => frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(100))]).repeat(150)),
    };
    assert!(flood(&cluster, 13_000, endless), "it took 200 MiB of headers");
    shown(&cluster, "200 MiB of headers");
    flood(&cluster, 200_000, |_| frame(CONTINUATION, 0, 1, &[]));
    flood(&cluster, 200_000, |n| match n {
        0 => frame(HEADERS, 0, 1, &call_head("Heartbeat", &[])),
        _ => frame(CONTINUATION, 0, 1, &[]),
    });
    shown(&cluster, "empty continuations");
    flood(&cluster, 100_000, |_| frame(PING, 0, 0, &[0; 8]));
    flood(&cluster, 100_000, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]));
    flood(&cluster, 100_000, |_| frame(2, 0, 1, &[0, 0, 0, 3, 9]));
    flood(&cluster, 100_000, |n| frame(8, 0, 0, &(n % 7 + 1).to_be_bytes()));
    shown(&cluster, "pings, settings, priorities, windows");
    assert_eq!(cluster.call("echo", "hello"), (200, "hello".into()));
    joinable(cluster);
}

#[test]
fn messages_beyond_the_limit_and_no_messages_at_all_are_refused() {
    let cluster = Cluster::start(0);
    for method in ["JoinCluster", "Heartbeat", "FetchBundle", "ExecuteFunction", "Nothing"] {
        for said in [
            message(&text(1, vec![b'x'; 2 << 20])),
            [&[0][..], &u32::MAX.to_be_bytes()].concat(),
            [&[1][..], &5u32.to_be_bytes(), b"hello"].concat(),
            message(&noise(5, 1_000)),
            noise(9, 40_000),
            message(&[0xff; 64]),
            message(&text(1, [0xff; 8])),
            Vec::new(),
        ] {
            let mut peer = Peer::settled(grpc(&cluster));
            peer.send(&frame(HEADERS, END_HEADERS, 1, &call_head(method, &[])));
            peer.send(&data(1, &said, END_STREAM));
            if let Some(answer) = peer.answer(1) {
                let said = parse(&answer);
                assert!(!said.contains_key(&1), "{method}: such a worker has joined");
            }
        }
    }
    assert_eq!(cluster.client.nodes().expect("a list"), []);
    // Many at once, each just short of whole.
    let mut peers: Vec<Peer> = (0..8).map(|_| Peer::settled(grpc(&cluster))).collect();
    for peer in &mut peers {
        peer.0.set_write_timeout(Some(Duration::from_millis(300))).expect("a time limit");
        for stream in (0..64).map(|n| 2 * n + 1) {
            peer.ask(stream, "JoinCluster", &[], None);
            let most = message(&text(1, vec![b'x'; 900_000]));
            if !peer.send(&data(stream, &most[..most.len() - 1], 0)) {
                break;
            }
        }
    }
    shown(&cluster, "messages that never end");
    for peer in &mut peers {
        read_to_close(&mut peer.0, Duration::from_secs(60));
    }
    joinable(cluster);
}
