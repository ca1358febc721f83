//! Whom clients believe: the authorities of a file, or else those of the web; and what to say when somebody is not
//! believed.

use super::provider;
use crate::net::Socket;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;

/// The certificates of a text, of which there is one at least.
pub fn pem_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| format!("its PEM cannot be read: {error}"))?;
    match all.is_empty() {
        true => Err("there is no certificate in it: it must be PEM, with BEGIN CERTIFICATE".into()),
        false => Ok(all),
    }
}

/// How those are dialled whom the authorities of the web sign for, or these.
pub fn client(more: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(more);
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Encrypts what is said over a connection to that host, once it has shown that it is that host.
///
/// # Errors
/// Why it is not believed, and what to do.
pub async fn over(config: &Arc<ClientConfig>, socket: Socket, host: &str) -> Result<Socket, String> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_string()).map_err(|e| e.to_string())?;
    let connection = ClientConnection::new(config.clone(), name).map_err(|e| e.to_string())?;
    socket.secure(connection).await.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(refused) => explain(refused),
        None => error.to_string(),
    })
}

/// Why a server is not believed, and what to do.
pub fn explain(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            // another authority of the same name shows as a bad signature
            Bad::UnknownIssuer | Bad::BadSignature => {
                "its certificate is of an authority that is not trusted here: give \
                that authority's certificate with --ca FILE or CARES_CA"
                    .into()
            }
            Bad::Expired | Bad::ExpiredContext { .. } => {
                "its certificate has expired: have it renewed there, or set this machine's clock right".into()
            }
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate is not valid yet: set this machine's clock right, or the other's".into()
            }
            Bad::NotValidForName => "its certificate is for another name: use that name in the address".into(),
            Bad::NotValidForNameContext { presented, .. } => {
                format!("its certificate is for {}: use such a name in the address", presented.join(", "))
            }
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is an authority's own: have \
                one made for a server (with openssl: -addext basicConstraints=critical,CA:FALSE)"
                    .into()
            }
            other => format!("its certificate is not valid: {other}"),
        },
        rustls::Error::InvalidMessage(_) => "what it says is not TLS: perhaps its address begins with http://".into(),
        rustls::Error::AlertReceived(alert) => format!("it broke the TLS connection off: {alert:?}"),
        other => other.to_string(),
    }
}
