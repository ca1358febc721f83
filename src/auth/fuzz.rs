//! Headers by chance: no secret is taken for another, and none is passed on.

pub use super::jwt::fuzz::token as jwt;
use super::{Gate, Needs, Secret};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Each line a header.
pub fn headers(data: &[u8]) {
    let gate = Gate::new(Some(&Secret::new("right").expect("a secret")));
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(100) {
        let mut parts = line.splitn(2, |b| *b == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else { continue };
        headers.append(name, value);
    }
    let said = |headers: &HeaderMap| headers.values().any(|v| v.as_bytes().windows(5).any(|w| w == b"right"));
    let had = said(&headers);
    let mut passed = headers.clone();
    crate::http::headers::strip(&mut passed);
    assert!(!passed.contains_key("connection") && passed.keys().all(|name| !name.as_str().starts_with("cares-")));
    let admitted = gate.admit(&mut headers, Needs::Admin, "", None, || false);
    assert!(admitted.is_err() || had, "nobody gave the secret");
    if admitted.is_ok() {
        let left = headers.get_all("x-api-key").iter().any(|v| v.as_bytes().trim_ascii() == b"right");
        assert!(!left && headers.get_all("authorization").iter().all(|v| v != "Bearer right"), "it is passed on");
    }
}
