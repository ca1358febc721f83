//! Tells which runtime a folder is for. Must never change anything there.

use super::{Catalog, Manifest, Runtime, program};
use std::path::Path;
use std::{fmt, fs, io};

/// Why that cannot be told. The text says what was looked for, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undetected {
    /// function.json cannot be read, or is wrong.
    Manifest(String),
    /// The runtime that was asked for is not in the catalog, which has these.
    Unknown { name: String, known: Vec<String> },
    /// The folder holds none of these: a file's name, and its runtime's.
    Nothing(Vec<(String, String)>),
    /// It holds what tells of each of these.
    Several(Vec<String>),
    /// The folder has not what a runtime needs, or that is empty; as its runtime.json has it.
    Missing { runtime: String, needed: String, empty: bool },
    /// The folder cannot be read.
    Unreadable(String),
}

impl fmt::Display for Undetected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undetected::Manifest(why) => f.write_str(why),
            Undetected::Unknown { name, known } => {
                let (name, known) = (name.escape_debug(), known.join(", "));
                write!(
                    f,
                    "there is no runtime '{name}'; there are {known}, and those of the folder that --runtimes names"
                )
            }
            Undetected::Nothing(wanted) => {
                let wanted: Vec<String> = wanted
                    .iter()
                    .map(|(file, runtime)| match file.as_str() {
                        program::ANY => format!("one program ({runtime})"),
                        file => format!("{file} ({runtime})"),
                    })
                    .collect();
                write!(
                    f,
                    "nothing tells what to build: there is no Dockerfile at the top of the folder, and none of {}. Add \
                     one of them, or name the runtime in function.json, as {{\"runtime\": \"shell\"}}",
                    wanted.join(", ")
                )
            }
            Undetected::Several(names) => write!(
                f,
                "the folder could be for {}; say which in function.json, as {{\"runtime\": \"{}\"}}",
                names.join(" or "),
                names.first().map_or("", String::as_str)
            ),
            Undetected::Missing { runtime, needed, empty } => {
                let named: Vec<&str> =
                    needed.split('|').map(|one| if one == program::ANY { "program" } else { one }).collect();
                let (named, first) = (named.join(" or "), named[0]);
                let (is, add) = match empty {
                    true => (format!("{first} is empty"), format!("write something into {first}")),
                    false if first == "program" => (
                        "the folder has no program that was built for Linux, or several and none is called main".into(),
                        "put one at its top (a script is for the runtime shell)".into(),
                    ),
                    false => (format!("the folder has no {named}"), format!("add {first} at its top")),
                };
                write!(
                    f,
                    "{is}, which the runtime {runtime} needs: {add}, or name another runtime with --runtime or in \
                     function.json"
                )
            }
            Undetected::Unreadable(why) => write!(f, "cannot read the folder: {why}"),
        }
    }
}

impl std::error::Error for Undetected {}

impl Catalog {
    /// The runtime that a folder without a Dockerfile is for: the one that its function.json names, else the one whose
    /// file lies at its top. Blocks.
    pub fn detect(&self, dir: &Path) -> Result<&Runtime, Undetected> {
        let manifest = Manifest::read(dir).map_err(Undetected::Manifest)?;
        if let Some(name) = manifest.runtime {
            let known = || self.names().map(str::to_owned).collect();
            return self.get(&name).ok_or_else(|| Undetected::Unknown { name, known: known() });
        }
        let holds = |name: &String| name != program::ANY && dir.join(name).is_file();
        let told: Vec<&Runtime> = self.iter().filter(|runtime| runtime.detect.iter().any(holds)).collect();
        match told[..] {
            [one] => return Ok(one),
            [] => {}
            _ => return Err(Undetected::Several(told.iter().map(|runtime| runtime.name.clone()).collect())),
        }
        // Last: a folder of another runtime may hold a program too.
        let program = program::only(dir).map_err(|error| Undetected::Unreadable(error.to_string()))?;
        let any = |runtime: &&Runtime| runtime.detect.iter().any(|name| name == program::ANY);
        if let Some(runtime) = self.iter().find(any).filter(|_| program.is_some()) {
            return Ok(runtime);
        }
        let wanted = |runtime: &Runtime| -> Vec<(String, String)> {
            runtime.detect.iter().map(|file| (file.clone(), runtime.name.clone())).collect()
        };
        Err(Undetected::Nothing(self.iter().flat_map(wanted).collect()))
    }
}

impl Runtime {
    /// Whether a folder has what this runtime cannot do without. Blocks.
    pub fn has_all(&self, dir: &Path) -> Result<(), Undetected> {
        for needed in &self.needs {
            let sizes = needed.split('|').map(|one| size(dir, one)).collect::<io::Result<Vec<_>>>();
            let sizes = sizes.map_err(|error| Undetected::Unreadable(error.to_string()))?;
            let most = sizes.into_iter().flatten().max();
            if most.is_none_or(|bytes| bytes == 0) {
                let (runtime, needed) = (self.name.clone(), needed.clone());
                return Err(Undetected::Missing { runtime, needed, empty: most.is_some() });
            }
        }
        Ok(())
    }
}

/// Bytes of what is meant at the folder's top, of the largest if several are; a folder is never empty.
fn size(dir: &Path, meant: &str) -> io::Result<Option<u64>> {
    if meant == program::ANY {
        return Ok(program::only(dir)?.map(|_| u64::MAX));
    }
    let Some(end) = meant.strip_prefix('*') else {
        return Ok(fs::metadata(dir.join(meant)).ok().map(|found| if found.is_dir() { u64::MAX } else { found.len() }));
    };
    let ends = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(end);
    let entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().filter(|entry| ends(entry)).filter_map(|entry| Some(entry.metadata().ok()?.len())).max())
}
