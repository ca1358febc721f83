//! `cares` alone, where there is no terminal: how to begin. Must never touch the network.

use super::Outcome;
use crate::output;

pub fn run() -> Outcome {
    Ok(output::print(
        "CARES runs functions and containers on the machines you already have.\n\n\
         Begin with a cluster of one and two example functions:\n\n  \
           cares up --demo\n\n\
         Add a machine:       cares worker ORCHESTRATOR:50051\n\
         Deploy a folder:     cares deploy DIR\n\
         Everything else:     cares --help\n",
    )?)
}
