//! Roles are killed (-9) at random moments under load, and started again: every call is answered, every acknowledged
//! write is there, each asynchronous call ends once, and in the end just what is told runs. `CARES_CHAOS_S`: for how long, 20 s by default;
//! `CARES_CHAOS_SEED`: which moments. Figures are printed (`--nocapture`).

pub mod ledger;

use crate::dice::Dice;
use crate::docker;
use crate::harness::{Cluster, Role, is_linked, wait_for};
use crate::processes;
use cares::client::{Body, Invoke, Orchestrator};
use cares::types::FunctionSpec;
use ledger::{KILL, Ledger, SETTLED, WRITERS};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often each worker is there; their names are w1, w2, …
const WORKERS: usize = 3;
/// No call takes longer: the lease, and a moment.
const ANSWERED: Duration = Duration::from_secs(20);
/// Callers of each function.
const CALLERS: usize = 2;

/// What happened, by name.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, usize>>);

impl Tally {
    fn count(&self, what: String) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    fn of(&self, what: &str) -> usize {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }
}

/// The cluster under chaos, and what is known of it.
struct Chaos {
    tally: Tally,
    over: AtomicBool,
    longest: Mutex<Duration>,
    /// Acknowledged writes: the description, or `None` when deleted last. What was asked for last without an answer may
    /// be there or not, and is not in here.
    book: Mutex<BTreeMap<String, Option<String>>>,
}

impl Chaos {
    /// Calls until it is over. Each call must end with the function's own answer, a status that says what failed, or a
    /// broken connection to an orchestrator that was killed.
    fn call(&self, client: &Orchestrator, function: &str) {
        for n in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let (body, asked) = (format!("{function} {n}"), Instant::now());
            let invoke = Invoke { method: "POST".into(), body: Body::Bytes(body.clone().into()), ..Default::default() };
            let answer = client.invoke(function, invoke).map_err(|_| ()).and_then(|mut answer| {
                let mut text = String::new();
                answer.reader.read_to_string(&mut text).map(|_| (answer.status, text)).map_err(|_| ())
            });
            let outcome = match answer {
                Ok((200, text)) => {
                    assert!(text.contains(&body), "{function}: {text}");
                    "answered".into()
                }
                Ok((status @ 502..=504, _)) => format!("told {status}"),
                Ok((status, text)) => panic!("{function}: {status} {text}"),
                Err(()) => "cut off".into(),
            };
            if outcome != "answered" {
                thread::sleep(Duration::from_millis(20)); // as a caller would before trying again
            }
            let took = asked.elapsed();
            let mut longest = self.longest.lock().unwrap();
            *longest = took.max(*longest);
            drop(longest);
            assert!(took < ANSWERED, "{function}: {outcome} after {took:?}");
            self.tally.count(format!("call {outcome}"));
        }
    }

    /// Registers, changes and deletes functions until it is over.
    fn write(&self, client: &Orchestrator, writer: usize) {
        let spec = |name: &str, description: &str| FunctionSpec {
            name: name.into(),
            image: "hello-world".into(),
            description: Some(description.into()),
            ..Default::default()
        };
        for n in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("written-{writer}-{n}");
            let steps: &[Option<&str>] = match n % 3 {
                0 => &[Some("first")],
                1 => &[Some("first"), Some("second")],
                _ => &[Some("first"), None],
            };
            for (at, step) in steps.iter().enumerate() {
                let done = match step {
                    Some(text) if at == 0 => client.register(&spec(&name, text)).map(drop),
                    Some(text) => client.replace(&name, &spec(&name, text)).map(drop),
                    None => client.delete_function(&name).map(drop),
                };
                let mut book = self.book.lock().unwrap();
                if done.is_err() {
                    book.remove(&name);
                    drop(book);
                    self.tally.count("write cut off".into());
                    thread::sleep(Duration::from_millis(20));
                    break;
                }
                book.insert(name.clone(), step.map(str::to_string));
                drop(book);
                self.tally.count("write acknowledged".into());
            }
            thread::sleep(Duration::from_millis(5)); // disks are slower than the calls they share the machine with
        }
    }
}

