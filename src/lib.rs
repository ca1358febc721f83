//! CARES turns the machines people already have into a function and container platform.
//!
//! What others may use: [`client`], [`types`], [`errors`] and [`version`]. The rest is the program itself.

pub mod client;
pub mod errors;
pub mod types;
pub mod version;

mod cli;
mod commands;
mod config;
mod output;
mod rt;
mod worker;

#[doc(hidden)]
pub use commands::run;
