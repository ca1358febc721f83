//! `cares doctor`: looks at this machine and the orchestrator, and says how to mend what is wrong. Must never leave
//! anything changed.
//!
//! No orchestrator at the default address is a warning, since one may be started yet, and what needs one is left out;
//! none at an address that was given is a failure. Warnings leave the exit code at 0, a failure makes it 1.

use super::{FAILED, Failure, Outcome, connect, doctor_engine, doctor_host, doctor_registry, url};
use crate::cli::{Doctor, Format};
use crate::config::{DEFAULT_GRPC_ADDR, DEFAULT_HTTP_ADDR, Env};
use crate::errors::Error;
use crate::types::Cluster;
use crate::version::VERSION;
use crate::{clock, output, sandbox};
use rustix::fs::statvfs;
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
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
pub enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line; `-o json` prints just these fields.
#[derive(Debug, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub status: Status,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    pub fn failed(&self) -> bool {
        self.status == Status::Fail
    }
}

pub fn ok(check: &'static str, detail: impl Into<String>) -> Check {
    Check { check, status: Status::Ok, detail: detail.into(), fix: None }
}

pub fn warn(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, status: Status::Warn, detail: detail.into(), fix: Some(fix.into()) }
}

pub fn fail(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, status: Status::Fail, detail: detail.into(), fix: Some(fix.into()) }
}

pub fn run(flags: &Doctor) -> Outcome {
    let options = flags.client();
    let mut checks = Vec::new();
    let usable = doctor_host::given(flags, &mut checks);
    let there = if usable { orchestrator(flags, &mut checks)? } else { There::default() };
    let running = there.running;
    checks.push(doctor_host::time(clock::unix_ms(), there.unix_ms));
    checks.push(doctor_host::files());
    data(flags, &mut checks);
    checks.push(port("http port", "--http-addr", "CARES_HTTP_ADDR", DEFAULT_HTTP_ADDR, running));
    checks.push(port("grpc port", "--grpc-addr", "CARES_GRPC_ADDR", DEFAULT_GRPC_ADDR, running));
    checks.push(engine());
    checks.push(match doctor_engine::ask(std::env::var("DOCKER_HOST").ok().as_deref()) {
        Ok(version) => ok("docker engine", version),
        Err((why, fix)) => warn("docker engine", why, fix),
    });
    kernel(Path::new("/proc"), &mut checks);
    checks.push(doctor_host::tools());
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

/// What was found where the orchestrator is to be.
#[derive(Default)]
struct There {
    /// One is running, here or there.
    running: bool,
    /// What its clock shows.
    unix_ms: Option<u64>,
}

fn orchestrator(flags: &Doctor, checks: &mut Vec<Check>) -> Result<There, Error> {
    const START: &str = "start one with 'cares up', or give its address with --url or API_URL";
    let options = flags.client();
    let client = match connect(&options) {
        Ok(client) => client.timeout(PATIENCE),
        Err(error @ Error::BadUrl { .. }) => return Err(error),
        Err(error) => {
            checks.push(fail("orchestrator", error.to_string(), "put that right, or leave it out"));
            return Ok(There::default());
        }
    };
    let given = options.url.is_some() || std::env::var_os("API_URL").is_some_and(|url| !url.is_empty());
    let version = match client.version() {
        Ok(version) => version,
        Err(Error::Unreachable { .. }) if !given => {
            checks.push(warn("orchestrator", format!("none is running at {}", url(&options)), START));
            return Ok(There::default());
        }
        Err(error) => {
            let fix = match error.status() {
                Some(401 | 403) => "set AUTH_TOKEN to a token the orchestrator knows",
                _ => START,
            };
            checks.push(fail("orchestrator", error.to_string(), fix));
            return Ok(There::default());
        }
    };
    if version.role == "worker" {
        let detail = format!("{} is a worker's own address", url(&options));
        checks.push(fail("orchestrator", detail, "give the orchestrator's with --url or API_URL"));
        return Ok(There::default());
    }
    checks.push(ok("orchestrator", format!("answers at {}", url(&options))));
    checks.push(match version.version == VERSION {
        true => ok("version", format!("{VERSION} here and there")),
        false => warn(
            "version",
            format!("{VERSION} here, {} there", version.version),
            "install the same version on every machine; update the orchestrator first",
        ),
    });
    match client.cluster() {
        Ok(cluster) => {
            checks.extend(encryption(&cluster));
            checks.push(registry(&cluster));
        }
        Err(error) => checks.push(warn("https", error.to_string(), "give a token with the scope read")),
    }
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
    Ok(There { running: true, unix_ms: client.clock_unix_ms().ok().flatten() })
}

/// Whether REST is HTTPS, and until when certificates are good.
fn encryption(cluster: &Cluster) -> Vec<Check> {
    let soon = |until: &str| {
        let end = until.parse().map_or(0, jiff::Timestamp::as_millisecond);
        end - (clock::unix_ms() as i64) < doctor_host::EXPIRES_SOON_MS as i64
    };
    let mut checks = vec![match (cluster.https, &cluster.https_until) {
        (true, Some(until)) if soon(until) => warn(
            "https",
            format!("on; its certificate is good until {until}"),
            "put a new one in the files of --tls-cert and --tls-key: they are read again by themselves",
        ),
        (true, until) => ok("https", format!("on; its certificate is good until {}", until.as_deref().unwrap_or("?"))),
        (false, _) => ok("https", "off: for other machines start it with --tls-cert and --tls-key"),
    }];
    checks.extend(cluster.nodes_until.as_ref().map(|until| {
        ok("tls of nodes", format!("on; the certificate shown to them is good until {until}, and renewed before"))
    }));
    checks
}

/// Whether the one that images are kept in is there.
fn registry(cluster: &Cluster) -> Check {
    match &cluster.registry {
        None => ok("registry", "none: nodes get images that were built here from each other"),
        Some(place) => match doctor_registry::ask(place, cluster.registry_plain) {
            Ok(found) => ok("registry", found),
            Err((why, fix)) => warn("registry", why, fix),
        },
    }
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
    checks.push(match try_to_write(there) {
        _ if !there.is_dir() => {
            fail("data folder", format!("{} is no folder", there.display()), "choose another with --data-dir")
        }
        Ok(()) => ok("data folder", format!("{shown} can be written")),
        Err(error) => {
            let first = match error.kind() {
                io::ErrorKind::PermissionDenied => "give it to this user with 'chown', or ",
                io::ErrorKind::ReadOnlyFilesystem => "mount it for writing too, or ",
                _ => "",
            };
            let why = match error.kind() {
                io::ErrorKind::NotFound => "no files can be made there".to_string(), // as below /proc
                _ => error.to_string(),
            };
            fail(
                "data folder",
                format!("{} cannot be written: {why}", there.display()),
                format!("{first}choose another than {shown} with --data-dir"),
            )
        }
    });
    if let Ok(disk) = statvfs(there) {
        checks.push(space(disk.f_bavail.saturating_mul(disk.f_frsize)));
    }
}

/// What access bits say is not so for root, nor on a disk that takes no more.
fn try_to_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".cares-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(b"can be written\n").and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed)
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
