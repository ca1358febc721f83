//! What a child does to itself before it executes. Must never allocate, lock or write to memory, which others share there.

use crate::sandbox::landlock::Rules;
use crate::sandbox::seccomp::Filter;
use crate::sandbox::view::Entry;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use std::ffi::CString;
use std::fs::File;
use std::sync::Arc;

/// Open files of a process: enough for a busy server.
const MAX_OPEN_FILES: u64 = 65_536;
/// When memory runs out, what functions hold is taken before the worker and the rest of the machine.
const OUT_OF_MEMORY_SCORE: &[u8] = b"500";

/// What a launch is held by, made ready before the fork.
pub struct Confinement {
    pub limits: Limits,
    /// The files of its control group, each of which wants a `0`.
    pub cgroup: Vec<File>,
    /// Into the functions' view of the file system.
    pub view: Option<Entry>,
    /// With the launch's own folder.
    pub files: Option<(Rules, CString)>,
    pub calls: Option<Arc<Filter>>,
}

/// Limits that each process has for itself.
pub struct Limits(Vec<(Resource, Rlimit)>);

impl Limits {
    /// `memory_bytes` and `processes`, where no control group limits them.
    pub fn new(file_bytes: u64, memory_bytes: Option<u64>, processes: Option<u32>) -> Limits {
        let wanted = [
            Some((Resource::Core, 0)),
            Some((Resource::Nofile, MAX_OPEN_FILES)),
            Some((Resource::Fsize, file_bytes)),
            memory_bytes.map(|bytes| (Resource::Data, bytes)),
            processes.map(|most| (Resource::Nproc, most.into())),
        ];
        Limits(wanted.into_iter().flatten().map(|(resource, most)| (resource, at_most(resource, most))).collect())
    }
}

impl Confinement {
    /// Has this child of `parent` run in a session and process group of its own, held by all this, without privileges and
    /// unable to gain any, with a strict umask, and killed when the thread that started it ends. Only makes system calls.
    pub fn hold(&self, parent: rustix::process::Pid) -> rustix::io::Result<()> {
        setsid()?;
        umask(Mode::from_raw_mode(0o077));
        for file in &self.cgroup {
            rustix::io::write(file, b"0")?;
        }
        // Refused to who has no right to it: then it stays as it is.
        if let Ok(file) = openat(CWD, c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            let _ = rustix::io::write(&file, OUT_OF_MEMORY_SCORE);
        }
        for (resource, limit) in &self.limits.0 {
            setrlimit(*resource, Rlimit { current: limit.current, maximum: limit.maximum })?;
        }
        if let Some(view) = &self.view {
            view.enter()?;
            view.become_user()?;
        }
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        set_no_new_privs(true)?;
        // After the change of user, which takes it away.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above: then no signal will come.
        if getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH);
        }
        if let Some((rules, home)) = &self.files {
            rules.open_home(home)?;
            rules.enforce()?;
        }
        match &self.calls {
            Some(filter) => filter.install(),
            None => Ok(()),
        }
    }
}

/// Marks what this process itself was given open, beyond stdin, stdout and stderr, so that no child gets it. What Rust
/// opens is marked already.
pub fn keep_inherited_files_from_children() {
    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
    let Ok(open) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: it is only looked at and marked, never read, written or closed. Should another thread have closed it
        // by now the calls fail, and what it opened under the same number meanwhile is marked already.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        if let Ok(flags) = fcntl_getfd(fd)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            let _ = fcntl_setfd(fd, flags | FdFlags::CLOEXEC);
        }
    }
}

/// The limit, or what this process itself may have if that is less: raising it would be refused.
fn at_most(resource: Resource, most: u64) -> Rlimit {
    let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
    Rlimit { current: Some(most), maximum: Some(most) }
}
