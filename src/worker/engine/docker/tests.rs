//! The real engine. Without one these say so and pass, unless CARES_REQUIRE_DOCKER=1. Each uses a node's id of its own and
//! removes what is left of it, so they run side by side and beside other containers.

use super::super::{Exit, Kind, Program};
use super::*;
use crate::clock;
use futures_lite::future::block_on;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
/// What the engine's own news may take.
const SOON: Duration = Duration::from_secs(2);

struct Bench {
    engine: DockerEngine,
    logs: Arc<LogBook>,
    node: String,
    next: AtomicU32,
}

/// The test images, if there is an engine; made once.
fn engine_is_there() -> bool {
    static THERE: OnceLock<Result<(), String>> = OnceLock::new();
    let there = THERE.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/images");
        let made = Command::new(script).output().map_err(|error| format!("{script}: {error}"))?;
        made.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&made.stderr).into_owned())
    });
    if let Err(why) = there {
        assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "CARES_REQUIRE_DOCKER=1, but: {why}");
        eprintln!("skipped, as there is no engine to test with: {why}");
    }
    there.is_ok()
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
        let logs = Arc::new(LogBook::new(|| 0));
        let engine = DockerEngine::new(&node, logs.clone()).unwrap();
        assert!(matches!(block_on(engine.changed()), Availability::Up { .. }));
        Bench { engine, logs, node, next: AtomicU32::new(1) }
    }

    fn launch(&self, image: &str, kind: Kind) -> Launch {
        Launch {
            id: format!("i-{}", self.next.fetch_add(1, Ordering::Relaxed)),
            function: "f".into(),
            revision: 7,
            program: Program::Image(format!("cares-test/{image}:1")),
            command: vec![],
            env: vec![],
            memory_bytes: None,
            cpu: None,
            kind,
        }
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

fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
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
    assert_eq!(facts("cares-test/echo:1"), Ok(ImageFacts { http: true, port: 8080 }));
    assert_eq!(facts("cares-test/other:1"), Ok(ImageFacts { http: true, port: 3000 }));
    assert_eq!(facts("cares-test/upper:1"), Ok(ImageFacts { http: false, port: 8080 }));
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
fn no_engine_is_said_and_its_return_is_noticed() {
    // No real one is needed: a socket that comes and goes, behind which nobody answers, then somebody does.
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("engine.sock");
    let engine = DockerEngine::at(&socket, "n", Arc::new(LogBook::new(|| 0))).unwrap();
    let next = || block_on(clock::timeout(LONG, engine.changed())).expect("nothing was told");
    let told = |part: &str| {
        let now = next();
        assert!(
            matches!(&now, Availability::Down { reason, fix } if reason.contains(part) && !fix.is_empty()),
            "{now:?}"
        );
    };
    told("does not exist");
    let launch = Launch {
        id: "i".into(),
        function: "f".into(),
        revision: 1,
        program: Program::Image("x".into()),
        command: vec![],
        env: vec![],
        memory_bytes: None,
        cpu: None,
        kind: Kind::Job,
    };
    let refused = block_on(engine.start(launch)).map(drop).unwrap_err();
    assert!(matches!(&refused, EngineError::Unavailable(text) if text.contains("does not exist")), "{refused:?}");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    told("did not answer within");
    drop(listener);
    told("is stopped");
    std::fs::remove_file(&socket).unwrap();
    told("does not exist");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let answering = std::thread::spawn(move || {
        // One answer, then it is gone again.
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = client.read(&mut request).unwrap();
        let body = r#"{"Version":"99","ApiVersion":"1.45","MinAPIVersion":null,"Odd":1}"#;
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    assert_eq!(next(), Availability::Up { version: "Docker 99 (API 1.45)".into() });
    answering.join().unwrap();
    told("stopped");
}

/// An engine of its own, so that it can be stopped: all in one folder, and in a network namespace of its own, because
/// an engine without a bridge deletes the `docker0` it finds.
struct OwnEngine {
    dir: tempfile::TempDir,
    process: std::process::Child,
}

impl OwnEngine {
    fn run(dir: &Path) -> std::process::Child {
        let option = |name: &str, file: &str| format!("--{name}={}", dir.join(file).display());
        Command::new("unshare")
            .args(["--net", "dockerd"])
            .args([option("data-root", "data"), option("exec-root", "exec"), option("pidfile", "pid")])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"])
            .arg(format!("--host=unix://{}", dir.join("d.sock").display()))
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    /// Only root can.
    fn start() -> Option<OwnEngine> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
        if !engine_is_there() || !root || Command::new("dockerd").arg("--version").output().is_err() {
            eprintln!("skipped: to stop and start an engine takes root, and dockerd");
            return None;
        }
        let dir = tempfile::TempDir::new().unwrap();
        let process = OwnEngine::run(dir.path());
        let own = OwnEngine { dir, process };
        until(|| own.docker(&["version"]).contains("Server"));
        let image = own.dir.path().join("image.tar").display().to_string();
        docker(&["save", "-o", &image, "cares-test/sleeper:1", "cares-test/upper:1"]);
        own.docker(&["load", "-i", &image]);
        Some(own)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}", self.socket().display());
        docker(&[&["-H", &*host], arguments].concat())
    }

    fn signal(&self, signal: &str) {
        Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status().unwrap();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.signal("CONT");
        self.signal("TERM"); // not KILL: its containers and its containerd would stay
        let _ = self.process.wait();
    }
}

#[test]
fn an_engine_may_hang_stop_and_come_back() {
    let Some(mut own) = OwnEngine::start() else { return };
    let logs = Arc::new(LogBook::new(|| 0));
    let engine = DockerEngine::at(&own.socket(), "n", logs.clone()).unwrap();
    let bench = Bench { engine, logs, node: "own".into(), next: AtomicU32::new(1) };
    let next = || block_on(clock::timeout(LONG, bench.engine.changed())).expect("nothing was told");
    let up = |now| assert!(matches!(&now, Availability::Up { .. }), "{now:?}");
    let down = |now| assert!(matches!(&now, Availability::Down { .. }), "{now:?}");
    up(next());

    // It hangs: it is said, and what runs goes on.
    let running = bench.start("sleeper", Kind::Job);
    own.signal("STOP");
    down(next());
    let begun = Instant::now();
    assert!(
        matches!(bench.refused("upper", Kind::Job), EngineError::Unavailable(text) if text.contains("did not answer"))
    );
    assert!(begun.elapsed() < SOON, "a hanging engine must not be asked");
    assert!(block_on(clock::timeout(SOON, running.control.ended())).is_none());
    own.signal("CONT");
    up(next());
    assert_eq!(finish(bench.start("upper", Kind::Job), b"x"), (b"X".to_vec(), Exit::Code(0)));

    // It is killed: what it ran is lost within two seconds, and it is told.
    own.signal("KILL");
    own.process.wait().unwrap();
    let exit = block_on(clock::timeout(SOON + Duration::from_millis(500), running.control.ended()));
    assert_eq!(exit, Some(Exit::EngineLost));
    down(next());
    drop(running);
    own.process = OwnEngine::run(own.dir.path());
    // Between the two it may also have been heard to start.
    while !matches!(next(), Availability::Up { .. }) {}
    until(|| own.docker(&["ps", "-aq"]).is_empty());
    assert_eq!(finish(bench.start("upper", Kind::Job), b"x"), (b"X".to_vec(), Exit::Code(0)));

    // It is stopped in order.
    let running = bench.start("sleeper", Kind::Job);
    own.signal("TERM");
    own.process.wait().unwrap();
    let exit = block_on(clock::timeout(SOON + Duration::from_millis(500), running.control.ended()));
    assert!(exit.is_some(), "its end was not noticed");
    down(next());
    own.process = OwnEngine::run(own.dir.path());
    while !matches!(next(), Availability::Up { .. }) {}
    // An http function has no network there, which is said.
    let no_network = bench.refused("sleeper", Kind::Http).to_string();
    assert!(no_network.contains("no network"), "{no_network}");
    drop(running);
    until(|| own.docker(&["ps", "-aq"]).is_empty());
}

/// Figures, for people: `cargo test --release -- --ignored --nocapture figures`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    let Some(bench) = Bench::new() else { return };
    let median = |mut all: Vec<Duration>| {
        all.sort();
        all[all.len() / 2].as_millis()
    };
    let time = |f: &dyn Fn()| {
        let begun = Instant::now();
        f();
        begun.elapsed()
    };
    let rounds = 15;
    let own = |n: u32| format!("{}-raw-{n}", bench.node);
    let ours = (0..rounds).map(|_| {
        let begun = Instant::now();
        let running = bench.start("echo", Kind::Http);
        let started = begun.elapsed();
        ready(&running);
        let ready = begun.elapsed();
        block_on(running.control.stop(Duration::from_secs(5)));
        (started, ready)
    });
    let (started, ready): (Vec<_>, Vec<_>) = ours.unzip();
    println!("http: start {} ms, ready {} ms", median(started), median(ready));
    let label = format!("io.cares.node={}", bench.node);
    let create = |n| drop(docker(&["create", "--name", &own(n), "--label", &label, "cares-test/echo:1"]));
    println!("docker create (CLI): {} ms", median((0..rounds).map(|n| time(&|| create(n))).collect()));
    let start = (0..rounds).map(|n| time(&|| drop(docker(&["start", &own(n)]))));
    println!("docker start (CLI): {} ms", median(start.collect()));
    let job = (0..rounds).map(|_| time(&|| drop(finish(bench.start("upper", Kind::Job), b"hello"))));
    println!("job round trip: {} ms", median(job.collect()));
    let run = (0..rounds).map(|_| time(&|| drop(docker(&["run", "--rm", "--label", &label, "cares-test/upper:1"]))));
    println!("docker run --rm: {} ms", median(run.collect()));
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
