//! The gate everybody passes: the tokens there are, by the digest of each. Holds no secret itself.

use super::guesses::Guesses;
use super::headers;
use super::jwt::{self, BadKeys, Issued, Issuer};
use super::secret::{Secret, hash};
use super::{Denied, Needs, Scope, Who};
use crate::clock;
use crate::lock;
use hyper::header::HeaderMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

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
    /// Until then, whoever asks may look and no more.
    shows_only: bool,
    /// For this program's own screen and worker.
    own: Secret,
    /// That, and what it was started with. These may be guessable: compared in constant time, and seldom.
    fixed: Vec<Grant>,
    guesses: Guesses,
    /// Those that are made and revoked: random, so that the time of a lookup tells nothing.
    made: RwLock<HashMap<String, Arc<Who>>>,
    /// Who else makes tokens.
    issued: Option<Issued>,
}

impl Gate {
    /// Open until it has a token. `started_with`: one that may do everything.
    pub fn new(started_with: Option<&Secret>) -> Self {
        let own = Secret::random();
        let admin = |name: &str, secret: &Secret| {
            let rate = (name == OWN).then_some(0);
            let who = Who { rate, ..Who::new(name, vec![Scope::Admin], None) };
            (hash(secret.reveal().as_bytes()), Arc::new(who))
        };
        let mut fixed = vec![admin(OWN, &own)];
        fixed.extend(started_with.map(|secret| admin(STARTED_WITH, secret)));
        let closed = AtomicBool::new(started_with.is_some());
        Gate { closed, shows_only: false, own, fixed, guesses: Guesses::new(0), made: RwLock::default(), issued: None }
    }

    /// The same, and whoever has a token of that issuer gets in too.
    pub fn with_issuer(self, issuer: Option<&Issuer>) -> Result<Self, BadKeys> {
        let issued = issuer.map(Issued::open).transpose()?;
        if issued.is_some() {
            self.close();
        }
        Ok(Gate { issued, ..self })
    }

    /// The same, and an address may be wrong so often a second; 0: any.
    pub fn guessed_at_most(self, per_s: u64) -> Self {
        Gate { guesses: Guesses::new(per_s), ..self }
    }

    /// The same, and as long as it has no token it lets nobody change anything.
    pub fn that_shows_only(self) -> Self {
        Gate { shows_only: true, ..self }
    }

    /// Adds one; from now on everybody is asked.
    pub fn add(&self, (digest, who): Grant) {
        lock::write(&self.made).insert(digest, who);
        self.close();
    }

    /// Takes one away. Who is asked stays asked.
    pub fn remove(&self, digest: &str) {
        lock::write(&self.made).remove(digest);
    }

    /// From now on everybody is asked.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether anybody is asked at all.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it was started with a token that may do everything, or an issuer who may make one.
    pub fn has_started_with(&self) -> bool {
        self.fixed.len() > 1 || self.issued.is_some()
    }

    /// For this program's own screen and worker.
    pub fn own(&self) -> &Secret {
        &self.own
    }

