//! Who may do what: scopes, what a route needs, and whom a secret belongs to. Must never print, log or pass on a secret.

mod gate;
mod headers;
mod secret;

pub use gate::{Gate, Grant};
pub use secret::{BadSecret, Secret, hash};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

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
    Read,
    Worker,
}

impl Needs {
    /// Whether a scope is enough. The one table.
    fn met_by(self, scope: &Scope, function: &str) -> bool {
        match (self, scope) {
            (Needs::Nothing | Needs::Token, _) | (_, Scope::Admin) => true,
            (Needs::Deploy, Scope::Deploy) | (Needs::Read, Scope::Read) | (Needs::Worker, Scope::Worker) => true,
            (Needs::Result, Scope::Read) => true,
            (Needs::Invoke | Needs::Result | Needs::Cancel, Scope::Invoke) => true,
            (Needs::Invoke | Needs::Result | Needs::Cancel, Scope::InvokeOnly(only)) => only == function,
            _ => false,
        }
    }

    fn lacking(self, function: &str) -> String {
        match self {
            Needs::Result => "invoke of that call's function, or read".into(),
            Needs::Cancel => "invoke of that call's function".into(),
            Needs::Invoke => format!("invoke (or invoke:{function})"),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

/// Whom a secret belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct Who {
    /// Of the token; what events say did a change.
    pub name: Arc<str>,
    pub scopes: Vec<Scope>,
    /// `None`: never ends.
    pub expires_unix_ms: Option<u64>,
}

impl Who {
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
}

impl Denied {
    /// It is known who asks.
    pub fn known(&self) -> bool {
        matches!(self, Denied::Lacks { .. })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Missing => f.write_str("a token is needed: `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`"),
            Denied::Unknown => f.write_str("the token is not known here: it is wrong or was revoked"),
            Denied::Expired { name } => write!(f, "the token '{name}' has expired"),
            Denied::Lacks { name, scope } => write!(f, "the token '{name}' lacks the scope {scope}"),
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
