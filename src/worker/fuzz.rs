//! What functions print and engines say.

pub use super::engine::docker::fuzz::{answers as docker_answers, archive as docker_archive, frames as docker_frames};
pub use super::engine::fuzz_lines as lines;
pub use super::tasks::fuzz as task_files;
