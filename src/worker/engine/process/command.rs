//! Which file a command means, and why it could not be executed. Must never start anything.

use super::super::EngineError;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// The program that means this very binary.
const OWN: &str = "cares";
/// Bytes of a script's first line that are looked at.
const SHEBANG_BYTES: u64 = 256;

/// The file to execute: `cares` is `own`; a path is taken in the bundle unless it is absolute; a bare name is a file at
/// the bundle's top, else searched for in `path` (as `$PATH` is written).
pub fn resolve(command: &[String], bundle: &Path, path: &str, own: &Path) -> Result<PathBuf, EngineError> {
    let refuse = |text: String| Err(EngineError::Command(text));
    let Some(program) = command.first().filter(|program| !program.is_empty()) else {
        return refuse("the command is empty; give a program and its arguments".into());
    };
    if command.iter().any(|word| word.contains('\0')) {
        return refuse(format!("the command {program:?} or its arguments hold a NUL; leave it out"));
    }
    if program == OWN {
        return Ok(own.to_owned());
    }
    if program.contains('/') {
        if Path::new(program).components().any(|part| part == Component::ParentDir) {
            return refuse(format!("the command {program:?} leaves the bundle; give a path without .."));
        }
        let file = bundle.join(program);
        return match fs::metadata(&file) {
            Ok(found) if !found.is_file() => refuse(format!("the command {program:?} is a folder; name a program")),
            Ok(found) => executable(program, file, &found),
            Err(_) if program.starts_with('/') => {
                refuse(format!("the command {program:?} does not exist on this node; install it"))
            }
            Err(_) => refuse(format!("the command {program:?} is not in the bundle; check `command` in function.json")),
        };
    }
    let file = bundle.join(program);
    match fs::metadata(&file) {
        Ok(found) if found.is_file() => return executable(program, file, &found),
        _ => {}
    }
    for folder in path.split(':').filter(|folder| !folder.is_empty()) {
        let file = bundle.join(folder).join(program);
        match fs::metadata(&file) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(file),
            _ => {}
        }
    }
    refuse(format!(
        "the command {program:?} is neither in the bundle nor in {path} on this node; install it there, or ask for it \
         with constraints.tools"
    ))
}

fn executable(program: &str, file: PathBuf, found: &fs::Metadata) -> Result<PathBuf, EngineError> {
    if found.permissions().mode() & 0o111 != 0 {
        return if runs_here(&file) { Ok(file) } else { Err(EngineError::Command(foreign(program))) };
    }
    let text = format!(
        "the command {program:?} may not be executed; `chmod +x` it and deploy again, or name its interpreter before it"
    );
    Err(EngineError::Command(text))
}

fn foreign(program: &str) -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "the command {program:?} is no program this node can run; begin a script with #!, build a binary for {os} {arch}"
    )
}

/// Whether it may be a program for this machine. What the kernel does not know is given to `sh` (that is how
/// executing works in libc), whose complaint about a binary nobody would understand.
fn runs_here(file: &Path) -> bool {
    let mut head = Vec::new();
    if !cfg!(target_os = "linux") || File::open(file).and_then(|f| f.take(64).read_to_end(&mut head)).is_err() {
        return true;
    }
    if !head.starts_with(b"\x7fELF") {
        return !head.contains(&0) || emulates();
    }
    // The machine's number in an ELF header, and the older one it runs too.
    let ours: &[u8] = match std::env::consts::ARCH {
        "x86_64" => &[62, 3],
        "aarch64" => &[183, 40],
        _ => return true,
    };
    // Little endian, as ours are: the low byte comes first.
    head.get(18).is_some_and(|machine| ours.contains(machine)) || emulates()
}

/// Whether the kernel was told how to run other kinds of programs.
fn emulates() -> bool {
    // Two of its files are always there.
    fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|known| known.count() > 2)
}

/// Why `program`, found as `file`, could not be executed.
pub fn explain(program: &str, file: &Path, error: &io::Error) -> EngineError {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    let text = match (error.kind(), errno) {
        (io::ErrorKind::NotFound, _) => match interpreter(file) {
            Some(line) if line.ends_with('\r') => {
                format!("the command {program:?} has Windows line ends, so its #! line names nothing; save it with \\n")
            }
            Some(line) => {
                let name = line.split_whitespace().next().unwrap_or("");
                format!(
                    "the command {program:?} needs {name:?}, which is not on this node; install it or change its #! line"
                )
            }
            None if file.exists() => {
                format!(
                    "the command {program:?} was built for another system: its loader is missing here; link it statically"
                )
            }
            None => format!("the command {program:?} went away; deploy it again"),
        },
        (io::ErrorKind::PermissionDenied, _) => {
            format!(
                "the command {program:?} may not be executed here; `chmod +x` it, and see that --data-dir is not mounted noexec"
            )
        }
        (io::ErrorKind::ArgumentListTooLong, _) => {
            format!("the command {program:?} has more arguments and environment than the system takes; pass less")
        }
        (_, Some(Errno::NOEXEC)) => foreign(program),
        _ => {
            let text =
                format!("could not start {program:?}: {error}; this node may be out of processes, files or memory");
            return EngineError::Resources(text);
        }
    };
    EngineError::Command(text)
}

/// What follows `#!` in a script's first line.
fn interpreter(file: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(file).ok()?.take(SHEBANG_BYTES)).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!")?).trim_end_matches('\n').trim_start().to_owned();
    Some(line)
}
