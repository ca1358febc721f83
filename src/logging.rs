//! What the program tells: one line an event, on stderr, as text or JSON. Never blocks for long and never panics.

use crate::clock;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line, for programs.
    Json,
}

/// Where lines go beside the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Stderr,
    /// Nowhere: a screen has the terminal.
    Ring,
}

struct Logger(Format, Output);

/// Sets the program's logger; a second call does nothing.
pub fn start(format: Format, level: LevelFilter, output: Output) {
    if log::set_boxed_logger(Box::new(Logger(format, output))).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cares") || metadata.level() <= Level::Warn // libraries' chatter is not ours
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || self.1 == Output::Ring {
            return;
        }
        let time = clock::rfc3339(clock::unix_ms());
        let line = match self.0 {
            Format::Text => format!("{time} [{}] {}\n", record.level(), record.args()),
            Format::Json => {
                let message = record.args().to_string();
                let level = record.level().as_str().to_lowercase();
                format!("{}\n", serde_json::json!({ "time": time, "level": level, "message": message }))
            }
        };
        let _ = std::io::stderr().lock().write_all(line.as_bytes()); // a closed stderr must not end the program
    }

    fn flush(&self) {}
}
