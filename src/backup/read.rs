//! Reads a backup to its end and checks all of it. What it shows may be acted on only when it returned: only then is it
//! known to be whole. Must never trust a size or a name that it read.

use super::{BUNDLES, BackupError, CHECKSUM, Checksum, FORM, HEAD, Head, RECORDS, Record};
use crate::bundle;
use crate::hex::hex;
use crate::tar::{self, BLOCK};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a head, and of a checksum.
const SMALL_BYTES: u64 = 64 << 10;
/// Bytes of a record: ten revisions of a function with every field full are less than half of it.
const RECORD_BYTES: u64 = 16 << 20;

/// A part of a backup, as it comes by.
pub enum Part<'a> {
    Head(&'a Head),
    Record {
        table: String,
        key: String,
        value: Vec<u8>,
    },
    /// What of it is not read is skipped.
    Bundle {
        digest: &'a str,
        bytes: &'a mut dyn Read,
    },
}

/// Goes through a backup; `Ok` when it is whole and just as it was written.
pub fn read(from: impl Read, mut show: impl FnMut(Part<'_>) -> Result<(), BackupError>) -> Result<Head, BackupError> {
    let mut input = Summed { from, sha: Sha256::new(), bytes: 0 };
    let head = head(&mut input)?;
    show(Part::Head(&head))?;
    let (mut records_seen, mut bundles) = (false, 0);
    loop {
        let so_far = Checksum { sha256: hex(input.sha.clone().finalize()), bytes: input.bytes };
        let block = block(&mut input)?;
        let (name, size) = tar::parse(&block).ok_or_else(|| damaged("an entry's header cannot be read"))?;
        if name == RECORDS && !records_seen && bundles == 0 {
            records(&mut input.by_ref().take(size), &mut show)?;
            records_seen = true;
        } else if name == CHECKSUM {
            let said: Checksum = small(&mut input, size)?;
            if said != so_far {
                return Err(damaged("its content does not fit its checksum"));
            }
            skip(&mut input, tar::padding(size) as u64)?;
            end(&mut input)?;
            return match records_seen && bundles == head.bundles {
                true => Ok(head),
                false => Err(damaged("it does not hold what it says")),
            };
        } else if let Some(digest) = name.strip_prefix(BUNDLES).and_then(|n| n.strip_suffix(".zip")) {
            if !bundle::is_digest(digest) || size > bundle::MAX_ZIP_BYTES {
                return Err(damaged(&format!("an entry '{}' cannot be", name.escape_debug())));
            }
            let mut bytes = Summed { from: input.by_ref().take(size), sha: Sha256::new(), bytes: 0 };
            show(Part::Bundle { digest, bytes: &mut bytes })?;
            io::copy(&mut bytes, &mut io::sink())?;
            if bytes.bytes < size {
                return Err(BackupError::Truncated);
            }
            if hex(bytes.sha.finalize()) != digest {
                return Err(damaged(&format!("bundle {digest} has another content")));
            }
            bundles += 1;
        } else {
            return Err(damaged(&format!("an entry '{}' does not belong there", name.escape_debug())));
        }
        skip(&mut input, tar::padding(size) as u64)?;
    }
}

fn damaged(why: &str) -> BackupError {
    BackupError::Damaged(why.into())
}

fn head(input: &mut impl Read) -> Result<Head, BackupError> {
    let block = block(input).map_err(|error| match error {
        BackupError::Truncated => BackupError::Foreign,
        other => other,
    })?;
    let size = match tar::parse(&block) {
        Some((HEAD, size)) => size,
        _ => return Err(BackupError::Foreign),
    };
    let said: serde_json::Value = small(input, size)?;
    skip(input, tar::padding(size) as u64)?;
    let cares = said["cares"].as_str().unwrap_or("version unknown").chars().take(64).collect();
    match said["form"].as_u64() {
        Some(found) if found > u64::from(FORM) => {
            Err(BackupError::Newer { what: "form", found, known: FORM.into(), cares })
        }
        _ => serde_json::from_value(said).map_err(|e| damaged(&format!("{HEAD}: {e}"))),
    }
}

fn records(
    input: &mut io::Take<impl Read>,
    show: &mut impl FnMut(Part<'_>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let size = input.limit();
    let mut taken = 0;
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    while taken < size {
        line.clear();
        taken += input.by_ref().take(RECORD_BYTES).read_until(b'\n', &mut line)? as u64;
        if line.pop() != Some(b'\n') {
            return Err(if taken < size { BackupError::Truncated } else { damaged("a record has no end") });
        }
        let record: Record = serde_json::from_slice(&line).map_err(|e| damaged(&format!("a record: {e}")))?;
        let value = serde_json::to_vec(&record.value).map_err(io::Error::from)?;
        show(Part::Record { table: record.table, key: record.key, value })?;
    }
    Ok(())
}

fn small<T: DeserializeOwned>(input: &mut impl Read, size: u64) -> Result<T, BackupError> {
    if size > SMALL_BYTES {
        return Err(damaged("an entry is larger than it can be"));
    }
    let mut text = Vec::new();
    input.by_ref().take(size).read_to_end(&mut text)?;
    if (text.len() as u64) < size {
        return Err(BackupError::Truncated);
    }
    serde_json::from_slice(&text).map_err(|e| damaged(&e.to_string()))
}

fn block(input: &mut impl Read) -> Result<[u8; BLOCK], BackupError> {
    let mut block = [0; BLOCK];
    input.read_exact(&mut block).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Truncated,
        _ => error.into(),
    })?;
    Ok(block)
}

fn skip(input: &mut impl Read, bytes: u64) -> Result<(), BackupError> {
    match io::copy(&mut input.take(bytes), &mut io::sink())? == bytes {
        true => Ok(()),
        false => Err(BackupError::Truncated),
    }
}

/// Nothing but zeros may follow: some tools fill a tar up.
fn end(input: &mut impl Read) -> Result<(), BackupError> {
    let (mut zeros, mut buffer) = (0, [0; BLOCK]);
    loop {
        match input.read(&mut buffer)? {
            0 if zeros >= 2 * BLOCK => return Ok(()),
            0 => return Err(BackupError::Truncated),
            n if buffer[..n].iter().all(|byte| *byte == 0) => zeros += n,
            _ => return Err(damaged("something follows its end")),
        }
    }
}

/// Adds up what is read through it.
struct Summed<R> {
    from: R,
    sha: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.sha.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
