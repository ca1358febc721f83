//! The gate everybody passes: the tokens there are, by the digest of each. Holds no secret itself.

use super::headers;
use super::secret::{Secret, hash};
use super::{Denied, Needs, Scope, Who};
use crate::clock;
use hyper::header::HeaderMap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What events call whoever has the token a role was started with; no token that is made can be called so.
const STARTED_WITH: &str = "AUTH_TOKEN";
/// And this program's own screen and worker.
const OWN: &str = "CARES";

/// One token, by the digest of its secret.
pub type Grant = (String, Arc<Who>);

/// The tokens of one role.
pub struct Gate {
    /// Whether anybody is asked at all.
    closed: AtomicBool,
    /// For this program's own screen and worker.
    own: Secret,
    /// That, and what it was started with. These may be guessable: compared in constant time.
    fixed: Vec<Grant>,
    /// Those that are made and revoked: random, so that the time of a lookup tells nothing.
    made: RwLock<HashMap<String, Arc<Who>>>,
}

impl Gate {
    /// Open until it has a token. `started_with`: one that may do everything.
    pub fn new(started_with: Option<&Secret>) -> Self {
        let own = Secret::random();
        let admin = |name: &str, secret: &Secret| {
            let who = Who { name: name.into(), scopes: vec![Scope::Admin], expires_unix_ms: None };
            (hash(secret.reveal().as_bytes()), Arc::new(who))
        };
        let mut fixed = vec![admin(OWN, &own)];
        fixed.extend(started_with.map(|secret| admin(STARTED_WITH, secret)));
        let closed = AtomicBool::new(started_with.is_some());
        Gate { closed, own, fixed, made: RwLock::default() }
    }

    /// Adds one; from now on everybody is asked.
    pub fn add(&self, (digest, who): Grant) {
        self.made.write().unwrap_or_else(PoisonError::into_inner).insert(digest, who);
        self.close();
    }

