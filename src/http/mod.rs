//! What faces the network: the front door, and the REST handlers behind it. Serves an orchestrator or a worker.

pub mod api;
pub mod front;
pub mod headers;
pub mod invoke;
pub mod origin;
pub mod problem;
pub mod rest;
pub mod route;
#[cfg(test)]
pub mod scope_tests;
pub mod upgrade;
pub mod watch;
