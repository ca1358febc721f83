//! CARES turns the machines people already have into a function and container platform.
#![allow(dead_code)]
mod cluster;
mod rt;
pub mod types;
pub mod version;
