//! Tokens saved on this machine, each for the one address it was saved for, readable by their owner alone. Must never
//! give one to another address.

use crate::auth::Secret;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `$XDG_CONFIG_HOME/cares/tokens.json`, or below `~/.config`.
pub fn path() -> Option<PathBuf> {
    let absolute = |key| std::env::var_os(key).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("cares/tokens.json"))
}

/// What was saved for an address; `Err` says why the file cannot be used.
pub fn token(path: &Path, url: &str) -> Result<Option<Secret>, String> {
    let Some(text) = read(path)?.remove(url) else { return Ok(None) };
    Secret::new(&text).map(Some).map_err(|why| format!("{}: {why}", path.display()))
}

/// Saves one, in place of what was saved for that address: whole or not at all.
pub fn save(path: &Path, url: &str, token: &Secret) -> Result<(), String> {
    let mut all = read(path)?;
    all.insert(url.into(), token.reveal().into());
    let write = || -> io::Result<()> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec_pretty(&all)?)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let unusable = |why: String| format!("cannot use {}: {why}. Correct or remove it", path.display());
    match fs::read(path) {
        // What serde says of where it is wrong may quote it.
        Ok(text) => serde_json::from_slice(&text).map_err(|_| unusable("it is no JSON object of texts".into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(unusable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_for_the_address_it_was_saved_for() {
        let scratch = Scratch::new();
        let path = scratch.0.join("below/cares/tokens.json");
        assert_eq!(token(&path, "http://a:1"), Ok(None));
        for (url, text) in [("http://a:1", "old"), ("http://b:1", "other"), ("http://a:1", "new")] {
            save(&path, url, &Secret::new(text).unwrap()).unwrap();
        }
        assert_eq!(token(&path, "http://a:1"), Ok(Secret::new("new").ok()));
        assert_eq!(token(&path, "http://a:10"), Ok(None));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, r#"{"http://a:1": ["s3cret"]}"#).unwrap();
        let text = token(&path, "http://a:1").unwrap_err();
        assert!(text.contains("tokens.json") && !text.contains("s3cret"), "{text}");
    }
}
