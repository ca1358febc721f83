//! A build's context: a folder as a tar, made while it is sent. Must never follow a link, nor hold more than a piece.

use crate::ignore::Ignore;
use crate::rt::{self, Sender};
use crate::runtimes;
use crate::tar::{self, Kind};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Its media type.
pub const TYPE: &str = "application/x-tar";
/// What a Dockerfile that is not the folder's own is called there.
pub const DOCKERFILE: &str = ".cares.dockerfile";
/// Says what is none of the context's business.
const IGNORE: &str = ".dockerignore";
/// One read of a file.
const PIECE_BYTES: usize = 64 << 10;

/// Sends all of it; ends early, without an error, when nobody takes it any more. Blocks.
pub fn send(folder: &Path, dockerfile: Option<&str>, to: &Sender<Vec<u8>>) -> io::Result<()> {
    let mut ignore = Ignore::parse(&fs::read_to_string(folder.join(IGNORE)).unwrap_or_default());
    // The engine needs them, and leaves them out of the image itself.
    ["Dockerfile", IGNORE, runtimes::FOLDER].iter().for_each(|name| ignore.keep(name));
    match (Packer { to, ignore }).all(folder, dockerfile) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && to.is_closed() => Ok(()),
        other => other,
    }
}

struct Packer<'a> {
    to: &'a Sender<Vec<u8>>,
    ignore: Ignore,
}

impl Packer<'_> {
    fn all(&self, folder: &Path, dockerfile: Option<&str>) -> io::Result<()> {
        if let Some(text) = dockerfile {
            self.text(DOCKERFILE, text)?;
            // The engine reads it there, and leaves it out of the image.
            let own = fs::read_to_string(folder.join(IGNORE)).unwrap_or_default();
            let itself = if own.is_empty() { IGNORE } else { "" };
            self.text(IGNORE, &format!("{}\n{DOCKERFILE}\n{itself}\n", own.trim_end()))?;
        }
        self.folder(folder, "", dockerfile.is_some())?;
        self.put(vec![0; 2 * tar::BLOCK])?;
        rt::block_on(self.to.send(Vec::new())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn text(&self, name: &str, text: &str) -> io::Result<()> {
        let mut bytes = tar::entry(name, Kind::File, 0o644, text.len() as u64)?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len() + tar::padding(text.len() as u64), 0);
        self.put(bytes)
    }

    fn folder(&self, folder: &Path, prefix: &str, ours: bool) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name =
                entry.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?} is no UTF-8")))?;
            if ours && prefix.is_empty() && [DOCKERFILE, IGNORE].contains(&name.as_str()) {
                continue; // sent already
            }
            let (path, name) = (entry.path(), format!("{prefix}{name}"));
            if self.ignore.leaves_out_all(&name) {
                continue;
            }
            let what = fs::symlink_metadata(&path)?;
            let out = self.ignore.leaves_out(&name);
            let mode = what.permissions().mode() & 0o777;
            if what.is_dir() {
                if !out {
                    self.put(tar::entry(&format!("{name}/"), Kind::Folder, mode, 0)?)?;
                }
                self.folder(&path, &format!("{name}/"), ours)?;
            } else if what.is_file() && !out {
                self.file(&path, &name, mode, what.len())?;
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, name: &str, mode: u32, size: u64) -> io::Result<()> {
        self.put(tar::entry(name, Kind::File, mode, size)?)?;
        let mut file = File::open(path)?.take(size);
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Err(io::Error::other(format!("{name} became shorter while it was read")));
            }
            piece.truncate(read);
            left -= read as u64;
            self.put(piece)?;
        }
        self.put(vec![0; tar::padding(size)])
    }

    fn put(&self, bytes: Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        rt::block_on(self.to.send(bytes)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// As tar itself lists it.
    fn listed(folder: &Path, dockerfile: Option<&str>) -> String {
        let (to, pieces) = rt::bounded(1_000);
        send(folder, dockerfile, &to).expect("packed");
        drop(to);
        let tar = tempfile::NamedTempFile::new().expect("a file");
        let mut whole = Vec::new();
        while let Ok(piece) = rt::block_on(pieces.recv()) {
            whole.extend(piece);
        }
        fs::write(tar.path(), whole).expect("written");
        let out = Command::new("tar")
            .arg("--quoting-style=literal")
            .arg("-tf")
            .arg(tar.path())
            .stderr(Stdio::inherit())
            .output()
            .expect("tar runs");
        assert!(out.status.success());
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    #[test]
    fn a_folder_becomes_a_tar_with_long_names_and_no_links() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = "d".repeat(120);
        fs::create_dir_all(dir.path().join(&long).join("empty")).expect("a folder");
        fs::write(dir.path().join(&long).join("e.txt"), "x".repeat(100_000)).expect("a file");
        fs::write(dir.path().join("app.py"), "").expect("a file");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).expect("a link");
        let expected = |before: &str| format!("{before}app.py\n{long}/\n{long}/e.txt\n{long}/empty/\n");
        assert_eq!(listed(dir.path(), None), expected(""));
        fs::write(dir.path().join(IGNORE), "*.log\n").expect("a file");
        fs::write(dir.path().join("a.log"), "").expect("a file");
        assert_eq!(listed(dir.path(), Some("FROM scratch\n")), expected(".cares.dockerfile\n.dockerignore\n"));
    }
}
