//! CARES turns the machines people already have into a function and container platform.
//!
//! What others may use: [`client`], [`types`], [`errors`] and [`version`]. The rest is the program itself.

pub mod client;
pub mod errors;
pub mod types;
pub mod version;

mod auth;
mod backup;
mod body;
mod bundle;
mod cli;
mod clock;
mod cluster;
mod commands;
mod config;
mod data_dir;
mod garbage;
mod http;
mod ids;
mod json;
mod lanes;
mod link;
mod logging;
mod names;
mod net;
mod orchestrator;
mod output;
mod ring;
mod rpc;
mod rt;
mod sandbox;
mod settings;
mod tui;
mod tunnel;
mod usage;
mod wire;
mod worker;

#[doc(hidden)]
pub use commands::run;
