//! Builds: source folders on their way to images or bundles. Keeps what became of each, lets a bounded number run and
//! wait, and makes one of several that want the same. Where one runs and how is `run.rs`' business.

mod log;
mod prepare;
mod run;

use super::Orchestrator;
use super::bundles::Rejected;
use super::events::Told;
use super::store::{BuildRecord, Store, StoreError, Write};
use crate::auth::Caller;
use crate::clock;
use crate::limits::Limit;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::runtimes::{Catalog, Undetected};
use crate::turns::Turns;
use crate::types;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fs, io};

pub use log::{Log, read as read_log};
pub use prepare::{Order, Wish, prepare};
pub use run::forget;

/// Builds remembered that have ended; those whose image a function uses come on top.
const KEPT: usize = 200;
/// Numbers of one cluster's builds stay far below it.
const NUMBERS: u64 = 1 << 60;

/// Why a build was not taken in.
#[derive(Debug)]
pub enum Refused {
    /// The folder is no good, or could not be kept.
    Source(Rejected),
    /// Nothing tells what it is.
    Undetected(Undetected),
    /// No node could build it; what to do.
    NoNode(String),
    /// As many wait as may.
    Full {
        limit: usize,
    },
    Stopping,
    Store(StoreError),
}

/// All builds that are remembered.
pub struct Builds {
    pub catalog: Catalog,
    /// Images to begin with instead of runtimes' own, by runtime.
    pub bases: BTreeMap<String, String>,
    store: Arc<Store>,
    /// Where the logs of those that have ended are.
    dir: PathBuf,
    turns: Turns,
    inner: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    all: BTreeMap<u64, Arc<Build>>,
    last: u64,
}

/// One build.
pub struct Build {
    pub number: u64,
    now: Mutex<BuildRecord>,
    /// Of one that has not ended.
    log: Mutex<Option<Arc<Log>>>,
    cancel: (Sender<()>, Receiver<()>),
    /// Closed at its end.
    over: (Sender<()>, Receiver<()>),
    /// Who waits for its end; the last one who goes away ends it, unless somebody will come back for it.
    waiting: AtomicUsize,
    detached: AtomicBool,
}

/// Somebody waits for a build's end.
pub struct Waiting(Arc<Build>);

impl Waiting {
    /// What became of it.
    pub async fn ended(&self) -> types::Build {
        let _ = self.0.over.1.recv().await;
        self.0.shown()
    }

    pub fn build(&self) -> &Arc<Build> {
        &self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 && !self.0.detached.load(Ordering::Acquire) {
            self.0.cancel();
        }
    }
}

impl Build {
    fn new(number: u64, record: BuildRecord, log: Option<Arc<Log>>) -> Arc<Self> {
        let over = rt::bounded(1);
        if log.is_none() {
            over.0.close();
        }
        Arc::new(Build {
            number,
            now: Mutex::new(record),
            log: Mutex::new(log),
            cancel: rt::bounded(1),
            over,
            waiting: AtomicUsize::new(0),
            detached: AtomicBool::new(false),
        })
    }

    pub fn id(&self) -> String {
        id(self.number)
    }

    /// As it is now.
    pub fn shown(&self) -> types::Build {
        let now = self.record();
        let time = |ms: Option<u64>| ms.map(clock::rfc3339);
        types::Build {
            id: self.id(),
            name: now.name,
            status: now.status,
            image: now.image,
            runtime: now.runtime.map(|runtime| runtime.name),
            node: now.node,
            error: now.error,
            created: clock::rfc3339(now.created_unix_ms),
            started: time(now.started_unix_ms),
            finished: time(now.finished_unix_ms),
        }
    }

    /// Ends it, if it has not ended.
    pub fn cancel(&self) {
        self.cancel.0.close();
    }

    /// Somebody will ask for it later: it goes on when nobody waits.
    pub fn detach(&self) {
        self.detached.store(true, Ordering::Release);
    }

    /// It goes on as long as what is returned is held.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Of its log, if it failed.
    pub fn last_lines(&self) -> String {
        self.record().last_lines
    }

    /// All is kept: whoever waits is told.
    fn end(&self) {
        *lock(&self.log) = None;
        self.over.0.close();
    }

    pub fn has_ended(&self) -> bool {
        self.over.1.is_closed()
    }

