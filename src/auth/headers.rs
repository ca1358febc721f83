//! Where a request says who sends it.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The secrets a request came with, and the header each is in.
pub fn secrets(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, &[u8])> {
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(bearer).map(|secret| (AUTHORIZATION, secret));
    let keys = headers.get_all(&X_API_KEY).iter().map(|key| (X_API_KEY, key.as_bytes().trim_ascii()));
    bearers.chain(keys)
}

/// The scheme's name is read in any case (RFC 9110, 11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, secret) = value.as_bytes().trim_ascii().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_are_looked_at() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("bEARER  one"));
        headers.append(X_API_KEY, HeaderValue::from_static("two"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer"));
        let found: Vec<_> = secrets(&headers).map(|(_, secret)| secret).collect();
        assert_eq!(found, [b"one", b"two"]);
    }
}
