//! Stored bundles: files named by the digest of what is in them, and what each says it is. Never runs one.

use super::store::{Bundle, Store, StoreError, Write};
use crate::bundle::{self, BundleError};
use crate::garbage::Unused;
use crate::types::FunctionSpec;
use crate::{clock, ids, rt};
use bytes::Bytes;
use futures_lite::Stream;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bundle's chunk on its way to a worker.
const CHUNK_BYTES: usize = 64 * 1024;
/// An upload that stands still for this long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Why an upload was not stored.
#[derive(Debug)]
pub enum Rejected {
    TooLarge { limit: u64 },
    Stalled,
    BrokenOff(String),
    Bundle(BundleError),
    Disk { path: PathBuf, why: String },
    Store(StoreError),
}

/// An upload on disk; removed when dropped, unless it was moved.
pub struct Spooled {
    path: PathBuf,
    size: u64,
}

impl Spooled {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // moved, or never made
    }
}

/// The stored bundles.
pub struct Bundles {
    dir: PathBuf,
    store: Arc<Store>,
    inner: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    known: BTreeMap<String, Held>,
    /// Files in their place whose records are not on disk yet.
    arriving: Vec<String>,
}

struct Held {
    /// `None`: a file without a record, as a crash may leave one.
    bundle: Option<Bundle>,
    /// When somebody last had a use for it; by the program's own clock, so that a restart counts as one.
    used_ms: u64,
}

impl Held {
    fn now(bundle: Option<Bundle>) -> Self {
        Held { bundle, used_ms: clock::now_ms() }
    }
}

/// Says that a file is arriving, until dropped.
struct Arriving<'a>(&'a Bundles, &'a str);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        if let Some(at) = inner.arriving.iter().position(|digest| digest == self.1) {
            inner.arriving.swap_remove(at);
        }
    }
}

