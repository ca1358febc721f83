//! What the engine is asked, and the check of all that goes into a path: shiplift panics on what cannot stand there.
//! Must never let a name through that could mean another resource.

use super::super::{EngineError, Isolation, Kind, Launch, Needs, Port, SECRETS_DIR, Volume};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Longest image reference: the registry's own limit on a name is 255, a digest and a host come on top.
const MAX_IMAGE_BYTES: usize = 512;
/// Where a container may write when it may not write to its root, as programs expect it: in memory, gone with it.
/// What runs there is the image's business: an init may keep its programs in /run.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/run"];
/// Where it finds its secret files, as with Docker's own.
const SECRETS_FOLDER: &str = "/run/secrets";
/// What the engine keeps of a container's output, for `docker logs`; ours is in the log book.
const LOG_BYTES: &str = "1m";
/// Capabilities kept, as images that begin as root and become someone else need them: what OpenShift's and Knative's
/// users are used to. Left out of Docker's own set: NET_RAW (forged packets), MKNOD, AUDIT_WRITE, SYS_CHROOT, SETPCAP,
/// SETFCAP, FSETID.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// The registry of names that say none, as credentials are kept under.
pub const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What names of images that the cluster has built begin with, without a registry.
const OWN: &str = "cares/";

pub const LABEL_NODE: &str = "io.cares.node";
pub const LABEL_FUNCTION: &str = "io.cares.function";
pub const LABEL_REVISION: &str = "io.cares.revision";
pub const LABEL_ID: &str = "io.cares.id";
/// The port an http instance serves on; a job has none.
pub const LABEL_PORT: &str = "io.cares.port";
/// It runs a task.
pub const LABEL_TASK: &str = "io.cares.task";
/// A volume's own name.
const LABEL_VOLUME: &str = "io.cares.volume";
/// All of the node's graphics processors.
const GPU: &str = "gpu";

/// An image's name, checked and split as a pull wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    text: String,
    /// As it was given.
    said: String,
    /// Where the tag begins; `None` with a digest or without either.
    tag: Option<usize>,
}

impl ImageName {
    pub fn parse(text: &str) -> Result<ImageName, EngineError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
        let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let bytes = text.as_bytes();
        let fits = bytes.len() <= MAX_IMAGE_BYTES
            && bytes.iter().copied().all(plain)
            && ends(bytes.first())
            && ends(bytes.last())
            && !["..", "//", "/./"].iter().any(|odd| text.contains(odd));
        if !fits {
            let shown: String = text.chars().take(80).collect();
            return Err(EngineError::Image(format!(
                "{shown:?} is no image's name; write it as docker pull takes it: [REGISTRY/]NAME[:TAG] or NAME@DIGEST"
            )));
        }
        let last = text.rfind('/').map_or(0, |at| at + 1);
        let tag = text[last..].split('@').next().and_then(|name| name.find(':')).map(|at| last + at);
        Ok(match (tag, text.find('@')) {
            // What its digest says is not said by a tag: that is for people.
            (Some(tag), Some(at)) => {
                ImageName { text: format!("{}{}", &text[..tag], &text[at..]), said: text.into(), tag: None }
            }
            _ => ImageName { text: text.into(), said: text.into(), tag },
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As people know it.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The registry's host, as credentials are kept under; Docker Hub has a name of its own.
    pub fn registry(&self) -> &str {
        match self.text.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => DOCKER_HUB,
        }
    }

    /// Whether the cluster has built it and no registry has it: what Docker Hub has by such a name is somebody else's.
    pub fn is_own(&self) -> bool {
        self.text.starts_with(OWN)
    }

    /// With the tag that is meant when none is said; `None`: it is said by its digest.
    pub fn tagged(&self) -> Option<String> {
        match self.tag {
            Some(_) => Some(self.text.clone()),
            None => (!self.text.contains('@')).then(|| format!("{}:latest", self.text)),
        }
    }

    pub fn path(&self) -> String {
        format!("/images/{}", self.text)
    }

    /// Where an engine asks the registry what the name means.
    pub fn distribution_path(&self) -> String {
        format!("/distribution/{}/json", self.text)
    }

    pub fn save_path(&self) -> Option<String> {
        Some(format!("/images/{}/get", self.tagged()?))
    }

    /// `None`: what is said by its digest cannot be pushed.
    pub fn push_path(&self) -> Option<String> {
        let tagged = self.tagged()?;
        let (name, tag) = tagged.rsplit_once(':')?;
        Some(format!("/images/{name}/push?tag={}", encode(tag)))
    }

    pub fn inspect_path(&self) -> String {
        format!("/images/{}/json", self.text)
    }

    /// Without a tag it would pull every tag there is.
    pub fn pull_path(&self) -> String {
        let encoded = encode(&self.text);
        match self.tag {
            Some(at) => {
                format!("/images/create?fromImage={}&tag={}", encode(&self.text[..at]), encode(&self.text[at + 1..]))
            }
            None if self.text.contains('@') => format!("/images/create?fromImage={encoded}"),
            None => format!("/images/create?fromImage={encoded}&tag=latest"),
        }
    }
}

/// A container's name: told apart by node and launch.
pub fn container_name(node: &str, id: &str) -> Result<String, EngineError> {
    let name = format!("cares-{node}-{id}");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if id.is_empty() || name.len() > 200 || !name.bytes().all(plain) {
        return Err(EngineError::Resources(format!("the launch's id {id:?} cannot be a container's name")));
    }
    Ok(name)
}

/// What goes into a query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // a string takes all
        }
    }
    encoded
}

