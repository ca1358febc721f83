//! The real engine. Without one these say so and pass, unless CARES_REQUIRE_DOCKER=1. Each uses a node's id of its own and
//! removes what is left of it, so they run side by side and beside other containers.

use super::super::{Exit, Kind, Program};
use super::*;
use crate::clock::{self, until};
use futures_lite::future::block_on;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod building;
mod figures;
mod images;
mod moving;
mod trouble;

pub(crate) use images::engine_is_there;

const LONG: Duration = Duration::from_secs(60);
/// What the engine's own news may take.
const SOON: Duration = Duration::from_secs(2);

struct Bench {
    engine: DockerEngine,
    logs: Arc<LogBook>,
    node: String,
    next: AtomicU32,
}

fn docker(arguments: &[&str]) -> String {
    let out = Command::new("docker").args(arguments).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)).trim().to_string()
}

impl Bench {
    fn new() -> Option<Bench> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let node = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        engine_is_there().then(|| Bench::of(node))
    }

    fn of(node: String) -> Bench {
        let logs = Arc::new(LogBook::new(|| 0, &Default::default()));
        let engine = DockerEngine::at(Path::new(DEFAULT_SOCKET), &node, logs.clone(), None).unwrap();
        assert!(matches!(block_on(engine.changed()), Availability::Up { .. }));
        Bench { engine, logs, node, next: AtomicU32::new(1) }
    }

    fn launch(&self, image: &str, kind: Kind) -> Launch {
        let id = format!("i-{}", self.next.fetch_add(1, Ordering::Relaxed));
        Launch { revision: 7, ..Launch::plain(&id, Program::Image(format!("cares-test/{image}:1")), kind) }
    }

    fn start(&self, image: &str, kind: Kind) -> Running {
        block_on(self.engine.start(self.launch(image, kind))).unwrap()
    }

    fn refused(&self, image: &str, kind: Kind) -> EngineError {
        block_on(self.engine.start(self.launch(image, kind))).map(drop).unwrap_err()
    }

    fn name(&self, n: u32) -> String {
        format!("cares-{}-i-{n}", self.node)
    }

    fn containers(&self) -> Vec<String> {
        let label = format!("label=io.cares.node={}", self.node);
        docker(&["ps", "-aq", "--filter", &label]).lines().map(str::to_string).collect()
    }

    fn wait_until_empty(&self) {
        until(|| self.containers().is_empty());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for container in self.containers() {
            docker(&["rm", "-f", "-v", &container]);
        }
    }
}

/// Its stdout and how it ended.
fn finish(mut running: Running, input: &[u8]) -> (Vec<u8>, Exit) {
    block_on(async {
        let (mut stdin, mut stdout) = (running.stdin.take().unwrap(), running.stdout.take().unwrap());
        let feed = async {
            let _ = stdin.write_all(input).await; // it may not read
            let _ = stdin.close().await;
        };
        let mut out = Vec::new();
        let (_, read) = futures_lite::future::zip(feed, stdout.read_to_end(&mut out)).await;
        read.unwrap();
        (out, running.control.ended().await)
    })
}

fn ready(running: &Running) -> SocketAddr {
    let at = running.address.unwrap();
    until(|| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok());
    at
}

