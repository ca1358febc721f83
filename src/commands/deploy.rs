//! `cares deploy`: packs a folder and makes a function of it. Must never leave anything behind on this machine.

use super::{Failure, Outcome, connect};
use crate::bundle;
use crate::cli::Deploy;
use crate::names::{check_name, suggest_name};
use crate::output;
use crate::types::FunctionSpec;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn run(flags: &Deploy) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let dir = Path::new(&flags.dir);
    let name = name(dir, flags.name.as_deref()).map_err(Failure::Here)?;

    output::progress(&options, &format!("packing {}", dir.display()));
    let space = |error: io::Error| {
        let place = std::env::temp_dir();
        Failure::Here(format!("cannot pack into {}: {error}. Make room there, or set TMPDIR", place.display()))
    };
    let mut zip = unnamed_file().map_err(space)?;
    let mut packed = BufWriter::new(&zip);
    bundle::pack(dir, &mut packed).map_err(|error| Failure::Here(error.to_string()))?;
    packed.flush().map_err(space)?; // dropping it would hide that the disk is full
    drop(packed);
    let len = zip.metadata().map_err(space)?.len();
    zip.rewind().map_err(space)?;

    output::progress(&options, &format!("uploading {} to {}", output::bytes(len), client.url()));
    let stored = client.upload_bundle(&name, &mut zip, len)?;
    let url = format!("{}{}", client.url(), stored.invoke_path);
    let line =
        format!("deployed {name} revision {}\n{url}\nNext: curl {url}\n  or: cares invoke {name}", stored.revision);
    Ok(output::print_change(&options, &stored, &name, &line)?)
}

/// From `--name`, else function.json, else the folder.
fn name(dir: &Path, given: Option<&str>) -> Result<String, String> {
    let shown = dir.display();
    let dir = dir.canonicalize().map_err(|error| format!("cannot read the folder {shown}: {error}. Check its name"))?;
    if !dir.is_dir() {
        return Err(format!("{shown} is no folder. Give the folder that holds function.json"));
    }
    let spec = spec(&dir)?;
    if let Some(name) = given {
        check_name(name).map_err(|bad| format!("--name: {bad}"))?;
        return Ok(name.to_string());
    }
    if let Some(name) = spec.map(|spec| spec.name).filter(|name| !name.is_empty()) {
        check_name(&name).map_err(|bad| format!("{shown}/function.json: {bad}"))?;
        return Ok(name);
    }
    let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    suggest_name(&folder).ok_or_else(|| format!("the folder {shown} gives no name. Give one with --name"))
}

/// What function.json says, if it is there; read here too, so that a mistake is told before anything is uploaded.
fn spec(dir: &Path) -> Result<Option<FunctionSpec>, String> {
    /// More than this is no function.json.
    const MOST: u64 = 1 << 20;
    let path = dir.join("function.json");
    let mut text = Vec::new();
    match File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    }
    let spec = serde_json::from_slice(&text);
    spec.map(Some).map_err(|error| format!("{} is not right: {error}", path.display()))
}

/// A file that is gone when it is closed, however this process ends.
fn unnamed_file() -> io::Result<File> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for attempt in 0..100 {
        let path = std::env::temp_dir().join(format!("cares-deploy-{}-{attempt}.zip", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    #[test]
    fn names_come_from_the_flag_the_file_or_the_folder() {
        let scratch = Scratch::new();
        let dir = scratch.0.join("My App");
        fs::create_dir(&dir).unwrap();
        assert_eq!(name(&dir, None).as_deref(), Ok("my-app"));
        fs::write(dir.join("function.json"), r#"{"name":"filed","command":["./x"]}"#).unwrap();
        assert_eq!(name(&dir, None).as_deref(), Ok("filed"));
        assert_eq!(name(&dir, Some("flagged")).as_deref(), Ok("flagged"));
        assert!(name(&dir, Some("No")).unwrap_err().starts_with("--name"));
        fs::write(dir.join("function.json"), r#"{"nam":"x"}"#).unwrap();
        let text = name(&dir, Some("a")).unwrap_err();
        assert!(text.contains("function.json") && text.contains("nam"), "{text}");
        assert!(name(&dir.join("gone"), None).unwrap_err().contains("gone"));
        assert!(name(&dir.join("function.json"), None).unwrap_err().contains("no folder"));
    }
}
