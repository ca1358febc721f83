//! `cares up`: an orchestrator and a worker in one process, and with `--demo` two functions to try.

use super::role::{self, Stop};
use super::{Failure, Outcome, demo};
use crate::config::UpConfig;
use crate::orchestrator::StartError;
use crate::tui::Program;
use crate::{client, orchestrator, output, rt, worker};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Runs both.
pub fn run(config: UpConfig) -> ExitCode {
    let screen = role::screen(config.orchestrator.headless);
    role::start_log(config.orchestrator.log, screen);
    role::take_all_files();
    let UpConfig { orchestrator, worker: mut member, demo } = config;
    let head = match orchestrator::start(&orchestrator) {
        Ok(head) => head,
        Err(StartError::Config(error)) => return super::finish(Err(Failure::Usage(format!("{error}.")))),
        Err(error) => return role::failed(error),
    };
    if let Err(error) = member.check_exposed(head.gate().closed()) {
        head.stop();
        return super::finish(Err(Failure::Usage(format!("{error}."))));
    }
    member.join_token = Some(head.own_join_token());
    if let Some((host, _)) = member.orchestrator.rsplit_once(':') {
        member.orchestrator = format!("{host}:{}", head.grpc.port()); // port 0 has become one
    }
    let node = match worker::start_behind(&member, Some(head.gate())) {
        Ok(node) => node,
        Err(error) => {
            head.stop();
            return role::failed(error);
        }
    };
    let outcome = match screen {
        true => {
            let shown = role::client(head.http, head.https(), &head.own_token());
            shown.map_err(Failure::from).and_then(|client| {
                rt::spawn(in_the_log(node.joining(), client.clone(), demo));
                role::show(Program::Orchestrator, client, "the orchestrator and its worker")
            })
        }
        false => Stop::listen().and_then(|stop| serve(&head, &node, stop, demo)),
    };
    head.drain(); // before the worker leaves: its calls are still taken to their end
    rt::block_on(node.stop());
    head.stop();
    role::ended_well(outcome)
}

/// With a screen: what goes wrong and what the demo answers is told in its log.
async fn in_the_log(joined: impl Future<Output = Result<(), String>>, client: client::Orchestrator, with_demo: bool) {
    if let Err(why) = joined.await {
        return log::error!("{why}");
    }
    if !with_demo {
        return;
    }
    let shown = rt::unblock(move || {
        let url = client.url().to_string();
        demo::run(&client, &url, &|text| text.lines().for_each(|line| log::info!("{}", line.trim())))
    });
    if let Err(error) = shown.await {
        log::error!("the demo: {error}");
    }
}

fn serve(head: &orchestrator::Running, node: &worker::Running, stop: Stop, with_demo: bool) -> Outcome {
    let mut stop = std::pin::pin!(stop.asked(node.end_at_once()));
    match role::unless_stopped(stop.as_mut(), node.joined()) {
        None => return Ok(()),
        Some(Err(why)) => return Err(Failure::Here(why)),
        Some(Ok(())) => {}
    }
    let at = |a: SocketAddr| a.to_string();
    role::ready(&[
        (role::scheme(head.https()), at(head.http)),
        ("grpc", at(head.grpc)),
        ("node", node.id().to_string()),
    ])?;
    if with_demo {
        let client = role::client(head.http, head.https(), &head.own_token())?;
        let url = client.url().to_string();
        // That nobody reads it is no reason to end a cluster.
        let tell = |text: &str| drop(output::print(&format!("\n{text}\n")));
        let shown = rt::unblock(move || demo::run(&client, &url, &tell));
        match role::unless_stopped(stop.as_mut(), shown) {
            None => return Ok(()),
            Some(shown) => shown?,
        }
    }
    rt::block_on(stop);
    Ok(())
}
