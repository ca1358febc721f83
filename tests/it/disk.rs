//! Disks that fill up or may not be written, under the real program: nothing acknowledged is lost, calls go on, and it
//! recovers by itself. Needs the right to mount; without it these tests say so and pass.

use crate::harness::{Cluster, Role, cares, run, wait_for};
use crate::head::Head;
use cares::types::FunctionSpec;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, unmounted when dropped.
pub struct Mount(PathBuf);

impl Mount {
    pub fn new(at: &Path, megabytes: u32) -> Option<Mount> {
        std::fs::create_dir_all(at).expect("a folder");
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output();
        match mount {
            Ok(mounted) if mounted.status.success() => Some(Mount(at.to_path_buf())),
            other => {
                eprintln!("skipped: this test needs the right to mount a tmpfs: {other:?}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).output().expect("mount runs");
        assert!(done.status.success(), "{done:?}");
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.0.join("filler")).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status(); // the folder's removal tells if it failed
    }
}

fn spec(name: &str) -> FunctionSpec {
    let description = Some("x".repeat(1_000));
    FunctionSpec { name: name.into(), image: "hello-world".into(), description, ..Default::default() }
}

fn start_again(dir: &Path) -> Result<Role, String> {
    Head::of(dir).data(dir).try_start().map_err(|(status, log)| {
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(dir.to_str().expect("UTF-8")) && !log.contains("panicked"), "{log}");
        log
    })
}

#[test]
fn a_disk_that_fills_up_refuses_changes_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("orchestrator");
    let Some(disk) = Mount::new(&data, 8) else { return };
    let mut cluster = Cluster::start_in(folder, 1);
    cluster.deploy_script("cat", "cat");
    cluster.deploy_echo("");
    assert_eq!(cluster.call("echo", "x"), (200, "x".into()));
    disk.fill();
    let mut kept = vec!["cat".to_string(), "echo".into()];
    let refused = (0..5_000).find_map(|n| {
        let name = format!("f{n}");
        match cluster.client.register(&spec(&name)) {
            Ok(_) => {
                kept.push(name);
                None
            }
            Err(error) => Some((name, error)),
        }
    });
    let (name, error) = refused.expect("the disk is full");
    assert_eq!((error.status(), error.code()), (Some(507), "store_failed"), "{error}");
    assert!(error.to_string().contains("cluster.redb") && error.to_string().contains("pace"), "{error}");
    assert_eq!(cluster.client.function(&name).expect_err("it is not there").status(), Some(404));
    for _ in 0..3 {
        let error = cluster.client.delete_function("cat").expect_err("nothing can be changed");
        assert_eq!(error.code(), "store_failed", "{error}");
        assert_eq!(cluster.client.replace("echo", &spec("echo")).expect_err("nor replaced").code(), "store_failed");
        assert_eq!(cluster.client.cordon("w1").expect_err("nor cordoned").code(), "store_failed");
        assert_eq!(cluster.call("cat", "still"), (200, "still".into()));
        assert_eq!(cluster.call("echo", "warm"), (200, "warm".into()));
    }
    let folder = cluster.folder("more", r#"{"mode":"job","command":["./run.sh"]}"#, &[("run.sh", "#!/bin/sh\n")]);
    let deploy = crate::harness::run(crate::harness::cares().arg("deploy").arg(folder).args([
        "--name",
        "more",
        "--url",
        &cluster.head.url(),
    ]));
    assert!(deploy.0.code() == Some(1) && deploy.2.contains("pace"), "{deploy:?}");
    // A worker that comes now is taken all the same.
    cluster.restart_worker(0, "w1", &[]);
    assert_eq!(cluster.call("cat", "again"), (200, "again".into()));
    disk.make_room();
    wait_for("changes are taken again", || cluster.client.register(&spec(&name)).is_ok());
    kept.push(name);
    cluster.client.delete_function("f0").ok();
    kept.retain(|name| name != "f0");
    cluster.restart_head();
    let mut there: Vec<String> = cluster.client.functions().expect("functions").into_iter().map(|f| f.name).collect();
    kept.sort();
    there.sort();
    assert_eq!(there, kept);
    cluster.head.kill();
    disk.fill();
    if let Err(log) = start_again(&data) {
        assert!(log.contains("pace"), "{log}");
    }
    disk.make_room();
    drop(start_again(&data).expect("there is room again"));
    cluster.workers.clear();
    drop(cluster);
    drop(disk);
}

#[test]
fn a_disk_that_may_only_be_read_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("orchestrator");
    let Some(disk) = Mount::new(&data, 16) else { return };
    let mut role = start_again(&data).expect("started");
    let client = cares::client::Orchestrator::new(&role.url()).expect("a URL");
    client.register(&spec("kept")).expect("registered");
    role.kill();
    disk.remount("ro");
    let Err(log) = start_again(&data) else { panic!("it has started") };
    assert!(log.contains("ead-only") && log.contains("--data-dir"), "{log}");
    disk.remount("rw");
    let role = start_again(&data).expect("started");
    let client = cares::client::Orchestrator::new(&role.url()).expect("a URL");
    assert_eq!(client.function("kept").expect("it is there").revision, 1);
    drop(role);
}

#[test]
fn doctor_writes_where_data_is_to_be_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = Mount::new(folder.path(), 1) else { return };
    let looked = || {
        let data = folder.path().join("data");
        let (_, out, _) = run(cares().args(["doctor", "-o", "json", "--data-dir"]).arg(data));
        let checks: Vec<serde_json::Value> = serde_json::from_str(&out).expect("JSON");
        checks.into_iter().find(|check| check["check"] == "data folder").expect("a line")
    };
    assert_eq!(looked()["status"], "ok");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    disk.fill();
    let full = looked();
    assert!(full["status"] == "fail" && full["detail"].as_str().is_some_and(|d| d.contains("No space")), "{full}");
    disk.make_room();
    disk.remount("ro");
    let shut = looked();
    assert!(shut["status"] == "fail" && shut["fix"].as_str().is_some_and(|fix| fix.contains("mount it")), "{shut}");
    disk.remount("rw");
    assert_eq!(looked()["status"], "ok");
}
