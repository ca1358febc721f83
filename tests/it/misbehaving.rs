//! Functions that misbehave: their caller is told what went wrong, and nobody else notices.

use crate::fixture::{manifest, manifest_with, stubborn_manifest};
use crate::harness::{Cluster, wait_for};
use crate::process::{is_alive, peak_mib};
use crate::wire::ReadSome;
use crate::wire::{Reply, ask, connect, exchange, get, head};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn job(command: &str) -> String {
    format!(r#"{{"mode":"job","command":["{command}"]}}"#)
}

/// Its pid, as the `pid` behaviour answers.
fn pid(cluster: &Cluster, name: &str) -> u32 {
    let reply = get(cluster.head.http(), &format!("/invoke/{name}/pid"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().parse().expect("a pid")
}

fn in_flight(cluster: &Cluster, name: &str) -> u64 {
    cluster.client.function(name).expect("the function").in_flight
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let cluster = Cluster::start(1);
    cluster.deploy("lost", &job("./lost.sh"), &[]);
    cluster.deploy("missing", &job("no-such-program"), &[]);
    cluster.deploy("http", r#"{"mode":"http","command":["no-such-server"]}"#, &[]);
    cluster.deploy("no-interpreter", &job("./run"), &[("run", "#!/no/such/interpreter\n")]);
    for (name, code, says) in [
        ("lost", "function_failed", "./lost.sh"),
        ("missing", "function_failed", "no-such-program"),
        ("http", "function_not_started", "no-such-server"),
        ("no-interpreter", "function_failed", "/no/such/interpreter"),
    ] {
        let problem = cluster.problem(name, "");
        assert_eq!((problem.status, problem.code.as_str()), (502, code), "{}", problem.detail);
        assert!(problem.detail.contains(says) && problem.detail.contains(name), "{}", problem.detail);
    }
}

#[test]
fn an_http_function_that_exits_at_start_is_a_502_with_its_last_words() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("exits-at-start"), &[]);
    let problem = cluster.problem("f", "");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_not_started"));
    for says in ["no configuration found", "3", "$PORT"] {
        assert!(problem.detail.contains(says), "{}", problem.detail);
    }
    assert_eq!(cluster.client.function("f").expect("f").status, "failing");
}

#[test]
fn a_function_that_never_listens_or_never_answers_is_a_504_at_its_timeout() {
    let cluster = Cluster::start(1);
    cluster.deploy("deaf", &manifest_with("never-listens", r#","timeout_s":1"#), &[]);
    cluster.deploy("mute", &manifest_with("by-path", r#","timeout_s":1"#), &[]);
    cluster.deploy_script("slow", "sleep 1000");
    let image = cluster.client.function("slow").expect("slow").image;
    let settings = cares::types::FunctionSpec { image, timeout_s: Some(1.0), ..Default::default() };
    cluster.client.replace("slow", &settings).expect("a new revision");
    pid(&cluster, "mute"); // it is warm: only the answer is missing
    for (target, says) in [("deaf", "$PORT"), ("mute/hangs", "timeout_s"), ("slow", "timeout_s")] {
        let asked = Instant::now();
        let detail = get(cluster.head.http(), &format!("/invoke/{target}")).problem(504, "function_timeout");
        assert!(detail.contains(says), "{detail}");
        let took = asked.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{target}: {took:?}");
    }
    for name in ["deaf", "mute", "slow"] {
        wait_for("nothing is under way", || in_flight(&cluster, name) == 0);
    }
    wait_for("no slot is taken", || cluster.client.node("w1").is_ok_and(|n| n.running == 0));
    pid(&cluster, "mute");
}

#[test]
fn an_answer_that_is_no_http_is_a_502_and_the_next_call_works() {
    let cluster = Cluster::start(1);
    let to = cluster.head.http();
    cluster.deploy("f", &manifest("by-path"), &[]);
    let first = pid(&cluster, "f");
    let detail = get(to, "/invoke/f/garbage").problem(502, "function_failed");
    assert!(detail.contains("no valid HTTP"), "{detail}");
    let detail = get(to, "/invoke/f/closes").problem(502, "function_failed");
    assert!(detail.contains("without an answer"), "{detail}");
    assert_eq!(pid(&cluster, "f"), first);
}

#[test]
fn a_crash_breaks_its_own_answer_and_the_next_call_gets_a_fresh_instance() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let mut last = pid(&cluster, "f");
    for _ in 0..10 {
        let asked = head("GET", "/invoke/f/crashes", &[("Connection", "close")]) + "\r\n";
        let answer = exchange(cluster.head.http(), asked.as_bytes());
        // The crash may come before the head of what was to be the answer is passed on.
        let whole = Reply::parse(&answer).is_some_and(|reply| reply.whole && reply.status == 200);
        assert!(!whole, "half an answer must not look whole: {}", String::from_utf8_lossy(&answer));
        wait_for("it has crashed", || !is_alive(last));
        // At once: its node may not have noticed yet.
        let next = pid(&cluster, "f");
        assert_ne!(next, last);
        last = next;
    }
}

#[test]
fn an_instance_killed_while_idle_is_replaced_and_no_caller_notices() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let mut last = pid(&cluster, "f");
    for _ in 0..10 {
        let killed = std::process::Command::new("kill").args(["-9", &last.to_string()]).status();
        assert!(killed.expect("kill runs").success());
        wait_for("it is dead", || !is_alive(last));
        let next = pid(&cluster, "f");
        assert_ne!(next, last);
        last = next;
    }
    assert_eq!(cluster.client.function("f").expect("f").failures, 0);
}

#[test]
fn an_instance_that_ignores_sigterm_is_killed_after_the_grace() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &stubborn_manifest("by-path"), &[]);
    let pid = pid(&cluster, "f");
    let asked = Instant::now();
    cluster.client.delete_function("f").expect("deleted");
    wait_for("it is killed", || !is_alive(pid));
    assert!(asked.elapsed() >= Duration::from_secs(9), "it was given time: {:?}", asked.elapsed());
}

#[test]
fn endless_words_on_stderr_cost_bounded_memory_and_nobody_waits_for_them() {
    let cluster = Cluster::start(1);
    cluster.deploy("chatters", &manifest("chatters"), &[]);
    cluster.deploy_script("quiet", "cat");
    let pid = pid(&cluster, "chatters");
    let read = || -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("its io");
        io.lines().find_map(|l| l.strip_prefix("wchar: ")).and_then(|n| n.parse().ok()).expect("a number")
    };
    wait_for("it has written 50 MiB", || read() > 50 << 20);
    assert_eq!(cluster.call("quiet", "still here"), (200, "still here".into()));
    assert_eq!(cluster.call("chatters", "").0, 200);
    let worker = peak_mib(cluster.workers[0].pid());
    assert!(worker < 150, "{worker} MiB");
    assert!(cluster.client.logs("chatters", Some(1), false).expect("its log").next().is_some());
}

/// The answer of a GET, as far as `enough` says; the connection is still open.
fn begin(cluster: &Cluster, target: &str, enough: impl Fn(&str) -> bool) -> (TcpStream, String) {
    let mut stream = connect(cluster.head.http());
    stream.write_all((head("GET", target, &[]) + "\r\n").as_bytes()).expect("sent");
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !enough(&text) {
        let n = stream.read_some(&mut buffer).expect("more of the answer");
        assert!(n > 0, "it ended too early: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    (stream, text)
}

#[test]
fn an_endless_job_streams_and_ends_with_its_caller() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "echo pid $$ end; exec yes");
    let (stream, text) = begin(&cluster, "/invoke/f", |text| text.contains(" end\ny\n"));
    let pid: u32 = text.split(' ').skip_while(|w| !w.ends_with("pid")).nth(1).expect("a pid").parse().expect("a pid");
    assert!(is_alive(pid) && in_flight(&cluster, "f") == 1);
    drop(stream);
    wait_for("the job is gone", || !is_alive(pid));
    wait_for("its slot is free", || in_flight(&cluster, "f") == 0);
    for process in [&cluster.head, &cluster.workers[0]] {
        assert!(peak_mib(process.pid()) < 150, "{} MiB", peak_mib(process.pid()));
    }
}

#[test]
fn a_job_that_fails_is_a_502_with_the_last_it_said() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "echo some output; echo the disk is on fire >&2; exit 3");
    cluster.deploy_script("killed", "kill -9 $$");
    let problem = cluster.problem("f", "");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_failed"));
    assert!(problem.detail.contains("the disk is on fire") && problem.detail.contains('3'), "{}", problem.detail);
    let problem = cluster.problem("killed", "");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_failed"));
    assert!(problem.detail.contains("signal") || problem.detail.contains("kill"), "{}", problem.detail);
    assert_eq!(cluster.client.function("f").expect("f").failures, 1);
}

