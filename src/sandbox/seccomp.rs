//! Which system calls a launch may make: a filter the kernel runs before each. It takes away what administers a machine
//! or looks into other processes; all else goes on as it would. Must never take what a plain server needs.

use super::landlock::last_errno;

/// They answer "not permitted".
const DENIED: &[libc::c_long] = &[
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_quotactl,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel and the machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // Keys are shared by all processes of a user.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Ways around other checks, or with a history of holes.
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
];
/// Sockets of the Internet, and those that list interfaces.
const FAMILIES: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

#[cfg(target_arch = "x86_64")]
const ARCH: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<u32> = None;
/// Where the kernel puts the call's number, its architecture and the lower half of its first argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST: u32 = 16;
/// Numbers from here on are those of another interface of the same processor.
const X32: u32 = 0x4000_0000;

/// A filter, ready to be installed.
pub struct Filter {
    program: Vec<libc::sock_filter>,
}

impl Filter {
    /// `local_sockets`: those with a name in the file system may be opened. `None`: this host cannot filter.
    pub fn new(local_sockets: bool) -> Option<Filter> {
        let arch = ARCH?;
        let action = libc::SECCOMP_RET_ERRNO;
        // SAFETY: only reads one number and answers whether the kernel knows it.
        let known =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) };
        if known != 0 {
            return None;
        }
        let mut code = Code::default();
        code.load(ARCHITECTURE);
        code.unless_equal(arch, libc::EPERM);
        code.load(NUMBER);
        if cfg!(target_arch = "x86_64") {
            code.jump(libc::BPF_JGE, X32, 0, 1);
            code.fail(libc::EPERM);
        }
        for call in DENIED {
            code.jump(libc::BPF_JEQ, *call as u32, 0, 1);
            code.fail(libc::EPERM);
        }
        // Its flags lie in memory, where no filter can look; told that there is none, libraries use `clone`.
        code.jump(libc::BPF_JEQ, libc::SYS_clone3 as u32, 0, 1);
        code.fail(libc::ENOSYS);
        code.jump(libc::BPF_JEQ, libc::SYS_clone as u32, 0, 4);
        code.load(FIRST);
        code.jump(libc::BPF_JSET, NEW_NAMESPACES as u32, 0, 1);
        code.fail(libc::EPERM);
        code.allow();
        let local = local_sockets.then_some(libc::AF_UNIX);
        let families: Vec<i32> = FAMILIES.into_iter().chain(local).collect();
        code.jump(libc::BPF_JEQ, libc::SYS_socket as u32, 0, families.len() as u8 * 2 + 2);
        code.load(FIRST);
        for family in families {
            code.jump(libc::BPF_JEQ, family as u32, 0, 1);
            code.allow();
        }
        code.fail(libc::EAFNOSUPPORT);
        code.allow();
        Some(Filter { program: code.0 })
    }

    /// From here on it holds for this thread, which must not be able to gain privileges. Only makes a system call.
    pub fn install(&self) -> rustix::io::Result<()> {
        let program = libc::sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        // SAFETY: the program and its length belong together, live through the call and are only read.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0u32, &raw const program) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    }
}

/// Instructions as they are written.
#[derive(Default)]
struct Code(Vec<libc::sock_filter>);

impl Code {
    fn put(&mut self, code: u32, k: u32, jt: u8, jf: u8) {
        self.0.push(libc::sock_filter { code: code as u16, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.put(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    }

    fn jump(&mut self, test: u32, value: u32, yes: u8, no: u8) {
        self.put(libc::BPF_JMP | test | libc::BPF_K, value, yes, no);
    }

    fn unless_equal(&mut self, value: u32, errno: i32) {
        self.jump(libc::BPF_JEQ, value, 1, 0);
        self.fail(errno);
    }

    fn fail(&mut self, errno: i32) {
        self.put(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0);
    }

    fn allow(&mut self) {
        self.put(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0);
    }
}