    /// Its log while it has not ended; closed by the second.
    pub fn live_log(&self) -> Option<(Arc<Log>, Receiver<()>)> {
        let log = lock(&self.log).clone()?;
        Some((log, self.over.1.clone()))
    }

    fn record(&self) -> BuildRecord {
        lock(&self.now).clone()
    }

    fn change(&self, change: impl FnOnce(&mut BuildRecord)) -> BuildRecord {
        let mut now = lock(&self.now);
        change(&mut now);
        now.clone()
    }
}

/// Takes a build in, or finds one that makes the same. It goes on as long as what is returned is held, or it is detached.
pub async fn submit(app: &Arc<Orchestrator>, order: Order, by: &Caller) -> Result<Waiting, Refused> {
    let (app, by) = (app.clone(), by.clone()); // one that is remembered must end, though who asked for it has left
    rt::to_its_end(async move { take_in(&app, order, &by).await }).await
}

async fn take_in(app: &Arc<Orchestrator>, order: Order, by: &Caller) -> Result<Waiting, Refused> {
    if app.stopping() {
        return Err(Refused::Stopping);
    }
    run::node_for(app, &order, &BTreeSet::new()).map_err(Refused::NoNode)?;
    let limit = app.limits.count(Limit::Builds) + app.limits.count(Limit::WaitingBuilds);
    let (waiting, written) = {
        let mut shelf = app.builds.lock();
        let mut open = shelf.all.values().filter(|build| !build.has_ended());
        if let Some(same) = open.clone().find(|build| !order.anew && build.record().wanted == order.wanted)
            && !same.cancel.0.is_closed()
        {
            return Ok(same.wait());
        }
        if open.by_ref().count() >= limit {
            return Err(Refused::Full { limit: app.limits.count(Limit::WaitingBuilds) });
        }
        shelf.last += 1;
        let number = shelf.last;
        let record = order.record();
        let log = Arc::new(Log::new(app.limits.count(Limit::BuildLogBytes)));
        let build = Build::new(number, record.clone(), Some(log));
        shelf.all.insert(number, build.clone());
        (build.wait(), app.builds.store.write(Write::Build(number, Box::new(record)), Vec::new()))
    };
    let build = waiting.build().clone();
    if let Err(error) = app.builds.store.kept(written).await {
        app.builds.lock().all.remove(&build.number);
        build.change(|now| (now.status, now.error) = ("failed".into(), Some(error.to_string()))); // others may wait for it
        build.end();
        return Err(Refused::Store(error));
    }
    tell(
        app,
        &build,
        "build.queued",
        "info",
        Some(by),
        &format!("Function '{}': build {} queued", order.name, build.id()),
    );
    rt::spawn(run::run(app.clone(), build, order));
    Ok(waiting)
}

/// Has an image built again that no node has any more, from the source that was kept. For who moves images.
pub async fn again(app: &Arc<Orchestrator>, image: &str) -> Result<(), String> {
    let made = app.builds.that_made(image).ok_or_else(|| format!("no build made {image}, or it is forgotten"))?;
    let order = Order::again(app, made)?;
    let waiting = submit(app, order, &Caller::default()).await.map_err(|refused| format!("{refused:?}"))?;
    let build = waiting.ended().await;
    build.error.map_or(Ok(()), Err)
}

fn tell(
    app: &Orchestrator,
    build: &Build,
    kind: &'static str,
    level: &'static str,
    by: Option<&Caller>,
    message: &str,
) {
    let function = Some(build.record().name);
    let told = Told { kind, level, message: message.into(), function, ..Told::default() };
    app.events.tell(&match by {
        Some(by) => told.by(by),
        None => told,
    });
}

/// As people and programs call a build.
fn id(number: u64) -> String {
    format!("b{number:x}")
}

