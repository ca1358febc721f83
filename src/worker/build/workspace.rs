//! A folder that one build works in: the source, unpacked and made ready by its runtime. Gone with the build.

use super::Failed;
use crate::runtimes::Runtime;
use crate::worker::pool::Pool;
use crate::{bundle, ids, rt};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder; removed when dropped.
pub struct Workspace {
    dir: PathBuf,
    source: PathBuf,
}

impl Workspace {
    /// Fetches a source folder by its digest, unpacks it, and has its runtime's files put in.
    pub async fn fetch(pool: &Pool, digest: &str, runtime: Option<&Runtime>) -> Result<Workspace, Failed> {
        let dir = pool.builds.join(ids::random_hex(8));
        let work = Workspace { source: dir.join("source"), dir };
        let made = work.dir.clone();
        let place = pool.builds.display().to_string();
        let full = move |error: &dyn std::fmt::Display| Failed {
            why: format!("its node's disk is full or fails ({error}); make room below {place} there"),
            elsewhere: true,
        };
        rt::unblock(move || fs::create_dir_all(made)).await.map_err(|e| full(&e))?;
        let zip = work.dir.join("source.zip");
        let fetched = pool.upstream.fetch(digest, zip.clone()).await;
        fetched.map_err(|why| Failed {
            why: format!("its source could not be fetched to {}: {why}", pool.builds.display()),
            elsewhere: true,
        })?;
        let (into, wanted, runtime) = (work.source.clone(), digest.to_owned(), runtime.cloned());
        rt::unblock(move || {
            let wrong = |error: bundle::BundleError| match error {
                bundle::BundleError::Io { error, .. } => full(&error),
                other => Failed { why: other.to_string(), elsewhere: false },
            };
            let got = bundle::digest_of(&zip).map_err(wrong)?;
            if got != wanted {
                return Err(Failed { why: "its source came damaged".into(), elsewhere: true });
            }
            bundle::unpack(&zip, &into).map_err(wrong)?;
            fs::remove_file(&zip).map_err(|e| full(&e))?;
            runtime.map_or(Ok(()), |runtime| runtime.dress(&into)).map_err(|e| full(&e))
        })
        .await?;
        Ok(work)
    }

    /// Where a result that is a file may be written to.
    pub fn result(&self) -> PathBuf {
        self.dir.join("result.zip")
    }

    /// Where what is for the function's next build may be written to.
    pub fn left(&self) -> PathBuf {
        self.dir.join("left")
    }

    /// Where the source is; it may be changed.
    pub fn source(&self) -> &Path {
        &self.source
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let dir = std::mem::take(&mut self.dir);
        rt::spawn(rt::unblock(move || fs::remove_dir_all(dir))); // what stays goes at the next start
    }
}
