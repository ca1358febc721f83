//! Which CARES this is.

/// As in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from; `unknown` outside a git checkout.
pub const COMMIT: &str = env!("CARES_COMMIT");

/// `0.1.0 (abcdef012345)`.
pub fn long() -> String {
    format!("{VERSION} ({COMMIT})")
}
