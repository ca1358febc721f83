//! TLS: certificates, who is trusted, and encrypted sockets. Must never know a node, a call or a route; nor log a key.

mod authority;
mod certificate;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod join_token;
mod pair;
mod pin;
mod port;
mod stream;
mod trust;

pub use authority::{Authority, AuthorityError};
pub use certificate::{Validity, node_of, validity};
pub use join_token::{BadJoinToken, JoinToken};
pub use pair::{BadPair, Pair};
pub use pin::{Credentials, Dial, MadeKey};
pub use port::Port;
pub use stream::{Secured, Session};
pub use trust::{client, explain, over, pem_certificates};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// What a TLS connection begins with; neither HTTP nor a link does.
pub const FIRST_BYTE: u8 = 0x16;

/// Who does the arithmetic.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}
