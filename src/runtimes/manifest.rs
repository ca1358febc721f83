//! `function.json` of a folder that is to be built: a function's settings, and which runtime it is for. Must never ask
//! for a command: that is what a build is for.

use crate::bundle::{MANIFEST, MAX_MANIFEST_BYTES};
use crate::json;
use crate::types::FunctionSpec;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The one field that a function's settings do not have.
const RUNTIME: &str = "runtime";

/// What it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    pub runtime: Option<String>,
    pub spec: FunctionSpec,
}

impl Manifest {
    /// Reads it; the text says which field is wrong.
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        let wrong = |error: json::JsonError| format!("{MANIFEST}: {error}");
        let mut fields: Map<String, Value> = json::object(text).map_err(wrong)?;
        let runtime = match fields.remove(RUNTIME) {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(format!("{MANIFEST}: field `{RUNTIME}`: expected a runtime's name")),
        };
        let rest = Value::Object(fields).to_string();
        Ok(Manifest { runtime, spec: json::object(rest.as_bytes()).map_err(wrong)? })
    }

    /// That of a folder; one that is not there says nothing. Blocks.
    pub fn read(dir: &Path) -> Result<Manifest, String> {
        let mut text = Vec::new();
        let read =
            File::open(dir.join(MANIFEST)).and_then(|file| file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut text));
        match read {
            Ok(_) if text.len() as u64 > MAX_MANIFEST_BYTES => Err(format!("{MANIFEST} is larger than 64 KiB")),
            Ok(_) => Manifest::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => Err(format!("cannot read {MANIFEST}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    #[test]
    fn it_is_settings_and_a_runtime() {
        let manifest = Manifest::parse(br#"{"runtime":"go","timeout_s":5,"env":{"A":"b"}}"#).unwrap();
        assert_eq!((manifest.runtime.as_deref(), manifest.spec.timeout_s), (Some("go"), Some(5.0)));
        for (text, part) in [
            (&br#"{"runtime":1}"#[..], "`runtime`"),
            (br#"{"tiemout_s":1}"#, "tiemout_s"),
            (br#"{"timeout_s":"x"}"#, "`timeout_s`"),
            (b"[]", "'{'"),
        ] {
            let error = Manifest::parse(text).unwrap_err();
            assert!(error.starts_with("function.json: ") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_folder_without_one_says_nothing() {
        let scratch = Scratch::new();
        assert_eq!(Manifest::read(&scratch.0), Ok(Manifest::default()));
        std::fs::write(scratch.0.join(MANIFEST), vec![b' '; 70_000]).unwrap();
        assert!(Manifest::read(&scratch.0).unwrap_err().contains("64 KiB"));
    }
}
