//! The orchestrator's address and the paths below it: validation and percent-encoding. Must never do I/O.

use crate::errors::Error;

/// A checked `http(s)://HOST[:PORT][/PREFIX]`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(String);

impl Base {
    pub(super) fn parse(url: &str) -> Result<Base, Error> {
        let bad = |why| Error::BadUrl { url: url.to_string(), why };
        let trimmed = url.trim();
        let (scheme, rest) = trimmed.split_once("://").ok_or(bad("it has no http:// or https:// in front"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(bad("it must begin with http:// or https://"));
        }
        if rest.contains(['?', '#']) {
            return Err(bad("it must not have a query or a fragment"));
        }
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(bad("it must not carry a password; set AUTH_TOKEN instead"));
        }
        let uri: ureq::http::Uri = format!("{scheme}://{host}/{prefix}").parse().map_err(|_| bad("it is malformed"))?;
        let authority = uri.authority().ok_or(bad("it has no host"))?;
        let port = host.rsplit_once(':').filter(|(_, tail)| !tail.ends_with(']')).map(|(_, port)| port);
        if authority.host().is_empty() || authority.host() == "[]" {
            return Err(bad("it has no host"));
        }
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(bad("its port must be 1 to 65535"));
        }
        Ok(Base(format!("{scheme}://{host}/{prefix}").trim_end_matches('/').to_string()))
    }

    /// As people may see it, and as `+ "/path"` makes it an address.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes one path segment or query value: all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    encode_keeping(text, "-._~")
}

/// A path with what is given added to its query.
pub(super) fn with(path: &str, given: &[(&str, &Option<String>)]) -> String {
    let mut all = path.to_string();
    for (key, value) in given {
        let Some(value) = value else { continue };
        let joint = if all.contains('?') { '&' } else { '?' };
        all.push_str(&format!("{joint}{key}={}", encode(value)));
    }
    all
}

/// Percent-encodes what may not stand in a path or query as it is, keeping what already is encoded or separates.
pub(super) fn encode_loosely(text: &str) -> String {
    encode_keeping(text, "-._~/%?&=+:@!$'()*,;[]|")
}

fn encode_keeping(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The address in a `Link: <…>; rel="next"`, made whole with `base` when it is only a path.
pub(super) fn next_page(link: &str, base: &Base) -> Option<String> {
    let target = link.split(',').find_map(|part| {
        let (target, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(target)
    })?;
    // Only ever to where we were sent: the token must not follow a link to another host.
    match target.strip_prefix(base.as_str()) {
        Some(path) if path.starts_with('/') => Some(target.to_string()),
        _ if target.starts_with('/') && !target.starts_with("//") => Some(format!("{}{target}", base.as_str())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_named() {
        for (given, kept) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost", "http://localhost"),
            ("HTTP://host:1/", "http://host:1"),
            (" http://[::1]:8080/ ", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("http://host/cares/", "http://host/cares"),
            ("HTTPS://host:8443", "https://host:8443"),
        ] {
            assert_eq!(Base::parse(given).unwrap().as_str(), kept);
        }
        for bad in [
            "",
            "host",
            "host:8080",
            "ftp://h",
            "https://",
            "http://",
            "http:///x",
            "http://h:0",
            "http://h:99999",
            "http://h:",
            "http://h:x",
            "http://u:p@h",
            "http://h?x",
            "http://h#x",
            "http://a b",
            "http://[]",
        ] {
            let text = Base::parse(bad).expect_err(bad).to_string();
            assert!(text.contains(&format!("'{bad}'")), "{text}");
        }
    }

    #[test]
    fn text_is_encoded() {
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(encode_loosely("a b/ü?x=%20\n"), "a%20b/%C3%BC?x=%20%0A");
    }

    #[test]
    fn links_are_followed_only_home() {
        let base = Base::parse("http://h:1").unwrap();
        let next = |link| next_page(link, &base);
        assert_eq!(next("</functions?after=a>; rel=\"next\"").as_deref(), Some("http://h:1/functions?after=a"));
        assert_eq!(next("<http://h:1/x>; rel=next").as_deref(), Some("http://h:1/x"));
        assert_eq!(next("</a>; rel=\"prev\", </b>; rel=\"next\"").as_deref(), Some("http://h:1/b"));
        for other in
            ["<http://evil/x>; rel=next", "<http://h:12/x>; rel=next", "<//evil/x>; rel=next", "x", "<", "</a>"]
        {
            assert_eq!(next(other), None, "{other}");
        }
    }
}
