//! Tokens that an issuer signs (RFC 7519), by the keys in a file that is looked at again as it changes. Must never take
//! one on the word of its own header: the key says what it signs with. Repeats nothing of a token in an error.

use super::rate::Bucket;
use super::{Denied, Scope, Who};
use crate::clock;
use crate::lock;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keys::{Key, Stamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod keys;
#[cfg(test)]
mod tests;

pub use keys::BadKeys;

/// A token is no longer: it is read before anybody knows who sent it.
const TOKEN_BYTES: usize = 16 << 10;
/// And a name in it.
const SUBJECT_BYTES: usize = 200;
/// Tokens whose signature was checked, at most.
const KNOWN_MAX: usize = 10_000;
/// Between two looks at the file.
const LOOK_EVERY_MS: u64 = 1_000;
/// An issuer's clock may be ahead by this much.
const AHEAD_S: f64 = 30.0;

/// Whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The file with its public keys.
    pub keys: PathBuf,
    /// Its name, as `iss` has it.
    pub issuer: String,
    /// Whom its tokens must be for, as `aud` has it.
    pub audience: Option<String>,
}

/// The tokens of an issuer.
pub struct Issued {
    of: Issuer,
    /// When the file was looked at last, by `clock::now_ms`.
    looked_ms: AtomicU64,
    inner: RwLock<Inner>,
}

struct Inner {
    stamp: Option<Stamp>,
    keys: Arc<Vec<Key>>,
    /// By digest; forgotten when the keys change.
    known: HashMap<String, Arc<Who>>,
    /// What each has used of its rate, whatever token it comes with.
    used: HashMap<Arc<str>, Arc<Bucket>>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    aud: Words,
    #[serde(default)]
    scope: Words,
    #[serde(default)]
    scopes: Words,
}

/// One or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Words::Many(Vec::new())
    }
}

impl Words {
    fn all(&self) -> &[String] {
        match self {
            Words::One(word) => std::slice::from_ref(word),
            Words::Many(words) => words,
        }
    }

    fn parted(&self) -> impl Iterator<Item = &str> {
        self.all().iter().flat_map(|words| words.split_ascii_whitespace())
    }
}

/// Whether a secret could be one.
pub fn looks_like_one(secret: &[u8]) -> bool {
    secret.iter().filter(|byte| **byte == b'.').count() == 2
}

fn denied<T>(why: impl Into<String>) -> Result<T, Denied> {
    Err(Denied::Jwt { why: why.into() })
}

impl Issued {
    /// Reads the keys for the first time.
    pub fn open(of: &Issuer) -> Result<Self, BadKeys> {
        let stamp = Stamp::of(&of.keys);
        let keys = keys::read(&of.keys)?;
        if keys.is_empty() {
            return Err(BadKeys::none(&of.keys));
        }
        let inner = Inner { stamp, keys: Arc::new(keys), known: HashMap::new(), used: HashMap::new() };
        Ok(Issued { of: of.clone(), looked_ms: AtomicU64::new(clock::now_ms()), inner: RwLock::new(inner) })
    }

    /// Whom a token is of; whether it has ended meanwhile is for the gate to see.
    pub fn whose(&self, token: &[u8], digest: &str, unix_ms: u64) -> Result<Arc<Who>, Denied> {
        self.look();
        let inner = self.read();
        if let Some(who) = inner.known.get(digest) {
            return Ok(who.clone());
        }
        let keys = inner.keys.clone();
        drop(inner);
        let who = self.verified(token, &keys, unix_ms)?;
        let mut inner = self.write();
        if inner.known.len() >= KNOWN_MAX {
            inner.known.retain(|_, who| who.expires_unix_ms.is_some_and(|end| end > unix_ms));
            if inner.known.len() >= KNOWN_MAX {
                inner.known.clear();
            }
            inner.used.clear();
        }
        let used = inner.used.entry(who.name.clone()).or_default().clone();
        let who = Arc::new(Who { used, ..who });
        if Arc::ptr_eq(&inner.keys, &keys) {
            inner.known.insert(digest.into(), who.clone()); // else a key it was checked with may be gone
        }
        Ok(who)
    }

    fn verified(&self, token: &[u8], keys: &[Key], unix_ms: u64) -> Result<Who, Denied> {
        if token.len() > TOKEN_BYTES {
            return denied(format!("it is longer than {TOKEN_BYTES} bytes"));
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(head), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return denied("it has not three parts");
        };
        let header: Header = part("header", head)?;
        if header.crit.is_some() {
            return denied("its header asks for what is not understood here (crit)");
        }
        let signed = &token[..head.len() + 1 + body.len()];
        let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else {
            return denied("its signature is not base64url");
        };
        keys::verify(keys, &header.alg, header.kid.as_deref(), signed, &signature).or_else(denied)?;
        let claims: Claims = part("claims", body)?;
        self.check(&claims, unix_ms)
    }

    fn check(&self, claims: &Claims, unix_ms: u64) -> Result<Who, Denied> {
        if claims.iss.as_deref() != Some(&*self.of.issuer) {
            return denied("its issuer (iss) is another than --jwt-issuer names");
        }
        if self.of.audience.as_ref().is_some_and(|wanted| !claims.aud.all().contains(wanted)) {
            return denied("its audience (aud) is not the one that --jwt-audience names");
        }
        let Some(exp) = claims.exp else { return denied("it says no time of its end (exp)") };
        if claims.nbf.is_some_and(|nbf| nbf > unix_ms as f64 / 1e3 + AHEAD_S) {
            return denied("it does not count yet (nbf)");
        }
        let Some(subject) = claims.sub.as_deref().filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_BYTES) else {
            return denied(format!("its subject (sub) is missing, empty or longer than {SUBJECT_BYTES} bytes"));
        };
        let scopes: Vec<Scope> =
            claims.scope.parted().chain(claims.scopes.parted()).filter_map(|scope| scope.parse().ok()).collect();
        let who = Who::new(&name_of(subject), scopes, Some((exp * 1e3) as u64)); // beyond a u64: its end
        match who.expires_unix_ms.is_some_and(|end| end <= unix_ms) {
            true => Err(Denied::Expired { name: who.name }),
            false => Ok(who),
        }
    }

    /// At the file, if it may have changed. One that cannot be read leaves all as it is.
    fn look(&self) {
        let (now, last) = (clock::now_ms(), self.looked_ms.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= LOOK_EVERY_MS;
        if !due || self.looked_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let stamp = Stamp::of(&self.of.keys);
        if stamp == self.read().stamp {
            return;
        }
        let keys = keys::read(&self.of.keys);
        let mut inner = self.write();
        inner.stamp = stamp;
        match keys {
            Ok(keys) => {
                log::info!("{} has changed: {} keys open the door", self.of.keys.display(), keys.len());
                inner.keys = Arc::new(keys);
                inner.known.clear();
            }
            Err(error) => log::error!("--jwt-keys: {error}; those from before stay"),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        lock::read(&self.inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        lock::write(&self.inner)
    }
}

fn part<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Denied> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let read = json.and_then(|json| serde_json::from_slice(&json).ok());
    read.map_or_else(|| denied(format!("its {what} cannot be read")), Ok)
}

/// What events call it. No token that is made can be called so, and no two subjects have the same name.
fn name_of(subject: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@|:+".contains(&byte);
    let byte = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("jwt:{}", subject.bytes().map(byte).collect::<String>())
}
