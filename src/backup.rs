//! A backup's form, for whoever writes or reads one: orchestrator and CLI. Must never know what the records mean.
//!
//! A backup is a plain tar, so that `tar tvf` shows it and `tar xf` opens it, with these entries in this order:
//! - `cares-backup.json`: [`Head`], which says of which form and schema it is, of which cluster and when;
//! - `records.ndjson`: a line a record, `{"table","key","value"}`;
//! - `bundles/DIGEST.zip`: each stored bundle, named by its sha256;
//! - `cares-checksum.json`: [`Checksum`] of all before it. Without it, the backup is not whole.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Part, read};
pub use write::{Show, Writer};

use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// The form described above. Fields may be added to the head; all else is a new form.
pub const FORM: u32 = 1;
/// Bytes of a backup that is taken: far beyond any control plane's state, and an end to what fills a disk by mistake.
pub const MAX_BYTES: u64 = 16 << 30;

const HEAD: &str = "cares-backup.json";
const RECORDS: &str = "records.ndjson";
const BUNDLES: &str = "bundles/";
const CHECKSUM: &str = "cares-checksum.json";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub form: u32,
    /// Of the records.
    pub schema: u64,
    /// The cluster's id.
    pub cluster: String,
    pub created_at: String,
    /// The version of the program that made it.
    pub cares: String,
    pub functions: u64,
    pub nodes: u64,
    pub bundles: u64,
}

/// Of all bytes before its own entry.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checksum {
    sha256: String,
    bytes: u64,
}

/// A record's line.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    table: String,
    key: String,
    value: serde_json::Value,
}

/// Why a backup cannot be read.
#[derive(Debug)]
pub enum BackupError {
    /// It is something else.
    Foreign,
    /// A later version made it.
    Newer { what: &'static str, found: u64, known: u64, cares: String },
    /// Its end is missing.
    Truncated,
    /// It is not as it was written.
    Damaged(String),
    /// It could not be read, or what it holds not be put where it belongs.
    Io(io::Error),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Foreign => {
                f.write_str("this is no backup of CARES: it does not begin as one. `cares backup FILE` makes one")
            }
            BackupError::Newer { what, found, known, cares } => write!(
                f,
                "the backup was made by a newer CARES ({cares}): its {what} is {found}, and this one knows up to \
                 {known}. Restore it with that version"
            ),
            BackupError::Truncated => {
                f.write_str("the backup is cut off: it ends before its checksum. Use another, or make it again")
            }
            BackupError::Damaged(why) => write!(f, "the backup is damaged: {why}. Use another"),
            BackupError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BackupError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        BackupError::Io(error)
    }
}
