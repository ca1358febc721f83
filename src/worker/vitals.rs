//! How busy this machine is: read from the system, or from the control group this process is confined to. A value that
//! cannot be read is none, never the last one.

use crate::lock::lock;
use crate::sandbox::cgroup::OF_WORKER;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Percent of all cores, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Percent, 0 to 100.
    pub memory_percent: Option<f64>,
}

/// One gauge for all who ask: sysinfo does nothing within 200 ms of its last reading, so they share that.
pub struct Shared(Mutex<(Gauge, Option<(Instant, Vitals)>)>);

/// As long a reading is good for all.
const GOOD_FOR: Duration = Duration::from_millis(500);

impl Shared {
    pub fn new() -> Self {
        Shared(Mutex::new((Gauge::new(), None)))
    }

    /// How busy this machine is.
    pub fn read(&self) -> Vitals {
        let now = crate::clock::now();
        let mut inner = lock(&self.0);
        let (gauge, last) = &mut *inner;
        match last {
            Some((at, vitals)) if now.duration_since(*at) < GOOD_FOR => *vitals,
            _ => {
                let vitals = gauge.read();
                *last = Some((now, vitals));
                vitals
            }
        }
    }
}

/// Reads, and remembers what the last reading was compared with.
pub struct Gauge {
    /// `None`: the system tells nothing.
    system: Option<System>,
    group: Option<Group>,
    last_cpu: Option<(Instant, u64)>,
}

/// A control group (version 2) with limits of its own.
struct Group {
    dir: PathBuf,
    memory_max: Option<u64>,
    /// Cores.
    cpu_max: Option<f64>,
}

impl Gauge {
    /// Ready to read. The first CPU reading is since now.
    pub fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let mut gauge = Gauge { system: System::new_with_specifics(what).ok(), group: Group::own(), last_cpu: None };
        gauge.group_cpu(crate::clock::now());
        gauge
    }

    /// Cores this process may use.
    pub fn cpus(&self) -> u32 {
        let all = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        match self.group.as_ref().and_then(|g| g.cpu_max) {
            Some(cores) => all.min(cores.ceil().max(1.0) as u32),
            None => all,
        }
    }

    /// Bytes this process may use.
    pub fn memory_bytes(&self) -> u64 {
        let all = self.system.as_ref().map_or(0, System::total_memory);
        self.group.as_ref().and_then(|g| g.memory_max).map_or(all, |max| max.min(all))
    }

    /// How busy it is now. CPU is since the last reading; sysinfo answers with the old value within 200 ms of it.
    pub fn read(&mut self) -> Vitals {
        let own_cpu = self.group_cpu(crate::clock::now());
        let own_memory = self.group.as_ref().and_then(Group::memory_percent);
        let host = self.system.as_mut().map(read_host).unwrap_or_default();
        Vitals { cpu_percent: own_cpu.or(host.cpu_percent), memory_percent: own_memory.or(host.memory_percent) }
    }

    fn group_cpu(&mut self, now: Instant) -> Option<f64> {
        let group = self.group.as_ref()?;
        let cores = group.cpu_max?;
        let used_us = number_after(&group.dir.join("cpu.stat"), "usage_usec ")?;
        let (then, before_us) = self.last_cpu.replace((now, used_us))?;
        let passed_us = now.duration_since(then).as_micros() as f64;
        let percent = 100.0 * used_us.saturating_sub(before_us) as f64 / (passed_us * cores);
        percent.is_finite().then(|| percent.clamp(0.0, 100.0))
    }
}

fn read_host(system: &mut System) -> Vitals {
    system.refresh_cpu_usage();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (used, total) = (system.used_memory(), system.total_memory());
    // sysinfo keeps its last values when it cannot read new ones.
    let readable = |file: &str| !cfg!(target_os = "linux") || fs::File::open(file).is_ok();
    Vitals {
        cpu_percent: (!system.cpus().is_empty() && readable("/proc/stat"))
            .then(|| f64::from(system.global_cpu_usage())),
        memory_percent: (total > 0 && readable("/proc/meminfo")).then(|| 100.0 * used as f64 / total as f64),
    }
}

impl Group {
    fn own() -> Option<Self> {
        let line = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = line.lines().find_map(|l| l.strip_prefix("0::/"))?;
        // Its limits stay with the group it was started in.
        let path = Path::new(path);
        let path = path.parent().filter(|_| path.ends_with(OF_WORKER)).unwrap_or(path);
        let dir = Path::new("/sys/fs/cgroup").join(path);
        let memory_max = fs::read_to_string(dir.join("memory.max")).ok().and_then(|t| t.trim().parse().ok());
        let cpu_max = fs::read_to_string(dir.join("cpu.max")).ok().and_then(|t| {
            let (quota, period) = t.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        (memory_max.is_some() || cpu_max.is_some()).then_some(Group { dir, memory_max, cpu_max })
    }

    /// Of the limit; memory that the kernel would give back when asked (inactive files) is not counted.
    fn memory_percent(&self) -> Option<f64> {
        let max = self.memory_max?;
        let current: u64 = fs::read_to_string(self.dir.join("memory.current")).ok()?.trim().parse().ok()?;
        let spare = number_after(&self.dir.join("memory.stat"), "inactive_file ").unwrap_or(0);
        Some((100.0 * current.saturating_sub(spare) as f64 / max.max(1) as f64).min(100.0))
    }
}

fn number_after(file: &Path, key: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.lines().find_map(|l| l.strip_prefix(key))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_of_this_machine() {
        let mut gauge = Gauge::new();
        let vitals = gauge.read();
        assert!(gauge.cpus() >= 1 && gauge.memory_bytes() > 1 << 20);
        let memory = vitals.memory_percent.expect("memory can be read");
        assert!((0.0..=100.0).contains(&memory), "{memory}");
    }
}
