//! `function.json`: parses it and says which field is wrong. Must never fill in what the orchestrator decides.

use super::{BundleError, MANIFEST};
use crate::types::{FunctionSpec, Mode};
use serde_json::{Map, Value};

/// What a bundle's `function.json` says: `command` is there, `image` is not, and a mode that is missing or `auto` is
/// `job`, because nothing in a bundle tells that it would serve HTTP.
pub fn parse(text: &[u8]) -> Result<FunctionSpec, BundleError> {
    // First as an object: serde would also read a struct from an array.
    let fields: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|error| BundleError::Manifest(format!("{error}; {MANIFEST} must be a JSON object")))?;
    let mut spec: FunctionSpec =
        serde_json::from_slice(text).map_err(|error| BundleError::Manifest(name_the_field(fields, error)))?;
    let wrong = |text: &str| Err(BundleError::Manifest(text.to_owned()));
    if !spec.image.is_empty() {
        return wrong("`image` must be left out: the bundle itself is what runs");
    }
    match spec.command.as_deref() {
        None | Some([]) => {
            return wrong("`command` is missing; give program and arguments, such as [\"python3\", \"main.py\"]");
        }
        Some([program, ..]) if program.trim().is_empty() => return wrong("`command` starts with an empty program"),
        Some(words) if words.iter().any(|word| word.contains('\0')) => return wrong("`command` holds a NUL"),
        Some(_) => {}
    }
    spec.mode = Some(match spec.mode {
        Some(Mode::Http) => Mode::Http,
        None | Some(Mode::Auto | Mode::Job) => Mode::Job,
    });
    Ok(spec)
}

/// serde names unknown, missing and doubled fields, but not the one whose value has the wrong type: try each alone.
fn name_the_field(fields: Map<String, Value>, error: serde_json::Error) -> String {
    for (field, value) in fields {
        let alone = Value::Object(Map::from_iter([(field.clone(), value)]));
        if let Err(error) = serde_json::from_value::<FunctionSpec>(alone) {
            return format!("field `{field}`: {error}");
        }
    }
    error.to_string()
}
