//! The file system as launches see it when the worker is root: a mount namespace of their own in which the worker's
//! data folder holds nothing but bundles, builds' sources and launches' folders, each of these in memory and of a fixed size. In it each
//! launch is a user of its own. Must never change what the rest of the machine sees.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, unmount};
use rustix::thread::{CapabilitySet, LinkNameSpaceType, capabilities, move_into_link_name_space};
use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Users of launches: none of the system's, nor of those it hands out to containers or services.
const FIRST_USER: u32 = 1_900_000_000;
const USERS: u32 = 1 << 24;
/// The cover of the data folder holds a few folders and nothing else.
const COVER: &CStr = c"size=64k,nr_inodes=256,mode=0755";
/// Where this very program lies in the view, in the data folder.
const OWN: &str = "cares-program";

/// Whether this process may make views and become other users.
pub fn may_be_made() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
    rustix::process::geteuid().is_root() && capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// One engine's view.
pub struct View {
    namespace: Arc<OwnedFd>,
    /// What lies in it is only what was put there.
    covered: PathBuf,
    shown: [PathBuf; 3],
    own: PathBuf,
    next_user: AtomicU32,
}

impl View {
    /// For the engine whose launches' folders are in `run`; `own` is this program. Blocks.
    pub fn make(run: &Path, own: &Path) -> io::Result<View> {
        let data = run.parent().ok_or(io::ErrorKind::InvalidInput)?.to_path_buf();
        let (bundles, builds) = (data.join("bundles"), data.join("builds"));
        fs::create_dir_all(&bundles)?;
        fs::create_dir_all(&builds)?;
        // Entered by others, but not listed.
        for dir in [run, &bundles, &builds] {
            fs::set_permissions(dir, Permissions::from_mode(0o711))?;
        }
        // From the first folder on that others may not enter; the data folder itself at the latest.
        let covered = data.ancestors().filter(|dir| !enterable(dir)).last().unwrap_or(&data).to_path_buf();
        let shown = [run.to_path_buf(), bundles, builds];
        let view_own = data.join(OWN);
        let (cover, places, program, source) = (covered.clone(), shown.clone(), view_own.clone(), own.to_path_buf());
        // On a thread of its own, for it alone is to live there.
        let made = std::thread::Builder::new()
            .name("view".into())
            .spawn(move || build(&cover, &places, &program, &source))?
            .join();
        let namespace = made.map_err(|_| io::Error::other("the thread that makes it panicked"))??;
        let first = getrandom::u32().unwrap_or(std::process::id());
        Ok(View { namespace: Arc::new(namespace), covered, shown, own: view_own, next_user: AtomicU32::new(first) })
    }

    /// Where this program lies in it.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// Whether any user may reach this in it.
    pub fn shows(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return path == self.own };
        let hidden = path.starts_with(&self.covered) && !self.shown.iter().any(|shown| path.starts_with(shown));
        let made = |dir: &Path| dir.starts_with(&self.covered) && self.shown.iter().any(|shown| shown.starts_with(dir));
        !hidden && path.ancestors().skip(1).all(|dir| made(dir) || enterable(dir))
    }

    /// What a launch needs to get there. `piped`: its standard files that are pipes.
    pub fn entry(&self, home: &Path, bundle: &Path, tmp_bytes: u64, piped: &[i32]) -> io::Result<Entry> {
        let user = FIRST_USER + self.next_user.fetch_add(1, Ordering::Relaxed) % USERS;
        let options = format!("size={tmp_bytes},nr_inodes=65536,mode=0700,uid={user},gid={user}");
        Ok(Entry {
            namespace: self.namespace.clone(),
            home: CString::new(home.as_os_str().as_bytes())?,
            bundle: CString::new(bundle.as_os_str().as_bytes())?,
            options: CString::new(options)?,
            user,
            piped: piped.to_vec(),
        })
    }

    /// Moves this thread there, so that it can take away what launches mounted.
    pub fn enter(namespace: &OwnedFd) -> io::Result<()> {
        // SAFETY: from here on this thread shares no working folder with others; no file and no memory is concerned.
        if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?)
    }

    /// The namespace itself.
    pub fn namespace(&self) -> Arc<OwnedFd> {
        self.namespace.clone()
    }
}

/// Takes a launch's folder out of memory; nothing happens when it never was.
pub fn forget(home: &Path) {
    let _ = unmount(home, rustix::mount::UnmountFlags::DETACH);
}

fn enterable(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
}

fn build(covered: &Path, shown: &[PathBuf], program: &Path, own: &Path) -> io::Result<OwnedFd> {
    // SAFETY: from here on this thread has its own mounts and working folder; no file and no memory is concerned.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // What the machine mounts later is seen here too, never the other way.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let held = |path: &Path| openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let kept = shown.iter().map(|path| held(path)).collect::<rustix::io::Result<Vec<_>>>()?;
    let own = held(own)?;
    mount("cares", covered, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, COVER)?;
    for (path, kept) in shown.iter().zip(&kept) {
        fs::create_dir_all(path)?;
        mount_bind_recursive(by_number(kept), path)?;
    }
    File::create(program)?;
    mount_bind_recursive(by_number(&own), program)?;
    // The folders between were made under the worker's umask.
    for dir in program.ancestors().skip(1).take_while(|dir| dir.starts_with(covered)) {
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    Ok(File::open("/proc/thread-self/ns/mnt")?.into())
}

fn by_number(fd: &OwnedFd) -> String {
    format!("/proc/thread-self/fd/{}", fd.as_raw_fd())
}

/// How one launch gets into the view.
pub struct Entry {
    namespace: Arc<OwnedFd>,
    home: CString,
    bundle: CString,
    options: CString,
    user: u32,
    piped: Vec<i32>,
}

impl Entry {
    /// Who the launch is.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Moves this process there. Only makes system calls, so it may be called between fork and exec.
    pub fn enter(&self) -> rustix::io::Result<()> {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(c"cares", self.home.as_c_str(), c"tmpfs", flags, self.options.as_c_str())?;
        rustix::process::chdir(self.bundle.as_c_str())
    }

    /// Makes this process the launch's own user, who also owns its pipes, so that it may open them anew by their names
    /// in /dev. Only makes system calls.
    pub fn become_user(&self) -> rustix::io::Result<()> {
        let (user, group) = (rustix::fs::Uid::from_raw(self.user), rustix::fs::Gid::from_raw(self.user));
        for fd in &self.piped {
            // SAFETY: these are the standard files, open from the fork until exec.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) };
            rustix::fs::fchown(fd, Some(user), Some(group))?;
        }
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)
    }
}
