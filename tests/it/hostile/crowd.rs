//! More connections than there is room for, and connections torn down as soon as they are made.

use super::*;
use crate::head::Head;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of this test process, which is a client of thousands, and of what it starts.
const FILES: u64 = 15_000;

/// Whether it may have them.
fn take_files() -> bool {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let maximum = maximum.map(|most| most.max(FILES));
    let taken = setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum }).is_ok();
    if !taken {
        eprintln!("skipped: this process may open too few files; raise its hard limit (ulimit -Hn)");
    }
    taken
}

/// Ticks of a hundredth of a second that a process had of the processors.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its figures");
    let after = stat.rsplit_once(')').expect("its name").1;
    after.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum()
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count()
}

#[test]
fn five_thousand_idle_connections_leave_room_once_some_close() {
    if !take_files() {
        return;
    }
    // None of them is closed for its silence before all have come, however busy the machine is.
    let cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 1, &["--limit", "header-s=300"]);
    cluster.deploy_echo("");
    let pid = cluster.head.pid();
    let to = cluster.head.http();
    let mut idle: Vec<TcpStream> = (0..5_000).map(|_| connect(to)).collect();
    // Those beyond the limit are told so at once, and why.
    let mut told = 0;
    for stream in &mut idle[4_200..] {
        let answer = read_to_close(stream, PATIENCE);
        Reply::parse(&answer).expect("an answer").problem(503, "too_many_connections");
        told += 1;
    }
    assert_eq!(told, 800);
    println!("5,000 idle: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
    assert!(peak_mib(pid) < MOST_MIB && threads(pid) < MOST_THREADS, "{} MiB", peak_mib(pid));
    // The worker is not touched by it: what it does goes over its links.
    let ticks = cpu_ticks(pid);
    idle.drain(..100);
    wait_for("others are served", || {
        Reply::parse(&exchange(to, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .is_some_and(|r| r.status == 200)
    });
    assert_eq!(cluster.call("echo", "hello"), (200, "hello".into()));
    assert!(cpu_ticks(pid) - ticks < 500, "it spins");
    let strangers: Vec<TcpStream> = (0..5_000).map(|_| connect(grpc(&cluster))).collect();
    assert_eq!(cluster.call("echo", "hello"), (200, "hello".into()));
    println!("and 5,000 on the gRPC port: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
    drop((idle, strangers));
    wait_for("their files are closed", || open_files(pid) < 200);
    joinable(cluster);
}

#[test]
fn storms_of_resets_cost_little() {
    let cluster = Cluster::start(1);
    cluster.deploy_echo("");
    for to in [cluster.head.http(), grpc(&cluster), cluster.workers[0].http()] {
        for n in 0..3_000 {
            let mut stream = connect(to);
            match n % 4 {
                0 => {}
                1 => drop(stream.write_all(b"GET /functions HTTP/1.1\r\nHost: localhost\r\n\r\n")),
                2 => drop(
                    stream
                        .write_all(b"POST /invoke/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"),
                ),
                _ => drop(stream.write_all(b"CARESLINK1")),
            }
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option");
        }
    }
    let pid = cluster.head.pid();
    wait_for("it serves others", || cluster.call("echo", "on") == (200, "on".into()));
    wait_for("their files are closed", || open_files(pid) < 200);
    wait_for("nothing is under way", || cluster.client.function("echo").is_ok_and(|f| f.in_flight == 0));
    println!("9,000 resets: {} MiB at most, {} threads", peak_mib(pid), threads(pid));
    assert!(cluster.head.log().len() < 64 << 10, "its log is flooded");
    unharmed(&cluster, "9,000 resets");
}

#[test]
fn one_out_of_files_waits_for_some_to_close_and_neither_spins_nor_floods_its_log() {
    if !take_files() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let head = Head::of(dir.path()).start();
    let few = Rlimit { current: Some(150), maximum: Some(150) };
    let pid = rustix::process::Pid::from_raw(head.pid() as i32);
    rustix::process::prlimit(pid, Resource::Nofile, few).expect("its limit");
    let not_taken = || head.log().matches("cannot take a connection").count();
    let ports = [head.http(), head.ready("grpc").parse().expect("an address")];
    for to in ports {
        let told = not_taken();
        let mut asking: Vec<TcpStream> = (0..5).map(|_| connect(head.http())).collect();
        // What is not taken waits in a backlog of 128; beyond it even connecting waits.
        let mut idle: Vec<TcpStream> = (0..240).map(|_| connect(to)).collect();
        // Counting its files would not tell: each that waits in accept(2), as the API's servers do, holds one more.
        wait_for("it has no more, and says so", || not_taken() > told);
        let (ticks, since) = (cpu_ticks(head.pid()), Instant::now());
        // Two seconds out of files: this is what is measured.
        std::thread::sleep(Duration::from_secs(2));
        let spent = cpu_ticks(head.pid()) - ticks;
        println!("out of files: {spent} ticks in {:?}, {} bytes of log", since.elapsed(), head.log().len());
        assert!(spent < 100, "it spins: {spent} ticks in {:?}", since.elapsed());
        // With one file left the API's own socket is connected to, and cannot be taken.
        for _ in 0..20 {
            drop(idle.remove(0));
            for stream in &mut asking {
                let _ = stream.write_all(b"GET /functions HTTP/1.1\r\nHost: localhost\r\n\r\n");
            }
        }
        drop((idle, asking));
        wait_for("it serves again", || {
            let answer =
                exchange(head.http(), b"GET /functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            Reply::parse(&answer).is_some_and(|reply| reply.status == 200)
        });
    }
    println!("its log has {} lines", head.log().lines().count());
    assert!(head.log().lines().count() < 20, "{}", head.log());
}
