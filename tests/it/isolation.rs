//! What functions must not be able to do, tried by real ones: read what is not theirs, take the machine's processes,
//! memory or disk, outlive their call. Each needs a means of the host (`cares doctor` names it); without, it says so and
//! passes.

use crate::harness::{Cluster, cares, run, wait_for, wait_for_some};
use crate::process::is_alive;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether the host has all of these, as doctor tells.
fn host_has(needed: &[&str]) -> bool {
    let (_, out, err) = run(cares().args(["doctor", "-o", "json"]));
    let checks: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let has = |name: &&&str| {
        let check = checks.as_array().expect("a list").iter().find(|check| check["check"] == **name);
        check.expect("doctor knows it")["status"] == "ok"
    };
    let missing: Vec<_> = needed.iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        eprintln!("skipped, as this host has no {missing:?}");
    }
    missing.is_empty()
}

fn script(cluster: &Cluster, name: &str, settings: &str, script: &str) {
    let manifest = format!(r#"{{"mode":"job","command":["./run.sh"]{settings}}}"#);
    cluster.deploy(name, &manifest, &[("run.sh", &format!("#!/bin/sh\n{script}\n"))]);
}

/// The folders of what runs on a worker now.
fn homes(cluster: &Cluster, worker: &str) -> Vec<PathBuf> {
    let run = cluster.dir.path().join(worker).join("run");
    fs::read_dir(run).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// A job that keeps a secret in its folder and its bundle, while another tries to get at it and at all else.
#[test]
fn a_function_reads_nothing_that_is_not_its_own() {
    if !host_has(&["landlock", "seccomp"]) {
        return;
    }
    let cluster = Cluster::start(1);
    script(&cluster, "keeper", "", "echo secret > $HOME/secret; cp $HOME/secret $HOME/kept; exec sleep 1000");
    script(
        &cluster,
        "thief",
        "",
        // Each word of its input is a file or a folder. What cannot be read prints nothing on stdout.
        "for it in $(cat); do cat $it && echo \"read $it\"; ls $it/ && echo \"listed $it\"; echo x > $it && echo \"wrote $it\"; done
         for pid in $(ls /proc | grep '^[0-9]*$'); do
             [ -O /proc/$pid/environ ] && continue
             tr '\\0' '\\n' < /proc/$pid/environ && echo \"read what $pid is told\"
             kill -0 $pid && echo \"may signal $pid\"
         done
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/var/run/docker.sock\"); print(\"reached the engine\")'
         unshare -r true && echo 'has a namespace'
         mount -t tmpfs none $HOME && echo mounted
         echo mine > $HOME/mine && cat $HOME/mine",
    );
    let keeper = cluster.call_aside("keeper", "");
    let home = wait_for_some("it runs", || homes(&cluster, "w1").pop());
    let data = cluster.dir.path().join("w1");
    let mut wanted = vec!["/etc/shadow".into(), "/root".into(), data.clone(), data.join("lock"), data.join("bundles")];
    wanted.extend(fs::read_dir(&data).expect("a folder").map(|entry| entry.expect("an entry").path()));
    wanted.extend([home.clone(), home.join("secret"), home.join("kept"), data.join("run")]);
    wanted.extend(fs::read_dir(cluster.dir.path()).expect("a folder").map(|entry| entry.expect("an entry").path()));
    // Only the keeper's is unpacked yet.
    wanted.extend(fs::read_dir(data.join("bundles")).expect("a folder").map(|entry| entry.expect("an entry").path()));
    let wanted: Vec<String> = wanted.iter().map(|path| path.display().to_string()).collect();
    let (status, out) = cluster.call("thief", &wanted.join("\n"));
    assert_eq!(status, 200, "{out}");
    assert_eq!(out, "mine\n");
    cluster.workers[0].signal("KILL");
    drop(keeper);
}

#[test]
fn a_fork_bomb_ends_with_its_call_and_nobody_notices() {
    if !host_has(&["cgroups"]) {
        return;
    }
    let cluster = Cluster::start(1);
    script(
        &cluster,
        "bomb",
        r#","timeout_s":3,"isolation":{"pids":200}"#,
        // The shell itself starts nothing once the bomb has gone off: there would be no room, and it would end.
        "bomb() { bomb | bomb & }; setsid sleep 1000 & bomb 2> /dev/null & wait",
    );
    cluster.deploy_echo("");
    let bomb = cluster.call_aside("bomb", "");
    let home = wait_for_some("it runs", || homes(&cluster, "w1").pop());
    for n in 0..20 {
        assert_eq!(cluster.call("echo", &n.to_string()), (200, n.to_string()));
    }
    let (status, text, _) = bomb.join().expect("an answer");
    assert_eq!(status, 504, "{text}");
    wait_for("it is cleaned up", || !home.exists());
    let marked = format!("CARES_RUN_DIR={}", home.canonicalize().unwrap_or(home).display());
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let left = all.filter(|process| {
        let environ = fs::read(process.path().join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == marked.as_bytes())
    });
    assert_eq!(left.count(), 0, "nothing of it is left");
}

#[test]
fn filling_memory_ends_only_who_does_it() {
    if !host_has(&["cgroups"]) {
        return;
    }
    let cluster = Cluster::start(1);
    // In many processes, none of which is large.
    let many = "for n in 1 2 3 4 5 6 7 8; do
            (x=$(head -c 16000000 /dev/zero | tr '\\0' x); sleep 2) & all=\"$all $!\"
        done
        for one in $all; do wait $one || exit 9; done";
    script(&cluster, "many", r#","memory_mb":64"#, many);
    script(&cluster, "one", r#","memory_mb":32"#, "exec tail /dev/zero");
    cluster.deploy_echo("");
    for name in ["one", "many"] {
        let problem = cluster.problem(name, "");
        assert_eq!((problem.status, problem.code.as_str()), (502, "function_failed"), "{}", problem.detail);
        assert!(problem.detail.contains("memory_mb"), "{}", problem.detail);
        assert_eq!(cluster.call("echo", "on"), (200, "on".into()));
    }
}

#[test]
fn filling_the_disk_fills_only_its_own() {
    if !host_has(&["users"]) {
        return;
    }
    let cluster = Cluster::start(1);
    let fill = "for n in 1 2 3 4 5 6; do head -c 4000000 /dev/zero > $TMPDIR/$n; done; cat $TMPDIR/* | wc -c";
    script(&cluster, "filler", r#","isolation":{"tmp_mb":8}"#, fill);
    let (status, text) = cluster.call("filler", "");
    let bytes: u64 = text.trim().parse().expect("a number");
    assert!(status == 200 && (7 << 20..=8 << 20).contains(&bytes), "{status} {text}");
    script(&cluster, "roomy", "", fill);
    assert_eq!(cluster.call("roomy", "").1.trim(), "24000000", "there is more unless told otherwise");
}

/// The control groups of a worker, below that folder.
fn groups_of(pid: u32, below: &Path) -> Vec<PathBuf> {
    let folders =
        fs::read_dir(below).into_iter().flatten().flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let named = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with("cares-of-") && name.ends_with(&format!("-{pid}"))
    };
    let found = |path: PathBuf| if named(&path) { vec![path] } else { groups_of(pid, &path) };
    folders.flat_map(|folder| found(folder.path())).collect()
}

#[test]
fn control_groups_that_somebody_tidied_away_are_made_again() {
    if !host_has(&["cgroups"]) {
        return;
    }
    let cluster = Cluster::start(1);
    script(&cluster, "f", r#","memory_mb":64"#, "cat");
    assert_eq!(cluster.call("f", "before"), (200, "before".into()));
    let groups = groups_of(cluster.workers[0].pid(), Path::new("/sys/fs/cgroup"));
    assert!(!groups.is_empty());
    // An empty one may be removed; that of the job goes soon.
    wait_for("they are gone", || {
        groups.iter().filter(|group| fs::remove_dir(group).is_err() && group.exists()).count() == 0
    });
    assert_eq!(cluster.call("f", "after"), (200, "after".into()));
    assert!(cluster.workers[0].log().contains("control groups are made again"), "{}", cluster.workers[0].log());
}

#[test]
fn nothing_outlives_its_call_however_it_hides() {
    if !host_has(&["cgroups"]) {
        return;
    }
    let cluster = Cluster::start(1);
    // In a session of its own, without the environment it was given, its parent gone.
    script(
        &cluster,
        "hider",
        "",
        "(setsid env -i sh -c 'cd /; exec < /dev/null > /dev/null 2>&1; sleep 1000 & sleep 1000' &) ; sleep 0.2; pgrep -u $(id -u) sleep",
    );
    let (status, text) = cluster.call("hider", "");
    let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(status == 200 && !pids.is_empty(), "{status} {text}");
    wait_for("they are gone", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn opening_up_is_shown_and_bad_fields_are_named() {
    let cluster = Cluster::start(0);
    let register = |isolation: &str| {
        let body = format!(r#"{{"name":"f","image":"hello-world","isolation":{isolation}}}"#);
        crate::wire::put(cluster.head.http(), "/functions/f", body)
    };
    for (bad, field) in [
        (r#"{"pids":0}"#, "isolation.pids"),
        (r#"{"tmp_mb":0}"#, "isolation.tmp_mb"),
        (r#"{"files":"x"}"#, "isolation.files"),
    ] {
        let reply = register(bad);
        assert!(reply.status == 400 && reply.text().contains(field), "{}", reply.text());
    }
    let reply = register(r#"{"files":"open","pids":9}"#);
    assert_eq!(reply.status, 404, "PUT replaces");
    let body = r#"{"name":"f","image":"hello-world","isolation":{"files":"open","pids":9}}"#;
    assert_eq!(crate::wire::post(cluster.head.http(), "/functions", body).status, 201);
    let shown = || {
        let (_, out, err) = run(cares().args(["describe", "f", "--url", &cluster.head.url()]));
        out + &err
    };
    assert!(shown().contains("files open, 9 processes"), "{}", shown());
    register("{}");
    assert!(shown().contains("files private"), "{}", shown());
    wait_for("the log says so", || cluster.head.log().contains("isolation.files opens"));
}

#[test]
fn one_that_fails_for_it_is_told_how_to_ask_for_more() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("f", "echo 'mkdir: /var/cache/x: Read-only file system' >&2; exit 1");
    let detail = cluster.problem("f", "").detail;
    assert!(detail.contains(r#""isolation":{"files":"open"}"#), "{detail}");
}
