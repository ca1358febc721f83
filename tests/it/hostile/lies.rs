//! A worker that lies: about who it is, what it has, what runs on it, and what others run.

use super::frames::*;
use super::*;
use std::collections::BTreeMap;

/// What a node says when it joins, and more.
pub fn info(id: &str, name: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let plain = [text(1, id), text(10, name), number(15, 8), number(16, 8), text(17, "process"), text(20, "0.1.0")];
    let tag = text(14, [text(1, "liar"), text(2, "yes")].concat());
    [plain.concat(), number(18, 1 << 30), number(19, 4), tag, more.concat()].concat()
}

fn instance(id: &str, function: &str, gone: bool) -> Vec<u8> {
    text(11, [text(1, id), text(2, function), number(3, 1), number(4, gone.into())].concat())
}

/// A connection that joined, and what it was told.
pub struct Joined {
    pub peer: Peer,
    pub said: BTreeMap<u64, (u64, Vec<u8>)>,
}

pub fn join(cluster: &Cluster, said: &[u8]) -> Option<Joined> {
    let mut peer = Peer::settled(grpc(cluster));
    peer.ask(1, "JoinCluster", &[], Some(said));
    let said = parse(&peer.answer(1)?);
    Some(Joined { peer, said })
}

impl Joined {
    pub fn taken(&self) -> bool {
        self.said.contains_key(&1)
    }

    fn message(&self) -> String {
        String::from_utf8_lossy(&self.said[&2].1).into_owned()
    }

    pub fn ticket(&self) -> String {
        String::from_utf8(self.said[&10].1.clone()).expect("UTF-8")
    }

    pub fn session(&self) -> u64 {
        self.said[&14].0
    }

    /// Opens its heartbeat.
    pub fn live(&mut self, node: &str) {
        let ticket = self.ticket();
        self.peer.ask(3, "Heartbeat", &[("cares-ticket", &ticket)], None);
        let beat = beat(node, self.session(), 1.0, 1.0, &[]);
        assert!(self.beat(&beat));
    }

    pub fn beat(&mut self, said: &[u8]) -> bool {
        self.peer.send(&data(3, &message(said), 0))
    }
}

fn beat(node: &str, session: u64, cpu: f64, memory: f64, more: &[Vec<u8>]) -> Vec<u8> {
    [text(1, node), double(2, cpu), double(3, memory), number(10, session), more.concat()].concat()
}

fn instance_of(cluster: &Cluster, function: &str) -> String {
    cluster.client.function(function).expect("it").instances[0].id.clone()
}

#[test]
fn nobody_speaks_for_another_node() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "1").0, 200);
    let honest = cluster.client.node("w1").expect("w1");
    let mine = instance_of(&cluster, "echo");
    // As if it were that node, without its secret, or by its name.
    for said in [info(&honest.id, "other", &[]), info(&honest.id, "other", &[text(23, "guess")]), info("n2", "w1", &[])]
    {
        let joined = join(&cluster, &said).expect("an answer");
        assert!(!joined.taken() && joined.message().len() < 1_000, "{}", joined.message());
    }
    // Heartbeats of that node, in every session there may be.
    let mut liar = join(&cluster, &info("liar", "liar", &[text(23, "s")])).expect("an answer");
    assert!(liar.taken(), "{}", liar.message());
    for session in 0..40 {
        let (stream, ticket) = (2 * session as u32 + 5, liar.ticket());
        for id in [&*honest.id, "w1"] {
            let leave = beat(id, session, 100.0, 100.0, &[text(5, "leaving"), instance(&mine, "echo", true)]);
            let mut peer = Peer::dial(grpc(&cluster));
            peer.ask(stream, "Heartbeat", &[("cares-ticket", &ticket)], Some(&leave));
            assert!(peer.answer(stream).is_none());
        }
    }
    // Its own, with what others run.
    liar.live("liar");
    let session = liar.session();
    for lies in [
        vec![instance(&mine, "echo", true)],
        vec![instance(&mine, "echo", false)],
        vec![instance("i0", "echo", true), instance("iffffffffffffffff", "echo", false), instance("../x", "", true)],
        (0..2_000).map(|n| instance(&format!("i{n:x}"), "echo", n % 2 == 0)).collect(),
    ] {
        assert!(liar.beat(&beat("liar", session, 1.0, 1.0, &lies)));
    }
    wait_for("they are heard", || cluster.client.node("liar").is_ok_and(|n| n.cpu_percent.is_some()));
    assert_eq!(cluster.call("echo", "2"), (200, "2".into()));
    assert_eq!(instance_of(&cluster, "echo"), mine, "what another node runs is not its to end");
    let after = cluster.client.node("w1").expect("w1");
    assert_eq!((after.status.as_str(), after.id.as_str()), ("active", honest.id.as_str()));
    // A ticket opens links of its own node alone, and a wrong one none.
    let mut link = connect(grpc(&cluster));
    link.write_all(&[&b"CARESLINK1"[..], &[b'a'; 32]].concat()).expect("sent");
    assert!(read_to_close(&mut link, PATIENCE).is_empty());
    unharmed(&cluster, "a liar");
}

