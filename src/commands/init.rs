//! `cares init`: makes a folder with a function to begin with. Must never write over anything, nor ask where there is no
//! terminal.

use super::{Failure, Outcome};
use crate::bundle::MANIFEST;
use crate::cli::Init;
use crate::config::Env;
use crate::names::check_name;
use crate::output;
use crate::runtimes::{self, Catalog, File, Runtime};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Whoever just presses Enter gets this name, and who names none where nobody can be asked.
const NAME: &str = "my-function";

pub fn run(flags: &Init) -> Outcome {
    let catalog = Catalog::load(&folders(flags)).map_err(|error| Failure::Here(error.to_string()))?;
    let known = catalog.names().collect::<Vec<_>>().join(", ");
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !terminal && flags.runtime.is_none() {
        let usage = format!("--runtime is missing: cares init NAME --runtime RUNTIME, which is one of {known}");
        return Err(Failure::Usage(usage));
    }
    let name = match &flags.name {
        Some(name) => name.clone(),
        None if !terminal => NAME.to_owned(),
        None => ask(&format!("Name [{NAME}]: "), |said| {
            let name = if said.is_empty() { NAME } else { said };
            let dir = check(name)?;
            if dir.symlink_metadata().is_ok() { Err(there(&dir)) } else { Ok(name.to_owned()) }
        })?,
    };
    let dir = check(&name).map_err(Failure::Usage)?;
    let runtime = match &flags.runtime {
        Some(name) => catalog.get(name).ok_or_else(|| {
            Failure::Usage(format!(
                "there is no runtime '{name}'; there are {known}, and those of a folder given with --runtimes"
            ))
        })?,
        None => choose(&catalog)?,
    };
    make(&dir, runtime).map_err(Failure::Here)?;
    if !flags.quiet {
        let shown = dir.display();
        output::print(&format!("made {shown} ({})\nNext: cares deploy {shown}\n", runtime.name))?;
    }
    Ok(())
}

/// Those that are given, else where a cluster of this machine has its own.
fn folders(flags: &Init) -> Vec<PathBuf> {
    if !flags.runtimes.is_empty() {
        return flags.runtimes.iter().map(PathBuf::from).collect();
    }
    let env = Env::process();
    let base = env.data_dir(None).map_or_else(|| env.data_base().ok(), Some);
    base.map_or_else(Vec::new, |base| {
        vec![base.join(runtimes::IN_DATA_DIR), base.join("orchestrator").join(runtimes::IN_DATA_DIR)]
    })
}

/// The folder of a name, which is a function's.
fn check(name: &str) -> Result<PathBuf, String> {
    let dir = Path::new(name);
    let last = dir.file_name().map(|last| last.to_string_lossy().into_owned()).unwrap_or_default();
    check_name(&last).map_err(|bad| bad.to_string())?;
    Ok(dir.to_path_buf())
}

fn there(dir: &Path) -> String {
    let dir = dir.display();
    format!("{dir} is there already; choose another name, or deploy what is there with 'cares deploy {dir}'")
}

fn choose(catalog: &Catalog) -> Result<&Runtime, Failure> {
    let all: Vec<&Runtime> = catalog.iter().collect();
    let width = all.iter().map(|runtime| runtime.name.len()).max().unwrap_or(0);
    for (number, runtime) in all.iter().enumerate() {
        let text = output::printable(&runtime.description);
        output::note(&format!("{:>3}  {:width$}  {text}", number + 1, runtime.name));
    }
    ask(&format!("Runtime [1-{}]: ", all.len()), |said| {
        let by_number = said.parse::<usize>().ok().and_then(|number| all.get(number.checked_sub(1)?));
        let found = by_number.copied().or_else(|| catalog.get(said));
        found.ok_or_else(|| format!("'{said}' is none of them; give a number or a name"))
    })
}

/// Asks until the answer is good.
fn ask<T>(question: &str, good: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    loop {
        let _ = io::Write::write_all(&mut io::stderr(), question.as_bytes()); // a terminal that is gone answers nothing
        let mut answer = String::new();
        if !matches!(io::stdin().read_line(&mut answer), Ok(1..)) {
            return Err(Failure::Here("nothing was made".to_owned()));
        }
        match good(answer.trim()) {
            Ok(value) => return Ok(value),
            Err(why) => output::note(&output::printable(&why)),
        }
    }
}

/// Makes the folder with the runtime's starter, whole or not at all.
fn make(dir: &Path, runtime: &Runtime) -> Result<(), String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => there(dir),
        _ => format!("cannot make {}: {error}", dir.display()),
    };
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    fs::create_dir(dir).map_err(failed)?;
    fill(dir, runtime).map_err(|error| {
        let _ = fs::remove_dir_all(dir); // it was not there before
        failed(error)
    })
}

fn fill(dir: &Path, runtime: &Runtime) -> io::Result<()> {
    for (path, file) in runtime.starter() {
        runtimes::write(dir, path, file)?;
    }
    if runtime.starter().any(|(path, _)| path == MANIFEST) {
        return Ok(());
    }
    let text = format!("{{\n  \"runtime\": \"{}\"\n}}\n", runtime.name);
    runtimes::write(dir, MANIFEST, &File { path: MANIFEST.into(), bytes: text.into(), executable: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use crate::runtimes::Manifest;

    #[test]
    fn a_folder_is_made_whole_and_never_over_another() {
        let (scratch, catalog) = (Scratch::new(), Catalog::load(&[]).unwrap());
        for runtime in catalog.iter() {
            let dir = scratch.0.join("made").join(&runtime.name);
            make(&dir, runtime).unwrap();
            assert_eq!(Manifest::read(&dir).unwrap().runtime.as_ref(), Some(&runtime.name));
            assert_eq!(catalog.detect(&dir).map(|found| &found.name), Ok(&runtime.name));
            assert!(make(&dir, runtime).unwrap_err().contains("is there already"));
        }
        assert!(check("No").unwrap_err().contains("no valid name"));
        assert!(check("/").is_err() && check("..").is_err() && check("").is_err());
        assert_eq!(check("a/b"), Ok(PathBuf::from("a/b")));
    }
}
