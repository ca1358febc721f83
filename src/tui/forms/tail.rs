//! What a function, a task or a module prints, followed for as long as somebody looks. Must never draw.

use crate::errors::Error;
use crate::lock::lock;
use crate::tui::follow::{Again, Looking, Looks, PAUSE, QUIET};
use crate::tui::log::{LINES, Line};
use crate::tui::session::{Model, Session};
use crate::types::{LogLine, Pipeline};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Lines asked for again after a pause, to miss none.
const OVERLAP: u64 = 1_000;

/// What came, and how the connection stands.
#[derive(Default)]
struct Came {
    lines: VecDeque<Line>,
    trouble: Option<String>,
    /// The past is here.
    begun: bool,
    /// And nothing more comes.
    over: bool,
}

/// Who prints.
#[derive(Clone, Debug)]
pub enum Of {
    /// By name.
    Function(String),
    /// By id.
    Task(String),
    /// By its pipeline's id, and its name.
    Module(String, String),
}

/// How often it was begun, and whether it has ended: a log goes on when this is another. `None` of what has no end, and of
/// what is gone.
type Life = Option<(u64, bool)>;

fn life(of: &Of, model: &Model) -> Life {
    match of {
        Of::Function(_) => None,
        Of::Task(id) => model.tasks.get(id).map(|task| (task.attempt, task.state.ended())),
        Of::Module(id, _) => model.pipelines.get(id).map(|row| (row.runs.into(), row.status != "running")),
    }
}

/// One log.
pub struct Tail {
    of: Of,
    came: Arc<Mutex<Came>>,
    /// `None`: it could not be followed.
    looking: Option<Looking>,
    life: Life,
}

impl Tail {
    pub fn start(session: &Session, of: Of) -> Tail {
        let came = Arc::new(Mutex::new(Came::default()));
        let mut follower = Follower { session: session.clone(), of: of.clone(), came: came.clone(), last: vec![] };
        let looking = Looking::start(move |looks| follower.read(looks));
        let looking = looking.map_err(|why| lock(&came).trouble = Some(why));
        let life = life(&of, &session.model());
        Tail { of, came, looking: looking.ok(), life }
    }

    /// The lines that have come since this was asked last.
    pub fn take(&self) -> VecDeque<Line> {
        std::mem::take(&mut self.locked().lines)
    }

    /// Looks whether what had ended was begun once more: it prints again.
    pub fn notice(&mut self, model: &Model) {
        let now = life(&self.of, model);
        if std::mem::replace(&mut self.life, now) != now {
            self.looking.iter().for_each(Looking::wake);
        }
    }

    /// Why nothing comes.
    pub fn trouble(&self) -> Option<String> {
        self.locked().trouble.clone()
    }

    /// Whether there was an answer yet.
    pub fn begun(&self) -> bool {
        self.locked().begun
    }

    /// Whether nothing more comes: what prints has ended.
    pub fn over(&self) -> bool {
        self.locked().over
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Came> {
        lock(&self.came)
    }
}

struct Follower {
    session: Session,
    of: Of,
    came: Arc<Mutex<Came>>,
    /// Those of the latest time there was: what is asked for again begins with them.
    last: Vec<LogLine>,
}

impl Follower {
    /// Reads until it breaks, nothing comes, or nobody looks.
    fn read(&mut self, looks: &Looks) -> Again {
        let read = self.read_lines(looks);
        let wait = match read {
            Ok(()) => PAUSE / 4,
            Err(error) => {
                self.change(|came| came.trouble = Some(error.to_string()));
                PAUSE
            }
        };
        let over = self.over();
        self.change(|came| came.over = over);
        if over { Again::WhenWoken } else { Again::In(wait) }
    }

    /// Whether nothing more comes.
    fn over(&self) -> bool {
        let over = life(&self.of, &self.session.model()).is_none_or(|(_, ended)| ended);
        match &self.of {
            Of::Function(_) => false,
            Of::Module(id, name) if !over => self.module_ended(id, name),
            Of::Task(_) | Of::Module(..) => over,
        }
    }

    /// Whether a module of a pipeline that runs has ended: the lists of this screen do not say so.
    fn module_ended(&self, id: &str, name: &str) -> bool {
        let found = self.session.client().pipeline(id);
        let is_it = |pipeline: &Pipeline| {
            let module = pipeline.modules.iter().find(|module| module.name == name);
            module.is_none_or(|module| !matches!(module.state.as_str(), "pending" | "ready" | "running"))
        };
        found.as_ref().is_ok_and(is_it)
    }

    fn read_lines(&mut self, looks: &Looks) -> Result<(), Error> {
        let tail = if self.last.is_empty() { LINES as u64 } else { OVERLAP };
        let client = self.session.client();
        let lines = match &self.of {
            Of::Function(name) => client.logs_until_quiet(name, tail, QUIET),
            Of::Task(id) => client.task_logs_until_quiet(id, tail, QUIET),
            Of::Module(id, name) => client.module_logs_until_quiet(id, name, tail, QUIET),
        }?;
        self.change(|came| (came.begun, came.over, came.trouble) = (true, false, None));
        for line in lines {
            if looks.left() {
                break;
            }
            self.push(line?);
        }
        Ok(())
    }

    fn push(&mut self, line: LogLine) {
        match self.last.first().map(|last| line.time.cmp(&last.time)) {
            Some(std::cmp::Ordering::Less) => return,
            Some(std::cmp::Ordering::Equal) if self.last.contains(&line) => return,
            Some(std::cmp::Ordering::Equal) => {}
            _ => self.last.clear(),
        }
        self.last.push(line.clone());
        let shown = shown(line, &self.of);
        self.change(|came| {
            came.lines.push_back(shown);
            if came.lines.len() > LINES {
                came.lines.pop_front();
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Came)) {
        change(&mut lock(&self.came));
        self.session.ui.redraw();
    }
}

/// Which instance of a function printed it stands before it; what went to stderr is marked.
fn shown(line: LogLine, of: &Of) -> Line {
    let level = if line.stream == "stderr" { "stderr".into() } else { String::new() };
    let text = match of {
        Of::Function(_) => format!("{}│ {}", line.source, line.line),
        Of::Task(_) | Of::Module(..) => line.line,
    };
    Line { time: line.time, level, text }
}
