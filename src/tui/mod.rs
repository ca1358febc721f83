//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.
#![allow(dead_code)] // while the screens are built

mod add;
mod answer;
mod ask;
mod backend;
mod bars;
mod command_line;
mod field;
mod form;
mod frame;
mod help;
mod hints;
mod invoke;
mod join;
mod keymap;
mod keys;
mod log;
mod memory;
mod opened;
mod orchestrator;
mod paste;
mod payload;
#[cfg(test)]
mod puppet;
mod search;
mod select;
mod session;
mod sheet;
mod starting;
mod tail;
mod terminal;
mod text;
mod theme;
mod too_small;
mod verbs;
mod viewer;
mod worker;
mod worker_feed;
mod worker_model;

pub use opened::{Program, show, start};
pub use starting::{Roles, Started};
pub use terminal::Closed;
