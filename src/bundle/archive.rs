//! Reads a zip: checks every entry and, while inflating, counts what really comes out. Must never write outside the
//! folder it was given, nor believe a size, a count or a mode that the zip declares.

use super::name::{self, Names};
use super::{
    BundleError, MANIFEST, MAX_ENTRIES, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MAX_UNPACKED_BYTES, MAX_ZIP_BYTES,
};
use crate::types::FunctionSpec;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zip::read::{Config, ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

/// The type bits of a unix mode, and the two types a bundle may hold.
const TYPE_BITS: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// Looks a whole bundle over, without writing anything, and answers what its `function.json` says: `command` is there
/// and the mode is http or job. Inflates everything once (so a bomb is refused here). Blocks.
pub fn inspect(zip: &Path) -> Result<FunctionSpec, BundleError> {
    inspect_within(zip, Limits::default())
}

/// Sizes after inflating; only tests set others than the default.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub file_bytes: u64,
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { file_bytes: MAX_FILE_BYTES, total_bytes: MAX_UNPACKED_BYTES }
    }
}

impl Limits {
    /// Refuses a file, or a sum of files, that is too large.
    pub(super) fn check(self, name: &str, bytes: u64, total: u64) -> Result<(), BundleError> {
        if bytes > self.file_bytes {
            let what = format!("its file {name:?} is too large");
            return Err(BundleError::Limit { what, limit: "512 MiB in one file" });
        }
        if total > self.total_bytes {
            let what = "its files together are too large".to_owned();
            return Err(BundleError::Limit { what, limit: "1 GiB unpacked" });
        }
        Ok(())
    }
}

pub(super) fn inspect_within(zip: &Path, limits: Limits) -> Result<FunctionSpec, BundleError> {
    let mut manifest: Option<Vec<u8>> = None;
    let mut elsewhere = None;
    walk(zip, limits, |entry, body| {
        let Some(body) = body else { return Ok(()) };
        if entry.path != MANIFEST {
            if elsewhere.is_none() && entry.path.ends_with("/function.json") {
                elsewhere = Some(entry.path.to_owned());
            }
            return body.pour(&mut io::sink(), entry.path);
        }
        let mut text = Vec::new();
        body.pour(&mut Capped { text: &mut text }, entry.path)?;
        if text.len() as u64 > MAX_MANIFEST_BYTES {
            let what = format!("{MANIFEST} is larger than 64 KiB");
            return Err(BundleError::Limit { what, limit: "64 KiB of function.json" });
        }
        manifest = Some(text);
        Ok(())
    })?;
    super::manifest::parse(&manifest.ok_or(BundleError::NoManifest { found: elsewhere })?)
}

/// Looks a source folder over as `inspect` does a bundle, and makes a sketch of it in the folder `into`: what lies at its
/// top, of each file the beginning. That is enough to tell what it is, and little even of the largest. Blocks.
pub fn sketch(zip: &Path, into: &Path) -> Result<(), BundleError> {
    walk(zip, Limits::default(), |entry, body| {
        let (top, below) = entry.path.split_once('/').map_or((entry.path, false), |(top, _)| (top, true));
        let path = into.join(top);
        let Some(body) = body else { return make_folder(&path) };
        if below {
            make_folder(&path)?;
            return body.pour(&mut io::sink(), entry.path);
        }
        let mut start = Vec::new();
        body.pour(&mut Capped { text: &mut start }, entry.path)?;
        let failed = |error| BundleError::io("write", &path, error);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        file.write_all(&start).map_err(failed)
    })
    .map(drop)
}

/// Unpacks a bundle as the folder `into`, which must not exist yet, and answers how many bytes its files have. It is
/// unpacked beside and then renamed, so `into` is never half a bundle. Set-user and set-group bits are dropped, exec
/// bits kept; an entry without a unix mode may be executed. Blocks.
pub fn unpack(zip: &Path, into: &Path) -> Result<u64, BundleError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = into.file_name().unwrap_or_default().to_string_lossy();
    let part = Part(into.with_file_name(format!(".{name}.{}.{number}.part", std::process::id())));
    if into.symlink_metadata().is_ok() {
        return Err(BundleError::io("unpack to", into, io::ErrorKind::AlreadyExists.into()));
    }
    // A part of the same name can only be a dead process' whose id came round again.
    let _ = fs::remove_dir_all(&part.0);
    make_folder(&part.0)?;
    let total = walk(zip, Limits::default(), |entry, body| {
        let path = part.0.join(entry.path);
        let Some(body) = body else { return make_folder(&path) };
        if let Some(above) = path.parent() {
            make_folder(above)?;
        }
        let failed = |error| BundleError::io("write", &path, error);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        body.pour(&mut file, entry.path)?;
        let mode = if entry.executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)
    })?;
    fs::rename(&part.0, into).map_err(|error| BundleError::io("rename to", into, error))?;
    Ok(total)
}

