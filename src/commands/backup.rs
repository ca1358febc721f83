//! `cares backup`: all that the cluster keeps, in a file that only its owner may read. Must never leave half a backup under
//! the name that was asked for.

use super::{Failure, Outcome, connect};
use crate::cli::Backup;
use crate::output;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub fn run(flags: &Backup) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    if flags.file == "-" {
        let taken = client.backup(&mut io::stdout().lock())?;
        output::progress(&options, &format!("{} of {} functions", output::bytes(taken.bytes), taken.functions));
        return Ok(());
    }
    let path = Path::new(&flags.file);
    let failed = |error: io::Error| {
        Failure::Here(format!("cannot write {}: {error}. Give another place, or make room there", path.display()))
    };
    let mut part = Part::create(path).map_err(failed)?;
    let taken = client.backup(&mut part.file).map_err(|error| match error {
        crate::errors::Error::Io(error) => failed(error),
        other => other.into(),
    })?;
    part.keep(path).map_err(failed)?;
    let line = format!(
        "backed up {} functions and {} bundles to {} ({}). It holds secrets: keep it safe. Next: cares restore {}",
        taken.functions,
        taken.bundles,
        path.display(),
        output::bytes(taken.bytes),
        path.display()
    );
    Ok(output::print_change(&options, &taken, &flags.file, &line)?)
}

/// The file under another name until it is whole; removed when dropped before that.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(path: &Path) -> io::Result<Part> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let path = path.with_file_name(name);
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Part { path, file })
    }

    fn keep(&mut self, path: &Path) -> io::Result<()> {
        self.file.flush()?;
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // it has its name by now, or is of no use
    }
}
