//! Real processes. Every wait is for a condition, with a limit so long that only a fault reaches it.

use super::super::{Exit, Kind, Program};
use super::*;
use crate::clock::until;
use crate::sandbox::{cgroup, landlock, seccomp, view};
use crate::worker::logs::Stream;
use futures_lite::future::{block_on, poll_once};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

struct Bench {
    dir: TempDir,
    engine: ProcessEngine,
    logs: Arc<LogBook>,
    next: AtomicU32,
}

impl Bench {
    fn new() -> Bench {
        Bench::entered_by(0o755)
    }

    /// In a folder of this mode: where others may not enter, no launch can be a user of its own.
    fn entered_by(mode: u32) -> Bench {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("bundle")).unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).unwrap();
        let logs = Arc::new(LogBook::new(|| 0, &Default::default()));
        let engine = ProcessEngine::new(&dir.path().join("data"), logs.clone()).unwrap();
        Bench { dir, engine, logs, next: AtomicU32::new(1) }
    }

    fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join("bundle").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    fn launch(&self, kind: Kind, command: &[&str]) -> Launch {
        let id = format!("i-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let command = command.iter().map(|word| word.to_string()).collect();
        Launch { command, ..Launch::plain(&id, Program::Bundle(self.dir.path().join("bundle")), kind) }
    }

    fn start(&self, kind: Kind, script: &str) -> Running {
        block_on(self.engine.start(self.launch(kind, &["sh", "-c", script]))).unwrap()
    }

    /// What a job prints, once it has ended well.
    fn prints(&self, launch: Launch) -> String {
        let mut running = block_on(self.engine.start(launch)).unwrap();
        let out = read(&mut running);
        assert_eq!(block_on(running.control.ended()), Exit::Code(0), "{}", running.control.last_words());
        out
    }

    fn refuses(&self, command: &[&str]) -> String {
        match block_on(self.engine.start(self.launch(Kind::Job, command))) {
            Err(EngineError::Command(text)) => text,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{command:?} started"),
        }
    }

    fn log(&self) -> Vec<String> {
        self.logs.tail("f", usize::MAX).iter().map(|line| line.text.to_string()).collect()
    }

    fn wait_for_line(&self, line: &str) {
        until(|| self.log().iter().any(|text| text == line));
    }

    fn run_dirs(&self) -> usize {
        fs::read_dir(self.dir.path().join("data/run")).unwrap().count()
    }
}

fn read(running: &mut Running) -> String {
    drop(running.stdin.take());
    let mut out = String::new();
    block_on(running.stdout.take().unwrap().read_to_string(&mut out)).unwrap();
    out
}

/// A line of a job's output, without waiting for its end.
fn read_line(running: &mut Running) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    let stdout = running.stdout.as_mut().unwrap();
    while block_on(stdout.read(&mut byte)).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0].into());
    }
    line
}

/// The letter of a process' state; `None` when it is gone or nobody has reaped it yet.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next().filter(|state| *state != 'Z' && *state != 'X')
}

#[test]
fn a_job_reads_and_prints() {
    let bench = Bench::new();
    let mut running = bench.start(Kind::Job, "cat; echo to the log >&2; exit 3");
    assert!(running.address.is_none());
    let big = "0123456789abcdef".repeat(20_000);
    let mut stdin = running.stdin.take().unwrap();
    let text = big.clone();
    rt::spawn(async move { stdin.write_all(text.as_bytes()).await.unwrap() });
    assert_eq!(read(&mut running), big);
    for _ in 0..2 {
        assert_eq!(block_on(running.control.ended()), Exit::Code(3));
    }
    assert_eq!(running.control.last_words(), "to the log\n");
    let line = &bench.logs.tail("f", 1)[0];
    assert_eq!((&*line.source, line.stream, &*line.text), ("i-1", Stream::Stderr, "to the log"));
    assert_eq!(block_on(bench.start(Kind::Job, "kill -9 $$").control.ended()), Exit::Signal(9));
}

