//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.
#![allow(dead_code)] // while the screens are built

mod add;
mod answer;
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
mod field;
mod figures;
mod form;
mod frame;
mod functions;
mod help;
mod invoke;
mod keybar;
mod keymap;
mod layout;
mod lines;
mod log;
mod memory;
mod model;
mod nodes;
mod orchestrator;
mod order;
mod page;
mod payload;
#[cfg(test)]
mod puppet;
#[cfg(test)]
mod samples_tests;
mod search;
mod session;
mod sheet;
mod table;
mod tail;
mod text;
mod theme;
mod title;
mod verbs;
mod viewer;
