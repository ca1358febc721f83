//! What starting a role has in common: the log, the ready line, and running until told to stop.

use super::{Failure, Outcome, systemd};
use crate::auth::Secret;
use crate::client::Orchestrator;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::errors::Error;
use crate::tui::{self, Closed, Program};
use crate::{logging, output, rt};
use async_signal::{Signal, Signals};
use futures_lite::{StreamExt, future};
use log::LevelFilter;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a role has a screen: somebody sits at a terminal, and did not say otherwise.
pub fn screen(headless: bool) -> bool {
    !headless && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Lines on stderr from now on, or only on the screen when there is one.
pub fn start_log(config: LogConfig, screen: bool) {
    let format = match config.format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    let level = match config.level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    };
    let output = if screen { logging::Output::Ring } else { logging::Output::Stderr };
    logging::start(format, level, output);
    if config.access {
        logging::want_access();
    }
}

/// Each connection is a file, and shells and services are given few to begin with. What functions may open is set anew
/// for each.
pub fn take_all_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        log::debug!("no more than {current:?} files may be open: {error}");
    }
}

/// Says on stdout that it takes work, and where.
pub fn ready(parts: &[(&str, String)]) -> Outcome {
    let parts: Vec<String> = parts.iter().map(|(key, value)| format!("{key}={value}")).collect();
    output::print(&format!("ready {}\n", parts.join(" ")))?;
    systemd::tell("READY=1");
    Ok(())
}

/// What the ready line calls the address of REST.
pub fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// A client of a role that listens in this process, with its own token.
pub fn client(mut http: SocketAddr, https: bool, own: &Secret) -> Result<Orchestrator, Error> {
    if http.ip().is_unspecified() {
        http.set_ip(if http.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(Orchestrator::new(&format!("{}://{http}", scheme(https)))?.in_this_process().token(own.reveal()))
}

/// Shows a role's screen until somebody leaves it; then the role is to be stopped.
pub fn show(program: Program, client: Orchestrator, role: &'static str) -> Outcome {
    let closed = tui::show(program, client, Some(role)).map_err(Failure::Here);
    stopping(role);
    ended(closed?)
}

/// What a person reads while a role finishes what it has.
pub fn stopping(role: &str) {
    output::note(&format!("Stopping {role}; Ctrl-C ends at once."));
}

/// A screen that ended by a defect has said so.
pub fn ended(closed: Closed) -> Outcome {
    match closed {
        Closed::Quit => Ok(()),
        Closed::Panicked => Err(Failure::Told(super::FAILED)),
    }
}

/// A second signal came.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// SIGTERM and SIGINT, as they come.
pub struct Stop(Signals);

impl Stop {
    /// From now on these signals no longer end the program at once.
    pub fn listen() -> Result<Self, Failure> {
        let signals = Signals::new([Signal::Term, Signal::Int]);
        signals.map(Stop).map_err(|e| Failure::Here(format!("cannot listen for signals: {e}")))
    }

    /// Waits for the first; the second ends the program, after `at_once`.
    pub async fn asked(mut self, at_once: impl Future<Output = ()> + Send + 'static) {
        self.0.next().await;
        systemd::tell("STOPPING=1");
        log::info!("Stopping; ask again to end at once");
        rt::spawn(async move {
            self.0.next().await;
            AT_ONCE.store(true, Ordering::Release);
            at_once.await;
            std::process::exit(130);
        });
    }
}

/// What comes of this, unless somebody asks to stop first.
pub fn unless_stopped<T>(stop: Pin<&mut impl Future<Output = ()>>, work: impl Future<Output = T>) -> Option<T> {
    let asked = async {
        stop.await;
        None
    };
    rt::block_on(future::or(async { Some(work.await) }, asked))
}

/// Ends the program after its role has ended in good order; a program that is to end at once ends by itself.
pub fn ended_well(outcome: Outcome) -> ExitCode {
    while AT_ONCE.load(Ordering::Acquire) {
        std::thread::park();
    }
    super::finish(outcome)
}

/// Ends the program with a failure told to its user.
pub fn failed(why: impl std::fmt::Display) -> ExitCode {
    super::finish(Err(Failure::Here(why.to_string())))
}
