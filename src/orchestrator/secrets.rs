//! The secrets of the cluster: set, listed, deleted, and handed to what starts. Kept sealed, in memory too: a value is open
//! only on its way to a worker. Must never show one.

mod anew;
pub mod key;
pub mod uses;

use super::audit::{Audit, Change};
use super::state::{Applied, State};
use super::store::{self, StoreError, Write};
use crate::auth::Caller;
use crate::cluster::{self, Command, Function, Kept, Mode, Revision};
use crate::hidden::Hidden;
use crate::lock::lock;
use crate::types::Secret;
use crate::wire::{SECRET_BYTES, proto};
use crate::{clock, names, rt};
use anew::Keys;
use key::KeyError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// Secrets at most; each is in memory, sealed.
pub const SECRETS_MAX: usize = 1_000;

type Known = BTreeMap<String, store::Secret>;
/// One, by its name.
pub type Named = (String, store::Secret);

/// Why a secret is not set or deleted, or not given to a function.
#[derive(Debug)]
pub enum Refused {
    Field {
        field: &'static str,
        why: String,
    },
    TooLarge,
    TooMany,
    NotFound {
        name: String,
    },
    /// A function is to have one that is not there, or does not fit.
    Unknown {
        field: &'static str,
        why: String,
    },
    InUse {
        name: String,
        by: Vec<String>,
    },
    NoRandomness,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

/// All secrets.
pub struct Secrets {
    keys: Keys,
    audit: Arc<Audit>,
    /// Held only for a moment, also while a function that uses some is put: none of them is deleted in between.
    known: Mutex<Known>,
    /// Held while a change is written: one after the other, so that versions are.
    changing: Mutex<()>,
}

impl Secrets {
    /// Those that are kept, once it is sure that the key opens each. What only the key of before (`was`) opens is sealed anew
    /// first, and is so on disk when this returns. Blocks.
    pub fn open(path: &Path, was: Option<&Path>, audit: Arc<Audit>, mut kept: Vec<Named>) -> Result<Self, KeyError> {
        let keys = Keys::open(path, was, &kept)?;
        let anew = keys.seal_anew(&mut kept)?;
        if !anew.is_empty() {
            let message = format!("{} secrets are sealed anew, with the key in {}", anew.len(), path.display());
            let change = Change { kind: "secret.sealed", unchanged: "secret.unchanged", message };
            let written = audit.keep(Write::Secrets(anew), change, &Caller::default());
            written.map_err(|error| KeyError::Unwritten { why: error.to_string() })?;
        } else if was.is_some() {
            log::info!("All secrets are sealed with the key in {}: --secret-key-was can be left out", path.display());
        }
        let known = Mutex::new(kept.into_iter().collect());
        Ok(Secrets { keys, audit, known, changing: Mutex::default() })
    }

    /// Of a backup's, those that there are not yet, sealed with the key of today: a value of today is not taken back. `Err`:
    /// they do not open.
    pub fn missing(&self, kept: Vec<Named>) -> Result<Vec<Named>, KeyError> {
        let known = self.lock().clone();
        let mut missing: Vec<_> = kept.into_iter().filter(|(name, _)| !known.contains_key(name)).collect();
        self.keys.seal_anew(&mut missing).map(|_| missing)
    }

    /// Takes in what a restored backup brings.
    pub fn add(&self, missing: &[Named]) {
        let mut known = self.lock();
        for (name, secret) in missing {
            known.entry(name.clone()).or_insert_with(|| secret.clone());
        }
    }

    /// Sets one, and has http functions that use it start anew. Blocks until both are on disk.
    pub fn set(&self, state: &State, name: &str, value: &Hidden, by: &Caller) -> Result<Secret, Refused> {
        let field = |field, why: String| Err(Refused::Field { field, why });
        if let Err(why) = names::check_name(name) {
            return field("name", why.to_string());
        }
        match value.reveal().len() {
            0 => return field("value", format!("must be 1 to {SECRET_BYTES} bytes; it is the request's body")),
            len if len > SECRET_BYTES => return Err(Refused::TooLarge),
            _ => {}
        }
        let variable = using(state, |s| s.env.values().any(|n| n == name)).into_iter().next();
        if let Some(function) = variable.filter(|_| text(value).is_none()) {
            return field("value", format!("function '{function}' has it as a variable: it must be text without NUL"));
        }
        let turn = lock(&self.changing);
        let (before, count) = {
            let known = self.lock();
            (known.get(name).cloned(), known.len())
        };
        if before.is_none() && count >= SECRETS_MAX {
            return Err(Refused::TooMany);
        }
        let now = clock::unix_ms();
        let version = before.as_ref().map_or(0, |s| s.version) + 1;
        let secret = store::Secret {
            version,
            created_unix_ms: before.map_or(now, |s| s.created_unix_ms),
            updated_unix_ms: now,
            updated_by: by.name.as_deref().map(Into::into),
            sealed: self.keys.now.seal(name, version, value.reveal()).ok_or(Refused::NoRandomness)?,
        };
        let message = format!("Secret '{name}' has a new value, version {version}");
        let change = Change { kind: "secret.set", unchanged: "secret.unchanged", message };
        self.audit.keep(Write::Secret(name.into(), secret.clone()), change, by)?;
        self.lock().insert(name.into(), secret.clone());
        drop(turn);
        // A job has it from its next call on.
        let functions = renewed(state, name);
        let again =
            |function| Command::PutAgain { function, which: Kept::AsItIs, unix_ms: clock::unix_ms(), by: by.text() };
        // One that is refused was deleted meanwhile. All are on their way before the first is waited for.
        let applied: Vec<Applied> = functions.into_iter().filter_map(|f| state.apply_by(again(f), by).ok()).collect();
        for applied in applied {
            rt::block_on(applied.kept())?;
        }
        Ok(shown(name, &secret, used_by(state, name)))
    }

