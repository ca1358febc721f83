//! Which headers a proxy passes on, and which it adds.

use super::problem::Problem;
use crate::wire;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;

/// Headers of one connection, never of the message (RFC 9110, 7.6.1), and two by which a function would reach the whole of this
/// origin, the dashboard too: its page would answer for all paths, or what the dashboard keeps would be thrown away.
const NOT_PASSED: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("clear-site-data"),
];

pub const X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// A client's own name for what it asks for: the same name is the same thing.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of one.
pub const KEY_BYTES: usize = 255;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Drops what is not passed on, what else belongs to the connection a message came on, and headers that only we may set. Most messages have none of
/// them: one look over their names costs less than asking for each.
pub fn strip(headers: &mut HeaderMap) {
    let ours = |name: &HeaderName| name.as_str().starts_with(wire::HEADER_PREFIX);
    if !headers.keys().any(|name| NOT_PASSED.contains(name) || ours(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .chain(headers.keys().filter(|name| ours(name)).cloned())
        .collect();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH); // it does not count then (RFC 9112, 6.3), and would on a link
    }
    for name in NOT_PASSED.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Says that a request came over TLS, unless a proxy has said how it came to that.
pub fn came_encrypted(headers: &mut HeaderMap) {
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
}

/// Says whom a call comes from and how it came, as reverse proxies do.
pub fn forwarded(headers: &mut HeaderMap, peer: SocketAddr) {
    let address = peer.ip().to_string();
    let chain = match headers.get(X_FORWARDED_FOR).and_then(|v| v.to_str().ok()) {
        Some(before) => format!("{before}, {address}"),
        None => address,
    };
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    if let Some(host) = headers.remove(header::HOST)
        && !headers.contains_key(X_FORWARDED_HOST)
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// The host a caller asked for, when the message reaches its function.
pub fn original_host(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(X_FORWARDED_HOST).cloned()
}

/// A header's text: it must not come twice.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(invalid(name, "once, in ASCII")),
    }
}

/// 400 for a header.
pub fn invalid(name: &HeaderName, why: &str) -> Problem {
    Problem::new(400, "invalid_field", format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_or_to_us_is_dropped() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("service-worker-allowed", "/"),
            ("clear-site-data", "\"*\""),
            ("cares-instance", "i1"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_length_beside_chunks_does_not_count() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        strip(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_chain_of_proxies_is_continued() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("1.2.3.4"));
        headers.insert(header::HOST, HeaderValue::from_static("h:1"));
        forwarded(&mut headers, ([127, 0, 0, 1], 9).into());
        assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.4, 127.0.0.1");
        assert_eq!(headers[X_FORWARDED_HOST], "h:1");
        assert!(!headers.contains_key(header::HOST));
    }
}
