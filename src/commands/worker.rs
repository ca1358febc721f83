//! `cares worker ADDRESS`: runs one until it is told to stop.

use super::Failure;
use super::role::{self, Stop};
use crate::config::WorkerConfig;
use crate::{rt, worker};
use futures_lite::future;
use std::process::ExitCode;

/// Runs it.
pub fn run(config: WorkerConfig) -> ExitCode {
    role::start_log(config.log);
    let started = match worker::start(&config) {
        Ok(started) => started,
        Err(error) => return role::failed(error),
    };
    let outcome = Stop::listen().and_then(|stop| {
        let mut stop = std::pin::pin!(stop.asked());
        let joined = async { Some(started.joined().await) };
        let asked = async {
            stop.as_mut().await;
            None
        };
        match rt::block_on(future::or(joined, asked)) {
            Some(Ok(())) => {
                role::ready(
                    config.headless,
                    &[("http", started.http.to_string()), ("node", started.id().to_string())],
                )?;
                rt::block_on(stop);
                Ok(())
            }
            Some(Err(why)) => Err(Failure::Here(why)),
            None => Ok(()),
        }
    });
    rt::block_on(started.stop());
    super::finish(outcome)
}