/// The path of one container's resource.
pub fn container_path(id: &str, rest: &str) -> String {
    format!("/containers/{}{rest}", encode(id))
}

/// Limits a listing or the events to this node's containers.
pub fn own_filter(node: &str, events: bool) -> String {
    let label = format!("{LABEL_NODE}={node}");
    let filter = if events { json!({"type": ["container"], "label": [label]}) } else { json!({"label": [label]}) };
    encode(&filter.to_string())
}

/// The body of a create. `port`: an http function's; `publish`: also reach it by a port of this machine; `secrets`: a
/// folder of this machine with its secret files.
pub fn create(
    node: &str,
    launch: &Launch,
    image: &str,
    port: Option<u16>,
    publish: bool,
    secrets: Option<&Path>,
) -> Result<String, EngineError> {
    let job = launch.kind == Kind::Job;
    let mut labels = serde_json::Map::new();
    let mut label = |name: &str, value: String| labels.insert(name.into(), Value::String(value));
    label(LABEL_NODE, node.into());
    label(LABEL_FUNCTION, launch.function.clone());
    label(LABEL_REVISION, launch.revision.to_string());
    label(LABEL_ID, launch.id.clone());
    let mut host = json!({
        "CapDrop": ["ALL"],
        "CapAdd": CAPABILITIES,
        "SecurityOpt": security(&launch.isolation),
        "PidsLimit": launch.isolation.pids,
        "RestartPolicy": {"Name": "no"},
        // A job's output goes to its caller, and it is gone with its call: nothing to keep.
        "LogConfig": if job { json!({"Type": "none"}) } else {
            json!({"Type": "json-file", "Config": {"max-size": LOG_BYTES, "max-file": "1"}})
        },
    });
    if !launch.isolation.open_files {
        host["ReadonlyRootfs"] = json!(true);
        let options = format!("rw,nosuid,nodev,exec,mode=1777,size={}", launch.isolation.tmp_bytes);
        host["Tmpfs"] = SCRATCH.iter().map(|place| (place.to_string(), json!(options))).collect();
    }
    let needs = &launch.needs;
    if let Some(bytes) = needs.disk_bytes.filter(|_| launch.isolation.open_files) {
        host["StorageOpt"] = json!({"size": bytes.to_string()}); // else it can only write to memory
    }
    if let Some(bytes) = launch.memory_bytes {
        // The same with swap: swapping would only hide that it is too little.
        host["Memory"] = json!(bytes);
        host["MemorySwap"] = json!(bytes);
    }
    if let Some(cores) = launch.cpu {
        host["NanoCpus"] = json!((cores * 1e9) as i64);
    }
    let mut body = json!({
        "Image": image,
        "Env": environment(launch, port, secrets.is_some())?,
        "AttachStdin": job, "AttachStdout": job, "AttachStderr": job, "OpenStdin": job, "StdinOnce": job,
    });
    if let Some(port) = port {
        label(LABEL_PORT, port.to_string());
        let key = format!("{port}/tcp");
        body["ExposedPorts"] = json!({ &key: {} });
        if publish {
            host["PortBindings"] = json!({ &key: [{"HostIp": "127.0.0.1", "HostPort": ""}] });
        }
    }
    if launch.kind == Kind::Task {
        label(LABEL_TASK, "1".into());
        task(node, needs, &mut host, &mut body);
    }
    if !launch.command.is_empty() {
        body["Cmd"] = json!(launch.command);
    }
    if let Some(folder) = secrets {
        // A mount rather than a bind: an engine that does not share this machine's memory says so.
        host["Mounts"] = json!([{"Type": "bind", "Source": folder, "Target": SECRETS_FOLDER, "ReadOnly": true}]);
    }
    body["Labels"] = Value::Object(labels);
    body["HostConfig"] = host;
    Ok(body.to_string())
}

