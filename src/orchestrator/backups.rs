//! Backups of the store with its bundles, made while everything runs, and brought back: looked through to the last byte
//! before anything changes, and then all of it or nothing.

use super::Orchestrator;
use super::bundles::Rejected;
use super::events::Told;
use super::images;
use super::secrets::key::KeyError;
use super::store::{self, Kept, Snapshot, StoreError};
use crate::auth::Caller;
use crate::backup::{self, BackupError, Head, Part};
use crate::limits::Limit;
use crate::rt::{self, Receiver, Sender};
use crate::types::Restored;
use crate::{bundle, clock, version};
use bytes::Bytes;
use hyper::body::Incoming;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A backup's chunk on its way out.
const CHUNK_BYTES: usize = 64 * 1024;
/// A reader that stands still for this long is given up: until then the store cannot use its space again.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// One at a time.
#[derive(Default)]
pub struct Backups(AtomicBool);

/// Lets the next one in when dropped.
pub struct Turn(Arc<Orchestrator>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.backups.0.store(false, Ordering::Release);
    }
}

/// Why there is no backup, or it was not brought back. Nothing has changed.
#[derive(Debug)]
pub enum Failed {
    /// Another is being made or brought back.
    Busy,
    /// It did not come whole.
    Upload(Rejected),
    /// It cannot be used.
    Backup(BackupError),
    /// The cluster's key does not open its secrets.
    Secrets(KeyError),
    Store(StoreError),
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        Failed::Backup(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Store(error)
    }
}

/// Held while bundles are read or changed as one.
pub fn turn(app: &Arc<Orchestrator>) -> Result<Turn, Failed> {
    match app.backups.0.swap(true, Ordering::AcqRel) {
        true => Err(Failed::Busy),
        false => Ok(Turn(app.clone())),
    }
}

/// Begins one: what it says of itself, and its bytes, whose last is the end only if no error came before it.
pub async fn make(app: Arc<Orchestrator>) -> Result<(Head, Receiver<io::Result<Bytes>>), Failed> {
    let turn = turn(&app)?;
    let snapshot = app.store.snapshot().await?;
    let unix_ms = clock::unix_ms();
    let counted = rt::unblock(move || {
        let mut counts = BTreeMap::<String, u64>::new();
        snapshot.each(|table, _, _| {
            *counts.entry(table.into()).or_default() += 1;
            Ok::<_, StoreError>(())
        })?;
        Ok::<_, StoreError>((snapshot, counts))
    });
    let (snapshot, counts) = counted.await?;
    let count = |table| counts.get(table).copied().unwrap_or_default();
    let head = Head {
        form: backup::FORM,
        schema: store::VERSION,
        cluster: app.cluster_id.clone(),
        created_at: clock::rfc3339(unix_ms),
        cares: version::VERSION.into(),
        functions: count("functions"),
        nodes: count("nodes"),
        bundles: count("bundles"),
    };
    let (chunks, taken) = rt::bounded(4);
    let said = head.clone();
    rt::spawn(rt::unblock(move || {
        let out = BufWriter::with_capacity(CHUNK_BYTES, Chunks(chunks.clone()));
        if let Err(error) = write(&snapshot, &said, unix_ms, &turn.0, out) {
            log::warn!("A backup broke off: {error}");
            let _ = chunks.try_send(Err(error)); // full or closed: nobody reads
        }
    }));
    Ok((head, taken))
}

fn write(snapshot: &Snapshot, head: &Head, unix_ms: u64, app: &Orchestrator, out: impl Write) -> io::Result<()> {
    let mut writer = backup::Writer::new(out, head, unix_ms)?;
    let mut digests = Vec::new();
    let each = |show: &mut backup::Show<'_, Broken>| snapshot.each(show);
    writer.records(each).map_err(|Broken(error)| error)?;
    let note = |table: &str, key: &str, _: &[u8]| {
        digests.extend((table == "bundles").then(|| key.to_string()));
        Ok::<_, Broken>(())
    };
    snapshot.each(note).map_err(|Broken(error)| error)?;
    for digest in digests {
        let path = app.bundles.path(&digest);
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut file = File::open(&path).map_err(named)?;
        let size = file.metadata().map_err(named)?.len();
        writer.bundle(&digest, size, &mut file)?;
    }
    writer.finish().map(drop)
}

/// Either end's trouble.
struct Broken(io::Error);

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken(error)
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Broken(io::Error::other(error))
    }
}

