//! More calls than a function can take: those that are taken stay quick, the others are told at once, and it is over when
//! the load is.

use crate::fixture;
use crate::harness::{Cluster, PATIENCE, Role, invoke, wait_for};
use crate::wire::ReadSome;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the function can take: 4 instances with 5 calls each, of 50 ms.
const SETTINGS: &str = r#","concurrency":5,"max":4,"min":4"#;
const CAPACITY_PER_S: u64 = 400;
/// Callers enough that refusals and answers do not keep them from asking in time.
const CALLERS: u64 = 250;

/// One answer: its status, whether it says when to come again, and how long it took.
#[derive(Clone, Copy)]
struct Told {
    status: u16,
    again: bool,
    took: Duration,
}

/// A caller with a connection of its own, kept open.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn new(to: SocketAddr) -> Caller {
        let stream = TcpStream::connect(to).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Caller(BufReader::new(stream))
    }

    fn call(&mut self) -> Told {
        let asked = Instant::now();
        self.0.get_mut().write_all(b"GET /invoke/f HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let (mut status, mut again, mut length) = (0, false, 0);
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("a line"), 0, "the connection ended");
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", n)) => length = n.parse().expect("a length"),
                Some(("retry-after", _)) => again = true,
                Some(_) => {}
                None if line.starts_with("HTTP/1.1 ") => status = line[9..12].parse().expect("a status"),
                None => break,
            }
        }
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        Told { status, again, took: asked.elapsed() }
    }
}

/// So many callers, who ask each `every` and never faster, whatever they are told.
fn press(to: SocketAddr, callers: u64, every: Duration, seconds: f64) -> Vec<Told> {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|n| {
            let stop = stop.clone();
            thread::spawn(move || {
                let (mut caller, mut told) = (Caller::new(to), Vec::new());
                let mut next = begin + every.mul_f64(n as f64 / callers as f64);
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    told.push(caller.call());
                    next = (next + every).max(Instant::now()); // one that is late does not make up for it
                }
                told
            })
        })
        .collect();
    thread::sleep(Duration::from_secs_f64(seconds));
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().flat_map(|c| c.join().expect("a caller")).collect()
}

/// What 99 of 100 took at most, in milliseconds.
fn p99(told: &[Told], status: u16) -> f64 {
    let mut took: Vec<Duration> = told.iter().filter(|t| t.status == status).map(|t| t.took).collect();
    took.sort();
    let at = (took.len() * 99).div_ceil(100).saturating_sub(1);
    took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

/// How often each status came.
fn statuses(told: &[Told]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    told.iter().for_each(|t| *counts.entry(t.status).or_default() += 1);
    counts
}

fn resident_mb(role: &Role) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", role.pid())).expect("its status");
    let line = status.lines().find(|l| l.starts_with("VmRSS")).expect("its memory");
    line.split_whitespace().nth(1).expect("a number").parse::<f64>().expect("a number") / 1024.0
}

/// A cluster whose function has all its instances.
fn ready() -> Cluster {
    let mut cluster = Cluster::start(0);
    cluster.add_worker("w1", &["--slots", "100"]);
    cluster.deploy("f", &fixture::manifest_with("naps", SETTINGS), &[]);
    let warm = |f: cares::types::Function| f.instances.iter().filter(|i| i.status == "warm").count();
    wait_for("all instances are warm", || warm(cluster.client.function("f").expect("f")) == 4);
    cluster
}

#[test]
fn ten_times_what_it_can_take_is_answered_in_part_and_refused_in_part() {
    let cluster = ready();
    let told = press(cluster.head.http(), CALLERS, Duration::from_millis(CALLERS * 100 / CAPACITY_PER_S), 2.0);
    let counts = statuses(&told);
    assert!(counts.keys().all(|status| [200, 429].contains(status)), "{counts:?}");
    assert!(counts[&200] > 100 && counts[&429] > counts[&200], "{counts:?}");
    assert!(told.iter().all(|t| t.again == (t.status == 429)), "a refusal says when to come again");
    assert_eq!(Caller::new(cluster.head.http()).call().status, 200, "it is over");
    assert_eq!(cluster.client.function("f").expect("f").instances.len(), 4, "never more than the maximum");
}

#[test]
fn who_waits_in_vain_and_who_finds_too_many_waiting_is_told_to_come_again() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &fixture::manifest_with("by-path", r#","concurrency":1,"max":1,"timeout_s":2"#), &[]);
    let aside = || {
        let client = cluster.client.clone();
        thread::spawn(move || {
            let (answer, text) = invoke(&client, "f", "");
            let problem: cares::types::Problem = serde_json::from_str(&text).expect("a problem");
            (answer.status, problem.code, answer.header("retry-after").map(str::to_string))
        })
    };
    let in_flight = || cluster.client.function("f").expect("f").in_flight;
    let mut events = crate::wire::connect(cluster.head.http());
    write!(events, "GET /invoke/f/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    assert_ne!(events.read_some(&mut [0; 1_024]).expect("an event"), 0, "its only place is taken");
    let mut others: Vec<_> = (0..20).map(|_| aside()).collect();
    wait_for("they wait", || in_flight() >= 9);
    wait_for("some are refused", || {
        others.push(aside());
        others.iter().any(|other| other.is_finished())
    });
    let again = Some("1".to_string());
    let (full, late) = ((429, "queue_full".to_string(), again.clone()), (503, "queue_timeout".to_string(), again));
    let told: Vec<_> = others.into_iter().map(|other| other.join().expect("an answer")).collect();
    assert!(told.contains(&full) && told.contains(&late), "{told:?}");
    assert!(told.iter().all(|t| [&full, &late].contains(&t)), "{told:?}");
    drop(events);
}

/// Only prints: its figures are those of a release build on a machine that does nothing else, so `scripts/bench/overload`
/// runs it and says which promises they miss. What holds on any machine is tested above.
#[test]
#[ignore = "a benchmark: scripts/bench/overload runs it"]
fn figures() {
    let seconds = std::env::var("OVERLOAD_SECONDS").map_or(30.0, |s| s.parse().expect("a number of seconds"));
    let cluster = ready();
    let to = cluster.head.http();
    let alone = press(to, 4, Duration::from_millis(60), 5.0);
    let base = p99(&alone, 200);
    let before = resident_mb(&cluster.head) + resident_mb(&cluster.workers[0]);
    let every = Duration::from_millis(CALLERS * 100 / CAPACITY_PER_S);
    press(to, CALLERS, every, 2.0);
    let early = resident_mb(&cluster.head) + resident_mb(&cluster.workers[0]);
    let told = press(to, CALLERS, every, seconds);
    let ended = Instant::now();
    let late = resident_mb(&cluster.head) + resident_mb(&cluster.workers[0]);
    // Over once calls are again what they were alone.
    let (mut caller, mut over) = (Caller::new(to), Duration::ZERO);
    while ended.elapsed() < Duration::from_secs(4) {
        let told = caller.call();
        if told.status != 200 || told.took.as_secs_f64() * 1e3 > 2.0 * base {
            over = ended.elapsed();
        }
    }
    let counts = statuses(&told);
    let count = |status: u16| counts.get(&status).copied().unwrap_or(0) as f64;
    let other = told.len() as f64 - count(200) - count(429);
    println!(
        "OVERLOAD {seconds} {:.0} {:.0} {:.0} {other:.0} {base:.2} {:.2} {:.2} {before:.1} {early:.1} {late:.1} {}",
        told.len() as f64 / seconds,
        count(200) / seconds,
        count(429) / seconds,
        p99(&told, 200),
        p99(&told, 429),
        over.as_millis()
    );
}
