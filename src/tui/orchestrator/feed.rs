//! The threads that follow an orchestrator and write what they hear into the model. Must never draw, nor wait on the screen.
//!
//! A feed ends with the next thing it hears after its `Feeds` is dropped; nobody waits for it.

use super::model::{Connection, Model, Source};
use crate::client::Watch;
use crate::clock;
use crate::errors::Error;
use crate::lock::{self, lock};
use crate::tui::log::Heard;
use crate::tui::panes::rows::Rows;
use crate::tui::session::Session;
use crate::types::{Change, Function, Node, Pipeline, TaskSummary};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

/// The first wait before another try, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often the orchestrator is asked whether it is still there, and how long it may take to say so.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Lines of the log from before.
const LOG_TAIL: u64 = 1000;
/// What changes within this is drawn together: a burst of rows costs one frame, and there are five a second at most.
const GATHER: Duration = Duration::from_millis(20);
const FRAME: Duration = Duration::from_millis(180);
/// How often a countdown, or how long something has taken, moves.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// How soon a sleeping feed notices that it is not needed any more.
const NOTICE: Duration = Duration::from_millis(250);

/// Feeds that run as long as this is kept.
pub struct Feeds {
    _alive: Arc<()>,
}

/// A thread's name and what it does.
type Job = (&'static str, fn(Feed));

/// Starts to follow the session's orchestrator.
pub fn start(session: &Session) -> Feeds {
    let alive = Arc::new(());
    let feed =
        Feed { session: session.clone(), alive: Arc::downgrade(&alive), dirty: Arc::default(), first: FIRST_WAIT };
    let jobs: [Job; 7] = [
        ("tui-cluster", |feed| feed.follow(Source::Cluster, |feed, live| feed.cluster(live))),
        ("tui-nodes", |feed| feed.follow(Source::Nodes, |feed, live| feed.nodes(live))),
        ("tui-functions", |feed| feed.follow(Source::Functions, |feed, live| feed.functions(live))),
        ("tui-tasks", |feed| feed.follow(Source::Tasks, |feed, live| feed.tasks(live))),
        ("tui-pipelines", |feed| feed.follow(Source::Pipelines, |feed, live| feed.pipelines(live))),
        ("tui-log", |feed| {
            let mut heard = Heard::default();
            feed.follow(Source::Log, |feed, live| feed.log(&mut heard, live));
        }),
        ("tui-pulse", Feed::pulse),
    ];
    for (name, job) in jobs {
        let feed = feed.clone();
        if std::thread::Builder::new().name(name.into()).spawn(move || job(feed)).is_err() {
            session.note("error", "this machine can start no more threads: the screen does not follow everything");
        }
    }
    Feeds { _alive: alive }
}

#[derive(Clone)]
struct Feed {
    session: Session,
    alive: Weak<()>,
    dirty: Arc<(Mutex<bool>, Condvar)>,
    first: Duration,
}

impl Feed {
    fn alive(&self) -> bool {
        self.alive.strong_count() > 0
    }

    /// Changes what is known; it is drawn with what else changes about now.
    fn change(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.session.model());
        let (dirty, wake) = &*self.dirty;
        *lock(dirty) = true;
        wake.notify_all();
    }

    /// Draws what changed, and time passing while it shows.
    fn pulse(self) {
        let (dirty, wake) = &*self.dirty;
        while self.alive() {
            let held = lock(dirty);
            let waited = wake.wait_timeout_while(held, COUNTDOWN, |dirty| !*dirty);
            let changed = *lock::whole(waited).0;
            if changed {
                std::thread::sleep(GATHER);
                *lock(dirty) = false; // before drawing: what comes now is drawn next
                self.session.ui.redraw();
                std::thread::sleep(FRAME);
            } else if self.session.model().ages() {
                self.session.ui.redraw();
            }
        }
    }

    /// Tries again and again; the waits grow until it has been live.
    fn follow(&self, source: Source, mut attempt: impl FnMut(&Feed, &mut bool) -> Result<(), Error>) {
        let mut wait = self.first;
        while self.alive() {
            let mut live = false;
            let why = match attempt(self, &mut live) {
                Ok(()) => "it closed the connection".to_string(),
                Err(Error::Unreachable { why, .. }) => why,
                Err(Error::Timeout { .. }) => "no answer".to_string(),
                Err(error) => error.to_string(),
            };
            if !self.alive() {
                return;
            }
            if live {
                wait = self.first;
            }
            self.report(source, Connection::Lost { why, again_at_ms: clock::now_ms() + wait.as_millis() as u64 });
            self.sleep(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Says how a source stands, and tells the log when that is news of the whole.
    fn report(&self, source: Source, connection: Connection) {
        let mut news = None;
        self.change(|model| {
            let was_lost = model.stale();
            model.set_source(source, connection);
            news = match &model.connection {
                Connection::Lost { why, .. } if !was_lost => Some(Err(why.clone())),
                Connection::Live if was_lost => Some(Ok(())),
                _ => None,
            };
        });
        let url = self.session.client().url();
        match news {
            Some(Err(why)) => self.session.note("warn", format!("no connection to {url}: {why}")),
            Some(Ok(())) => self.session.note("info", format!("connected to {url} again")),
            None => {}
        }
    }

    fn live(&self, source: Source, live: &mut bool) {
        *live = true;
        if *self.session.model().source(source) != Connection::Live {
            self.report(source, Connection::Live);
        }
    }

    fn sleep(&self, time: Duration) {
        let until = clock::now() + time;
        while self.alive() {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(NOTICE));
        }
    }

    /// Asks who it is: also how an orchestrator that hangs, and says nothing on the other connections, is noticed.
    fn cluster(&self, live: &mut bool) -> Result<(), Error> {
        let client = self.session.client().clone().timeout(ASK_EVERY);
        while self.alive() {
            match client.cluster() {
                Ok(cluster) => {
                    let cluster = Some(cluster);
                    if self.session.model().cluster != cluster {
                        self.change(|model| model.cluster = cluster);
                    }
                }
                Err(error) if error.status().is_some_and(|status| status == 404) => {} // there, but of an older version
                Err(error) => return Err(error),
            }
            self.live(Source::Cluster, live);
            self.sleep(ASK_EVERY);
        }
        Ok(())
    }

    fn nodes(&self, live: &mut bool) -> Result<(), Error> {
        let watch = self.session.client().watch_nodes()?;
        self.rows(Source::Nodes, watch, |model| &mut model.nodes, |node: &Node| &node.id, live)
    }

    fn functions(&self, live: &mut bool) -> Result<(), Error> {
        let watch = self.session.client().watch_functions()?;
        self.rows(Source::Functions, watch, |model| &mut model.functions, |function: &Function| &function.name, live)
    }

    fn tasks(&self, live: &mut bool) -> Result<(), Error> {
        let watch = self.session.client().watch_tasks()?;
        self.rows(Source::Tasks, watch, |model| &mut model.tasks, |task: &TaskSummary| &task.id, live)
    }

    fn pipelines(&self, live: &mut bool) -> Result<(), Error> {
        let watch = self.session.client().watch_pipelines()?;
        self.rows(Source::Pipelines, watch, |model| &mut model.pipelines, |pipeline: &Pipeline| &pipeline.id, live)
    }

    /// Follows a list. What is known from before stays until all of it has been heard again.
    fn rows<T: DeserializeOwned + PartialEq>(
        &self,
        source: Source,
        watch: Watch<T>,
        rows: fn(&mut Model) -> &mut Rows<T>,
        key: fn(&T) -> &str,
        live: &mut bool,
    ) -> Result<(), Error> {
        let mut heard = BTreeSet::new();
        for change in watch {
            if !self.alive() {
                break;
            }
            match change? {
                Change::Put(row) => {
                    let id = key(&row).to_string();
                    if !*live {
                        heard.insert(id.clone());
                    }
                    self.change(|model| drop(rows(model).insert(id, row)));
                }
                Change::Gone(id) => self.change(|model| drop(rows(model).remove(&id))),
                Change::Synced => {
                    let heard = std::mem::take(&mut heard);
                    self.change(|model| rows(model).retain(|id, _| heard.contains(id)));
                    self.live(source, live);
                }
            }
        }
        Ok(())
    }

    /// Follows the log, each line once.
    fn log(&self, heard: &mut Heard, live: &mut bool) -> Result<(), Error> {
        let records = self.session.client().own_log(LOG_TAIL, true)?;
        self.live(Source::Log, live);
        for record in records {
            if !self.alive() {
                break;
            }
            let record = record?;
            if heard.is_news(&record) {
                self.change(|model| model.log.push(record.into()));
            }
        }
        Ok(())
    }
}
