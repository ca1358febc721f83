//! `function.json`: parses it and says which field is wrong. Must never fill in what the orchestrator decides.

use super::BundleError;
use crate::json;
use crate::types::{FunctionSpec, Mode};

/// What a bundle's `function.json` says: `command` is there, `image` is not, and a mode that is missing or `auto` is
/// `job`, because nothing in a bundle tells that it would serve HTTP.
pub fn parse(text: &[u8]) -> Result<FunctionSpec, BundleError> {
    let mut spec: FunctionSpec = json::object(text).map_err(|error| BundleError::Manifest(error.to_string()))?;
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
