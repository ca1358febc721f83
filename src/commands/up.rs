//! `cares up`: an orchestrator and a worker in one process, and with `--demo` two functions to try.

use super::role::{self, Stop};
use super::{Failure, Outcome, demo};
use crate::config::UpConfig;
use crate::{client, orchestrator, rt, worker};
use futures_lite::future;
use std::process::ExitCode;

/// Runs both.
pub fn run(config: UpConfig) -> ExitCode {
    role::start_log(config.orchestrator.log);
    let UpConfig { orchestrator, worker: mut member, demo } = config;
    let head = match orchestrator::start(&orchestrator) {
        Ok(head) => head,
        Err(error) => return role::failed(error),
    };
    if let Some((host, _)) = member.orchestrator.rsplit_once(':') {
        member.orchestrator = format!("{host}:{}", head.grpc.port()); // port 0 has become one
    }
    let node = match worker::start(&member) {
        Ok(node) => node,
        Err(error) => {
            head.stop();
            return role::failed(error);
        }
    };
    let outcome = Stop::listen().and_then(|stop| serve(&head, &node, stop, orchestrator.headless, demo));
    rt::block_on(node.stop());
    head.stop();
    super::finish(outcome)
}

fn serve(head: &orchestrator::Running, node: &worker::Running, stop: Stop, headless: bool, with_demo: bool) -> Outcome {
    let mut stop = std::pin::pin!(stop.asked());
    let joined = async { Some(node.joined().await) };
    let asked = async {
        stop.as_mut().await;
        None
    };
    match rt::block_on(future::or(joined, asked)) {
        None => return Ok(()),
        Some(Err(why)) => return Err(Failure::Here(why)),
        Some(Ok(())) => {}
    }
    let at = |a: std::net::SocketAddr| a.to_string();
    role::ready(headless, &[("http", at(head.http)), ("grpc", at(head.grpc)), ("node", node.id().to_string())])?;
    if with_demo {
        let url = format!("http://{}", head.http);
        let client = client::Orchestrator::new(&url)?;
        let shown = async { Some(rt::unblock(move || demo::run(&client, &url)).await) };
        let asked = async {
            stop.as_mut().await;
            None
        };
        match rt::block_on(future::or(shown, asked)) {
            None => return Ok(()),
            Some(shown) => shown?,
        }
    }
    rt::block_on(stop);
    Ok(())
}
