//! What a worker does as a whole, over real sockets.

mod first_generation;
mod herd;
mod scopes;
