//! A task's settings between the JSON people write and what a worker is sent: checked here, once, for the orchestrator and
//! the workers. Must never know of either.

use crate::types::{Files, HealthCheck, Isolation, RestartPolicy, Syscalls, TaskPort, TaskRequest, TaskVolume};
use crate::wire::proto;
use crate::{bundle, names};
use std::collections::HashSet;

/// Defaults, as the README states them.
const STOP_GRACE_MS: u64 = 10_000;
const RESTARTS: u32 = 5;
const WINDOW_MS: u64 = 600_000;
const BACKOFF_MS: u64 = 1_000;
const INTERVAL_MS: u64 = 10_000;
const TIMEOUT_MS: u64 = 5_000;
const RETRIES: u32 = 3;

/// Limits on single fields: far beyond use, well short of overflow.
const ENV_BYTES: usize = 256 << 10;
const COMMAND_WORDS: usize = 1_000;
const COMMAND_BYTES: usize = 256 << 10;
const PORTS: usize = 64;
const VOLUMES: usize = 16;
const DEVICES: usize = 16;
const LABELS: usize = 256;
const LABELS_BYTES: usize = 32 << 10;
const IMAGE_BYTES: usize = 512;
const PATH_BYTES: usize = 4_096;
const CPU_MAX: f64 = 4_096.0;
const BYTES_MAX: u64 = 1 << 44;
/// The least an engine can give.
const MEMORY_MIN: u64 = 6 << 20;
const RESTARTS_MAX: u32 = 1_000_000;
const SECONDS_MAX: f64 = 604_800.0;
const GRACE_MAX_S: f64 = 3_600.0;
const PIDS_MAX: u32 = 65_536;
const TMP_MAX_MB: u64 = 1 << 20;
const KEY_BYTES: usize = 255;
const SCHEDULERS: [&str; 4] = ["cost", "round-robin", "spread", "binpack"];

/// A field that cannot be, and what may.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: String,
    pub why: String,
    /// It is more than may be sent.
    pub too_large: bool,
}

fn invalid<T>(field: impl Into<String>, why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field: field.into(), why: why.into(), too_large: false })
}

fn too_large<T>(field: &str, why: String) -> Result<T, Invalid> {
    Err(Invalid { field: field.into(), why, too_large: true })
}

/// Whether every field is one that may be. A request that passes can be made into a [`proto::Task`].
pub fn check(request: &TaskRequest) -> Result<(), Invalid> {
    if !request.name.is_empty()
        && let Err(why) = names::check_name(&request.name)
    {
        return invalid("name", why.to_string());
    }
    check_image(&request.image)?;
    let command = "command";
    if request.command.len() > COMMAND_WORDS {
        return invalid(command, format!("at most {COMMAND_WORDS} words"));
    }
    if request.command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES {
        return too_large(command, format!("at most {COMMAND_BYTES} bytes"));
    }
    check_words(command, &request.command)?;
    if request.env.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > ENV_BYTES {
        return too_large("env", format!("at most {ENV_BYTES} bytes"));
    }
    if request.env.iter().any(|(k, v)| k.is_empty() || k.contains(['=', '\0']) || v.contains('\0')) {
        return invalid("env", "a name must not be empty or hold '=' or NUL, and no value may hold NUL");
    }
    if request.cpu.is_some_and(|cpu| !(cpu > 0.0 && cpu <= CPU_MAX)) {
        return invalid("cpu", format!("must be more than 0, at most {CPU_MAX}"));
    }
    if request.memory.is_some_and(|bytes| !(MEMORY_MIN..=BYTES_MAX).contains(&bytes)) {
        return invalid("memory", format!("must be {MEMORY_MIN} to {BYTES_MAX} bytes"));
    }
    if request.disk.is_some_and(|bytes| !(1..=BYTES_MAX).contains(&bytes)) {
        return invalid("disk", format!("must be 1 to {BYTES_MAX} bytes"));
    }
    check_ports(&request.ports)?;
    request.restart_policy.as_ref().map_or(Ok(()), check_restart)?;
    request.health_check.as_ref().map_or(Ok(()), |health| check_health(health, request))?;
    if request.devices.len() > DEVICES {
        return invalid("devices", format!("at most {DEVICES}"));
    }
    if let Some(odd) = request.devices.iter().find(|device| !is_device(device)) {
        let odd: String = odd.chars().take(80).collect();
        return invalid("devices", format!("{odd:?} is none: write \"gpu\", or the path of one as /dev/NAME"));
    }
    check_volumes(&request.volumes)?;
    seconds("stop_grace_s", request.stop_grace_s, 0.0, GRACE_MAX_S)?;
    if request.scheduler.as_ref().is_some_and(|name| !SCHEDULERS.contains(&name.as_str())) {
        return invalid("scheduler", format!("must be one of {}", SCHEDULERS.join(", ")));
    }
    request.isolation.as_ref().map_or(Ok(()), check_isolation)?;
    let bytes: usize = request.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
    if request.labels.len() > LABELS || bytes > LABELS_BYTES {
        return invalid("labels", format!("at most {LABELS} entries and {LABELS_BYTES} bytes"));
    }
    match &request.idempotency_key {
        Some(key) if key.is_empty() || key.len() > KEY_BYTES || key.starts_with("cares:") => {
            invalid("idempotency_key", format!("1 to {KEY_BYTES} bytes, not beginning with cares:"))
        }
        _ => Ok(()),
    }
}

