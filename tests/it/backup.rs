//! Backups made while the cluster runs, and brought back into it or into an empty one: all of it or nothing.

use crate::builds::process;
use crate::gate::Gate;
use crate::harness::{Cluster, cares, run, wait_for};
use cares::types::FunctionSpec;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

fn spec(name: &str, description: &str) -> FunctionSpec {
    let (name, image) = (name.to_string(), "hello-world".to_string());
    FunctionSpec { name, image, description: Some(description.into()), ..Default::default() }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs a verb against a cluster.
fn verb(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String, String) {
    let (status, out, err) = run(cares().args(words).args(["--url", &cluster.head.url()]));
    (status.code(), out, err)
}

fn backup(cluster: &Cluster) -> PathBuf {
    let file = cluster.dir.path().join("backup.tar");
    let (code, out, err) = verb(cluster, &["backup", text(&file)]);
    assert_eq!(code, Some(0), "{out}{err}");
    file
}

fn restore(cluster: &Cluster, file: &Path) {
    let (code, out, err) = verb(cluster, &["restore", text(file), "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
}

/// Each function and what it is.
fn functions(cluster: &Cluster) -> BTreeMap<String, (String, u64, String)> {
    let all = cluster.client.functions().expect("functions");
    all.into_iter().map(|f| (f.name, (f.description, f.revision, f.image))).collect()
}

#[test]
fn what_was_backed_up_comes_back_into_the_running_cluster_and_into_an_empty_one() {
    let mut cluster = Cluster::start(2);
    cluster.client.register(&spec("kept", "first")).expect("registered");
    cluster.client.replace("kept", &spec("kept", "second")).expect("replaced");
    cluster.deploy_script("job", "echo as it was");
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x"), (200, "x".into()));
    cluster.client.cordon("w2").expect("cordoned");
    let before = functions(&cluster);
    let file = backup(&cluster);
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let left = std::fs::read_dir(cluster.dir.path()).expect("a folder").flatten();
    assert!(left.map(|e| e.file_name()).all(|name| !text(Path::new(&name)).contains("part")), "half a backup is left");

    cluster.client.uncordon("w2").expect("uncordoned");
    cluster.client.delete_function("kept").expect("deleted");
    cluster.deploy_script("job", "echo changed");
    assert_eq!(cluster.call("job", ""), (200, "changed\n".into()));
    cluster.client.register(&spec("later", "")).expect("registered");
    let nodes = |c: &Cluster| {
        let all = c.client.nodes().expect("nodes").into_iter();
        all.map(|n| (n.id, n.name, n.status, n.reach)).collect::<Vec<_>>()
    };
    let connected = nodes(&cluster);
    let gate = Gate::deploy(&cluster, "gate", "");
    let running = cluster.call_aside("gate", "");
    gate.wait_started(1);
    restore(&cluster, &file);
    assert_eq!(functions(&cluster), before);
    assert_eq!(nodes(&cluster), connected, "workers stay as they are");
    gate.open();
    let (status, said, _) = running.join().expect("an answer");
    assert_eq!((status, said.as_str()), (200, "through\n"), "what runs is answered, though its function is gone");
    assert_eq!(cluster.call("job", ""), (200, "as it was\n".into()));
    assert_eq!(cluster.call("echo", "y"), (200, "y".into()));
    let kinds = cluster.client.past_events().expect("events");
    assert!(kinds.map(|e| e.expect("an event").kind).any(|kind| kind == "cluster.restored"));
    cluster.restart_head();
    assert_eq!(functions(&cluster), before);
    cluster.wait_linked("w1");
    assert_eq!(cluster.call("job", ""), (200, "as it was\n".into()));

    let mut empty = Cluster::start(1);
    restore(&empty, &file);
    assert_eq!(functions(&empty), before);
    assert_eq!(empty.call("job", ""), (200, "as it was\n".into()), "bundles come with it");
    let of_old = |c: &Cluster| c.client.nodes().expect("nodes").into_iter().any(|n| n.name == "w2" && n.cordoned);
    assert!(of_old(&empty), "nodes it knew are known here");
    empty.restart_head();
    assert_eq!(functions(&empty), before);
    assert!(of_old(&empty));
}

#[test]
fn builds_come_back_once_without_their_logs() {
    let cluster = process::cluster(&[]);
    let folder = cluster.dir.path().join("f");
    let good = std::fs::read_to_string(process::shell(&cluster, "f")).expect("the starter");
    process::fine(&cluster, &["deploy", "f"]);
    std::fs::write(folder.join("main.sh"), "no shell").expect("written");
    assert!(!process::cli(&cluster, &["deploy", "f"]).0);
    let before = cluster.client.builds().expect("builds");
    assert_eq!(before.iter().map(|build| build.status.as_str()).collect::<Vec<_>>(), ["failed", "succeeded"]);
    let file = backup(&cluster);
    restore(&cluster, &file);
    assert_eq!(cluster.client.builds().expect("builds"), before, "what is known is left alone");
    let log = |cluster: &Cluster, id: &str| process::fine(cluster, &["build", "log", id]);
    assert!(log(&cluster, &before[0].id).contains("its first line must name the shell"));

    // A cluster that has a build of its own, perhaps of the same number.
    let mut other = process::cluster(&[]);
    process::shell(&other, "g");
    process::fine(&other, &["deploy", "g"]);
    let own = other.client.builds().expect("builds").remove(0);
    for _ in 0..2 {
        restore(&other, &file);
    }
    other.restart_head();
    other.wait_linked("w1");
    let all = other.client.builds().expect("builds");
    let mut ids: Vec<&str> = all.iter().map(|build| build.id.as_str()).collect();
    ids.dedup();
    assert!(ids.len() == 3 && all.contains(&own), "{all:?}");
    let restored = |status: &str| all.iter().find(|build| build.name == "f" && build.status == status).expect("it");
    let (failed, made) = (restored("failed"), restored("succeeded"));
    assert_eq!((&failed.error, &made.image), (&before[0].error, &before[1].image));
    assert_eq!(log(&other, &failed.id), "(this build's log is not kept)\n");
    // They are of use: the same source is not built again; and numbers go on from theirs.
    process::shell(&other, "f");
    std::fs::write(other.dir.path().join("f/main.sh"), good).expect("written");
    let (done, said) = process::cli(&other, &["deploy", "f"]);
    assert!(done && said.contains("has not changed"), "{said}");
    let newest = other.client.builds().expect("builds").remove(0);
    assert!(newest.name == "f" && !ids.contains(&newest.id.as_str()), "{newest:?} {ids:?}");
}

#[test]
fn a_backup_that_is_not_whole_and_ours_changes_nothing() {
    let cluster = Cluster::start(0);
    cluster.client.register(&spec("one", "first")).expect("registered");
    cluster.deploy_script("job", "echo x");
    let file = backup(&cluster);
    let good = std::fs::read(&file).expect("the backup");
    cluster.client.replace("one", &spec("one", "second")).expect("replaced");
    let before = functions(&cluster);
    let patched = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect("it is in there");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    // What the program says of its file, and the API of what it is sent.
    let cases = [
        (good[..good.len() / 2].to_vec(), "cut off", "cut off"),
        (good[..good.len() - 1].to_vec(), "cut off", "cut off"),
        (patched("first", "fist!"), "damaged", "damaged"),
        (patched("\"form\": 1", "\"form\": 9"), "newer", "newer"),
        (patched("\"schema\": 10", "\"schema\": 99"), "damaged", "newer"),
        (b"PK\x03\x04 some zip".to_vec(), "no backup", "no backup"),
        (Vec::new(), "no backup", "no backup"),
    ];
    for (bytes, says, answers) in cases {
        std::fs::write(&file, &bytes).expect("written");
        let (code, out, err) = verb(&cluster, &["restore", text(&file), "--yes"]);
        assert!(code == Some(1) && err.contains(says) && out.is_empty(), "{says}: {out}{err}");
        let error = cluster.client.restore(&mut &*bytes, Some(bytes.len() as u64)).expect_err("refused");
        let refused = error.to_string();
        assert!(error.status() == Some(400) && error.code() == "invalid_backup", "{refused}");
        assert!(refused.contains(answers) && refused.contains("Nothing was changed"), "{refused}");
        assert_eq!(functions(&cluster), before);
    }
    let left = std::fs::read_dir(cluster.dir.path().join("orchestrator/bundles")).expect("a folder").count();
    assert_eq!(left, 1, "uploads are gone");
    let (code, _, err) = verb(&cluster, &["restore", "no-such-file", "--yes"]);
    assert!(code == Some(1) && err.contains("no-such-file"), "{err}");
    std::fs::write(&file, &good).expect("written");
    let (code, _, err) = verb(&cluster, &["restore", text(&file)]);
    assert!(code == Some(2) && err.contains("--yes") && err.contains("2 of the backup"), "{err}");
    let (code, _, err) = verb(&cluster, &["backup", text(&cluster.dir.path().join("no/such/folder"))]);
    assert!(code == Some(1) && err.contains("no/such/folder"), "{err}");
}

#[test]
fn from_stdout_to_stdin() {
    let cluster = Cluster::start(0);
    let empty = Cluster::start(0);
    cluster.deploy_script("job", "echo x");
    let url = cluster.head.url();
    let mut from = cares();
    let mut from = from.args(["backup", "-", "-q", "--url", &url]).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut to = cares();
    let to = to.args(["restore", "-", "--yes", "--url", &empty.head.url()]);
    let to = to.stdin(from.stdout.take().expect("piped")).output().expect("it runs");
    assert!(from.wait().expect("it ends").success() && to.status.success(), "{to:?}");
    assert_eq!(functions(&empty), functions(&cluster));
}

#[test]
fn a_backup_made_under_writes_holds_all_that_was_acknowledged_before_it() {
    let cluster = Cluster::start(0);
    let other = Cluster::start(0);
    for round in 0..3 {
        thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let client = cluster.client.clone();
                    scope.spawn(move || {
                        for n in 0..25 {
                            client.register(&spec(&format!("r{round}-w{writer}-{n}"), "")).expect("registered");
                        }
                    })
                })
                .collect();
            let before = functions(&cluster);
            let file = backup(&cluster);
            writers.into_iter().for_each(|writer| writer.join().expect("it wrote"));
            restore(&other, &file);
            let there = functions(&other);
            assert!(before.keys().all(|name| there.contains_key(name)), "{before:?} {there:?}");
        });
    }
    restore(&other, &backup(&cluster));
    assert_eq!(functions(&other).len(), 300);
}

