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
mod completions;
mod config;
mod data_dir;
mod garbage;
mod hex;
mod hidden;
mod http;
mod ids;
mod ignore;
mod json;
mod lanes;
mod limits;
mod link;
mod lock;
mod logging;
mod modules;
mod names;
mod nearest;
mod net;
mod orchestrator;
mod output;
mod registry_login;
mod ring;
mod rpc;
mod rt;
mod runtimes;
mod sandbox;
mod settings;
mod tar;
mod tasks;
mod tls;
mod tui;
mod tunnel;
mod turns;
mod usage;
mod web;
mod wire;
mod worker;

#[cfg(test)]
mod dice;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;

#[doc(hidden)]
pub use commands::run;
