//! What the engine is asked, and the check of all that goes into a path: shiplift panics on what cannot stand there.
//! Must never let a name through that could mean another resource.

use super::super::{EngineError, Isolation, Kind, Launch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt::Write;

/// Longest image reference: the registry's own limit on a name is 255, a digest and a host come on top.
const MAX_IMAGE_BYTES: usize = 512;
/// Where a container may write when it may not write to its root, as programs expect it: in memory, gone with it.
/// What runs there is the image's business: an init may keep its programs in /run.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/run"];
/// What the engine keeps of a container's output, for `docker logs`; ours is in the log book.
const LOG_BYTES: &str = "1m";
/// Capabilities kept, as images that begin as root and become someone else need them: what OpenShift's and Knative's
/// users are used to. Left out of Docker's own set: NET_RAW (forged packets), MKNOD, AUDIT_WRITE, SYS_CHROOT, SETPCAP,
/// SETFCAP, FSETID.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

pub const LABEL_NODE: &str = "io.cares.node";
pub const LABEL_FUNCTION: &str = "io.cares.function";
pub const LABEL_REVISION: &str = "io.cares.revision";
pub const LABEL_ID: &str = "io.cares.id";
/// The port an http instance serves on; a job has none.
pub const LABEL_PORT: &str = "io.cares.port";

/// An image's name, checked and split as a pull wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    text: String,
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
        let tag = if text.contains('@') { None } else { text[last..].find(':').map(|at| last + at) };
        Ok(ImageName { text: text.into(), tag })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry's host, as credentials are kept under; Docker Hub has a name of its own.
    pub fn registry(&self) -> &str {
        match self.text.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => "https://index.docker.io/v1/",
        }
    }

    pub fn path(&self) -> String {
        format!("/images/{}", self.text)
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

/// The body of a create. `port`: an http function's; `publish`: also reach it by a port of this machine.
pub fn create(
    node: &str,
    launch: &Launch,
    image: &str,
    port: Option<u16>,
    publish: bool,
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
        "Env": environment(launch, port)?,
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
    if !launch.command.is_empty() {
        body["Cmd"] = json!(launch.command);
    }
    body["Labels"] = Value::Object(labels);
    body["HostConfig"] = host;
    Ok(body.to_string())
}

/// The engine's own filter of system calls holds unless it is told not to.
fn security(isolation: &Isolation) -> Vec<&'static str> {
    let mut options = vec!["no-new-privileges:true"];
    options.extend(isolation.all_syscalls.then_some("seccomp=unconfined"));
    options
}

/// The last of a name wins, `PORT` is what it is reached at. `getenv` would take the first of two.
fn environment(launch: &Launch, port: Option<u16>) -> Result<Vec<String>, EngineError> {
    let mut all: Vec<(&str, &str)> = Vec::with_capacity(launch.env.len() + 1);
    let port = port.map(|port| port.to_string());
    let given = launch.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(port.as_deref().map(|port| ("PORT", port))) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let text = format!("the environment variable {name:?} has an = or a NUL in it, or no name; rename it");
            return Err(EngineError::Command(text));
        }
        all.retain(|(before, _)| *before != name);
        all.push((name, value));
    }
    Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// What to log in to a registry with, out of Docker's own `config.json`; in the form of `X-Registry-Auth`. Credential
