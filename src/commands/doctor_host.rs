//! The lines of `cares doctor` about what this machine gives a program, and the files a role is to be started with.

use super::doctor::{Check, fail, ok, warn};
use crate::cli::Doctor;
use crate::clock;
use crate::config::{Env, TlsFiles};
use crate::runtimes::Catalog;
use crate::sandbox::programs::programs;
use crate::tls::{self, JoinToken};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Before this nobody can have built this program: 2026-01-01.
const BUILT_AFTER_UNIX_MS: u64 = 1_767_225_600_000;
/// Tokens and certificates are judged by the clock: from here on they may be wrongly, and then they are.
const SKEW_WARN_MS: u64 = 30_000;
const SKEW_FAIL_MS: u64 = 600_000;
/// A certificate that others must renew is pointed out this long before.
pub const EXPIRES_SOON_MS: u64 = 7 * 86_400_000;
/// A connection is a file: the usual `--limit connections`, the links of workers, and as much again for functions.
const FILES_ENOUGH: u64 = 8_192;
/// Below this it hardly works.
const FILES_FEW: u64 = 256;

const SET_CLOCK: &str = "set it, and keep it right: 'timedatectl set-ntp true'";

/// This machine's clock by itself, and beside the orchestrator's, if that is known.
pub fn time(now_unix_ms: u64, there_unix_ms: Option<u64>) -> Check {
    if now_unix_ms < BUILT_AFTER_UNIX_MS {
        let shown = clock::rfc3339(now_unix_ms);
        return fail("clock", format!("it shows {shown}: certificates and tokens are judged by it"), SET_CLOCK);
    }
    let Some(there) = there_unix_ms else { return ok("clock", "plausible") };
    let apart_ms = now_unix_ms.abs_diff(there);
    let side = if now_unix_ms > there { "ahead of" } else { "behind" };
    let detail = format!("{} s {side} the orchestrator's: certificates and tokens are judged by it", apart_ms / 1_000);
    let fix = format!("{SET_CLOCK}, here and there");
    match apart_ms {
        SKEW_FAIL_MS.. => fail("clock", detail, fix),
        SKEW_WARN_MS.. => warn("clock", detail, fix),
        _ => ok("clock", "as the orchestrator's"),
    }
}

/// How many files a role may open: it takes all it is allowed.
pub fn files() -> Check {
    files_of(getrlimit(Resource::Nofile).maximum)
}

