//! The node's end of TLS between nodes: its key and certificate, and how it knows the orchestrator: by the fingerprint of
//! the cluster's authority, under whatever address it was dialled.

use super::authority::{Fingerprint, fingerprint};
use super::certificate::{Validity, validity};
use super::provider;
use crate::data_dir;
use crate::hex::hex;
use rcgen::KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the orchestrator's certificate names, for every cluster: nodes dial addresses, and which cluster it is the
/// authority says.
pub const NAME: &str = "orchestrator.cares.internal";
/// Key, certificate and authority of a node, in its folder.
const FILE: &str = "node.pem";

fn name_of_orchestrator() -> ServerName<'static> {
    ServerName::DnsName(rustls::pki_types::DnsName::try_from_str(NAME).expect("a valid name"))
}

/// A node's new key.
pub struct MadeKey(KeyPair);

impl MadeKey {
    pub fn new() -> Result<Self, String> {
        KeyPair::generate().map(MadeKey).map_err(|e| e.to_string())
    }

    /// The half that others may know.
    pub fn public(&self) -> &[u8] {
        self.0.public_key_raw()
    }
}

/// What a node shows, and whom it believes.
pub struct Credentials {
    key: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
    pub authority: Fingerprint,
    pub validity: Validity,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Credentials { key: self.key.clone_key(), certificate: self.certificate.clone(), ..*self }
    }
}

impl Credentials {
    /// Of a key and what was signed for it.
    pub fn new(key: &MadeKey, certificate: Vec<u8>, authority: Fingerprint) -> Result<Self, String> {
        let validity = validity(&certificate).ok_or("the certificate cannot be read")?;
        let key = PrivatePkcs8KeyDer::from(key.0.serialize_der());
        Ok(Credentials { key, certificate: certificate.into(), authority, validity })
    }

    /// Those kept in a node's folder, if any.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(FILE);
        let pem = match std::fs::read(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
        };
        let bad = |why: &dyn std::fmt::Display| {
            io::Error::other(format!("{} is damaged ({why}): remove it, and join with a join token", path.display()))
        };
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| bad(&e))?;
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|e| bad(&e))?;
        let validity = validity(&certificate).ok_or_else(|| bad(&"its certificate cannot be read"))?;
        let authority = fingerprint_in(&pem).ok_or_else(|| bad(&"it names no authority"))?;
        Ok(Some(Credentials { key, certificate, authority, validity }))
    }

    /// Keeps them in a node's folder: whole or not at all.
    pub fn keep(&self, dir: &Path) -> io::Result<()> {
        let digits = hex(self.authority);
        let key = pem("PRIVATE KEY", self.key.secret_pkcs8_der());
        let text = format!("{AUTHORITY}{digits}\n{key}{}", pem("CERTIFICATE", &self.certificate));
        data_dir::keep(&dir.join(FILE), text.as_bytes())
    }
}

/// The line of the file that says whom to believe.
const AUTHORITY: &str = "# cluster authority: ";

fn fingerprint_in(pem: &[u8]) -> Option<Fingerprint> {
    let hex = str::from_utf8(pem).ok()?.lines().find_map(|line| line.strip_prefix(AUTHORITY))?;
    let byte = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
    (0..32).map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// How an orchestrator is dialled.
#[derive(Clone)]
pub struct Dial(Arc<ClientConfig>);

impl Dial {
    /// With nothing to show yet.
    pub fn unknown(authority: Fingerprint) -> Result<Self, rustls::Error> {
        let config = Self::builder(authority)?.with_no_client_auth();
        Ok(Self::of(config))
    }

    /// As the node that a certificate names.
    pub fn known(credentials: &Credentials) -> Result<Self, rustls::Error> {
        let key = credentials.key.clone_key().into();
        let chain = vec![credentials.certificate.clone()];
        let config = Self::builder(credentials.authority)?.with_client_auth_cert(chain, key)?;
        Ok(Self::of(config))
    }

    fn builder(
        authority: Fingerprint,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?; // both ends are ours
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned(authority))))
    }

    fn of(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::disabled(); // what is shown is looked at each time
        Dial(Arc::new(config))
    }

    /// A new connection's state.
    pub fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(self.0.clone(), name_of_orchestrator())
    }
}

/// Believes whom the authority of that fingerprint has signed for.
#[derive(Debug)]
struct Pinned(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let stranger = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(|shown| fingerprint(shown) == self.0).ok_or(stranger)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use crate::tls::Authority;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn credentials_are_kept_for_their_owner_alone() {
        let scratch = Scratch::new();
        assert!(Credentials::read(&scratch.0).unwrap().is_none());
        let authority = Authority::open(&scratch.0, "c", Duration::from_secs(60)).unwrap();
        let key = MadeKey::new().unwrap();
        let signed = authority.certify_node("n", key.public()).unwrap().to_vec();
        let made = Credentials::new(&key, signed, authority.fingerprint()).unwrap();
        made.keep(&scratch.0).unwrap();
        let mode = std::fs::metadata(scratch.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Credentials::read(&scratch.0).unwrap().unwrap();
        assert_eq!((read.authority, read.validity), (made.authority, made.validity));
        assert!(Dial::known(&read).is_ok_and(|dial| dial.connection().is_ok()));
        std::fs::write(scratch.0.join(FILE), "nonsense").unwrap();
        assert!(Credentials::read(&scratch.0).err().unwrap().to_string().contains(FILE));
    }
}
