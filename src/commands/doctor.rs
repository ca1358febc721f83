//! `cares doctor`: looks at this machine and the orchestrator, and says how to mend what is wrong. Must never change
//! anything.
//!
//! No orchestrator at the default address is a warning, since one may be started yet, and what needs one is left out;
//! none at an address that was given is a failure. Warnings leave the exit code at 0, a failure makes it 1.

use super::{FAILED, Failure, Outcome, connect, doctor_engine, url};
use crate::cli::{Doctor, Format};
use crate::config::{DEFAULT_GRPC_ADDR, DEFAULT_HTTP_ADDR, Env};
use crate::errors::Error;
use crate::version::VERSION;
use crate::{output, sandbox};
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the orchestrator may take for each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Below this a bundle and its unpacked copy may not fit.
const FAIL_BELOW_BYTES: u64 = 100 << 20;
/// Below this it will not last.
const WARN_BELOW_BYTES: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line; `-o json` prints just these fields.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

fn ok(check: &'static str, detail: impl Into<String>) -> Check {
    Check { check, status: Status::Ok, detail: detail.into(), fix: None }
}

fn warn(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, status: Status::Warn, detail: detail.into(), fix: Some(fix.into()) }
}

fn fail(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, status: Status::Fail, detail: detail.into(), fix: Some(fix.into()) }
}

pub fn run(flags: &Doctor) -> Outcome {
    let options = flags.client();
    let mut checks = Vec::new();
    let running = orchestrator(flags, &mut checks)?;
    data(flags, &mut checks);
    checks.push(port("http port", "--http-addr", "CARES_HTTP_ADDR", DEFAULT_HTTP_ADDR, running));
    checks.push(port("grpc port", "--grpc-addr", "CARES_GRPC_ADDR", DEFAULT_GRPC_ADDR, running));
    checks.push(engine());
    checks.push(match doctor_engine::ask(std::env::var("DOCKER_HOST").ok().as_deref()) {
        Ok(version) => ok("docker engine", version),
        Err((why, fix)) => warn("docker engine", why, fix),
    });
    kernel(Path::new("/proc"), &mut checks);
    checks.extend(sandbox::report().into_iter().map(|(check, found)| match found {
        Ok(detail) => ok(check, detail),
        Err((why, fix)) => warn(check, why, fix),
    }));

    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&checks)?,
        Format::Name => checks
            .iter()
            .filter(|check| check.status == Status::Fail)
            .map(|check| format!("{}\n", check.check))
            .collect(),
        _ => text(&checks, options.quiet, output::colour()),
    };
    output::print(&text)?;
    match checks.iter().any(|check| check.status == Status::Fail) {
        true => Err(Failure::Told(FAILED)),
        false => Ok(()),
    }
}

fn text(checks: &[Check], quiet: bool, colour: bool) -> String {
    let widest = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks.iter().filter(|check| !quiet || check.status != Status::Ok) {
        let (glyph, word) = match check.status {
            Status::Ok => ('✓', "ok"),
            Status::Warn => ('!', "warn"),
            Status::Fail => ('✗', "fail"),
        };
        let label = format!("{glyph} {word:<4}");
        let label = if colour { output::paint(&label, word) } else { label };
        text.push_str(&format!("{label}  {:<widest$}  {}\n", check.check, output::one_line(&check.detail)));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("{:8}{:widest$}  fix: {}\n", "", "", output::one_line(fix)));
        }
    }
    text
}

/// Whether one is running here or there.
fn orchestrator(flags: &Doctor, checks: &mut Vec<Check>) -> Result<bool, Error> {
    const START: &str = "start one with 'cares up', or give its address with --url or API_URL";
    let options = flags.client();
    let client = connect(&options)?.timeout(PATIENCE);
    let given = options.url.is_some() || std::env::var_os("API_URL").is_some_and(|url| !url.is_empty());
    let version = match client.version() {
        Ok(version) => version,
        Err(Error::Unreachable { .. }) if !given => {
            checks.push(warn("orchestrator", format!("none is running at {}", url(&options)), START));
            return Ok(false);
        }
        Err(error) => {
            let fix = match error.status() {
                Some(401 | 403) => "set AUTH_TOKEN to a token the orchestrator knows",
                _ => START,
            };
            checks.push(fail("orchestrator", error.to_string(), fix));
            return Ok(false);
        }
    };
    checks.push(ok("orchestrator", format!("answers at {}", url(&options))));
    checks.push(match version.version == VERSION {
        true => ok("version", format!("{VERSION} here and there")),
        false => warn(
            "version",
            format!("{VERSION} here, {} there", version.version),
            "install the same version on every machine; update the orchestrator first",
        ),
    });
    checks.push(match client.readyz() {
        Ok(health) if health.status == "ok" => ok("ready", "takes calls"),
        Ok(health) => fail("ready", health.status, "see 'cares events' and the orchestrator's log"),
        Err(error) => fail("ready", error.to_string(), "see the orchestrator's log"),
    });
    checks.push(match client.nodes() {
        Ok(nodes) => {
            let active = nodes.iter().filter(|node| node.status == "active").count();
            let taking = nodes.iter().filter(|node| node.status == "active" && !node.cordoned).count();
            let detail = format!("{active} of {} active, {taking} taking work", nodes.len());
            match (active, taking) {
                (0, _) => fail("nodes", detail, "add one with 'cares worker ORCHESTRATOR:50051'"),
                (_, 0) => fail("nodes", detail, "let one take work with 'cares node uncordon NAME'"),
                _ => ok("nodes", detail),
            }
        }
        Err(error) => fail("nodes", error.to_string(), "see the orchestrator's log"),
    });
    Ok(true)
}

