//! `cares worker ADDRESS`: runs one until it is told to stop; and the one that joins from the start screen.

use super::Failure;
use super::role::{self, Stop};
use crate::auth::Secret;
use crate::config::{Env, WorkerConfig};
use crate::rt::Receiver;
use crate::tui::{Program, Started};
use crate::{cli, rt, worker};
use futures_lite::future;
use std::process::ExitCode;

/// What it is called when someone wants to leave its screen.
const ROLE: &str = "this worker";

/// Runs it.
pub fn run(config: WorkerConfig) -> ExitCode {
    let screen = role::screen(config.headless);
    role::start_log(config.log, screen);
    role::take_all_files();
    let started = match worker::start(&config) {
        Ok(started) => started,
        Err(error) => return role::failed(error),
    };
    let outcome = match screen {
        true => role::client(started.http, started.https, &started.own_token())
            .map_err(Failure::from)
            .and_then(|client| role::show(Program::Worker, client, ROLE)),
        false => Stop::listen().and_then(|stop| headless(&started, stop)),
    };
    rt::block_on(started.stop());
    role::ended_well(outcome)
}

fn headless(started: &worker::Running, stop: Stop) -> super::Outcome {
    let mut stop = std::pin::pin!(stop.asked(started.end_at_once()));
    match role::unless_stopped(stop.as_mut(), started.joined()) {
        Some(Ok(())) => {
            role::ready(&[
                (role::scheme(started.https), started.http.to_string()),
                ("node", started.id().to_string()),
            ])?;
            rt::block_on(stop);
            Ok(())
        }
        Some(Err(why)) => Err(Failure::Here(why)),
        None => Ok(()),
    }
}

/// Joins for the start screen: fails when the first attempt does, or when `given_up` closes, and leaves nothing behind
/// then.
pub fn join(address: &str, token: &str, given_up: &Receiver<()>) -> Result<Started, String> {
    let flags = cli::Worker { address: address.to_string(), ..Default::default() };
    let mut config = WorkerConfig::new(&flags, &Env::process()).map_err(|e| e.to_string())?;
    if !token.trim().is_empty() {
        config.join_token = Some(Secret::new(token).map_err(|e| e.to_string())?);
    }
    let started = worker::start(&config).map_err(|e| e.to_string())?;
    let cancelled = async {
        let _ = given_up.recv().await; // closed
        Err("given up".to_string())
    };
    let client = match rt::block_on(future::or(started.first_attempt(), cancelled)) {
        Ok(()) => role::client(started.http, started.https, &started.own_token()).map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    match client {
        Ok(client) => {
            let stop = Box::new(|| rt::block_on(started.stop()));
            Ok(Started { program: Program::Worker, client, role: ROLE, stop })
        }
        Err(why) => {
            rt::block_on(started.stop());
            Err(why)
        }
    }
}
