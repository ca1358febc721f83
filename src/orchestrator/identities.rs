//! Who nodes are: what their certificates name, which of them come by TLS alone, and who is not let in again. Signs
//! certificates; each that counts is on disk before it is handed out.

use super::store::{Identity, Store, StoreError, Write};
use crate::auth::hash;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::tls::{self, Authority, Port, Validity};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// Nodes with a certificate at most, those not counted that were removed; each costs some 300 bytes.
pub const IDENTITIES_MAX: usize = 10_000;
/// Said to who is not let in again.
pub const REVOKED: &str = "this node was revoked: give the worker another data folder, and a new join token, to have it \
    join as a new node";

/// Why somebody is not that node, or gets no certificate.
#[derive(Debug)]
pub enum Stranger {
    Revoked,
    /// The certificate is another's.
    Other {
        certified: String,
        claimed: String,
    },
    /// It has a certificate, and did not show it.
    Plain,
    /// The id is another's, who has its secret.
    NotThatNode,
    TooMany,
    /// What cannot be certified.
    Key(String),
    Store(StoreError),
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stranger::Revoked => f.write_str(REVOKED),
            Stranger::Other { certified, claimed } => {
                write!(f, "the certificate is that of node {certified}: it cannot speak for {claimed}")
            }
            Stranger::Plain => f.write_str(
                "this node has a certificate, so it is taken over TLS alone: start its worker with the data folder \
                 that has it, or with a join token (`cares token join`)",
            ),
            Stranger::NotThatNode => f.write_str(
                "a node of this id is known, and this worker does not have its secret (node-secret in its data \
                 folder): give this worker another data folder",
            ),
            Stranger::TooMany => {
                write!(f, "{IDENTITIES_MAX} nodes have a certificate: remove some with `cares node remove`")
            }
            Stranger::Key(why) => f.write_str(why),
            Stranger::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for Stranger {
    fn from(error: StoreError) -> Self {
        Stranger::Store(error)
    }
}

/// All of them.
pub struct Identities {
    cluster: String,
    authority: Arc<Authority>,
    /// Where nodes come.
    pub port: Port,
    store: Arc<Store>,
    known: Mutex<BTreeMap<String, Known>>,
}

struct Known {
    kept: Identity,
    /// Closed when the node is revoked, for its connections to hear.
    ends: (Sender<()>, Receiver<()>),
}

impl Known {
    fn new(kept: Identity) -> Self {
        Known { kept, ends: rt::bounded(1) }
    }
}

impl Identities {
    pub fn new(
        cluster: &str,
        authority: Authority,
        store: Arc<Store>,
        kept: Vec<(String, Identity)>,
    ) -> Result<Self, String> {
        let authority = Arc::new(authority);
        let port = Port::new(authority.clone())?;
        let known = Mutex::new(kept.into_iter().map(|(id, kept)| (id, Known::new(kept))).collect());
        Ok(Identities { cluster: cluster.into(), authority, port, store, known })
    }

    /// Of this cluster's authority, for join tokens.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.authority.fingerprint()
    }

    /// The node that a certificate, found good, is of; and what ends when that is revoked.
    pub fn of(&self, certificate: &[u8]) -> Result<(String, Receiver<()>), Stranger> {
        let name = tls::node_of(certificate, &self.cluster);
        let name = name.ok_or_else(|| Stranger::Key("the certificate is of no node of this cluster".into()))?;
        let mut known = self.lock();
        let node = known.entry(name.clone()).or_insert_with(|| Known::new(Identity::default()));
        match node.kept.revoked_unix_ms {
            Some(_) => Err(Stranger::Revoked),
            None => Ok((name, node.ends.1.clone())),
        }
    }

    /// Whether who came as `certified` (`None`: without a certificate) may speak for a node.
    pub fn check(&self, node: &str, certified: Option<&str>) -> Result<(), Stranger> {
        let known = self.lock();
        let kept = known.get(node).map(|known| &known.kept);
        match certified {
            _ if kept.is_some_and(|kept| kept.revoked_unix_ms.is_some()) => Err(Stranger::Revoked),
            Some(certified) if certified != node => {
                Err(Stranger::Other { certified: certified.into(), claimed: node.into() })
            }
            None if kept.is_some_and(|kept| !kept.digest.is_empty()) => Err(Stranger::Plain),
            _ => Ok(()),
        }
    }

    /// A certificate for a node's key. `joined`: the digest of the secret it joined with, if it is known by one.
    pub async fn enroll(
        &self,
        node: &str,
        secret: &str,
        public_key: &[u8],
        joined: Option<String>,
    ) -> Result<(Vec<u8>, Validity), Stranger> {
        let certificate = self.authority.certify_node(node, public_key).map_err(Stranger::Key)?;
        let validity = tls::validity(&certificate).ok_or_else(|| Stranger::Key("it cannot be read".into()))?;
        let digest = hash(secret.as_bytes());
        let written = {
            let mut known = self.lock();
            let there = known.get(node).map(|known| known.kept.clone()).unwrap_or_default();
            if there.revoked_unix_ms.is_some() {
                return Err(Stranger::Revoked);
            }
            let others = [Some(there.digest), joined].into_iter().flatten().filter(|d| !d.is_empty());
            if others.into_iter().any(|known| known != digest) {
                return Err(Stranger::NotThatNode);
            }
            if known.len() >= IDENTITIES_MAX && !known.contains_key(node) {
                return Err(Stranger::TooMany);
            }
            let kept = Identity { digest, revoked_unix_ms: None };
            known.entry(node.into()).or_insert_with(|| Known::new(Identity::default())).kept = kept.clone();
            self.store.write(Write::Identity(node.into(), kept), Vec::new())
        };
        self.store.kept(written).await?;
        Ok((certificate.to_vec(), validity))
    }

    /// A node came with its certificate: from now on it is taken in no other way, also where it was forgotten.
    pub fn come(&self, node: &str, digest: &str) {
        let mut known = self.lock();
        if let Some(known) = known.get_mut(node)
            && known.kept.digest.is_empty()
        {
            known.kept.digest = digest.into();
            drop(self.store.write(Write::Identity(node.into(), known.kept.clone()), Vec::new())); // or at its next join
        }
    }

    /// Ends the connections of a node that was revoked; nothing it shows is believed from now on.
    pub fn cut(&self, node: &str, unix_ms: u64) {
        let mut known = self.lock();
        let node = known.entry(node.into()).or_insert_with(|| Known::new(Identity::default()));
        node.kept.revoked_unix_ms.get_or_insert(unix_ms);
        node.ends.0.close();
    }

    /// A node was removed: it may come again as new, unless it was revoked.
    pub fn forget(&self, node: &str) {
        let mut known = self.lock();
        if known.get(node).is_some_and(|known| known.kept.revoked_unix_ms.is_none()) {
            known.remove(node);
            drop(self.store.write(Write::IdentityGone(node.into()), Vec::new())); // at worst it stays
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        lock(&self.known)
    }
}
