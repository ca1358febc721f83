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
        let (field, why) = (error.path().to_string(), error.inner());
        JsonError::Field(if field == "." { why.to_string() } else { format!("field `{field}`: {why}") })
    })
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
        for text in ["", "  ", "[]", "null", "{", "{} x", "\u{feff}{}", "{\"name\":}"] {
            assert!(matches!(why(text), JsonError::Syntax(_)), "{text}");
        }
    }
}
