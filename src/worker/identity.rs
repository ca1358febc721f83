//! Who this node is and what it has: told to the orchestrator at each join.

use super::vitals::Gauge;
use crate::config::WorkerConfig;
use crate::wire::proto;
use crate::{clock, ids, names, version};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fs, io};

/// Programs functions ask for; those found in PATH are told as tools.
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
        };
        Ok(Identity { id, name, info })
    }

    /// Jobs at once.
    pub fn job_slots(&self) -> u32 {
        self.info.job_slots
    }

    /// The join message, with what this node can run things with and what runs here now.
    pub fn join(&self, engines: proto::Engines, instances: Vec<proto::InstanceState>) -> proto::NodeInfo {
        let timestamp = clock::unix_ms() as i64;
        let proto::Engines { names: engines, trouble: engine_trouble } = engines;
        proto::NodeInfo { timestamp, engines, engine_trouble, instances, ..self.info.clone() }
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
    let part = dir.join(format!("{name}.part"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?; // whole or not at all
    fs::File::open(dir)?.sync_all()?;
    Ok(text)
}

/// HOST-xxxx: the machine's name and the end of the id, so that several workers on one machine differ.
fn default_name(hostname: &str, id: &str) -> String {
    let host = names::suggest_name(hostname.split('.').next().unwrap_or("node")).unwrap_or_else(|| "node".into());
    let tail = &id[id.len().saturating_sub(4)..];
    let room = names::MAX_NAME_LEN - tail.len() - 1;
    format!("{}-{tail}", host[..host.len().min(room)].trim_end_matches('-'))
}

fn tools() -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let found = |tool: &&&str| dirs.iter().any(|dir| dir.join(tool).is_file());
    TOOLS.iter().filter(found).map(ToString::to_string).collect()
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
    }
}
