//! The key that secrets are sealed with, in a file of its own, and the sealing. Must never write a key where there is one,
//! nor say anything of a value.

use crate::hidden::{Hidden, wipe};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const KEY_BYTES: usize = 32;
/// More than this is no key file.
const FILE_BYTES: u64 = 1024;

/// Why there is no key, or not the right one. The orchestrator does not start then.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Something is sealed, and the file that opens it is not there.
    Missing { path: PathBuf, secrets: usize },
    /// The file holds no key.
    NoKey { path: PathBuf },
    /// The file holds another key, or the record is not what was written; nor does that of before open it, if one is given.
    Wrong { path: PathBuf, was: Option<PathBuf>, name: String },
    /// The key of before is not there, or is the same file.
    Before { path: PathBuf, why: &'static str },
    /// What was sealed anew could not be kept; nothing has changed.
    Unwritten { why: String },
    /// The system has no randomness.
    NoRandomness,
    /// The file cannot be read or made.
    Io { path: PathBuf, why: String },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Missing { path, secrets } => write!(
                f,
                "the store holds {secrets} secrets, and the key file {} that opens them is not there: put it back, or say \
                 with --secret-key-file where it is",
                path.display()
            ),
            KeyError::NoKey { path } => write!(
                f,
                "the key file {} must hold {} hexadecimal digits, as this program makes it or `openssl rand -hex \
                 {KEY_BYTES}` does: put the right one back, or say with --secret-key-file where it is",
                path.display(),
                2 * KEY_BYTES
            ),
            KeyError::Wrong { path, was: None, name } => write!(
                f,
                "the key in {} does not open the secret '{name}': it is another key than the one the secret was sealed with, or \
                 the record is damaged. Put the right key file back, or say with --secret-key-file where it is; or, to have \
                 secrets sealed anew, with --secret-key-was where the one of before is",
                path.display()
            ),
            KeyError::Wrong { path, was: Some(was), name } => write!(
                f,
                "neither the key in {} (--secret-key-file) nor that in {} (--secret-key-was) opens the secret '{name}': it was \
                 sealed with another, or the record is damaged. Nothing was changed: give the right file",
                path.display(),
                was.display()
            ),
            KeyError::Before { path, why } => write!(
                f,
                "--secret-key-was {}: {why}. Give the file with the key that secrets were sealed with until now, or leave it out \
                 if they are sealed with the new one",
                path.display()
            ),
            KeyError::Unwritten { why } => {
                write!(f, "the secrets could not be sealed anew, and are as they were: {why}")
            }
            KeyError::NoRandomness => f.write_str("the system has no randomness to seal secrets with"),
            KeyError::Io { path, why } => write!(f, "cannot read or make the key file {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for KeyError {}

/// Opens and seals.
pub struct Key {
    key: LessSafeKey,
    pub path: PathBuf,
}

impl Key {
    /// A new key in a file that there is not yet.
    pub fn make(path: &Path) -> Result<Key, KeyError> {
        let mut text = crate::ids::random_hex(KEY_BYTES).into_bytes();
        let made = make(path, &text);
        wipe(&mut text);
        made.map_err(|e| KeyError::Io { path: path.into(), why: e.to_string() })?;
        Key::read(path)?.ok_or_else(|| KeyError::NoKey { path: path.into() })
    }

    /// The key in that file; `None`: there is no such file.
    pub fn read(path: &Path) -> Result<Option<Key>, KeyError> {
        let failed = |e: io::Error| KeyError::Io { path: path.into(), why: e.to_string() };
        let mut text = Vec::new();
        match File::open(path) {
            Ok(file) => {
                if file.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
                    log::warn!("The key file {} can be read by others than its owner: chmod 600 it", path.display());
                }
                file.take(FILE_BYTES).read_to_end(&mut text).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let key = digits(text.trim_ascii()).and_then(|bytes| UnboundKey::new(&AES_256_GCM, bytes.reveal()).ok());
        wipe(&mut text);
        match key {
            Some(key) => Ok(Some(Key { key: LessSafeKey::new(key), path: path.into() })),
            None => Err(KeyError::NoKey { path: path.into() }),
        }
    }

    /// Seals a value, for this name and version alone. `None`: the system has no randomness.
    pub fn seal(&self, name: &str, version: u64, value: &[u8]) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + value.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let (aad, nonce) = (Aad::from(bound(name, version)), Nonce::assume_unique_for_key(nonce));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut sealed[NONCE_LEN..]).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(STANDARD.encode(sealed))
    }

    /// The value; `None` when it was sealed with another key, for another name or version, or has been changed.
    pub fn unseal(&self, name: &str, version: u64, sealed: &str) -> Option<Hidden> {
        let sealed = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut value = sealed.to_vec();
        let len = self.key.open_in_place(nonce, Aad::from(bound(name, version)), &mut value).ok()?.len();
        value.truncate(len);
        Some(Hidden::new(value))
    }
}

/// What a sealed value belongs to: moved to another name or version it does not open.
fn bound(name: &str, version: u64) -> Vec<u8> {
    [b"cares secret 1\0", name.as_bytes(), b"\0", &version.to_be_bytes()].concat()
}

fn digits(text: &[u8]) -> Option<Hidden> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    text.chunks(2).map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?)).collect::<Option<_>>().map(Hidden::new)
}

