//! Real tokens, signed here with keys made here (but for RSA's, whose making takes long), and everything wrong with them.

use super::*;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

const NOW_MS: u64 = 1_800_000_000_000;
const NOW_S: u64 = NOW_MS / 1_000;
/// Of nobody: it is in this repository.
const RSA: &[u8] = include_bytes!("../../../tests/fixtures/jwt-rsa.pk8");

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The three kinds of keys, named `rsa`, `ec` and `ed`.
struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Keys {
    fn new() -> Self {
        let (random, kind) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let ec = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Keys {
            rsa: RsaKeyPair::from_pkcs8(RSA).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(kind, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn public(&self) -> Value {
        let rsa = signature::RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let ec = self.ec.public_key().as_ref();
        json!([
            { "kty": "RSA", "kid": "rsa", "use": "sig", "n": text([vec![0], rsa.n].concat()), "e": text(rsa.e) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": text(&ec[1..33]), "y": text(&ec[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(self.ed.public_key()) },
            { "kty": "oct", "kid": "shared", "k": text(b"not taken") },
        ])
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
        let (random, bytes) = (SystemRandom::new(), signed.as_bytes());
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, bytes, &mut signature).unwrap();
            signature
        };
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, bytes).unwrap().as_ref().to_vec(),
            "none" => Vec::new(),
            _ => self.ed.sign(bytes).as_ref().to_vec(),
        };
        format!("{signed}.{}", text(signature))
    }
}

struct Rig {
    dir: TempDir,
    keys: Keys,
    issued: Issued,
}

impl Rig {
    fn new() -> Self {
        let (dir, keys) = (TempDir::new().unwrap(), Keys::new());
        let file = dir.path().join("keys.json");
        fs::write(&file, json!({ "keys": keys.public() }).to_string()).unwrap();
        let of = Issuer { keys: file, issuer: "https://id.example".into(), audience: Some("cares".into()) };
        let issued = Issued::open(&of).unwrap();
        Rig { dir, keys, issued }
    }

    fn whose(&self, token: &str) -> Result<Arc<Who>, String> {
        self.issued.whose(token.as_bytes(), &super::super::hash(token.as_bytes()), NOW_MS).map_err(|d| d.to_string())
    }

    /// With good claims, but for those given.
    fn token(&self, alg: &str, kid: &str, over: Value) -> String {
        let mut claims = json!({
            "iss": "https://id.example", "aud": ["other", "cares"], "sub": "ann", "exp": NOW_S + 60,
            "scope": "openid invoke:hello read",
        });
        for (name, value) in over.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.keys.sign(&json!({ "alg": alg, "kid": kid, "typ": "JWT" }), &claims)
    }
}

#[test]
fn each_algorithm_is_taken_with_its_own_key_and_no_other() {
    let rig = Rig::new();
    for (alg, kid) in [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")] {
        let who = rig.whose(&rig.token(alg, kid, json!({}))).unwrap();
        assert_eq!((&*who.name, who.expires_unix_ms), ("jwt:ann", Some(NOW_MS + 60_000)), "{alg}");
        assert_eq!(who.scopes, [Scope::InvokeOnly("hello".into()), Scope::Read], "{alg}");
        let without_kid = rig.keys.sign(
            &json!({ "alg": alg }),
            &json!({
                "iss": "https://id.example", "aud": "cares", "sub": "bob", "exp": NOW_S + 1, "scopes": ["admin"],
            }),
        );
        assert!(rig.whose(&without_kid).unwrap().administers(), "{alg}");
    }
    for (alg, kid, why) in [
        ("RS256", "ec", "another algorithm"),
        ("EdDSA", "rsa", "another algorithm"),
        ("HS256", "rsa", "none of RS256"),
        ("HS256", "shared", "none of RS256"),
        ("none", "ed", "none of RS256"),
        ("ES256", "gone", "no longer, among those"),
    ] {
        let refused = rig.whose(&rig.token(alg, kid, json!({}))).unwrap_err();
        assert!(refused.contains(why), "{alg} {kid}: {refused}");
    }
    let other = Rig::new();
    assert!(rig.whose(&other.token("EdDSA", "ed", json!({}))).unwrap_err().contains("signature is wrong"));
    assert!(rig.whose(&other.token("ES256", "ec", json!({}))).unwrap_err().contains("signature is wrong"));
}

