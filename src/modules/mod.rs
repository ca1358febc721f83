//! What both ends of the modules' HTTP API share beside its JSON. Knows nothing of who calls whom.

pub mod payload;
pub mod timespan;

/// A module's input, and its result: either is held whole at both ends.
pub const PAYLOAD_BYTES: usize = 4 << 20;
/// The JSON around it: as base64 it is a third longer, escaped as text it may double.
pub const MESSAGE_BYTES: usize = 10 << 20;
/// An execution's id, and other single words.
pub const WORD_BYTES: usize = 256;

pub const EXECUTE: &str = "/api/execution/execute";
pub const CANCEL: &str = "/api/execution/cancel";
