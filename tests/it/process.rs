//! What /proc says of a process.

/// Whether any of its threads still runs: the last one to end closes its files.
pub fn is_alive(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("State:").is_some_and(|s| !s.trim_start().starts_with(['Z', 'X'])))
    })
}

pub fn threads(pid: u32) -> usize {
    field(pid, "Threads").and_then(|n| n.parse().ok()).expect("a running process")
}

/// MiB of memory it held at most.
pub fn peak_mib(pid: u32) -> usize {
    let value = field(pid, "VmHWM").expect("a running process");
    value.trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

fn field(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_string()))
}
