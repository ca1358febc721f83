//! Bytes that are not to be seen: not printed, and not left in memory that is given back.

/// Makes bytes zeros, also where nobody reads them again.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// Bytes of a secret. What is copied out of them is the caller's to hide.
#[derive(Clone, Default)]
pub struct Hidden(Vec<u8>);

impl Hidden {
    /// Takes them; no copy is left.
    pub fn new(bytes: Vec<u8>) -> Hidden {
        Hidden(bytes)
    }

    /// The bytes themselves.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Hands them over.
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}
