//! What the tests share: processes of `cares` that end with the test, folders that are removed, and waiting for things.

use crate::head::Head;
use cares::client::{Answer, Body, Invoke, Orchestrator};
use cares::types::Node;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No single thing a test waits for takes longer, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test.
pub fn cares() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cares"));
    for variable in [
        "API_URL",
        "BUILDER_URL",
        "CONTROLLER_URL",
        "AUTH_TOKEN",
        "CARES_JOIN_TOKEN",
        "CARES_HTTP_ADDR",
        "CARES_GRPC_ADDR",
        "CARES_CA",
        "CARES_CERTIFICATE_S",
        "CARES_DATA_DIR",
        "CARES_LIMITS",
        "NO_COLOR",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end; what it printed, as text.
pub fn run(command: &mut Command) -> (ExitStatus, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("cares runs");
    (status, String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

/// Waits until `what` is so, looking often; panics with its name when it takes too long.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for_some(what, || is_so().then_some(()));
}

/// Waits until `look` finds something.
pub fn wait_for_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running role. Killed when dropped.
pub struct Role {
    child: Child,
    /// What follows `ready `.
    ready: String,
    log: Arc<Mutex<String>>,
}

impl Role {
    /// Starts it headless and waits for its ready line.
    pub fn start(args: &[&str]) -> Role {
        Role::start_with(args, |_| {})
    }

    /// The same, with the command changed first.
    pub fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Role {
        match Role::try_start_with(args, change) {
            Ok(role) => role,
            Err((status, log)) => panic!("cares {args:?} ended with {status} instead of being ready:\n{log}"),
        }
    }

    /// `Err` when it ended before it was ready: how, and what it said.
    pub fn try_start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Result<Role, (ExitStatus, String)> {
        Starting::with(args, change).ready()
    }

    /// A value of its ready line: `http`, `grpc` or `node`.
    pub fn ready(&self, key: &str) -> &str {
        let found = self.ready.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key} in 'ready {}'", self.ready))
    }

    /// Where its HTTP is.
    pub fn http(&self) -> SocketAddr {
        self.ready("http").parse().expect("an address")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.ready("http"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it printed so far, but for the ready line.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_some("the program ends", || self.child.try_wait().expect("its status"))
    }
}

/// A role that is not ready yet, and may never be. Killed when dropped.
pub struct Starting {
    role: Role,
    ready: mpsc::Receiver<String>,
    logger: thread::JoinHandle<()>,
}

impl Starting {
    /// Starts it headless and waits for nothing.
    pub fn with(args: &[&str], change: impl FnOnce(&mut Command)) -> Starting {
        let mut command = cares();
        command.args(args).arg("--headless").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("cares starts");
        let log = Arc::new(Mutex::new(String::new()));
        let told = log.clone();
        let stderr = child.stderr.take().expect("piped");
        let logger = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                told.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let (tx, ready) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        let told = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match line.strip_prefix("ready ") {
                    Some(ready) => drop(tx.send(ready.to_string())),
                    None => told.lock().unwrap().push_str(&(line + "\n")),
                }
            }
        });
        Starting { role: Role { child, ready: String::new(), log }, ready, logger }
    }

    /// All it printed so far.
    pub fn log(&self) -> String {
        self.role.log()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        self.role.signal(name);
    }

    /// Waits for its ready line.
    pub fn ready(mut self) -> Result<Role, (ExitStatus, String)> {
        match self.ready.recv_timeout(PATIENCE) {
            Ok(ready) => self.role.ready = ready,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.role.child.wait().expect("it ended");
                self.logger.join().expect("its log");
                return Err((status, self.role.log()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("not ready in time:\n{}", self.role.log()),
        }
        Ok(self.role)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.ready, self.log());
        }
    }
}

/// An orchestrator and some workers, and a client.
pub struct Cluster {
    // Dropped in this order: workers first.
    pub workers: Vec<Role>,
    pub head: Role,
    pub client: Orchestrator,
    pub dir: TempDir,
}

impl Cluster {
    /// With so many workers, named w1, w2, …, all active and linked.
    pub fn start(workers: usize) -> Cluster {
        Cluster::start_in(tempfile::tempdir().expect("a folder"), workers)
    }

    /// The same, in a folder that may have something in it.
    pub fn start_in(dir: TempDir, workers: usize) -> Cluster {
        Cluster::start_told(dir, workers, &[])
    }

    /// The same, with more flags of the orchestrator; they are not given again when it is restarted.
    pub fn start_told(dir: TempDir, workers: usize, flags: &[&str]) -> Cluster {
        Head::of(dir.path()).told(flags).alone(dir).with_workers(workers, &[])
    }

    /// With so many more workers, named w1, w2, …, each with these flags.
    pub fn with_workers(mut self, count: usize, flags: &[&str]) -> Cluster {
        (1..=count).for_each(|n| _ = self.add_worker(&format!("w{n}"), flags));
        self
    }

    /// One more worker; its data folder is named like it, so that it can be started again.
    pub fn add_worker(&mut self, name: &str, args: &[&str]) -> &mut Role {
        let worker = self.start_worker(name, args);
        self.wait_linked(name);
        self.workers.push(worker);
        self.workers.last_mut().expect("just pushed")
    }