fn data(flags: &Doctor, checks: &mut Vec<Check>) {
    let variable = std::env::var("CARES_DATA_DIR").ok().filter(|dir| !dir.is_empty());
    let dir = match flags.data_dir.clone().or(variable) {
        Some(dir) => PathBuf::from(dir),
        None => match Env::process().data_base() {
            Ok(base) => base,
            Err(error) => return checks.push(fail("data folder", error.to_string(), "give one with --data-dir DIR")),
        },
    };
    let absolute = std::path::absolute(&dir).unwrap_or(dir);
    // What is not there yet is made in the nearest folder that is.
    let Some(there) = absolute.ancestors().find(|dir| dir.exists()) else { return };
    let shown = absolute.display();
    checks.push(match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there.is_dir() => ok("data folder", format!("{shown} can be written")),
        Ok(()) => fail("data folder", format!("{} is no folder", there.display()), "choose another with --data-dir"),
        Err(error) => fail(
            "data folder",
            format!("{} cannot be written: {}", there.display(), io::Error::from(error)),
            format!("give it to this user with 'chown', or choose another than {shown} with --data-dir"),
        ),
    });
    if let Ok(disk) = statvfs(there) {
        checks.push(space(disk.f_bavail.saturating_mul(disk.f_frsize)));
    }
}

fn space(free: u64) -> Check {
    let detail = format!("{} free for data", output::bytes(free));
    let fix = "free some, or keep data elsewhere with --data-dir";
    if free < FAIL_BELOW_BYTES {
        fail("disk", detail, fix)
    } else if free < WARN_BELOW_BYTES {
        warn("disk", detail, fix)
    } else {
        ok("disk", detail)
    }
}

fn port(check: &'static str, flag: &str, variable: &str, default: SocketAddr, running: bool) -> Check {
    let set = std::env::var(variable).ok().and_then(|address| address.parse().ok());
    let address: SocketAddr = set.unwrap_or(default);
    match TcpListener::bind(address) {
        Ok(_) => ok(check, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => {
            ok(check, format!("{address} is in use, as it is while an orchestrator runs"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => fail(
            check,
            format!("{address} is in use by another program"),
            format!("end it ('ss -ltnp' shows it), or use another port, such as {flag} {}:0", address.ip()),
        ),
        Err(error) => fail(check, format!("{address}: {error}"), format!("use another address with {flag}")),
    }
}

/// Runs this very program as a job would be run.
fn engine() -> Check {
    const FIX: &str = "allow this user more processes ('ulimit -u'), and check that the program's file is still there";
    if !cfg!(target_os = "linux") {
        return fail("process engine", "it works on Linux only", "run workers on Linux");
    }
    let ran = std::env::current_exe().and_then(|program| {
        let mut job = Command::new(program);
        job.args(["demo-function", "hello"]).stdin(Stdio::null()).stderr(Stdio::null()).output()
    });
    match ran {
        Ok(ran) if ran.status.success() => ok("process engine", "starts processes"),
        Ok(ran) => fail("process engine", format!("a test process failed: {}", ran.status), FIX),
        Err(error) => fail("process engine", format!("cannot start a process: {error}"), FIX),
    }
}

fn kernel(proc: &Path, checks: &mut Vec<Check>) {
    checks.push(match std::fs::read(proc.join("stat")) {
        Ok(_) => ok("/proc", "can be read"),
        Err(error) => fail("/proc", format!("cannot be read: {error}"), "mount it: 'mount -t proc proc /proc'"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_fix() {
        let mut checks = vec![space(0), space(500 << 20), space(1 << 40)];
        kernel(Path::new("/nonexistent"), &mut checks);
        checks.push(warn("cgroups", "none", "run the worker as root"));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        checks.push(port("port", "--http-addr", "CARES_TEST_UNSET", address, false));
        checks.push(port("port", "--http-addr", "CARES_TEST_UNSET", address, true));
        let statuses: Vec<Status> = checks.iter().map(|check| check.status).collect();
        use Status::{Fail, Ok, Warn};
        assert_eq!(statuses, [Fail, Warn, Ok, Fail, Warn, Fail, Ok]);
        assert!(checks.iter().all(|check| (check.status == Ok) == check.fix.is_none()));
        let text = text(&checks, false, false);
        assert_eq!(text.lines().filter(|line| line.contains("fix: ")).count(), 5, "{text}");
    }

    #[test]
    fn json_is_the_contract() {
        let json = serde_json::to_string(&fail("disk", "full", "free some")).unwrap();
        assert_eq!(json, r#"{"check":"disk","status":"fail","detail":"full","fix":"free some"}"#);
    }
}
