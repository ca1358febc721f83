//! What faces the network: the front door, and the REST handlers behind it. Serves an orchestrator or a worker.

pub mod access;
pub mod api;
pub mod codes;
pub mod front;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod handlers;
pub mod headers;
pub mod invoke;
pub mod linger;
pub mod metrics;
pub mod multipart;
pub mod openapi;
pub mod origin;
pub mod parameters;
pub mod places;
pub mod problem;
pub mod rest;
pub mod route;
#[cfg(test)]
pub mod scope_tests;
pub mod sse;
pub mod tally;
pub mod trace;
mod unread;
pub mod upgrade;
pub mod watch;