#[test]
fn a_job_that_fails_after_much_output_breaks_the_connection() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("fails", "head -c 2097152 /dev/zero; exit 1");
    cluster.deploy_script("works", "head -c 2097152 /dev/zero");
    let reply = get(cluster.head.http(), "/invoke/fails");
    assert_eq!((reply.status, reply.whole), (200, false), "a part must not look like the whole");
    let reply = get(cluster.head.http(), "/invoke/works");
    assert_eq!((reply.status, reply.whole, reply.body.len()), (200, true, 2 << 20));
    let failures = |name: &str| cluster.client.function(name).expect("it").failures;
    assert_eq!((failures("fails"), failures("works")), (1, 0));
}

#[test]
fn a_job_answers_when_it_ends_whatever_it_left_running() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "sleep 1000 & echo $!");
    let asked = Instant::now();
    let (status, text) = cluster.call("f", "");
    assert_eq!(status, 200, "{text}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let left: u32 = text.trim().parse().expect("a pid");
    wait_for("what it left is gone", || !is_alive(left));
}

#[test]
fn what_does_not_read_its_body_answers_all_the_same() {
    let cluster = Cluster::start(1);
    let to = cluster.head.http();
    cluster.deploy_script("job", "head -c 1; echo \" is enough\"");
    cluster.deploy("http", &manifest("by-path"), &[]);
    let body = vec![b'x'; 20 << 20];
    for _ in 0..5 {
        let reply = ask(to, "POST", "/invoke/job", &[], &body);
        assert_eq!((reply.status, reply.text().as_str()), (200, "x is enough\n"));
        let reply = ask(to, "POST", "/invoke/http/pid", &[], &body);
        assert_eq!((reply.status, reply.whole), (200, true), "{}", reply.text());
    }
    wait_for("nothing is under way", || in_flight(&cluster, "job") + in_flight(&cluster, "http") == 0);
}

