//! Who may do what: scopes, what a route needs, and whom a secret belongs to. Must never print, log or pass on a secret.

mod caller;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gate;
mod guesses;
mod headers;
mod jwt;
pub mod rate;
mod secret;

pub use caller::Caller;
pub use gate::{Gate, Grant};
pub use jwt::{BadKeys, Issuer};
pub use secret::{BadSecret, Secret, hash};

use rate::Bucket;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// In every refusal of a worker that lacks a token; the screen that joins asks for one when it reads this.
pub const JOIN_TOKEN: &str = "join token";

/// Something a token allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Changing functions.
    Deploy,
    /// Calling any function.
    Invoke,
    /// Calling this one.
    InvokeOnly(String),
    /// Looking at everything.
    Read,
    /// Joining as a worker.
    Worker,
}

/// The words scopes begin with.
pub const SCOPES: &str = "admin, deploy, invoke, invoke:FUNCTION, read or worker";

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Admin => "admin",
            Scope::Deploy => "deploy",
            Scope::Invoke => "invoke",
            Scope::InvokeOnly(function) => return write!(f, "invoke:{function}"),
            Scope::Read => "read",
            Scope::Worker => "worker",
        })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "admin" => Scope::Admin,
            "deploy" => Scope::Deploy,
            "invoke" => Scope::Invoke,
            "read" => Scope::Read,
            "worker" => Scope::Worker,
            other => match other.strip_prefix("invoke:") {
                Some(function) => {
                    crate::names::check_name(function).map_err(|why| format!("invoke: {why}"))?;
                    Scope::InvokeOnly(function.into())
                }
                None => return Err(format!("there is no scope '{}': use {SCOPES}", other.escape_debug())),
            },
        })
    }
}

/// What is asked of whoever asks. No default: each route says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a token.
    Nothing,
    /// A token, whatever it allows.
    Token,
    Admin,
    Deploy,
    /// The function that the path's first part in braces names; nothing when that is public.
    Invoke,
    /// To look at the call that the path names: what reads, or may invoke its function.
    Result,
    /// To end it: what may invoke its function.
    Cancel,
    /// To look at a build: what reads, or may have things built.
    Built,
    Read,
    Worker,
    /// To have something run whose parts the handler looks at one by one.
    Submit,
}

impl Needs {
    /// Whether a scope is enough. The one table.
    fn met_by(self, scope: &Scope, function: &str) -> bool {
        match (self, scope) {
            (Needs::Nothing | Needs::Token, _) | (_, Scope::Admin) => true,
            (Needs::Deploy, Scope::Deploy) | (Needs::Read, Scope::Read) | (Needs::Worker, Scope::Worker) => true,
            (Needs::Result | Needs::Built, Scope::Read) | (Needs::Built, Scope::Deploy) => true,
            (Needs::Submit, Scope::Invoke | Scope::InvokeOnly(_) | Scope::Deploy) => true,
            (Needs::Invoke | Needs::Result | Needs::Cancel, Scope::Invoke) => true,
            (Needs::Invoke | Needs::Result | Needs::Cancel, Scope::InvokeOnly(only)) => only == function,
            _ => false,
        }
    }

    /// Whether who may do that changes nothing.
    fn only_looks(self) -> bool {
        matches!(self, Needs::Nothing | Needs::Token | Needs::Read | Needs::Result | Needs::Built)
    }

    fn lacking(self, function: &str) -> String {
        match self {
            Needs::Result => "invoke of that call's function, or read".into(),
            Needs::Cancel => "invoke of that call's function".into(),
            Needs::Built => "read, or deploy".into(),
            Needs::Submit => "invoke, or for images deploy".into(),
            Needs::Invoke => format!("invoke (or invoke:{function})"),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

/// Whom a secret belongs to.
#[derive(Debug)]
pub struct Who {
    /// Of the token; what events say did a change.
    pub name: Arc<str>,
    pub scopes: Vec<Scope>,
    /// `None`: never ends.
    pub expires_unix_ms: Option<u64>,
    /// Requests a second; 0: any; `None`: as all those that have no rate of their own.
    pub rate: Option<u32>,
    /// What it has used of that.
    pub used: Arc<Bucket>,
}

impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.scopes, self.expires_unix_ms) == (&other.name, &other.scopes, other.expires_unix_ms)
    }
}

impl Eq for Who {}

impl Who {
    /// Whoever has these scopes until then, at the rate of all.
    pub fn new(name: &str, scopes: Vec<Scope>, expires_unix_ms: Option<u64>) -> Self {
        Who { name: name.into(), scopes, expires_unix_ms, rate: None, used: Arc::default() }
    }

    /// Whether it may do everything.
    pub fn administers(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Whether it may; `Err` says what it lacks.
    fn check(&self, needs: Needs, function: &str) -> Result<(), Denied> {
        match self.scopes.iter().any(|scope| needs.met_by(scope, function)) {
            true => Ok(()),
            false => Err(Denied::Lacks { name: self.name.clone(), scope: needs.lacking(function) }),
        }
    }
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token came.
    Missing,
    /// One came that is nobody's.
    Unknown,
    Expired {
        name: Arc<str>,
    },
    Lacks {
        name: Arc<str>,
        scope: String,
    },
    /// A JWT that is not taken.
    Jwt {
        why: String,
    },
    /// Its address was wrong too often of late.
    TooOften {
        wait: Duration,
    },
    /// Nobody may change anything here, for it has no token to ask for.
    ShownOnly,
}

impl Denied {
    /// It is known who asks.
    pub fn known(&self) -> bool {
        matches!(self, Denied::Lacks { .. } | Denied::ShownOnly)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Missing => f.write_str("a token is needed: `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`"),
            Denied::Unknown => f.write_str("the token is not known here: it is wrong or was revoked"),
            Denied::Expired { name } => write!(f, "the token '{name}' has expired"),
            Denied::Jwt { why } => write!(f, "the token is a JWT that is not taken here: {why}"),
            Denied::Lacks { name, scope } => write!(f, "the token '{name}' lacks the scope {scope}"),
            Denied::TooOften { .. } => f.write_str("too many wrong tokens came from this address"),
            Denied::ShownOnly => f.write_str(
                "the cluster asks for tokens, and this worker has none to ask for: its own address only shows; start it \
                 with --token-file or AUTH_TOKEN to change things here",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for text in ["admin", "deploy", "invoke", "invoke:hello", "read", "worker"] {
            assert_eq!(text.parse::<Scope>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "Admin", "invoke:", "invoke:No", "invoke:a:b", "root", "admin "] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_is_for_what_it_says() {
        let may = |scope: &str, needs: Needs| needs.met_by(&scope.parse().unwrap(), "hello");
        let all = [Needs::Admin, Needs::Deploy, Needs::Invoke, Needs::Read, Needs::Worker];
        let allowed = |scope| all.iter().filter(|needs| may(scope, **needs)).copied().collect::<Vec<_>>();
        assert_eq!(allowed("admin"), all);
        assert_eq!(allowed("deploy"), [Needs::Deploy]);
        assert_eq!(allowed("invoke"), [Needs::Invoke]);
        assert_eq!(allowed("invoke:hello"), [Needs::Invoke]);
        assert_eq!(allowed("invoke:hell"), []);
        assert_eq!(allowed("read"), [Needs::Read]);
        assert_eq!(allowed("worker"), [Needs::Worker]);
    }
}