impl Bundles {
    /// Uses `dir`; what a crash left half-written there is removed.
    pub fn open(dir: PathBuf, store: Arc<Store>, known: Vec<(String, Bundle)>) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut inner = Shelf::default();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            match (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|e| e.to_str())) {
                (_, Some("part")) => fs::remove_file(path)?,
                (Some(digest), Some("zip")) if bundle::is_digest(digest) => {
                    inner.known.insert(digest.into(), Held::now(None));
                }
                _ => {}
            }
        }
        inner.known.extend(known.into_iter().map(|(digest, bundle)| (digest, Held::now(Some(bundle)))));
        Ok(Bundles { dir, store, inner: Mutex::new(inner) })
    }

    /// What a stored bundle says it is.
    pub fn manifest(&self, digest: &str) -> Option<FunctionSpec> {
        self.lock().wanted(digest).map(|b| b.manifest.clone())
    }

    /// A stored bundle's bytes, in chunks; `None` when there is none of that digest.
    pub async fn read(&self, digest: &str) -> Option<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        self.lock().wanted(digest)?;
        let path = self.path(digest);
        let file = rt::unblock(move || File::open(path)).await.ok()?;
        let next = |file: Option<File>| async move {
            let mut file = file?;
            let read = rt::unblock(move || {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = file.read(&mut chunk);
                (read, chunk, file)
            });
            match read.await {
                (Ok(0), ..) => None,
                (Ok(n), mut chunk, file) => {
                    chunk.truncate(n);
                    Some((Ok(Bytes::from(chunk)), Some(file)))
                }
                (Err(error), ..) => Some((Err(error), None)),
            }
        };
        Some(futures_lite::stream::unfold(Some(file), next))
    }

    /// Takes an upload in: to disk as it comes, looked through, then kept under its digest.
    pub async fn receive(&self, body: Incoming) -> Result<(String, FunctionSpec), Rejected> {
        let disk = |path: &Path, e: io::Error| Rejected::Disk { path: path.to_path_buf(), why: e.to_string() };
        let spooled = self.spool(body, bundle::MAX_ZIP_BYTES).await?;
        let (part, size) = (&spooled.path, spooled.size);
        let path = part.clone();
        let looked = rt::unblock(move || {
            let manifest = bundle::inspect(&path).map_err(Rejected::Bundle)?;
            let digest = bundle::digest_of(&path).map_err(Rejected::Bundle)?;
            Ok((digest, manifest))
        });
        let (digest, manifest) = looked.await?;
        self.lock().arriving.push(digest.clone());
        let _arriving = Arriving(self, &digest);
        let (from, to, dir) = (part.clone(), self.path(&digest), self.dir.clone());
        let moved = rt::unblock(move || fs::rename(from, to).and_then(|()| File::open(dir)?.sync_all()));
        moved.await.map_err(|e| disk(part, e))?;
        let record = Bundle { size_bytes: size, unix_ms: clock::unix_ms(), manifest: manifest.clone() };
        let written = self.store.write(Write::Bundle(digest.clone(), Box::new(record.clone())), Vec::new());
        self.store.kept(written).await.map_err(Rejected::Store)?;
        self.lock().known.insert(digest.clone(), Held::now(Some(record)));
        Ok((digest.clone(), manifest))
    }

    /// Takes a body to disk as it comes; the file is gone when what is returned is dropped, unless it was moved.
    pub async fn spool(&self, mut body: Incoming, limit: u64) -> Result<Spooled, Rejected> {
        if body.size_hint().lower() > limit {
            return Err(Rejected::TooLarge { limit }); // before it is sent
        }
        let mut spooled = Spooled { path: self.dir.join(format!("{}.part", ids::random_hex(8))), size: 0 };
        let path = spooled.path.clone();
        let disk = |e: io::Error| Rejected::Disk { path: path.clone(), why: e.to_string() };
        let at = path.clone();
        let create = move || File::options().write(true).create_new(true).mode(0o600).open(at);
        let mut file = rt::unblock(create).await.map_err(disk)?;
        loop {
            let Some(frame) = clock::timeout(STALL_LIMIT, body.frame()).await else { return Err(Rejected::Stalled) };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|e| Rejected::BrokenOff(e.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            spooled.size += data.len() as u64;
            if spooled.size > limit {
                return Err(Rejected::TooLarge { limit });
            }
            file = rt::unblock(move || file.write_all(&data).map(|()| file)).await.map_err(disk)?;
        }
        rt::unblock(move || file.sync_all()).await.map_err(disk)?;
        Ok(spooled)
    }

    /// Takes note of bundles that lie in the folder and are recorded with the next write.
    pub fn add(&self, bundles: &[(String, Bundle)]) {
        let held = bundles.iter().map(|(digest, bundle)| (digest.clone(), Held::now(Some(bundle.clone()))));
        self.lock().known.extend(held);
    }

    /// Those not in use, and since when they were of none.
    pub fn unused(&self, in_use: &BTreeSet<String>, now_ms: u64) -> Vec<Unused> {
        let mut inner = self.lock();
        let mut unused = Vec::new();
        for (digest, held) in &mut inner.known {
            if in_use.contains(digest) {
                held.used_ms = now_ms;
                continue;
            }
            let bytes = held.bundle.as_ref().map_or(0, |bundle| bundle.size_bytes);
            unused.push(Unused { name: digest.clone(), bytes, since_ms: held.used_ms });
        }
        unused
    }

    /// Forgets a bundle and removes its file, unless somebody had a use for it less than `young_ms` ago. The record goes
    /// first: a file without one does no harm.
    pub async fn discard(&self, digest: &str, now_ms: u64, young_ms: u64) -> Result<bool, StoreError> {
        let (held, written) = {
            let mut inner = self.lock();
            let young = inner.known.get(digest).is_none_or(|held| now_ms.saturating_sub(held.used_ms) < young_ms);
            if young || inner.arriving.iter().any(|arriving| arriving == digest) {
                return Ok(false);
            }
            let Some(held) = inner.known.remove(digest) else { return Ok(false) };
            // With the lock held: an upload's record comes after it.
            (held, self.store.write(Write::BundleGone(digest.into()), Vec::new()))
        };
        if let Err(error) = self.store.kept(written).await {
            if let Some(bundle) = held.bundle.clone() {
                drop(self.store.write(Write::Bundle(digest.into(), Box::new(bundle)), Vec::new())); // if it was written after all
            }
            self.lock().known.entry(digest.into()).or_insert(held);
            return Err(error);
        }
        let inner = self.lock();
        if !inner.known.contains_key(digest) && !inner.arriving.iter().any(|arriving| arriving == digest) {
            let _ = fs::remove_file(self.path(digest)); // what stays is found at the next start
        }
        Ok(true)
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a bundle's file is.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.zip"))
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// A bundle somebody asks for: it is of use again.
    fn wanted(&mut self, digest: &str) -> Option<&Bundle> {
        let held = self.known.get_mut(digest)?;
        held.used_ms = clock::now_ms();
        held.bundle.as_ref()
    }
}
