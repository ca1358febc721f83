//! Programs among a folder's files, told by how they begin. Must never run one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// In a runtime's `detect`: any one static program.
pub const ANY: &str = "*";
/// What it is called once the folder is dressed.
pub const NAME: &str = "main";

/// The name of the one program at the top of a folder; `main` goes before others, and several others are none. Blocks.
pub fn only(dir: &Path) -> io::Result<Option<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && entry.file_type()?.is_file()
            && is_one(&entry.path())
        {
            found.push(name);
        }
    }
    if found.iter().any(|name| name == NAME) {
        return Ok(Some(NAME.to_owned()));
    }
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// A program, not a library that is only loaded; whether it may be executed is not asked, for zips lose that.
fn is_one(path: &Path) -> bool {
    let mut head = [0; 18];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let library = path.extension().is_some_and(|end| end == "so" || end == "o" || end == "a");
    read.is_ok() && head.starts_with(b"\x7fELF") && matches!(head[16], 2 | 3) && !library
}
