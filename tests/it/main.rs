//! The integration tests: one binary that drives the real `cares` over real sockets.

mod bundles;
mod cluster;
mod fixture;
mod harness;
mod hostile;
mod input;
mod misbehaving;
mod process;
mod streaming;
mod wire;
mod tidy;
