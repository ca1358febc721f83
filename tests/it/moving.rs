//! Images that a node does not have and no registry either: from another node, built again when none has them. With a
//! second engine on this machine; without one these say so and pass, unless CARES_REQUIRE_DOCKER=1.

use crate::docker::{docker, engine_is_there, remove_containers_of};
use crate::harness::{Cluster, Role, cares, own_ip, run, wait_for, wait_for_some};
use crate::head::Head;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// An engine beside the machine's own: all of it in one folder, with a bridge of its own.
pub struct SecondEngine {
    dir: TempDir,
    process: Child,
    bridge: String,
}

impl SecondEngine {
    /// `None` without root, or without an engine at all.
    pub fn start() -> Option<SecondEngine> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
        if !engine_is_there() || !root {
            assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "a second engine takes root");
            eprintln!("skipped: a second engine takes root, and an engine");
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        // Its own address as a number that no other test has now.
        let std::net::IpAddr::V4(own) = own_ip() else { panic!("an IPv4 address") };
        let [_, pid, _, n] = own.octets();
        let bridge = format!("cares{}x{n}", std::process::id() % 100_000);
        ip(&["link", "add", &bridge, "type", "bridge"]);
        ip(&["address", "add", &format!("10.{}.{pid}.1/24", 180 + n % 50), "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        let process = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/docker-engine"))
            .arg("--own")
            .arg(dir.path())
            .arg(format!("--bridge={bridge}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).expect("a log"))
            .spawn()
            .expect("an engine");
        let engine = SecondEngine { dir, process, bridge };
        wait_for("the second engine answers", || engine.docker(&["version"]).contains("Server"));
        Some(engine)
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("d.sock").display())
    }

    /// What `docker` says there.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", &self.host()]).args(arguments).output().expect("docker runs");
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    /// Removes an image, so that it must come again.
    pub fn remove(&self, image: &str) {
        wait_for("no container of it is left", || self.docker(&["ps", "--all", "--quiet"]).is_empty());
        let said = self.docker(&["rmi", "--force", image]);
        assert!(said.contains("Untagged"), "{said}");
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        for container in self.docker(&["ps", "--all", "--quiet"]).lines() {
            self.docker(&["rm", "--force", container]);
        }
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let dir = self.dir.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for at in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&dir)) {
            let _ = Command::new("umount").args(["--lazy", at]).status();
        }
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).status();
    }
}

