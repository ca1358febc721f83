//! `cares tui`: the screen of a program that runs elsewhere, an orchestrator or a worker; and `cares` alone, the start
//! screen. Starts nothing itself.

use super::{Failure, Outcome, connect, howto, orchestrator, role, worker};
use crate::cli::Tui;
use crate::config::LogConfig;
use crate::tui::{self, Program, Roles};

/// Shows what is at the address.
pub fn run(flags: &Tui) -> Outcome {
    if !role::screen(false) {
        return Err(Failure::Usage(
            "cares tui needs a terminal; for scripts there are 'cares node list' and -o json".into(),
        ));
    }
    let client = connect(&flags.client())?;
    let program = match client.version()?.role.as_str() {
        "worker" => Program::Worker,
        _ => Program::Orchestrator,
    };
    role::start_log(LogConfig::default(), true);
    role::ended(tui::show(program, client, None).map_err(Failure::Here)?)
}

/// `cares` alone.
pub fn start() -> Outcome {
    if !role::screen(false) {
        return howto::run();
    }
    role::start_log(LogConfig::default(), true);
    let roles = Roles { orchestrator: orchestrator::create, worker: worker::join };
    let (closed, started) = tui::start(roles).map_err(Failure::Here)?;
    if let Some(started) = started {
        role::stopping(started.role);
        (started.stop)();
    }
    role::ended(closed)
}
