//! The orchestrator's end of TLS between nodes: a certificate of its own, made anew before it ends, and the cluster's
//! authority that tells which node is at the other end. Whether a node may do what it asks is not decided here.

use super::{Authority, Validity, provider};
use crate::clock;
use crate::lock;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::sync::{Arc, RwLock};

/// Takes connections of nodes.
pub struct Port {
    config: Arc<ServerConfig>,
    own: Arc<Own>,
}

impl Port {
    pub fn new(authority: Arc<Authority>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).map_err(|e| e.to_string())?;
        let nodes = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated() // who has no certificate yet asks for one
            .build()
            .map_err(|e| e.to_string())?;
        let own = Arc::new(Own { shown: RwLock::new(authority.certify_self().map(shared)?), authority });
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(|e| e.to_string())?;
        let mut config = builder.with_client_cert_verifier(nodes).with_cert_resolver(own.clone());
        // What a node shows is looked at each time: a session that went on would outlive its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Port { config: Arc::new(config), own })
    }

    /// A new connection's state.
    pub fn connection(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(self.config.clone())
    }

    /// Until when its own certificate is good.
    pub fn validity(&self) -> Validity {
        lock::read(&self.own.shown).1
    }
}

type Shown = (Arc<CertifiedKey>, Validity);

fn shared((key, validity): (CertifiedKey, Validity)) -> Shown {
    (Arc::new(key), validity)
}

/// Its own certificate.
struct Own {
    authority: Arc<Authority>,
    shown: RwLock<Shown>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Own")
    }
}

impl ResolvesServerCert for Own {
    /// Renewed when it is asked for, so that nothing needs to wait for it.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (key, validity) = lock::read(&self.shown).clone();
        if !validity.is_due(clock::unix_ms()) {
            return Some(key);
        }
        match self.authority.certify_self() {
            Ok(made) => {
                let made = shared(made);
                let until = clock::rfc3339(made.1.expires_unix_ms());
                log::info!("The certificate shown to nodes is renewed: good until {until}");
                *lock::write(&self.shown) = made.clone();
                Some(made.0)
            }
            Err(why) => {
                log::error!("The certificate shown to nodes cannot be renewed: {why}");
                Some(key)
            }
        }
    }
}
