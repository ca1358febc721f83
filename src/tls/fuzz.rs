//! Join tokens, certificates and PEM by chance.

use super::{JoinToken, node_of, pem_certificates, provider, validity};
use crate::auth::Secret;
use crate::clock;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

/// A text, or a certificate's bytes.
pub fn read(data: &[u8]) {
    certificate(data);
    let chain = pem_certificates(data);
    chain.iter().flatten().for_each(|one| certificate(one));
    if let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(data)) {
        let _ = CertifiedKey::from_der(chain, key, &provider()); // it ends
    }
    let Ok(secret) = Secret::new(&String::from_utf8_lossy(data)) else { return };
    if let Ok(Some(token)) = JoinToken::read(&secret) {
        assert_eq!(JoinToken::read(&token.text()), Ok(Some(token)));
    }
}

fn certificate(der: &[u8]) {
    let _ = node_of(der, "c");
    if let Some(validity) = validity(der) {
        let _ = (validity.is_due(7), validity.has_expired(7), clock::rfc3339(validity.expires_unix_ms()));
    }
}
