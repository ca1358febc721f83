//! What the orchestrator does beyond the core, over real sockets.

mod builds;
mod figures;
mod first_generation;
mod garbage;
mod later;
mod limits;
mod scopes;
mod twice;

use crate::cli::OrchestratorOptions;
use crate::config::{Env, OrchestratorConfig};
use std::path::Path;

/// On free ports, with its data in this folder.
fn config(data: &Path) -> OrchestratorConfig {
    let any = Some("127.0.0.1:0".to_string());
    let data_dir = Some(data.display().to_string());
    let flags = OrchestratorOptions { http_addr: any.clone(), grpc_addr: any, data_dir, ..Default::default() };
    OrchestratorConfig::new(&flags, &Env(&|_| None)).unwrap()
}
