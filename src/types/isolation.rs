//! How far a function is kept apart, as JSON says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a function is kept from the node's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// It sees its own and the system's; a container's root cannot be written.
    #[default]
    Private,
    /// It sees what the worker's user sees; a container's root can be written.
    Open,
}

/// Whether a function is kept from system calls that functions have no use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Syscalls {
    /// It may make those that functions have use for.
    #[default]
    Filtered,
    /// It may make all that its user may make.
    All,
}

/// How far a function is kept apart from its node and from other functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(range(min = 1, max = 65536))]
    pub pids: Option<u32>,
    /// MiB of temporary files; 1 to 1,048,576. Default 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1048576))]
    pub tmp_mb: Option<u64>,
}

impl Isolation {
    /// The field that opens what is shut by default, if one does: setting it is for administrators. The one place that
    /// says so; whoever checks what a token may do asks here.
    pub(crate) fn opens(&self) -> Option<&'static str> {
        if self.files == Some(Files::Open) {
            Some("isolation.files")
        } else if self.syscalls == Some(Syscalls::All) {
            Some("isolation.syscalls")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_is_named() {
        let opens = |text: &str| serde_json::from_str::<Isolation>(text).expect("valid").opens();
        assert_eq!(opens(r#"{"files":"open"}"#), Some("isolation.files"));
        assert_eq!(opens(r#"{"syscalls":"all"}"#), Some("isolation.syscalls"));
        assert_eq!(opens(r#"{"pids":1,"tmp_mb":1,"files":"private"}"#), None);
    }
}
