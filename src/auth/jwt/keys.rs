//! An issuer's public keys, from a JWKS file (RFC 7517), and signatures made with them. Shared secrets (HS256) and
//! unsigned tokens are never taken.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A larger file is something else.
const FILE_BYTES: u64 = 1 << 20;
/// Keys at most: a token that names none is tried with each.
const KEYS_MAX: usize = 32;

/// A key file that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeys {
    path: PathBuf,
    why: String,
}

impl BadKeys {
    pub(super) fn none(path: &Path) -> Self {
        BadKeys { path: path.into(), why: "it has no public key for RS256, PS256, ES256 or EdDSA in it".into() }
    }
}

impl fmt::Display for BadKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no key set (JWKS) that can be used: {}", self.path.display(), self.why)
    }
}

/// What tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64, u64, i64, i64, i64, i64);

impl Stamp {
    /// `None`: there is no file.
    pub fn of(path: &Path) -> Option<Stamp> {
        let found = fs::metadata(path).ok()?;
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        Some(Stamp(found.ino(), found.len(), times.0, times.1, times.2, times.3))
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// One that signatures can be checked with.
pub struct Key {
    kid: Option<String>,
    /// The only algorithm, where it names one.
    alg: Option<String>,
    public: Public,
}

enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// All keys of a file that are of use here; others may be in it.
pub fn read(path: &Path) -> Result<Vec<Key>, BadKeys> {
    let bad = |why: String| BadKeys { path: path.into(), why };
    let mut text = Vec::new();
    let file = File::open(path).map_err(|e| bad(e.to_string()))?;
    file.take(FILE_BYTES + 1).read_to_end(&mut text).map_err(|e| bad(e.to_string()))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(bad(format!("it has more than {FILE_BYTES} bytes")));
    }
    parse(&text).map_err(bad)
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(text).map_err(|e| format!("it must be {{\"keys\":[…]}}: {e}"))?;
    let keys: Vec<Key> = set.keys.into_iter().filter_map(|key| key_of(serde_json::from_value(key).ok()?)).collect();
    match keys.len() > KEYS_MAX {
        true => Err(format!("it has more than {KEYS_MAX} keys")),
        false => Ok(keys),
    }
}

fn key_of(jwk: Jwk) -> Option<Key> {
    let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let number = |text: &str| Some(bytes(text)?.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
    if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let public = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => Public::Rsa { n: number(&jwk.n)?, e: number(&jwk.e)? },
        ("EC", "P-256") => Public::P256([vec![4], sized(bytes(&jwk.x)?)?, sized(bytes(&jwk.y)?)?].concat()),
        ("OKP", "Ed25519") => Public::Ed25519(sized(bytes(&jwk.x)?)?),
        _ => return None,
    };
    Some(Key { kid: jwk.kid, alg: jwk.alg, public })
}

fn sized(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (bytes.len() == 32).then_some(bytes)
}

/// Whether one of the keys has signed this.
pub fn verify(keys: &[Key], alg: &str, kid: Option<&str>, signed: &[u8], signature: &[u8]) -> Result<(), String> {
    if !["RS256", "PS256", "ES256", "EdDSA"].contains(&alg) {
        return Err("its algorithm (alg) is none of RS256, PS256, ES256 and EdDSA".into());
    }
    let named = |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
    let fits = |key: &&Key| key.alg.as_deref().is_none_or(|only| only == alg) && key.public.signs(alg);
    if !keys.iter().any(|key| named(&key)) {
        return Err("its key (kid) is not, or no longer, among those of --jwt-keys".into());
    }
    let mut fitting = keys.iter().filter(named).filter(fits).peekable();
    if fitting.peek().is_none() {
        return Err("its key is for another algorithm (alg)".into());
    }
    match fitting.any(|key| key.public.has_signed(alg, signed, signature)) {
        true => Ok(()),
        false => Err("its signature is wrong".into()),
    }
}

impl Public {
    fn signs(&self, alg: &str) -> bool {
        match self {
            Public::Rsa { .. } => alg == "RS256" || alg == "PS256",
            Public::P256(_) => alg == "ES256",
            Public::Ed25519(_) => alg == "EdDSA",
        }
    }

    fn has_signed(&self, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Public::Rsa { n, e } => {
                let padding = match alg {
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(padding, signed, signature)
            }
            Public::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Public::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, signature),
        };
        checked.is_ok()
    }
}
