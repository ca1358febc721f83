//! Tokens, claims and key sets by chance: nobody is let in without a key, and whoever is has a name and an end.

use super::*;

const NOW_MS: u64 = 1_800_000_000_000;
/// Of nobody: what signs for the first is in RFC 8037's appendix, where nothing signs for `i`.
const KEYS: &[u8] = br#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// A byte that says which, and a token, a token's claims or a set of keys.
pub fn token(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let keys = Arc::new(keys::parse(KEYS).expect("keys"));
    let inner = Inner { stamp: None, keys: keys.clone(), known: HashMap::new(), used: HashMap::new() };
    let of = Issuer { keys: PathBuf::new(), issuer: "i".into(), audience: None };
    let issued = Issued { of, looked_ms: AtomicU64::new(0), inner: RwLock::new(inner) };
    match kind % 3 {
        0 => assert!(issued.verified(rest, &keys, NOW_MS).is_err(), "nobody signed that"),
        1 => {
            let Ok(claims) = serde_json::from_slice::<Claims>(rest) else { return };
            let Ok(who) = issued.check(&claims, NOW_MS) else { return };
            assert!(who.name.starts_with("jwt:") && who.name.bytes().all(|b| b.is_ascii_graphic()), "{}", who.name);
            assert!(who.expires_unix_ms.is_some_and(|end| end > NOW_MS));
        }
        _ => {
            let Ok(keys) = keys::parse(rest) else { return };
            for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
                let _ = keys::verify(&keys, alg, None, b"signed", &[7; 64]); // it ends
            }
        }
    }
}