#[test]
fn http_gets_a_port_and_is_logged() {
    let bench = Bench::new();
    let running = bench.start(Kind::Http, "echo port $PORT; echo oops >&2; exec sleep 1000");
    assert!(running.stdin.is_none() && running.stdout.is_none());
    let address = running.address.unwrap();
    assert!(address.ip().is_loopback());
    bench.wait_for_line(&format!("port {}", address.port()));
    bench.wait_for_line("oops");
    assert_eq!(block_on(running.control.stop(LONG)), Exit::Signal(15));
    assert!(running.control.last_words().contains("oops"));
}

#[test]
fn the_environment_is_clean() {
    let bench = Bench::new();
    let mut launch = bench.launch(Kind::Job, &["env"]);
    launch.env = vec![("MINE".into(), "a=b c".into()), ("PWD".into(), "no".into())];
    let run = fs::canonicalize(bench.dir.path().join("data/run")).unwrap().join(&launch.id);
    let (run, bundle) = (run.display().to_string(), bench.dir.path().join("bundle").display().to_string());
    let mut expected = vec![
        format!("CARES_RUN_DIR={run}"),
        format!("HOME={run}"),
        "MINE=a=b c".into(),
        format!("PATH={}", crate::sandbox::programs::programs().path()),
        format!("PWD={bundle}"),
        format!("TMPDIR={run}"),
    ];
    expected.sort();
    let out = bench.prints(launch);
    let mut got: Vec<&str> = out.lines().collect();
    got.sort();
    assert_eq!(got, expected);
    let out = bench.prints(bench.launch(Kind::Job, &["sh", "-c", "touch $HOME/it && ls -ld $HOME $HOME/it; pwd"]));
    assert!(
        out.starts_with("drwx------") && out.contains("\n-rw-------") && out.trim_end().ends_with(&bundle),
        "{out}"
    );

    let mut launch = bench.launch(Kind::Job, &["env"]);
    launch.env = vec![("A=B".into(), "x".into())];
    assert!(matches!(block_on(bench.engine.start(launch)), Err(EngineError::Command(text)) if text.contains("A=B")));
}

#[test]
fn limits_and_privileges_are_set() {
    let bench = Bench::new();
    let script = "ulimit -c; ulimit -f; ulimit -d; ulimit -n; grep NoNewPrivs /proc/self/status; echo $$; \
                  cat /proc/$$/stat; ls /proc/$$/fd; true";
    let mut launch = bench.launch(Kind::Job, &["bash", "-c", script]);
    launch.memory_bytes = Some(512 << 20);
    let out = bench.prints(launch);
    let lines: Vec<&str> = out.lines().collect();
    // Temporary files that are on disk are limited one by one. Memory is the control group's business, where there is one.
    let files = if view::may_be_made() { "1048576" } else { "524288" };
    let grouped = cgroup::Place::find().is_some_and(|place| place.limits().contains("memory"));
    assert_eq!(lines[..3], ["0", files, if grouped { "unlimited" } else { "524288" }], "{out}");
    assert!(lines[3].parse::<u64>().unwrap() <= 65_536);
    assert_eq!(lines[4], "NoNewPrivs:\t1");
    let stat: Vec<&str> = lines[6].split(' ').collect();
    assert_eq!([stat[4], stat[5]], [lines[5]; 2], "it leads its group and its session");
    assert_eq!(lines[7..], ["0", "1", "2"], "whatever this process was given open");

    let eat = "x=$(head -c 64000000 /dev/zero | tr '\\0' x)";
    let mut launch = bench.launch(Kind::Job, &["bash", "-c", eat]);
    launch.memory_bytes = Some(32 << 20);
    let running = block_on(bench.engine.start(launch)).unwrap();
    let exit = block_on(running.control.ended());
    assert!(if grouped { exit == Exit::OutOfMemory } else { !exit.success() }, "{exit}");
}