#[test]
fn callers_that_come_together_share_one_cold_start() {
    let cluster = Cluster::start(1); // with two, the other may be started on by load
    cluster.deploy("f", &manifest("by-path"), &[]);
    let pids: Vec<u32> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| pid(&cluster, "f"))).collect();
        calls.into_iter().map(|call| call.join().expect("an answer")).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(cluster.client.function("f").expect("f").instances.len(), 1);
}

#[test]
fn a_job_gets_no_more_memory_than_it_may_have() {
    let cluster = Cluster::start(1);
    let script = "#!/bin/sh\nhead -c 200000000 /dev/zero | tail -c 150000000 | wc -c\n[ $? = 0 ] || exit 1\n";
    // `tail` holds all it is asked for; its failure must be the script's.
    let script = script.replace("| wc -c\n[ $? = 0 ] || exit 1", "> /dev/null");
    for (name, memory_mb) in [("small", 64), ("large", 512)] {
        let manifest = format!(r#"{{"mode":"job","command":["./run.sh"],"memory_mb":{memory_mb}}}"#);
        cluster.deploy(name, &manifest, &[("run.sh", &script)]);
    }
    let problem = cluster.problem("small", "");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_failed"), "{}", problem.detail);
    assert_eq!(cluster.call("large", "").0, 200);
}

#[test]
fn a_function_sees_nothing_of_its_workers_environment() {
    let mut cluster = Cluster::start(0);
    let (grpc, dir) = (cluster.head.ready("grpc").to_string(), cluster.dir.path().join("w"));
    let args =
        ["worker", &grpc, "--name", "w", "--worker-addr", "127.0.0.1:0", "--data-dir", dir.to_str().expect("UTF-8")];
    let worker = crate::harness::Role::start_with(&args, |command| {
        command.env("AWS_SECRET_ACCESS_KEY", "leaked").env("LD_PRELOAD", "").env("CARES_JOIN_TOKEN", "leaked");
    });
    wait_for("it is there", || cluster.client.node("w").is_ok_and(|n| n.reach == "links"));
    cluster.workers.push(worker);
    let manifest = r#"{"mode":"job","command":["./run.sh"],"env":{"MINE":"1"}}"#;
    cluster.deploy("f", manifest, &[("run.sh", "#!/bin/sh\nenv\n")]);
    let (status, text) = cluster.call("f", "");
    assert_eq!(status, 200, "{text}");
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let known = |name: &&str| {
        let ours = name.starts_with("CARES_") || name.starts_with("K_");
        ours || ["HOME", "MINE", "PATH", "PWD", "TMPDIR", "OLDPWD", "SHLVL", "_"].contains(name)
    };
    assert!(names.iter().all(known) && names.contains(&"MINE") && !text.contains("leaked"), "{text}");
}

#[test]
fn a_long_answer_is_read_to_its_end_before_its_job_is_done() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "head -c 5000000 /dev/zero | tr '\\0' x; echo done");
    for _ in 0..5 {
        let mut stream = connect(cluster.head.http());
        let asked = head("GET", "/invoke/f", &[("Connection", "close")]) + "\r\n";
        stream.write_all(asked.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("all of it");
        let reply = Reply::parse(&answer).expect("an answer");
        assert_eq!((reply.whole, reply.body.len()), (true, 5_000_005));
        assert!(reply.body.ends_with(b"xdone\n"));
    }
}

#[test]
fn an_answers_head_beyond_all_measure_is_a_502_and_ends_no_other_call() {
    let cluster = Cluster::start(1);
    cluster.deploy("f", &manifest("by-path"), &[]);
    let to = cluster.head.http();
    let begin = |_| {
        let mut other = connect(to);
        other.write_all((head("GET", "/invoke/f/events", &[]) + "\r\n").as_bytes()).expect("sent");
        other.read_exact(&mut [0; 20]).expect("its beginning");
        other
    };
    let others: Vec<TcpStream> = (0..8).map(begin).collect();
    for _ in 0..4 {
        get(to, "/invoke/f/huge-head").problem(502, "function_failed");
    }
    for mut other in others {
        other.read_exact(&mut [0; 200]).expect("it goes on");
    }
}
