//! The certificate and key that an operator gave, for a door that others come to: read again when the files change. A pair
//! that is no good never takes the place of one that is.

use super::{Validity, provider, validity};
use crate::clock;
use crate::lock::lock;
use crate::rt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The files are looked at again when a connection comes, this long after the last look.
const LOOK_AGAIN_MS: u64 = 1_000;
const CERTIFICATE: &str = "--tls-cert";
const KEY: &str = "--tls-key";

/// Why a pair is none; names the flag and the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPair {
    flag: &'static str,
    path: PathBuf,
    why: String,
}

impl fmt::Display for BadPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.flag, self.path.display(), self.why)
    }
}

impl std::error::Error for BadPair {}

/// What a file looked like: another one is another inode, size or time.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Speaks TLS to those who come.
pub struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
    stamps: [Stamp; 2],
    looked_ms: u64,
}

impl Pair {
    /// Reads both files.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, BadPair> {
        let stamps = [stamp(&certificate), stamp(&key)];
        let (config, validity) = read(&certificate, &key)?;
        let now = Mutex::new(Now { config, validity, stamps, looked_ms: clock::now_ms() });
        Ok(Pair { certificate, key, now })
    }

    /// A new connection's state, with the files as they are now.
    pub async fn connection(self: &Arc<Self>) -> Result<ServerConnection, rustls::Error> {
        if self.is_due() {
            let pair = self.clone();
            rt::unblock(move || pair.look()).await;
        }
        let config = self.now().config.clone();
        ServerConnection::new(config)
    }

    /// Until when the certificate is good, if it says so.
    pub fn validity(&self) -> Option<Validity> {
        self.now().validity
    }

    /// Whether it is time to look; whoever is told so looks.
    fn is_due(&self) -> bool {
        let (mut now, ms) = (self.now(), clock::now_ms());
        let due = ms.saturating_sub(now.looked_ms) >= LOOK_AGAIN_MS;
        if due {
            now.looked_ms = ms;
        }
        due
    }

    fn look(&self) {
        let stamps = [stamp(&self.certificate), stamp(&self.key)];
        if self.now().stamps == stamps {
            return;
        }
        let read = read(&self.certificate, &self.key);
        let mut now = self.now();
        now.stamps = stamps; // said once of each change
        match read {
            Ok((config, validity)) => {
                (now.config, now.validity) = (config, validity);
                let until = validity
                    .map_or_else(String::new, |v| format!(", good until {}", clock::rfc3339(v.expires_unix_ms())));
                log::info!("{} has changed: new connections get it{until}", self.certificate.display());
            }
            Err(error) => log::error!("{error}. Until that is put right, connections get the certificate before it"),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn read(certificate: &Path, key: &Path) -> Result<(Arc<ServerConfig>, Option<Validity>), BadPair> {
    let bad = |flag, path: &Path, why: String| BadPair { flag, path: path.into(), why };
    let bytes = |flag, path: &Path| std::fs::read(path).map_err(|e| bad(flag, path, format!("cannot be read: {e}")));
    let chain =
        super::pem_certificates(&bytes(CERTIFICATE, certificate)?).map_err(|e| bad(CERTIFICATE, certificate, e))?;
    let private = PrivateKeyDer::from_pem_slice(&bytes(KEY, key)?)
        .map_err(|e| bad(KEY, key, format!("there is no private key in it that can be read: {e}")))?;
    let validity = chain.first().and_then(|first: &CertificateDer<'_>| validity(first));
    let pair = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => bad(KEY, key, format!("is not the key of {}", certificate.display())),
        rustls::Error::InvalidCertificate(_) => bad(CERTIFICATE, certificate, error.to_string()),
        error => bad(KEY, key, error.to_string()),
    })?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| bad(CERTIFICATE, certificate, e.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), validity))
}
