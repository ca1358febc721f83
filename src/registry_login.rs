//! What to log in to container registries with, as Docker's own `config.json` has it. Must never be logged.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value, json};

/// What to log in to a registry with, out of Docker's own `config.json`; as engines take it (`X-Registry-Auth`). Credential
/// helpers (`credsStore`) are not asked.
pub fn login(config: &str, registry: &str) -> Option<String> {
    let config: Value = serde_json::from_str(config).ok()?;
    let auths = config.get("auths")?.as_object()?;
    // Written with or without scheme and path, by different programs.
    let bare = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        key.split('/').next().unwrap_or(key).to_string()
    };
    let auth =
        auths.get(registry).or_else(|| auths.iter().find(|(key, _)| bare(key) == bare(registry)).map(|(_, v)| v))?;
    let text = |name: &str| auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut login = json!({ "serveraddress": registry });
    if let Some(token) = text("identitytoken") {
        login["identitytoken"] = token.into();
    } else {
        let decoded = STANDARD.decode(text("auth")?.trim_end()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        login["username"] = user.into();
        login["password"] = password.trim_end_matches('\0').into();
    }
    Some(URL_SAFE.encode(login.to_string()))
}

/// Several, each by its registry and as `login` has it; as engines take them for a build (`X-Registry-Config`).
pub fn several(logins: impl IntoIterator<Item = (String, String)>) -> String {
    let decoded = |(registry, login): (String, String)| {
        let login = URL_SAFE.decode(login).ok()?;
        Some((registry, serde_json::from_slice(&login).ok()?))
    };
    let all: Map<String, Value> = logins.into_iter().filter_map(decoded).collect();
    URL_SAFE.encode(Value::Object(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_however_they_were_written() {
        let login = |config: Value, registry: &str| {
            let auth = super::login(&config.to_string(), registry)?;
            let json = URL_SAFE.decode(auth).unwrap();
            serde_json::from_slice::<Value>(&json).ok()
        };
        let auth = STANDARD.encode("me:pass:word");
        let found = login(json!({"auths": {"r.io:5000": {"auth": auth}}}), "r.io:5000").unwrap();
        assert_eq!((&found["username"], &found["password"]), (&json!("me"), &json!("pass:word")));
        assert!(login(json!({"auths": {"https://r.io/v2/": {"auth": auth}}}), "r.io").is_some());
        let token = login(json!({"auths": {"r.io": {"identitytoken": "t"}}}), "r.io").unwrap();
        assert_eq!(token["identitytoken"], "t");
        for none in [json!({}), json!([]), json!({"auths": {"r.io": {}}}), json!({"auths": {"r.io": {"auth": "?"}}})] {
            assert_eq!(login(none, "r.io"), None);
        }
        assert_eq!(super::login("{", "r.io"), None);
    }

    #[test]
    fn several_are_told_apart_by_their_registry() {
        let login = |user: &str| URL_SAFE.encode(json!({ "username": user }).to_string());
        let all = [("a.io", login("one")), ("b.io:1", login("two")), ("c.io", "?".into())];
        let sent = URL_SAFE.decode(several(all.map(|(registry, login)| (registry.into(), login)))).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent, json!({"a.io": {"username": "one"}, "b.io:1": {"username": "two"}}));
    }
}
