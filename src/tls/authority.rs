//! The cluster's own certificate authority: made at the orchestrator's first start, and kept in its folder. Signs for the
//! orchestrator itself and for nodes, and for nobody else.

use super::certificate::{Validity, node_name};
use super::pin::NAME;
use super::provider;
use crate::data_dir;
use crate::{clock, ids};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of a certificate: by it a worker knows its cluster's authority.
pub type Fingerprint = [u8; 32];

/// Files in the orchestrator's folder.
const FOLDER: &str = "tls";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// It signs for others: with another all nodes join anew, so it lasts ten years.
const LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What certificates say who signed them.
const SUBJECT: &str = "CARES cluster";
/// A public key on P-256, as it is sent: a byte and two coordinates.
const NODE_KEY_BYTES: usize = 65;

/// Why there is none.
#[derive(Debug)]
pub struct AuthorityError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the cluster's certificate authority {}: {}. Bring the folder's ca.pem and ca.key back from where they are \
             kept; or remove both, and have each node join with a new join token",
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for AuthorityError {}

/// Signs certificates.
pub struct Authority {
    cluster: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// Of what it signs.
    life: Duration,
}

impl Authority {
    /// Reads the one in an orchestrator's folder, or makes it. `life`: of the certificates it signs.
    pub fn open(dir: &Path, cluster: &str, life: Duration) -> Result<Self, AuthorityError> {
        let (certificate, key) = (dir.join(FOLDER).join(CERTIFICATE), dir.join(FOLDER).join(KEY));
        if !certificate.exists() {
            make(&certificate, &key).map_err(|why| AuthorityError { path: certificate.clone(), why })?;
        }
        let at = |path: &Path, why: String| AuthorityError { path: path.into(), why };
        let der = CertificateDer::from_pem_file(&certificate).map_err(|e| at(&certificate, e.to_string()))?;
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_file(&key).map_err(|e| at(&key, e.to_string()))?;
        let pair = KeyPair::try_from(&pkcs8).map_err(|e| at(&key, e.to_string()))?;
        CertifiedKey::from_der(vec![der.clone()], PrivateKeyDer::Pkcs8(pkcs8), &provider())
            .map_err(|e| at(&key, e.to_string()))?;
        Ok(Authority { cluster: cluster.into(), certificate: der, issuer: Issuer::new(own(), pair), life })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certificate)
    }

    /// Certifies that a key is a node's.
    pub fn certify_node(&self, node: &str, public_key: &[u8]) -> Result<CertificateDer<'static>, String> {
        if public_key.len() != NODE_KEY_BYTES || public_key.first() != Some(&4) {
            return Err(format!("public_key: must be a point on P-256, {NODE_KEY_BYTES} bytes"));
        }
        let uri = node_name(&self.cluster, node).try_into().map_err(|e: rcgen::Error| format!("node_id: {e}"))?;
        let mut certificate = self.certificate_of(node);
        certificate.subject_alt_names = vec![SanType::URI(uri)];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = certificate.signed_by(&NodeKey(public_key), &self.issuer).map_err(|e| e.to_string())?;
        Ok(signed.der().clone())
    }

    /// Certifies a new key of the orchestrator itself.
    pub fn certify_self(&self) -> Result<(CertifiedKey, Validity), String> {
        let pair = KeyPair::generate().map_err(|e| e.to_string())?;
        let mut certificate = self.certificate_of("orchestrator");
        certificate.subject_alt_names =
            vec![SanType::DnsName(NAME.try_into().map_err(|e: rcgen::Error| e.to_string())?)];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = certificate.signed_by(&pair, &self.issuer).map_err(|e| e.to_string())?;
        let chain = vec![signed.der().clone(), self.certificate.clone()];
        let key = CertifiedKey::from_der(chain, pair.into(), &provider()).map_err(|e| e.to_string())?;
        let validity = super::validity(signed.der()).ok_or("its own certificate cannot be read")?;
        Ok((key, validity))
    }

    fn certificate_of(&self, who: &str) -> CertificateParams {
        let mut params = params(who, self.life);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params
    }
}

/// Of a certificate in DER.
pub fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

fn params(who: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let Validity { from_unix_s, to_unix_s } = Validity::starting(clock::unix_ms() / 1_000, life);
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(from_unix_s);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(to_unix_s);
    params.serial_number = Some(ids::random_below(i64::MAX as u64).into());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, who);
    params
}

/// What the authority's own certificate says; a signature names its subject, so that never changes.
fn own() -> CertificateParams {
    let mut params = params(SUBJECT, LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The key is on disk first: a certificate that is there has its key.
fn make(certificate: &Path, key: &Path) -> Result<(), String> {
    let pair = KeyPair::generate().map_err(|e| e.to_string())?;
    let signed = own().self_signed(&pair).map_err(|e| e.to_string())?;
    data_dir::keep(key, pair.serialize_pem().as_bytes()).map_err(|e| e.to_string())?;
    data_dir::keep(certificate, signed.pem().as_bytes()).map_err(|e| e.to_string())
}

/// A node's key, of which only this half is known.
struct NodeKey<'a>(&'a [u8]);

impl PublicKeyData for NodeKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use crate::tls::{MadeKey, node_of, validity};

    #[test]
    fn it_is_made_once_and_signs_for_nodes() {
        let scratch = Scratch::new();
        let life = Duration::from_secs(3_600);
        let first = Authority::open(&scratch.0, "c1", life).unwrap();
        let again = Authority::open(&scratch.0, "c1", life).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        let key = MadeKey::new().unwrap();
        let signed = again.certify_node("n-1", key.public()).unwrap();
        assert_eq!(node_of(&signed, "c1").as_deref(), Some("n-1"));
        assert_eq!(node_of(&signed, "c2"), None);
        let own = validity(first.certificate()).unwrap();
        let (days, ten_years) = (own.expires_unix_ms().saturating_sub(clock::unix_ms()) / 86_400_000, 3_650);
        assert!((ten_years - 1..=ten_years).contains(&days), "{days}");
        let validity = validity(&signed).unwrap();
        let left = validity.expires_unix_ms() - clock::unix_ms();
        assert!((3_500_000..=3_600_000).contains(&left), "{left}");
        let until_renewal = validity.renew_unix_ms() - clock::unix_ms();
        assert!((2_300_000..=2_400_000).contains(&until_renewal), "{until_renewal}");
        assert!(first.certify_node("n-1", b"no key").is_err());
        assert!(first.certify_self().is_ok());
    }

    #[test]
    fn a_certificate_without_its_key_is_an_error_that_names_the_file() {
        let scratch = Scratch::new();
        Authority::open(&scratch.0, "c1", LIFE).unwrap();
        std::fs::remove_file(scratch.0.join("tls/ca.key")).unwrap();
        let error = Authority::open(&scratch.0, "c1", LIFE).err().unwrap().to_string();
        assert!(error.contains("tls/ca.key") && error.contains("Bring"), "{error}");
    }
}
