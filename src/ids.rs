//! Random ids and secrets, from the operating system.

/// So many random bytes, as hex digits.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if let Err(error) = getrandom::fill(&mut buffer) {
        // A guessable secret is worse than none: there is no way on without the system's randomness.
        log::error!("the system gives no random bytes: {error}");
        std::process::exit(1);
    }
    crate::hex::hex(buffer)
}

/// A random number below `limit`, for spreading things; not for secrets. 0 when the system gives none.
pub fn random_below(limit: u64) -> u64 {
    getrandom::u64().unwrap_or(0).checked_rem(limit).unwrap_or(0)
}
