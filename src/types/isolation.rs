//! How far a function is kept apart, as JSON says it.

use serde::{Deserialize, Serialize};

/// Whether a function is kept from the node's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// It sees its own and the system's; a container's root cannot be written.
    #[default]
    Private,
    /// It sees what the worker's user sees; a container's root can be written.
    Open,
}

/// Whether a function is kept from system calls that functions have no use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Syscalls {
    #[default]
    Filtered,
    /// It may make all that its user may make.
    All,
}

/// How far a function is kept apart from its node and from other functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isolation {
    /// Default `private`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Default `filtered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<Syscalls>,
    /// Processes and threads at once; 1 to 65,536. Default 2,048.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// MiB of temporary files; 1 to 1,048,576. Default 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_mb: Option<u64>,
}
