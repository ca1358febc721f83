//! A role's folder on disk: makes it, checks it, and holds it for this process alone. Must never know what is kept there.

use crate::clock;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lock, in the folder; its text is the pid of who holds it.
const LOCK_FILE: &str = "lock";
/// A process that was killed as it forked leaves the lock to its child until that executes or ends.
const HEIR_LIMIT: Duration = Duration::from_secs(5);
const HEIR_PAUSE: Duration = Duration::from_millis(10);
/// How many default places are tried; nobody runs more workers on a machine than this.
const MAX_PLACES: u32 = 1000;

/// A folder that is this process's until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as the open file; the file itself stays, for removing it would race with the next owner.
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug)]
pub enum DataDirError {
    /// It cannot be made or written to.
    NotWritable { dir: PathBuf, error: io::Error },
    /// Another process holds it.
    InUse { dir: PathBuf, pid: Option<u32> },
    /// All default places are held.
    NoneFree { base: PathBuf },
}

impl std::fmt::Display for DataDirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DataDirError::NotWritable { dir, error } => write!(
                f,
                "cannot write to the data folder {}: {error}. Give it to this user or free some space, or choose another with --data-dir",
                dir.display()
            ),
            DataDirError::InUse { dir, pid } => {
                let who = pid.map_or("another CARES".to_string(), |pid| format!("another CARES (pid {pid})"));
                write!(
                    f,
                    "the data folder {} is in use by {who}. End that one, or choose another folder with --data-dir",
                    dir.display()
                )
            }
            DataDirError::NoneFree { base } => write!(
                f,
                "{MAX_PLACES} data folders in {} are all in use. Choose another with --data-dir",
                base.display()
            ),
        }
    }
}

impl std::error::Error for DataDirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataDirError::NotWritable { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl DataDir {
    /// Makes the folder (mode 0700) and what is missing above it, and locks it for this process.
    ///
    /// # Errors
    /// `NotWritable`, or `InUse` with the pid of who holds it.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let not_writable = |error| DataDirError::NotWritable { dir: path.to_path_buf(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // it may hold another's pid
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(not_writable)?;
        let since = clock::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(not_writable(error)),
            }
            let pid = holder(&mut lock);
            if pid.is_none_or(is_alive) || since.elapsed() > HEIR_LIMIT {
                return Err(DataDirError::InUse { dir: path.to_path_buf(), pid });
            }
            std::thread::sleep(HEIR_PAUSE);
        }
        // Writing the pid is the check that there is room and the right to write.
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())?;
            lock.sync_data()
        };
        write(&mut lock).map_err(not_writable)?;
        let path = path.canonicalize().map_err(not_writable)?; // a later change of directory must not move it
        Ok(DataDir { path, _lock: lock })
    }

    /// Opens the first of `base/prefix1`, `base/prefix2`, … that nobody holds.
    pub fn first_free(base: &Path, prefix: &str) -> Result<DataDir, DataDirError> {
        for number in 1..=MAX_PLACES {
            match DataDir::open(&base.join(format!("{prefix}{number}"))) {
                Err(DataDirError::InUse { .. }) => {}
                other => return other,
            }
        }
        Err(DataDirError::NoneFree { base: base.to_path_buf() })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who wrote its pid last.
fn holder(lock: &mut File) -> Option<u32> {
    let mut pid = String::new();
    lock.rewind().ok()?;
    lock.take(32).read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Writes a file that is there whole or not at all, for this user alone; makes its folder.
pub fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder for one test, removed at its end.
    pub(crate) struct Scratch(pub PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Scratch {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("cares-test-{}-{number}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Scratch(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_is_private_and_held_until_dropped() {
        let scratch = Scratch::new();
        let dir = scratch.0.join("a/b");
        let held = DataDir::open(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let text = DataDir::open(&dir).unwrap_err().to_string();
        let pid = format!("(pid {})", std::process::id());
        assert!(text.contains(&pid) && text.contains("a/b") && text.contains("--data-dir"), "{text}");
        drop(held);
        DataDir::open(&dir).unwrap();
    }

    #[test]
    fn a_dead_holders_child_is_waited_for() {
        let scratch = Scratch::new();
        drop(DataDir::open(&scratch.0).unwrap());
        let heirs = File::options().read(true).write(true).open(scratch.0.join(LOCK_FILE)).unwrap();
        heirs.lock().unwrap();
        let nobody = u32::MAX; // beyond any pid
        fs::write(scratch.0.join(LOCK_FILE), nobody.to_string()).unwrap();
        let waiting = std::thread::spawn({
            let dir = scratch.0.clone();
            move || DataDir::open(&dir).map(drop)
        });
        std::thread::sleep(HEIR_PAUSE * 5); // it must be waiting, not have failed
        assert!(!waiting.is_finished());
        drop(heirs);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn workers_take_the_first_free_place() {
        let scratch = Scratch::new();
        let first = DataDir::first_free(&scratch.0, "worker-").unwrap();
        let second = DataDir::first_free(&scratch.0, "worker-").unwrap();
        assert!(first.path().ends_with("worker-1") && second.path().ends_with("worker-2"));
        drop(first);
        assert!(DataDir::first_free(&scratch.0, "worker-").unwrap().path().ends_with("worker-1"));
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let scratch = Scratch::new();
        let file = scratch.0.join("file");
        fs::write(&file, "").unwrap();
        let text = DataDir::open(&file.join("x")).unwrap_err().to_string();
        assert!(text.contains("file/x") && text.contains("--data-dir"), "{text}");
    }
}
