//! What a function prints, followed on a thread of its own that ends soon after nobody looks. Must never draw.

use crate::tui::log::{LINES, Line};
use crate::tui::session::Session;
use crate::types::LogLine;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a function may print nothing until the thread looks whether anybody still looks.
const QUIET: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// Lines asked for again after a pause, to miss none.
const OVERLAP: u64 = 1_000;
/// Threads that follow at once, those included that have not noticed yet that nobody looks.
const TAILS_MAX: usize = 16;

static TAILS: AtomicUsize = AtomicUsize::new(0);

/// What came, and how the connection stands.
#[derive(Default)]
struct Came {
    lines: VecDeque<Line>,
    trouble: Option<String>,
    /// The past is here.
    begun: bool,
}

/// One function's log. Dropping it ends the thread.
pub struct Tail {
    came: Arc<Mutex<Came>>,
    _looking: Sender<()>,
}

impl Tail {
    pub fn start(session: &Session, function: &str) -> Tail {
        let came = Arc::new(Mutex::new(Came::default()));
        let (looking, looks) = channel();
        let tail = Tail { came: came.clone(), _looking: looking };
        let follower = Follower { session: session.clone(), function: function.to_string(), came, looks, last: vec![] };
        if TAILS.fetch_add(1, Ordering::Relaxed) >= TAILS_MAX {
            TAILS.fetch_sub(1, Ordering::Relaxed);
            follower.trouble("too many logs were opened at once. Close this one and try again in a few seconds");
        } else if let Err(error) = std::thread::Builder::new().name("tui-tail".into()).spawn(move || follower.run()) {
            TAILS.fetch_sub(1, Ordering::Relaxed);
            tail.locked().trouble = Some(format!("no thread could be started: {error}"));
        }
        tail
    }

    /// The lines that have come since this was asked last.
    pub fn take(&self) -> VecDeque<Line> {
        std::mem::take(&mut self.locked().lines)
    }

    /// Why nothing comes.
    pub fn trouble(&self) -> Option<String> {
        self.locked().trouble.clone()
    }

    /// Whether there was an answer yet.
    pub fn begun(&self) -> bool {
        self.locked().begun
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Follower {
    session: Session,
    function: String,
    came: Arc<Mutex<Came>>,
    looks: Receiver<()>,
    /// Those of the latest time there was: what is asked for again begins with them.
    last: Vec<LogLine>,
}

impl Follower {
    fn run(mut self) {
        let mut wait = Duration::ZERO;
        while self.looks.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = self.read();
        }
        TAILS.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reads until it breaks, nothing comes, or nobody looks; how long to wait then.
    fn read(&mut self) -> Duration {
        let tail = if self.last.is_empty() { LINES as u64 } else { OVERLAP };
        let lines = match self.session.client().logs_until_quiet(&self.function, tail, QUIET) {
            Ok(lines) => lines,
            Err(error) => {
                self.trouble(&error.to_string());
                return PAUSE;
            }
        };
        self.change(|came| (came.begun, came.trouble) = (true, None));
        for line in lines {
            if self.looks.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                break;
            }
            match line {
                Ok(line) => self.push(line),
                Err(error) => {
                    self.trouble(&error.to_string());
                    return PAUSE;
                }
            }
        }
        PAUSE / 4
    }

    fn push(&mut self, line: LogLine) {
        match self.last.first().map(|last| line.time.cmp(&last.time)) {
            Some(std::cmp::Ordering::Less) => return,
            Some(std::cmp::Ordering::Equal) if self.last.contains(&line) => return,
            Some(std::cmp::Ordering::Equal) => {}
            _ => self.last.clear(),
        }
        self.last.push(line.clone());
        self.change(|came| {
            came.lines.push_back(shown(line));
            if came.lines.len() > LINES {
                came.lines.pop_front();
            }
        });
    }

    fn trouble(&self, why: &str) {
        self.change(|came| came.trouble = Some(why.to_string()));
    }

    fn change(&self, change: impl FnOnce(&mut Came)) {
        change(&mut self.came.lock().unwrap_or_else(PoisonError::into_inner));
        self.session.ui.redraw();
    }
}

/// Who printed it stands before it; what went to stderr is marked.
fn shown(line: LogLine) -> Line {
    let level = if line.stream == "stderr" { "stderr".into() } else { String::new() };
    Line { time: line.time, level, text: format!("{}│ {}", line.source, line.line) }
}
