//! What a Linux host offers to hold a process by, each means in a file of its own. Must never know of functions or
//! engines; who uses them says what is held by what.

pub mod cgroup;
pub mod landlock;
pub mod programs;
pub mod seccomp;
pub mod view;

use cgroup::Place;
use landlock::Landlock;
use seccomp::Filter;

/// Of one means: what there is, or what is missing and how to mend it.
pub type Found = (&'static str, Result<String, (&'static str, &'static str)>);

/// What a worker started here as this process was could hold launches by. Changes nothing.
pub fn report() -> [Found; 4] {
    let place = Place::find().map(|place| format!("version {}: limits of {}", place.version, place.limits()));
    let landlock = Landlock::find().map(|found| format!("version {}: functions see their own files", found.abi));
    let filter = Filter::new(true).map(|_| "system calls are filtered".to_string());
    let users = view::may_be_made().then(|| "each function is a user of its own, its disk is limited".to_string());
    [
        (
            "landlock",
            landlock.ok_or((
                "this kernel has none: functions may read what the worker's user may",
                "use Linux 5.13 or later with landlock among its lsm= modules",
            )),
        ),
        (
            "seccomp",
            filter.ok_or((
                "this kernel has no filters: functions may make all system calls of their user",
                "use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64",
            )),
        ),
        (
            "cgroups",
            place.ok_or((
                "none can be written: limits hold for each process of a function, and cpu is not limited",
                "run the worker as root, or as a systemd service with Delegate=yes",
            )),
        ),
        (
            "users",
            users.ok_or((
                "functions are processes of the worker's user; their disk is limited by file only",
                "run the worker as root: it gives each function a user of its own",
            )),
        ),
    ]
}
