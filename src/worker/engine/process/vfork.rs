//! Executes a program in a child that borrows this process's memory until then, as vfork(2) does: nothing of the memory
//! is copied, and no other thread pays for that copy afterwards. The child must never allocate, lock, panic or write to
//! what others see.

use super::confine::Confinement;
use crate::rt;
use async_io::Async;
use rustix::io::retry_on_intr;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, dumpable_behavior, set_dumpable_behavior, waitid, waitpid,
};
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// Bytes: what it does before it executes needs a few thousand, in a debug build too.
const STACK: usize = 256 << 10;
/// Bytes below the stack which nothing may touch; no machine has larger pages.
const GUARD: usize = 64 << 10;
/// The number of the last signal.
const LAST_SIGNAL: c_int = 64;
/// Runs what has no first line the kernel knows, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";

/// A child that was started here. Must be reaped once it has ended.
#[derive(Debug)]
pub struct Child {
    pub pid: Pid,
    /// Readable once it has ended. None from a kernel before 5.2, which has no such files.
    pidfd: Option<Async<OwnedFd>>,
}

impl Child {
    /// Waits until it has ended; it is not reaped, so its number is still its own.
    pub async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        let pid = self.pid;
        let ended = move || retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
        let _ = rt::unblock(ended).await;
    }

    /// How it ended. Blocks until then. From now on its number may be another's.
    pub fn reap(&self) -> Option<WaitStatus> {
        retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty())).ok()?.map(|(_, status)| status)
    }
}

/// What children run on, one after the other, until they execute.
pub struct Stack(*mut c_void);

// SAFETY: nothing else knows of this memory.
unsafe impl Send for Stack {}

impl Stack {
    pub fn new() -> io::Result<Stack> {
        let flags = MapFlags::PRIVATE | MapFlags::STACK | MapFlags::NORESERVE;
        // SAFETY: new memory, wherever there is room.
        let bottom =
            unsafe { mmap_anonymous(ptr::null_mut(), GUARD + STACK, ProtFlags::READ | ProtFlags::WRITE, flags)? };
        let stack = Stack(bottom);
        // SAFETY: the lower end of it, which is not used yet.
        unsafe { mprotect(bottom, GUARD, MprotectFlags::empty())? };
        Ok(stack)
    }

    /// Where it begins: it grows down.
    fn top(&mut self) -> *mut c_void {
        self.0.wrapping_byte_add(GUARD + STACK)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: it is this memory, and who is started on it no longer runs there.
        let _ = unsafe { munmap(self.0, GUARD + STACK) };
    }
}

