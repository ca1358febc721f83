//! A disk in memory that remembers what it was asked, fails when told to, and can be looked at as a crash would leave it.

use super::super::medium::Medium;
use crate::dice::Dice;
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

/// What was asked of it.
#[derive(Clone, Debug)]
pub enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// From here on it is the new file that is meant.
    Open(Which),
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    There,
    New,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Writes(io::ErrorKind),
    /// Once: what was not on disk by then never comes there, though reading shows it.
    Sync,
}

#[derive(Clone, Debug, Default)]
pub struct File {
    /// As programs see it.
    seen: Vec<u8>,
    /// After a crash.
    durable: Vec<u8>,
    /// On its way from one to the other.
    pending: Vec<Op>,
}

impl File {
    fn sync(&mut self) {
        for op in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &op, usize::MAX);
        }
    }

    fn ask(&mut self, op: Op) {
        apply(&mut self.seen, &op, usize::MAX);
        self.pending.push(op);
    }
}

fn apply(bytes: &mut Vec<u8>, op: &Op, most: usize) {
    match op {
        Op::Write(offset, data) => {
            let (from, data) = (*offset as usize, &data[..data.len().min(most)]);
            if bytes.len() < from + data.len() {
                bytes.resize(from + data.len(), 0);
            }
            bytes[from..from + data.len()].copy_from_slice(data);
        }
        Op::SetLen(len) => bytes.resize(*len as usize, 0),
        Op::Sync | Op::Open(_) | Op::Kept => {}
    }
}

#[derive(Debug, Default)]
struct Platter {
    there: Option<File>,
    new: File,
    journal: Vec<Op>,
    /// Fails so many operations from now.
    fault: Option<(usize, Fault)>,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    pub fn with(bytes: Option<Vec<u8>>) -> Disk {
        let there = bytes.map(|bytes| File { seen: bytes.clone(), durable: bytes, pending: Vec::new() });
        Disk(Arc::new(Mutex::new(Platter { there, ..Platter::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no panic under it")
    }

    /// So many operations from now it begins to fail; `None` repairs it.
    pub fn fail(&self, fault: Option<(usize, Fault)>) {
        self.lock().fault = fault;
    }

    /// Nothing is read or written meanwhile.
    pub fn while_it_stands_still<T>(&self, run: impl FnOnce() -> T) -> T {
        let _all = self.lock();
        run()
    }

    pub fn failed(&self) -> bool {
        self.lock().fault.is_none_or(|(after, _)| after == 0)
    }

    /// What it was asked since it was new.
    pub fn journal(&self) -> Vec<Op> {
        self.lock().journal.clone()
    }

    pub fn asked(&self) -> usize {
        self.lock().journal.len()
    }

    /// What is left after a power cut now, if nothing more came to the disk.
    pub fn after_power_cut(&self) -> Disk {
        Disk::with(self.lock().there.as_ref().map(|file| file.durable.clone()))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.lock().there.as_ref().map(|file| file.seen.clone()).unwrap_or_default()
    }
}

impl Medium for Disk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut inner = self.lock();
        if inner.there.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.journal.push(Op::Open(Which::There));
        Ok(Box::new(Opened { disk: self.clone(), which: Which::There }))
    }

    fn open_new(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut inner = self.lock();
        inner.new = File::default();
        inner.journal.push(Op::Open(Which::New));
        Ok(Box::new(Opened { disk: self.clone(), which: Which::New }))
    }

    fn keep_new(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.journal.push(Op::Kept);
        inner.there = Some(std::mem::take(&mut inner.new));
        Ok(())
    }
}

#[derive(Debug)]
struct Opened {
    disk: Disk,
    which: Which,
}

impl Opened {
    fn on<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.disk.lock();
        match self.which {
            Which::There => work(inner.there.as_mut().ok_or(io::ErrorKind::NotFound)?),
            Which::New => work(&mut inner.new),
        }
    }

    fn ask(&self, op: Op) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let syncs = matches!(op, Op::Sync);
        if let Some((after, fault)) = &mut inner.fault {
            match (*after, *fault) {
                (0, Fault::Writes(kind)) if !syncs => return Err(kind.into()),
                (0, Fault::Sync) if syncs => {
                    inner.fault = None;
                    drop(inner);
                    self.on(|file| {
                        file.pending.clear();
                        Ok(())
                    })?;
                    return Err(io::Error::other("the disk lost it"));
                }
                _ => *after = after.saturating_sub(1),
            }
        }
        inner.journal.push(op.clone());
        drop(inner);
        self.on(|file| {
            match op {
                Op::Sync => file.sync(),
                op => file.ask(op),
            }
            Ok(())
        })
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        self.on(|file| Ok(file.seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        self.on(|file| {
            let there = file.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(there);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(Op::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(Op::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask(Op::Write(offset, data.to_vec()))
    }
}

/// What of the operations after the last fsync came to the disk.
#[derive(Clone, Copy, Debug)]
pub enum Reached {
    Nothing,
    Everything,
    /// Everything, but of the last write only its first sectors.
    Torn,
    /// Some of it, in part: a disk writes in the order it likes.
    Some(u64),
}

/// What crashes leave: goes through a journal and shows the file as it would be at each place.
#[derive(Default)]
pub struct Crashes {
    there: Option<File>,
    new: File,
    on_new: bool,
}

impl Crashes {
    pub fn go_on(&mut self, op: &Op) {
        match op {
            Op::Open(which) => {
                self.on_new = *which == Which::New;
                if self.on_new {
                    self.new = File::default();
                }
            }
            Op::Kept => {
                self.there = Some(std::mem::take(&mut self.new));
                self.on_new = false;
            }
            op => {
                let file = match (self.on_new, &mut self.there) {
                    (false, Some(there)) => there,
                    _ => &mut self.new,
                };
                match op {
                    Op::Sync => file.sync(),
                    op => file.pending.push(op.clone()),
                }
            }
        }
    }

    /// The file that a crash here leaves.
    pub fn disk(&self, reached: Reached) -> Disk {
        let Some(file) = &self.there else { return Disk::with(None) };
        let mut bytes = file.durable.clone();
        let last = file.pending.iter().rposition(|op| matches!(op, Op::Write(..)));
        let mut dice = Dice(match reached {
            Reached::Some(seed) => seed,
            _ => 0,
        });
        for (at, op) in file.pending.iter().enumerate() {
            match reached {
                Reached::Nothing => {}
                Reached::Everything => apply(&mut bytes, op, usize::MAX),
                Reached::Torn if Some(at) == last => apply(&mut bytes, op, SECTOR),
                Reached::Torn => apply(&mut bytes, op, usize::MAX),
                // A file's length is of the file system, which keeps its order.
                Reached::Some(_) if matches!(op, Op::SetLen(_)) => apply(&mut bytes, op, usize::MAX),
                Reached::Some(_) => match dice.below(3) {
                    0 => {}
                    1 => apply(&mut bytes, op, usize::MAX),
                    _ => apply(&mut bytes, op, dice.below(8) as usize * SECTOR),
                },
            }
        }
        Disk::with(Some(bytes))
    }
}
