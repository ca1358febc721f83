//! The terminal: screens over the client library. Must never name the orchestrator, a worker or the core, so that it
//! shows a cluster elsewhere the same way.
#![allow(dead_code)] // while the screens are built

mod add;
mod answer;
mod ask;
mod bars;
mod command_line;
mod field;
mod form;
mod frame;
mod help;
mod invoke;
mod keymap;
mod log;
mod memory;
mod orchestrator;
mod payload;
#[cfg(test)]
mod puppet;
mod search;
mod session;
mod sheet;
mod tail;
mod text;
mod theme;
mod verbs;
mod viewer;
