//! The one thread that starts processes. It outlives them all, because Linux sends a child its death signal when the
//! *thread* that started it ends. Must never wait for what it starts.

use super::super::memory::Place;
use super::super::output::{LastWords, Output, drain};
use super::super::{EngineError, Kind, Launch, Program, Running, SECRETS_DIR};
use super::command;
use super::confine::{Confinement, keep_inherited_files_from_children};
use super::group::{self, Group};
use super::host::Host;
use super::leftovers::{self, RunDir, Sweeper};
use super::ports::Ports;
use super::stdio::{self, Theirs};
use super::vfork::{self, Child, Stack};
use crate::auth;
use crate::rt::{self, Sender};
use crate::sandbox::programs::programs;
use crate::worker::logs::{LogBook, Stream};
use async_io::Async;
use std::io::{self, PipeReader};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A program just unpacked may be held open for writing by a child that another thread forked and that has not yet
/// executed: then it is busy for a moment.
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// What the thread is asked for.
struct Order {
    launch: Launch,
    reply: Sender<Result<Running, EngineError>>,
    alive: Alive,
}

/// The thread lives as long as one of these does.
pub struct Alive {
    _orders: mpsc::Sender<Order>,
}

/// Hands orders to the thread.
pub struct Spawner {
    orders: mpsc::Sender<Order>,
}

/// The thread is gone: only a panic in it can do that.
pub fn gone() -> EngineError {
    EngineError::Resources("the thread that starts processes is gone; restart the worker".into())
}

impl Spawner {
    /// Cleans up after an earlier engine and starts the threads. Blocks.
    pub fn new(data_dir: &Path, logs: Arc<LogBook>) -> Result<Spawner, EngineError> {
        let failed = |doing: &str, error: io::Error| EngineError::Resources(format!("could not {doing}: {error}"));
        let run = leftovers::prepare(&data_dir.join("run"))
            .map_err(|error| failed(&format!("make {}/run; check --data-dir", data_dir.display()), error))?;
        let own = std::env::current_exe().map_err(|error| failed("tell where this program lies", error))?;
        let host = Host::find(&run, own);
        let sweeper = Sweeper::start(&host).map_err(|error| failed("start a thread", error))?;
        keep_inherited_files_from_children();
        let (orders, inbox) = mpsc::channel::<Order>();
        let secrets = Place::new(&format!("{}-process", &auth::hash(run.as_os_str().as_bytes())[..16]));
        secrets.sweep(|_| false);
        let stack = Stack::new().map_err(|error| failed("get memory", error))?;
        let mut shop = Shop { secrets, run, host, sweeper, logs, ports: Arc::new(Ports::default()), stack };
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for order in inbox {
                    let running = shop.start(order.launch, order.alive);
                    // Nobody waits any more: dropping it kills it.
                    let _ = order.reply.try_send(running);
                }
            })
            .map_err(|error| failed("start a thread", error))?;
        Ok(Spawner { orders })
    }

    /// Asks for a launch; the answer comes by `reply`.
    pub fn order(&self, launch: Launch, reply: Sender<Result<Running, EngineError>>) -> Result<(), EngineError> {
        let alive = Alive { _orders: self.orders.clone() };
        self.orders.send(Order { launch, reply, alive }).map_err(|_| gone())
    }
}

/// What the thread works with.
struct Shop {
    secrets: Place,
    run: PathBuf,
    host: Host,
    sweeper: Sweeper,
    logs: Arc<LogBook>,
    ports: Arc<Ports>,
    stack: Stack,
}