#[test]
fn killed_while_it_restores_it_has_all_of_one_state_or_all_of_the_other() {
    let mut cluster = Cluster::start(0);
    for n in 0..40 {
        cluster.client.register(&spec(&format!("old-{n}"), "old")).expect("registered");
    }
    let old = (functions(&cluster), backup(&cluster));
    let other = Cluster::start(0);
    for n in 0..40 {
        other.client.register(&spec(&format!("new-{n}"), "new")).expect("registered");
    }
    other.deploy_script("job", "echo x");
    let new = (functions(&other), backup(&other));
    for round in 0..8 {
        let (url, file) = (cluster.head.url(), new.1.clone());
        let started = Command::new(env!("CARGO_BIN_EXE_cares"))
            .args(["restore", text(&file), "--yes", "-q", "--url", &url])
            .stderr(Stdio::null())
            .spawn();
        let mut started = started.expect("it runs");
        thread::sleep(Duration::from_millis(round * 7)); // somewhere in it, or before, or after
        cluster.head.kill();
        let acknowledged = started.wait().expect("it ends").success();
        cluster.restart_head();
        let there = functions(&cluster);
        assert!(there == new.0 || (!acknowledged && there == old.0), "round {round}: {there:?}");
        restore(&cluster, &old.1);
        assert_eq!(functions(&cluster), old.0);
    }
    wait_for("what was left half-way is gone", || {
        let files = std::fs::read_dir(cluster.dir.path().join("orchestrator/bundles")).expect("a folder").flatten();
        files.into_iter().all(|file| file.path().extension().is_none_or(|e| e != "part"))
    });
}