#[test]
fn it_may_end_in_its_own_way_and_is_killed_if_it_will_not() {
    let bench = Bench::new();
    let polite = bench.start(Kind::Http, "trap 'exit 7' TERM; echo polite; while :; do sleep 0.05; done");
    let deaf = bench.start(Kind::Http, "trap '' TERM; echo deaf; while :; do sleep 1000; done");
    bench.wait_for_line("polite");
    bench.wait_for_line("deaf");
    assert_eq!(block_on(polite.control.stop(LONG)), Exit::Code(7));
    assert_eq!(block_on(deaf.control.stop(Duration::from_millis(50))), Exit::Signal(9));
    assert_eq!(block_on(deaf.control.stop(LONG)), Exit::Signal(9), "again, at once");
}

#[test]
fn a_frozen_one_is_thawed_to_end() {
    let bench = Bench::new();
    let mut running =
        bench.start(Kind::Job, "trap 'exit 7' TERM; echo $$; kill -STOP $$; while :; do sleep 0.05; done");
    let pid = read_line(&mut running);
    until(|| state(&pid) == Some('T'));
    assert_eq!(block_on(running.control.stop(LONG)), Exit::Code(7));
}

#[test]
fn nothing_outlives_it() {
    let bench = Bench::new();
    // One in the group, one that left it, and one that ended long before its own child.
    let script = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; (setsid sh -c 'sleep 1000 & echo $!')";
    let mut running = bench.start(Kind::Job, script);
    let pids: Vec<String> = (0..3).map(|_| read_line(&mut running)).collect();
    assert_eq!(block_on(running.control.ended()), Exit::Code(0));
    until(|| pids.iter().all(|pid| state(pid).is_none()));
    until(|| bench.run_dirs() == 0);
}

#[test]
fn dropping_it_kills_it() {
    let bench = Bench::new();
    let mut running = bench.start(Kind::Job, "trap '' TERM; sleep 1000 & echo $!; echo $$; wait");
    let pids = [read_line(&mut running), read_line(&mut running)];
    assert!(pids.iter().all(|pid| state(pid).is_some()));
    drop(running);
    until(|| pids.iter().all(|pid| state(pid).is_none()));
    until(|| bench.run_dirs() == 0);
}

#[test]
fn a_start_nobody_waits_for_leaves_nothing() {
    let bench = Bench::new();
    for _ in 0..5 {
        let launch = bench.launch(Kind::Job, &["sleep", "1000"]);
        let mut start = bench.engine.start(launch);
        block_on(poll_once(&mut start));
    }
    // One more goes through the same thread, so the others are done when it is.
    drop(bench.start(Kind::Job, "true"));
    until(|| bench.run_dirs() == 0);
}

#[test]
fn printing_without_end_or_newline_is_bounded() {
    let bench = Bench::new();
    let yes = bench.start(Kind::Http, "exec yes endless");
    bench.wait_for_line("endless");
    let zeros = bench.start(Kind::Http, "head -c 20000000 /dev/zero | tr '\\0' x");
    assert_eq!(block_on(zeros.control.ended()), Exit::Code(0), "it was never made to wait");
    assert!(zeros.control.last_words().len() <= 4096);
    block_on(yes.control.stop(LONG));
    let bytes: usize = bench.log().iter().map(String::len).sum();
    assert!(bytes <= 256 << 10);
}

