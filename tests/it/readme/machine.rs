//! A machine of a test's own to type commands on: a shell in namespaces (network, mounts, name), so that
//! 127.0.0.1:8080 is free there. Processes have none: workers tell by their ids whose control groups are left over.

use crate::docker::docker;
use crate::harness::{PATIENCE, wait_for_some};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

/// A command that has ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// One that goes on: its process there, and the files with what it says.
struct Job {
    command: String,
    pid: String,
    files: [PathBuf; 2],
}

impl Job {
    fn said(&self) -> String {
        self.files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect()
    }
}

pub struct Machine {
    /// The shell, which leads a process group with all that is typed.
    child: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<String>,
    /// Where what commands say is kept.
    kept: PathBuf,
    commands: u32,
    ended: bool,
    jobs: Vec<Job>,
}

/// Whether this one may make others.
pub fn may_be_made() -> bool {
    let there = |program: &str| Command::new(program).arg("--help").output().is_ok();
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if root && ["unshare", "nsenter", "ip", "curl", "openssl", "script"].iter().all(|program| there(program)) {
        return true;
    }
    let why =
        "the README's commands take root, unshare, nsenter and ip for a network of their own, curl, openssl and script";
    assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "CARES_REQUIRE_DOCKER=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

impl Machine {
    /// Called `name`, with a home of its own below `dir` and the shell in `dir/here`, which all machines share.
    pub fn start(name: &str, dir: &Path) -> Machine {
        let program = Path::new(env!("CARGO_BIN_EXE_cares")).parent().expect("a folder").display().to_string();
        let (here, home, kept) = (dir.join("here"), dir.join(format!("{name}-home")), dir.join(format!("{name}-said")));
        for folder in [&here, &home, &kept] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--uts", "bash"]);
        command.env_clear().env("PATH", format!("{program}:{}", std::env::var("PATH").expect("PATH")));
        command.env("HOME", home).env("TERM", "xterm").env("LANG", "C.UTF-8").current_dir(here);
        let log = std::fs::File::create(kept.join("shell")).expect("a file");
        command.process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().expect("unshare runs");
        let stdout = child.stdout.take().expect("piped");
        let (tell, answers) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let _ = lines.map(|line| tell.send(line)).find(Result::is_err);
        });
        let stdin = child.stdin.take().expect("piped");
        let mut machine = Machine { child, stdin, answers, kept, commands: 0, ended: false, jobs: Vec::new() };
        machine.does("ip link set lo up");
        machine.does(&format!("hostname {name}"));
        machine
    }

    /// Has it know hosts by name.
    pub fn knows(&mut self, hosts: &str) {
        let file = self.kept.join("hosts");
        std::fs::write(&file, hosts).expect("a file");
        self.does(&format!("mount --bind {} /etc/hosts", file.display()));
    }

    /// A cable to another one, with an address at each end.
    pub fn connect(&mut self, own: &str, other: &mut Machine, others: &str) {
        let (here, there) = (self.child.id().to_string(), other.child.id().to_string());
        let cable = ["ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", &there];
        ip(Command::new("nsenter").args(["--net", "--target", &here]).args(cable));
        self.does(&format!("ip address add {own}/24 dev lan && ip link set lan up"));
        other.does(&format!("ip address add {others}/24 dev lan && ip link set lan up"));
    }

    /// A cable to the engine's bridge, where containers are.
    pub fn reach_containers(&mut self) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = std::process::id();
        let asked = "{{(index .IPAM.Config 0).Subnet}} {{index .Options \"com.docker.network.bridge.name\"}}";
        let network = docker(&["network", "inspect", "bridge", "--format", asked]);
        let (subnet, bridge) = network.split_once(' ').expect("a subnet and a name");
        let (base, bits) = subnet.split_once('/').expect("a subnet");
        let size = 1_u32 << (32 - bits.parse::<u32>().expect("bits"));
        // From the end, where the engine has not come to; one that no other test has now.
        let at = u32::from(base.parse::<Ipv4Addr>().expect("an address")) + size - 2 - (own * 16 + n) % (size / 2);
        let (name, process) = (format!("cr{}x{n}", own % 1_000_000), self.child.id().to_string());
        ip(Command::new("ip")
            .args(["link", "add", &name, "type", "veth", "peer", "name", "bridge", "netns", &process]));
        ip(Command::new("ip").args(["link", "set", &name, "master", bridge, "up"]));
        self.does(&format!("ip address add {}/{bits} dev bridge && ip link set bridge up", Ipv4Addr::from(at)));
    }

    /// Types something, and waits for the answer to it.
    fn typed(&mut self, text: &str, what: &str) -> String {
        let typed = writeln!(self.stdin, "{text}");
        let answer = typed.ok().and_then(|()| self.answers.recv_timeout(PATIENCE).ok());
        answer.unwrap_or_else(|| panic!("no end within {PATIENCE:?}, or of the shell itself: {what}\n{}", self.told()))
    }

    fn files(&mut self) -> [PathBuf; 2] {
        self.commands += 1;
        ["out", "err"].map(|end| self.kept.join(format!("{}.{end}", self.commands)))
    }

    /// Runs a command to its end; what it sets stays set.
    pub fn run(&mut self, command: &str, stdin: &str) -> Said {
        let [out, err] = self.files();
        let from = self.kept.join("stdin");
        std::fs::write(&from, stdin).expect("a file");
        let shown = [&from, &out, &err].map(|file| file.display().to_string());
        let text = format!("{{ {command}\n}} <{} >{} 2>{}; echo $?", shown[0], shown[1], shown[2]);
        let code = self.typed(&text, command).parse().expect("a code");
        let [out, err] = [out, err].map(|file| String::from_utf8_lossy(&std::fs::read(file).expect("it")).into_owned());
        Said { code, out, err }
    }

    /// The same for what only has to go well; what it printed.
    pub fn does(&mut self, command: &str) -> String {
        let Said { code, out, err } = self.run(command, "");
        assert_eq!(code, 0, "{command}: {out}{err}");
        out
    }

    /// Starts one that goes on, and waits until it has said this; all it has said.
    pub fn begin(&mut self, command: &str, says: &str) -> String {
        let files = self.files();
        let [out, err] = [&files[0], &files[1]].map(|file| file.display().to_string());
        let pid = self.typed(&format!("{{ exec {command}\n}} </dev/null >{out} 2>{err} & echo $!"), command);
        let job = Job { command: command.to_string(), pid, files };
        self.jobs.push(job);
        wait_for_some(&format!("{command} says: {says}"), || {
            let job = self.jobs.last().expect("just pushed");
            let (said, pid) = (job.said(), job.pid.clone());
            if said.contains(says) {
                return Some(said);
            }
            self.goes_on(&pid, command);
            None
        })
    }

    /// Fails unless that process has not ended.
    fn goes_on(&mut self, pid: &str, command: &str) {
        let Said { code, .. } = self.run(&format!("kill -0 {pid}"), "");
        assert_eq!(code, 0, "it has ended by itself: {command}\n{}", self.told());
    }

    /// Ends what goes on, the last first.
    pub fn end_all(&mut self) {
        while let Some(job) = self.jobs.last() {
            let (pid, command) = (job.pid.clone(), job.command.clone());
            self.goes_on(&pid, &command);
            self.run(&format!("kill {pid}; wait {pid}"), "");
            self.jobs.pop();
        }
    }

    /// Ends the shell and all that was typed at once.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return; // its id may be another's
        }
        let group = Pid::from_raw(self.child.id() as i32).expect("an id");
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }

    /// What all that goes on has said.
    pub fn told(&self) -> String {
        self.jobs.iter().map(|job| format!("--- {}\n{}", job.command, job.said())).collect()
    }
}

fn ip(command: &mut Command) {
    let out = command.output().expect("ip runs");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.told());
        }
        self.kill();
    }
}
