//! `cares make-bundle`, not a verb for people: what a worker without a container engine runs for a build, held like any
//! job. Copies the source folder it is started in, follows its recipe there, and writes the log, a NUL, the bundle's zip with
//! its length before it and what it leaves for the next build to stdout. Must never write anywhere but below $HOME, which ends with it.

mod kept;

use crate::bundle::{self, MANIFEST};
use crate::ignore::Ignore;
use crate::output;
use crate::runtimes::{END_OF_LOG, Recipe};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

pub fn run() -> ExitCode {
    let home = std::env::var_os("HOME").map(PathBuf::from).ok_or_else(|| "it has no $HOME".to_owned());
    let made = home.and_then(|home| {
        let (zip, kept) = work(&home)?;
        let failed = |error: io::Error| format!("cannot hand over the bundle: {error}");
        let mut zip = File::open(zip).map_err(failed)?;
        let len = zip.metadata().map_err(failed)?.len();
        let mut out = io::stdout().lock();
        out.write_all(&[END_OF_LOG]).and_then(|()| out.write_all(&len.to_le_bytes())).map_err(failed)?;
        io::copy(&mut zip, &mut out).map_err(failed)?;
        kept::write(&home, &kept, &mut out).and_then(|()| out.flush()).map_err(failed)
    });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            output::note(&why); // stderr: it is the build's error
            ExitCode::FAILURE
        }
    }
}

/// The zip it made, and the files below $HOME that it leaves for the next build.
fn work(home: &Path) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let source = home.join("source");
    let full = |error: io::Error| format!("cannot copy the source: {error}");
    let before = Recipe::kept(Path::new("."));
    copy(Path::new("."), &source, &before).map_err(full)?;
    let recipe = Recipe::read(&source)?;
    Recipe::forget(&source).map_err(full)?;
    // What is there is not needed.
    if before.exists()
        && let Err(error) = kept::restore(home, &recipe.cache, &before)
    {
        log(format!("cannot use what the last build has left: {error}\n").as_bytes()).map_err(full)?;
    }
    for line in &recipe.build {
        step(line, &source)?;
    }
    let made = |error: io::Error| format!("cannot put the bundle together: {error}");
    let folder = if recipe.output.is_empty() {
        source
    } else {
        let folder = home.join("output");
        fs::create_dir(&folder).map_err(made)?;
        for name in &recipe.output {
            let (from, to) = (source.join(name), folder.join(name));
            fs::rename(&from, &to).map_err(|error| format!("the build made no {name}: {error}"))?;
        }
        folder
    };
    let manifest = serde_json::to_vec_pretty(&recipe.manifest).map_err(|error| error.to_string())?;
    fs::write(folder.join(MANIFEST), manifest).map_err(made)?;
    let zip = home.join("bundle.zip");
    bundle::pack(&folder, &Ignore::default(), File::create_new(&zip).map_err(made)?)
        .map_err(|error| error.to_string())?;
    Ok((zip, left(home, &recipe)?))
}

/// What the next build gets.
fn left(home: &Path, recipe: &Recipe) -> Result<Vec<PathBuf>, String> {
    let failed = |error: io::Error| format!("cannot look through what the build leaves: {error}");
    let (files, bytes) = kept::files(home, &recipe.cache).map_err(failed)?;
    if bytes <= recipe.cache_bytes {
        return Ok(files);
    }
    if recipe.cache_bytes > 0 {
        let (is, may) = (bytes.div_ceil(1 << 20), recipe.cache_bytes >> 20);
        let text = format!(
            "the next build begins anew: what this one leaves is {is} MiB, more than {may} MiB, a quarter of the worker's \
             limit build-cache-bytes\n"
        );
        log(text.as_bytes()).map_err(failed)?;
    }
    Ok(Vec::new())
}

/// Files and folders, as they are, but for this one; a bundle holds nothing else.
fn copy(from: &Path, to: &Path, but: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()? {
            _ if entry.path() == but => {}
            kind if kind.is_dir() => copy(&entry.path(), &to, but)?,
            kind if kind.is_file() => fs::copy(entry.path(), to).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

/// Runs one line in the folder; what it prints is the log.
fn step(line: &str, folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot run `{line}`: {error}");
    log(format!("$ {line}\n").as_bytes()).map_err(failed)?;
    let (mut said, says) = io::pipe().map_err(failed)?;
    let mut command = Command::new("sh");
    command.args(["-ec", line]).current_dir(folder).stdin(Stdio::null());
    command.stdout(says.try_clone().map_err(failed)?).stderr(says);
    let mut child = command.spawn().map_err(failed)?;
    drop(command); // it holds the pipe open
    let mut chunk = vec![0; 8 << 10];
    loop {
        match said.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                chunk[..n].iter_mut().filter(|byte| **byte == END_OF_LOG).for_each(|byte| *byte = b'?');
                log(&chunk[..n]).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

fn log(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
