//! The integration tests: one binary that drives the real `cares` over real sockets.

mod cli;
mod cluster;
mod durability;
mod events;
mod failures;
mod fixture;
mod gate;
mod harness;
mod nodes;
mod processes;
mod tidy;
