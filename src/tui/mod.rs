//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.
#![allow(dead_code)] // while the screens are built

mod add;
mod answer;
mod ask;
mod backend;
mod bars;
mod columns;
mod command_line;
#[cfg(test)]
mod dashboard_tests;
mod detail;
#[cfg(test)]
mod detail_tests;
mod feed;
#[cfg(test)]
mod feed_tests;
mod fetch;
mod field;
mod figures;
mod footer;
mod form;
mod frame;
mod functions;
mod help;
mod invoke;
mod join;
mod keymap;
mod keys;
mod layout;
mod lines;
mod log;
mod memory;
mod model;
mod nodes;
mod opened;
mod orchestrator;
mod order;
mod page;
mod pane;
mod paste;
mod payload;
#[cfg(test)]
mod puppet;
#[cfg(test)]
mod samples_tests;
mod search;
mod select;
mod session;
mod sheet;
mod starting;
mod table;
mod tail;
mod terminal;
mod text;
mod theme;
mod title;
mod too_small;
mod verbs;
mod viewer;
mod worker;
mod worker_feed;
mod worker_model;

pub use opened::{Program, show, start};
pub use starting::{Roles, Started};
pub use terminal::Closed;
