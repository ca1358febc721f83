//! Inputs and results in JSON: text as it is, all else in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BASE64: &str = "base64";

/// As text, and how that is encoded.
pub fn encode(bytes: &[u8]) -> (String, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (text.into(), None),
        Err(_) => (STANDARD.encode(bytes), Some(BASE64.into())),
    }
}

/// # Errors
/// Why it cannot be; names the field.
pub fn decode(text: String, encoding: Option<&str>) -> Result<Vec<u8>, String> {
    match encoding {
        None | Some("") => Ok(text.into_bytes()),
        Some(BASE64) => STANDARD.decode(text).map_err(|e| format!("what is sent with encoding base64 is none: {e}")),
        Some(other) => {
            let other: String = other.chars().take(20).collect();
            Err(format!("encoding: must be base64 or left out, not '{}'", other.escape_debug()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        for bytes in [&b""[..], b"text", "ä€".as_bytes(), b"\xff\x00\xfe", b"\n"] {
            let (text, encoding) = encode(bytes);
            assert_eq!(encoding.is_none(), str::from_utf8(bytes).is_ok());
            assert_eq!(decode(text, encoding.as_deref()).as_deref(), Ok(bytes));
        }
        assert!(decode("%".into(), Some(BASE64)).is_err());
        assert!(decode("x".into(), Some("gzip")).is_err_and(|why| why.starts_with("encoding:")));
    }
}
