//! `cares completions`: the script that has a shell complete what is typed. Must never ask an orchestrator.

use super::{Failure, Outcome};
use crate::cli::Completions;
use crate::{completions, output};

pub fn run(flags: &Completions) -> Outcome {
    match completions::script(&flags.shell) {
        Some(script) => Ok(output::print(&script)?),
        None => {
            Err(Failure::Usage(format!("'{}' is no shell known here: bash, zsh or fish", flags.shell.escape_debug())))
        }
    }
}
