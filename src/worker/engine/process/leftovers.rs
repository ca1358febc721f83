//! The folder of each launch, and whatever processes outlive a launch or the worker. They are told by a variable in
//! their environment that names the folder, never by number: numbers come round again. Must never kill anything else.

use super::super::EngineError;
use super::host::Host;
use crate::clock;
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::view::{self, View};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// In every launch's environment, and so in that of all it starts: the launch's folder.
pub const MARKER: &str = "CARES_RUN_DIR";

/// Looking through all processes takes some milliseconds; under many short launches it is done for all at once.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Passes over all processes: what forks while it is looked for is found by the next.
const PASSES: u32 = 100;
/// Between passes: a killed process takes a moment to be gone.
const PASS_PAUSE: Duration = Duration::from_millis(2);
/// Bytes of an id: it becomes a folder's name.
const MAX_ID_BYTES: usize = 128;

/// Makes the folder for launches' folders, ends what is left of launches found there and removes their folders.
pub fn prepare(run: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(run)?;
    fs::set_permissions(run, fs::Permissions::from_mode(0o700))?;
    // Absolute and without links: the marker must be the same after any restart.
    let run = fs::canonicalize(run)?;
    let dirs: Vec<PathBuf> = fs::read_dir(&run)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if !dirs.is_empty() {
        sweep(dirs.into_iter().map(|dir| (dir, None)).collect());
    }
    Ok(run)
}

/// A launch's private folder; when dropped, whatever still runs with it is ended and it is removed, soon and elsewhere.
pub struct RunDir {
    path: PathBuf,
    cgroup: Option<Arc<Cgroup>>,
    sweeper: Sweeper,
}

impl RunDir {
    pub fn make(run: &Path, id: &str, sweeper: &Sweeper) -> Result<RunDir, EngineError> {
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if id.is_empty() || id.len() > MAX_ID_BYTES || !plain || id.starts_with('.') {
            return Err(EngineError::Resources(format!("the launch's id {id:?} cannot be a folder's name")));
        }
        let path = run.join(id);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            let path = path.display();
            EngineError::Resources(match error.kind() {
                io::ErrorKind::AlreadyExists => format!("{id} runs already, or has only just ended; try again"),
                _ => format!("could not make the folder {path}: {error}; see that there is room"),
            })
        })?;
        Ok(RunDir { path, cgroup: None, sweeper: sweeper.clone() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The group whose processes end with it.
    pub fn keep(&mut self, cgroup: Option<Arc<Cgroup>>) {
        self.cgroup = cgroup;
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Without the thread it stays until the next start.
        let _ = self.sweeper.ended.send((std::mem::take(&mut self.path), self.cgroup.take()));
    }
}

/// A launch's folder and its group.
type Ended = (PathBuf, Option<Arc<Cgroup>>);

/// The thread that cleans up after launches; ends with its last handle.
#[derive(Clone)]
pub struct Sweeper {
    ended: mpsc::Sender<Ended>,
}

impl Sweeper {
    pub fn start(host: &Host) -> io::Result<Sweeper> {
        let (ended, inbox) = mpsc::channel::<Ended>();
        let namespace = host.view.as_ref().map(View::namespace);
        std::thread::Builder::new().name("sweeper".into()).spawn(move || {
            // Launches' folders are mounted there.
            if let Some(Err(error)) = namespace.map(|namespace| View::enter(&namespace)) {
                log::warn!("launches' folders stay mounted until the worker ends: {error}");
            }
            while let Ok(first) = inbox.recv() {
                let begun = clock::now();
                sweep(std::iter::once(first).chain(inbox.try_iter()).collect());
                std::thread::sleep(SWEEP_EVERY.saturating_sub(begun.elapsed()));
            }
        })?;
        Ok(Sweeper { ended })
    }
}

/// Ends everything that was launched with one of these folders, then removes them.
fn sweep(ended: Vec<Ended>) {
    let (grouped, loose): (Vec<Ended>, Vec<Ended>) = ended.into_iter().partition(|(_, cgroup)| cgroup.is_some());
    // What has a group cannot leave it.
    grouped.iter().filter_map(|(_, cgroup)| cgroup.as_ref()).for_each(|cgroup| cgroup.remove());
    let grouped = grouped.into_iter().map(|(dir, _)| dir);
    let loose: HashSet<PathBuf> = loose.into_iter().map(|(dir, _)| dir).collect();
    for _ in 0..PASSES {
        if loose.is_empty() || !kill_marked(&loose) {
            break;
        }
        std::thread::sleep(PASS_PAUSE);
    }
    for dir in grouped.chain(loose) {
        view::forget(&dir);
        let _ = fs::remove_dir_all(dir);
    }
}

/// Kills all processes marked with one of these folders; says whether there were any.
fn kill_marked(dirs: &HashSet<PathBuf>) -> bool {
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let mut any = false;
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(pid) = pid
            && pid != own
            && is_marked(pid, dirs)
        {
            any |= kill(pid, dirs);
        }
    }
    any
}

/// A process that has ended has no environment any more.
fn is_marked(pid: u32, dirs: &HashSet<PathBuf>) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environ.split(|byte| *byte == 0).any(|variable| {
        let value = variable.strip_prefix(MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(|dir| dirs.contains(Path::new(OsStr::from_bytes(dir))))
    })
}

#[cfg(target_os = "linux")]
fn kill(pid: u32, dirs: &HashSet<PathBuf>) -> bool {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(pid_of) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(fd) = pidfd_open(pid_of, PidfdFlags::empty()) else { return false };
    // Looked at again now that the number cannot change its owner unseen.
    is_marked(pid, dirs) && pidfd_send_signal(&fd, Signal::KILL).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn kill(_pid: u32, _dirs: &HashSet<PathBuf>) -> bool {
    false
}
