//! The seam to a node: how a call, a start or a question gets there. The core knows none of these ways.

pub mod builds;
pub mod elsewhere;
pub mod first_generation;
pub mod http_worker;
pub mod link;
pub mod tasks;

/// What a worker says about a failure.
const WHY_BYTES: usize = 64 * 1024;

/// Why a run at a node's own address has no output.
#[derive(Debug)]
pub enum NoOutput {
    /// It was not taken: may be tried elsewhere.
    NotSent(String),
    /// The same for a reason that may pass: the node is not reached, or full.
    NotNow(String),
    /// It may have been started.
    Broken(String),
    /// The function failed.
    Failed(String),
}

/// A peer's words, of which so many bytes are kept.
pub fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate((0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    }
    text
}
