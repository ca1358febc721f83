//! The bundles this worker has unpacked: fetched once however many ask, checked against their digest, kept while there
//! is room. Must never remove one in use, nor know where bundles come from.

use crate::bundle::{self, BundleError};
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fs, io};

/// Bytes of all unpacked bundles together: four of the largest. What is in use is kept even beyond.
pub const MAX_CACHE_BYTES: u64 = 4 << 30;

/// An unpacked bundle. It stays on disk as long as somebody holds this.
#[derive(Debug)]
pub struct Unpacked {
    /// Its folder, absolute.
    pub path: PathBuf,
    /// Of its files.
    pub bytes: u64,
}

/// The bundles of one worker, each in a folder named by its digest. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct BundleCache {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    max_bytes: u64,
    shelf: Mutex<Shelf>,
    /// Numbers temporary names.
    next: AtomicU64,
}

#[derive(Default)]
struct Shelf {
    slots: HashMap<String, Slot>,
    /// Counts uses: the lowest number was used longest ago.
    uses: u64,
}

enum Slot {
    Fetching(Arc<Fetch>),
    Ready { unpacked: Arc<Unpacked>, used: u64 },
}

/// A fetch that several may wait for.
struct Fetch {
    /// Closed when it is over.
    over: Receiver<()>,
    /// Still `None` when it is over: whoever fetched went away, and another must.
    result: Mutex<Option<Result<Arc<Unpacked>, BundleError>>>,
}

impl BundleCache {
    /// The cache in this folder, with what an earlier one left there. The folder must be this cache's alone.
    pub async fn open(dir: PathBuf) -> Result<BundleCache, BundleError> {
        BundleCache::open_with(dir, MAX_CACHE_BYTES).await
    }

    async fn open_with(dir: PathBuf, max_bytes: u64) -> Result<BundleCache, BundleError> {
        rt::unblock(move || {
            let failed = |error| BundleError::io("open the bundle cache", &dir, error);
            fs::create_dir_all(&dir).map_err(failed)?;
            let dir = fs::canonicalize(&dir).map_err(failed)?;
            let mut shelf = Shelf::default();
            for (name, path, bytes) in found(&dir).map_err(failed)? {
                let used = shelf.tick();
                shelf.slots.insert(name, Slot::Ready { unpacked: Arc::new(Unpacked { path, bytes }), used });
            }
            let inner = Inner { dir, max_bytes, shelf: Mutex::new(shelf), next: AtomicU64::new(0) };
            let gone = inner.make_room(&mut inner.lock());
            gone.iter().for_each(|path| remove(path));
            Ok(BundleCache { inner: Arc::new(inner) })
        })
        .await
    }

    /// The unpacked bundle of this digest. If it is not here, `fetch` is given a path to write the zip to; others who
    /// ask meanwhile wait for that one and get its result, also its error. After an error the next one fetches again.
    pub async fn get<F, Fut>(&self, digest: &str, fetch: F) -> Result<Arc<Unpacked>, BundleError>
    where
        F: FnOnce(PathBuf) -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        if !bundle::is_digest(digest) {
            return Err(BundleError::NotADigest(digest.to_owned()));
        }
        let lead = loop {
            let running = match self.inner.look_up(digest) {
                Found::Here(unpacked) => return Ok(unpacked),
                Found::Missing(lead) => break lead,
                Found::Fetching(running) => running,
            };
            let _ = running.over.recv().await;
            if let Some(result) = lock(&running.result).clone() {
                return result;
            }
        };
        let result = match fetch(lead.zip.clone()).await {
            Ok(()) => {
                let (inner, digest, zip) = (self.inner.clone(), digest.to_owned(), lead.zip.clone());
                rt::unblock(move || inner.install(&digest, &zip)).await
            }
            Err(why) => Err(BundleError::Fetch { digest: digest.to_owned(), why }),
        };
        *lock(&lead.fetch.result) = Some(result.clone());
        result
    }

    /// Bytes of all that is unpacked.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes()
    }
}

enum Found {
    Here(Arc<Unpacked>),
    Fetching(Arc<Fetch>),
    Missing(Lead),
}

