//! `cares deploy`: packs a folder, has it built if it must be, and makes a function of it. Must never leave anything
//! behind on this machine.

use super::{Failure, Outcome, Part, build_log, connect, connect_to, revisions};
use crate::bundle;
use crate::cli::{ClientOptions, Deploy};
use crate::client::{BuildSpec, Orchestrator};
use crate::errors::Error;
use crate::ignore::Ignore;
use crate::names::{check_name, suggest_name};
use crate::output;
use crate::runtimes::{Catalog, Manifest};
use crate::types::{Build, FunctionSpec};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn run(flags: &Deploy) -> Outcome {
    folder(&flags.client(), Path::new(&flags.dir), flags.name.as_deref(), flags.runtime.as_deref(), flags.anew)
}

/// The same for a folder, however it was named.
pub fn folder(options: &ClientOptions, dir: &Path, name: Option<&str>, runtime: Option<&str>, anew: bool) -> Outcome {
    let client = connect(options)?;
    let (name, manifest) = read(dir, name).map_err(Failure::Here)?;
    let runtime = runtime.map(str::to_string).or_else(|| manifest.runtime.clone());
    if runs_as_it_is(dir, &manifest, runtime.as_deref()) {
        return as_bundle(&client, options, dir, &name);
    }
    let (builder, build) = send(options, dir, &BuildSpec { name: name.clone(), runtime, anew })?;
    let built = build_log::follow(&builder, options, build)?;
    let image = built.image.clone().unwrap_or_default();
    let settings = FunctionSpec { name: name.clone(), image, ..manifest.spec };
    // Who may deploy need not be one who may look.
    let function = match client.redeploy_as(&name, &settings) {
        Err(Error::Api(problem)) if problem.code == "function_not_found" => {
            let made = client.register(&settings)?;
            match client.function(&name) {
                Err(Error::Api(refused)) if refused.status == 403 => {
                    return deployed(&client, options, &made, &made.invoke_path, made.revision, "");
                }
                there => there?,
            }
        }
        there => there?,
    };
    deployed(&client, options, &function, &function.invoke_path, function.revision, revisions::not_yet(&function))
}

/// Whether there is nothing to build of a folder: it says itself what is to run.
pub fn runs_as_it_is(dir: &Path, manifest: &Manifest, runtime: Option<&str>) -> bool {
    let has_command = manifest.spec.command.as_ref().is_some_and(|command| !command.is_empty());
    has_command && runtime.is_none() && !dir.join("Dockerfile").is_file()
}

/// Packs a folder and has it built: whom to ask about that, and the build as it waits.
pub fn send(options: &ClientOptions, dir: &Path, spec: &BuildSpec) -> Result<(Orchestrator, Build), Failure> {
    output::progress(options, &format!("packing {}", dir.display()));
    let (mut zip, len) = packed(dir, &left_out(dir, spec.runtime.as_deref()))?;
    let builder = connect_to(options, Part::Builder)?;
    output::progress(options, &format!("uploading {} to {}", output::bytes(len), builder.url()));
    let build = builder.build(spec, &mut zip, len)?;
    Ok((builder, build))
}

/// Without a build: what is in the folder is what runs.
fn as_bundle(client: &Orchestrator, options: &ClientOptions, dir: &Path, name: &str) -> Outcome {
    output::progress(options, &format!("packing {}", dir.display()));
    let (mut zip, len) = packed(dir, &Ignore::default())?;
    output::progress(options, &format!("uploading {} to {}", output::bytes(len), client.url()));
    let stored = client.upload_bundle(name, &mut zip, len)?;
    let now = client.function(name).map_or("", |f| revisions::not_yet(&f)); // who may not look is told less
    deployed(client, options, &stored, &stored.invoke_path, stored.revision, now)
}

/// What was done, where it is, and how to call it.
fn deployed<T: Serialize>(
    client: &Orchestrator,
    options: &ClientOptions,
    answer: &T,
    invoke_path: &str,
    revision: u64,
    now: &str,
) -> Outcome {
    let name = invoke_path.rsplit('/').next().unwrap_or_default();
    let url = format!("{}{invoke_path}", client.url());
    let line = format!("deployed {name} revision {revision}{now}\n{url}\nNext: curl {url}\n  or: cares invoke {name}");
    Ok(output::print_change(options, answer, name, &line)?)
}

/// A zip of the folder, from its beginning, and how many bytes it has.
fn packed(dir: &Path, ignore: &Ignore) -> Result<(File, u64), Failure> {
    let space = |error: io::Error| {
        let place = std::env::temp_dir();
        Failure::Here(format!("cannot pack into {}: {error}. Make room there, or set TMPDIR", place.display()))
    };
    let mut zip = unnamed_file().map_err(space)?;
    let mut packed = BufWriter::new(&zip);
    bundle::pack(dir, ignore, &mut packed).map_err(|error| Failure::Here(error.to_string()))?;
    packed.flush().map_err(space)?; // dropping it would hide that the disk is full
    drop(packed);
    let len = zip.metadata().map_err(space)?.len();
    zip.rewind().map_err(space)?;
    Ok((zip, len))
}

/// What of a folder is not sent to be built: what its .dockerignore says, and what a runtime's builds make anew. Which
/// runtime it is the orchestrator tells; one that is not in this program has no such words.
fn left_out(dir: &Path, runtime: Option<&str>) -> Ignore {
    let mut ignore = Ignore::parse(&fs::read_to_string(dir.join(".dockerignore")).unwrap_or_default());
    // Of use even where no step may see them.
    ["Dockerfile", ".dockerignore", "function.json"].iter().for_each(|name| ignore.keep(name));
    let Ok(catalog) = Catalog::load(&[]) else { return ignore };
    let runtime = match runtime {
        Some(name) => catalog.get(name),
        None if dir.join("Dockerfile").is_file() => None,
        None => catalog.detect(dir).ok(),
    };
    runtime.into_iter().flat_map(|runtime| &runtime.ignore).for_each(|name| ignore.add_name(name));
    ignore
}

/// The name, from `--name`, else function.json, else the folder; and what function.json says: a mistake is told before
/// anything is uploaded.
pub fn read(dir: &Path, given: Option<&str>) -> Result<(String, Manifest), String> {
    let shown = dir.display();
    let dir = dir.canonicalize().map_err(|error| format!("cannot read the folder {shown}: {error}. Check its name"))?;
    if !dir.is_dir() {
        return Err(format!("{shown} is no folder. Give the folder that holds the function"));
    }
    let manifest = Manifest::read(&dir).map_err(|why| format!("{shown}: {why}"))?;
    if let Some(name) = given {
        check_name(name).map_err(|bad| format!("--name: {bad}"))?;
        return Ok((name.to_string(), manifest));
    }
    let named = manifest.spec.name.clone();
    if !named.is_empty() {
        check_name(&named).map_err(|bad| format!("{shown}/function.json: {bad}"))?;
        return Ok((named, manifest));
    }
    let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name =
        suggest_name(&folder).ok_or_else(|| format!("the folder {shown} gives no name. Give one with --name"))?;
    Ok((name, manifest))
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
        let name = |dir: &Path, given| read(dir, given).map(|(name, _)| name);
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
