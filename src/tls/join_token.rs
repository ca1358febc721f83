//! A join token: whom to trust and what to come with, in one text. Must never be shown but when it is made.

use super::authority::Fingerprint;
use crate::auth::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// What it begins with; another form would have another number.
const PREFIX: &str = "cares-join-1.";

/// What a worker needs to join over a network that it does not trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Of the certificate of the cluster's authority.
    pub fingerprint: Fingerprint,
    pub secret: Secret,
}

/// It begins like one and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJoinToken;

impl fmt::Display for BadJoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it begins like a join token, but is cut short or changed: copy all of what `cares token join` printed",
        )
    }
}

impl JoinToken {
    /// The text, as a person copies it.
    pub fn text(&self) -> Secret {
        let fingerprint = URL_SAFE_NO_PAD.encode(self.fingerprint);
        self.secret.within(|secret| format!("{PREFIX}{fingerprint}.{secret}"))
    }

    /// Reads it; `None`: some other token.
    pub fn read(token: &Secret) -> Result<Option<Self>, BadJoinToken> {
        let Some(rest) = token.reveal().strip_prefix(PREFIX) else { return Ok(None) };
        let (fingerprint, secret) = rest.split_once('.').ok_or(BadJoinToken)?;
        let fingerprint = URL_SAFE_NO_PAD.decode(fingerprint).map_err(|_| BadJoinToken)?;
        let fingerprint = fingerprint.try_into().map_err(|_| BadJoinToken)?;
        let secret = Secret::new(secret).map_err(|_| BadJoinToken)?;
        Ok(Some(JoinToken { fingerprint, secret }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let token = JoinToken { fingerprint: [7; 32], secret: Secret::random() };
        let read = |text: &str| JoinToken::read(&Secret::new(text).unwrap());
        assert_eq!(read(token.text().reveal()), Ok(Some(token.clone())));
        assert_eq!(read("cares_0123"), Ok(None));
        for bad in ["cares-join-1.", "cares-join-1.abc.s", "cares-join-1.AAAA", &token.text().reveal()[..50]] {
            assert_eq!(read(bad), Err(BadJoinToken), "{bad}");
        }
    }
}
