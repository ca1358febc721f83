//! Writes a backup as it goes: nothing is held but a record.

use super::{BUNDLES, CHECKSUM, Checksum, HEAD, Head, RECORDS, Record};
use crate::hex::hex;
use crate::tar;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// Shown each record: table, key, value.
pub type Show<'a, E> = dyn FnMut(&str, &str, &[u8]) -> Result<(), E> + 'a;

/// Takes head, records and bundles, in this order, and then `finish`.
pub struct Writer<W> {
    out: W,
    sha: Sha256,
    bytes: u64,
    unix_s: u64,
}

/// A record as it stands in `records.ndjson`.
pub fn line(table: &str, key: &str, value: &[u8]) -> io::Result<Vec<u8>> {
    let value = serde_json::from_slice(value)?;
    let mut line = serde_json::to_vec(&Record { table: table.into(), key: key.into(), value })?;
    line.push(b'\n');
    Ok(line)
}

impl<W: Write> Writer<W> {
    pub fn new(out: W, head: &Head, unix_ms: u64) -> io::Result<Self> {
        let mut writer = Writer { out, sha: Sha256::new(), bytes: 0, unix_s: unix_ms / 1_000 };
        let mut text = serde_json::to_vec_pretty(head)?;
        text.push(b'\n');
        writer.file(HEAD, text.len() as u64, &mut &*text)?;
        Ok(writer)
    }

    /// All records: `each` must show the same ones whenever it is called, for a tar says first how long they are.
    pub fn records<E: From<io::Error>>(&mut self, each: impl Fn(&mut Show<'_, E>) -> Result<(), E>) -> Result<(), E> {
        let mut size = 0;
        each(&mut |table, key, value| {
            size += line(table, key, value)?.len() as u64;
            Ok(())
        })?;
        self.put(&tar::header(RECORDS, size, self.unix_s)?)?;
        each(&mut |table, key, value| Ok(self.put(&line(table, key, value)?)?))?;
        Ok(self.put(&[0; tar::BLOCK][..tar::padding(size)])?)
    }

    /// One bundle, of just this size.
    pub fn bundle(&mut self, digest: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
        self.file(&format!("{BUNDLES}{digest}.zip"), size, from)
    }

    /// Says what all of it must add up to, and ends it.
    pub fn finish(mut self) -> io::Result<W> {
        let sum = Checksum { sha256: hex(self.sha.clone().finalize()), bytes: self.bytes };
        let text = serde_json::to_vec(&sum)?;
        self.file(CHECKSUM, text.len() as u64, &mut &*text)?;
        self.put(&[0; 2 * tar::BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn file(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
        self.put(&tar::header(name, size, self.unix_s)?)?;
        let mut buffer = [0; 16 * 1024];
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let read = from.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(io::Error::other(format!("{name} is shorter than it should be")));
            }
            self.put(&buffer[..read])?;
            left -= read as u64;
        }
        self.put(&[0; tar::BLOCK][..tar::padding(size)])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.sha.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