fn ip(arguments: &[&str]) {
    let out = Command::new("ip").args(arguments).output().expect("ip runs");
    assert!(out.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A cluster whose first worker has the machine's engine and whose second has one of its own.
pub struct Apart {
    pub cluster: Cluster,
    pub second: SecondEngine,
    /// Where no login is.
    empty: TempDir,
    /// Removed from the machine's engine at the end.
    pub images: Vec<String>,
}

impl Apart {
    /// With these flags of the orchestrator.
    pub fn start(flags: &[&str]) -> Option<Apart> {
        let second = SecondEngine::start()?;
        let dir = tempfile::tempdir().expect("a folder");
        let cluster = Head::of(dir.path()).told(flags).alone(dir);
        let mut apart = Apart { cluster, second, empty: tempfile::tempdir().expect("a folder"), images: Vec::new() };
        apart.add_worker("w1", None);
        apart.add_worker("w2", Some(apart.second.host()));
        Some(apart)
    }

    pub fn add_worker(&mut self, name: &str, engine: Option<String>) {
        let dir = self.cluster.dir.path().join(name);
        let grpc = self.cluster.head.ready("grpc").to_string();
        let arguments = ["worker", &grpc, "--name", name, "--worker-addr", "127.0.0.1:0", "--data-dir", &text(&dir)];
        let worker = Role::start_with(&arguments, |command| {
            command.env("DOCKER_CONFIG", self.empty.path());
            if let Some(engine) = engine {
                command.env("DOCKER_HOST", engine);
            }
        });
        self.cluster.workers.push(worker);
        self.cluster.wait_linked(name);
        let docked = || self.cluster.client.node(name).is_ok_and(|n| n.engines.iter().any(|e| e == "docker"));
        wait_for("the node has the docker engine", docked);
    }

    /// One node alone takes new work; the others keep what they have.
    pub fn only(&self, name: &str) {
        for node in self.cluster.client.nodes().expect("nodes") {
            let verb = if node.name == name { "uncordon" } else { "cordon" };
            let (status, out, err) =
                run(cares().args(["node", verb, &node.name, "--url", &self.cluster.head.url(), "--yes"]));
            assert!(status.success(), "{out}{err}");
        }
    }

    /// A folder with a Dockerfile.
    pub fn folder(&self, name: &str, dockerfile: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
        let folder = self.cluster.dir.path().join(format!("source-{name}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("Dockerfile"), dockerfile).expect("a file");
        for (file, bytes) in files {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(folder.join(file), bytes).expect("a file");
            std::fs::set_permissions(folder.join(file), PermissionsExt::from_mode(0o755)).expect("a mode");
        }
        folder
    }

    /// Deploys it; the image it is now, or what was said.
    pub fn deploy(&mut self, name: &str, folder: &Path) -> Result<String, String> {
        let (status, out, err) =
            run(cares().arg("deploy").arg(folder).args(["--name", name, "--url", &self.cluster.head.url()]));
        if !status.success() {
            return Err(format!("{out}{err}"));
        }
        let image = self.cluster.client.function(name).expect("the function").image;
        self.images.push(image.clone());
        Ok(image)
    }

    pub fn call(&self, name: &str, body: &str) -> String {
        let (status, text) = self.cluster.call(name, body);
        assert_eq!(status, 200, "{name}: {text}");
        text
    }

    /// What the second worker said of the last image that came.
    pub fn came(&self, image: &str) -> Option<String> {
        let log = self.cluster.workers[1].log();
        let line = log.lines().rfind(|line| line.contains(&format!("Image {image} came from another node")))?;
        Some(line.to_string())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let nodes: Vec<String> = self.cluster.workers.iter().map(|worker| worker.ready("node").to_string()).collect();
        self.cluster.workers.iter_mut().for_each(Role::kill);
        nodes.iter().for_each(|node| remove_containers_of(node));
        for image in self.images.iter().rev() {
            let _ = Command::new("docker").args(["rmi", "--force", image]).output();
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_string()
}

/// Bytes that cannot be packed.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("noise"), &mut noise).expect("noise");
    noise
}

/// The test images' one program.
pub fn program() -> Vec<u8> {
    let container = docker(&["create", "cares-test/upper:1"]);
    let out = Command::new("docker").args(["cp", &format!("{container}:/p"), "-"]).output().expect("docker runs");
    docker(&["rm", &container]);
    // A tar of one file.
    let size = String::from_utf8_lossy(&out.stdout[124..135]).into_owned();
    let size = usize::from_str_radix(&size, 8).expect("a size");
    out.stdout[512..512 + size].to_vec()
}

#[test]
fn what_one_node_has_built_runs_on_another_and_only_new_layers_are_sent() {
    let Some(mut apart) = Apart::start(&[]) else { return };
    apart.only("w1");
    let dockerfile = "FROM cares-test/echo:1\nCOPY big /big\nCOPY small /small\n";
    let folder = apart.folder("f", dockerfile, &[("big", noise(4 << 20)), ("small", b"1".to_vec())]);
    let first = apart.deploy("f", &folder).expect("deployed");
    assert!(first.starts_with("cares/f:"), "{first}");
    apart.only("w2");
    assert_eq!(apart.call("f", "there"), "POST / HTTP/1.1\nthere");
    let came = apart.came(&first).expect("it came from the other node");
    println!("{came}");
    assert!(came.contains("MiB"), "{came}");

    apart.only("w1");
    std::fs::write(folder.join("small"), "2").expect("a file");
    let second = apart.deploy("g", &folder).expect("deployed"); // f's instance on w1 would serve on
    apart.only("w2");
    assert_eq!(apart.call("g", "again"), "POST / HTTP/1.1\nagain");
    let came = apart.came(&second).expect("it came from the other node");
    println!("{came}");
    assert!(came.contains("KiB"), "layers that are there were sent again: {came}");
}

#[test]
fn a_sender_that_dies_is_replaced_and_without_any_the_image_is_built_again() {
    let Some(mut apart) = Apart::start(&[]) else { return };
    apart.add_worker("w3", None); // on the engine of w1: it has what that has
    apart.only("w1");
    let dockerfile = "FROM scratch\nCOPY p /p\nCOPY big /big\nENTRYPOINT [\"/p\", \"upper\"]\n";
    let folder = apart.folder("f", dockerfile, &[("p", program()), ("big", noise(12 << 20))]);
    let image = apart.deploy("f", &folder).expect("deployed");
    apart.only("w2");
    let mut senders = vec![0, 2];
    while !senders.is_empty() {
        let said: Vec<usize> = apart.cluster.workers.iter().map(|worker| worker.log().len()).collect();
        let calling = apart.cluster.call_aside("f", "words");
        let sends = |n: &usize| apart.cluster.workers[*n].log()[said[*n]..].contains("goes to another node");
        let sender = wait_for_some("one sends it", || senders.iter().position(sends));
        let sender = senders.remove(sender);
        // First it stands still, so that it dies in the middle, or before anything of it is there.
        let told = apart.cluster.head.log().len();
        apart.cluster.workers[sender].signal("STOP");
        wait_for("the other asks for it", || apart.cluster.workers[1].log().len() > said[1]);
        apart.cluster.workers[sender].kill();
        let (status, text, _) = calling.join().expect("an answer");
        assert_eq!((status, text.as_str()), (200, "WORDS"));
        let log = apart.cluster.workers[1].log()[said[1]..].to_string();
        let head = apart.cluster.head.log()[told..].to_string();
        let broke = log.contains("did not come whole") || head.contains("was not to be had from a node that has it");
        assert!(broke, "{log}\n{head}");
        let again = apart.cluster.head.log().contains("it is built again");
        assert_eq!(again, senders.is_empty(), "it is built again only when no node has it");
        apart.second.remove(&image);
    }
}
