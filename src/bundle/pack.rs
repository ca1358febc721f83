//! Makes a bundle of a folder: the same folder gives the same bytes, wherever and whenever. Must never follow a link.

use super::archive::Limits;
use super::{BundleError, MAX_DEPTH, MAX_ENTRIES, name};
use crate::ignore::Ignore;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Left out: a function needs none of its history, and it would change the digest at each commit.
const SKIPPED: &str = ".git";

/// Writes a zip of what is in `dir` to `out`: sorted, all with the same time, with unix modes. Refuses links and
/// special files by name; leaves out `.git`, and what `ignore` says. The bundle may still be too large or lack a good `function.json`:
/// `inspect` tells. Blocks.
pub fn pack(dir: &Path, ignore: &Ignore, out: impl Write + Seek) -> Result<(), BundleError> {
    let mut found = Vec::new();
    list(dir, "", 1, ignore, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut total = 0;
    for file in &found {
        total += file.bytes;
        Limits::default().check(&file.name, file.bytes, total)?; // before all the others are read
    }
    let mut zip = ZipWriter::new(out);
    let mut total = 0;
    for entry in found {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .unix_permissions(entry.mode);
        let failed = |error: zip::result::ZipError| BundleError::io("pack", &entry.path, error.into());
        if entry.folder {
            zip.add_directory(entry.name.as_str(), options).map_err(failed)?;
            continue;
        }
        zip.start_file(entry.name.as_str(), options).map_err(failed)?;
        let failed = |error| BundleError::io("pack", &entry.path, error);
        let mut file = File::open(&entry.path).map_err(failed)?;
        let mut buffer = vec![0; 64 << 10];
        let mut bytes = 0;
        loop {
            let n = file.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            bytes += n as u64;
            total += n as u64;
            Limits::default().check(&entry.name, bytes, total)?;
            zip.write_all(&buffer[..n]).map_err(failed)?;
        }
    }
    zip.finish().map(drop).map_err(|error| BundleError::io("pack", dir, error.into()))
}

struct Found {
    name: String,
    path: PathBuf,
    folder: bool,
    mode: u32,
    /// As it was found: it may grow until it is read.
    bytes: u64,
}

/// Adds all files below `dir`, and the folders that would otherwise be missing because they are empty.
fn list(dir: &Path, prefix: &str, depth: usize, ignore: &Ignore, found: &mut Vec<Found>) -> Result<(), BundleError> {
    let failed = |error| BundleError::io("read the folder", dir, error);
    let before = found.len();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Ok(last) = entry.file_name().into_string() else {
            return Err(BundleError::entry(path.to_string_lossy(), "its name is not UTF-8; rename it"));
        };
        let name = format!("{prefix}{last}");
        if last == SKIPPED || ignore.leaves_out_all(&name) {
            continue;
        }
        name::check(name.as_bytes())?;
        let failed = |error| BundleError::io("read", &path, error);
        let kind = fs::symlink_metadata(&path).map_err(failed)?;
        let mode = kind.permissions().mode() & 0o777;
        if kind.is_symlink() && !ignore.leaves_out(&name) {
            return Err(BundleError::entry(name, "it is a symbolic link; put the file itself there"));
        } else if ignore.leaves_out(&name) && !kind.is_dir() {
            continue;
        } else if kind.is_file() {
            found.push(Found { name, path, folder: false, mode, bytes: kind.len() });
        } else if kind.is_dir() && depth < MAX_DEPTH {
            let before = found.len();
            list(&path, &format!("{name}/"), depth + 1, ignore, found)?;
            if found.len() == before && !ignore.leaves_out(&name) {
                found.push(Found { name, path, folder: true, mode, bytes: 0 });
            }
        } else if kind.is_dir() {
            let what = format!("{name:?} lies too deep");
            return Err(BundleError::Limit { what, limit: "32 folders in each other" });
        } else {
            return Err(BundleError::entry(name, "it is neither a file nor a folder"));
        }
        if found.len() > MAX_ENTRIES {
            let what = format!("{} and more files in {}", found.len() - before, dir.display());
            return Err(BundleError::Limit { what, limit: "10,000 entries" });
        }
    }
    Ok(())
}