    /// Who sends a request, if they may. Secrets known here are taken out of the headers: what runs behind this must
    /// not learn them. `public`: whether the function may be called by anybody. `from`: where it comes from.
    pub fn admit(
        &self,
        headers: &mut HeaderMap,
        needs: Needs,
        function: &str,
        from: Option<IpAddr>,
        public: impl FnOnce() -> bool,
    ) -> Result<Option<Arc<Who>>, Denied> {
        if !self.closed() {
            let may = !self.shows_only || needs.only_looks();
            return if may { Ok(None) } else { Err(Denied::ShownOnly) };
        }
        let who = self.take(headers, from);
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
    pub fn check(&self, headers: &HeaderMap, needs: Needs, from: Option<IpAddr>) -> Result<Option<Arc<Who>>, Denied> {
        self.admit(&mut headers.clone(), needs, "", from, || false)
    }

    fn take(&self, headers: &mut HeaderMap, from: Option<IpAddr>) -> Result<Arc<Who>, Denied> {
        let mut found = Err(Denied::Missing);
        let mut known = Vec::new();
        for (header, secret) in headers::secrets(headers) {
            let this = self.whose(secret, from);
            if !matches!(this, Err(Denied::Unknown | Denied::TooOften { .. })) {
                known.push(header);
            }
            if found.is_err() && (this.is_ok() || found == Err(Denied::Missing)) {
                found = this;
            }
        }
        known.into_iter().for_each(|header| drop(headers.remove(header)));
        found
    }

    fn whose(&self, secret: &[u8], from: Option<IpAddr>) -> Result<Arc<Who>, Denied> {
        let digest = hash(secret);
        let made = lock::read(&self.made).get(&digest).cloned();
        let who = match (made, &self.issued) {
            (Some(who), _) => who,
            (None, Some(issued)) if jwt::looks_like_one(secret) && self.of_fixed(&digest).is_none() => {
                issued.whose(secret, &digest, clock::unix_ms())?
            }
            (None, _) => self.guessed(&digest, from)?,
        };
        match who.expires_unix_ms.is_some_and(|end| end <= clock::unix_ms()) {
            true => Err(Denied::Expired { name: who.name.clone() }),
            false => Ok(who),
        }
    }

    /// Whom one of the fixed ones belongs to, for who was not wrong too often of late.
    fn guessed(&self, digest: &str, from: Option<IpAddr>) -> Result<Arc<Who>, Denied> {
        self.guesses.may(from).map_err(|wait| Denied::TooOften { wait })?;
        self.of_fixed(digest).cloned().ok_or_else(|| {
            self.guesses.count(from);
            Denied::Unknown
        })
    }

    /// All of them are looked at, whichever it is.
    fn of_fixed(&self, digest: &str) -> Option<&Arc<Who>> {
        self.fixed.iter().map(|(known, who)| same(known, digest).then_some(who)).fold(None, Option::or)
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
        let who = Who::new(name, vec![scope.parse().unwrap()], expires_unix_ms);
        gate.add((hash(secret.as_bytes()), Arc::new(who)));
    }

    #[test]
    fn an_open_gate_asks_nobody_and_a_closed_one_everybody() {
        let gate = Gate::new(None);
        let mut any = headers(&[("authorization", "Bearer whatever")]);
        assert_eq!(gate.admit(&mut any, Needs::Admin, "", None, || false), Ok(None));
        assert!(any.contains_key(AUTHORIZATION));
        gate.close();
        assert_eq!(gate.admit(&mut any, Needs::Admin, "", None, || false), Err(Denied::Unknown));
        assert_eq!(gate.check(&HeaderMap::new(), Needs::Token, None), Err(Denied::Missing));
        assert_eq!(gate.check(&HeaderMap::new(), Needs::Nothing, None), Ok(None));
        let own = format!("bearer {}", gate.own().reveal());
        assert_eq!(&*gate.check(&headers(&[("authorization", &own)]), Needs::Admin, None).unwrap().unwrap().name, OWN);
    }

    #[test]
    fn a_token_is_found_in_either_header_and_goes_no_further() {
        let gate = Gate::new(Some(&Secret::new("main").unwrap()));
        token(&gate, "ci", "s1", "invoke:hello", None);
        let mut both = headers(&[("authorization", "Bearer theirs"), ("x-api-key", "s1")]);
        let who = gate.admit(&mut both, Needs::Invoke, "hello", None, || false).unwrap().unwrap();
        assert_eq!(&*who.name, "ci");
        assert!(both.contains_key(AUTHORIZATION) && !both.contains_key("x-api-key"), "{both:?}");
        let lacks =
            gate.admit(&mut headers(&[("x-api-key", "s1")]), Needs::Invoke, "other", None, || false).unwrap_err();
        assert_eq!(lacks.to_string(), "the token 'ci' lacks the scope invoke (or invoke:other)");
        assert!(gate.admit(&mut headers(&[("x-api-key", "s1")]), Needs::Invoke, "other", None, || true).is_ok());
        let mut none = HeaderMap::new();
        assert_eq!(gate.admit(&mut none, Needs::Invoke, "other", None, || true), Ok(None));
        gate.remove(&hash(b"s1"));
        assert_eq!(gate.check(&headers(&[("x-api-key", "s1")]), Needs::Token, None), Err(Denied::Unknown));
        assert!(gate.check(&headers(&[("authorization", "Bearer main")]), Needs::Admin, None).is_ok());
    }

    #[test]
    fn a_gate_that_shows_only_lets_nobody_change_anything_until_it_has_a_token() {
        let gate = Gate::new(None).that_shows_only();
        for needs in [Needs::Nothing, Needs::Token, Needs::Read, Needs::Result, Needs::Built] {
            assert_eq!(gate.check(&HeaderMap::new(), needs, None), Ok(None), "{needs:?}");
        }
        for needs in [Needs::Admin, Needs::Deploy, Needs::Invoke, Needs::Cancel, Needs::Worker, Needs::Submit] {
            assert_eq!(gate.check(&HeaderMap::new(), needs, None), Err(Denied::ShownOnly), "{needs:?}");
        }
        let with_one = Gate::new(Some(&Secret::new("main").unwrap())).that_shows_only();
        assert!(with_one.check(&headers(&[("x-api-key", "main")]), Needs::Admin, None).is_ok());
    }

    #[test]
    fn who_was_wrong_too_often_may_not_go_on_guessing_but_has_what_it_was_given() {
        let gate = Gate::new(Some(&Secret::new("main").unwrap())).guessed_at_most(2);
        token(&gate, "ci", "s1", "read", None);
        let (far, other) = ("10.0.0.1".parse().ok(), "10.0.0.2".parse().ok());
        let with = |secret: &str, from| gate.check(&headers(&[("x-api-key", secret)]), Needs::Read, from);
        (0..2).for_each(|n| assert_eq!(with(&format!("guess{n}"), far), Err(Denied::Unknown)));
        for secret in ["guess3", "main"] {
            assert!(matches!(with(secret, far), Err(Denied::TooOften { .. })), "{secret}");
        }
        assert!(with("s1", far).is_ok() && with("main", other).is_ok() && with("main", None).is_ok());
        assert_eq!(gate.check(&HeaderMap::new(), Needs::Read, far), Err(Denied::Missing));
    }

    #[test]
    fn an_expired_token_is_refused_by_name() {
        let gate = Gate::new(None);
        token(&gate, "old", "s", "admin", Some(clock::unix_ms()));
        token(&gate, "new", "t", "admin", Some(clock::unix_ms() + 60_000));
        let denied = gate.check(&headers(&[("x-api-key", "s")]), Needs::Read, None).unwrap_err();
        assert_eq!((denied.known(), denied.to_string().as_str()), (false, "the token 'old' has expired"));
        assert!(gate.check(&headers(&[("x-api-key", "s"), ("authorization", "Bearer t")]), Needs::Read, None).is_ok());
    }
}
