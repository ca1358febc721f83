//! The public JSON of logs: the programs' own and what functions and tasks print. No behaviour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of a program's own log: `GET /log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogRecord {
    /// Always increasing while the program runs.
    pub id: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    pub message: String,
}

/// One line a function printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// RFC 3339, UTC.
    pub time: String,
    /// The node it ran on.
    pub node: String,
    /// The instance or call that printed it; `cares` where none did.
    pub source: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    pub line: String,
}
