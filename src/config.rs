//! What a role is started with: flags > environment > default. Validated once, here; the roles trust it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What an orchestrator is started with.
#[derive(Clone, Debug)]
pub struct OrchestratorConfig {
    pub http_addr: SocketAddr,
    pub grpc_addr: SocketAddr,
    /// `None`: the default place.
    pub data_dir: Option<PathBuf>,
    /// May listen beyond loopback without tokens.
    pub open: bool,
}

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Of the orchestrator's gRPC port, `HOST:PORT`.
    pub orchestrator: String,
    /// `None`: HOST-xxxx, from the node's id.
    pub name: Option<String>,
    /// `None`: 127.0.0.1:9000, else a free port there.
    pub worker_addr: Option<SocketAddr>,
    /// `None`: the first default place no other worker uses.
    pub data_dir: Option<PathBuf>,
    pub tags: BTreeMap<String, String>,
    /// Calls at once, 1 to 65,536.
    pub slots: u32,
    /// May listen beyond loopback without tokens.
    pub open: bool,
}
