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
mod load;
mod misbehaving;
mod nodes;
mod process;
mod processes;
mod scaling;
mod streaming;
mod tidy;
mod wire;
