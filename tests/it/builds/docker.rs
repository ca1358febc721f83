//! Builds that come to something.

use super::{build, built, dockerfile};
use crate::docker::{Docked, docker};
use crate::harness::{cares, run, wait_for};
use crate::wire::get;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A folder whose function answers what is in its `text`, as a job.
fn write(folder: &Path, text: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("Dockerfile"), "FROM cares-test/cat:1\nCOPY text /text\nCMD [\"/text\"]\n").expect("written");
    fs::write(folder.join("text"), text).expect("written");
    fs::write(folder.join("function.json"), r#"{"env":{"A":"b"},"timeout_s":20}"#).expect("written");
}

/// The images of a function that were built.
fn images(function: &str) -> String {
    docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", &format!("cares/{function}")])
}

/// Leaves no image of a test's function.
struct Clean(&'static str);

impl Drop for Clean {
    fn drop(&mut self) {
        for image in images(self.0).lines() {
            let _ = std::process::Command::new("docker").args(["rmi", "--force", image]).output();
        }
    }
}

#[test]
fn a_folder_is_deployed_edited_rolled_back_and_deleted() {
    let Some(site) = Docked::start_told(1, &[]) else { return };
    let (name, _clean) = ("b-edited", Clean("b-edited"));
    let folder = site.cluster.dir.path().join(name);
    let url = site.cluster.head.url();
    let cli = |arguments: &[&str]| {
        let begun = Instant::now();
        let (status, out, err) =
            run(cares().args(arguments).args(["--url", &url]).current_dir(site.cluster.dir.path()));
        assert!(status.success(), "{arguments:?}: {out}{err}");
        eprintln!("cares {}: {:.1} s", arguments.join(" "), begun.elapsed().as_secs_f64());
        (out, err)
    };
    write(&folder, "one");
    let (out, err) = cli(&["deploy", name]);
    assert!(out.contains(&format!("{url}/invoke/{name}")) && out.contains("revision 1"), "{out}");
    assert!(err.contains("COPY text /text") && err.contains("building"), "the log is shown: {err}");
    let answer = || site.cluster.call(name, "");
    assert_eq!(answer(), (200, "644 one read only\n".into()));
    write(&folder, "two");
    let edited = Instant::now();
    assert!(cli(&["redeploy", name]).0.contains("revision 2"));
    assert!(edited.elapsed() < Duration::from_secs(20), "an edit took {:?}", edited.elapsed());
    assert_eq!(answer(), (200, "644 two read only\n".into()));
    let function = site.client().function(name).expect("it");
    assert_eq!((function.env.get("A").map(String::as_str), function.timeout_s), (Some("b"), 20.0));
    cli(&["rollback", name]);
    assert_eq!(answer(), (200, "644 one read only\n".into()));
    // The same again: nothing is built.
    write(&folder, "one");
    let (_, err) = cli(&["deploy", name]);
    assert!(err.contains("has not changed"), "{err}");
    cli(&["delete", name, "--yes"]);
    assert_eq!(answer().0, 404);
    let kept = site.client().builds().expect("builds");
    assert_eq!(kept.iter().map(|b| b.status.as_str()).collect::<Vec<_>>(), ["succeeded"; 3]);
    assert!(kept.iter().all(|b| b.image.as_ref().is_some_and(|image| image.starts_with("cares/b-edited:"))));
    assert_eq!(kept[0].image, kept[2].image);
}

#[test]
fn who_asks_for_the_same_at_once_waits_for_the_one_build() {
    let Some(site) = Docked::start_told(1, &[]) else { return };
    let _clean = Clean("b-same");
    let to = site.cluster.head.http();
    let zip = dockerfile(&["FROM cares-test/cat:1", "RUN [\"/p\", \"sleeper\", \"2\"]", "COPY t /t"], &[("t", "same")]);
    let ask = || {
        let zip = zip.clone();
        thread::spawn(move || built(&build(to, "/build", &[("name", "b-same")], &zip)))
    };
    let all: Vec<_> = [ask(), ask(), ask()].into_iter().map(|asking| asking.join().expect("an answer")).collect();
    assert!(all.iter().all(|build| *build == all[0]), "{all:?}");
    let begun = Instant::now();
    let again = built(&build(to, "/build", &[("name", "b-same")], &zip));
    assert!(again.id != all[0].id && again.image == all[0].image);
    assert!(begun.elapsed() < Duration::from_secs(2), "what is there took {:?}", begun.elapsed());
    let log = |id: &str| get(to, &format!("/builds/{id}/log")).text();
    assert!(log(&again.id).contains("has not changed"));
    let anew = built(&build(to, "/build", &[("name", "b-same"), ("anew", "true")], &zip));
    assert!(anew.image == all[0].image && log(&anew.id).contains("Step 2/4 : RUN"), "{}", log(&anew.id));
}

#[test]
fn what_a_backup_brings_is_built_again_where_its_image_is_gone() {
    let Some(site) = Docked::start_told(1, &[]) else { return };
    let (name, _clean) = ("b-restored", Clean("b-restored"));
    let dir = site.cluster.dir.path();
    write(&dir.join(name), "one");
    let cli = |to: &Docked, words: &[&str]| {
        let (status, out, err) = run(cares().args(words).args(["--url", &to.cluster.head.url()]).current_dir(dir));
        assert!(status.success(), "{words:?}: {out}{err}");
    };
    cli(&site, &["deploy", name]);
    cli(&site, &["backup", "kept.tar"]);
    cli(&site, &["delete", name, "--yes"]);
    let Some(other) = Docked::start_told(1, &[]) else { return };
    docker(&["rmi", "--force", &images(name)]);
    cli(&other, &["restore", "kept.tar", "--yes"]);
    assert_eq!(other.cluster.call(name, ""), (200, "644 one read only\n".into()));
    let builds = other.client().builds().expect("builds");
    assert_eq!(builds.iter().map(|b| b.status.as_str()).collect::<Vec<_>>(), ["succeeded"; 2]);
    assert_eq!(builds[0].image, builds[1].image);
}

#[test]
fn a_build_is_followed_cancelled_and_ended_by_who_waits() {
    let Some(site) = Docked::start_told(1, &[]) else { return };
    let to = site.cluster.head.http();
    let endless = |seconds: &str| {
        dockerfile(&["FROM cares-test/cat:1", &format!("RUN [\"/p\", \"sleeper\", \"{seconds}\"]")], &[])
    };
    let runs = |seconds: &str| {
        docker(&["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]).contains(&format!("/p sleeper {seconds}"))
    };
    // Cancelled by its id.
    let accepted = build(to, "/build?detach=true", &[("name", "b-cancel")], &endless("3001"));
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let id = accepted.json()["id"].as_str().expect("an id").to_string();
    assert_eq!(accepted.header("location"), Some(&*format!("/builds/{id}")));
    wait_for("its step runs", || runs("3001"));
    let client = site.client().clone();
    let following = {
        let (client, id) = (client.clone(), id.clone());
        thread::spawn(move || client.build_log(&id, true).expect("its log").map_while(Result::ok).collect::<Vec<_>>())
    };
    assert_eq!(client.cancel_build(&id).expect("taken").id, id);
    wait_for("it is cancelled", || client.build_by_id(&id).is_ok_and(|build| build.status == "cancelled"));
    assert!(following.join().expect("no panic").iter().any(|line| line.contains("RUN")), "who follows is told the end");
    wait_for("its container is gone", || !runs("3001"));
    assert_eq!(client.cancel_build(&id).expect_err("it has ended").code(), "build_ended");
    // Its client went away.
    let (kind, body) = super::form(&[("name", "b-gone")], &endless("3002"));
    let mut stream = crate::wire::connect(to);
    let head =
        crate::wire::head("POST", "/build", &[("Content-Type", &kind), ("Content-Length", &body.len().to_string())]);
    std::io::Write::write_all(&mut stream, &[head.as_bytes(), b"\r\n", &body].concat()).expect("sent");
    wait_for("its step runs", || runs("3002"));
    drop(stream);
    let newest = || client.builds().expect("builds").remove(0);
    wait_for("it is cancelled", || newest().status == "cancelled");
    wait_for("its container is gone", || !runs("3002"));
    // Ctrl-C.
    let folder = site.cluster.dir.path().join("b-interrupted");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("Dockerfile"), "FROM cares-test/cat:1\nRUN [\"/p\", \"sleeper\", \"3003\"]\n")
        .expect("written");
    let mut command = cares();
    command.arg("deploy").arg(&folder).args(["--url", &site.cluster.head.url()]);
    let mut deploying = command.stderr(std::process::Stdio::piped()).spawn().expect("cares runs");
    wait_for("its step runs", || runs("3003"));
    let signalled = std::process::Command::new("kill").args(["-INT", &deploying.id().to_string()]).status();
    assert!(signalled.expect("kill runs").success());
    assert_eq!(deploying.wait().expect("its end").code(), Some(130));
    wait_for("it is cancelled", || newest().status == "cancelled");
    wait_for("its container is gone", || !runs("3003"));
}
