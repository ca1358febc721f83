//! The integration tests: one binary that drives the real `cares` over real sockets.

mod bundles;
mod cli;
mod cluster;
mod docker;
mod durability;
mod events;
mod failures;
mod fixture;
mod gate;
mod harness;
mod hostile;
mod input;
mod looking;
mod misbehaving;
mod nodes;
mod process;
mod processes;
mod status;
mod streaming;
mod terminal;
mod tidy;
mod tmux;
mod watch;
mod wire;
