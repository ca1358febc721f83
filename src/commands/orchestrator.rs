//! `cares orchestrator`: runs one until it is told to stop; and the one that the start screen creates.

use super::role::{self, Stop};
use crate::config::{Env, OrchestratorConfig};
use crate::data_dir::DataDirError;
use crate::orchestrator::{self, Running, StartError};
use crate::tui::{Program, Started};
use crate::{cli, rt};
use std::process::ExitCode;

/// What it is called when someone wants to leave its screen.
const ROLE: &str = "the orchestrator";
/// Data folders for further orchestrators on this machine.
const FOLDERS: u32 = 100;

/// Runs it.
pub fn run(config: OrchestratorConfig) -> ExitCode {
    let screen = role::screen(config.headless);
    role::start_log(config.log, screen);
    role::take_all_files();
    let started = match orchestrator::start(&config) {
        Ok(started) => started,
        Err(StartError::Config(error)) => return super::finish(Err(super::Failure::Usage(format!("{error}.")))),
        Err(error) => return role::failed(error),
    };
    let told = |started: &Running| log::info!("Workers join with: {}", started.join_command());
    let outcome = if screen {
        told(&started);
        role::client(started.http, started.https(), &started.own_token())
            .map_err(Into::into)
            .and_then(|client| role::show(Program::Orchestrator, client, ROLE))
    } else {
        Stop::listen().and_then(|stop| {
            role::ready(&[
                (role::scheme(started.https()), started.http.to_string()),
                ("grpc", started.grpc.to_string()),
            ])?;
            told(&started);
            rt::block_on(stop.asked(std::future::ready(())));
            Ok(())
        })
    };
    started.stop();
    role::ended_well(outcome)
}

/// Creates one for the start screen. Several on one machine need no flags: a port or folder that nobody asked for by
/// name and that is taken is replaced by a free one.
pub fn create() -> Result<Started, String> {
    let env = Env::process();
    let asked = |variable: &str| std::env::var(variable).is_ok_and(|value| !value.is_empty());
    let mut config = OrchestratorConfig::new(&cli::OrchestratorOptions::default(), &env).map_err(|e| e.to_string())?;
    let mut folders = 1..FOLDERS;
    let started = loop {
        match orchestrator::start(&config) {
            Ok(started) => break started,
            Err(StartError::Listen { flag: "--http-addr", .. })
                if config.http_addr.port() != 0 && !asked("CARES_HTTP_ADDR") =>
            {
                config.http_addr.set_port(0);
            }
            Err(StartError::Listen { flag: "--grpc-addr", .. })
                if config.grpc_addr.port() != 0 && !asked("CARES_GRPC_ADDR") =>
            {
                config.grpc_addr.set_port(0);
            }
            Err(StartError::DataDir(DataDirError::InUse { dir, pid })) => match folders.next() {
                Some(n) if !asked("CARES_DATA_DIR") => {
                    config.data_dir = Some(config.data_base.join(format!("orchestrator-{}", n + 1)));
                }
                _ => return Err(DataDirError::InUse { dir, pid }.to_string()),
            },
            Err(error) => return Err(error.to_string()),
        }
    };
    log::info!("Workers join with: {}", started.join_command());
    let client = role::client(started.http, started.https(), &started.own_token()).map_err(|e| e.to_string())?;
    Ok(Started { program: Program::Orchestrator, client, role: ROLE, stop: Box::new(|| started.stop()) })
}
