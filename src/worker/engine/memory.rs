//! Folders in memory for files that must be on no disk: one for each launch that has any, gone with it. Must never fall back
//! to a disk.

use super::EngineError;
use crate::wire::proto::Secret;
use rustix::fs::{Gid, Uid, chown};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// In memory on every Linux system, for all users.
const MEMORY: &str = "/dev/shm";
/// As the kernel numbers them.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// Where the folders of one engine are. Nothing is there before the first is asked for.
#[derive(Clone)]
pub struct Place(PathBuf);

impl Place {
    /// `name`: the same after a restart, and no other engine's.
    pub fn new(name: &str) -> Place {
        Place(Path::new(MEMORY).join(format!("cares-{name}")))
    }

    /// A folder with these files, which whoever reaches it may read if `open`, else their owner alone.
    pub fn fill(&self, id: &str, files: &[Secret], open: bool) -> Result<Folder, EngineError> {
        let failed = |error: io::Error| {
            let text = format!("could not keep secret files in memory, below {}: {error}", self.0.display());
            EngineError::Resources(format!("{text}; give them as variables, or see that {MEMORY} is there"))
        };
        let folder = self.folder(id).map_err(failed)?;
        let (folder_mode, file_mode) = if open { (0o755, 0o444) } else { (0o700, 0o400) };
        let fill = || -> io::Result<()> {
            for file in files {
                let mut to =
                    OpenOptions::new().write(true).create_new(true).mode(0o400).open(folder.0.join(&file.name))?;
                to.write_all(&file.value)?;
                to.set_permissions(fs::Permissions::from_mode(file_mode))?;
            }
            fs::set_permissions(&folder.0, fs::Permissions::from_mode(folder_mode))
        };
        fill().map_err(failed)?;
        Ok(folder)
    }

    /// The folder of a launch that an earlier worker made.
    pub fn found(&self, id: &str) -> Option<Folder> {
        let path = self.0.join(id);
        (self.is_ours() && !id.contains('/') && path.is_dir()).then_some(Folder(path))
    }

    /// Removes the folders of all launches but these.
    pub fn sweep(&self, keep: impl Fn(&str) -> bool) {
        let Ok(found) = fs::read_dir(&self.0) else { return };
        for entry in found.flatten() {
            if self.is_ours() && entry.file_name().to_str().is_none_or(|id| !keep(id)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.0); // unless there are any
    }

    /// The place goes with its last folder, which may be just now.
    fn folder(&self, id: &str) -> io::Result<Folder> {
        let path = self.0.join(id);
        loop {
            self.make()?;
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => return made.map(|()| Folder(path)),
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        let kind = rustix::fs::statfs(MEMORY)?.f_type as i64;
        if kind != TMPFS && kind != RAMFS {
            return Err(io::Error::other(format!("{MEMORY} is not in memory")));
        }
        // Entered by launches that are users of their own, but not listed.
        match DirBuilder::new().mode(0o711).create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_ours() => Ok(()),
            made => made,
        }
    }

    /// Anybody may make a folder there, also of this name.
    fn is_ours(&self) -> bool {
        let ours = |found: fs::Metadata| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        fs::symlink_metadata(&self.0).is_ok_and(ours)
    }
}

/// A launch's files; removed when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it that user's.
    pub fn give_to(&self, user: u32) -> io::Result<()> {
        let (owner, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(user)));
        for file in fs::read_dir(&self.0)? {
            chown(file?.path(), owner, group)?;
        }
        Ok(chown(&self.0, owner, group)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = self.0.parent().map(fs::remove_dir); // unless there are others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_private_and_go_with_their_launch() {
        let place = Place::new(&format!("test-{}", std::process::id()));
        let files = [Secret { name: "key".into(), value: b"\0v".to_vec() }];
        let (one, two) = (place.fill("one", &files, false).unwrap(), place.fill("two", &files, true).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&place.0) & 0o066, mode(one.path()), mode(&one.path().join("key"))), (0, 0o700, 0o400));
        assert_eq!((mode(two.path()), mode(&two.path().join("key"))), (0o755, 0o444));
        assert_eq!(fs::read(two.path().join("key")).unwrap(), b"\0v");
        assert!(matches!(place.fill("one", &files, false), Err(EngineError::Resources(_))));
        let one = place.fill("three", &files, false).unwrap();
        place.sweep(|id| id == "three");
        assert!(!two.path().exists() && place.found("two").is_none() && place.found("three").is_some());
        drop((one, two));
        assert!(!place.0.exists());
    }

    #[test]
    fn a_folder_that_another_made_is_not_used() {
        let place = Place::new(&format!("foreign-{}", std::process::id()));
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &place.0).unwrap();
        assert!(place.fill("one", &[], false).is_err() && place.found("one").is_none());
        fs::write(elsewhere.path().join("theirs"), "x").unwrap();
        place.sweep(|_| false);
        assert!(elsewhere.path().join("theirs").exists());
        fs::remove_file(&place.0).unwrap();
    }
}
