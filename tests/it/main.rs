//! The integration tests: one binary that drives the real `cares` over real sockets.

mod backup;
mod bundles;
mod cli;
mod cluster;
mod disk;
mod docker;
mod durability;
mod events;
mod failures;
mod fixture;
mod gate;
mod harness;
mod hostile;
mod input;
mod later;
mod looking;
mod misbehaving;
mod nodes;
mod process;
mod processes;
mod streaming;
mod tidy;
mod watch;
mod wire;