/// The field that opens what is shut by default, if one does: setting it is for administrators.
pub fn opens(request: &TaskRequest) -> Option<&'static str> {
    let isolation = request.isolation.unwrap_or_default();
    isolation.opens().or_else(|| (!request.devices.is_empty()).then_some("devices"))
}

/// What a worker is sent. The request must have passed [`check`].
pub fn to_wire(id: &str, attempt: u64, request: &TaskRequest) -> proto::Task {
    let isolation = request.isolation.unwrap_or_default();
    let restart = request.restart_policy.clone().unwrap_or_default();
    let ms = |seconds: Option<f64>, default: u64| seconds.map_or(default, |s| (s * 1_000.0).round() as u64);
    let port = |port: &TaskPort| proto::TaskPort {
        container: port.container.into(),
        host: port.host.unwrap_or(0).into(),
        protocol: port.protocol.clone().unwrap_or_else(|| "tcp".into()),
    };
    let health = |health: &HealthCheck| proto::HealthCheck {
        kind: health.kind.clone(),
        path: health.path.clone().unwrap_or_else(|| "/".into()),
        port: health.port.or(request.ports.first().map(|port| port.container)).unwrap_or(0).into(),
        command: health.command.clone(),
        interval_ms: ms(health.interval_s, INTERVAL_MS).max(1),
        timeout_ms: ms(health.timeout_s, TIMEOUT_MS).max(1),
        retries: health.retries.unwrap_or(RETRIES),
        start_period_ms: ms(health.start_period_s, 0),
    };
    let volume =
        |v: &TaskVolume| proto::TaskVolume { name: v.name.clone(), path: v.path.clone(), read_only: v.read_only };
    proto::Task {
        id: id.into(),
        name: if request.name.is_empty() { id.into() } else { request.name.clone() },
        attempt,
        image: request.image.clone(),
        command: request.command.clone(),
        env: request.env.clone().into_iter().collect(),
        memory_bytes: request.memory.unwrap_or(0),
        cpu: request.cpu.unwrap_or(0.0),
        disk_bytes: request.disk.unwrap_or(0),
        ports: request.ports.iter().map(port).collect(),
        restart: Some(proto::TaskRestart {
            policy: if restart.policy.is_empty() { "never".into() } else { restart.policy },
            limit: restart.limit.unwrap_or(RESTARTS),
            window_ms: ms(restart.window_s, WINDOW_MS),
            backoff_ms: ms(restart.backoff_s, BACKOFF_MS),
        }),
        health: request.health_check.as_ref().map(health),
        stop_grace_ms: ms(request.stop_grace_s, STOP_GRACE_MS),
        volumes: request.volumes.iter().map(volume).collect(),
        devices: request.devices.clone(),
        open_files: isolation.files == Some(Files::Open),
        all_syscalls: isolation.syscalls == Some(Syscalls::All),
        pids: isolation.pids.unwrap_or(0),
        tmp_bytes: isolation.tmp_mb.unwrap_or(0) << 20,
        function: String::new(),
    }
}

