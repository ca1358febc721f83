//! A secret as somebody gave it, and its digest. Must never be shown.

use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest secret taken; a JWT may be long, a request's head holds 64 KiB.
const BYTES_MAX: usize = 16 * 1024;

/// A token's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why there is none; never says what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSecret {
    Unreadable { path: PathBuf, why: String },
    Empty,
    TooLong,
    Characters,
}

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSecret::Unreadable { path, why } => write!(f, "cannot read {}: {why}", path.display()),
            BadSecret::Empty => f.write_str("there is no token in it"),
            BadSecret::TooLong => write!(f, "a token has at most {BYTES_MAX} bytes"),
            BadSecret::Characters => f.write_str("a token is one word of visible ASCII characters"),
        }
    }
}

impl std::error::Error for BadSecret {}

impl Secret {
    /// Checks that it can travel in a header; space around it is not part of it.
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim();
        match () {
            () if text.is_empty() => Err(BadSecret::Empty),
            () if text.len() > BYTES_MAX => Err(BadSecret::TooLong),
            () if !text.bytes().all(|b| b.is_ascii_graphic()) => Err(BadSecret::Characters),
            () => Ok(Secret(text.into())),
        }
    }

    /// What a file holds.
    pub fn in_file(path: &Path) -> Result<Self, BadSecret> {
        let unreadable = |e: std::io::Error| BadSecret::Unreadable { path: path.into(), why: e.to_string() };
        let mut text = String::new();
        let limit = BYTES_MAX as u64 + 16; // and the space around it
        File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(unreadable)?;
        Secret::new(&text)
    }

    /// A new one, of 256 random bits.
    pub fn random() -> Self {
        Secret(format!("cares_{}", crate::ids::random_hex(32)))
    }

    /// A text that this is part of, and as secret.
    pub fn within(&self, text: impl FnOnce(&str) -> String) -> Self {
        Secret(text(&self.0))
    }

    /// The text itself, to be sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is kept of a secret: of 256 random bits, nobody finds them from this.
pub fn hash(secret: &[u8]) -> String {
    hex(Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_one_visible_word_and_never_shown() {
        assert_eq!(Secret::new(" abc\n").unwrap().reveal(), "abc");
        assert_eq!(format!("{:?}", Secret::new("abc")), "Ok(Secret)");
        for (text, why) in [("", BadSecret::Empty), ("a b", BadSecret::Characters), ("ä", BadSecret::Characters)] {
            assert_eq!(Secret::new(text), Err(why));
        }
        assert_eq!(Secret::new(&"a".repeat(BYTES_MAX + 1)), Err(BadSecret::TooLong));
        let missing = Secret::in_file(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/token"), "{missing}");
        assert_ne!(Secret::random(), Secret::random());
    }
}
