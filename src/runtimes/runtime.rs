//! One runtime: its files, and what its runtime.json says. Must never run anything.

use super::program;
use crate::hex::hex;
use crate::types::Mode;
use crate::{json, names};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

/// Where a runtime's own files lie in the folder that is built.
pub const FOLDER: &str = ".cares";
/// What it says of itself.
const CARD: &str = "runtime.json";
const DOCKERFILE: &str = "Dockerfile";
/// What `cares init` writes lies below this.
const STARTER: &str = "starter/";

/// One file of a runtime, by its path in the runtime's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
    pub executable: bool,
}

/// runtime.json. All of it may be left out: a folder with a Dockerfile is a runtime that must be asked for by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Card {
    description: String,
    detect: Vec<String>,
    needs: Vec<String>,
    mode: Mode,
    ignore: Vec<String>,
    tools: Vec<String>,
    build: Vec<String>,
    cache: Vec<String>,
    output: Vec<String>,
    start: Vec<String>,
}

/// How a folder of sources becomes a function.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub name: String,
    /// One line for people.
    pub description: String,
    /// It is this runtime's folder if it holds one of these; `*` is any one static program.
    pub detect: Vec<String>,
    /// What must lie at the folder's top for it to be built: names, `*.END`, or `*` as in `detect`; with `|` between, one of
    /// several.
    pub needs: Vec<String>,
    pub mode: Mode,
    /// Not sent to be built: names, wherever they are, or with `/` before them only at the top.
    pub ignore: Vec<String>,
    /// What a node needs to build without a container engine.
    pub tools: Vec<String>,
    /// How it does that: shell lines, run in the folder.
    pub build: Vec<String>,
    /// Folders below $HOME that it leaves for the function's next build.
    pub cache: Vec<String>,
    /// What the function then needs of the folder; all of it where this is empty.
    pub output: Vec<String>,
    /// How it is then started; empty where it cannot be without an image.
    pub start: Vec<String>,
    /// The image that its Dockerfile begins with unless the build argument `BASE` says otherwise; `None` where the
    /// Dockerfile has no such argument.
    pub base: Option<String>,
    dockerfile: String,
    files: Vec<File>,
}

impl Runtime {
    /// The runtime that these files are. The text says which file is wrong.
    pub fn new(name: &str, mut files: Vec<File>) -> Result<Runtime, String> {
        names::check_name(name).map_err(|bad| bad.to_string())?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let find = |path: &str| files.iter().find(|file| file.path == path).map(|file| &file.bytes[..]);
        let card: Card = match find(CARD) {
            Some(text) => json::object(text).map_err(|error| format!("{CARD}: {error}"))?,
            None => Card::default(),
        };
        let text = find(DOCKERFILE).ok_or_else(|| format!("it has no {DOCKERFILE}; add one"))?;
        let dockerfile = str::from_utf8(text).map_err(|_| format!("its {DOCKERFILE} is not UTF-8"))?.to_owned();
        let base = dockerfile.lines().find_map(|line| line.trim().strip_prefix("ARG BASE="));
        let base = base.map(|base| base.trim().trim_matches('"').to_owned());
        let name = name.to_owned();
        let Card { description, detect, needs, mode, ignore, tools, build, cache, output, start } = card;
        let plain = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if let Some(bad) = cache.iter().find(|path| path.is_empty() || !plain(path)) {
            return Err(format!("{CARD}: field `cache`: '{}' must be a path below $HOME", bad.escape_debug()));
        }
        #[rustfmt::skip]
        let runtime = Runtime {
            name, description, detect, needs, mode, ignore, tools, build, cache, output, start, base, dockerfile, files,
        };
        Ok(runtime)
    }

    /// The Dockerfile for a folder that has none of its own.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// All its files, as `new` takes them: sorted by path.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// What `cares init` writes: paths in the function's folder.
    pub fn starter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| Some((file.path.strip_prefix(STARTER)?, file)))
    }

    /// Tells this runtime from all that differ in any file: 64 hex digits.
    pub fn digest(&self) -> String {
        let mut sha = Sha256::new();
        for file in &self.files {
            for part in [file.path.as_bytes(), &[u8::from(file.executable)], &file.bytes] {
                sha.update((part.len() as u64).to_le_bytes());
                sha.update(part);
            }
        }
        hex(sha.finalize())
    }

    /// Makes a folder of sources ready for the Dockerfile or the build lines: puts the runtime's own files into `.cares`
    /// there, whatever was in it, and has a lone program called `main`, which may be executed. Blocks.
    pub fn dress(&self, dir: &Path) -> io::Result<()> {
        if self.detect.iter().any(|name| name == program::ANY)
            && let Some(name) = program::only(dir)?
        {
            fs::rename(dir.join(name), dir.join(program::NAME))?;
            fs::set_permissions(dir.join(program::NAME), fs::Permissions::from_mode(0o755))?;
        }
        let own = dir.join(FOLDER);
        match fs::symlink_metadata(&own) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&own)?,
            Ok(_) => fs::remove_file(&own)?,
            Err(_) => {}
        }
        fs::create_dir(&own)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
        let kept = |file: &&File| file.path != CARD && file.path != DOCKERFILE && !file.path.starts_with(STARTER);
        for file in self.files.iter().filter(kept) {
            write(&own, &file.path, file)?;
        }
        Ok(())
    }
}

/// Writes a file below `dir` as `path`, with the folders it needs; others may read it, whatever the umask. It must not
/// be there yet. Blocks.
pub fn write(dir: &Path, path: &str, file: &File) -> io::Result<()> {
    let path = dir.join(path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
        for folder in above.ancestors().take_while(|folder| folder.starts_with(dir) && *folder != dir) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
    }
    let mut options = fs::OpenOptions::new();
    io::Write::write_all(&mut options.write(true).create_new(true).open(&path)?, &file.bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(if file.executable { 0o755 } else { 0o644 }))
}