/// What a worker started here as this process was could build folders with where it has no container engine.
pub fn tools() -> Check {
    const CHECK: &str = "build tools";
    let catalog = match Catalog::load(&[]) {
        Ok(catalog) => catalog,
        Err(error) => return fail(CHECK, error.to_string(), "install cares again"),
    };
    let wanted: BTreeSet<&String> = catalog.iter().flat_map(|runtime| &runtime.tools).collect();
    let found = |tool: &str| programs().find_one(tool);
    let (here, gone): (Vec<&String>, Vec<&String>) = wanted.into_iter().partition(|tool| found(tool).is_some());
    let here: Vec<String> = here.iter().filter_map(|tool| Some(found(tool)?.display().to_string())).collect();
    let none = if gone.is_empty() { String::new() } else { format!("; no {}", join(&gone)) };
    let detail = format!("{}{none}", if here.is_empty() { "none".into() } else { here.join(", ") });
    let out_of_reach = gone.iter().find_map(|tool| programs().out_of_reach(tool));
    match out_of_reach {
        Some((file, why)) => warn(CHECK, format!("{detail} within reach, though there is {}", file.display()), why),
        None => ok(CHECK, detail),
    }
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn files_of(most: Option<u64>) -> Check {
    const FIX: &str =
        "raise the hard limit: LimitNOFILE=65536 in a systemd unit, 'ulimit -Hn 65536' as root in a shell";
    match most {
        Some(most) if most < FILES_FEW => fail("open files", format!("{most} at most, sockets among them"), FIX),
        Some(most) if most < FILES_ENOUGH => {
            warn("open files", format!("{most} at most: fewer than connections and functions may need"), FIX)
        }
        Some(most) => ok("open files", format!("{most} at most")),
        None => ok("open files", "no limit"),
    }
}

/// The files and variables that are given. True when the orchestrator can be asked with them.
pub fn given(flags: &Doctor, checks: &mut Vec<Check>) -> bool {
    let before = checks.len();
    let env = Env::process();
    checks.extend(token(&env, ("token", "--token-file", "AUTH_TOKEN"), flags.token_file.as_ref()));
    let ca = flags.ca.as_ref().map(|path| ("--ca", path.clone()));
    let ca = ca.or_else(|| std::env::var("CARES_CA").ok().filter(|p| !p.is_empty()).map(|path| ("CARES_CA", path)));
    checks.extend(ca.map(|(from, path)| authorities(from, &path)));
    let usable = !checks[before..].iter().any(Check::failed);
    let of_worker = ("join token", "--join-token-file", "CARES_JOIN_TOKEN");
    checks.extend(token(&env, of_worker, flags.join_token_file.as_ref()));
    checks.extend(pair(flags));
    usable
}

fn token(
    env: &Env<'_>,
    (check, flag, variable): (&'static str, &'static str, &'static str),
    file: Option<&String>,
) -> Option<Check> {
    let fix = "write the token alone into the file, on one line; 'cares token create' and 'cares token join' make some";
    let secret = match env.token(flag, file, variable) {
        Ok(secret) => secret?,
        Err(error) => return Some(fail(check, error.to_string(), fix)),
    };
    if check == "join token"
        && let Err(why) = JoinToken::read(&secret)
    {
        return Some(fail(check, why.to_string(), "make another with 'cares token join'"));
    }
    let Some(file) = file else { return Some(ok(check, format!("from {variable}"))) };
    Some(match fs::metadata(file).map(|meta| meta.permissions().mode() & 0o077) {
        Ok(0) | Err(_) => ok(check, format!("{file} can be read, by its owner alone")),
        Ok(_) => warn(check, format!("{file} can be read by others than its owner"), format!("chmod 600 {file}")),
    })
}

fn authorities(from: &str, path: &str) -> Check {
    let read = fs::read(path).map_err(|error| error.to_string()).and_then(|pem| tls::pem_certificates(&pem));
    match read {
        Ok(all) => ok("authorities", format!("{path}: {}", all.len())),
        Err(why) => fail(
            "authorities",
            format!("{from} {path}: {why}"),
            "give the file of the authority that signed the orchestrator's certificate, in PEM",
        ),
    }
}

fn pair(flags: &Doctor) -> Option<Check> {
    const FIX: &str =
        "give both as PEM, the certificate (its own first, then those between) and its key, readable by this user";
    let files = match TlsFiles::new(flags.tls_cert.as_ref(), flags.tls_key.as_ref()) {
        Ok(files) => files?,
        Err(error) => return Some(fail("tls files", error.to_string(), FIX)),
    };
    let until = match TlsFiles::open(Some(&files)) {
        Ok(pair) => pair?.validity().map(|validity| validity.expires_unix_ms()),
        Err(error) => return Some(fail("tls files", error.to_string(), FIX)),
    };
    Some(expiry(&files.certificate, until, clock::unix_ms()))
}

fn expiry(certificate: &Path, until_unix_ms: Option<u64>, now_unix_ms: u64) -> Check {
    let Some(until) = until_unix_ms else { return ok("tls files", "they fit each other") };
    let detail = format!("{} is good until {}", certificate.display(), clock::rfc3339(until));
    const FIX: &str = "put a new certificate and key into these files: a running program reads them again by itself";
    match until.saturating_sub(now_unix_ms) {
        0 => fail("tls files", detail, FIX),
        left if left < EXPIRES_SOON_MS => warn("tls files", detail, FIX),
        _ => ok("tls files", detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Status::{self, Fail, Ok, Warn};

    fn statuses(checks: &[Check]) -> Vec<Status> {
        assert!(checks.iter().all(|check| (check.status == Ok) == check.fix.is_none()), "{checks:?}");
        checks.iter().map(|check| check.status).collect()
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_with_how_much() {
        let now = BUILT_AFTER_UNIX_MS + 1;
        let checks = [
            time(0, None),
            time(now, None),
            time(now, Some(now + 2_000)),
            time(now, Some(now + 60_000)),
            time(now + 3_600_000, Some(now)),
        ];
        assert_eq!(statuses(&checks), [Fail, Ok, Ok, Warn, Fail]);
        assert!(checks[3].detail.contains("60 s behind") && checks[4].detail.contains("3600 s ahead"), "{checks:?}");
    }

    #[test]
    fn few_files_are_told() {
        assert_eq!(statuses(&[Some(100), Some(1_024), Some(65_536), None].map(files_of)), [Fail, Warn, Ok, Ok]);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let until = |left: u64| expiry(Path::new("c.pem"), Some(1_000 + left), 1_000);
        let checks = [until(0), until(EXPIRES_SOON_MS - 1), until(EXPIRES_SOON_MS), expiry(Path::new("c"), None, 0)];
        assert_eq!(statuses(&checks), [Fail, Warn, Ok, Ok]);
    }
}
