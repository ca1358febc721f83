//! `cares orchestrator`: runs one until it is told to stop.

use super::role::{self, Stop};
use crate::config::OrchestratorConfig;
use crate::{orchestrator, rt};
use std::process::ExitCode;

/// Runs it.
pub fn run(config: OrchestratorConfig) -> ExitCode {
    role::start_log(config.log);
    let started = match orchestrator::start(&config) {
        Ok(started) => started,
        Err(error) => return role::failed(error),
    };
    let outcome = Stop::listen().and_then(|stop| {
        role::ready(config.headless, &[("http", started.http.to_string()), ("grpc", started.grpc.to_string())])?;
        log::info!("Workers join with: cares worker {}", started.grpc);
        rt::block_on(stop.asked());
        Ok(())
    });
    started.stop();
    super::finish(outcome)
}
