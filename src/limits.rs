//! The limits an operator may set: one table with the name, default, range and meaning of each, from which `--limit`,
//! `$CARES_LIMITS`, the help and every refusal's words follow. Enforces none itself.

use std::fmt::{self, Write};

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Both,
    Orchestrator,
    Worker,
}

impl Of {
    /// Whether a role's own includes what is of the other.
    pub fn covers(self, other: Of) -> bool {
        self == Of::Both || other == Of::Both || self == other
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub of: Of,
    pub default: u64,
    pub least: u64,
    pub most: u64,
    /// What it bounds.
    pub bounds: &'static str,
}

macro_rules! limits {
    ($($limit:ident $name:literal $of:ident $default:expr, $least:literal to $most:expr, $bounds:literal;)*) => {
        /// What can be limited.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $(#[doc = $bounds] $limit,)*
        }

        /// All of them, in the enum's order.
        pub const TABLE: &[Row] = &[
            $(Row { name: $name, of: Of::$of, default: $default, least: $least, most: $most, bounds: $bounds },)*
        ];
    };
}

limits! {
    // A connection costs a file and some 20 KiB.
    Connections "connections" Both 4_096, 1 to 1_000_000, "HTTP connections at once";
    ConnectionsPerClient "connections-per-client" Both 512, 1 to 1_000_000, "of one address, loopback aside";
    // More than any browser or proxy sends. What the link to a worker carries is 256 KiB.
    HeaderBytes "header-bytes" Both 64 << 10, 1_024 to 128 << 10, "bytes of a request's head";
    Headers "headers" Both 100, 4 to 1_000, "headers of a request";
    HeaderS "header-s" Both 30, 1 to 3_600, "seconds for a request's head, also of silence between two";
    BodyS "body-s" Both 30, 1 to 3_600, "seconds for a control request's body, between two pieces of an upload or of an answer";
    BodyBytes "body-bytes" Both 1 << 20, 1_024 to 64 << 20, "bytes of a control request's body";
    ApiRequests "api-requests" Both 256, 1 to 10_000, "control requests at once";
    RequestsPerSToken "requests-per-s-token" Orchestrator 0, 0 to 1_000_000,
        "requests a second with one token that has no rate of its own, and calls of one address without (0: any)";
    // A word of eight small letters that somebody chose is found in three centuries.
    WrongTokensPerS "wrong-tokens-per-s" Both 20, 0 to 1_000_000,
        "wrong tokens a second of one address, loopback aside (0: any)";
    RequestsPerSFunction "requests-per-s-function" Orchestrator 0, 0 to 1_000_000,
        "calls a second of one function that has no rate_per_s (0: any)";
    Calls "calls" Orchestrator 0, 0 to 10_000_000, "calls at once, running or waiting (0: any)";
    CallsPerFunction "calls-per-function" Orchestrator 0, 0 to 10_000_000,
        "calls at once of one function that has no calls_at_once (0: any)";
    WaitingCalls "waiting-calls" Orchestrator 10_000, 1 to 1_000_000, "calls that wait for room";
    WaitingCallsPerFunction "waiting-calls-per-function" Orchestrator 1_000, 1 to 1_000_000, "of one function";
    AsyncCalls "async-calls" Orchestrator 50_000, 1 to 1_000_000, "asynchronous calls that wait or run";
    AsyncCallsPerFunction "async-calls-per-function" Orchestrator 10_000, 1 to 1_000_000, "of one function";
    AsyncBytes "async-bytes" Orchestrator 1 << 30, 1_048_576 to 1 << 40, "bytes of asynchronous calls and results";
    BundleBytes "bundle-bytes" Orchestrator 100 << 20, 1_024 to crate::bundle::MAX_ZIP_BYTES, "bytes of an uploaded zip, a bundle or a source folder";
    Builds "builds" Orchestrator 2, 1 to 1_000, "builds at once";
    WaitingBuilds "waiting-builds" Orchestrator 100, 1 to 10_000, "builds that wait for their turn";
    BuildS "build-s" Orchestrator 900, 1 to 86_400, "seconds a build may take";
    BuildMemoryBytes "build-memory-bytes" Orchestrator 2 << 30, 0 to 1 << 40, "bytes of memory of a build's step, without Docker of all of it (0: any)";
    // The half of it that people look at is its end.
    BuildLogBytes "build-log-bytes" Orchestrator 1 << 20, 4_096 to 64 << 20, "bytes of a build's log kept";
    BuildCacheBytes "build-cache-bytes" Worker 2 << 30, 0 to 1 << 40, "bytes that builds without Docker leave for next ones, a function's a quarter of it at most (0: none)";
    OutputBytes "output-bytes" Worker 1 << 20, 1_024 to 256 << 20, "bytes of a job's output held until it has ended";
    LogBytes "log-bytes" Worker 16 << 20, 65_536 to 16 << 30, "bytes of functions' logs kept";
    LogBytesPerFunction "log-bytes-per-function" Worker 256 << 10, 1_024 to 16 << 30, "of one function";
}