/// The settings of a task that a worker was sent, as they are shown; `to_wire` makes the same of them. Where it may run and
/// its labels are not sent.
pub fn shown(task: &proto::Task) -> TaskRequest {
    let given = |n: u64| (n > 0).then_some(n);
    let seconds = |ms: u64| Some(ms as f64 / 1_000.0);
    let isolation = Isolation {
        files: task.open_files.then_some(Files::Open),
        syscalls: task.all_syscalls.then_some(Syscalls::All),
        pids: (task.pids > 0).then_some(task.pids),
        tmp_mb: given(task.tmp_bytes >> 20),
    };
    TaskRequest {
        name: task.name.clone(),
        image: task.image.clone(),
        command: task.command.clone(),
        env: task.env.clone().into_iter().collect(),
        cpu: (task.cpu > 0.0).then_some(task.cpu),
        memory: given(task.memory_bytes),
        disk: given(task.disk_bytes),
        ports: task.ports.iter().map(port_shown).collect(),
        restart_policy: task.restart.as_ref().map(|restart| RestartPolicy {
            policy: restart.policy.clone(),
            limit: Some(restart.limit),
            window_s: seconds(restart.window_ms),
            backoff_s: seconds(restart.backoff_ms),
        }),
        health_check: task.health.as_ref().map(|health| HealthCheck {
            kind: health.kind.clone(),
            path: (health.kind == "http").then(|| health.path.clone()),
            port: u16::try_from(health.port).ok().filter(|port| *port > 0),
            command: health.command.clone(),
            interval_s: seconds(health.interval_ms),
            timeout_s: seconds(health.timeout_ms),
            retries: Some(health.retries),
            start_period_s: seconds(health.start_period_ms),
        }),
        constraints: None,
        devices: task.devices.clone(),
        volumes: task
            .volumes
            .iter()
            .map(|v| TaskVolume { name: v.name.clone(), path: v.path.clone(), read_only: v.read_only })
            .collect(),
        stop_grace_s: seconds(task.stop_grace_ms),
        scheduler: None,
        isolation: (isolation != Isolation::default()).then_some(isolation),
        labels: Default::default(),
        idempotency_key: None,
    }
}

/// A port as it is shown.
pub fn port_shown(port: &proto::TaskPort) -> TaskPort {
    TaskPort {
        container: u16::try_from(port.container).unwrap_or(0),
        host: u16::try_from(port.host).ok().filter(|port| *port > 0),
        protocol: (!port.protocol.is_empty()).then(|| port.protocol.clone()),
    }
}

fn check_image(image: &str) -> Result<(), Invalid> {
    if image.trim().is_empty() {
        let why = "must not be empty: give an image reference such as `hello-world`, or `bundle:DIGEST`";
        return invalid("image", why);
    }
    if image.len() > IMAGE_BYTES {
        return invalid("image", format!("at most {IMAGE_BYTES} bytes"));
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid("image", "must not hold spaces or control characters");
    }
    if image.starts_with("bundle:") && bundle::digest_in(image).is_none() {
        return invalid("image", "after `bundle:` there must be 64 hexadecimal digits, as the upload answered");
    }
    Ok(())
}

fn check_words(field: &str, words: &[String]) -> Result<(), Invalid> {
    if words.first().is_some_and(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
        return invalid(field, "the program must be named, and no word may hold a NUL");
    }
    Ok(())
}

fn check_ports(ports: &[TaskPort]) -> Result<(), Invalid> {
    if ports.len() > PORTS {
        return invalid("ports", format!("at most {PORTS}"));
    }
    let (mut containers, mut hosts) = (HashSet::new(), HashSet::new());
    for (at, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("tcp");
        if !["tcp", "udp"].contains(&protocol) {
            return invalid(format!("ports[{at}].protocol"), "must be tcp or udp");
        }
        if port.container == 0 || !containers.insert((port.container, protocol)) {
            return invalid(format!("ports[{at}].container"), "must be 1 to 65535, each once");
        }
        if let Some(host) = port.host
            && (host == 0 || !hosts.insert((host, protocol)))
        {
            return invalid(format!("ports[{at}].host"), "must be 1 to 65535, each once; left out, it is a free one");
        }
    }
    Ok(())
}

