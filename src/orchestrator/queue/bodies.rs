//! Bodies of asynchronous calls, and results of pipelines' modules: small ones inside the store's records, large ones in files beside it. Takes them in as
//! they come and gives them as they are taken; holds at most a small one in memory.

use super::records::{self, Stored};
use crate::body::{Body, BoxError};
use crate::{clock, ids, rt};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as HttpBody;
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A body up to this size stays in its record: one fsync for many of them.
pub const INLINE_BYTES: usize = 16 * 1024;
/// A request's and a result's body.
pub const BODY_BYTES: u64 = 16 << 20;

/// Which of a call's two bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Request,
    Result,
}

impl Which {
    fn word(self) -> &'static str {
        match self {
            Which::Request => "request",
            Which::Result => "result",
        }
    }
}

/// Why a body could not be taken in.
#[derive(Debug)]
pub enum NotTaken {
    TooLarge,
    Stalled,
    Broken(String),
    Disk(String),
}

/// A body that is here. A file that nobody keeps is removed when this is dropped.
pub struct Taken {
    stored: Stored,
    part: Option<PathBuf>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            rt::spawn(rt::unblock(move || fs::remove_file(part)));
        }
    }
}

/// The folder of the large ones.
#[derive(Clone)]
pub struct Bodies {
    dir: PathBuf,
}

impl Bodies {
    /// Uses `dir`; what nobody wants any more is removed.
    pub fn open(dir: PathBuf, wanted: impl Fn(&str, Which) -> bool) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split_once('.'));
            let which = |kind| [Which::Request, Which::Result].into_iter().find(|which| which.word() == kind);
            let known = name.and_then(|(id, kind)| Some((id, which(kind)?)));
            if !known.is_some_and(|(id, which)| wanted(id, which)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(Bodies { dir })
    }

    /// Takes a body in; a piece must come within `stall` of the one before. Every byte goes through `digest` too.
    pub async fn take<B>(&self, mut body: B, stall: Duration, digest: &mut Sha256) -> Result<Taken, NotTaken>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if body.size_hint().lower() > BODY_BYTES {
            return Err(NotTaken::TooLarge); // before it is sent
        }
        let mut taken = Taken { stored: Stored::File(0), part: None };
        let mut held = Vec::new();
        let mut file: Option<File> = None;
        let mut size = 0;
        loop {
            let frame = clock::timeout(stall, body.frame()).await.ok_or(NotTaken::Stalled)?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|e| NotTaken::Broken(e.into().to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            size += data.len() as u64;
            if size > BODY_BYTES {
                return Err(NotTaken::TooLarge);
            }
            digest.update(&data);
            if file.is_none() && held.len() + data.len() <= INLINE_BYTES {
                held.extend_from_slice(&data);
                continue;
            }
            let path = taken.part.get_or_insert_with(|| self.dir.join(format!("{}.part", ids::random_hex(8)))).clone();
            let (opened, before) = (file.take(), std::mem::take(&mut held));
            let write = rt::unblock(move || {
                let mut file = match opened {
                    Some(file) => file,
                    None => File::create(path)?,
                };
                file.write_all(&before)?;
                file.write_all(&data)?;
                Ok::<_, io::Error>(file)
            });
            file = Some(write.await.map_err(|e| self.disk(&e))?);
        }
        match file {
            None => taken.stored = Stored::inline(&held),
            Some(file) => {
                rt::unblock(move || file.sync_all()).await.map_err(|e| self.disk(&e))?;
                taken.stored = Stored::File(size);
            }
        }
        Ok(taken)
    }

    fn disk(&self, error: &io::Error) -> NotTaken {
        NotTaken::Disk(format!("cannot write in {}: {error}", self.dir.display()))
    }

    /// Gives a large body a lasting name, so that it lasts.
    pub async fn keep(&self, taken: &mut Taken, id: impl Display, which: Which) -> Result<(), String> {
        let Some(part) = taken.part.clone() else { return Ok(()) };
        let (to, dir) = (self.path(id, which), self.dir.clone());
        let moved = rt::unblock(move || fs::rename(part, to).and_then(|()| File::open(dir)?.sync_all()));
        moved.await.map_err(|e| format!("cannot write in {}: {e}", self.dir.display()))?;
        taken.part = None;
        Ok(())
    }

    /// A body as it is sent on. `Err`: it is not there, or not as it was.
    pub async fn give(&self, stored: &Stored, id: impl Display, which: Which) -> Result<Body, String> {
        let expected = match stored {
            Stored::Inline(text) => return Ok(Body::full(records::bytes_of(text)?)),
            Stored::File(bytes) => *bytes,
        };
        let path = self.path(id, which);
        let named = path.clone();
        let opened = rt::unblock(move || {
            let file = File::open(&path)?;
            match file.metadata()?.len() == expected {
                true => Ok(file),
                false => Err(io::Error::new(io::ErrorKind::InvalidData, "it has not its length")),
            }
        });
        let file = opened.await.map_err(|e| format!("cannot read {}: {e}", named.display()))?;
        Ok(Body::file(file))
    }

    /// Removes a call's file, if it has one.
    pub fn remove(&self, id: impl Display, which: Which) {
        let path = self.path(id, which);
        rt::spawn(rt::unblock(move || fs::remove_file(path))); // else the next start does
    }

    fn path(&self, id: impl Display, which: Which) -> PathBuf {
        Path::new(&self.dir).join(format!("{id}.{}", which.word()))
    }
}

impl Taken {
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    pub fn inline(bytes: &[u8]) -> Self {
        Taken { stored: Stored::inline(bytes), part: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    /// Comes in pieces, without saying how much there is.
    fn of_unknown_length(bytes: u64) -> Body {
        Body::unfold(bytes, |left| async move {
            let piece = left.min(1 << 20);
            (left > 0).then(|| (Ok(Bytes::from(vec![0; piece as usize])), left - piece))
        })
    }

    #[test]
    fn a_body_or_a_result_has_so_many_bytes_and_one_that_is_refused_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path().join("calls"), |_, _| false).unwrap();
        let take = |body| rt::block_on(bodies.take(body, STALL, &mut Sha256::new()));
        let whole = take(of_unknown_length(BODY_BYTES)).expect("it is taken");
        assert!(matches!(whole.stored(), Stored::File(BODY_BYTES)));
        drop(whole);
        assert!(matches!(take(of_unknown_length(BODY_BYTES + 1)), Err(NotTaken::TooLarge)));
        let said = Body::full(vec![0; BODY_BYTES as usize + 1]);
        assert!(matches!(take(said), Err(NotTaken::TooLarge)));
        let end = clock::now() + STALL;
        while fs::read_dir(dir.path().join("calls")).unwrap().count() > 0 {
            assert!(clock::now() < end, "what was refused is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