impl Limit {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name, as `--limit` takes it.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

/// What one program was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits([u64; TABLE.len()]);

impl Default for Limits {
    fn default() -> Self {
        Limits(std::array::from_fn(|at| TABLE[at].default))
    }
}

/// A limit that cannot be set so; the text lists the names or the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLimit {
    /// Not NAME=VALUE.
    Form {
        given: String,
        of: Of,
    },
    Unknown {
        name: String,
        of: Of,
    },
    Value {
        at: usize,
        given: String,
    },
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadLimit::Form { given, of } => {
                write!(f, "'{}' is not NAME=VALUE; the names are: {}", given.escape_debug(), names(*of))
            }
            BadLimit::Unknown { name, of } => {
                write!(f, "there is no limit '{}' here; the names are: {}", name.escape_debug(), names(*of))
            }
            BadLimit::Value { at, given } => {
                let Row { name, least, most, .. } = TABLE[*at];
                write!(f, "{name} is '{}', and must be a whole number, {least} to {most}", given.escape_debug())
            }
        }
    }
}

impl Limits {
    /// Sets one, given as `NAME=VALUE`.
    pub fn set(&mut self, of: Of, given: &str) -> Result<(), BadLimit> {
        let form = || BadLimit::Form { given: given.into(), of };
        let (name, value) = given.split_once('=').ok_or_else(form)?;
        let (name, value) = (name.trim(), value.trim());
        let known = TABLE.iter().position(|row| row.name == name && row.of.covers(of));
        let at = known.ok_or_else(|| BadLimit::Unknown { name: name.into(), of })?;
        let bad = || BadLimit::Value { at, given: value.into() };
        let number = value.parse::<u64>().map_err(|_| bad())?;
        self.0[at] = Some(number).filter(|n| (TABLE[at].least..=TABLE[at].most).contains(n)).ok_or_else(bad)?;
        Ok(())
    }

    /// How much of it there may be.
    pub fn of(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }

    /// The same, to count with.
    pub fn count(&self, limit: Limit) -> usize {
        usize::try_from(self.of(limit)).unwrap_or(usize::MAX)
    }

    /// The same where 0 means any.
    pub fn count_or_any(&self, limit: Limit) -> usize {
        Some(self.count(limit)).filter(|n| *n > 0).unwrap_or(usize::MAX)
    }

    /// The same in seconds.
    pub fn time(&self, limit: Limit) -> std::time::Duration {
        std::time::Duration::from_secs(self.of(limit))
    }
}

fn rows(of: Of) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.of.covers(of))
}

fn names(of: Of) -> String {
    rows(of).map(|row| row.name).collect::<Vec<_>>().join(", ")
}

/// What `--help` of a role's verb says of them.
pub fn help(of: Of) -> String {
    let mut text = String::from("\nLimits (--limit NAME=VALUE, or $CARES_LIMITS with commas between; default):\n");
    for Row { name, default, bounds, .. } in rows(of) {
        let _ = writeln!(text, "  {name:<27} {bounds} ({default})"); // a String takes all
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(of: Of, given: &[&str]) -> Result<Limits, BadLimit> {
        let mut limits = Limits::default();
        given.iter().try_for_each(|given| limits.set(of, given)).map(|()| limits)
    }

    #[test]
    fn the_last_of_a_name_counts_and_the_rest_is_default() {
        let read = |given: &[&str]| read(Of::Both, given);
        let limits = read(&["headers=7", " body-s = 2", "headers=9"]).unwrap();
        assert_eq!((limits.of(Limit::Headers), limits.count(Limit::BodyS), limits.of(Limit::HeaderS)), (9, 2, 30));
        assert_eq!(limits.count_or_any(Limit::Calls), usize::MAX);
        assert_eq!(read(&[]), Ok(Limits::default()));
        for (at, Row { name, least, most, default, .. }) in TABLE.iter().enumerate() {
            assert!((least..=most).contains(&default), "{name}");
            assert!(read(&[&format!("{name}={least}"), &format!("{name}={most}")]).is_ok(), "{name}");
            let over = read(&[&format!("{name}={}", most + 1)]).unwrap_err().to_string();
            assert!(over.contains(name) && over.contains(&format!("{least} to {most}")), "{over}");
            assert_eq!(TABLE.iter().position(|row| row.name == *name), Some(at), "two have one name");
        }
    }

    #[test]
    fn what_is_no_limit_here_is_named_with_those_that_are() {
        let why = |of, given: &str| read(of, &[given]).unwrap_err().to_string();
        assert!(why(Of::Worker, "calls=1").contains("'calls' here; the names are: connections,"));
        assert!(why(Of::Orchestrator, "output-bytes=4096").contains("requests-per-s-token"));
        assert!(why(Of::Both, "headers").contains("not NAME=VALUE; the names are"));
        for bad in ["headers=", "headers=-1", "headers=1.5", "headers=ten", "headers=99999999999999999999"] {
            assert!(why(Of::Both, bad).contains("headers is '"), "{bad}");
        }
    }
}
