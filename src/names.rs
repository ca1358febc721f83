//! The one rule for names of functions and nodes. Must never know what is named.

use std::fmt;

/// Longest name, in bytes: what fits a DNS label.
pub const MAX_NAME_LEN: usize = 63;
/// Of a name or path that nothing has.
const SHOWN_CHARS: usize = 80;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no valid name: use 1 to {MAX_NAME_LEN} lowercase letters, digits and dashes, with a letter or digit first and last",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for BadName {}

/// Checks `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends_fit = bytes.first().is_some_and(|&b| plain(b)) && bytes.last().is_some_and(|&b| plain(b));
    if ends_fit && bytes.len() <= MAX_NAME_LEN && bytes.iter().all(|&b| plain(b) || b == b'-') {
        return Ok(());
    }
    // What a stranger sent may be a megabyte long; the message need not be.
    Err(BadName(name.chars().take(MAX_NAME_LEN + 1).collect()))
}

/// What a stranger asked for by name, as an error repeats it: it may be tens of kilobytes, the message need not be.
pub fn shown(asked: &str) -> String {
    match asked.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &asked[..end]),
        None => asked.to_string(),
    }
}

/// Turns any text, such as a folder's name, into a name; `None` when nothing of it can be kept.
pub fn suggest_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(MAX_NAME_LEN);
    let name = name.trim_end_matches('-').to_string();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_repeated_in_brief() {
        assert_eq!(shown("nope"), "nope");
        assert_eq!(shown(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shown(&"é".repeat(81)), "é".repeat(80) + "…");
    }

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "0", "hello", "a-b", "a--b", &"x".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a b", "é", "a/b", "a.b", "a\n", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&"Z".repeat(1_000_000)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn folder_names_become_names() {
        assert_eq!(suggest_name("My Function_2.0").as_deref(), Some("my-function-2-0"));
        assert_eq!(suggest_name("--é--"), None);
        for text in ["__x__", "Ünder", &"a-".repeat(60)] {
            assert_eq!(check_name(&suggest_name(text).unwrap()), Ok(()), "{text}");
        }
    }
}
