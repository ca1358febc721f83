//! Control groups: one for each launch, so that what it starts is limited and ended as a whole, however it hides. Both
//! versions of the kernel's interface; where none can be written there is none. Must never move or kill what is not ours.

use crate::hex::hex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Under version 2: where the worker itself moves, below the group it was started in, which keeps its limits.
pub const OF_WORKER: &str = "cares-worker";

/// Of an engine's group; what follows tells whose it is, and by which process it was made.
const PREFIX: &str = "cares-of-";

/// The period of a limit on cores, in microseconds: the kernel's own default.
const CPU_PERIOD_US: f64 = 100_000.0;
/// The kernel takes no smaller quota.
const CPU_QUOTA_MIN_US: f64 = 1_000.0;
/// Of the machine's memory, what all functions together may use: the worker must be able to go on.
const MEMORY_SHARE: u64 = 90; // percent
/// Rounds of killing: what was forking is found by the next, and nothing forks any more.
const KILL_ROUNDS: u32 = 3;
/// A group is busy until what was killed in it is gone.
const REMOVE_ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// Where this process may make groups, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub version: u8,
    /// Of version 2 all are the same folder.
    pids: PathBuf,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
}

impl Place {
    /// Looks, and changes nothing. `None`: nowhere.
    pub fn find() -> Option<Place> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let writable = |dir: PathBuf| rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK).is_ok().then_some(dir);
        if let Some(dir) = folder(&mounts, &own, None).and_then(writable)
            && has_word(&dir.join("cgroup.controllers"), "pids")
        {
            let with = |name| has_word(&dir.join("cgroup.controllers"), name).then(|| dir.clone());
            return Some(Place { version: 2, memory: with("memory"), cpu: with("cpu"), pids: dir });
        }
        let dir = |name| folder(&mounts, &own, Some(name)).and_then(writable);
        Some(Place { version: 1, pids: dir("pids")?, memory: dir("memory"), cpu: dir("cpu") })
    }

    /// What can be limited, for people.
    pub fn limits(&self) -> String {
        let more = [("memory", &self.memory), ("cpu", &self.cpu)].into_iter().filter(|(_, dir)| dir.is_some());
        std::iter::once("processes").chain(more.map(|(name, _)| name)).collect::<Vec<_>>().join(", ")
    }
}

/// This process's own folder of a controller; `None` is version 2.
fn folder(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let (kind, listed) = (if controller.is_some() { "cgroup" } else { "cgroup2" }, controller.unwrap_or(""));
    let among = |list: &str| list.split(',').any(|name| name == listed);
    let (root, mount) = mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let (mut place, mut what) = (place.split(' ').skip(3), what.split(' '));
        let fits = what.next() == Some(kind) && (controller.is_none() || what.nth(1).is_some_and(among));
        fits.then(|| Some((place.next()?, place.next()?)))?
    })?;
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        among(parts.next()?).then(|| parts.next())?
    })?;
    // In a container the mount may show only a part of the tree, or all of it under another name.
    let below = Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/")).ok()?;
    [Path::new(mount).join(below), PathBuf::from(mount)].into_iter().find(|dir| dir.is_dir())
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|w| w == word))
}

/// The group of all that one engine runs, and in it one for each launch.
pub struct Cgroups {
    place: Place,
}

impl Cgroups {
    /// Those of the engine whose folder is `run`; what an earlier one left in them is ended. Blocks.
    pub fn open(run: &Path) -> Option<Cgroups> {
        let mut place = Place::find()?;
        let tag = hex(&Sha256::digest(run.as_os_str().as_bytes())[..8]);
        if place.version == 2 {
            delegate(&place.pids)?;
        }
        let own = format!("{PREFIX}{tag}-{}", std::process::id());
        for dir in [Some(&place.pids), place.memory.as_ref(), place.cpu.as_ref()].into_iter().flatten() {
            clean(place.version, dir, &tag, &own);
        }
        let make = |dir: &Path| {
            let dir = dir.join(&own);
            fs::create_dir_all(&dir).is_ok().then_some(dir)
        };
        let memory = place.memory.as_deref().and_then(make);
        let cpu = place.cpu.as_deref().and_then(make);
        place = Place { pids: make(&place.pids)?, memory, cpu, ..place };
        let cgroups = Cgroups { place };
        cgroups.set_up().ok()?;
        Some(cgroups)
    }

    /// What holds for all launches together; for a second time it changes nothing.
    fn set_up(&self) -> io::Result<()> {
        self.bases().try_for_each(fs::create_dir_all)?;
        if self.place.version == 2 {
            enable(&self.place.pids)?;
        }
        if let (Some(dir), Some(most)) = (&self.place.memory, memory_share()) {
            let _ = put(dir, self.name("memory.limit_in_bytes", "memory.max"), &most.to_string());
        }
        Ok(())
    }

