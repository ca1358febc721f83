//! What the orchestrator does beyond the core, over real sockets.

mod first_generation;
mod garbage;
mod later;
mod scopes;