/// What is written here is read at the other end; a reader that left or stands still is an error.
struct Chunks(Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Ok(Bytes::copy_from_slice(bytes)));
        match rt::block_on(clock::timeout(STALL_LIMIT, sent)) {
            Some(Ok(())) => Ok(bytes.len()),
            Some(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Brings one back.
pub async fn restore(app: Arc<Orchestrator>, body: Incoming, by: &Caller) -> Result<Restored, Failed> {
    let turn = turn(&app)?;
    let spooled =
        app.bundles.spool(body, backup::MAX_BYTES, app.limits.time(Limit::BodyS)).await.map_err(Failed::Upload)?;
    let (dir, file) = (app.bundles.dir().to_path_buf(), spooled.path().to_path_buf());
    let checked = rt::unblock(move || {
        let (head, kept) = check(&file)?;
        unpack(&file, &dir).map_err(|e| match e {
            BackupError::Io(error) => Failed::Upload(Rejected::Disk { path: dir, why: error.to_string() }),
            other => other.into(),
        })?;
        Ok::<_, Failed>((head, kept))
    });
    let (head, mut kept) = checked.await?;
    drop(spooled);
    kept.secrets = app.secrets.missing(kept.secrets).map_err(Failed::Secrets)?;
    let restored = Restored {
        status: "success".into(),
        cluster: head.cluster,
        created_at: head.created_at,
        functions: kept.functions.len() as u64,
        bundles: kept.bundles.len() as u64,
        nodes: kept.nodes.len() as u64,
    };
    app.bundles.add(&kept.bundles); // before a node may ask for one
    app.secrets.add(&kept.secrets); // before a function may start with one
    kept.builds = app.builds.add(kept.builds);
    match app.state.restore(kept) {
        Ok(applied) => applied.kept().await?,
        Err(refusal) => return Err(BackupError::Damaged(format!("it was refused: {refusal:?}")).into()),
    };
    app.builds.prune(&images::in_use(&app).await);
    let message = format!("The backup of {} was restored: {} functions", restored.created_at, restored.functions);
    let told = Told { kind: "cluster.restored", level: "warn", message, ..Told::default() };
    app.events.tell(&told.by(by));
    drop(turn);
    Ok(restored)
}

/// Reads all of it, as a start would read a store. Blocks.
fn check(file: &Path) -> Result<(Head, Kept), BackupError> {
    let (mut records, mut bundles) = (Vec::new(), BTreeSet::new());
    let head = backup::read(File::open(file)?, |part| {
        match part {
            Part::Head(head) if head.schema > store::VERSION => {
                let (found, known, cares) = (head.schema, store::VERSION, head.cares.clone());
                return Err(BackupError::Newer { what: "schema", found, known, cares });
            }
            Part::Head(_) => {}
            Part::Record { table, key, value } => records.push((table, key, value)),
            Part::Bundle { digest, .. } => drop(bundles.insert(digest.to_string())),
        }
        Ok(())
    })?;
    let shown = records.iter().map(|(table, key, value)| (&**table, &**key, &**value));
    let kept =
        store::read_records(head.schema, shown).map_err(|why| BackupError::Damaged(format!("as a store, it {why}")))?;
    for (digest, _) in &kept.bundles {
        if !bundles.contains(digest) {
            return Err(BackupError::Damaged(format!("it lacks bundle {digest}")));
        }
    }
    let known: BTreeSet<&str> = kept.bundles.iter().map(|(digest, _)| digest.as_str()).collect();
    for revision in kept.functions.iter().flat_map(|function| &function.revisions) {
        if bundle::digest_in(&revision.image).is_some_and(|digest| !known.contains(digest)) {
            let why = format!("it lacks {}, which function '{}' needs", revision.image, revision.function);
            return Err(BackupError::Damaged(why));
        }
    }
    Ok((head, kept))
}

/// Puts the bundles where they belong: one that nothing refers to yet does no harm. Blocks.
fn unpack(file: &Path, dir: &Path) -> Result<(), BackupError> {
    let put = |digest: &str, bytes: &mut dyn io::Read| {
        let path = dir.join(format!("{digest}.zip"));
        if bundle::digest_of(&path).is_ok_and(|there| there == digest) {
            return Ok(());
        }
        let part: PathBuf = path.with_extension("part");
        let mut to = File::create(&part)?;
        let put = io::copy(bytes, &mut to).and_then(|_| to.sync_all()).and_then(|()| fs::rename(&part, &path));
        if put.is_err() {
            let _ = fs::remove_file(&part); // it may be what filled the disk
        }
        put
    };
    backup::read(File::open(file)?, |part| match part {
        Part::Bundle { digest, bytes } => Ok(put(digest, bytes)?),
        _ => Ok(()),
    })?;
    Ok(File::open(dir)?.sync_all()?)
}
