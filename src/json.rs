//! Reading JSON that people wrote: an error names the field. Knows nothing of what the fields mean.

use serde::de::{DeserializeOwned, IgnoredAny};
use std::fmt;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// It is no JSON object.
    Syntax(String),
    /// One of its fields is missing, unknown or of the wrong type; the text names it.
    Field(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Syntax(why) => write!(f, "this is no valid JSON object: {why}"),
            JsonError::Field(why) => f.write_str(why),
        }
    }
}

/// Reads an object.
pub fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    let text = str::from_utf8(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
    match text.trim_ascii_start().bytes().next() {
        Some(b'{') => {}
        Some(_) => return Err(JsonError::Syntax("it must begin with '{'".into())), // serde would read an array too
        None => return Err(JsonError::Syntax("it is empty".into())),
    }
    // First as JSON alone: where it should name a field, serde_json takes some wrong types for bad syntax.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let (field, why) = (error.path().to_string(), plain(&error.inner().to_string()));
        JsonError::Field(if field == "." { why } else { format!("field `{field}`: {why}") })
    })
}

/// What serde calls by Rust's words, in those of whoever writes JSON.
const WORDS: [(&str, &str); 10] = [
    ("u8", "a whole number, 0 to 255"),
    ("u16", "a whole number, 0 to 65535"),
    ("u32", "a whole number, 0 to 4294967295"),
    ("u64", "a whole number, not below 0"),
    ("usize", "a whole number, not below 0"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a map", "an object"),
    ("a sequence", "a list"),
    ("string or map", "a word"),
];

fn plain(why: &str) -> String {
    let Some((before, expected)) = why.rsplit_once("expected ") else { return why.into() };
    let (expected, place) =
        expected.split_once(" at line").map_or((expected, String::new()), |(e, p)| (e, format!(" at line{p}")));
    let word = WORDS.iter().find(|(rust, _)| *rust == expected).map(|(_, word)| *word);
    let word = word.or(expected.starts_with("struct ").then_some("an object")).unwrap_or(expected);
    format!("{before}expected {word}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FunctionSpec;

    #[test]
    fn the_field_is_named() {
        let why = |text: &str| object::<FunctionSpec>(text.as_bytes()).expect_err(text);
        let field = |text: &str, name: &str| match why(text) {
            JsonError::Field(why) => assert!(why.contains(name), "{why}"),
            other => panic!("{text}: {other:?}"),
        };
        field(r#"{"name":7}"#, "name");
        field(r#"{"constraints":{"tags":{"a":1}}}"#, "constraints.tags.a");
        field(r#"{"nmae":"x"}"#, "nmae");
        field(r#"{"concurrency":"8"}"#, "expected a whole number, 0 to 4294967295");
        field(r#"{"memory_mb":-1}"#, "expected a whole number, not below 0");
        field(r#"{"timeout_s":"1"}"#, "expected a number");
        field(r#"{"public":1}"#, "expected true or false");
        field(r#"{"env":[]}"#, "expected an object");
        field(r#"{"command":"ls"}"#, "expected a list");
        field(r#"{"constraints":7}"#, "expected an object");
        field(r#"{"mode":7}"#, "mode");
        for text in ["", "  ", "[]", "null", "{", "{} x", "\u{feff}{}", "{\"name\":}"] {
            assert!(matches!(why(text), JsonError::Syntax(_)), "{text}");
        }
    }
}