#[test]
fn claims_are_checked_and_said_without_the_token() {
    let rig = Rig::new();
    for (over, why) in [
        (json!({ "exp": null }), "no time of its end"),
        (json!({ "exp": NOW_S }), "'jwt:ann' has expired"),
        (json!({ "exp": -1 }), "has expired"),
        (json!({ "exp": "9999999999" }), "claims cannot be read"),
        (json!({ "nbf": NOW_S + 31 }), "does not count yet"),
        (json!({ "nbf": "1" }), "claims cannot be read"),
        (json!({ "iss": "https://evil.example" }), "--jwt-issuer"),
        (json!({ "iss": null }), "--jwt-issuer"),
        (json!({ "aud": "other" }), "--jwt-audience"),
        (json!({ "aud": null }), "--jwt-audience"),
        (json!({ "sub": null }), "subject (sub) is missing"),
        (json!({ "sub": "" }), "subject (sub) is missing"),
        (json!({ "sub": "x".repeat(201) }), "longer than 200"),
        (json!({ "pad": "x".repeat(20_000) }), "longer than 16384 bytes"),
    ] {
        let token = rig.token("EdDSA", "ed", over.clone());
        let refused = rig.whose(&token).unwrap_err();
        assert!(refused.contains(why) && !refused.contains(&token[..40]), "{over}: {refused}");
    }
    assert!(rig.whose(&rig.token("EdDSA", "ed", json!({ "nbf": NOW_S + 29, "exp": 1e300 }))).is_ok());
    let crit = rig.keys.sign(&json!({ "alg": "EdDSA", "crit": ["b64"] }), &json!({}));
    assert!(rig.whose(&crit).unwrap_err().contains("crit"));
    for broken in ["..", "a.b.c", "a.b", "a.b.c.d", "e30.e30.", "....", "é.é.é"] {
        assert!(rig.whose(broken).unwrap_err().contains("not taken here"), "{broken}");
    }
    let good = rig.token("EdDSA", "ed", json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for changed in [format!("{signed}x.{signature}"), format!("{signed}.{signature}="), format!("{signed}.")] {
        assert!(rig.whose(&changed).is_err(), "{changed}");
    }
}

#[test]
fn a_name_is_of_one_subject_and_of_no_token_that_is_made() {
    for (subject, name) in
        [("ann@x.org", "jwt:ann@x.org"), ("a b", "jwt:a%20b"), ("a%20b", "jwt:a%2520b"), ("\n", "jwt:%0A")]
    {
        assert_eq!(name_of(subject), name);
        assert!(crate::names::check_name(&name_of(subject)).is_err());
        assert!(hyper::header::HeaderValue::from_str(name).is_ok());
    }
}

#[test]
fn what_was_checked_is_remembered_until_its_key_goes() {
    let rig = Rig::new();
    let token = rig.token("ES256", "ec", json!({}));
    let first = rig.whose(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &rig.whose(&token).unwrap()), "it was checked once");
    let second = rig.whose(&rig.token("EdDSA", "ed", json!({}))).unwrap();
    assert!(Arc::ptr_eq(&first.used, &second.used), "one subject has one rate, whatever it comes with");
    let file = rig.dir.path().join("keys.json");
    let look = || {
        rig.issued.looked_ms.store(clock::now_ms().saturating_sub(LOOK_EVERY_MS), Ordering::Relaxed);
        rig.issued.look();
    };
    // A file that cannot be read changes nothing.
    clock_past_start();
    fs::write(&file, "{").unwrap();
    look();
    assert!(rig.whose(&token).is_ok());
    let left: Vec<Value> = rig.keys.public().as_array().unwrap().iter().filter(|k| k["kid"] != "ec").cloned().collect();
    fs::write(&file, json!({ "keys": left }).to_string()).unwrap();
    look();
    assert!(rig.whose(&token).unwrap_err().contains("no longer, among those"));
    assert!(rig.whose(&rig.token("EdDSA", "ed", json!({}))).is_ok());
    fs::write(&file, r#"{"keys":[]}"#).unwrap();
    look();
    assert!(rig.whose(&rig.token("EdDSA", "ed", json!({}))).is_err());
}

/// Until the program's clock has run for as long as two looks are apart.
fn clock_past_start() {
    futures_lite::future::block_on(clock::after(std::time::Duration::from_millis(
        LOOK_EVERY_MS.saturating_sub(clock::now_ms()) + 1,
    )));
}

#[test]
fn a_file_without_a_key_of_use_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("keys.json");
    let open = || {
        let of = Issuer { keys: file.clone(), issuer: "i".into(), audience: None };
        Issued::open(&of).err().expect("it is refused").to_string()
    };
    assert!(open().contains("keys.json"));
    for (text, why) in [
        ("", "must be"),
        ("[]", "must be"),
        (r#"{"keys":{}}"#, "must be"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "no public key"),
        (r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},7]}"#, "no public key"),
    ] {
        fs::write(&file, text).unwrap();
        assert!(open().contains(why), "{text}: {}", open());
    }
}

#[test]
fn memory_stays_bounded_however_many_come() {
    let rig = Rig::new();
    for n in 0..50 {
        rig.whose(&rig.token("EdDSA", "ed", json!({ "sub": format!("s{n}") }))).unwrap();
    }
    let mut inner = rig.issued.write();
    assert_eq!((inner.known.len(), inner.used.len()), (50, 50));
    let who = Arc::new(Who::new("x", Vec::new(), Some(NOW_MS + 1)));
    (0..KNOWN_MAX).for_each(|n| drop(inner.known.insert(n.to_string(), who.clone())));
    drop(inner);
    rig.whose(&rig.token("EdDSA", "ed", json!({ "sub": "one more" }))).unwrap();
    assert_eq!(rig.issued.read().known.len(), 1);
}
