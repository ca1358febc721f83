//! What the program tells: one line an event, on stderr as text or JSON, and in a ring that anyone may follow. Never
//! panics, and holds no lock of its own while it writes.

use crate::clock;
use crate::ring::Ring;
use crate::types::LogRecord;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;
use std::sync::{Arc, LazyLock};

/// Lines kept: a screen's scrollback.
const KEPT: usize = 10_000;
/// And their bytes in all.
const KEPT_BYTES: usize = 8 << 20;
/// Of one line; what is longer is cut in the ring, and whole on stderr.
const MESSAGE_BYTES: usize = 4 << 10;

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

struct Logger {
    format: Format,
    output: Output,
}

static OWN: LazyLock<Arc<Ring<LogRecord>>> = LazyLock::new(|| Arc::new(Ring::new(KEPT, KEPT_BYTES, 0)));

/// Sets the program's logger; a second call does nothing.
pub fn start(format: Format, level: LevelFilter, output: Output) {
    if log::set_boxed_logger(Box::new(Logger { format, output })).is_ok() {
        log::set_max_level(level);
    }
}

/// The program's own last lines.
pub fn own() -> &'static Arc<Ring<LogRecord>> {
    &OWN
}

/// A line for people.
pub fn text(record: &LogRecord) -> String {
    format!("{} [{}] {}\n", record.time, record.level.to_uppercase(), record.message)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cares") || metadata.level() <= Level::Warn // libraries' chatter is not ours
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = clock::rfc3339(clock::unix_ms());
        let message = record.args().to_string();
        let line = match (self.output, self.format) {
            (Output::Ring, _) => None,
            (Output::Stderr, Format::Text) => Some(format!("{time} [{}] {message}\n", record.level())),
            (Output::Stderr, Format::Json) => {
                let level = lowercase(record.level());
                Some(format!("{}\n", serde_json::json!({ "time": time, "level": level, "message": message })))
            }
        };
        keep(&OWN, time, record.level(), message);
        if let Some(line) = line {
            let _ = std::io::stderr().lock().write_all(line.as_bytes()); // a closed stderr must not end the program
        }
    }

    fn flush(&self) {}
}

fn keep(ring: &Ring<LogRecord>, time: String, level: Level, mut message: String) {
    if message.len() > MESSAGE_BYTES {
        message.truncate((0..=MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0));
        message.push('…');
        message.shrink_to_fit();
    }
    let bytes = size_of::<LogRecord>() + time.len() + message.len();
    ring.push(bytes, |id| LogRecord { id, time, level: lowercase(level).into(), message });
}

fn lowercase(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Next;

    fn kept(ring: &Arc<Ring<LogRecord>>) -> Vec<Arc<LogRecord>> {
        let (mut follower, last) = ring.tail(usize::MAX - 1);
        let mut all = Vec::new();
        while follower.after() < last {
            if let Next::Entries(entries) = futures_lite::future::block_on(follower.next()) {
                all.extend(entries.into_iter().map(|(_, record)| record));
            }
        }
        all
    }

    #[test]
    fn long_lines_are_cut_and_the_ring_is_bounded() {
        let ring = Arc::new(Ring::new(KEPT, KEPT_BYTES, 0));
        keep(&ring, "t".into(), Level::Warn, "é".repeat(MESSAGE_BYTES));
        let cut = &kept(&ring)[0];
        assert!(cut.message.len() <= MESSAGE_BYTES + 3 && cut.message.ends_with("é…"), "{}", cut.message.len());
        assert_eq!((cut.id, cut.level.as_str(), text(cut).starts_with("t [WARN] é")), (1, "warn", true));
        for _ in 0..KEPT {
            keep(&ring, "t".into(), Level::Info, "x".repeat(2 * MESSAGE_BYTES));
        }
        let bytes: usize = kept(&ring).iter().map(|record| record.message.len()).sum();
        assert!(bytes > KEPT_BYTES / 2 && bytes <= KEPT_BYTES, "{bytes}");
    }
}