/// Executes the command with these standard files, held by all that. It must name its program by a path, and has of the
/// environment only what was put into it. The child is killed when the calling thread ends.
pub fn spawn(command: &Command, stdio: [BorrowedFd; 3], by: &Confinement, on: &mut Stack) -> io::Result<Child> {
    let args = command.get_args().map(terminated).collect::<io::Result<Vec<_>>>()?;
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let env = set.map(|(name, value)| terminated(&join(name, value))).collect::<io::Result<Vec<_>>>()?;
    let program = terminated(command.get_program())?;
    let dir = command.get_current_dir().map(|dir| terminated(dir.as_os_str())).transpose()?;
    let pointers = |strings: &mut dyn Iterator<Item = &CStr>| -> Vec<*const c_char> {
        strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
    };
    let rest = || args.iter().map(CString::as_c_str);
    let plan = Plan {
        program: &program,
        argv: pointers(&mut [program.as_c_str()].into_iter().chain(rest())),
        shell_argv: pointers(&mut [SHELL, program.as_c_str()].into_iter().chain(rest())),
        envp: pointers(&mut env.iter().map(CString::as_c_str)),
        dir: dir.as_deref(),
        stdio,
        by,
        parent: rustix::process::getpid(),
        failed: AtomicI32::new(0),
    };
    let dumpable = dumpable_behavior();
    let child = with_signals_blocked(|| plan.start(on));
    // Where the child became another user, what it borrowed was shut to all others of that user, and stayed shut.
    let _ = dumpable.and_then(set_dumpable_behavior);
    let child = child?;
    match plan.failed.load(Ordering::Relaxed) {
        0 => Ok(child),
        error => {
            child.reap();
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

fn terminated(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn join(name: &OsStr, value: &OsStr) -> std::ffi::OsString {
    let mut both = name.to_owned();
    both.push("=");
    both.push(value);
    both
}

/// All the child needs, where it can read it.
struct Plan<'a> {
    program: &'a CStr,
    argv: Vec<*const c_char>,
    shell_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    dir: Option<&'a CStr>,
    stdio: [BorrowedFd<'a>; 3],
    by: &'a Confinement,
    parent: Pid,
    /// Why it could not be executed, as a number of the system; 0: it was.
    failed: AtomicI32,
}

impl Plan<'_> {
    fn start(&self, on: &mut Stack) -> io::Result<Child> {
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let plan = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the child has a stack of its own, which like the plan outlives its use of them, because this thread
        // goes on only when the child has executed or ended. What it does meanwhile is `in_child`, which only makes system
        // calls and reads what it was given; it writes to its stack, to `failed`, and to this waiting thread's errno.
        let pid = unsafe { libc::clone(in_child, on.top(), flags, plan, &raw mut pidfd) };
        let pid = if pid == -1 { None } else { Pid::from_raw(pid) };
        let pid = pid.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel made it for this call, and nobody else knows of it.
        let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
        Ok(Child { pid, pidfd: pidfd.and_then(|fd| Async::new(fd).ok()) })
    }

    /// Comes back only when it could not.
    fn execute(&self) -> rustix::io::Result<()> {
        let [stdin, stdout, stderr] = self.stdio;
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)?;
        if let Some(dir) = self.dir {
            rustix::process::chdir(dir)?;
        }
        self.by.hold(self.parent)?;
        forget_signals();
        // SAFETY: strings and lists end with a NUL, and live in the plan.
        unsafe {
            libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr());
            if *libc::__errno_location() == libc::ENOEXEC {
                libc::execve(SHELL.as_ptr(), self.shell_argv.as_ptr(), self.envp.as_ptr());
            }
            Err(rustix::io::Errno::from_raw_os_error(*libc::__errno_location()))
        }
    }
}

extern "C" fn in_child(plan: *mut c_void) -> c_int {
    // SAFETY: it is the plan `start` was called on, which waits.
    let plan = unsafe { &*plan.cast::<Plan>() };
    if let Err(error) = plan.execute() {
        plan.failed.store(error.raw_os_error(), Ordering::Relaxed);
    }
    127
}

/// Runs it while this thread takes no signals: a handler of this process's must not run in a child that shares its memory.
fn with_signals_blocked<T>(run: impl FnOnce() -> T) -> T {
    // SAFETY: sets of signals are plain numbers, filled before they are read.
    unsafe {
        let (mut all, mut before) = (zeroed(), zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let done = run();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        done
    }
}

/// Gives up handlers, which are not there after the execution, and takes signals again. Only makes system calls.
fn forget_signals() {
    // SAFETY: actions and sets are plain numbers. They are the child's own: its table of handlers is a copy.
    unsafe {
        let mut default: libc::sigaction = zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=LAST_SIGNAL {
            let mut now: libc::sigaction = zeroed();
            let known = libc::sigaction(signal, ptr::null(), &mut now) == 0;
            // Rust ignores SIGPIPE, which no other program expects to find so.
            let ours = now.sa_sigaction != libc::SIG_IGN || signal == libc::SIGPIPE;
            if known && ours && now.sa_sigaction != libc::SIG_DFL {
                libc::sigaction(signal, &default, ptr::null_mut());
            }
        }
        let mut none = zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    /// On a kernel that has no files of processes.
    #[test]
    fn an_end_is_seen_without_a_pidfd_too() {
        let started = Command::new("sh").args(["-c", "read line; exit 7"]).stdin(std::process::Stdio::piped()).spawn();
        let mut started = started.unwrap();
        let child = Child { pid: Pid::from_child(&started), pidfd: None };
        std::thread::scope(|scope| {
            let ended = scope.spawn(|| block_on(child.ended()));
            assert!(started.try_wait().unwrap().is_none());
            drop(started.stdin.take());
            ended.join().unwrap();
        });
        assert_eq!(child.reap().unwrap().exit_status(), Some(7));
    }
}
