//! The standard files of a launch: the ends it gets, and the engine's. Must never block.

use super::super::Kind;
use async_io::Async;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the engine writes to and reads from. A launch that is no job has nothing to read.
pub struct Ours {
    pub stdin: Option<Async<PipeWriter>>,
    pub stdout: Async<PipeReader>,
    pub stderr: Async<PipeReader>,
}

/// stdin, stdout and stderr of the launch. To be dropped once it has them, so that an end of it is seen.
pub struct Theirs([OwnedFd; 3]);

impl Theirs {
    pub fn as_fds(&self) -> [BorrowedFd<'_>; 3] {
        self.0.each_ref().map(AsFd::as_fd)
    }
}

/// Makes both. Fails where this process is out of files.
pub fn make(kind: Kind) -> io::Result<(Ours, Theirs)> {
    let (stdin, their_stdin) = match kind {
        Kind::Job => {
            let (theirs, ours) = pipe()?;
            (Some(Async::new(ours)?), theirs.into())
        }
        Kind::Http | Kind::Task => (None, File::open("/dev/null")?.into()),
    };
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let ours = Ours { stdin, stdout: Async::new(stdout)?, stderr: Async::new(stderr)? };
    Ok((ours, Theirs([their_stdin, their_stdout.into(), their_stderr.into()])))
}
