//! The seam to a node: how a call, a start or a question gets there. The core knows none of these ways.

pub mod first_generation;
pub mod link;
