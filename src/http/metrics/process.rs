//! What every program of this kind tells of itself, under the names that Prometheus' own libraries use. What the system
//! does not say is left out.

use super::text::Text;
use crate::clock;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// Adds it all.
pub fn write(text: &mut Text) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    text.counter("process_cpu_seconds_total", "Time on processors, in all threads.")
        .is(&[], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    text.gauge("process_start_time_seconds", "When it started, since 1970.").is(&[], clock::unix_ms_at(0) as f64 / 1e3);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |key: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kib) = number("VmRSS") {
        text.gauge("process_resident_memory_bytes", "Memory in use.").is(&[], kib << 10);
    }
    if let Some(kib) = number("VmSize") {
        text.gauge("process_virtual_memory_bytes", "Address space in use.").is(&[], kib << 10);
    }
    if let Some(threads) = number("Threads") {
        text.gauge("process_threads", "Threads.").is(&[], threads);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let open = files.count().saturating_sub(1); // the folder itself is open to be read
        text.gauge("process_open_fds", "Open files and sockets.").is(&[], open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.gauge("process_max_fds", "Files and sockets that may be open.").is(&[], most);
    }
}