fn get(at: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(at).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn ends_soon(running: &Running) -> Exit {
    block_on(clock::timeout(SOON, running.control.ended())).expect("its end was not noticed within 2 s")
}

#[test]
fn a_job_has_its_input_output_errors_and_code() {
    let Some(bench) = Bench::new() else { return };
    let (out, exit) = finish(bench.start("upper", Kind::Job), b"Hello, W\xc3\xb6rld\n");
    assert_eq!((out, exit), (b"HELLO, W\xc3\xb6RLD\n".to_vec(), Exit::Code(0)));
    let large = vec![b'a'; 5 << 20];
    let (out, exit) = finish(bench.start("upper", Kind::Job), &large);
    assert_eq!((out.len(), out.iter().all(|b| *b == b'A'), exit), (large.len(), true, Exit::Code(0)));

    let mut running = bench.start("fails", Kind::Job);
    let mut out = String::new();
    block_on(running.stdout.as_mut().unwrap().read_to_string(&mut out)).unwrap();
    assert_eq!((&*out, block_on(running.control.ended())), ("this is stdout\n", Exit::Code(3)));
    assert_eq!(running.control.last_words(), "this is why it failed\n");
    let line = &bench.logs.tail("f", 1)[0];
    assert_eq!((&*line.text, &*line.source), ("this is why it failed", "i-3"));
    drop(running);
    bench.wait_until_empty();
}

#[test]
fn the_environment_and_command_are_the_images_and_the_functions() {
    let Some(bench) = Bench::new() else { return };
    let mut launch = bench.launch("env", Kind::Job);
    launch.env = vec![("MINE".into(), "a=b c".into()), ("FROM_IMAGE".into(), "2".into())];
    let (out, _) = finish(block_on(bench.engine.start(launch)).unwrap(), b"");
    let out = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines.contains(&"MINE=a=b c") && lines.contains(&"FROM_IMAGE=2") && !lines.contains(&"FROM_IMAGE=1"),
        "{out}"
    );
    let mut launch = bench.launch("sleeper", Kind::Job);
    launch.command = vec!["0".into()];
    assert_eq!(finish(block_on(bench.engine.start(launch)).unwrap(), b""), (vec![], Exit::Code(0)));
}

#[test]
fn an_http_image_serves_logs_and_stops() {
    let Some(bench) = Bench::new() else { return };
    let running = bench.start("echo", Kind::Http);
    let at = ready(&running);
    assert!(at.ip().to_string().starts_with("172.") && at.port() == 8080, "{at}");
    assert!(get(at, "/a/b?c").ends_with("GET /a/b?c HTTP/1.1\n"));
    let logged =
        || bench.logs.tail("f", 9).iter().any(|line| &*line.text == "GET /a/b?c HTTP/1.1" && &*line.source == "i-1");
    until(logged);
    let usage = block_on(running.control.usage()).unwrap();
    assert!((50_000..64 << 20).contains(&usage.memory_bytes) && usage.cpu_time > Duration::ZERO, "{usage:?}");
    let inspected = docker(&["inspect", &bench.name(1)]);
    for part in [
        "\"no-new-privileges:true\"",
        "\"CapDrop\"",
        "\"PidsLimit\": 2048",
        "\"max-size\": \"1m\"",
        "io.cares.revision",
    ] {
        assert!(inspected.contains(part), "{part} in {inspected}");
    }
    assert_eq!(docker(&["port", &bench.name(1)]), "");
    let begun = Instant::now();
    assert_eq!(block_on(running.control.stop(Duration::from_secs(10))), Exit::Code(0));
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert!(bench.containers().is_empty());

    let running = bench.start("other", Kind::Http);
    assert_eq!(ready(&running).port(), 3000);
    let mut launch = bench.launch("other", Kind::Http);
    launch.env = vec![("PORT".into(), "4000".into())];
    let own = block_on(bench.engine.start(launch)).unwrap();
    assert_eq!(ready(&own).port(), 4000);
}

#[test]
fn where_the_bridge_is_out_of_reach_a_local_port_serves() {
    let Some(bench) = Bench::new() else { return };
    bench.engine.shared.reach.bridge_is_out_of_reach();
    let running = bench.start("echo", Kind::Http);
    let at = running.address.unwrap();
    assert!(at.ip().is_loopback(), "{at}");
    // It listens when it is handed over: through the proxy nobody could tell.
    assert!(get(at, "/x").ends_with("GET /x HTTP/1.1\n"));
    assert!(docker(&["port", &bench.name(1)]).contains("127.0.0.1:"));
}

#[test]
fn who_ignores_sigterm_is_killed_after_its_grace() {
    let Some(bench) = Bench::new() else { return };
    let running = bench.start("stubborn", Kind::Job);
    let begun = Instant::now();
    let exit = block_on(running.control.stop(Duration::from_secs(1)));
    assert_eq!(exit, Exit::Code(137));
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert!(bench.containers().is_empty());
    let running = bench.start("stubborn", Kind::Job);
    block_on(running.control.stop(Duration::ZERO));
    assert!(bench.containers().is_empty());
}

