//! Stored bundles: files named by the digest of what is in them, and what each says it is. Never runs one.

use super::store::{Bundle, Store, StoreError, Write};
use crate::body;
use crate::bundle::{self, BundleError};
use crate::garbage::Unused;
use crate::limits::{Limit, Limits};
use crate::lock::lock;
use crate::types::FunctionSpec;
use crate::{clock, ids, rt};
use bytes::Bytes;
use futures_lite::Stream;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

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

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::TooLarge { limit } => write!(f, "it is larger than {limit} bytes"),
            Rejected::Stalled => f.write_str("it stood still"),
            Rejected::BrokenOff(why) => write!(f, "it broke off: {why}"),
            Rejected::Bundle(error) => error.fmt(f),
            Rejected::Disk { path, why } => write!(f, "cannot write {}: {why}", path.display()),
            Rejected::Store(error) => error.fmt(f),
        }
    }
}

/// An upload on disk; removed when dropped, unless it was moved.
pub struct Spooled {
    path: PathBuf,
    size: u64,
}

/// An upload on its way to the disk.
pub struct Spool {
    spooled: Spooled,
    file: Arc<File>,
    limit: u64,
}

impl Spool {
    /// More of it.
    pub async fn add(&mut self, data: Bytes) -> Result<(), Rejected> {
        self.spooled.size += data.len() as u64;
        if self.spooled.size > self.limit {
            return Err(Rejected::TooLarge { limit: self.limit });
        }
        let file = self.file.clone();
        rt::unblock(move || (&*file).write_all(&data)).await.map_err(|e| self.spooled.disk(&e))
    }

    /// That was all.
    pub async fn end(self) -> Result<Spooled, Rejected> {
        let file = self.file;
        rt::unblock(move || file.sync_all()).await.map_err(|e| self.spooled.disk(&e))?;
        Ok(self.spooled)
    }
}

impl Spooled {
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn record(&self) -> Bundle {
        Bundle { size_bytes: self.size, unix_ms: clock::unix_ms(), manifest: FunctionSpec::default(), source: false }
    }

    fn disk(&self, error: &io::Error) -> Rejected {
        Rejected::Disk { path: self.path.clone(), why: error.to_string() }
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // moved, or never made
    }
}

/// The next data of a body that may not stand still for longer; `None` at its end.
pub async fn next_piece(body: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, Rejected> {
    loop {
        let Some(frame) = clock::timeout(stall, body.frame()).await else { return Err(Rejected::Stalled) };
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(data) = frame.map_err(|e| Rejected::BrokenOff(e.to_string()))?.into_data() {
            return Ok(Some(data));
        }
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
        self.lock().wanted(digest).filter(|b| !b.source).map(|b| b.manifest.clone())
    }

    /// A stored bundle's bytes, in chunks; `None` when there is none of that digest.
    pub async fn read(&self, digest: &str) -> Option<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        self.lock().wanted(digest)?;
        let path = self.path(digest);
        let file = rt::unblock(move || File::open(path)).await.ok()?;
        Some(body::pieces(file))
    }

    /// Takes an upload in: to disk as it comes, looked through, then kept under its digest.
    pub async fn receive(&self, body: Incoming, limits: &Limits) -> Result<(String, FunctionSpec), Rejected> {
        let spooled = self.spool(body, limits.of(Limit::BundleBytes), limits.time(Limit::BodyS)).await?;
        self.keep(spooled).await
    }

    /// Looks a bundle through and keeps it under its digest.
    pub async fn keep(&self, spooled: Spooled) -> Result<(String, FunctionSpec), Rejected> {
        let path = spooled.path.clone();
        let manifest = rt::unblock(move || bundle::inspect(&path)).await.map_err(Rejected::Bundle)?;
        let record = Bundle { manifest: manifest.clone(), ..spooled.record() };
        Ok((self.shelve(spooled, record).await?, manifest))
    }

    /// Keeps a source folder, which was looked through, under its digest.
    pub async fn keep_source(&self, spooled: Spooled) -> Result<String, Rejected> {
        let record = Bundle { source: true, ..spooled.record() };
        self.shelve(spooled, record).await
    }

    async fn shelve(&self, spooled: Spooled, mut record: Bundle) -> Result<String, Rejected> {
        let path = spooled.path.clone();
        let digest = rt::unblock(move || bundle::digest_of(&path)).await.map_err(Rejected::Bundle)?;
        self.lock().arriving.push(digest.clone());
        let _arriving = Arriving(self, &digest);
        let (from, to, dir) = (spooled.path.clone(), self.path(&digest), self.dir.clone());
        let moved = rt::unblock(move || fs::rename(from, to).and_then(|()| File::open(dir)?.sync_all()));
        moved.await.map_err(|e| spooled.disk(&e))?;
        if let Some(known) = self.lock().wanted(&digest).filter(|known| !known.source) {
            record = known.clone(); // a bundle stays one, whatever else is made of the same bytes
        }
        let written = self.store.write(Write::Bundle(digest.clone(), Box::new(record.clone())), Vec::new());
        self.store.kept(written).await.map_err(Rejected::Store)?;
        self.lock().known.insert(digest.clone(), Held::now(Some(record)));
        Ok(digest.clone())
    }

    /// Takes a body to disk as it comes, unless it stands still for `stall`; the file is gone when what is returned is dropped, unless it was moved.
    pub async fn spool(&self, mut body: Incoming, limit: u64, stall: Duration) -> Result<Spooled, Rejected> {
        if body.size_hint().lower() > limit {
            return Err(Rejected::TooLarge { limit }); // before it is sent
        }
        let mut spool = self.begin(limit).await?;
        while let Some(data) = next_piece(&mut body, stall).await? {
            spool.add(data).await?;
        }
        spool.end().await
    }

    /// A new file for an upload of no more than so many bytes.
    pub async fn begin(&self, limit: u64) -> Result<Spool, Rejected> {
        let spooled = Spooled { path: self.dir.join(format!("{}.part", ids::random_hex(8))), size: 0 };
        let path = spooled.path.clone();
        let create = move || File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = rt::unblock(create).await.map_err(|e| spooled.disk(&e))?;
        Ok(Spool { spooled, file: Arc::new(file), limit })
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
        lock(&self.inner)
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
