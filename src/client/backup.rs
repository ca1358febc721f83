//! A backup on its way to a file: checked while it passes. Must never call one whole that is not.

use super::http::{Http, Limit};
use crate::backup::{self, BackupError};
use crate::errors::Error;
use serde::Serialize;
use std::io::{self, Read, Write};
use ureq::Body;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupTaken {
    /// The cluster's id.
    pub cluster: String,
    /// RFC 3339.
    pub created_at: String,
    pub functions: u64,
    pub bundles: u64,
    pub bytes: u64,
}

/// Passes on what it reads.
struct Tee<'a, R> {
    from: R,
    into: &'a mut dyn Write,
    bytes: u64,
    /// The writing side's trouble, which must not be blamed on the orchestrator.
    unwritten: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if let Err(error) = self.into.write_all(&buffer[..read]) {
            self.unwritten = Some(error);
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Reads it to its end.
pub(super) fn take(http: &Http, body: Body, limit: Limit, into: &mut dyn Write) -> Result<BackupTaken, Error> {
    let mut tee = Tee { from: body.into_reader(), into, bytes: 0, unwritten: None };
    let head = match backup::read(&mut tee, |_| Ok(())) {
        Ok(head) => head,
        Err(error) => {
            return Err(match (tee.unwritten, error) {
                (Some(unwritten), _) => Error::Io(unwritten),
                (None, BackupError::Io(error)) => http.explain(error.into(), limit),
                (None, error) => http.not_understood(error.to_string()),
            });
        }
    };
    let bytes = tee.bytes;
    into.flush()?;
    let (cluster, created_at) = (head.cluster, head.created_at);
    Ok(BackupTaken { cluster, created_at, functions: head.functions, bundles: head.bundles, bytes })
}
