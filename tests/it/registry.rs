//! Images in a registry: pushed after a build, pulled by other nodes, with a login that nobody else sees; and what is said
//! when it is not there. With Debian's docker-registry and a second engine; without them these say so and pass, unless
//! CARES_REQUIRE_DOCKER=1.

use crate::docker::docker;
use crate::harness::{free_address, wait_for};
use crate::moving::Apart;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// `secret` in bcrypt.
const USERS: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
/// `me:secret` and `me:wrong`, as `docker login` writes them.
const LOGIN: &str = "bWU6c2VjcmV0";
const WRONG: &str = "bWU6d3Jvbmc=";

/// A registry.
pub struct Registry {
    dir: TempDir,
    pub at: SocketAddr,
    process: Child,
    /// It asks who one is.
    asks: bool,
}

impl Registry {
    fn start() -> Option<Registry> {
        Registry::of(true)
    }

    /// One that anybody may pull from and push to.
    pub fn open() -> Option<Registry> {
        Registry::of(false)
    }

    fn of(asks: bool) -> Option<Registry> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "run scripts/registry --install");
            eprintln!("skipped, as there is no docker-registry: run scripts/registry --install");
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let at = free_address();
        std::fs::write(dir.path().join("users"), USERS).expect("a file");
        let process = Registry::run(dir.path(), at, asks);
        Some(Registry { dir, at, process, asks })
    }

    fn run(dir: &Path, at: SocketAddr, asks: bool) -> Child {
        let process = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/registry"))
            .arg(dir)
            .arg(at.to_string())
            .args(asks.then(|| dir.join("users")))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).expect("a log"))
            .spawn()
            .expect("a registry");
        wait_for("the registry listens", || TcpStream::connect(at).is_ok());
        process
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn again(&mut self) {
        self.process = Registry::run(self.dir.path(), self.at, self.asks);
    }

    /// Writes what nodes log in with.
    fn login(&self, auth: &str) -> String {
        let file = self.dir.path().join("config.json");
        std::fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, self.at)).expect("a file");
        file.display().to_string()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn images_go_through_the_registry_and_without_it_from_node_to_node() {
    let Some(mut registry) = Registry::start() else { return };
    let (place, file) = (registry.at.to_string(), registry.login(WRONG));
    let Some(mut apart) = Apart::start(&["--registry", &place, "--registry-auth", &file]) else { return };
    apart.only("w1");
    let folder = apart.folder("f", "FROM cares-test/upper:1\nCOPY small /small\n", &[("small", b"1".to_vec())]);

    let refused = apart.deploy("f", &folder).unwrap_err();
    assert!(refused.contains("--registry-auth") && refused.contains(&place), "{refused}");
    registry.login(LOGIN); // read again by itself
    let first = apart.deploy("f", &folder).expect("deployed");
    assert!(first.starts_with(&format!("{place}/f:")), "{first}");
    apart.only("w2");
    assert_eq!(apart.call("f", "words"), "WORDS");
    let pulled = apart.cluster.workers[1].log();
    assert!(pulled.contains(&format!("Pulled image {first}")) && apart.came(&first).is_none(), "{pulled}");

    // It is down: what a node has goes from there; what is new cannot be kept, which is said.
    registry.stop();
    apart.second.remove(&first);
    assert_eq!(apart.call("f", "more"), "MORE");
    assert!(apart.came(&first).is_some(), "{}", apart.cluster.workers[1].log());
    apart.only("w1");
    std::fs::write(folder.join("small"), "2").expect("a file");
    let down = apart.deploy("f", &folder).unwrap_err();
    assert!(down.contains("cannot be reached") && down.contains(&place) && down.contains("see that it runs"), "{down}");
    assert_eq!(apart.call("f", "still"), "STILL");

    registry.again();
    let second = apart.deploy("f", &folder).expect("deployed when it is back");
    apart.only("w2");
    assert_eq!(apart.call("f", "last"), "LAST");
    assert!(apart.came(&second).is_none(), "it was pulled");
    // What the registry does not have is said, also of others' images.
    let none = format!("{place}/none:1");
    let spec = cares::types::FunctionSpec { name: "none".into(), image: none.clone(), ..Default::default() };
    apart.cluster.client.register(&spec).expect("registered");
    let problem = apart.cluster.problem("none", "");
    assert!(problem.detail.contains("does not exist at") && problem.detail.contains(&none), "{}", problem.detail);

    let logs = apart.cluster.workers.iter().map(|worker| worker.log()).chain([apart.cluster.head.log()]);
    for log in logs {
        for secret in ["secret", LOGIN, "c2VjcmV0"] {
            assert!(!log.contains(secret), "a log has the login in it:\n{log}");
        }
    }
}

