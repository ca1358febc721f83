//! Engines that are not there, hang, die and come back.

use super::*;

#[test]
fn no_engine_is_said_and_its_return_is_noticed() {
    // No real one is needed: a socket that comes and goes, behind which nobody answers, then somebody does.
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("engine.sock");
    let engine = DockerEngine::at(&socket, "n", Arc::new(LogBook::new(|| 0, &Default::default())), None).unwrap();
    let next = || block_on(clock::timeout(LONG, engine.changed())).expect("nothing was told");
    let told = |part: &str| {
        let now = next();
        assert!(
            matches!(&now, Availability::Down { reason, fix } if reason.contains(part) && !fix.is_empty()),
            "{now:?}"
        );
    };
    told("does not exist");
    let launch = Launch::plain("i", Program::Image("x".into()), Kind::Job);
    let refused = block_on(engine.start(launch)).map(drop).unwrap_err();
    assert!(matches!(&refused, EngineError::Unavailable(text) if text.contains("does not exist")), "{refused:?}");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    told("did not answer within");
    drop(listener);
    told("is stopped");
    std::fs::remove_file(&socket).unwrap();
    told("does not exist");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (seen, until_seen) = std::sync::mpsc::channel::<()>();
    let answering = std::thread::spawn(move || {
        // One answer, and when it was heard it is gone again.
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = client.read(&mut request).unwrap();
        let body = r#"{"Version":"99","ApiVersion":"1.45","MinAPIVersion":null,"Odd":1}"#;
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        drop(client);
        let _ = until_seen.recv();
    });
    assert_eq!(next(), Availability::Up { version: "Docker 99 (API 1.45)".into() });
    drop(seen);
    answering.join().unwrap();
    told("stopped");
}

/// An engine of its own, so that it can be stopped: all in one folder, and in a network namespace of its own, because
/// an engine without a bridge deletes the `docker0` it finds.
pub struct OwnEngine {
    dir: tempfile::TempDir,
    process: std::process::Child,
}

impl OwnEngine {
    fn run(dir: &Path) -> std::process::Child {
        Command::new("unshare")
            .args(["--net", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/docker-engine"), "--own"])
            .arg(dir)
            .arg("--bridge=none")
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    /// Only root can.
    pub fn start() -> Option<OwnEngine> {
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
        std::fs::remove_file(image).unwrap();
        Some(own)
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    pub fn docker(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}", self.socket().display());
        docker(&[&["-H", &*host], arguments].concat())
    }

    fn signal(&self, signal: &str) {
        kill(signal, &self.process.id().to_string());
    }
}

impl OwnEngine {
    /// Once more after its end. One that was killed may find what it left in its way: then again.
    fn again(&mut self) {
        self.process.wait().unwrap();
        let containerd = std::fs::read_to_string(self.dir.path().join("exec/containerd/containerd.pid"));
        if let Ok(pid) = containerd {
            kill("KILL", pid.trim());
        }
        self.process = OwnEngine::run(self.dir.path());
        until(|| {
            if self.process.try_wait().unwrap().is_some() {
                self.process = OwnEngine::run(self.dir.path());
            }
            self.docker(&["version"]).contains("Server")
        });
    }
}

fn kill(signal: &str, pid: &str) {
    let _ = Command::new("kill").args(["-s", signal, pid]).output();
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.signal("CONT");
        self.signal("TERM");
        let _ = self.process.wait();
        // What is left of one that was killed: its containers' keepers, and what it had mounted. All name the folder.
        let dir = self.dir.path().display().to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(&format!("-address\0{dir}/")) {
                let pid = process.file_name().to_string_lossy().into_owned();
                let _ = Command::new("pkill").args(["-KILL", "-P", &pid]).output();
                kill("KILL", &pid);
            }
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for at in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&dir)) {
            let _ = Command::new("umount").args(["-l", at]).output();
        }
    }
}

#[test]
fn an_engine_may_hang_stop_and_come_back() {
    let Some(mut own) = OwnEngine::start() else { return };
    let logs = Arc::new(LogBook::new(|| 0, &Default::default()));
    let engine = DockerEngine::at(&own.socket(), "n", logs.clone(), None).unwrap();
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
    own.again();
    // On its way it may have been heard of more than once.
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
    own.again();
    while !matches!(next(), Availability::Up { .. }) {}
    // An http function has no network there, which is said.
    let no_network = bench.refused("sleeper", Kind::Http).to_string();
    assert!(no_network.contains("no network"), "{no_network}");
    drop(running);
    until(|| own.docker(&["ps", "-aq"]).is_empty());
}