#[test]
fn commands_are_found_where_they_should_be() {
    let bench = Bench::new();
    bench.file("run", "#!/bin/sh\necho top $0 $1\n", 0o755);
    bench.file("bin/run", "#!/bin/sh\necho bin $1\n", 0o755);
    bench.file("cat", "#!/bin/sh\necho my own cat\n", 0o755);
    let prints = |command: &[&str]| bench.prints(bench.launch(Kind::Job, command));
    let top = bench.dir.path().join("bundle/run").display().to_string();
    assert_eq!(prints(&["run", "a b"]), format!("top {top} a b\n"));
    assert_eq!(prints(&["./bin/run", "x"]), "bin x\n");
    assert_eq!(prints(&["bin/run", "x"]), "bin x\n");
    assert_eq!(prints(&["cat"]), "my own cat\n");
    assert_eq!(prints(&["/bin/echo", "hi"]), "hi\n");
    // This very binary: here, the test's.
    assert!(prints(&["cares", "--list"]).contains("commands_are_found_where_they_should_be"));
    let mut launch = bench.launch(Kind::Job, &["run", "x"]);
    launch.env = vec![("PATH".into(), "bin:/nowhere".into())];
    fs::remove_file(bench.dir.path().join("bundle/run")).unwrap();
    assert_eq!(bench.prints(launch), "bin x\n", "a relative $PATH is the bundle's");
}

#[test]
fn commands_that_cannot_run_say_why() {
    let bench = Bench::new();
    bench.file("plain", "#!/bin/sh\n", 0o644);
    bench.file("lost", "#!/opt/none/python9 -u\n", 0o755);
    bench.file("dos", "#!/bin/sh\r\necho\r\n", 0o755);
    bench.file("garbage", "\u{1}\u{0}\u{3}", 0o755);
    bench.file("foreign", &format!("\x7fELF\x02\x01{:12}\x08\0", ""), 0o755);
    for (command, says) in [
        (&[][..], "empty"),
        (&[""], "empty"),
        (&["no-such-program"], "\"no-such-program\" is neither in the bundle"),
        (&["./missing"], "is not in the bundle"),
        (&["/no/such"], "does not exist on this node"),
        (&["../escape"], "leaves the bundle"),
        (&["./"], "is a folder"),
        (&["plain"], "chmod +x"),
        (&["./plain"], "chmod +x"),
        (&["lost"], "needs \"/opt/none/python9\""),
        (&["dos"], "Windows line ends"),
        (&["garbage"], "no program this node can run"),
        (&["foreign"], "no program this node can run"),
        (&["sh", "a\0b"], "NUL"),
    ] {
        let text = bench.refuses(command);
        assert!(text.contains(says), "{command:?}: {text}");
    }
    until(|| bench.run_dirs() == 0);
    let mut launch = bench.launch(Kind::Job, &["true"]);
    launch.id = "../x".into();
    assert!(matches!(block_on(bench.engine.start(launch)), Err(EngineError::Resources(_))));
}

#[test]
fn what_a_child_does_to_itself_is_not_done_to_this_process() {
    let bench = Bench::new();
    let score = || fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let before = (score(), rustix::process::dumpable_behavior().unwrap());
    let theirs = bench.prints(bench.launch(Kind::Job, &["cat", "/proc/self/oom_score_adj"]));
    assert_eq!((theirs.as_str(), (score(), rustix::process::dumpable_behavior().unwrap())), ("500\n", before));

    let set = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let own = || fs::read_to_string("/proc/thread-self/status").unwrap();
    let pipe = 1 << (libc::SIGPIPE - 1);
    let (ignored, caught) = (set(&own(), "SigIgn:"), set(&own(), "SigCgt:"));
    assert!(ignored & pipe != 0, "Rust does");
    assert!(caught != 0, "so does its check of stacks");
    let theirs = bench.prints(bench.launch(Kind::Job, &["cat", "/proc/self/status"]));
    // What whoever started this process had ignored stays so: nohup(1).
    assert_eq!(["SigBlk:", "SigIgn:", "SigCgt:"].map(|name| set(&theirs, name)), [0, ignored & !pipe, 0]);
    assert_eq!((set(&own(), "SigIgn:"), set(&own(), "SigCgt:")), (ignored, caught));
}

