//! What starting a role has in common: the log, the ready line, and running until told to stop.

use super::{Failure, Outcome};
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::{logging, output};
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use log::LevelFilter;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// Lines on stderr from now on.
pub fn start_log(config: LogConfig) {
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
    logging::start(format, level, logging::Output::Stderr);
}

/// Says on stdout that it takes work, and where; to a person also how to end it.
pub fn ready(headless: bool, parts: &[(&str, String)]) -> Outcome {
    let parts: Vec<String> = parts.iter().map(|(key, value)| format!("{key}={value}")).collect();
    output::print(&format!("ready {}\n", parts.join(" ")))?;
    if !headless && io::stdout().is_terminal() {
        output::note("Ctrl-C ends it.");
    }
    Ok(())
}

/// SIGTERM and SIGINT, as they come.
pub struct Stop(Signals);

impl Stop {
    /// From now on these signals no longer end the program at once.
    pub fn listen() -> Result<Self, Failure> {
        let signals = Signals::new([Signal::Term, Signal::Int]);
        signals.map(Stop).map_err(|e| Failure::Here(format!("cannot listen for signals: {e}")))
    }

    /// Waits for the first; the second ends the program.
    pub async fn asked(mut self) {
        self.0.next().await;
        log::info!("Stopping; ask again to end at once");
        crate::rt::spawn(async move {
            self.0.next().await;
            std::process::exit(130);
        });
    }
}

/// Ends the program with a failure told to its user.
pub fn failed(why: impl std::fmt::Display) -> ExitCode {
    super::finish(Err(Failure::Here(why.to_string())))
}
