//! What a child does to itself between fork and exec. Must never allocate, lock or touch memory others may hold there.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid, umask};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Open files of a process: enough for a busy server.
const MAX_OPEN_FILES: u64 = 65_536;
/// Bytes of any one file it writes: a runaway log must not fill the node's disk in one go.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Has the command run in a session and process group of its own, unable to gain privileges, with limits and a strict
/// umask, and (on Linux) killed when the thread that spawns it ends.
pub fn confine(command: &mut Command, memory_bytes: Option<u64>) {
    // All that needs memory or the parent's view is done here, before the fork.
    let mut limits = vec![
        (Resource::Core, at_most(Resource::Core, 0)),
        (Resource::Nofile, at_most(Resource::Nofile, MAX_OPEN_FILES)),
        (Resource::Fsize, at_most(Resource::Fsize, MAX_FILE_BYTES)),
    ];
    if let Some(bytes) = memory_bytes {
        limits.push((Resource::Data, at_most(Resource::Data, bytes)));
    }
    #[cfg(target_os = "linux")]
    let parent = rustix::process::getpid();
    let in_child = move || {
        setsid()?;
        umask(Mode::from_raw_mode(0o077));
        for (resource, limit) in &limits {
            setrlimit(*resource, Rlimit { current: limit.current, maximum: limit.maximum })?;
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Signal, getppid, set_parent_process_death_signal};
            rustix::thread::set_no_new_privs(true)?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above: then no signal will come.
            if getppid() != Some(parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec of a program with threads only async-signal-safe calls are allowed, because
    // another thread may have held any lock (the allocator's too) at the fork. The closure only makes system calls
    // through rustix, which takes no locks, and reads what it owns; errors are made of a number, without allocating.
    unsafe { command.pre_exec(in_child) };
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
