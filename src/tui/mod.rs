//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.
#![allow(dead_code)] // while the screens are built

mod add;
mod ask;
mod bars;
mod border;
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
mod figures;

mod functions;
mod help;
mod invoke;
mod keybar;
mod keymap;
mod layout;
mod lines;
mod log;
mod model;
mod nodes;
mod orchestrator;
mod order;
mod page;
#[cfg(test)]
mod puppet;
#[cfg(test)]
mod samples_tests;
mod session;
mod table;
mod text;
mod theme;
mod title;
mod viewer;
