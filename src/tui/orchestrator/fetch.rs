//! What is asked for while one node or function is open: its calls of late, and what a function printed. Must never ask
//! more than once a second.

use crate::errors::Error;
use crate::tui::log::Line;
use crate::tui::session::Session;
use crate::types::{CallRecord, LogLine};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls and log lines asked for.
const CALLS: u32 = 100;
const LINES: u64 = 500;

/// What is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By id.
    Node(String),
    /// By name.
    Function(String),
}

/// The answers so far.
#[derive(Default)]
pub struct Fetched {
    /// Grows with each answer.
    pub revision: u64,
    pub calls: Vec<CallRecord>,
    /// What a function printed.
    pub printed: Vec<Line>,
    /// Why the last answer did not come.
    pub trouble: Option<String>,
}

/// A thread that asks, for as long as this is kept.
pub struct Fetcher {
    ask: SyncSender<()>,
    fetched: Arc<Mutex<Fetched>>,
}

impl Fetcher {
    pub fn new(session: &Session, subject: Subject) -> Fetcher {
        let (ask, asked) = sync_channel(1);
        let fetched: Arc<Mutex<Fetched>> = Arc::default();
        let (own, to) = (session.clone(), fetched.clone());
        let run = move || answer(&own, &subject, &asked, &to);
        if std::thread::Builder::new().name("tui-detail".into()).spawn(run).is_err() {
            lock(&fetched).trouble = Some("this machine can start no more threads".into());
        }
        Fetcher { ask, fetched }
    }

    /// Asks again, soon.
    pub fn ask(&self) {
        let _ = self.ask.try_send(()); // full: it will anyway
    }

    pub fn fetched(&self) -> MutexGuard<'_, Fetched> {
        lock(&self.fetched)
    }
}

fn lock(fetched: &Mutex<Fetched>) -> MutexGuard<'_, Fetched> {
    fetched.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(session: &Session, subject: &Subject, asked: &Receiver<()>, to: &Mutex<Fetched>) {
    while asked.recv().is_ok() {
        let answer = fetch(session, subject);
        {
            let mut held = lock(to);
            held.revision += 1;
            match answer {
                Ok((calls, printed)) => {
                    held.calls = calls;
                    held.printed = printed;
                    held.trouble = None;
                }
                Err(error) => held.trouble = Some(error.to_string()),
            }
        }
        session.ui.redraw();
        std::thread::sleep(PAUSE);
    }
}

fn fetch(session: &Session, subject: &Subject) -> Result<(Vec<CallRecord>, Vec<Line>), Error> {
    let client = session.client().clone().timeout(PATIENCE);
    match subject {
        Subject::Node(id) => Ok((client.calls(None, Some(id), CALLS)?, Vec::new())),
        Subject::Function(name) => {
            let calls = client.calls(Some(name), None, CALLS)?;
            let printed = client.logs(name, Some(LINES), false)?.collect::<Result<Vec<LogLine>, Error>>()?;
            let line = |line: LogLine| Line { time: line.time, level: String::new(), text: line.line };
            Ok((calls, printed.into_iter().map(line).collect()))
        }
    }
}
