//! Which files a launch may open: Landlock rules, which hold also for root and for all it starts. Must never open more
//! than a function needs: what is not listed here is shut.

use super::programs::programs;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// What may be allowed on a file; all else is for folders.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

const READ: u64 = READ_FILE | READ_DIR;
const RUN: u64 = READ | EXECUTE;
const DEVICE: u64 = READ_FILE | WRITE_FILE;

/// Sockets in the kernel's own namespace, and signals, to what is outside.
const SCOPED: u64 = 1 | 1 << 1;

const CREATE_VERSION: u32 = 1;
const PATH_BENEATH: u32 = 1;

/// Programs and libraries.
pub(super) const PROGRAMS: [&str; 10] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/etc/alternatives"];
/// What programs look up: names, addresses, certificates, time zones, the processor. Never keys or passwords.
const SETTINGS: [&str; 44] = [
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/debian_version",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/profile",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
    "/proc",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/var/lib/ca-certificates",
];
/// Runtimes that keep their settings in /etc, by the beginning of the name.
const RUNTIMES: [&str; 6] = ["java", "node", "perl", "php", "python", "ruby"];
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

#[repr(C)]
struct RulesetAttr {
    files: u64,
    net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// What the kernel of this host can do.
#[derive(Clone, Debug)]
pub struct Landlock {
    pub abi: u32,
    runtimes: Vec<PathBuf>,
}

impl Landlock {
    /// `None`: this kernel has none, or it is switched off.
    pub fn find() -> Option<Landlock> {
        // SAFETY: with this flag the call takes no pointer, changes nothing and answers a number.
        let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, CREATE_VERSION) };
        let abi = u32::try_from(abi).ok().filter(|abi| *abi > 0)?;
        let known = std::fs::read_dir("/etc").into_iter().flatten().flatten();
        let is_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            RUNTIMES.iter().any(|runtime| name.starts_with(runtime))
        };
        Some(Landlock { abi, runtimes: known.map(|entry| entry.path()).filter(is_one).collect() })
    }

    fn handled(&self) -> u64 {
        match self.abi {
            1 => REFER - 1,
            2 => TRUNCATE - 1,
            3 | 4 => IOCTL_DEV - 1,
            _ => (IOCTL_DEV << 1) - 1,
        }
    }

    /// Rules that open the system's programs and settings, `program` and what is in `bundle` and `secrets`. The launch's own folder is
    /// added by `open_home`, once it is there.
    pub fn rules(&self, program: &Path, bundle: &Path, secrets: Option<&Path>) -> io::Result<Rules> {
        let scoped = if self.abi >= 6 { SCOPED } else { 0 };
        let attr = RulesetAttr { files: self.handled(), net: 0, scoped };
        // An older kernel refuses what it does not know, unless it is not told of it.
        let size = if self.abi >= 6 { size_of::<RulesetAttr>() } else { size_of::<u64>() };
        // SAFETY: `attr` lives through the call, `size` is no more than its size, and the kernel only reads it.
        let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0u32) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given this number to us, so nobody else closes it.
        let rules = Rules { fd: unsafe { OwnedFd::from_raw_fd(fd as i32) }, handled: self.handled() };
        for (paths, allowed) in [(&PROGRAMS[..], RUN), (&SETTINGS, READ), (&DEVICES, DEVICE)] {
            for path in paths {
                rules.open(Path::new(path), allowed);
            }
        }
        self.runtimes.iter().for_each(|path| rules.open(path, READ));
        programs().opened().iter().for_each(|path| rules.open(path, RUN));
        rules.open(program, RUN);
        rules.open(bundle, RUN);
        secrets.into_iter().for_each(|folder| rules.open(folder, READ));
        Ok(rules)
    }
}

/// The rules of one launch.
pub struct Rules {
    fd: OwnedFd,
    handled: u64,
}

impl Rules {
    /// What is not there cannot be opened anyway.
    fn open(&self, path: &Path, allowed: u64) {
        let Ok(fd) = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return };
        let folder = fstat(&fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let _ = self.add(fd.as_fd(), if folder { allowed } else { allowed & OF_FILES });
    }

    fn add(&self, beneath: BorrowedFd<'_>, allowed: u64) -> rustix::io::Result<()> {
        let rule = PathBeneath { allowed: allowed & self.handled, parent: beneath.as_raw_fd() };
        // SAFETY: `rule` is laid out as the kernel has it, lives through the call and is only read.
        let done = unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, self.fd.as_raw_fd(), PATH_BENEATH, &raw const rule, 0u32)
        };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    }

    /// Opens a folder for all there is. Only makes system calls, so it may be called between fork and exec.
    pub fn open_home(&self, home: &CStr) -> rustix::io::Result<()> {
        let fd = openat(CWD, home, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        self.add(fd.as_fd(), self.handled)
    }

    /// From here on they hold for this thread. Only makes a system call.
    pub fn enforce(&self) -> rustix::io::Result<()> {
        // SAFETY: takes no pointer.
        let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.fd.as_raw_fd(), 0u32) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    }
}

/// As `libc::syscall` left it; takes no lock and no memory.
pub fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::INVAL)
}
