//! Starting a role from the screen: on a thread of its own, one at a time, and given up when nobody wants it any more.

use crate::client::Orchestrator;
use crate::clock;
use crate::lock::{self, lock};
use crate::rt::{self, Receiver, Sender};
use crate::tui::opened::{self, Program};
use crate::tui::session::Ui;
use cursive::Cursive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How long the end of the program waits for a role that is being given up.
const GIVING_UP: Duration = Duration::from_secs(5);

/// How roles are started; both block. A worker is given up when its receiver closes, and leaves nothing behind then.
#[derive(Clone, Copy)]
pub struct Roles {
    pub orchestrator: fn() -> Result<Started, String>,
    /// At an address, with a token or an empty text, as somebody typed them; fails when the first attempt to join does.
    pub worker: fn(&str, &str, &Receiver<()>) -> Result<Started, String>,
}

/// A role that runs in this process.
pub struct Started {
    pub program: Program,
    /// Of its own API.
    pub client: Orchestrator,
    /// What it is called when someone wants to leave, such as "the orchestrator".
    pub role: &'static str,
    /// Ends it; blocks.
    pub stop: Box<dyn FnOnce() + Send>,
}

/// The role that is being started, or has been.
#[derive(Clone)]
pub struct Starting {
    roles: Roles,
    shared: Arc<(Mutex<Now>, Condvar)>,
}

#[derive(Default)]
struct Now {
    /// One that is under way; closing it gives it up.
    under_way: Option<Sender<()>>,
    /// Threads that have not ended.
    threads: usize,
    started: Option<Started>,
    over: bool,
}

impl Starting {
    pub fn new(roles: Roles) -> Self {
        Starting { roles, shared: Arc::default() }
    }

    /// Creates a cluster and opens its dashboard; `failed` gets why not, on the screen's thread.
    pub fn orchestrator(&self, ui: &Ui, failed: impl FnOnce(&mut Cursive, String) + Send + 'static) {
        let create = self.roles.orchestrator;
        self.begin(ui, move |_| create(), failed);
    }

    /// Joins a cluster and opens the worker's screen; the same.
    pub fn worker(
        &self,
        ui: &Ui,
        (address, token): (String, String),
        failed: impl FnOnce(&mut Cursive, String) + Send + 'static,
    ) {
        let join = self.roles.worker;
        self.begin(ui, move |given_up| join(&address, &token, given_up), failed);
    }

    /// Whoever waited no longer does.
    pub fn cancel(&self) {
        self.lock().under_way.take();
    }

    /// For the end of the program: nothing is started any more. The role that runs, if any.
    pub fn give_up(&self) -> Option<Started> {
        let mut inner = self.lock();
        inner.over = true;
        inner.under_way.take();
        let until = clock::now() + GIVING_UP;
        while inner.threads > 0 {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            inner = lock::whole(self.shared.1.wait_timeout(inner, left)).0;
        }
        inner.started.take()
    }

    fn begin(
        &self,
        ui: &Ui,
        start: impl FnOnce(&Receiver<()>) -> Result<Started, String> + Send + 'static,
        failed: impl FnOnce(&mut Cursive, String) + Send + 'static,
    ) {
        let (wanted, given_up) = rt::bounded(1);
        let mut inner = self.lock();
        if inner.over || inner.started.is_some() {
            return;
        }
        inner.under_way = Some(wanted); // an earlier one is given up
        inner.threads += 1;
        drop(inner);
        let (starting, screen) = (self.clone(), ui.clone());
        let run = move || {
            let started = start(&given_up);
            starting.ended(started, &given_up, &screen, failed);
            starting.lock().threads -= 1;
            starting.shared.1.notify_all();
        };
        if std::thread::Builder::new().name("tui-start".into()).spawn(run).is_err() {
            self.lock().threads -= 1; // the machine is out of threads: nothing happens, and it can be tried again
        }
    }

    fn ended(
        &self,
        started: Result<Started, String>,
        given_up: &Receiver<()>,
        ui: &Ui,
        failed: impl FnOnce(&mut Cursive, String) + Send + 'static,
    ) {
        let mut inner = self.lock();
        let wanted = !given_up.is_closed() && !inner.over;
        match started {
            Ok(started) if wanted => {
                let (program, client, role) = (started.program, started.client.clone(), started.role);
                inner.started = Some(started);
                let screen = ui.clone();
                ui.run(move |siv| opened::open(siv, screen, program, client, Some(role)));
            }
            Ok(unwanted) => {
                drop(inner); // stopping takes a while
                (unwanted.stop)();
            }
            Err(why) if wanted => ui.run(move |siv| failed(siv, why)),
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        lock(&self.shared.0)
    }
}
