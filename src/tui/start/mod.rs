//! What `cares` alone shows: two choices, and the form that joins a cluster.

pub mod join;
pub mod select;
pub mod starting;