    /// Starts a worker and waits until it has joined.
    pub fn start_worker(&self, name: &str, args: &[&str]) -> Role {
        let dir = self.dir.path().join(name);
        let mut all = vec!["worker", self.head.ready("grpc"), "--name", name, "--worker-addr", "127.0.0.1:0"];
        all.extend(["--data-dir", dir.to_str().expect("UTF-8")]);
        all.extend(args);
        Role::start(&all)
    }

    /// kill -9 for a worker, then the same once more: name, folder, flags are the caller's.
    pub fn restart_worker(&mut self, at: usize, name: &str, args: &[&str]) {
        self.workers[at].kill();
        self.workers[at] = self.start_worker(name, args);
        self.wait_linked(name);
    }

    /// Waits until a node takes calls.
    pub fn wait_linked(&self, name: &str) {
        wait_for("the worker's links are open", || self.client.node(name).is_ok_and(|n| is_linked(&n)));
    }

    /// Waits until a node has that status.
    pub fn wait_status(&self, name: &str, status: &str) {
        wait_for(&format!("node {name} is {status}"), || self.client.node(name).is_ok_and(|n| n.status == status));
    }

    /// Starts the orchestrator again, on the same ports and data.
    pub fn restart_head(&mut self) {
        self.head.kill();
        self.head = Head::of(self.dir.path()).at_those_of(&self.head).start();
    }

    /// Deploys a folder made of a manifest and files; files are executable.
    pub fn deploy(&self, name: &str, manifest: &str, files: &[(&str, &str)]) {
        let folder = self.folder(name, manifest, files);
        let (status, out, err) =
            run(cares().arg("deploy").arg(&folder).args(["--name", name, "--url", &self.head.url()]));
        assert!(status.success(), "{out}{err}");
    }

    /// Makes such a folder.
    pub fn folder(&self, name: &str, manifest: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.dir.path().join(format!("source-{name}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("function.json"), manifest).expect("a manifest");
        for (file, text) in files {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.join(file);
            std::fs::write(&path, text).expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
        }
        folder
    }

    /// Deploys `echo`, the http function in the binary.
    pub fn deploy_echo(&self, settings: &str) {
        let manifest = format!(r#"{{"mode":"http","command":["cares","demo-function","echo"]{settings}}}"#);
        self.deploy("echo", &manifest, &[]);
    }

    /// Deploys a job that is a shell script.
    pub fn deploy_script(&self, name: &str, script: &str) {
        let manifest = r#"{"mode":"job","command":["./run.sh"]}"#;
        self.deploy(name, manifest, &[("run.sh", &format!("#!/bin/sh\n{script}\n"))]);
    }

    /// The same for one that writes where the test looks.
    pub fn deploy_open_script(&self, name: &str, script: &str) {
        let manifest = r#"{"mode":"job","command":["./run.sh"],"isolation":{"files":"open"}}"#;
        self.deploy(name, manifest, &[("run.sh", &format!("#!/bin/sh\n{script}\n"))]);
    }

    /// Calls a function with a body; status and answer as text.
    pub fn call(&self, name: &str, body: &str) -> (u16, String) {
        let (answer, text) = self.invoke(name, body);
        (answer.status, text)
    }

    /// The same, with the answer's head.
    pub fn invoke(&self, name: &str, body: &str) -> (Answer, String) {
        invoke(&self.client, name, body)
    }

    /// Calls a function on a thread of its own; what it gives is the answer and when it was here.
    pub fn call_aside(&self, name: &str, body: &str) -> thread::JoinHandle<(u16, String, Instant)> {
        let (client, name, body) = (self.client.clone(), name.to_string(), body.to_string());
        thread::spawn(move || {
            let (answer, text) = invoke(&client, &name, &body);
            (answer.status, text, Instant::now())
        })
    }

    /// The code of the problem that a call ends with.
    pub fn problem(&self, name: &str, body: &str) -> cares::types::Problem {
        let (status, text) = self.call(name, body);
        let problem: cares::types::Problem =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("status {status}, no problem: {text}"));
        assert_eq!(problem.status, status);
        problem
    }
}

/// Whether a node takes calls.
pub fn is_linked(node: &Node) -> bool {
    node.status == "active" && node.reach == "links"
}

/// Calls a function with a body, and reads the whole answer.
pub fn invoke(client: &Orchestrator, name: &str, body: &str) -> (Answer, String) {
    let invoke = Invoke { method: "POST".into(), body: Body::Bytes(body.into()), ..Default::default() };
    let mut answer = client.invoke(name, invoke).expect("an answer");
    let mut text = String::new();
    answer.reader.read_to_string(&mut text).expect("a whole answer");
    (answer, text)
}

/// A loopback address for one test alone: what listens there may end and start again on its port, and nobody else has
/// taken it in between.
pub fn own_ip() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, (std::process::id() % 254) as u8 + 1, high, low).into()
}

/// Where nobody listens, nor will but for who asked.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((own_ip(), 0)).expect("a port").local_addr().expect("its address")
}

/// Sends bytes as they are and reads until the other end closes or `PATIENCE` is over.
pub fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let _ = stream.write_all(bytes); // it may have been refused half-way
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a reset ends it too
    String::from_utf8_lossy(&answer).into_owned()
}