#[test]
fn dropping_removes_even_a_start_that_nobody_waits_for() {
    let Some(bench) = Bench::new() else { return };
    drop(bench.start("sleeper", Kind::Job));
    bench.wait_until_empty();
    let launch = bench.launch("sleeper", Kind::Job);
    let id = launch.id.clone();
    assert!(block_on(clock::timeout(Duration::from_millis(60), bench.engine.start(launch))).is_none());
    until(|| !bench.engine.shared.shelf.is_claimed(&id));
    assert!(bench.containers().is_empty());
}

#[test]
fn what_is_done_by_hand_is_noticed() {
    let Some(bench) = Bench::new() else { return };
    let cases: [(&[&str], Exit); 5] = [
        (&["stop", "-t", "0"], Exit::Stopped),
        (&["kill"], Exit::Stopped),
        (&["kill", "-s", "TERM"], Exit::Stopped),
        (&["rm", "-f"], Exit::Removed),
        (&["pause"], Exit::Paused),
    ];
    for (n, (command, expected)) in cases.into_iter().enumerate() {
        let running = bench.start("echo", Kind::Http);
        ready(&running);
        let name = bench.name(n as u32 + 1);
        let said = docker(&[command, &[&*name]].concat());
        assert_eq!(ends_soon(&running), expected, "{command:?}: {said}");
        // And what is left of it, paused or not, goes.
        drop(running);
        bench.wait_until_empty();
    }
}

