//! Where held processes find programs: in the system's folders, then in those of this process' own PATH that they can
//! reach. Must never open more of a home than programs and their libraries: keys and passwords lie beside them.

use super::{landlock, view};
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Looked through first, so that a function finds the same on every node that has it there.
const SYSTEM: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// What programs in a folder `bin` read of the folder above it, such as what node finds npm by.
const LIBRARIES: [&str; 5] = ["lib", "lib64", "libexec", "include", "pyvenv.cfg"];
/// And what Go does, which has its own sources beside.
const OF_GO: [&str; 4] = ["VERSION", "go.env", "pkg", "src"];
/// What rustup calls itself; its programs are all this one.
const RUSTUP: &str = "rustup";

/// The folders, as they were when this process first asked.
#[derive(Debug, Default)]
pub struct Programs {
    folders: Vec<PathBuf>,
    /// To be read beside the system's programs.
    opened: Vec<PathBuf>,
    /// Of PATH, with what is in their way.
    shut: Vec<(PathBuf, String)>,
    /// Whether held processes are users of their own.
    others: bool,
}

/// Those of this process.
pub fn programs() -> &'static Programs {
    static FOUND: LazyLock<Programs> = LazyLock::new(|| {
        let var = |name| std::env::var_os(name).unwrap_or_default();
        Programs::find(&var("PATH"), Path::new(&var("HOME")), &Rustup::given(), view::may_be_made())
    });
    &FOUND
}

impl Programs {
    fn find(path: &OsStr, home: &Path, rustup: &Rustup, others: bool) -> Programs {
        let mut found = Programs { folders: SYSTEM.map(PathBuf::from).to_vec(), others, ..Programs::default() };
        for folder in std::env::split_paths(path) {
            // Administrators' programs are of no use to functions.
            let known = found.folders.contains(&folder) || found.shut.iter().any(|(shut, _)| *shut == folder);
            if known || !folder.is_absolute() || folder.ends_with("sbin") || !folder.is_dir() {
                continue;
            }
            for folder in rustup.toolchain(&folder).into_iter().chain([folder]) {
                match found.in_the_way(&folder) {
                    None => found.add(folder, home),
                    Some(why) => found.shut.push((folder, why)),
                }
            }
        }
        found
    }

    fn add(&mut self, folder: PathBuf, home: &Path) {
        let Ok(real) = folder.canonicalize() else { return };
        if let Some(above) = real.parent().filter(|above| real.ends_with("bin") && *above != home) {
            let go = above.join(OF_GO[0]).is_file() && above.join("pkg/tool").is_dir();
            let read = LIBRARIES.iter().chain(OF_GO.iter().filter(|_| go));
            self.opened.extend(read.map(|name| above.join(name)).filter(|path| path.exists()));
        }
        self.opened.push(real);
        self.folders.push(folder);
    }

    /// Why held processes cannot use what is in a folder, or must not.
    fn in_the_way(&self, folder: &Path) -> Option<String> {
        let real = folder.canonicalize().ok()?;
        if folder.ends_with("shims") {
            let text = "its programs only look for others: put the folder of the version itself into the worker's PATH";
            return Some(text.into());
        }
        if fs::metadata(&real).is_ok_and(|found| found.permissions().mode() & 0o002 != 0) {
            return Some("anybody may write there: 'chmod o-w' it".into());
        }
        self.barred(&real).map(|at| {
            format!("functions may not enter {}: install it for all users, such as in {}", at.display(), SYSTEM[0])
        })
    }

    /// The folder on the way that held processes may not enter.
    fn barred<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        way.into_iter().find(|at| match self.others {
            true => !fs::metadata(at).is_ok_and(|found| found.permissions().mode() & 0o001 != 0),
            false => access(*at, Access::EXEC_OK).is_err(),
        })
    }

    /// As `$PATH` is written.
    pub fn path(&self) -> String {
        let named: Vec<&str> = self.folders.iter().filter_map(|folder| folder.to_str()).collect();
        named.join(":")
    }

    /// What held processes may read beside the system's own programs.
    pub fn opened(&self) -> &[PathBuf] {
        &self.opened
    }

    /// Where held processes find one.
    pub fn find_one(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|file| !name.is_empty() && self.runs(file))
    }

    fn runs(&self, file: &Path) -> bool {
        let Ok(real) = file.canonicalize() else { return false };
        let open = landlock::PROGRAMS.iter().map(Path::new).chain(self.opened.iter().map(PathBuf::as_path));
        real.is_file() && open.into_iter().any(|open| real.starts_with(open)) && self.barred(&real).is_none()
    }

    /// Why one is not found, where it lies in PATH all the same: the file, and what is in its way.
    pub fn out_of_reach(&self, name: &str) -> Option<(PathBuf, &str)> {
        let there = self.shut.iter().find(|(folder, _)| !name.is_empty() && folder.join(name).is_file());
        there.filter(|_| self.find_one(name).is_none()).map(|(folder, why)| (folder.join(name), why.as_str()))
    }
}

/// What tells where rustup keeps toolchains, and which one is used.
#[derive(Default)]
struct Rustup {
    home: Option<OsString>,
    toolchain: Option<String>,
}

impl Rustup {
    fn given() -> Rustup {
        let home = std::env::var_os("RUSTUP_HOME").filter(|home| !home.is_empty());
        Rustup { home, toolchain: std::env::var("RUSTUP_TOOLCHAIN").ok().filter(|name| !name.is_empty()) }
    }

    /// The programs behind those that rustup put into a folder: its own would look for them in a home that held processes
    /// have not, and fetch what is missing into it.
    fn toolchain(&self, folder: &Path) -> Option<PathBuf> {
        let real = ["cargo", "rustc"].iter().find_map(|name| folder.join(name).canonicalize().ok())?;
        if !real.ends_with(RUSTUP) {
            return None;
        }
        // ~/.cargo/bin has it in ~/.rustup.
        let beside = || Some(folder.parent()?.parent()?.join(".rustup"));
        let home = self.home.as_ref().map(PathBuf::from).or_else(beside)?;
        let settings = fs::read_to_string(home.join("settings.toml")).unwrap_or_default();
        let usual = settings.lines().find_map(|line| line.strip_prefix("default_toolchain").and_then(quoted));
        let toolchain = self.toolchain.as_deref().or(usual)?;
        Some(home.join("toolchains").join(toolchain).join("bin")).filter(|bin| bin.is_dir())
    }
}

/// What stands in quotes after a key of a TOML file.
fn quoted(rest: &str) -> Option<&str> {
    rest.trim_start().strip_prefix('=')?.trim().strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests;