/// A folder being filled; removed with all in it unless it was renamed away.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder and those above it, readable to all whatever the umask.
fn make_folder(path: &Path) -> Result<(), BundleError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    let failed = |error| BundleError::io("make the folder", path, error);
    fs::create_dir(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(failed)
}

/// An entry that passed all checks.
struct Entry<'a> {
    path: &'a str,
    executable: bool,
}

/// Visits every entry, files with their body; answers how many bytes all bodies had.
fn walk(
    path: &Path,
    limits: Limits,
    mut visit: impl FnMut(Entry<'_>, Option<&mut Body<'_>>) -> Result<(), BundleError>,
) -> Result<u64, BundleError> {
    let open = || File::open(path).map_err(|error| BundleError::io("read", path, error));
    let (file, mut bodies) = (open()?, BufReader::new(open()?));
    let bytes = file.metadata().map_err(|error| BundleError::io("read", path, error))?.len();
    if bytes > MAX_ZIP_BYTES {
        return Err(BundleError::Limit { what: format!("the zip has {bytes} bytes"), limit: "1 GiB as a zip" });
    }
    // Not `ZipArchive`: it keeps every entry in memory before they can be counted, and merges those of one name.
    let mut zip = ZipIterable::try_new(BufReader::new(file), Config::default()).map_err(broken)?;
    if zip.len() > MAX_ENTRIES {
        return Err(BundleError::Limit { what: format!("the zip has {} entries", zip.len()), limit: "10,000 entries" });
    }
    let mut names = Names::default();
    let mut declared = 0u64;
    for entry in zip.files().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let (checked, folder) = check(&entry)?;
        names.add(checked.path, folder)?;
        declared = declared.saturating_add(entry.size());
        limits.check(checked.path, entry.size(), declared)?;
    }
    let mut total = 0;
    for entry in zip.files().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let raw = entry.name_raw().to_vec();
        let (Entry { executable, .. }, folder) = check(&entry)?;
        let checked = Entry { path: name::check(&raw)?, executable };
        if folder {
            visit(checked, None)?;
            continue;
        }
        let shown = checked.path.to_owned();
        let mut inflated =
            entry.with_reader(&mut bodies, ZipReadOptions::new()).map_err(|error| damaged(&shown, &error))?;
        let mut body = Body { inflated: &mut inflated, limits, total: &mut total };
        visit(checked, Some(&mut body))?;
    }
    Ok(total)
}

/// Whether an entry is something a bundle may hold; and whether it is a folder.
fn check<'a>(entry: &'a ZipFileEntry<'_>) -> Result<(Entry<'a>, bool), BundleError> {
    let path = name::check(entry.name_raw())?;
    if entry.encrypted() {
        return Err(BundleError::entry(path, "it is encrypted; zip without a password"));
    }
    // The upper half is the unix mode by whatever program it was made; 0 where that program knew none.
    let mode = entry.external_attributes() >> 16;
    let slash = entry.name_raw().ends_with(b"/");
    let folder = match mode & TYPE_BITS {
        0 => slash,
        FOLDER => true,
        REGULAR if !slash => false,
        REGULAR => return Err(BundleError::entry(path, "it is a file by its mode and a folder by its name")),
        0o120_000 => return Err(BundleError::entry(path, "it is a symbolic link; put the file itself there")),
        _ => return Err(BundleError::entry(path, "it is neither a file nor a folder")),
    };
    if folder && entry.size() > 0 {
        return Err(BundleError::entry(path, "it is a folder with a content"));
    }
    Ok((Entry { path, executable: mode == 0 || mode & 0o111 != 0 }, folder))
}

/// An entry's content, counted as it is inflated.
struct Body<'a> {
    inflated: &'a mut dyn Read,
    limits: Limits,
    total: &'a mut u64,
}

impl Body<'_> {
    /// Writes all of it; the end also checks the CRC.
    fn pour(&mut self, into: &mut dyn Write, name: &str) -> Result<(), BundleError> {
        let mut buffer = vec![0; 64 << 10];
        let mut bytes = 0;
        loop {
            let n = match self.inflated.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BundleError::entry(name, format!("it cannot be inflated: {error}"))),
            };
            bytes += n as u64;
            *self.total += n as u64;
            self.limits.check(name, bytes, *self.total)?;
            into.write_all(&buffer[..n]).map_err(|error| BundleError::io("write", Path::new(name), error))?;
        }
    }
}

/// Keeps the beginning, just enough to tell that there was too much.
struct Capped<'a> {
    text: &'a mut Vec<u8>,
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MAX_MANIFEST_BYTES as usize + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(error: ZipError) -> BundleError {
    BundleError::NotAZip(error.to_string())
}

fn damaged(name: &str, error: &ZipError) -> BundleError {
    let why = match error {
        ZipError::CompressionMethodNotSupported(_) | ZipError::UnsupportedArchive(_) => {
            format!("{error}; zip with deflate, as `zip -r` does")
        }
        _ => error.to_string(),
    };
    BundleError::entry(name, why)
}
