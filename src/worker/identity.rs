//! Who this node is and what it has: told to the orchestrator at each join.

use super::devices;
use super::vitals::Gauge;
use crate::config::WorkerConfig;
use crate::sandbox::programs::programs;
use crate::wire::proto;
use crate::{clock, data_dir, ids, names, version};
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

/// Programs functions ask for; those they find here are told as tools.
const TOOLS: [&str; 24] = [
    "bash",
    "cargo",
    "cc",
    "curl",
    "docker",
    "dotnet",
    "ffmpeg",
    "gcc",
    "git",
    "go",
    "java",
    "jq",
    "make",
    "node",
    "npm",
    "nvidia-smi",
    "perl",
    "php",
    "pip3",
    "podman",
    "python3",
    "ruby",
    "rustc",
    "sh",
];

/// Where the id is kept, in the data folder.
const ID_FILE: &str = "node-id";
/// And the secret that proves it.
const SECRET_FILE: &str = "node-secret";

/// What a node says of itself.
#[derive(Clone)]
pub struct Identity {
    pub id: String,
    pub name: String,
    info: proto::NodeInfo,
}

impl Identity {
    /// Reads the id, or makes one and keeps it; looks at the machine.
    pub fn read(dir: &Path, config: &WorkerConfig, address: SocketAddr) -> io::Result<Self> {
        let id = read_or(dir, ID_FILE, || format!("n-{}", ids::random_hex(6)))?;
        let node_secret = read_or(dir, SECRET_FILE, || ids::random_hex(32))?;
        let hostname = sysinfo::System::host_name().unwrap_or_else(|_| "node".into());
        let name = config.name.clone().unwrap_or_else(|| default_name(&hostname, &id));
        let gauge = Gauge::new();
        let info = proto::NodeInfo {
            node_id: id.clone(),
            address: address.to_string(),
            hostname,
            timestamp: 0,
            name: name.clone(),
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            tools: tools(),
            tags: config.tags.clone().into_iter().collect(),
            slots: config.slots,
            job_slots: gauge.cpus().min(config.slots),
            engines: Vec::new(),
            engine_trouble: String::new(),
            memory_bytes: gauge.memory_bytes(),
            cpus: gauge.cpus(),
            version: version::VERSION.into(),
            instances: Vec::new(),
            node_secret,
            secrets: true,
            tasks: Vec::new(),
            disk_bytes: devices::disk(dir).1,
            devices: devices::all(Path::new("/dev")),
        };
        Ok(Identity { id, name, info })
    }

    /// What it joins with, but for what changes.
    pub fn info(&self) -> &proto::NodeInfo {
        &self.info
    }

    /// Jobs at once.
    pub fn job_slots(&self) -> u32 {
        self.info.job_slots
    }

    /// What a certificate is asked for with.
    pub fn enroll(&self, public_key: &[u8]) -> proto::EnrollRequest {
        let (node_id, node_secret) = (self.id.clone(), self.info.node_secret.clone());
        proto::EnrollRequest { node_id, public_key: public_key.to_vec(), node_secret }
    }

    /// The join message, with what this node can run things with and what runs here now.
    pub fn join(
        &self,
        engines: proto::Engines,
        instances: Vec<proto::InstanceState>,
        tasks: Vec<proto::TaskState>,
    ) -> proto::NodeInfo {
        let timestamp = clock::unix_ms() as i64;
        let proto::Engines { names: engines, trouble: engine_trouble } = engines;
        proto::NodeInfo { timestamp, engines, engine_trouble, instances, tasks, ..self.info.clone() }
    }
}

/// What a file in the folder says, or what is made and kept there.
fn read_or(dir: &Path, name: &str, make: impl FnOnce() -> String) -> io::Result<String> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let text = make();
    data_dir::keep(&path, text.as_bytes())?;
    Ok(text)
}

/// HOST-xxxx: the machine's name and the end of the id, so that several workers on one machine differ.
fn default_name(hostname: &str, id: &str) -> String {
    let host = names::suggest_name(hostname.split('.').next().unwrap_or("node")).unwrap_or_else(|| "node".into());
    let tail = id.char_indices().rev().nth(3).map_or(id, |(at, _)| &id[at..]); // whatever its file says
    let room = names::MAX_NAME_LEN - tail.len() - 1;
    format!("{}-{tail}", host[..host.len().min(room)].trim_end_matches('-'))
}

fn tools() -> Vec<String> {
    TOOLS.iter().filter(|tool| programs().find_one(tool).is_some()).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_valid() {
        for host in
            ["Box.local", "a-very-long-host-name-that-goes-on-and-on-and-on-and-on-beyond-all-limits", "---", ""]
        {
            let name = default_name(host, "n-0123456789ab");
            assert!(names::check_name(&name).is_ok(), "{name}");
            assert!(name.ends_with("-89ab"), "{name}");
        }
        assert_eq!((default_name("box", "n-éààè").as_str(), default_name("box", "é").as_str()), ("box-éààè", "box-é"));
    }
}