/// helpers (`credsStore`) are not asked.
pub fn registry_auth(config: &str, registry: &str) -> Option<String> {
    let config: Value = serde_json::from_str(config).ok()?;
    let auths = config.get("auths")?.as_object()?;
    // Written with or without scheme and path, by different programs.
    let bare = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        key.split('/').next().unwrap_or(key).to_string()
    };
    let auth =
        auths.get(registry).or_else(|| auths.iter().find(|(key, _)| bare(key) == bare(registry)).map(|(_, v)| v))?;
    let text = |name: &str| auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut login = json!({ "serveraddress": registry });
    if let Some(token) = text("identitytoken") {
        login["identitytoken"] = token.into();
    } else {
        let decoded = STANDARD.decode(text("auth")?.trim_end()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        login["username"] = user.into();
        login["password"] = password.trim_end_matches('\0').into();
    }
    Some(base64::engine::general_purpose::URL_SAFE.encode(login.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::super::Program;
    use super::*;

    fn launch(kind: Kind) -> Launch {
        Launch {
            id: "i-1".into(),
            function: "f".into(),
            revision: 3,
            program: Program::Image("x".into()),
            command: vec![],
            env: vec![("A".into(), "1".into()), ("PORT".into(), "no".into()), ("A".into(), "b=c".into())],
            memory_bytes: Some(64 << 20),
            cpu: Some(0.5),
            isolation: Isolation::default(),
            kind,
        }
    }

    #[test]
    fn image_names_are_checked_and_split() {
        let pull = |name: &str| ImageName::parse(name).unwrap().pull_path().replace("/images/create?fromImage=", "");
        assert_eq!(pull("hello-world"), "hello-world&tag=latest");
        assert_eq!(pull("localhost:5001/a/b:v1.2"), "localhost%3A5001%2Fa%2Fb&tag=v1.2");
        assert_eq!(pull("localhost:5001/a"), "localhost%3A5001%2Fa&tag=latest");
        assert_eq!(pull("a@sha256:00ff"), "a%40sha256%3A00ff");
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
        let http: Value =
            serde_json::from_str(&create("n", &launch(Kind::Http), "x:1", Some(80), true).unwrap()).unwrap();
        assert_eq!(http["Env"], json!(["A=b=c", "PORT=80"]));
        assert_eq!(
            http["Labels"],
            json!({LABEL_NODE: "n", LABEL_FUNCTION: "f", LABEL_REVISION: "3", LABEL_ID: "i-1", LABEL_PORT: "80"})
        );
        let host = &http["HostConfig"];
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(67108864), &json!(500000000)));
        assert_eq!((&host["CapDrop"], &host["LogConfig"]["Config"]["max-size"]), (&json!(["ALL"]), &json!("1m")));
        assert_eq!(host["PortBindings"], json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}));
        assert!(http.get("Cmd").is_none());
        let job: Value = serde_json::from_str(&create("n", &launch(Kind::Job), "x:1", None, false).unwrap()).unwrap();
        assert_eq!((&job["OpenStdin"], &job["HostConfig"]["LogConfig"]["Type"]), (&json!(true), &json!("none")));
        assert_eq!(job["Env"], json!(["PORT=no", "A=b=c"]));
        let mut odd = launch(Kind::Job);
        odd.env = vec![("A=B".into(), String::new())];
        assert!(matches!(create("n", &odd, "x", None, false), Err(EngineError::Command(_))));
    }

    #[test]
    fn credentials_are_found_however_they_were_written() {
        let login = |config: Value, registry: &str| {
            let auth = registry_auth(&config.to_string(), registry)?;
            let json = base64::engine::general_purpose::URL_SAFE.decode(auth).unwrap();
            serde_json::from_slice::<Value>(&json).ok()
        };
        let auth = STANDARD.encode("me:pass:word");
        let found = login(json!({"auths": {"r.io:5000": {"auth": auth}}}), "r.io:5000").unwrap();
        assert_eq!((&found["username"], &found["password"]), (&json!("me"), &json!("pass:word")));
        assert!(login(json!({"auths": {"https://r.io/v2/": {"auth": auth}}}), "r.io").is_some());
        let token = login(json!({"auths": {"r.io": {"identitytoken": "t"}}}), "r.io").unwrap();
        assert_eq!(token["identitytoken"], "t");
        for none in [json!({}), json!([]), json!({"auths": {"r.io": {}}}), json!({"auths": {"r.io": {"auth": "?"}}})] {
            assert_eq!(login(none, "r.io"), None);
        }
        assert_eq!(registry_auth("{", "r.io"), None);
    }
}