/// All of it or nothing, and on disk before anything is sealed with it.
fn make(path: &Path, text: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part); // of a start that broke off
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::hard_link(&part, path)?; // unlike a rename, it replaces nothing
    fs::remove_file(&part)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn key(dir: &TempDir, name: &str) -> Key {
        let path = dir.path().join(name);
        Key::read(&path).expect("a key or none").unwrap_or_else(|| Key::make(&path).expect("a key"))
    }

    #[test]
    fn what_is_sealed_opens_only_as_what_it_was() {
        let dir = TempDir::new().expect("a folder");
        let own = key(&dir, "key");
        let sealed = own.seal("db-pass", 3, b"hunter2").expect("sealed");
        assert!(!sealed.contains("hunter2") && own.seal("db-pass", 3, b"hunter2").as_ref() != Some(&sealed));
        let opened = |key: &Key, name, version, sealed: &str| key.unseal(name, version, sealed).map(Hidden::into_bytes);
        assert_eq!(opened(&own, "db-pass", 3, &sealed).as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(opened(&key(&dir, "key"), "db-pass", 3, &sealed).as_deref(), Some(&b"hunter2"[..]), "read again");
        assert_eq!(opened(&own, "db-pas", 3, &sealed), None, "another name");
        assert_eq!(opened(&own, "db-pass", 4, &sealed), None, "another version");
        assert_eq!(opened(&key(&dir, "other"), "db-pass", 3, &sealed), None, "another key");
        let bytes = STANDARD.decode(&sealed).expect("base64");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&own, "db-pass", 3, &STANDARD.encode(changed)), None, "byte {at}");
        }
        for cut in ["", "AAAA", "no base64!", &STANDARD.encode(&bytes[..20])] {
            assert_eq!(opened(&own, "db-pass", 3, cut), None, "{cut}");
        }
        let shown = format!("{:?}", own.unseal("db-pass", 3, &sealed));
        assert_eq!(shown, "Some((secret))");
    }

    #[test]
    fn a_key_is_made_once_and_read_by_nobody_else() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("secrets.key");
        assert!(Key::read(&path).is_ok_and(|none| none.is_none()) && !path.exists(), "reading makes none");
        fs::write(path.with_extension("part"), "of a start that broke off").expect("written");
        drop(key(&dir, "secrets.key"));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
        let made = fs::read(&path).expect("read");
        drop(key(&dir, "secrets.key"));
        assert_eq!(fs::read(&path).expect("read"), made);
        assert!(Key::make(&path).is_err() && fs::read(&path).expect("read") == made, "a key is never replaced");
        for bad in ["", "00", &"zz".repeat(32), &"0".repeat(66)] {
            fs::write(&path, bad).expect("written");
            let error = Key::read(&path).err().expect("refused");
            assert!(error.to_string().contains("secrets.key") && error.to_string().contains("64 hex"), "{error}");
        }
    }
}
