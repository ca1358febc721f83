//! `cares task run`'s flags made into a request. Checks only what cannot be sent otherwise: the orchestrator checks all.

use crate::cli::TaskRun;
use crate::types::{Constraints, HealthCheck, RestartPolicy, TaskPort, TaskRequest, TaskVolume};

/// What is asked for.
pub fn request(flags: &TaskRun) -> Result<TaskRequest, String> {
    let constraints = Constraints {
        os: flags.os.clone(),
        arch: flags.arch.clone(),
        tools: flags.tool.clone(),
        tags: flags.tag.iter().cloned().collect(),
    };
    let bounded = flags.restart_limit.is_some() || flags.restart_window.is_some() || flags.restart_backoff.is_some();
    let limited = flags.restart.is_some() || bounded;
    Ok(TaskRequest {
        name: flags.name.clone().unwrap_or_default(),
        image: flags.image.clone(),
        command: flags.command.clone(),
        env: flags.env.iter().cloned().collect(),
        cpu: flags.cpu,
        memory: flags.memory.as_deref().map(|text| size("--memory", text)).transpose()?,
        disk: flags.disk.as_deref().map(|text| size("--disk", text)).transpose()?,
        ports: flags.port.iter().map(|text| port("--port", text)).collect::<Result<_, _>>()?,
        restart_policy: limited.then(|| RestartPolicy {
            policy: flags.restart.clone().unwrap_or_else(|| "on-failure".into()),
            limit: flags.restart_limit,
            window_s: flags.restart_window,
            backoff_s: flags.restart_backoff,
        }),
        health_check: health(flags)?,
        constraints: (constraints != Constraints::default()).then_some(constraints),
        devices: flags.device.clone(),
        volumes: flags.volume.iter().map(|text| volume(text)).collect::<Result<_, _>>()?,
        stop_grace_s: flags.stop_grace,
        scheduler: flags.scheduler.clone(),
        isolation: None,
        labels: flags.label.iter().cloned().collect(),
        idempotency_key: flags.key.clone(),
    })
}

fn bad<T>(flag: &str, text: &str, like: &str) -> Result<T, String> {
    Err(format!("{flag} '{text}': it must look like {like}"))
}

/// Bytes, or `64k`, `64m`, `2g`; `flag` is what it was given as.
pub fn size(flag: &str, text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match lower.char_indices().last() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        Some((at, 't')) => (&lower[..at], 40),
        _ => (lower, 0),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)) {
        Some(bytes) => Ok(bytes),
        None => bad(flag, text, "67108864, 64m or 2g"),
    }
}

/// `CONTAINER` or `HOST:CONTAINER`, with `/udp` if so; `flag` is what it was given as.
pub fn port(flag: &str, text: &str) -> Result<TaskPort, String> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Some(protocol.to_string())),
        None => (text, None),
    };
    let (host, container) = match ports.split_once(':') {
        Some((host, container)) => (Some(host.parse::<u16>()), container),
        None => (None, ports),
    };
    match (host.transpose(), container.parse()) {
        (Ok(host), Ok(container)) => Ok(TaskPort { container, host, protocol }),
        _ => bad(flag, text, "80, 8080:80 or 53:53/udp"),
    }
}

fn volume(text: &str) -> Result<TaskVolume, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(path), mode @ (None | Some("ro" | "rw"))) => {
            Ok(TaskVolume { name: name.into(), path: path.into(), read_only: mode == Some("ro") })
        }
        _ => bad("--volume", text, "data:/var/lib/data or data:/var/lib/data:ro"),
    }
}

fn health(flags: &TaskRun) -> Result<Option<HealthCheck>, String> {
    let kinds = [flags.health_http.is_some(), flags.health_tcp, flags.health_command.is_some()];
    let given = kinds.into_iter().filter(|given| *given).count();
    if given > 1 {
        return Err("--health-http, --health-tcp, --health-command: only one of them".into());
    }
    if given == 0 {
        let numbers = [flags.health_interval, flags.health_timeout, flags.health_start];
        let timed = numbers.iter().any(Option::is_some) || flags.health_retries.is_some();
        return match flags.health_port.is_some() || timed {
            true => {
                Err("--health-port, -interval, -timeout, -retries and -start need --health-http, -tcp or -command"
                    .into())
            }
            false => Ok(None),
        };
    }
    let shell = |text: &String| ["sh", "-c", text].map(str::to_string).to_vec();
    Ok(Some(HealthCheck {
        kind: if flags.health_http.is_some() {
            "http"
        } else if flags.health_tcp {
            "tcp"
        } else {
            "command"
        }
        .into(),
        path: flags.health_http.clone(),
        port: flags.health_port,
        command: flags.health_command.as_ref().map(shell).unwrap_or_default(),
        interval_s: flags.health_interval,
        timeout_s: flags.health_timeout,
        retries: flags.health_retries,
        start_period_s: flags.health_start,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_takes_has_a_flag() {
        let given = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            request(&<TaskRun as argh::FromArgs>::from_args(&["cares"], &words).expect("flags"))
        };
        let task = given(
            "redis --os linux --arch x86_64 --tool git --tool make --tag room=lab --restart-limit 3 --restart-window 60 \
             --restart-backoff 0.5 --health-tcp --health-interval 2 --health-timeout 1 --health-retries 4 --health-start 9",
        );
        let task = task.expect("a request");
        let wanted = Constraints {
            os: Some("linux".into()),
            arch: Some("x86_64".into()),
            tools: ["git", "make"].map(String::from).into(),
            tags: [("room".to_string(), "lab".to_string())].into(),
        };
        assert_eq!(task.constraints, Some(wanted));
        let policy = task.restart_policy.expect("a policy");
        assert_eq!((policy.policy.as_str(), policy.limit), ("on-failure", Some(3)));
        assert_eq!((policy.window_s, policy.backoff_s), (Some(60.0), Some(0.5)));
        let health = task.health_check.expect("a check");
        assert_eq!((health.kind.as_str(), health.retries), ("tcp", Some(4)));
        assert_eq!((health.interval_s, health.timeout_s, health.start_period_s), (Some(2.0), Some(1.0), Some(9.0)));
        for alone in ["--health-timeout 1", "--health-retries 1", "--health-start 1", "--health-port 1"] {
            assert!(given(&format!("redis {alone}")).is_err_and(|why| why.contains("--health-http")), "{alone}");
        }
    }

    #[test]
    fn sizes_ports_and_volumes_are_read() {
        let sized = |text| size("--memory", text).ok();
        assert_eq!(["7", "64k", "64M", "2g", "1GiB"].map(sized), [7, 64 << 10, 64 << 20, 2 << 30, 1 << 30].map(Some));
        assert_eq!(["", "m", "1.5g", "-1", "99999999999t"].map(sized), [None; 5]);
        let shown = |text| port("--port", text).ok().map(|p| (p.host, p.container, p.protocol));
        assert_eq!(shown("80"), Some((None, 80, None)));
        assert_eq!(shown("53:5353/udp"), Some((Some(53), 5353, Some("udp".into()))));
        assert_eq!((shown("x"), shown("80:"), shown("99999")), (None, None, None));
        let shown = |text| volume(text).ok().map(|v| (v.name, v.path, v.read_only));
        assert_eq!(shown("a:/b:ro"), Some(("a".into(), "/b".into(), true)));
        assert_eq!((shown("a"), shown("a:/b:x")), (None, None));
    }
}
