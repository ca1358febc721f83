//! The tokens of the cluster: made, listed, revoked. Each change is on disk before it counts. Never keeps a secret.

use super::audit::{Audit, Change};
use super::store::{self, StoreError, Write};
use crate::auth::{Caller, Gate, Grant, Scope, Secret, Who, hash};
use crate::lock::lock;
use crate::types::{Token, TokenMade, TokenSpec};
use crate::{clock, ids, names};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// Tokens at most; each costs some 300 bytes, on disk and in memory.
pub const TOKENS_MAX: usize = 10_000;
/// Scopes of one token at most.
const SCOPES_MAX: usize = 64;
/// Ten years; longer is for ever.
const EXPIRES_MAX_S: u64 = 315_360_000;
/// Requests a second: beyond it no limit is felt.
pub const RATE_MAX: u32 = 1_000_000;

/// Why a token is not made or revoked.
#[derive(Debug)]
pub enum Refused {
    Field { field: &'static str, why: String },
    NameTaken { name: String },
    TooMany,
    NotFound { id: String },
    NoAdmin,
    LastAdmin,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

/// All tokens, and the gate that asks for them.
pub struct Tokens {
    gate: Arc<Gate>,
    audit: Arc<Audit>,
    /// By id. Held while a change is written: changes are few, and the gate does not wait for it.
    known: Mutex<BTreeMap<String, store::Token>>,
}

impl Tokens {
    pub fn new(gate: Gate, audit: Arc<Audit>, kept: Vec<(String, store::Token)>) -> Self {
        kept.iter().for_each(|(_, token)| gate.add(grant(token)));
        Tokens { gate: Arc::new(gate), audit, known: Mutex::new(kept.into_iter().collect()) }
    }

    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Makes one. Blocks until it is on disk.
    pub fn create(&self, spec: TokenSpec, by: &Caller) -> Result<TokenMade, Refused> {
        self.create_with(spec, by, |secret| secret)
    }

    /// The same, told in another form than its secret alone.
    pub fn create_with(
        &self,
        spec: TokenSpec,
        by: &Caller,
        told: impl FnOnce(Secret) -> Secret,
    ) -> Result<TokenMade, Refused> {
        let field = |field, why: String| Err(Refused::Field { field, why });
        if let Err(why) = names::check_name(&spec.name) {
            return field("name", why.to_string());
        }
        if spec.name == "join" {
            return field("name", "'join' is taken by the path /tokens/join: give another".into());
        }
        if spec.scopes.is_empty() || spec.scopes.len() > SCOPES_MAX {
            return field("scopes", format!("1 to {SCOPES_MAX}, each one of {}", crate::auth::SCOPES));
        }
        let scopes = match spec.scopes.iter().map(|s| s.parse()).collect::<Result<BTreeSet<Scope>, _>>() {
            Ok(scopes) => scopes,
            Err(why) => return field("scopes", why),
        };
        if spec.expires_s.is_some_and(|s| !(1..=EXPIRES_MAX_S).contains(&s)) {
            return field("expires_s", format!("must be 1 to {EXPIRES_MAX_S}"));
        }
        if spec.rate_per_s.is_some_and(|n| !(1..=RATE_MAX).contains(&n)) {
            return field("rate_per_s", format!("must be 1 to {RATE_MAX}"));
        }
        let mut known = self.lock();
        if known.values().any(|token| token.name == spec.name) {
            return Err(Refused::NameTaken { name: spec.name });
        }
        if known.len() >= TOKENS_MAX {
            return Err(Refused::TooMany);
        }
        let lasting = scopes.contains(&Scope::Admin) && spec.expires_s.is_none();
        if !lasting && !self.others_administer(&known, "") {
            return Err(Refused::NoAdmin);
        }
        let (id, secret, now) = (format!("t-{}", ids::random_hex(6)), Secret::random(), clock::unix_ms());
        let token = store::Token {
            name: spec.name,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            digest: hash(secret.reveal().as_bytes()),
            created_unix_ms: now,
            created_by: by.name.as_deref().map(Into::into),
            expires_unix_ms: spec.expires_s.map(|s| now + s * 1_000),
            rate_per_s: spec.rate_per_s,
        };
        let message = format!("Token '{}' is created: {}", token.name, token.scopes.join(", "));
        self.keep(Write::Token(id.clone(), token.clone()), "token.created", message, by)?;
        self.gate.add(grant(&token));
        let made = TokenMade { token: shown(&id, &token), secret: told(secret).reveal().into() };
        known.insert(id, token);
        Ok(made)
    }

    /// Takes one away, by id or name. Blocks until that is on disk.
    pub fn revoke(&self, id: &str, by: &Caller) -> Result<(), Refused> {
        let mut known = self.lock();
        let found = known.iter().find(|(key, token)| *key == id || token.name == id);
        let Some((id, token)) = found.map(|(id, token)| (id.clone(), token.clone())) else {
            return Err(Refused::NotFound { id: id.into() });
        };
        if !self.others_administer(&known, &id) {
            return Err(Refused::LastAdmin);
        }
        let message = format!("Token '{}' is revoked", token.name);
        self.keep(Write::TokenGone(id.clone()), "token.revoked", message, by)?;
        self.gate.remove(&token.digest);
        known.remove(&id);
        Ok(())
    }

    /// All, by id.
    pub fn list(&self) -> Vec<Token> {
        self.lock().iter().map(|(id, token)| shown(id, token)).collect()
    }

    /// Whether somebody but the token of that id may make tokens, for ever: who closes the door must have a key.
    fn others_administer(&self, known: &BTreeMap<String, store::Token>, but: &str) -> bool {
        let admin = |token: &store::Token| token.expires_unix_ms.is_none() && token.scopes.iter().any(|s| s == "admin");
        self.gate.has_started_with() || known.iter().any(|(id, token)| id != but && admin(token))
    }

    fn keep(&self, write: Write, kind: &'static str, message: String, by: &Caller) -> Result<(), StoreError> {
        self.audit.keep(write, Change { kind, unchanged: "token.unchanged", message }, by)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, store::Token>> {
        lock(&self.known)
    }
}

/// A scope that a later version knows is none here.
fn grant(token: &store::Token) -> Grant {
    let scopes = token.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    let who = Who { rate: token.rate_per_s, ..Who::new(&token.name, scopes, token.expires_unix_ms) };
    (token.digest.clone(), Arc::new(who))
}

fn shown(id: &str, token: &store::Token) -> Token {
    let expired = token.expires_unix_ms.is_some_and(|end| end <= clock::unix_ms());
    Token {
        id: id.into(),
        name: token.name.clone(),
        scopes: token.scopes.clone(),
        status: if expired { "expired" } else { "active" }.into(),
        created_at: clock::rfc3339(token.created_unix_ms),
        created_by: token.created_by.clone(),
        expires_at: token.expires_unix_ms.map(clock::rfc3339),
        rate_per_s: token.rate_per_s,
    }
}
