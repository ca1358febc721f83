//! The key of today, and the one of before while secrets move from that to this. Must never seal a secret with the one of
//! before, nor make a key that would open nothing.

use super::Named;
use super::key::{Key, KeyError};
use std::fs;
use std::path::Path;

/// What secrets are sealed with.
pub struct Keys {
    pub now: Key,
    /// That of before.
    was: Option<Key>,
}

impl Keys {
    /// The keys in these files. Where there is none of today it is made, unless what is kept could not be opened then.
    pub fn open(path: &Path, was: Option<&Path>, kept: &[Named]) -> Result<Keys, KeyError> {
        let was = was.map(|was| before(was, path)).transpose()?;
        let now = match Key::read(path)? {
            Some(now) => now,
            None => match (&was, kept.iter().find(|secret| !was.as_ref().is_some_and(|was| opens(was, secret)))) {
                (None, Some(_)) => return Err(KeyError::Missing { path: path.into(), secrets: kept.len() }),
                (Some(was), Some((name, _))) => return Err(wrong(path, Some(was), name)),
                (_, None) => Key::make(path)?,
            },
        };
        Ok(Keys { now, was })
    }

    /// Has all of them sealed with the key of today; answers those that were not. `Err`: some open with neither, and none is
    /// to be changed.
    pub fn seal_anew(&self, secrets: &mut [Named]) -> Result<Vec<Named>, KeyError> {
        let mut anew = Vec::new();
        for (name, secret) in secrets {
            if self.now.unseal(name, secret.version, &secret.sealed).is_some() {
                continue;
            }
            let value = self.was.as_ref().and_then(|was| was.unseal(name, secret.version, &secret.sealed));
            let value = value.ok_or_else(|| wrong(&self.now.path, self.was.as_ref(), name))?;
            secret.sealed = self.now.seal(name, secret.version, value.reveal()).ok_or(KeyError::NoRandomness)?;
            anew.push((name.clone(), secret.clone()));
        }
        Ok(anew)
    }
}

fn before(was: &Path, now: &Path) -> Result<Key, KeyError> {
    let refused = |why| KeyError::Before { path: was.into(), why };
    if was == now || fs::canonicalize(was).is_ok_and(|was| fs::canonicalize(now).is_ok_and(|now| now == was)) {
        return Err(refused(
            "is the file of the new key as well (--secret-key-file, else secrets.key in the data folder)",
        ));
    }
    Key::read(was)?.ok_or_else(|| refused("there is no such file"))
}

fn opens(key: &Key, (name, secret): &Named) -> bool {
    key.unseal(name, secret.version, &secret.sealed).is_some()
}

fn wrong(now: &Path, was: Option<&Key>, name: &str) -> KeyError {
    KeyError::Wrong { path: now.into(), was: was.map(|was| was.path.clone()), name: name.into() }
}
