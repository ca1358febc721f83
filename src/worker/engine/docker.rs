//! x
mod answers;
mod wire;
