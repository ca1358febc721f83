//! Zips by chance. Nothing may appear outside the folder they are unpacked to, nor more than was counted.

use super::archive::{Limits, inspect_within, unpack};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Small, so that a bomb takes no time here.
const LIMITS: Limits = Limits { file_bytes: 1 << 20, total_bytes: 2 << 20 };

/// A folder in memory, of this process alone.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let above = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = above.join(format!("cares-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

/// The target.
pub fn zip(data: &[u8]) {
    let (zip, into) = (FOLDER.join("b.zip"), FOLDER.join("into"));
    fs::write(&zip, data).expect("written");
    let inspected = inspect_within(&zip, LIMITS);
    if let Ok(spec) = &inspected {
        assert!(spec.image.is_empty() && spec.command.as_ref().is_some_and(|c| !c.is_empty()) && spec.mode.is_some());
        match unpack(&zip, &into) {
            Ok(bytes) => assert_eq!(walk(&into), bytes),
            Err(error) => panic!("inspected, but not unpacked: {error}"),
        }
        fs::remove_dir_all(&into).expect("removed");
    }
    let left = fs::read_dir(&*FOLDER).expect("a folder").count();
    assert_eq!(left, 1, "only the zip is left");
    fs::remove_dir_all(&*FOLDER).and_then(|()| fs::create_dir(&*FOLDER)).expect("an empty folder");
}

/// Bytes of all files, none of which may be anything but a plain one.
fn walk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let bytes = entries.map(|path| {
        let what = path.symlink_metadata().expect("it is there");
        assert!(what.is_dir() || what.is_file(), "{}", path.display());
        if what.is_dir() { walk(&path) } else { what.len() }
    });
    bytes.sum()
}
