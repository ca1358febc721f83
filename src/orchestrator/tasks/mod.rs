//! Tasks in the shell: what people ask for made into what the core knows and back, what is kept of them, what nodes are
//! told, and what facts read like. Where a task runs is the core's to decide.

mod orders;
mod record;
mod report;
mod shown;
mod spec;
mod told;

pub use orders::{forget, start, stop};
pub use record::Record;
pub use report::report;
pub use shown::{phase, status, summary};
pub use spec::spec;
pub use told::describe;
