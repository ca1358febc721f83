//! The dashboard and what it opens, drawn on the puppet screen.

mod dashboard;
mod detail;
mod feed;
mod samples;
