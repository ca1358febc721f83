//! Which names entries may have. Pure: must never touch the disk.

use super::{BundleError, MAX_DEPTH, MAX_ENTRIES, MAX_NAME_BYTES, MAX_PATH_BYTES};
use std::collections::HashSet;

/// The path of an entry, with `/` between its names and none at its end; safe to join to a folder.
pub fn check(raw: &[u8]) -> Result<&str, BundleError> {
    let refuse = |why: &str| Err(BundleError::entry(String::from_utf8_lossy(raw), why));
    if raw.len() > MAX_PATH_BYTES {
        let shown = String::from_utf8_lossy(&raw[..64]);
        return Err(BundleError::Limit {
            what: format!("the path {shown:?}… has {} bytes", raw.len()),
            limit: "1,024 bytes a path",
        });
    }
    let Ok(name) = std::str::from_utf8(raw) else { return refuse("its name is not UTF-8") };
    let path = name.strip_suffix('/').unwrap_or(name);
    if path.is_empty() {
        return refuse(if name.is_empty() { "its name is empty" } else { "its path is absolute" });
    }
    if path.starts_with('/') {
        return refuse("its path is absolute");
    }
    if path.contains('\0') {
        return refuse("its name holds a NUL");
    }
    if path.contains('\\') {
        return refuse("its name holds a backslash; zip with / between folders");
    }
    if path.as_bytes()[0].is_ascii_alphabetic() && path.as_bytes().get(1) == Some(&b':') {
        return refuse("its path starts with a drive letter");
    }
    for part in path.split('/') {
        match part {
            "" => return refuse("a name in its path is empty"),
            "." | ".." => return refuse("its path holds . or .."),
            _ if part.len() > MAX_NAME_BYTES => return refuse("a name in its path is longer than 255 bytes"),
            _ => {}
        }
    }
    if path.split('/').count() > MAX_DEPTH {
        return Err(BundleError::Limit { what: format!("{path:?} lies too deep"), limit: "32 folders in each other" });
    }
    Ok(path)
}

/// Every name seen so far: no two entries may claim the same one.
#[derive(Default)]
pub struct Names {
    files: HashSet<String>,
    /// Also those that only show as the beginning of another entry's path.
    folders: HashSet<String>,
    /// Folders with an entry of their own.
    listed: HashSet<String>,
}

impl Names {
    /// Refuses a second entry of a name, and a name that is a file and a folder at once.
    pub fn add(&mut self, path: &str, folder: bool) -> Result<(), BundleError> {
        for (at, _) in path.match_indices('/') {
            let above = &path[..at];
            if self.files.contains(above) {
                return Err(BundleError::entry(path, format!("{above:?} is a file as well as a folder")));
            }
            if !self.folders.contains(above) {
                self.folders.insert(above.to_owned());
            }
        }
        if self.folders.len() > MAX_ENTRIES {
            return Err(BundleError::Limit { what: "the zip has over 10,000 folders".into(), limit: "10,000 folders" });
        }
        if (folder && self.files.contains(path)) || (!folder && self.folders.contains(path)) {
            return Err(BundleError::entry(path, "it is a file as well as a folder"));
        }
        let fresh = if folder {
            self.folders.insert(path.to_owned());
            self.listed.insert(path.to_owned())
        } else {
            self.files.insert(path.to_owned())
        };
        if fresh { Ok(()) } else { Err(BundleError::entry(path, "there are two of this name")) }
    }
}
