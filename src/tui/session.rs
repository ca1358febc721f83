//! What all screens of one cluster share: the client, what is known, and the way back to the screen. Must never block it.

use crate::client::Orchestrator;
use crate::clock;
use crate::errors::Error;
use crate::lock::lock;
use crate::tui::forms::memory::Memory;
use crate::tui::log::Line;
pub use crate::tui::orchestrator::model::{Model, Wanted};
use cursive::{CbSink, Cursive};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard};

/// Actions on their way at once; more are refused, so that a dead API cannot gather threads.
const ACTIONS_MAX: usize = 8;

/// The way to the screen from other threads.
#[derive(Clone)]
pub struct Ui {
    sink: CbSink,
    /// Wakes the screen's loop; one message is enough for all that waits.
    wake: SyncSender<()>,
}

impl Ui {
    pub fn new(sink: CbSink, wake: SyncSender<()>) -> Self {
        Ui { sink, wake }
    }

    /// Runs on the screen's thread, soon. Nothing happens once the screen is closed.
    pub fn run(&self, what: impl FnOnce(&mut Cursive) + Send + 'static) {
        let _ = self.sink.send(Box::new(what)); // closed: the screen is gone
        self.redraw();
    }

    /// Draws again: something known has changed.
    pub fn redraw(&self) {
        let _ = self.wake.try_send(()); // full: it will anyway
    }
}

/// One cluster on the screen. Clones are the same session.
#[derive(Clone)]
pub struct Session {
    client: Orchestrator,
    model: Arc<Mutex<Model>>,
    actions: Arc<AtomicUsize>,
    memory: Arc<Mutex<Memory>>,
    pub ui: Ui,
}

impl Session {
    pub fn new(client: Orchestrator, ui: Ui) -> Self {
        Session { client, model: Arc::default(), actions: Arc::default(), memory: Arc::default(), ui }
    }

    pub fn client(&self) -> &Orchestrator {
        &self.client
    }

    /// Looks at what is known. Hold it briefly: the screen waits for it.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    /// What forms and the command line remember.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Changes what is known, and shows it.
    pub fn update(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.model());
        self.ui.redraw();
    }

    /// Adds a line of this screen's own to the log.
    pub fn note(&self, level: &str, text: impl Into<String>) {
        let time = clock::rfc3339(clock::unix_ms());
        let line = Line { time, level: level.into(), text: text.into() };
        self.update(|model| model.log.push(line));
    }

    /// Asks the API on a thread of its own; `done` gets the answer on the screen's thread. `what` is shown meanwhile.
    /// `false`: too much is on its way already, and nothing was done.
    pub fn act<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        job: impl FnOnce(&Orchestrator) -> Result<T, Error> + Send + 'static,
        done: impl FnOnce(&mut Cursive, Result<T, Error>) + Send + 'static,
    ) -> bool {
        let what = what.into();
        if self.actions.fetch_add(1, Ordering::Relaxed) >= ACTIONS_MAX {
            self.actions.fetch_sub(1, Ordering::Relaxed);
            self.note("warn", format!("{what}: too much is on its way already, try again soon"));
            return false;
        }
        self.update(|model| model.busy.push(what.clone()));
        let session = self.clone();
        let name = what.clone();
        let run = move || {
            let answer = job(&session.client);
            session.actions.fetch_sub(1, Ordering::Relaxed);
            session.update(|model| {
                if let Some(at) = model.busy.iter().position(|busy| *busy == name) {
                    model.busy.remove(at);
                }
            });
            session.ui.run(move |siv| done(siv, answer));
        };
        if std::thread::Builder::new().name("tui-action".into()).spawn(run).is_err() {
            self.actions.fetch_sub(1, Ordering::Relaxed);
            self.update(|model| model.busy.retain(|busy| *busy != what));
            self.note("error", format!("{what}: this machine can start no more threads"));
            return false;
        }
        true
    }
}