#[test]
fn many_start_at_once_from_files_just_written() {
    let bench = Bench::new();
    let done: Vec<String> = std::thread::scope(|scope| {
        let run = |n: usize| {
            let name = format!("s{n}");
            let bench = &bench;
            scope.spawn(move || {
                bench.file(&name, &format!("#!/bin/sh\necho {n}\n"), 0o755);
                bench.prints(bench.launch(Kind::Job, &[&name]))
            })
        };
        let threads: Vec<_> = (0..40).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done, (0..40).map(|n| format!("{n}\n")).collect::<Vec<_>>());
}

/// Set for the process that is to crash: its data folder.
const CRASH: &str = "CARES_TEST_CRASH";

#[test]
fn a_worker_that_dies_takes_all_with_it() {
    if let Some(dir) = std::env::var_os(CRASH) {
        return crash(&PathBuf::from(dir));
    }
    let dir = TempDir::new().unwrap();
    let this = "worker::engine::process::tests::a_worker_that_dies_takes_all_with_it";
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(CRASH, dir.path())
        .output()
        .unwrap();
    assert!(!out.status.success());
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let (leader, child) = (read("leader"), read("child"));
    until(|| state(&leader).is_none());
    assert!(state(&child).is_some(), "this one no signal told");

    // Another worker's process, and one whose folder only begins the same, are none of ours.
    let run = fs::canonicalize(dir.path()).unwrap().join("data/run");
    let mut others: Vec<_> = ["/tmp/other/run/i-1".into(), run.join("i-10"), run.clone()]
        .into_iter()
        .map(|marker| Command::new("sleep").arg("1000").env("CARES_RUN_DIR", marker).spawn().unwrap())
        .collect();
    let _engine =
        ProcessEngine::new(&dir.path().join("data"), Arc::new(LogBook::new(|| 0, &Default::default()))).unwrap();
    until(|| state(&child).is_none());
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
    for other in &mut others {
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

/// Starts something that has a child in another session, then dies as a worker dies by SIGKILL.
fn crash(dir: &Path) {
    let engine = ProcessEngine::new(&dir.join("data"), Arc::new(LogBook::new(|| 0, &Default::default()))).unwrap();
    let script = "echo $$; setsid sleep 1000 > /dev/null 2>&1 & echo $!; wait";
    let bench = Bench::new();
    let mut running = block_on(engine.start(bench.launch(Kind::Job, &["sh", "-c", script]))).unwrap();
    for name in ["leader", "child"] {
        fs::write(dir.join(name), read_line(&mut running)).unwrap();
    }
    drop(bench);
    std::process::abort();
}

#[test]
fn files_calls_and_sockets_are_shut() {
    if landlock::Landlock::find().is_none_or(|found| found.abi < 6) || seccomp::Filter::new(true).is_none() {
        return; // this kernel has not all of it: doctor says so
    }
    attack(&Bench::entered_by(0o755), view::may_be_made());
    attack(&Bench::entered_by(0o700), false);
}

/// What a job cannot do, whether it shares the worker's user or not.
fn attack(bench: &Bench, own_user: bool) {
    let mut id = bench.launch(Kind::Job, &["id", "-u"]);
    assert_eq!(bench.prints(id.clone()).trim().parse::<u32>().unwrap() >= 1_900_000_000, own_user);
    let secret = bench.dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let socket = bench.dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (secret, socket, pid) = (secret.display(), socket.display(), std::process::id());
    let script = format!(
        "cat {secret}; cat /etc/shadow; ls /root /tmp; echo x > run; echo x > /tmp/x; ls {}; kill -0 {pid} && echo signalled; \
         cat /proc/{pid}/environ; unshare -r true && echo unshared; grep CapEff /proc/self/status; \
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{socket}\"); print(\"connected\")'; \
         echo mine > $HOME/x && cat $HOME/x; cat /etc/hosts > /dev/null && echo read; true",
        bench.dir.path().join("data").display()
    );
    let out = bench.prints(bench.launch(Kind::Job, &["sh", "-c", &script]));
    assert_eq!(out, "CapEff:\t0000000000000000\nmine\nread\n");
    (id.id, id.command) = ("i-open".into(), vec!["cat".into(), secret.to_string()]);
    id.isolation.open_files = true;
    assert_eq!(bench.prints(id), "secret", "an opt-out is one");
}
