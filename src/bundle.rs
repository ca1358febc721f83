//! Bundles: a zip with `function.json` at its top, named by its sha256. Owns what a bundle may be, its limits and its
//! errors; orchestrator, worker and CLI all use it. Must never trust a zip's headers, nor know who asks.

mod archive;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod manifest;
mod name;
mod pack;

pub use archive::{inspect, sketch, unpack};
#[cfg(any(test, feature = "fuzz"))]
pub use manifest::parse as parse_manifest;
pub use pack::pack;

use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The manifest's name, at the top of the zip.
pub const MANIFEST: &str = "function.json";

/// Bytes of a zip that any node takes; an orchestrator takes those of `--limit bundle-bytes`, keeps them on its disk and
/// sends them to every node that runs them.
pub const MAX_ZIP_BYTES: u64 = 1 << 30;
/// Entries of a zip. Each costs a file and a name in memory; large dependency trees have a few thousand.
pub const MAX_ENTRIES: usize = 10_000;
/// Bytes of all files, unpacked: what a bomb may cost a node's disk at most.
pub const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// Bytes of one file, unpacked.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Bytes of a path inside the bundle: with the cache's own path before it, still below Linux's 4,096.
pub const MAX_PATH_BYTES: usize = 1_024;
/// Bytes of one name of a path: what common file systems take.
pub const MAX_NAME_BYTES: usize = 255;
/// Folders in folders: removing and packing walk them recursively.
pub const MAX_DEPTH: usize = 32;
/// Bytes of `function.json`: it is parsed in memory.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// Why a bundle could not be read, unpacked, packed or fetched.
#[derive(Clone, Debug)]
pub enum BundleError {
    /// The file is no zip, or a broken one.
    NotAZip(String),
    /// It is larger than a limit.
    Limit { what: String, limit: &'static str },
    /// An entry (or a file to be packed) that is refused.
    Entry { name: String, why: String },
    /// There is no `function.json` at the top; where one was found instead.
    NoManifest { found: Option<String> },
    /// `function.json` does not say what it must.
    Manifest(String),
    /// This is not 64 lower-case hex digits.
    NotADigest(String),
    /// What came is not what was asked for.
    WrongDigest { wanted: String, got: String },
    /// It could not be fetched.
    Fetch { digest: String, why: String },
    /// The disk said no.
    Io { doing: &'static str, path: PathBuf, error: Arc<io::Error> },
}

impl BundleError {
    pub(crate) fn io(doing: &'static str, path: &Path, error: io::Error) -> BundleError {
        BundleError::Io { doing, path: path.to_owned(), error: Arc::new(error) }
    }

    fn entry(name: impl Into<String>, why: impl Into<String>) -> BundleError {
        BundleError::Entry { name: name.into(), why: why.into() }
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::NotAZip(why) => {
                write!(
                    f,
                    "the bundle is not a zip that can be read ({why}); make it with `cares deploy DIR` or `zip -r`"
                )
            }
            BundleError::Limit { what, limit } => {
                write!(f, "{what}, and a bundle may have {limit} at most; leave out what the function does not need")
            }
            BundleError::Entry { name, why } => write!(f, "the bundle's entry {name:?} is refused: {why}"),
            BundleError::NoManifest { found: None } => write!(
                f,
                "the bundle has no {MANIFEST} at its top; add one, such as {{\"command\": [\"python3\", \"main.py\"]}}"
            ),
            BundleError::NoManifest { found: Some(found) } => write!(
                f,
                "the bundle has no {MANIFEST} at its top, but {found:?}; zip what is in that folder, not the folder"
            ),
            BundleError::Manifest(why) => write!(f, "{MANIFEST}: {why}"),
            BundleError::NotADigest(text) => {
                write!(f, "{text:?} is not a bundle's digest; it takes 64 hex digits in lower case")
            }
            BundleError::WrongDigest { wanted, got } => {
                write!(f, "the bundle that came has digest {got}, not {wanted}; upload it again")
            }
            BundleError::Fetch { digest, why } => write!(f, "could not fetch bundle {digest}: {why}"),
            BundleError::Io { doing, path, error } => write!(f, "could not {doing} {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BundleError::Io { error, .. } => Some(&**error),
            _ => None,
        }
    }
}

/// The sha256 of a file: 64 hex digits in lower case. Blocks.
pub fn digest_of(path: &Path) -> Result<String, BundleError> {
    let failed = |error| BundleError::io("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => sha.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(hex(sha.finalize()))
}

/// The digest in an image `bundle:DIGEST`; `None` for any other image, also for one with a malformed digest.
pub fn digest_in(image: &str) -> Option<&str> {
    image.strip_prefix("bundle:").filter(|digest| is_digest(digest))
}

/// Whether it is 64 hex digits in lower case.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod tests;