fn check_restart(restart: &RestartPolicy) -> Result<(), Invalid> {
    if !["never", "on-failure", "always"].contains(&restart.policy.as_str()) {
        return invalid("restart_policy.policy", "must be never, on-failure or always");
    }
    if restart.limit.is_some_and(|limit| limit > RESTARTS_MAX) {
        return invalid("restart_policy.limit", format!("must be at most {RESTARTS_MAX}"));
    }
    seconds("restart_policy.window_s", restart.window_s, 0.001, SECONDS_MAX)?;
    seconds("restart_policy.backoff_s", restart.backoff_s, 0.001, SECONDS_MAX)
}

fn check_health(health: &HealthCheck, request: &TaskRequest) -> Result<(), Invalid> {
    match health.kind.as_str() {
        "http" | "tcp" => {
            if health.port.or(request.ports.first().map(|port| port.container)).unwrap_or(0) == 0 {
                return invalid("health_check.port", "must be 1 to 65535, unless the task has ports");
            }
        }
        "command" if health.command.is_empty() => return invalid("health_check.command", "must name a program"),
        "command" => {}
        _ => return invalid("health_check.kind", "must be http, tcp or command"),
    }
    let path = health.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') || path.len() > PATH_BYTES || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return invalid("health_check.path", "must begin with / and hold only visible ASCII characters");
    }
    if health.command.len() > COMMAND_WORDS || health.command.iter().map(String::len).sum::<usize>() > PATH_BYTES * 4 {
        let limit = PATH_BYTES * 4;
        return invalid("health_check.command", format!("at most {COMMAND_WORDS} words and {limit} bytes"));
    }
    check_words("health_check.command", &health.command)?;
    if health.retries.is_some_and(|n| n == 0 || n > 1_000) {
        return invalid("health_check.retries", "must be 1 to 1000");
    }
    seconds("health_check.interval_s", health.interval_s, 0.1, 86_400.0)?;
    seconds("health_check.timeout_s", health.timeout_s, 0.1, 3_600.0)?;
    seconds("health_check.start_period_s", health.start_period_s, 0.0, 86_400.0)
}

fn check_volumes(volumes: &[TaskVolume]) -> Result<(), Invalid> {
    if volumes.len() > VOLUMES {
        return invalid("volumes", format!("at most {VOLUMES}"));
    }
    let mut paths = HashSet::new();
    for (at, volume) in volumes.iter().enumerate() {
        if let Err(why) = names::check_name(&volume.name) {
            return invalid(format!("volumes[{at}].name"), why.to_string());
        }
        let path = volume.path.as_str();
        let plain = path.starts_with('/') && path.len() > 1 && path.len() <= PATH_BYTES && !path.contains(['\0', ':']);
        if !plain || path.split('/').any(|part| part == "..") || !paths.insert(path) {
            let why = "must be an absolute path other than /, without .. and :, each once";
            return invalid(format!("volumes[{at}].path"), why);
        }
    }
    Ok(())
}

/// `gpu`, or a device file: only there can no file of the node's be meant.
fn is_device(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    let named = text.strip_prefix("/dev/").is_some_and(|name| !name.is_empty() && !name.ends_with('/'));
    text == "gpu"
        || (named && text.len() <= 255 && text.bytes().all(plain) && !text.contains("..") && !text.contains("//"))
}

fn check_isolation(isolation: &Isolation) -> Result<(), Invalid> {
    if isolation.pids.is_some_and(|pids| pids == 0 || pids > PIDS_MAX) {
        return invalid("isolation.pids", format!("must be 1 to {PIDS_MAX}"));
    }
    if isolation.tmp_mb.is_some_and(|mb| mb == 0 || mb > TMP_MAX_MB) {
        return invalid("isolation.tmp_mb", format!("must be 1 to {TMP_MAX_MB}"));
    }
    Ok(())
}

fn seconds(field: &str, given: Option<f64>, low: f64, high: f64) -> Result<(), Invalid> {
    match given {
        Some(s) if !(s.is_finite() && (low..=high).contains(&s)) => invalid(field, format!("must be {low} to {high}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
