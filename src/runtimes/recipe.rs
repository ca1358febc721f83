//! What a build without a container engine is to do: the worker writes it into the source folder, `cares make-bundle`
//! follows it there. Must never name anything of the machine.

use super::{FOLDER, Runtime};
use crate::json;
use crate::types::{FunctionSpec, Mode};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its name, in the runtime's own folder.
const NAME: &str = "recipe.json";
/// What an earlier build has left, there too.
const KEPT: &str = "kept";
/// Between the log and the zip's length (8 bytes, the lowest first), the zip and what it leaves for the next build, in what `make-bundle` writes; nothing else there is a NUL before it.
pub const END_OF_LOG: u8 = 0;

/// The steps, and what comes out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Shell lines, run in the folder.
    pub build: Vec<String>,
    /// Folders below $HOME that the function's next build gets.
    pub cache: Vec<String>,
    /// Bytes of them that are kept at most.
    pub cache_bytes: u64,
    /// What is kept of the folder; all of it where this is empty.
    pub output: Vec<String>,
    /// function.json of the bundle.
    pub manifest: FunctionSpec,
}

impl Recipe {
    /// That of a runtime; `None` where it does not say how to start.
    pub fn of(runtime: &Runtime, cache_bytes: u64) -> Option<Recipe> {
        let start = Some(runtime.start.clone()).filter(|start| !start.is_empty())?;
        let mode = Some(runtime.mode).filter(|mode| *mode != Mode::Auto);
        let manifest = FunctionSpec { command: Some(start), mode, ..Default::default() };
        let (build, cache, output) = (runtime.build.clone(), runtime.cache.clone(), runtime.output.clone());
        Some(Recipe { build, cache, cache_bytes, output, manifest })
    }

    /// Writes it into a dressed folder. Blocks.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        super::write(&dir.join(FOLDER), NAME, &super::File { path: NAME.into(), bytes: text, executable: false })
    }

    /// Reads that of a folder. Blocks.
    pub fn read(dir: &Path) -> Result<Recipe, String> {
        let path = dir.join(FOLDER).join(NAME);
        let text = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        json::object(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Where in a dressed folder what an earlier build has left is put.
    pub fn kept(dir: &Path) -> PathBuf {
        dir.join(FOLDER).join(KEPT)
    }

    /// Takes it out again: it is of no use to a function. Blocks.
    pub fn forget(dir: &Path) -> io::Result<()> {
        fs::remove_file(dir.join(FOLDER).join(NAME))
    }
}
