//! Where the store's bytes are: a file; in tests anything that fails on demand. Looks a database through before it is
//! opened in earnest, so that a damaged one is left as it was found.

use super::overlay::Overlay;
use super::records::{self, Kept};
use super::schema::{self, Start, Unfit};
use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::{panic, thread};

/// redb's cache: a control plane's state is small, and so are the machines it runs on.
const CACHE_BYTES: usize = 2 << 20;
/// The thread on which a database is looked through.
const LOOKING: &str = "store-look";
/// What is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What holds the bytes.
pub trait Medium: Send {
    /// Opens what is there.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;
    /// Opens something new and empty beside it, in place of what a crash may have left there.
    fn open_new(&self) -> io::Result<Box<dyn StorageBackend>>;
    /// Puts the new one, which is closed and on disk, in the place of what was there: all of it or nothing.
    fn keep_new(&self) -> io::Result<()>;
}

/// A file.
pub struct OnDisk(pub PathBuf);

impl OnDisk {
    fn new_path(&self) -> PathBuf {
        self.0.with_extension("redb.part")
    }
}

impl Medium for OnDisk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        backend(OpenOptions::new().read(true).write(true).open(&self.0)?)
    }

    fn open_new(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = OpenOptions::new();
        backend(options.read(true).write(true).create(true).truncate(true).mode(0o600).open(self.new_path())?)
    }

    fn keep_new(&self) -> io::Result<()> {
        fs::rename(self.new_path(), &self.0)?;
        sync_folder_of(&self.0)
    }
}

fn backend(file: File) -> io::Result<Box<dyn StorageBackend>> {
    FileBackend::new(file).map(|backend| Box::new(backend) as _).map_err(io::Error::other)
}

/// Makes sure that a new name is still there after a crash.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// An open store.
pub struct Opened {
    pub database: Database,
    pub start: Start,
    pub kept: Kept,
    /// Set when an fsync fails.
    pub sync_failed: Arc<AtomicBool>,
}

/// Opens the store, or makes an empty one where there is none, and counts the start.
pub fn open(medium: &dyn Medium) -> Result<Opened, Unfit> {
    match medium.open() {
        Ok(there) => quietly(|| look_through(there))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            schema::start(&database(medium.open_new()?)?.0)?; // a crash leaves all of it or nothing
            medium.keep_new()?;
        }
        Err(error) => return Err(error.into()),
    }
    let (database, sync_failed) = database(medium.open()?)?;
    let start = schema::start(&database)?;
    let kept = records::read_all(&database)?;
    Ok(Opened { database, start, kept, sync_failed })
}

/// Opens again what was open in this process, after a failure. `renew`: an fsync failed. The system may then take what
/// it could not write for written, so that a later fsync would not try again: all of it is written anew.
pub fn reopen(medium: &dyn Medium, renew: bool) -> Result<(Database, Arc<AtomicBool>), Unfit> {
    if renew {
        let (from, to) = (medium.open()?, medium.open_new()?);
        let len = from.len()?;
        to.set_len(len)?;
        let mut buffer = vec![0; COPY_BYTES];
        for offset in (0..len).step_by(COPY_BYTES) {
            let part = &mut buffer[..(len - offset).min(COPY_BYTES as u64) as usize];
            from.read(offset, part)?;
            to.write(offset, part)?;
        }
        to.sync_data()?;
        to.close()?;
        medium.keep_new()?;
    }
    let there = medium.open()?;
    if there.len()? == 0 {
        return Err(Unfit::Damaged("it has become empty".into()));
    }
    database(there)
}

fn database(backend: Box<dyn StorageBackend>) -> Result<(Database, Arc<AtomicBool>), Unfit> {
    let sync_failed = Arc::new(AtomicBool::new(false));
    let watched = Watched { inner: backend, sync_failed: sync_failed.clone() };
    Ok((Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(watched)?, sync_failed))
}

/// redb asserts what it takes for granted, so on damaged bytes it may panic: that is an answer too, and not told as a
/// fault of this program.
fn quietly(look: impl FnOnce() -> Result<(), Unfit> + Send) -> Result<(), Unfit> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            if thread::current().name() != Some(LOOKING) {
                others(what);
            }
        }));
    });
    thread::scope(|scope| {
        let looking = thread::Builder::new().name(LOOKING.into()).spawn_scoped(scope, look)?;
        looking.join().unwrap_or_else(|_| Err(Unfit::Damaged("its parts contradict each other".into())))
    })
}

/// All that opening does, the migration too, without a byte of it being written.
fn look_through(backend: Box<dyn StorageBackend>) -> Result<(), Unfit> {
    if backend.len()? == 0 {
        return Err(Unfit::Damaged("it is empty".into())); // redb would make a new one of it without a word
    }
    let overlay = Overlay::over(backend)?;
    let mut database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(overlay)?;
    if !database.check_integrity()? {
        return Err(Unfit::Damaged("parts of it do not fit together".into()));
    }
    schema::start(&database)?;
    records::read_all(&database).map(drop)
}

/// Passes everything on, and remembers that an fsync failed.
#[derive(Debug)]
struct Watched {
    inner: Box<dyn StorageBackend>,
    sync_failed: Arc<AtomicBool>,
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