/// Ports, volumes and devices.
fn task(node: &str, needs: &Needs, host: &mut Value, body: &mut Value) {
    let key = |port: &Port| format!("{}/{}", port.inside, if port.udp { "udp" } else { "tcp" });
    let listen = needs.listen.map(|ip| ip.to_string()).unwrap_or_default();
    let binding = |port: &Port| {
        let number = if port.host == 0 { String::new() } else { port.host.to_string() };
        json!([{"HostIp": listen, "HostPort": number}])
    };
    body["ExposedPorts"] = needs.ports.iter().map(|port| (key(port), json!({}))).collect();
    host["PortBindings"] = needs.ports.iter().map(|port| (key(port), binding(port))).collect();
    let mount = |volume: &Volume| {
        json!({
            "Type": "volume", "Source": format!("cares-{node}-{}", volume.name), "Target": volume.path,
            "ReadOnly": volume.read_only, "VolumeOptions": {"Labels": {LABEL_NODE: node, LABEL_VOLUME: volume.name}},
        })
    };
    host["Mounts"] = needs.volumes.iter().map(mount).collect();
    let files = needs.devices.iter().filter(|device| device.as_str() != GPU);
    let file = |path: &String| json!({"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"});
    host["Devices"] = files.map(file).collect();
    if needs.devices.iter().any(|device| device == GPU) {
        host["DeviceRequests"] = json!([{"Driver": "", "Count": -1, "Capabilities": [[GPU]]}]);
    }
}

/// The engine's own filter of system calls holds unless it is told not to.
fn security(isolation: &Isolation) -> Vec<&'static str> {
    let mut options = vec!["no-new-privileges:true"];
    options.extend(isolation.all_syscalls.then_some("seccomp=unconfined"));
    options
}

