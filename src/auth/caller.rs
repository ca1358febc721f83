//! Who asks, as handlers and events know them. Holds nothing that would let anybody in.

use super::{Denied, Who};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Of the token it came with; `None`: without one, or it is this program itself.
    pub name: Option<Arc<str>>,
    /// The address it came from; `None`: it did not come over the network.
    pub from: Option<IpAddr>,
    /// May do everything, or nobody is asked.
    pub admin: bool,
    /// Whose token it is; not known to handlers behind the REST threads' socket.
    pub who: Option<Arc<Who>>,
}

impl Caller {
    /// For people: the token's name, else the address; empty for this program itself.
    pub fn text(&self) -> String {
        let from = || self.from.map(|from| from.to_canonical().to_string()).unwrap_or_default();
        self.name.as_ref().map_or_else(from, |name| name.to_string())
    }

    /// Refuses whoever may not do everything.
    pub fn must_administer(&self) -> Result<(), Denied> {
        match (self.admin, &self.name) {
            (true, _) => Ok(()),
            (false, Some(name)) => Err(Denied::Lacks { name: name.clone(), scope: "admin".into() }),
            (false, None) => Err(Denied::Missing),
        }
    }
}
