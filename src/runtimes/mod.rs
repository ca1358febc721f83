//! Runtimes: how a folder of sources becomes a function. Each is a folder with a Dockerfile, a starter and a
//! runtime.json; six are in this program, an operator adds others. Must never run anything, nor know who asks.

mod detect;
mod embedded;
mod manifest;
mod program;
mod recipe;
mod runtime;
mod sample;

pub use detect::Undetected;
pub use manifest::Manifest;
pub use recipe::{END_OF_LOG, Recipe};
pub use runtime::{FOLDER, File, Runtime, write};

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The operator's own, in a data folder.
pub const IN_DATA_DIR: &str = "runtimes";
/// Files of one runtime, and bytes of one file: they are kept in memory, and go along with each build.
const MAX_FILES: usize = 64;
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Runtimes in one folder.
const MAX_RUNTIMES: usize = 256;

/// The runtimes there are, by name.
#[derive(Clone, Debug)]
pub struct Catalog {
    runtimes: BTreeMap<String, Runtime>,
}

/// Why an operator's runtime cannot be used.
#[derive(Debug)]
pub enum CatalogError {
    /// Its folder, or one of its files, cannot be read.
    Io { path: PathBuf, error: io::Error },
    /// It is not what a runtime must be.
    Wrong { path: PathBuf, why: String },
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Io { path, error } => write!(f, "cannot read the runtime at {}: {error}", path.display()),
            CatalogError::Wrong { path, why } => write!(f, "the runtime {} is not right: {why}", path.display()),
        }
    }
}

impl std::error::Error for CatalogError {}

impl Catalog {
    /// Those in this program, and those in each of `dirs`: a folder in it is a runtime of its name, and replaces one that
    /// was there before. A folder that is not there has none. Blocks.
    pub fn load(dirs: &[PathBuf]) -> Result<Catalog, CatalogError> {
        let mut runtimes = BTreeMap::new();
        for (name, files) in embedded::runtimes() {
            let wrong = |why| CatalogError::Wrong { path: name.into(), why };
            runtimes.insert(name.to_owned(), Runtime::new(name, files).map_err(wrong)?);
        }
        for dir in dirs {
            for runtime in from_folder(dir)? {
                runtimes.insert(runtime.name.clone(), runtime);
            }
        }
        Ok(Catalog { runtimes })
    }

    pub fn get(&self, name: &str) -> Option<&Runtime> {
        self.runtimes.get(name)
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.runtimes.keys().map(String::as_str)
    }

    /// Sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Runtime> {
        self.runtimes.values()
    }
}

/// The runtimes in a folder.
fn from_folder(dir: &Path) -> Result<Vec<Runtime>, CatalogError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| CatalogError::Io { path, error }
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let wrong = |why| CatalogError::Wrong { path: path.clone(), why };
        if found.len() == MAX_RUNTIMES {
            return Err(wrong(format!("{} holds more than {MAX_RUNTIMES} runtimes", dir.display())));
        }
        let mut files = Vec::new();
        read(&path, "", &mut files)?;
        found.push(Runtime::new(&name, files).map_err(wrong)?);
    }
    Ok(found)
}

/// Adds all files below `dir`.
fn read(dir: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), CatalogError> {
    for entry in fs::read_dir(dir).map_err(|error| CatalogError::Io { path: dir.into(), error })? {
        let failed = |error| CatalogError::Io { path: dir.into(), error };
        let path = entry.map_err(failed)?.path();
        let failed = |error| CatalogError::Io { path: path.clone(), error };
        let wrong = |why: String| CatalogError::Wrong { path: path.clone(), why };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(wrong("its name is not UTF-8".into()));
        };
        let name = format!("{prefix}{name}");
        let kind = fs::metadata(&path).map_err(failed)?;
        if kind.is_dir() {
            if name.matches('/').count() > 16 {
                return Err(wrong("it lies too deep".into()));
            }
            read(&path, &format!("{name}/"), files)?;
            continue;
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(failed)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if !kind.is_file() || bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong("it is no file of at most 1 MiB".into()));
        }
        if files.len() == MAX_FILES {
            return Err(wrong(format!("a runtime has at most {MAX_FILES} files")));
        }
        files.push(File { path: name, bytes, executable: kind.permissions().mode() & 0o111 != 0 });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