impl Shop {
    fn start(&mut self, launch: Launch, alive: Alive) -> Result<Running, EngineError> {
        let bundle = match &launch.program {
            // The child changes its folder before it executes: a relative path would then be another.
            Program::Bundle(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            Program::Image(image) => return Err(super::no_images(image)),
        };
        if !bundle.is_dir() {
            let text = format!("the bundle's folder {} is gone; deploy it again", bundle.display());
            return Err(EngineError::Resources(text));
        }
        let own_path = launch.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
        // Unless the function's own environment says otherwise.
        let usual = programs().path();
        let path = own_path.unwrap_or(&usual);
        let view = self.host.view_for(&launch, &bundle);
        let resolve = |view| command::resolve(&launch.command, &bundle, path, self.host.own(view));
        let program = resolve(view)?;
        // A program that others may not reach is run as the worker's user.
        let view = view.filter(|view| view.shows(&program));
        let program = if view.is_some() { program } else { resolve(None)? };
        let mut dir = RunDir::make(&self.run, &launch.id, &self.sweeper)?;
        let lease = match launch.kind {
            Kind::Http => Some(self.ports.lease()?),
            Kind::Job | Kind::Task => None,
        };

        let mut command = Command::new(&program);
        command.args(&launch.command[1..]).current_dir(&bundle).env_clear();
        command.env("PATH", &usual).env("HOME", dir.path()).env("TMPDIR", dir.path());
        if lease.is_some() {
            command.env("HOST", "127.0.0.1"); // nobody but this node is to reach it
        }
        for (name, value) in launch.variables()? {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let text = format!("the environment variable {name:?} has an = or a NUL in it, or no name; rename it");
                return Err(EngineError::Command(text));
            }
            command.env(name, value);
        }
        // After the function's own: these are facts.
        command.env("PWD", &bundle).env(leftovers::MARKER, dir.path());
        if let Some(lease) = &lease {
            command.env("PORT", lease.port().to_string());
        }
        let files = &launch.secrets.files;
        let secrets = (!files.is_empty()).then(|| self.secrets.fill(&launch.id, files, false)).transpose()?;
        let given = secrets.as_ref().map(|folder| folder.path());
        if let Some(folder) = given {
            command.env(SECRETS_DIR, folder);
        }
        let (held, cgroup) = self.host.hold(&launch, view, &program, &bundle, dir.path(), given)?;
        if let (Some(folder), Some(user)) = (&secrets, held.view.as_ref().map(|entry| entry.user())) {
            let failed = |error| EngineError::Resources(format!("could not hand over its secret files: {error}"));
            folder.give_to(user).map_err(failed)?;
        }
        let cgroup = cgroup.map(Arc::new);
        dir.keep(cgroup.clone());
        let (ours, theirs) = stdio::make(launch.kind).map_err(|error| {
            EngineError::Resources(format!("could not make pipes for {}: {error}; raise `ulimit -n` there", launch.id))
        })?;
        let child = execute(&command, &theirs, &held, &mut self.stack)
            .map_err(|error| command::explain(&launch.command[0], &program, &error))?;
        drop(theirs);

        let group = Group::new(child, cgroup);
        let last_words = Arc::new(LastWords::without(&launch.secrets));
        let (open, drained) = rt::bounded(1);
        let source: Arc<str> = launch.id.into();
        let log = |from: Async<PipeReader>, stream| {
            let (function, source) = (launch.function.clone(), source.clone());
            let output = Output { function, source, stream, logs: self.logs.clone(), last_words: last_words.clone() };
            let open = open.clone();
            rt::spawn(async move {
                drain(Box::new(from), output).await;
                drop(open);
            });
        };
        log(ours.stderr, Stream::Stderr);
        let stdout = match launch.kind {
            Kind::Job => Some(Box::new(ours.stdout) as _),
            Kind::Http | Kind::Task => {
                log(ours.stdout, Stream::Stdout);
                None
            }
        };
        let address = lease.as_ref().map(|lease| SocketAddr::from(([127, 0, 0, 1], lease.port())));
        let stdin = ours.stdin.map(|pipe| Box::new(pipe) as _);
        let control = group::keep(group, drained, last_words, (dir, lease, alive, secrets));
        Ok(Running { address, stdin, stdout, control: Box::new(control) })
    }
}

fn execute(command: &Command, stdio: &Theirs, held: &Confinement, on: &mut Stack) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match vfork::spawn(command, stdio.as_fds(), held, on) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    vfork::spawn(command, stdio.as_fds(), held, on)
}