    /// Takes one away. Who is asked stays asked.
    pub fn remove(&self, digest: &str) {
        self.made.write().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    /// From now on everybody is asked.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether anybody is asked at all.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it was started with a token that may do everything.
    pub fn has_started_with(&self) -> bool {
        self.fixed.len() > 1
    }

    /// For this program's own screen and worker.
    pub fn own(&self) -> &Secret {
        &self.own
    }

    /// Who sends a request, if they may. Secrets known here are taken out of the headers: what runs behind this must
    /// not learn them. `public`: whether the function may be called by anybody.
    pub fn admit(
        &self,
        headers: &mut HeaderMap,
        needs: Needs,
        function: &str,
        public: impl FnOnce() -> bool,
    ) -> Result<Option<Arc<Who>>, Denied> {
        if !self.closed() {
            return Ok(None);
        }
        let who = self.take(headers);
        let may = match &who {
            Ok(who) => who.check(needs, function),
            Err(denied) => Err(denied.clone()),
        };
        match may {
            Ok(()) => Ok(who.ok()),
            Err(_) if needs == Needs::Nothing || (needs == Needs::Invoke && public()) => Ok(who.ok()),
            Err(denied) => Err(denied),
        }
    }

    /// The same where nothing is passed on.
    pub fn check(&self, headers: &HeaderMap, needs: Needs) -> Result<Option<Arc<Who>>, Denied> {
        self.admit(&mut headers.clone(), needs, "", || false)
    }

    /// Whether whoever was admitted under that name may also do this; nobody by name: nobody was asked.
    pub fn check_name(&self, by: Option<&str>, needs: Needs) -> Result<(), Denied> {
        let Some(by) = by else { return Ok(()) };
        let named = |who: &&Arc<Who>| *who.name == *by;
        let fixed = self.fixed.iter().map(|(_, who)| who).find(named).cloned();
        let made = || self.made.read().unwrap_or_else(PoisonError::into_inner).values().find(named).cloned();
        fixed.or_else(made).ok_or(Denied::Unknown)?.check(needs, "")
    }

    fn take(&self, headers: &mut HeaderMap) -> Result<Arc<Who>, Denied> {
        let mut found = Err(Denied::Missing);
        let mut known = Vec::new();
        for (header, secret) in headers::secrets(headers) {
            let this = self.whose(secret);
            if !matches!(this, Err(Denied::Unknown)) {
                known.push(header);
            }
            if found.is_err() && (this.is_ok() || found == Err(Denied::Missing)) {
                found = this;
            }
        }
        known.into_iter().for_each(|header| drop(headers.remove(header)));
        found
    }

    fn whose(&self, secret: &[u8]) -> Result<Arc<Who>, Denied> {
        let digest = hash(secret);
        let these = self.fixed.iter().map(|(known, who)| same(known, &digest).then_some(who));
        let fixed = these.fold(None, Option::or).cloned(); // all of them are looked at
        let made = || self.made.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        let who = fixed.or_else(made).ok_or(Denied::Unknown)?;
        match who.expires_unix_ms.is_some_and(|end| end <= clock::unix_ms()) {
            true => Err(Denied::Expired { name: who.name.clone() }),
            false => Ok(who),
        }
    }
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
fn same(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(a.len() ^ b.len(), |seen, (a, b)| seen | usize::from(a ^ b));
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{AUTHORIZATION, HeaderValue};

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = of
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        pairs.collect()
    }

    fn token(gate: &Gate, name: &str, secret: &str, scope: &str, expires_unix_ms: Option<u64>) {
        let who = Who { name: name.into(), scopes: vec![scope.parse().unwrap()], expires_unix_ms };
        gate.add((hash(secret.as_bytes()), Arc::new(who)));
    }

    #[test]
    fn an_open_gate_asks_nobody_and_a_closed_one_everybody() {
        let gate = Gate::new(None);
        let mut any = headers(&[("authorization", "Bearer whatever")]);
        assert_eq!(gate.admit(&mut any, Needs::Admin, "", || false), Ok(None));
        assert!(any.contains_key(AUTHORIZATION));
        gate.close();
        assert_eq!(gate.admit(&mut any, Needs::Admin, "", || false), Err(Denied::Unknown));
        assert_eq!(gate.check(&HeaderMap::new(), Needs::Token), Err(Denied::Missing));
        assert_eq!(gate.check(&HeaderMap::new(), Needs::Nothing), Ok(None));
        let own = format!("bearer {}", gate.own().reveal());
        assert_eq!(&*gate.check(&headers(&[("authorization", &own)]), Needs::Admin).unwrap().unwrap().name, OWN);
    }

    #[test]
    fn a_token_is_found_in_either_header_and_goes_no_further() {
        let gate = Gate::new(Some(&Secret::new("main").unwrap()));
        token(&gate, "ci", "s1", "invoke:hello", None);
        let mut both = headers(&[("authorization", "Bearer theirs"), ("x-api-key", "s1")]);
        let who = gate.admit(&mut both, Needs::Invoke, "hello", || false).unwrap().unwrap();
        assert_eq!(&*who.name, "ci");
        assert!(both.contains_key(AUTHORIZATION) && !both.contains_key("x-api-key"), "{both:?}");
        let lacks = gate.admit(&mut headers(&[("x-api-key", "s1")]), Needs::Invoke, "other", || false).unwrap_err();
        assert_eq!(lacks.to_string(), "the token 'ci' lacks the scope invoke (or invoke:other)");
        assert!(gate.admit(&mut headers(&[("x-api-key", "s1")]), Needs::Invoke, "other", || true).is_ok());
        let mut none = HeaderMap::new();
        assert_eq!(gate.admit(&mut none, Needs::Invoke, "other", || true), Ok(None));
        gate.remove(&hash(b"s1"));
        assert_eq!(gate.check(&headers(&[("x-api-key", "s1")]), Needs::Token), Err(Denied::Unknown));
        assert!(gate.check(&headers(&[("authorization", "Bearer main")]), Needs::Admin).is_ok());
    }

    #[test]
    fn an_expired_token_is_refused_by_name() {
        let gate = Gate::new(None);
        token(&gate, "old", "s", "admin", Some(clock::unix_ms()));
        token(&gate, "new", "t", "admin", Some(clock::unix_ms() + 60_000));
        let denied = gate.check(&headers(&[("x-api-key", "s")]), Needs::Read).unwrap_err();
        assert_eq!((denied.known(), denied.to_string().as_str()), (false, "the token 'old' has expired"));
        assert!(gate.check(&headers(&[("x-api-key", "s"), ("authorization", "Bearer t")]), Needs::Read).is_ok());
    }
}