    /// Takes one away. Blocks until that is on disk.
    pub fn delete(&self, state: &State, name: &str, by: &Caller) -> Result<(), Refused> {
        let _turn = lock(&self.changing);
        let secret = {
            let mut known = self.lock();
            let used = used_by(state, name);
            if !used.is_empty() && known.contains_key(name) {
                return Err(Refused::InUse { name: name.into(), by: used });
            }
            known.remove(name).ok_or_else(|| Refused::NotFound { name: name.into() })?
        };
        let message = format!("Secret '{name}' is deleted");
        let change = Change { kind: "secret.deleted", unchanged: "secret.unchanged", message };
        let kept = self.audit.keep(Write::SecretGone(name.into()), change, by);
        Ok(kept.inspect_err(|_| drop(self.lock().insert(name.into(), secret)))?)
    }

    /// All, by name.
    pub fn list(&self, state: &State) -> Vec<Secret> {
        let known = self.lock().clone();
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        state.each_function(|function| {
            for name in names_in(function) {
                users.entry(name.to_string()).or_default().push(function.name.to_string());
            }
        });
        known.iter().map(|(name, secret)| shown(name, secret, users.remove(name).unwrap_or_default())).collect()
    }

    /// Puts something that uses these: they are there, and fit, and none is deleted before it is put.
    pub fn with<T>(&self, uses: &cluster::Secrets, put: impl FnOnce() -> T) -> Result<T, Refused> {
        if uses.is_empty() {
            return Ok(put());
        }
        let known = self.lock();
        for (field, secrets) in [("secrets.env", &uses.env), ("secrets.files", &uses.files)] {
            for (place, name) in secrets {
                let Some(secret) = known.get(name) else {
                    let why = format!("no secret '{name}' is known, which {place} is to have: cares secret set {name}");
                    return Err(Refused::Unknown { field, why });
                };
                let value = self.unseal(name, secret);
                if field == "secrets.env" && value.as_ref().and_then(text).is_none() {
                    let why = format!("the secret '{name}' is no text without NUL: give it to {place} as a file");
                    return Err(Refused::Unknown { field, why });
                }
            }
        }
        Ok(put())
    }

    /// The values for a start of a revision; `None`: it uses none.
    pub fn of(&self, revision: &Revision) -> Result<Option<proto::Secrets>, String> {
        if revision.secrets.is_empty() {
            return Ok(None);
        }
        let known = self.lock();
        let value = |(place, name): (&String, &String)| {
            let opened = known.get(name).and_then(|secret| self.unseal(name, secret));
            let value = opened.ok_or_else(|| format!("the secret '{name}' is not there: cares secret set {name}"))?;
            Ok(proto::Secret { name: place.clone(), value: value.into_bytes() })
        };
        let env = revision.secrets.env.iter().map(value).collect::<Result<_, String>>()?;
        let files = revision.secrets.files.iter().map(value).collect::<Result<_, String>>()?;
        Ok(Some(proto::Secrets { env, files, plain: Vec::new() }))
    }

    fn unseal(&self, name: &str, secret: &store::Secret) -> Option<Hidden> {
        self.keys.now.unseal(name, secret.version, &secret.sealed)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

/// What can be an environment variable.
fn text(value: &Hidden) -> Option<&str> {
    str::from_utf8(value.reveal()).ok().filter(|text| !text.contains('\0'))
}

/// The functions whose calls may start something that uses it so.
fn using(state: &State, so: impl Fn(&cluster::Secrets) -> bool) -> Vec<String> {
    let mut users = Vec::new();
    state.each_function(|f| {
        let uses = so(&f.current().secrets) || so(&f.newest().secrets);
        users.extend(uses.then(|| f.name.to_string()));
    });
    users
}

fn used_by(state: &State, name: &str) -> Vec<String> {
    using(state, |secrets| secrets.names().any(|used| used == name))
}

/// All that a function's calls may start something with.
fn names_in(function: &Function) -> BTreeSet<&str> {
    let revisions = [function.current(), function.newest()];
    revisions.into_iter().flat_map(|revision| revision.secrets.names()).map(|name| &**name).collect()
}

/// Those whose instances are to be replaced, as they have an earlier value.
fn renewed(state: &State, name: &str) -> Vec<Arc<str>> {
    let mut users = Vec::new();
    state.each_function(|f| {
        let newest = f.newest();
        let uses = newest.mode != Mode::Job && newest.secrets.names().any(|used| used == name);
        users.extend(uses.then(|| f.name.clone()));
    });
    users
}

fn shown(name: &str, secret: &store::Secret, used_by: Vec<String>) -> Secret {
    Secret {
        name: name.into(),
        version: secret.version,
        created_at: clock::rfc3339(secret.created_unix_ms),
        updated_at: clock::rfc3339(secret.updated_unix_ms),
        updated_by: secret.updated_by.clone(),
        used_by,
    }
}
