//! What the orchestrator does beyond the core, over real sockets.

mod first_generation;
mod scopes;