/// Held by the one who fetches. However it ends, those who wait wake up and the slot is free again.
struct Lead {
    inner: Arc<Inner>,
    digest: String,
    zip: PathBuf,
    fetch: Arc<Fetch>,
    _over: Sender<()>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut shelf = self.inner.lock();
        if let Some(Slot::Fetching(fetch)) = shelf.slots.get(&self.digest)
            && Arc::ptr_eq(fetch, &self.fetch)
        {
            shelf.slots.remove(&self.digest);
        }
        let zip = std::mem::take(&mut self.zip);
        rt::spawn(rt::unblock(move || remove(&zip)));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }

    fn temporary(&self, digest: &str, what: &str) -> PathBuf {
        self.dir.join(format!(".{digest}.{}.{what}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    fn look_up(self: &Arc<Self>, digest: &str) -> Found {
        let mut shelf = self.lock();
        let now = shelf.tick();
        match shelf.slots.get_mut(digest) {
            Some(Slot::Ready { unpacked, used }) => {
                *used = now;
                Found::Here(unpacked.clone())
            }
            Some(Slot::Fetching(fetch)) => Found::Fetching(fetch.clone()),
            None => {
                let (over_sender, over) = rt::bounded(1);
                let fetch = Arc::new(Fetch { over, result: Mutex::default() });
                shelf.slots.insert(digest.to_owned(), Slot::Fetching(fetch.clone()));
                let zip = self.temporary(digest, "zip");
                Found::Missing(Lead { inner: self.clone(), digest: digest.to_owned(), zip, fetch, _over: over_sender })
            }
        }
    }

    /// Checks, unpacks and shelves a fetched zip. Blocks.
    fn install(&self, digest: &str, zip: &Path) -> Result<Arc<Unpacked>, BundleError> {
        let got = bundle::digest_of(zip)?;
        if got != digest {
            return Err(BundleError::WrongDigest { wanted: digest.to_owned(), got });
        }
        let path = self.dir.join(digest);
        let bytes = match bundle::unpack(zip, &path) {
            Ok(bytes) => bytes,
            // By a fetch whose caller went away while it was unpacking: it is whole, or it would not have the name.
            Err(_) if path.is_dir() => size_of(&path),
            Err(error) => return Err(error),
        };
        let mut shelf = self.lock();
        if let Some(Slot::Ready { unpacked, .. }) = shelf.slots.get(digest) {
            return Ok(unpacked.clone());
        }
        let unpacked = Arc::new(Unpacked { path, bytes });
        let used = shelf.tick();
        shelf.slots.insert(digest.to_owned(), Slot::Ready { unpacked: unpacked.clone(), used });
        let gone = self.make_room(&mut shelf);
        drop(shelf);
        gone.iter().for_each(|path| remove(path));
        Ok(unpacked)
    }

    /// Takes out what was used longest ago until the rest fits. It is renamed under the lock, so that the same bundle
    /// can be fetched anew at once; removing what is answered takes longer and needs no lock.
    fn make_room(&self, shelf: &mut Shelf) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        let mut total = shelf.bytes();
        let mut idle: Vec<(u64, String)> = shelf
            .slots
            .iter()
            .filter_map(|(digest, slot)| match slot {
                Slot::Ready { unpacked, used } if Arc::strong_count(unpacked) == 1 => Some((*used, digest.clone())),
                _ => None,
            })
            .collect();
        idle.sort_unstable();
        for (_, digest) in idle {
            if total <= self.max_bytes {
                break;
            }
            let Some(Slot::Ready { unpacked, .. }) = shelf.slots.get(&digest) else { continue };
            let aside = self.temporary(&digest, "gone");
            if fs::rename(&unpacked.path, &aside).is_ok() {
                total -= unpacked.bytes;
                gone.push(aside);
                shelf.slots.remove(&digest);
            }
        }
        gone
    }
}

impl Shelf {
    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn bytes(&self) -> u64 {
        let of = |slot: &Slot| match slot {
            Slot::Ready { unpacked, .. } => unpacked.bytes,
            Slot::Fetching(_) => 0,
        };
        self.slots.values().map(of).sum()
    }
}

/// Whole bundles in a folder, the one unpacked longest ago first; what is none is half of something and removed.
fn found(dir: &Path) -> io::Result<Vec<(String, PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if bundle::is_digest(name) && path.is_dir() => {
                let unpacked_at = path.metadata()?.modified()?;
                found.push((unpacked_at, name.to_owned(), path.clone(), size_of(&path)));
            }
            Some(name) if name.starts_with('.') => remove(&path),
            _ => {}
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name, path, bytes)| (name, path, bytes)).collect())
}

/// Bytes of all files below a folder; what cannot be read counts nothing.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            Ok(kind) => kind.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Best effort: what stays is removed at the next start.
fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests;
