//! What one build leaves for the next of the same function: files of some folders, one after the other as they are. Must
//! never be read but where its builds may do as they like.
//!
//! Their times are kept: compilers tell by them what is to be made again.

use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longest path.
const PATH_BYTES: usize = 4_096;

/// The files of these folders below `home`, as far as they can be read, and how many bytes they have.
pub fn files(home: &Path, folders: &[String]) -> io::Result<(Vec<PathBuf>, u64)> {
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut open: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(home.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, folder.join(entry.file_name()));
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && path.as_os_str().len() <= PATH_BYTES && File::open(home.join(&path)).is_ok() {
                bytes += entry.metadata()?.len() + path.as_os_str().len() as u64 + 32;
                files.push(path);
            }
        }
    }
    Ok((files, bytes))
}

/// Writes them.
pub fn write(home: &Path, files: &[PathBuf], to: &mut impl Write) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(64 << 10, to);
    for path in files {
        let mut file = File::open(home.join(path))?;
        let found = file.metadata()?;
        let age = found.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = path.as_os_str().as_bytes();
        to.write_all(&(name.len() as u32).to_le_bytes())?;
        to.write_all(name)?;
        to.write_all(&(found.permissions().mode() & 0o100).to_le_bytes())?;
        to.write_all(&age.as_secs().to_le_bytes())?;
        to.write_all(&age.subsec_nanos().to_le_bytes())?;
        to.write_all(&found.len().to_le_bytes())?;
        if io::copy(&mut Read::by_ref(&mut file).take(found.len()), &mut to)? != found.len() {
            return Err(io::Error::other(format!("{} became shorter", path.display())));
        }
    }
    to.flush()
}

/// Writes those of a file into `home` again, as long as they are in one of these folders.
pub fn restore(home: &Path, folders: &[String], from: &Path) -> io::Result<()> {
    let mut from = BufReader::with_capacity(64 << 10, File::open(from)?);
    let mut length = [0; 4];
    while filled(&mut from, &mut length)? {
        let length = u32::from_le_bytes(length) as usize;
        let wrong = || io::Error::other("it is none that an earlier build has left");
        let mut name = vec![0; Some(length).filter(|length| *length <= PATH_BYTES).ok_or_else(wrong)?];
        let (mut mode, mut secs, mut nanos, mut bytes) = ([0; 4], [0; 8], [0; 4], [0; 8]);
        for part in [&mut name[..], &mut mode, &mut secs, &mut nanos, &mut bytes] {
            from.read_exact(part)?;
        }
        let path = PathBuf::from(std::ffi::OsString::from_vec(name));
        let mut body = Read::by_ref(&mut from).take(u64::from_le_bytes(bytes));
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || !folders.iter().any(|folder| path.starts_with(folder)) {
            io::copy(&mut body, &mut io::sink())?;
            continue;
        }
        let path = home.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = File::create(&path)?;
        io::copy(&mut body, &mut file)?;
        let age = Duration::new(u64::from_le_bytes(secs), u32::from_le_bytes(nanos).min(999_999_999));
        let changed = SystemTime::UNIX_EPOCH.checked_add(age).ok_or_else(wrong)?;
        file.set_permissions(fs::Permissions::from_mode(0o600 | u32::from_le_bytes(mode) & 0o100))?;
        file.set_times(FileTimes::new().set_modified(changed))?;
    }
    Ok(())
}

/// False at the end.
fn filled(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    let mut read = 0;
    while read < into.len() {
        match from.read(&mut into[read..])? {
            0 if read == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => read += n,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    #[test]
    fn files_come_back_as_they_were_and_no_others() {
        let (from, to) = (Scratch::new(), Scratch::new());
        let put = |path: &str, text: &str| {
            let path = from.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let long = format!("kept/{}/x", "d".repeat(200));
        let program = put("kept/sub/program", "run");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::new(1_234, 567_890_123);
        File::open(put(&long, "")).unwrap().set_modified(old).unwrap();
        put("other/file", "o");
        put("secret", "s");
        std::os::unix::fs::symlink("/etc/passwd", from.0.join("kept/link")).unwrap();
        let folders = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (files, bytes) = files(&from.0, &folders(&["kept", "other", "gone"])).unwrap();
        let mut archive = Vec::new();
        write(&from.0, &files, &mut archive).unwrap();
        assert_eq!((files.len(), archive.len() as u64 <= bytes), (3, true));
        let file = from.0.join("archive");
        fs::write(&file, &archive).unwrap();
        restore(&to.0, &folders(&["kept"]), &file).unwrap();
        assert_eq!(fs::read_to_string(to.0.join("kept/sub/program")).unwrap(), "run");
        assert_eq!(fs::metadata(to.0.join("kept/sub/program")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(to.0.join(&long)).unwrap().modified().unwrap(), old);
        assert_eq!(fs::read_dir(&to.0).unwrap().count(), 1);

        for cut in 1..archive.len().min(300) {
            fs::write(&file, &archive[..cut]).unwrap();
            let _ = restore(&to.0, &folders(&["kept"]), &file); // whatever it is, it ends
        }
        fs::write(&file, &archive[..10]).unwrap();
        assert!(restore(&to.0, &folders(&["kept"]), &file).is_err());
        let up =
            [&8_u32.to_le_bytes()[..], b"kept/../", &[0; 4], &[0; 8], &[0; 4], &1_u64.to_le_bytes(), b"x"].concat();
        fs::write(&file, up).unwrap();
        restore(&to.0, &folders(&["kept"]), &file).unwrap();
    }
}
