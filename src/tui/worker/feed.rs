//! What keeps a worker's screen up to date: its status and its log, each on a thread that waits for news and comes back
//! when the way to it broke. Must never touch what is shown but through the session and the model.

use super::model::WorkerModel;
use crate::clock;
use crate::errors::Error;
use crate::lock::lock;
use crate::tui::log::Heard;
use crate::tui::session::Session;
use crate::types::Change;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);
/// What shows time passing is drawn so often.
const TICK: Duration = Duration::from_secs(1);
/// Lines of the past that are fetched.
const TAIL: u64 = 1_000;

/// The model, shared with the screen.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<WorkerModel>>);

impl Shared {
    /// Hold it briefly: the screen waits for it.
    pub fn lock(&self) -> MutexGuard<'_, WorkerModel> {
        lock(&self.0)
    }
}

type Feed = fn(Session, Shared);

/// Starts all of them; they end with the program.
pub fn start(session: &Session, model: &Shared) {
    let feeds: [(&str, Feed); 3] = [("tui-status", status), ("tui-log", log), ("tui-tick", tick)];
    for (name, feed) in feeds {
        let (session, model) = (session.clone(), model.clone());
        let started = thread::Builder::new().name(name.into()).spawn(move || feed(session, model));
        if let Err(error) = started {
            ::log::error!("the screen cannot be kept up to date: {error}"); // the machine is out of threads
        }
    }
}

fn status(session: Session, model: Shared) {
    loop {
        let why = match session.client().watch_member() {
            Err(error) => error.to_string(),
            Ok(watch) => {
                let mut why = "it closed the connection".to_string();
                for change in watch {
                    match change {
                        Ok(Change::Put(member)) => model.lock().heard(member, clock::now_ms()),
                        Ok(_) => continue,
                        Err(error) => why = error.to_string(),
                    }
                    session.ui.redraw();
                }
                why
            }
        };
        model.lock().lost(why);
        session.ui.redraw();
        thread::sleep(AGAIN);
    }
}

fn log(session: Session, _: Shared) {
    let mut heard = Heard::default();
    loop {
        let lines = session.client().own_log(TAIL, true);
        if let Err(Error::Api(problem)) = &lines
            && problem.status == 404
        {
            return session.note("warn", "this worker is of an older version and does not show its log");
        }
        for record in lines.into_iter().flatten().map_while(Result::ok) {
            if heard.is_news(&record) {
                session.update(|model| model.log.push(record.into()));
            }
        }
        thread::sleep(AGAIN);
    }
}

fn tick(session: Session, model: Shared) {
    loop {
        thread::sleep(TICK);
        if model.lock().ages(clock::now_ms()) {
            session.ui.redraw();
        }
    }
}