impl Builds {
    /// Goes on with what an earlier life left: what had not ended then has failed. Numbers count up from `first`.
    pub fn open(
        dir: PathBuf,
        store: Arc<Store>,
        first: u64,
        kept: Vec<(u64, BuildRecord)>,
        catalog: Catalog,
        bases: BTreeMap<String, String>,
    ) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        // Those of a backup may be of a cluster that had been started more often.
        let last = kept.iter().map(|(number, _)| *number).max().unwrap_or(0).max(first);
        let mut shelf = Shelf { last, ..Shelf::default() };
        for (number, mut record) in kept {
            if record.finished_unix_ms.is_none() {
                record.status = "failed".into();
                record.error = Some("the orchestrator was restarted before the build had ended; build it again".into());
                record.finished_unix_ms = Some(clock::unix_ms());
                drop(store.write(Write::Build(number, Box::new(record.clone())), Vec::new()));
            }
            shelf.all.insert(number, Build::new(number, record, None));
        }
        let builds = Builds { catalog, bases, store, dir, turns: Turns::default(), inner: Mutex::new(shelf) };
        builds.remove_strays()?;
        Ok(builds)
    }

    /// Takes in those of a backup that are not known here; answers them with the numbers they have from now on. What had
    /// not ended then is left out, for nothing came of it.
    pub fn add(&self, restored: Vec<(u64, BuildRecord)>) -> Vec<(u64, BuildRecord)> {
        let mut shelf = self.lock();
        let same = |a: &BuildRecord, b: &BuildRecord| (a.created_unix_ms, &a.wanted) == (b.created_unix_ms, &b.wanted);
        let mut added = Vec::new();
        for (number, record) in restored {
            let known = || shelf.all.values().any(|build| same(&build.record(), &record));
            if record.finished_unix_ms.is_none() || known() {
                continue;
            }
            let free = number < NUMBERS && !shelf.all.contains_key(&number);
            let number = if free { number } else { shelf.last + 1 };
            shelf.last = shelf.last.max(number);
            shelf.all.insert(number, Build::new(number, record.clone(), None));
            added.push((number, record));
        }
        added
    }

    /// One by its id.
    pub fn find(&self, id: &str) -> Option<Arc<Build>> {
        let number = id.strip_prefix('b').and_then(|hex| u64::from_str_radix(hex, 16).ok())?;
        self.lock().all.get(&number).filter(|build| build.id() == id).cloned()
    }

    /// All, the newest first.
    pub fn list(&self) -> Vec<Arc<Build>> {
        self.lock().all.values().rev().cloned().collect()
    }

    /// Where the log of one that has ended is.
    pub fn log_file(&self, build: &Build) -> PathBuf {
        self.dir.join(format!("{}.log", build.id()))
    }

    /// Digests of the sources that are of use: of builds that have not ended, and of those whose image is used.
    pub fn sources_in_use(&self, images: &BTreeSet<String>) -> BTreeSet<String> {
        let used = |record: &BuildRecord| {
            record.finished_unix_ms.is_none() || record.image.as_ref().is_some_and(|image| images.contains(image))
        };
        self.lock().all.values().map(|build| build.record()).filter(used).map(|record| record.source).collect()
    }

    /// How many are kept of each status.
    pub fn count(&self) -> [(&'static str, u64); 5] {
        let mut counts = ["queued", "running", "succeeded", "failed", "cancelled"].map(|status| (status, 0));
        for build in self.lock().all.values() {
            let now = lock(&build.now);
            let counted = counts.iter_mut().find(|(status, _)| *status == now.status);
            counted.into_iter().for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// The last that made this, if it is known.
    pub fn that_made(&self, wanted: &str) -> Option<BuildRecord> {
        let shelf = self.lock();
        let records = shelf.all.values().rev().map(|build| build.record());
        records.filter(|record| record.status == "succeeded").find(|record| record.wanted == wanted)
    }

    /// Forgets the oldest beyond those kept.
    pub fn prune(&self, in_use: &BTreeSet<String>) {
        let mut shelf = self.lock();
        let ended = shelf.all.values().rev().filter(|build| build.has_ended());
        let unused = ended.filter(|build| build.record().image.is_none_or(|image| !in_use.contains(&image)));
        let gone: Vec<Arc<Build>> = unused.skip(KEPT).cloned().collect();
        for build in gone {
            shelf.all.remove(&build.number);
            drop(self.store.write(Write::BuildGone(build.number), Vec::new()));
            let _ = fs::remove_file(self.log_file(&build)); // what stays goes at the next start
        }
    }

    /// Logs of builds that are not remembered.
    fn remove_strays(&self) -> io::Result<()> {
        let known: BTreeSet<PathBuf> = self.lock().all.values().map(|build| self.log_file(build)).collect();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if !known.contains(&path) {
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.inner)
    }
}