/// Kills roles and starts them again until the time is over.
fn havoc(cluster: &mut Cluster, tally: &Tally, ledger: &Ledger, dice: &mut Dice, end: Instant) {
    while Instant::now() < end {
        let rest = Instant::now() + Duration::from_millis(dice.between(100, 1_500));
        let linked = || cluster.client.nodes().is_ok_and(|all| all.iter().filter(|n| is_linked(n)).count() == WORKERS);
        while Instant::now() < rest {
            if linked() {
                ledger.note(SETTLED); // what ran where somebody was killed has ended: the workers are there again
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(rest.saturating_duration_since(Instant::now()));
        let worker = dice.below(WORKERS as u64) as usize;
        let (head, hit) = match dice.below(4) {
            0 => (true, false),
            1 => (true, true),
            _ => (false, true),
        };
        ledger.note(KILL);
        if hit {
            tally.count("kill worker".into());
            cluster.workers[worker].kill();
        }
        if head {
            tally.count("kill orchestrator".into());
            cluster.head.kill();
        }
        thread::sleep(Duration::from_millis(dice.below(800)));
        if head {
            cluster.restart_head();
        }
        if hit {
            cluster.workers[worker] = cluster.start_worker(&format!("w{}", worker + 1), &[]);
        }
    }
}

/// Removes what is left at a container engine, whatever the end.
struct Swept(Vec<String>);

impl Drop for Swept {
    fn drop(&mut self) {
        self.0.iter().for_each(|node| docker::remove_containers_of(node));
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_no_call_hangs_however_roles_are_killed() {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let lasts = Duration::from_secs(set("CARES_CHAOS_S").unwrap_or(20));
    let seed = set("CARES_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("chaos for {lasts:?}; again with CARES_CHAOS_SEED={seed}");
    let containers = docker::engine_is_there();

    let mut swept = Swept(Vec::new()); // dropped after the cluster
    let mut cluster = Cluster::start(WORKERS);
    let nodes: Vec<String> = cluster.workers.iter().map(|w: &Role| w.ready("node").to_string()).collect();
    swept.0 = nodes.clone();
    cluster.deploy_echo("");
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let mut functions = vec!["echo", "cat"];
    let mut later = WRITERS.to_vec();
    if containers {
        let spec = FunctionSpec { name: "box".into(), image: "cares-test/echo:1".into(), ..Default::default() };
        let docked = |name: &str| cluster.client.node(name).is_ok_and(|n| n.engines.iter().any(|e| e == "docker"));
        wait_for("an engine is told", || docked("w1") && docked("w2") && docked("w3"));
        cluster.client.register(&spec).expect("registered");
        functions.push("box");
        later.push("box");
    }
    let ledger = Ledger::deploy(&cluster);

    let chaos = Chaos {
        tally: Tally::default(),
        over: AtomicBool::new(false),
        longest: Mutex::default(),
        book: Mutex::default(),
    };
    let client = cluster.client.clone();
    let lasted = thread::scope(|scope| {
        for function in &functions {
            for _ in 0..CALLERS {
                scope.spawn(|| chaos.call(&client, function));
            }
        }
        for function in &later {
            scope.spawn(|| ledger.ask(&chaos, &client, function));
        }
        for writer in 0..2 {
            let (chaos, client) = (&chaos, &client);
            scope.spawn(move || chaos.write(client, writer));
        }
        let began = Instant::now();
        let _over = Over(&chaos.over); // also when it panics: the callers must end
        havoc(&mut cluster, &chaos.tally, &ledger, &mut Dice(seed), began + lasts);
        began.elapsed()
    });

    (1..=WORKERS).for_each(|n| cluster.wait_linked(&format!("w{n}")));
    let there: BTreeMap<String, String> =
        client.functions().expect("functions").into_iter().map(|f| (f.name, f.description)).collect();
    let book = chaos.book.lock().unwrap();
    for (name, description) in book.iter() {
        assert_eq!(there.get(name), description.as_ref(), "{name}");
    }
    ledger.settle(&cluster);
    for function in &functions {
        let (status, text) = cluster.call(function, "whole again");
        assert!(status == 200 && text.contains("whole again"), "{function}: {status} {text}");
    }
    for function in functions.iter().chain(&later) {
        wait_for("no call is held", || client.function(function).expect("it").in_flight == 0);
    }
    wait_for("no slot is held", || client.nodes().expect("nodes").iter().all(|n| n.running == 0));
    let told = |name: &str| client.function(name).expect("it").instances.len();
    let served = || told("echo") + told(WRITERS[1]);
    wait_for("just the instances that are told have processes", || processes::of(&cluster).len() == served());
    if containers {
        let held = || nodes.iter().map(|node| docker::containers_of(node).len()).sum::<usize>();
        wait_for("just the instances that are told have containers", || held() == told("box"));
    }
    println!("{lasted:.1?}, {} writes looked up, longest call {:.1?}", book.len(), chaos.longest.lock().unwrap());
    chaos.tally.0.lock().unwrap().iter().for_each(|(what, count)| println!("  {count:>7} {what}"));
    assert!(chaos.tally.of("call answered") > 0 && chaos.tally.of("write acknowledged") > 0);
    assert!(chaos.tally.of("later accepted") > 0);
}

/// Says that it is over when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