/// The last of a name wins, `PORT` is what it is reached at. `getenv` would take the first of two.
fn environment(launch: &Launch, port: Option<u16>, files: bool) -> Result<Vec<String>, EngineError> {
    let mut all: Vec<(&str, &str)> = Vec::with_capacity(launch.env.len() + 1);
    let port = port.map(|port| port.to_string());
    let folder = files.then_some((SECRETS_DIR, SECRETS_FOLDER));
    for (name, value) in launch.variables()?.chain(folder).chain(port.as_deref().map(|port| ("PORT", port))) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let text = format!("the environment variable {name:?} has an = or a NUL in it, or no name; rename it");
            return Err(EngineError::Command(text));
        }
        all.retain(|(before, _)| *before != name);
        all.push((name, value));
    }
    Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::Program;
    use super::*;

    fn launch(kind: Kind) -> Launch {
        Launch {
            revision: 3,
            env: vec![("A".into(), "1".into()), ("PORT".into(), "no".into()), ("A".into(), "b=c".into())],
            memory_bytes: Some(64 << 20),
            cpu: Some(0.5),
            ..Launch::plain("i-1", Program::Image("x".into()), kind)
        }
    }

    #[test]
    fn image_names_are_checked_and_split() {
        let pull = |name: &str| ImageName::parse(name).unwrap().pull_path().replace("/images/create?fromImage=", "");
        assert_eq!(pull("hello-world"), "hello-world&tag=latest");
        assert_eq!(pull("localhost:5001/a/b:v1.2"), "localhost%3A5001%2Fa%2Fb&tag=v1.2");
        assert_eq!(pull("localhost:5001/a"), "localhost%3A5001%2Fa&tag=latest");
        assert_eq!(pull("a@sha256:00ff"), "a%40sha256%3A00ff");
        assert_eq!(ImageName::parse("r.io:1/a:v1@sha256:00ff").unwrap().as_str(), "r.io:1/a@sha256:00ff");
        let push = |name: &str| ImageName::parse(name).unwrap().push_path();
        assert_eq!(push("localhost:5001/a/b").unwrap(), "/images/localhost:5001/a/b/push?tag=latest");
        assert_eq!((push("a:v1").unwrap(), push("a@sha256:00ff")), ("/images/a/push?tag=v1".into(), None));
        let registry = |name: &str| ImageName::parse(name).unwrap().registry().to_string();
        assert_eq!(registry("a/b"), "https://index.docker.io/v1/");
        assert_eq!((&*registry("ghcr.io/a/b"), &*registry("localhost/a")), ("ghcr.io", "localhost"));
        for bad in
            ["", "a b", "../x", "a//b", "a?b", "é", "/a", "a:", "-a", "a/../b", "a#b", "a%2fb", "a\n", &"a".repeat(600)]
        {
            let text = ImageName::parse(bad).unwrap_err().to_string();
            assert!(text.contains("docker pull") && text.len() < 600, "{bad}");
        }
        assert_eq!(container_name("n-1", "i-2").unwrap(), "cares-n-1-i-2");
        for bad in ["", "a/b", "a b", "a?x"] {
            assert!(container_name("n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn containers_are_confined_and_labelled() {
        let http: Value = serde_json::from_str(
            &create("n", &launch(Kind::Http), "x:1", Some(80), true, Some(Path::new("/dev/shm/x"))).unwrap(),
        )
        .unwrap();
        assert_eq!(http["Env"], json!(["A=b=c", "CARES_SECRETS_DIR=/run/secrets", "PORT=80"]));
        assert_eq!(
            http["Labels"],
            json!({LABEL_NODE: "n", LABEL_FUNCTION: "f", LABEL_REVISION: "3", LABEL_ID: "i-1", LABEL_PORT: "80"})
        );
        let host = &http["HostConfig"];
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(67108864), &json!(500000000)));
        assert_eq!((&host["CapDrop"], &host["LogConfig"]["Config"]["max-size"]), (&json!(["ALL"]), &json!("1m")));
        assert_eq!(host["PortBindings"], json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}));
        let mount = json!([{"Type": "bind", "Source": "/dev/shm/x", "Target": "/run/secrets", "ReadOnly": true}]);
        assert_eq!(host["Mounts"], mount);
        assert!(http.get("Cmd").is_none());
        let job: Value =
            serde_json::from_str(&create("n", &launch(Kind::Job), "x:1", None, false, None).unwrap()).unwrap();
        assert_eq!((&job["OpenStdin"], &job["HostConfig"]["LogConfig"]["Type"]), (&json!(true), &json!("none")));
        assert_eq!(job["Env"], json!(["PORT=no", "A=b=c"]));
        let mut odd = launch(Kind::Job);
        odd.env = vec![("A=B".into(), String::new())];
        assert!(matches!(create("n", &odd, "x", None, false, None), Err(EngineError::Command(_))));
    }

    #[test]
    fn a_task_gets_what_it_needs_and_no_path_of_the_nodes() {
        let mut launch = launch(Kind::Task);
        launch.needs = Needs {
            ports: vec![Port { inside: 80, host: 8080, udp: false }, Port { inside: 53, host: 0, udp: true }],
            listen: Some([127, 0, 0, 1].into()),
            volumes: vec![Volume { name: "v".into(), path: "/data".into(), read_only: true }],
            devices: vec!["/dev/null".into(), "gpu".into()],
            disk_bytes: Some(5),
        };
        let task: Value = serde_json::from_str(&create("n", &launch, "x:1", None, false, None).unwrap()).unwrap();
        let host = &task["HostConfig"];
        assert_eq!((&task["Labels"][LABEL_TASK], &host["RestartPolicy"]["Name"]), (&json!("1"), &json!("no")));
        assert_eq!(
            host["PortBindings"],
            json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]})
        );
        let mount = &host["Mounts"][0];
        assert_eq!((&mount["Type"], &mount["Source"]), (&json!("volume"), &json!("cares-n-v")));
        assert_eq!(host["Devices"][0]["PathOnHost"], "/dev/null");
        assert_eq!(host["DeviceRequests"][0]["Capabilities"], json!([["gpu"]]));
        assert!(host.get("Binds").is_none() && host.get("StorageOpt").is_none() && host["ReadonlyRootfs"] == true);
        launch.isolation.open_files = true;
        let open: Value = serde_json::from_str(&create("n", &launch, "x:1", None, false, None).unwrap()).unwrap();
        assert_eq!(open["HostConfig"]["StorageOpt"], json!({"size": "5"}));
    }
}