#[test]
fn builds_begin_with_private_images_and_nobody_sees_the_login() {
    let Some(registry) = Registry::start() else { return };
    let (place, file) = (registry.at.to_string(), registry.login(LOGIN));
    // The built image stays on its node: only what it begins with is in the registry.
    let Some(mut apart) = Apart::start(&["--registry-auth", &file]) else { return };
    apart.only("w1");
    let base = format!("{place}/base:1");
    docker(&["tag", "cares-test/upper:1", &base]);
    docker(&["--config", registry.dir.path().to_str().expect("UTF-8"), "push", "--quiet", &base]);
    let gone = || drop(Command::new("docker").args(["rmi", "--force", &base]).output());
    for (n, lines) in [
        format!("FROM {base}\nCOPY n /n\n"),
        format!("ARG FROM_HERE={place}\nFROM ${{FROM_HERE}}/base:1\nCOPY n /n\n"),
        format!("FROM cares-test/upper:1\nCOPY n /n\nCOPY --from={base} /p /copied\n"),
    ]
    .iter()
    .enumerate()
    {
        gone();
        let folder = apart.folder("f", lines, &[("n", n.to_string().into_bytes())]);
        let image = apart.deploy("f", &folder).unwrap_or_else(|why| panic!("{lines}: {why}"));
        assert_eq!(apart.call("f", "words"), "WORDS");
        let told = docker(&["history", "--no-trunc", &image]) + &docker(&["image", "inspect", &image]);
        assert!(!told.contains(LOGIN) && !told.contains("secret"), "the image has the login in it: {told}");
    }
    // And without: what to do is said.
    gone();
    registry.login(WRONG);
    let folder = apart.folder("g", &format!("FROM {base}\nCOPY n /n\n"), &[("n", b"g".to_vec())]);
    let refused = apart.deploy("g", &folder).unwrap_err();
    for part in ["begins with an image that cannot be had", &base, "--registry-auth"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    gone();
    let builds = apart.cluster.client.builds().expect("builds");
    let log = |id: &str| crate::wire::get(apart.cluster.head.http(), &format!("/builds/{id}/log")).text();
    let logs = apart.cluster.workers.iter().map(|worker| worker.log()).chain([apart.cluster.head.log(), refused]);
    for text in logs.chain(builds.iter().map(|build| log(&build.id))) {
        assert!(!["secret", LOGIN, WRONG, "c2VjcmV0"].iter().any(|part| text.contains(part)), "a login: {text}");
    }
}

#[test]
fn a_tag_means_the_same_on_all_nodes_until_it_is_asked_for_again() {
    let Some(registry) = Registry::start() else { return };
    let (place, file) = (registry.at.to_string(), registry.login(LOGIN));
    let Some(mut apart) = Apart::start(&["--registry", &place, "--registry-auth", &file]) else { return };
    let tag = format!("{place}/t:1");
    let push = |image: &str| {
        docker(&["tag", image, &tag]);
        docker(&["--config", registry.dir.path().to_str().expect("UTF-8"), "push", "--quiet", &tag]);
        docker(&["rmi", &tag]);
    };
    push("cares-test/upper:1");
    let spec = cares::types::FunctionSpec { name: "t".into(), image: tag.clone(), ..Default::default() };
    apart.cluster.client.register(&spec).expect("registered");
    let image = || apart.cluster.client.function("t").expect("the function").image;
    let first = image();
    assert!(first.starts_with(&format!("{tag}@sha256:")), "{first}");
    apart.only("w1");
    assert_eq!(apart.call("t", "one"), "ONE");
    push("cares-test/env:1"); // the tag moves
    apart.only("w2");
    assert_eq!(apart.call("t", "two"), "TWO");

    apart.cluster.client.redeploy("t").expect("deployed again");
    let second = image();
    assert!(second != first && second.starts_with(&format!("{tag}@sha256:")), "{second}");
    for node in ["w1", "w2"] {
        apart.only(node);
        assert!(apart.call("t", "").contains("FROM_IMAGE=1"), "the tag's image of now");
    }
    apart.cluster.client.rollback("t", None).expect("went back");
    assert_eq!((image(), apart.call("t", "back")), (first.clone(), "BACK".to_string()));
    let by_digest = |image: &str| format!("{place}/t@{}", image.split_once('@').expect("a digest").1);
    apart.images.extend([&first, &second].map(|image| by_digest(image)));
}