    /// A group for one launch, and the files through which it joins: each wants a `0`, written by who joins.
    pub fn make(&self, id: &str, memory: Option<u64>, cpu: Option<f64>, pids: u32) -> io::Result<(Cgroup, Vec<File>)> {
        let made = self.make_one(id, memory, cpu, pids);
        let Some(gone) = made.as_ref().err().filter(|error| error.kind() == io::ErrorKind::NotFound) else {
            return made;
        };
        // An empty group of the worker's own may be tidied away by others at any time.
        log::warn!("the worker's control groups are made again: {gone}");
        self.set_up()?;
        self.make_one(id, memory, cpu, pids)
    }

    fn make_one(&self, id: &str, memory: Option<u64>, cpu: Option<f64>, pids: u32) -> io::Result<(Cgroup, Vec<File>)> {
        let place = &self.place;
        let own = |base: &Option<PathBuf>, wanted| base.as_ref().filter(|_| wanted).map(|base| base.join(id));
        let (memory_dir, cpu_dir) = (own(&place.memory, memory.is_some()), own(&place.cpu, cpu.is_some()));
        let mut group =
            Cgroup { version: place.version, dirs: Vec::new(), pids: place.pids.join(id), memory: memory_dir };
        let mut dirs: Vec<PathBuf> =
            [Some(&group.pids), group.memory.as_ref(), cpu_dir.as_ref()].into_iter().flatten().cloned().collect();
        dirs.dedup();
        for dir in &dirs {
            fs::create_dir(dir).map_err(|error| at(dir, &error))?;
            group.dirs.push(dir.clone());
        }
        let files = self.fill(&group, dirs, cpu_dir, (memory, cpu, pids)).inspect_err(|_| group.remove())?;
        Ok((group, files))
    }

    /// Sets its limits.
    fn fill(
        &self,
        group: &Cgroup,
        mut dirs: Vec<PathBuf>,
        cpu_dir: Option<PathBuf>,
        (memory, cpu, pids): (Option<u64>, Option<f64>, u32),
    ) -> io::Result<Vec<File>> {
        let place = &self.place;
        put(&group.pids, "pids.max", &pids.to_string())?;
        if let (Some(dir), Some(bytes)) = (&group.memory, memory) {
            put(dir, self.name("memory.limit_in_bytes", "memory.max"), &bytes.to_string())?;
            // Swapping would only hide that it is too little. Not every kernel counts swap.
            let (swap, most) = (self.name("memory.memsw.limit_in_bytes", "memory.swap.max"), [bytes, 0]);
            let _ = put(dir, swap, &most[usize::from(place.version == 2)].to_string());
        }
        if let (Some(dir), Some(cores)) = (&cpu_dir, cpu) {
            let quota = (cores * CPU_PERIOD_US).max(CPU_QUOTA_MIN_US) as u64;
            match place.version {
                2 => put(dir, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?,
                _ => put(dir, "cpu.cfs_quota_us", &quota.to_string())?,
            }
        }
        // Without a limit of its own its memory counts for all functions together.
        dirs.extend(place.memory.iter().filter(|_| place.version == 1 && group.memory.is_none()).cloned());
        // `tasks` lets a process with one thread move itself without a lock on all forks of the machine.
        let file = self.name("tasks", "cgroup.procs");
        dirs.iter().map(|dir| open(dir, file)).collect()
    }

    /// Whether launches' memory can be limited.
    pub fn limit_memory(&self) -> bool {
        self.place.memory.is_some()
    }

    fn name(&self, first: &'static str, second: &'static str) -> &'static str {
        if self.place.version == 2 { second } else { first }
    }

    fn bases(&self) -> impl Iterator<Item = &PathBuf> {
        let place = &self.place;
        [Some(&place.pids), place.memory.as_ref(), place.cpu.as_ref()].into_iter().flatten()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.bases().for_each(|base| drop(fs::remove_dir(base))); // what is not empty stays for the next
    }
}

/// Ends what an earlier engine of this `tag` left below `dir`, and removes the groups of processes that are gone.
fn clean(version: u8, dir: &Path, tag: &str, own: &str) {
    let folders = |dir: &Path| {
        let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        found.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    for base in folders(dir) {
        let name = base.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let Some((whose, pid)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { continue };
        if whose != tag && Path::new("/proc").join(pid).exists() {
            continue;
        }
        for left in folders(&base) {
            match whose == tag {
                true => Cgroup { version, dirs: vec![left.clone()], pids: left, memory: None }.remove(),
                false => drop(fs::remove_dir(left)), // what still runs in it its own next engine ends
            }
        }
        if name != own {
            let _ = fs::remove_dir(&base);
        }
    }
}

/// Version 2 gives controllers only to groups without processes of their own: if this process is alone in its group, it
/// moves into one below.
fn delegate(own: &Path) -> Option<()> {
    if enable(own).is_ok() {
        return Some(());
    }
    let alone = fs::read_to_string(own.join("cgroup.procs")).ok()?.trim() == std::process::id().to_string();
    let below = own.join(OF_WORKER);
    alone.then(|| fs::create_dir_all(&below).and_then(|()| put(&below, "cgroup.procs", "0")))?.ok()?;
    enable(own).ok()
}

fn enable(dir: &Path) -> io::Result<()> {
    let file = dir.join("cgroup.subtree_control");
    for name in ["memory", "cpu"] {
        if has_word(&dir.join("cgroup.controllers"), name) {
            fs::write(&file, format!("+{name}"))?;
        }
    }
    fs::write(file, "+pids")
}

fn memory_share() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?;
    Some(total.parse::<u64>().ok()? * 1024 / 100 * MEMORY_SHARE)
}

fn put(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut open(dir, file)?, value.as_bytes())
}