#[test]
fn crashes_and_memory_are_told_apart() {
    let Some(bench) = Bench::new() else { return };
    let running = bench.start("echo", Kind::Http);
    let at = ready(&running);
    write!(TcpStream::connect(at).unwrap(), "GET /exit/9 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(ends_soon(&running), Exit::Code(9));
    assert!(running.control.last_words().ends_with("told to exit\n"), "{:?}", running.control.last_words());

    let mut launch = bench.launch("eats", Kind::Job);
    launch.memory_bytes = Some(32 << 20);
    let running = block_on(bench.engine.start(launch)).unwrap();
    assert_eq!(block_on(clock::timeout(LONG, running.control.ended())), Some(Exit::OutOfMemory));
    let mut launch = bench.launch("echo", Kind::Http);
    launch.memory_bytes = Some(32 << 20);
    let running = block_on(bench.engine.start(launch)).unwrap();
    write!(TcpStream::connect(ready(&running)).unwrap(), "GET /eat HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(block_on(clock::timeout(LONG, running.control.ended())), Some(Exit::OutOfMemory));
}

#[test]
fn endless_output_is_passed_on_and_costs_no_memory() {
    let Some(bench) = Bench::new() else { return };
    let mut running = bench.start("prints", Kind::Job);
    let mut stdout = running.stdout.take().unwrap();
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        let n = block_on(stdout.read(&mut buffer)).unwrap();
        if n == 0 {
            break;
        }
        bytes += n;
        if bytes < 1 << 20 {
            std::thread::sleep(Duration::from_millis(5)); // a slow reader at first
        }
    }
    assert_eq!((bytes, block_on(running.control.ended())), (100 << 20, Exit::Code(0)));
    // As an http instance its lines go to the log, which keeps the newest.
    let before = resident_bytes();
    let running = block_on(bench.engine.start(bench.launch("chatty", Kind::Http)));
    if let Ok(running) = running {
        assert_eq!(block_on(clock::timeout(LONG, running.control.ended())), Some(Exit::Code(0)));
        assert!(running.control.last_words().len() <= 4 << 10);
    }
    let kept: usize = bench.logs.tail("f", usize::MAX).iter().map(|line| line.text.len()).sum();
    assert!(kept <= 512 << 10, "{kept}");
    assert!(resident_bytes() < before + (200 << 20));
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn what_cannot_start_says_why() {
    let Some(bench) = Bench::new() else { return };
    let none = bench.refused("none", Kind::Job);
    assert!(
        matches!(&none, EngineError::Command(text) if text.contains("nothing-here") && text.contains("`command`")),
        "{none:?}"
    );
    let mut launch = bench.launch("upper", Kind::Job);
    launch.memory_bytes = Some(1 << 20);
    let small = block_on(bench.engine.start(launch)).map(drop).unwrap_err();
    assert!(small.to_string().contains("memory_mb"), "{small:?}");
    let mut launch = bench.launch("upper", Kind::Job);
    launch.program = Program::Image("localhost:1/none:1".into());
    let unreachable = block_on(bench.engine.start(launch)).map(drop).unwrap_err();
    assert!(
        matches!(&unreachable, EngineError::Image(text) if text.contains("localhost:1 cannot be reached")),
        "{unreachable:?}"
    );
    let mut launch = bench.launch("upper", Kind::Job);
    launch.program = Program::Bundle("/tmp".into());
    assert!(matches!(block_on(bench.engine.start(launch)), Err(EngineError::Image(_))));
    // It may have been reached in the moment it lived: then its end tells.
    let (said, words) = match block_on(bench.engine.start(bench.launch("exits", Kind::Http))) {
        Err(error) => (error.to_string(), error.to_string()),
        Ok(running) => (ends_soon(&running).to_string(), running.control.last_words()),
    };
    assert!(said.contains("exited with code 7") && words.contains("no configuration found"), "{said}: {words}");
    bench.wait_until_empty();
}

#[test]
fn images_tell_how_they_serve() {
    let Some(bench) = Bench::new() else { return };
    let facts = |name: &str| block_on(bench.engine.prepare(name));
    assert_eq!(facts("cares-test/echo:1"), Ok(ImageFacts { http: true, port: 8080, root: true }));
    assert_eq!(facts("cares-test/other:1"), Ok(ImageFacts { http: true, port: 3000, root: true }));
    assert_eq!(facts("cares-test/upper:1"), Ok(ImageFacts { http: false, port: 8080, root: true }));
    assert!(matches!(facts("../etc"), Err(EngineError::Image(_))));
}

#[test]
fn the_next_worker_takes_over_what_serves_and_removes_the_rest() {
    let Some(bench) = Bench::new() else { return };
    let other = Bench::new().unwrap();
    let keeps = other.start("echo", Kind::Http);
    let serving = bench.start("echo", Kind::Http);
    let at = ready(&serving);
    // As kill -9 leaves them: nobody removes them.
    for running in [serving, bench.start("sleeper", Kind::Job), bench.start("deaf", Kind::Http)] {
        std::mem::forget(running);
    }
    let created = format!("cares-{}-i-9", bench.node);
    let label = format!("io.cares.node={}", bench.node);
    docker(&["create", "--name", &created, "--label", &label, "--label", "io.cares.id=i-9", "cares-test/echo:1"]);
    assert!(block_on(bench.engine.adopt()).unwrap().is_empty(), "it holds all but one itself");
    until(|| bench.containers().len() == 3);

    let next = Bench::of(bench.node.clone());
    let adopted = block_on(next.engine.adopt()).unwrap();
    assert_eq!(adopted.len(), 1);
    let one = adopted.into_iter().next().unwrap();
    assert_eq!((&*one.id, &*one.function, one.revision, one.running.address), ("i-1", "f", 7, Some(at)));
    until(|| next.containers().len() == 1);
    assert!(get(at, "/again").contains("/again"));
    until(|| next.logs.tail("f", 9).iter().any(|line| line.text.contains("/again")));
    assert!(block_on(next.engine.adopt()).unwrap().is_empty(), "none is adopted twice");
    // What the engine makes only now for the worker before is told of.
    docker(&["create", "--name", &created, "--label", &label, "--label", "io.cares.id=i-9", "cares-test/echo:1"]);
    block_on(clock::timeout(SOON, next.engine.appeared())).expect("nothing was told");
    assert!(block_on(next.engine.adopt()).unwrap().is_empty());
    until(|| next.containers().len() == 1);
    assert_eq!(block_on(clock::timeout(SOON, next.engine.appeared())), None, "its own starts and ends are no news");
    docker(&["stop", "-t", "0", &bench.name(1)]);
    assert_eq!(ends_soon(&one.running), Exit::Stopped);
    drop(one);
    next.wait_until_empty();
    assert!(keeps.address.is_some_and(|at| get(at, "/").contains("GET")), "another node's was touched");
}

#[test]
fn many_start_at_once() {
    let Some(bench) = Bench::new() else { return };
    let tasks: Vec<_> = (0..10).map(|_| bench.launch("upper", Kind::Job)).collect();
    let all: Vec<Running> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            tasks.into_iter().map(|l| scope.spawn(|| block_on(bench.engine.start(l)).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for running in all {
        assert_eq!(finish(running, b"x"), (b"X".to_vec(), Exit::Code(0)));
    }
    bench.wait_until_empty();
}

#[test]
fn only_sockets_of_this_machine_are_used() {
    assert_eq!(socket(None), Ok(DEFAULT_SOCKET.into()));
    assert_eq!(socket(Some("")), Ok(DEFAULT_SOCKET.into()));
    assert_eq!(socket(Some("unix:///run/x.sock")), Ok("/run/x.sock".into()));
    for odd in ["tcp://1.2.3.4:2375", "unix://x", "ssh://me@host", "/run/x.sock"] {
        assert!(matches!(socket(Some(odd)), Err(EngineError::Unavailable(text)) if text.contains("unix:///")), "{odd}");
    }
}

/// An image of our own, as if this worker had pulled it: no other test makes containers of it. Removed when dropped.
struct Tag(String);

impl Tag {
    fn of(image: &str, name: &str) -> Tag {
        let tag = format!("cares-test/pulled-{}-{name}:1", std::process::id());
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("Dockerfile"), format!("FROM cares-test/{image}:1\nLABEL own={tag}\n")).unwrap();
        docker(&["build", "-q", "-t", &tag, dir.path().to_str().unwrap()]);
        Tag(tag)
    }

    fn is_there(&self) -> bool {
        !docker(&["images", "-q", &self.0]).is_empty()
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", &self.0]).output(); // it may be gone
    }
}

#[test]
fn images_pulled_here_go_when_they_are_of_no_use_and_no_others() {
    let Some(bench) = Bench::new() else { return };
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("pulled.json");
    let [idle, busy, recent, strange] =
        [("upper", "idle"), ("sleeper", "busy"), ("upper", "recent"), ("upper", "strange")]
            .map(|(image, name)| Tag::of(image, name));
    let now = clock::unix_ms();
    let noted = serde_json::json!({ &idle.0: 5, &busy.0: 5, &recent.0: now, "cares-test/never-there:1": 5 });
    std::fs::write(&file, noted.to_string()).unwrap();
    bench.engine.shared.images.pulled.remember_in(file.clone());
    let launch = Launch { program: Program::Image(busy.0.clone()), ..bench.launch("sleeper", Kind::Job) };
    let running = block_on(bench.engine.start(launch)).unwrap();
    let rules = crate::garbage::Rules { unused_ms: 3_600_000, ..pulled::RULES };
    block_on(pulled::sweep(&bench.engine.shared, &rules)).unwrap();
    assert_eq!([&idle, &busy, &recent, &strange].map(Tag::is_there), [false, true, true, true]);
    bench.engine.shared.images.pulled.save();
    let kept: std::collections::BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), [&busy.0, &recent.0]);
    assert!(kept[&busy.0] >= now, "what a container is made of is in use");
    drop(running);
    bench.wait_until_empty();
    // Little space: the one used longest ago goes first, though it is not old.
    let rules = crate::garbage::Rules { young_ms: 0, bytes: 0, ..pulled::RULES };
    block_on(pulled::sweep(&bench.engine.shared, &rules)).unwrap();
    assert_eq!([&busy, &recent, &strange].map(Tag::is_there), [false, false, true]);
}
