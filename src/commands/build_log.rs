//! A build as its log comes: what `cares deploy` shows while it waits. Ctrl-C ends the build.

use super::{Failure, Outcome};
use crate::cli::ClientOptions;
use crate::client::Orchestrator;
use crate::output;
use crate::rt;
use crate::types::Build;
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use std::time::Duration;

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// Between two tries when the log broke off: the orchestrator may be starting again.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 20;

/// Shows the log until the build has ended.
pub fn follow(client: &Orchestrator, options: &ClientOptions, build: Build) -> Result<Build, Failure> {
    let where_to =
        build.runtime.as_deref().map_or("its Dockerfile".to_string(), |runtime| format!("runtime {runtime}"));
    output::progress(options, &format!("building {} ({}) with {where_to}", build.name, build.id));
    cancel_when_interrupted(client, &build.id)?;
    if !options.quiet {
        show(client, &build.id);
    }
    let mut tries = 0;
    loop {
        match client.build_by_id(&build.id) {
            Ok(now) if now.finished.is_some() => return ended(now, options.quiet),
            Ok(_) => {}
            Err(error) if tries >= TRIES => return Err(error.into()),
            Err(_) => tries += 1,
        }
        // Not to wait for the end is the exception: the log ended early, or was not asked for.
        match client.build_log(&build.id, true) {
            Ok(log) => drop(log.count()),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

fn show(client: &Orchestrator, id: &str) {
    let Ok(log) = client.build_log(id, true) else { return };
    log.map_while(Result::ok).for_each(|line| output::note(&output::printable(&line)));
}

fn ended(build: Build, quiet: bool) -> Result<Build, Failure> {
    match build.status.as_str() {
        "succeeded" => Ok(build),
        "cancelled" => Err(Failure::Here(format!("build {} was cancelled. Nothing was deployed", build.id))),
        _ => {
            let why = build.error.unwrap_or_else(|| "it says no more".into());
            let unseen = if quiet { format!(". Its log: cares build log {}", build.id) } else { String::new() };
            Err(Failure::Here(format!("build {} failed: {why}{unseen}", build.id)))
        }
    }
}

/// From now on Ctrl-C ends the build, and then this program.
fn cancel_when_interrupted(client: &Orchestrator, id: &str) -> Outcome {
    let signals = Signals::new([Signal::Term, Signal::Int]);
    let mut signals = signals.map_err(|e| Failure::Here(format!("cannot listen for signals: {e}")))?;
    let (client, id) = (client.clone(), id.to_string());
    std::thread::spawn(move || {
        if rt::block_on(signals.next()).is_none() {
            return;
        }
        match client.cancel_build(&id) {
            Ok(_) => output::note(&format!("cares: build {id} is cancelled. Nothing was deployed.")),
            Err(error) => output::note(&format!("cares: build {id} may go on: {error}.")),
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