#[test]
fn absurd_figures_are_refused_or_cut() {
    let cluster = Cluster::start(1);
    let long = "x".repeat(100_000);
    let many = |field, n: usize| (0..n).map(|n| text(field, n.to_string())).collect::<Vec<_>>();
    let tags = (0..100).map(|n| text(14, [text(1, n.to_string()), text(2, "v")].concat())).collect::<Vec<_>>();
    let refused: [&[Vec<u8>]; 11] = [
        &[number(15, u32::MAX.into())],
        &[number(15, 65_537)],
        &[text(2, &long)],
        &[text(3, &long)],
        &[text(13, &long)],
        &[text(20, &long)],
        &[text(23, &long)],
        &many(13, 65),
        &many(17, 1_000),
        &tags,
        &(0..10_001).map(|n| text(21, [text(1, format!("i{n:x}"))].concat())).collect::<Vec<_>>(),
    ];
    for (n, more) in refused.into_iter().enumerate() {
        let joined = join(&cluster, &info("liar", "liar", more)).unwrap_or_else(|| panic!("no answer to {n}"));
        assert!(!joined.taken() && joined.message().len() < 1_000, "{n}: {}", joined.message());
    }
    for (id, name) in
        [("", "a"), (&*long, "a"), ("a b", "a"), ("a\u{0}", "a"), ("a", "../../etc"), ("a", "A"), ("a", &long)]
    {
        let joined = join(&cluster, &info(id, name, &[])).expect("an answer");
        assert!(!joined.taken() && joined.message().len() < 1_000, "{}", joined.message());
    }
    assert_eq!(cluster.client.nodes().expect("a list").len(), 1);
    let more = [number(18, u64::MAX), number(19, u32::MAX.into()), number(4, u64::MAX), text(22, &long)];
    let mut liar = join(&cluster, &info("liar", "liar", &more)).expect("an answer");
    assert!(liar.taken());
    liar.live("liar");
    let session = liar.session();
    for figure in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e308, 1e308, 5e-324, -0.0] {
        assert!(liar.beat(&beat("liar", session, figure, figure, &[number(4, u64::MAX), text(5, &long)])));
        let engines = text(12, [many(1, 5_000).concat(), text(2, &long)].concat());
        assert!(liar.beat(&beat("liar", session, figure, -figure, &[engines])));
        let nodes = cluster.client.nodes().expect("a list that can be read");
        let all = nodes.iter().flat_map(|n| [n.cpu_percent, n.memory_percent]).flatten();
        assert!(all.into_iter().all(|percent| (0.0..=100.0).contains(&percent)), "{nodes:?}");
    }
    assert!(get(cluster.head.http(), "/nodes").body.len() < 64 << 10);
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "hello"), (200, "hello".into()));
    unharmed(&cluster, "absurd figures");
}

#[test]
fn lies_without_end_end_the_session() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    let mut liar = join(&cluster, &info("liar", "liar", &[])).expect("an answer");
    liar.live("liar");
    let session = liar.session();
    let lies: Vec<Vec<u8>> = (0..4_000).map(|n| instance(&format!("i{n:x}"), "echo", false)).collect();
    for _ in 0..50 {
        if !liar.beat(&beat("liar", session, 1.0, 1.0, &lies)) {
            break;
        }
    }
    wait_for("it is put out", || cluster.client.node("liar").is_ok_and(|n| n.status == "disconnected"));
    // And joins again and again, with other lies each time.
    let reported: Vec<Vec<u8>> =
        (0..9_000).map(|n| text(21, [text(1, format!("i{n:x}")), text(2, "echo")].concat())).collect();
    for n in 0..60 {
        let joined = join(&cluster, &info("liar", "liar", &reported)).unwrap_or_else(|| panic!("no answer to {n}"));
        assert!(joined.taken());
    }
    assert_eq!(cluster.call("echo", "hello"), (200, "hello".into()));
    let pid = cluster.head.pid();
    println!("750,000 lies: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
    unharmed(&cluster, "lies without end");
    assert!(cluster.head.log().len() < 256 << 10, "its log is flooded");
}
