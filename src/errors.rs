//! What can go wrong when talking to an orchestrator. Every text says what happened, to what, and what to do.

use crate::types::Problem;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a request was not answered as hoped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The orchestrator answered with a status of 400 or more.
    Api(Problem),
    /// No answer, because no connection could be made or it was closed before the answer came.
    Unreachable {
        /// The orchestrator's address, as given.
        url: String,
        /// The cause, as the operating system puts it where it has one.
        why: String,
    },
    /// No connection over TLS: the other end could not show who it is, or does not speak it.
    Untrusted {
        /// The orchestrator's address, as given.
        url: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A connection was made, but the answer was not complete in time.
    Timeout {
        /// The orchestrator's address, as given.
        url: String,
        /// What was waited; zero when it is not known.
        after: Duration,
    },
    /// The answer is not what an orchestrator answers: another server, or one of another version.
    Protocol {
        /// The orchestrator's address, as given.
        url: String,
        /// What was not understood.
        why: String,
    },
    /// An orchestrator's address that cannot be one.
    BadUrl {
        /// The address, as given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something the caller gave cannot be sent: a header, a method, a path.
    BadRequest(String),
    /// What was to be sent could not be read, or the stream broke in the middle.
    Io(io::Error),
}

impl Error {
    /// The answer's HTTP status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Api(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// The answer's error whole, when there was one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Api(problem) => Some(problem),
            _ => None,
        }
    }

    /// The problem's stable code, such as `function_not_found`; empty when there was none.
    pub fn code(&self) -> &str {
        match self {
            Error::Api(problem) => &problem.code,
            _ => "",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Api(problem) => match [&problem.detail, &problem.title].into_iter().find(|text| !text.is_empty()) {
                Some(text) => f.write_str(text),
                None => write!(f, "the orchestrator answered with status {}", problem.status),
            },
            Error::Unreachable { url, why } => write!(f, "cannot reach the orchestrator at {url}: {why}"),
            Error::Untrusted { url, why } => write!(f, "no safe connection to the orchestrator at {url}: {why}"),
            Error::Timeout { url, after } if after.is_zero() => {
                write!(f, "the orchestrator at {url} did not answer in time. See 'cares doctor', or try again")
            }
            Error::Timeout { url, after } => write!(
                f,
                "the orchestrator at {url} did not answer within {} s. See 'cares doctor', or try again",
                after.as_secs_f64()
            ),
            Error::Protocol { url, why } => write!(
                f,
                "the answer from {url} was not understood: {why}. Check that the address is an orchestrator's, and that its version is {}",
                crate::version::VERSION
            ),
            Error::BadUrl { url, why } => {
                write!(
                    f,
                    "'{}' is no orchestrator's address: {why}. It looks like http://HOST:8080 or https://HOST:8080",
                    url.escape_debug()
                )
            }
            Error::BadRequest(text) => f.write_str(text),
            Error::Io(error) => write!(f, "the transfer broke off: {error}. Try again"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}
