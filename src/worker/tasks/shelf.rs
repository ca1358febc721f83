//! Tasks on disk: a small file each, whole or not at all, with a checksum; and what an ended one printed last. Must never
//! lose one that was said to be kept, nor start what it cannot read.

use super::record::Record;
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const RECORD: &str = "task";
const LOG: &str = "log";
/// Beside its name: what could not be read, for people to look at.
const BAD: &str = "bad";
/// Larger than any task may be: its settings are limited to some 800 KiB.
const RECORD_BYTES: u64 = 4 << 20;
/// Of what a task printed, as JSON lines.
pub const LOG_BYTES: u64 = 2 << 20;
const SUM: usize = 32;

/// The folder.
pub struct Shelf(PathBuf);

impl Shelf {
    /// Makes it, and reads what is there. Blocks.
    pub fn open(dir: PathBuf) -> io::Result<(Shelf, Vec<Record>)> {
        fs::create_dir_all(&dir)?;
        let shelf = Shelf(dir);
        let mut all = Vec::new();
        for entry in fs::read_dir(&shelf.0)? {
            let path = entry?.path();
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            match path.extension().and_then(|kind| kind.to_str()) {
                Some(RECORD) => match read(&path, id) {
                    Ok(record) => all.push(record),
                    Err(why) => {
                        let aside = path.with_extension(BAD);
                        log::error!("{}: {why}: it is kept as {}, and not run", path.display(), aside.display());
                        fs::rename(&path, aside)?;
                    }
                },
                Some("part") => fs::remove_file(&path)?, // a write that never ended
                _ => {}
            }
        }
        Ok((shelf, all))
    }

    /// Keeps it. `sure`: it is on disk when this returns, also should the power go. Blocks.
    pub fn put(&self, record: &Record, sure: bool) -> io::Result<()> {
        let body = record.encode_to_vec();
        let path = self.file(&record.task.id, RECORD);
        let part = self.file(&record.task.id, "part");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&Sha256::digest(&body))?;
        file.write_all(&body)?;
        if sure {
            file.sync_all()?;
        }
        fs::rename(&part, path)?;
        if sure {
            File::open(&self.0)?.sync_all()?;
        }
        Ok(())
    }

    /// Takes it and its log away. Blocks.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        for kind in [RECORD, LOG] {
            match fs::remove_file(self.file(id, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps what it printed. Blocks.
    pub fn put_log(&self, id: &str, lines: &[u8]) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(self.file(id, LOG))?.write_all(lines)
    }

    /// What it printed; empty when nothing was kept. Blocks.
    pub fn log(&self, id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(self.file(id, LOG)) {
            let _ = file.take(LOG_BYTES).read_to_end(&mut bytes); // what can be read is better than none
        }
        bytes
    }

    fn file(&self, id: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{id}.{kind}"))
    }
}

fn read(path: &Path, id: &str) -> Result<Record, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(RECORD_BYTES).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    parse(&bytes, id)
}

fn parse(bytes: &[u8], id: &str) -> Result<Record, String> {
    let (sum, body) = bytes.split_at_checked(SUM).ok_or("it is cut short")?;
    if Sha256::digest(body).as_slice() != sum {
        return Err("its checksum is wrong".into());
    }
    let record = Record::decode(body).map_err(|e| e.to_string())?;
    if record.task.id != id {
        return Err("it is another task's".into());
    }
    Ok(record)
}

/// A record by chance, with a checksum that is right: what is read can be shown, and is written as it was.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(body: &[u8]) {
    let whole = |body: &[u8]| [Sha256::digest(body).as_slice(), body].concat();
    let Ok(id) = Record::decode(body).map(|record| record.task.id) else { return };
    let record = parse(&whole(body), &id).expect("its sum and its name are right");
    assert_eq!(parse(&whole(&record.encode_to_vec()), &id), Ok(record.clone()));
    let (status, summary) = (record.status("", ("n", "w")), record.summary("", "n"));
    assert!(serde_json::to_string(&status).is_ok() && serde_json::to_string(&summary).is_ok());
    assert_eq!((record.report("").id, record.run().starts_with(&record.runs())), (id, true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use crate::wire::proto::Task;

    fn record(id: &str) -> Record {
        Record::new(Task { id: id.into(), image: "x".into(), ..Default::default() }, None, 7)
    }

    #[test]
    fn what_was_kept_is_read_and_what_was_torn_is_set_aside() {
        let scratch = Scratch::new();
        let dir = scratch.0.join("tasks");
        let (shelf, none) = Shelf::open(dir.clone()).unwrap();
        assert!(none.is_empty());
        for id in ["a", "b", "c", "d"] {
            shelf.put(&record(id), id == "a").unwrap();
        }
        shelf.put_log("a", b"lines").unwrap();
        let mut bytes = fs::read(dir.join("b.task")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.join("b.task"), bytes).unwrap();
        fs::write(dir.join("c.task"), "").unwrap();
        fs::rename(dir.join("d.task"), dir.join("e.task")).unwrap();
        fs::write(dir.join("f.part"), "half").unwrap();
        let (shelf, read) = Shelf::open(dir.clone()).unwrap();
        assert_eq!(read, [record("a")]);
        let mut left: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["a.log", "a.task", "b.bad", "c.bad", "e.bad"]);
        assert_eq!(shelf.log("a"), b"lines");
        shelf.remove("a").unwrap();
        shelf.remove("a").unwrap();
        assert!(shelf.log("a").is_empty());
    }
}
