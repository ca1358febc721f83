//! What is asked for while one node, function or task is open: its calls of late, what a function printed, all of a task. Must never ask
//! more than once a second.

use crate::client::Orchestrator;
use crate::errors::Error;
use crate::lock::lock;
use crate::tui::log::Line;
use crate::tui::session::Session;
use crate::types::{CallRecord, LogLine, TaskStatus};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
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
    pub task: Option<TaskStatus>,
    /// Why the last answer did not come.
    pub trouble: Option<String>,
}

/// A thread that asks, for as long as this is kept.
pub struct Fetcher {
    ask: SyncSender<()>,
    fetched: Arc<Mutex<Fetched>>,
}

impl Fetcher {
    /// Of a node or function.
    pub fn new(session: &Session, subject: Subject) -> Fetcher {
        Fetcher::start(session, move |client| fetch(client, &subject))
    }

    /// Of a task.
    pub fn of_task(session: &Session, id: String) -> Fetcher {
        Fetcher::start(session, move |client| Ok(Fetched { task: Some(client.task(&id)?), ..Default::default() }))
    }

    fn start(session: &Session, fetch: impl Fn(&Orchestrator) -> Result<Fetched, Error> + Send + 'static) -> Fetcher {
        let (ask, asked) = sync_channel(1);
        let fetched: Arc<Mutex<Fetched>> = Arc::default();
        let (own, to) = (session.clone(), fetched.clone());
        let run = move || answer(&own, &fetch, &asked, &to);
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

fn answer(
    session: &Session,
    fetch: &impl Fn(&Orchestrator) -> Result<Fetched, Error>,
    asked: &Receiver<()>,
    to: &Mutex<Fetched>,
) {
    let client = session.client().clone().timeout(PATIENCE);
    while asked.recv().is_ok() {
        let answer = fetch(&client);
        {
            let mut held = lock(to);
            held.revision += 1;
            match answer {
                Ok(fetched) => *held = Fetched { revision: held.revision, ..fetched },
                Err(error) => held.trouble = Some(error.to_string()),
            }
        }
        session.ui.redraw();
        std::thread::sleep(PAUSE);
    }
}

fn fetch(client: &Orchestrator, subject: &Subject) -> Result<Fetched, Error> {
    Ok(match subject {
        Subject::Node(id) => Fetched { calls: client.calls(None, Some(id), CALLS)?, ..Default::default() },
        Subject::Function(name) => {
            let calls = client.calls(Some(name), None, CALLS)?;
            let printed = client.logs(name, Some(LINES), false)?.collect::<Result<Vec<LogLine>, Error>>()?;
            let line = |line: LogLine| Line { time: line.time, level: String::new(), text: line.line };
            Fetched { calls, printed: printed.into_iter().map(line).collect(), ..Default::default() }
        }
    })
}