/// For writing; never created: what the kernel does not have is an error.
fn open(dir: &Path, file: &str) -> io::Result<File> {
    let path = dir.join(file);
    OpenOptions::new().write(true).open(&path).map_err(|error| at(&path, &error))
}

/// An error that says where.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// One launch's group; it stays until it is removed.
#[derive(Debug)]
pub struct Cgroup {
    version: u8,
    dirs: Vec<PathBuf>,
    pids: PathBuf,
    memory: Option<PathBuf>,
}

impl Cgroup {
    /// Kills all in it; nothing in it can be started any more.
    pub fn kill(&self) {
        if self.version == 2 && put(&self.pids, "cgroup.kill", "1").is_ok() {
            return;
        }
        let _ = put(&self.pids, "pids.max", "0");
        for _ in 0..KILL_ROUNDS {
            let Ok(list) = fs::read_to_string(self.pids.join("cgroup.procs")) else { return };
            let killed = list.lines().filter(|pid| self.kill_one(pid)).count();
            if killed == 0 {
                return;
            }
        }
    }

    /// By a handle: the number may be another's by now.
    fn kill_one(&self, pid: &str) -> bool {
        let Some(number) = pid.parse().ok().and_then(Pid::from_raw) else { return false };
        let Ok(handle) = pidfd_open(number, PidfdFlags::empty()) else { return false };
        let name = self.pids.file_name().unwrap_or_default();
        let here = |line: &str| Path::new(line).file_name() == Some(name);
        let still = fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.lines().any(here));
        still && pidfd_send_signal(&handle, Signal::KILL).is_ok()
    }

    /// Kills all in it and removes it. Blocks.
    pub fn remove(&self) {
        let gone = |dir: &PathBuf| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        for _ in 0..REMOVE_ROUNDS {
            self.kill();
            // All of them each time.
            if self.dirs.iter().filter(|dir| !gone(dir)).count() == 0 {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        log::warn!("the control group {} could not be removed", self.pids.display());
    }

    /// Whether the kernel killed something in it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let Some(dir) = &self.memory else { return false };
        let file = if self.version == 2 { "memory.events" } else { "memory.oom_control" };
        let count = |line: &str| line.strip_prefix("oom_kill ").is_some_and(|n| n.trim() != "0");
        fs::read_to_string(dir.join(file)).is_ok_and(|text| text.lines().any(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_folders_are_found_as_the_kernel_tells_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        for made in ["memory/job/1", "pids", "two/system.slice/cares.service"] {
            fs::create_dir_all(dir.path().join(made)).unwrap();
        }
        let mounts = format!(
            "30 24 0:26 / {at}/memory rw,relatime - cgroup cgroup rw,memory\n\
             31 24 0:27 /docker/abc {at}/pids rw shared:9 - cgroup cgroup rw,cpu,pids\n\
             32 24 0:28 / {at}/two rw - cgroup2 cgroup2 rw,nsdelegate\n"
        );
        let own = "4:memory:/job/1\n3:cpu,pids:/docker/abc\n0::/system.slice/cares.service\n";
        let found = |controller| folder(&mounts, own, controller);
        assert_eq!(found(Some("memory")), Some(dir.path().join("memory/job/1")));
        assert_eq!(found(Some("pids")), Some(dir.path().join("pids")), "the mount shows only this container's");
        assert_eq!(found(Some("freezer")), None);
        assert_eq!(found(None), Some(dir.path().join("two/system.slice/cares.service")));
    }

    #[test]
    fn all_together_have_nine_tenths_of_the_machines_memory() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_path_buf();
        let limit = base.join("memory.limit_in_bytes");
        fs::write(&limit, "").unwrap(); // as the kernel does
        Cgroups { place: Place { version: 1, pids: base.clone(), memory: Some(base), cpu: None } }.set_up().unwrap();
        let told: f64 = fs::read_to_string(limit).unwrap().trim().parse().unwrap();
        let machine = fs::read_to_string("/proc/meminfo").unwrap();
        let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let share = told / (total.unwrap().parse::<f64>().unwrap() * 1024.0);
        assert!((0.899..0.901).contains(&share), "{share}");
    }

    #[test]
    fn version_two_is_written_as_it_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_path_buf();
        let some = Some(base.clone());
        let cgroups = Cgroups { place: Place { version: 2, pids: base.clone(), memory: some.clone(), cpu: some } };
        // As the kernel does: the files come with the folder. Here they are there before it.
        let error = cgroups.make("i-1", Some(1 << 20), Some(0.5), 9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "nothing is created that the kernel does not have");
        assert!(!base.join("i-1").exists(), "a half made group is removed");
    }
}
