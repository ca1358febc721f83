//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.

mod backend;
mod bars;
mod follow;
mod forms;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod keybar;
mod keymap;
mod keys;
mod log;
mod opened;
mod orchestrator;
mod panes;
mod paste;
#[cfg(test)]
mod puppet;
mod scroll;
mod session;
mod start;
mod terminal;
mod text;
mod theme;
mod too_small;
mod worker;

pub use opened::{Program, show, start};
pub use start::starting::{Roles, Started};
pub use terminal::Closed;
